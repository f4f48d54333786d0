"""Change how the voice sounds: pitch, melody, rate, loudness. Without a wish it is left alone.

The lips follow what this stage gives, so picture and sound always belong together.
"""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Final

import numpy as np

from vidgen.events import Emit, Log, StageProgress
from vidgen.media import loudness
from vidgen.settings import Options, target_lufs
from vidgen.work import Floats, Notes, Speech, Work

# Limits beyond which resynthesis stops sounding like a person.
PITCH: Final = (-3.0, 3.0)  # semitones
RANGE: Final = (0.7, 1.4)  # times the melody's distance from its median
RATE: Final = (0.85, 1.2)
LOUDNESS: Final = (-40.0, -9.0)  # LUFS

_FLOOR, _CEILING = 75.0, 500.0  # Hz, where Praat looks for a voice's pitch
_STEP = 0.01  # seconds between pitch values
_LEAST_SECONDS = 0.1  # Praat needs three periods of the lowest pitch


class Prosody:
    """Speech → Speech."""

    name = "prosody_adjustment"

    def __init__(self, options: Options) -> None:
        """Uses `pitch`, `pitch_range`, `rate` and `loudness`, brought within the limits above.

        Raises InputError for a loudness that is neither `keep` nor a number.
        """
        self.wish = ProsodyTarget(
            _within(options.pitch, PITCH),
            _within(options.pitch_range, RANGE),
            _within(options.rate, RATE),
            _target(options.loudness),
        )

    @property
    def is_idle(self) -> bool:
        """Whether nothing was wished: the voice goes on as it is."""
        return self.wish == ProsodyTarget()

    def run(self, work: Work, emit: Emit) -> Work:
        """The voice untouched, bit for bit, when nothing was wished; else at most -1 dBTP loud."""
        speech = work.get(Speech)
        seconds = {"work": round(speech.seconds, 3), "work_unit": "seconds"}
        if self.is_idle:
            return work.plus(Notes({"seconds": seconds["work"]}, "prosody.kept", "skipped"))
        samples, values = speech.samples, dict[str, Any]()
        if self.wish.moves and speech.seconds >= _LEAST_SECONDS:
            samples, values = _resynthesise(speech, self.wish, emit)
        emit(StageProgress(self.name, 1, 2, "steps"))
        samples = _level(samples, speech.rate, self.wish.lufs)
        levels = loudness.measure(samples, speech.rate)
        values |= {
            "lufs": _round_decibels(levels.lufs),
            "true_peak": _round_decibels(levels.true_peak),
        }
        if self.wish.lufs is not None and levels.lufs < self.wish.lufs - 0.5:
            metadata = {"wanted": self.wish.lufs, "reached": values["lufs"]}
            emit(Log("INFO", "prosody.quieter", metadata))
        changed = replace(speech, samples=samples)
        backend = "praat" if self.wish.moves else "gain"
        values |= {"backend": backend, "seconds": round(changed.seconds, 3), **seconds}
        return work.plus(changed, Notes(values, "prosody.done"))


@dataclass(frozen=True, slots=True)
class ProsodyTarget:
    """How the voice should change; the defaults change nothing."""

    pitch: float = 0.0  # semitones
    range: float = 1.0
    rate: float = 1.0
    lufs: float | None = None

    @property
    def moves(self) -> bool:
        """Whether anything but the loudness changes."""
        return (self.pitch, self.range, self.rate) != (0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Melody:
    """A voice's pitch. Zeros when nothing is voiced."""

    median: float  # Hz
    spread: float  # standard deviation, semitones
    voiced: float  # share of time, 0-1


def melody(samples: Floats, rate: int) -> Melody:
    import parselmouth

    sound = parselmouth.Sound(samples.astype(np.float64), rate)
    track = sound.to_pitch(_STEP, _FLOOR, _CEILING).selected_array["frequency"]
    heard = track[track > 0]
    if not len(heard):
        return Melody(0.0, 0.0, 0.0)
    semitones = 12 * np.log2(heard)
    return Melody(float(np.median(heard)), float(semitones.std()), len(heard) / len(track))


def _resynthesise(speech: Speech, wish: ProsodyTarget, emit: Emit) -> tuple[Floats, dict[str, Any]]:
    """The voice with its new melody and rate, and what it measures before and after."""
    before = melody(speech.samples, speech.rate)
    samples = _praat(speech, wish, before)
    after = melody(samples, speech.rate)
    _warn(speech, wish, before, after, len(samples), emit)
    return samples, {
        "pitch_before": round(before.median, 1),
        "pitch_after": round(after.median, 1),
        "spread_before": round(before.spread, 2),
        "spread_after": round(after.spread, 2),
    }


def _praat(speech: Speech, wish: ProsodyTarget, before: Melody) -> Floats:
    """Praat's Manipulation: new pitch and duration tiers, resynthesis by overlap-add.

    f' = median * 2^((12 log2(f / median) * range + pitch) / 12); durations times 1 / rate.
    """
    import parselmouth
    from parselmouth.praat import call

    sound = parselmouth.Sound(speech.samples.astype(np.float64), speech.rate)
    manipulation = call(sound, "To Manipulation", _STEP, _FLOOR, _CEILING)
    if before.median:
        tier = call(manipulation, "Extract pitch tier")
        formula = (
            f"max({_FLOOR}, min({_CEILING}, {before.median}"
            f" * 2 ^ ((12 * log2(self / {before.median}) * {wish.range} + {wish.pitch}) / 12)))"
        )
        call(tier, "Formula", formula)
        call([manipulation, tier], "Replace pitch tier")
    if wish.rate != 1.0:
        tier = call(manipulation, "Extract duration tier")
        call(tier, "Add point", 0, 1 / wish.rate)
        call([manipulation, tier], "Replace duration tier")
    made = call(manipulation, "Get resynthesis (overlap-add)").values[0]
    samples: Floats = np.nan_to_num(made).astype(np.float32)
    return samples


def _warn(
    speech: Speech, wish: ProsodyTarget, before: Melody, after: Melody, count: int, emit: Emit
) -> None:
    """Say when the result will hardly sound like a person."""
    expected = speech.seconds / wish.rate
    signs = []
    if abs(after.voiced - before.voiced) > 0.05:
        signs.append("voicing")
    if abs(count / speech.rate - expected) > 0.01 * expected:
        signs.append("duration")
    if before.median and abs(12 * np.log2(after.median / before.median or 1) - wish.pitch) > 0.7:
        signs.append("pitch")
    if signs:
        emit(Log("WARNING", "prosody.unnatural", {"signs": ", ".join(signs)}))
    if abs(wish.pitch) > 2:
        emit(Log("INFO", "prosody.far", {"pitch": wish.pitch}))


def _level(samples: Floats, rate: int, lufs: float | None) -> Floats:
    if lufs is None:
        return loudness.limit(samples, rate)
    return loudness.to_loudness(samples, rate, lufs)


def _within(value: float, limits: tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])


def _target(wanted: str) -> float | None:
    lufs = target_lufs(wanted)
    return None if lufs is None else _within(lufs, LOUDNESS)


def _round_decibels(decibels: float) -> float | None:
    """One decimal; None for silence, because JSON has no infinity."""
    return round(decibels, 1) if isfinite(decibels) else None
