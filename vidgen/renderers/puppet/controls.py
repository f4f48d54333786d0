"""What the mouth should do, 100 times a second, from the voice: one curve per muscle group.

The front door of the listening side. Knows nothing of pixels; `motion` moves the rest of the head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, Literal

import numpy as np

from vidgen.renderers.base import Look
from vidgen.renderers.puppet.coarticulation import blended
from vidgen.renderers.puppet.curves import RATE, Array, highest, resampled, smooth
from vidgen.renderers.puppet.espeak import Phone
from vidgen.renderers.puppet.phonemes import from_words
from vidgen.renderers.puppet.sound import Sound, listen
from vidgen.work import Floats, Speech

Source = Literal["sound", "text", "recogniser"]
CURVES: Final = (
    "jaw",
    "round",
    "spread",
    "press",
    "fricative",
    "tongue",
    "loud",
    "voiced",
    "f0",
)
AHEAD: Final = 0.030  # seconds by which smoothing would make the mouth late


@dataclass(frozen=True, slots=True)
class Controls:
    """Curves at 100 Hz, each (N,) float32, N = ceil(seconds * 100) + 1, sample k at k / 100 s.

    All 0..1 but `f0`; no NaN ever. `note` names what a person should hear about (a message code).
    """

    jaw: Floats  # 0 closed – 1 the speaker's wide open
    round: Floats  # lips rounded, as in "o"
    spread: Floats  # lips spread, as in "ee"
    press: Floats  # lips pressed shut: p, b, m
    fricative: Floats  # teeth close, lips apart: f, s, sh
    tongue: Floats  # tongue up behind the teeth: l, n, t, d, th
    loud: Floats  # smoothed loudness
    voiced: Floats
    f0: Floats  # semitones around the speaker's median, 0 where unvoiced
    pauses: tuple[tuple[float, float], ...]  # seconds
    source: Source = "sound"
    note: str = ""


def controls(speech: Speech, look: Look) -> Controls:
    """The mouth for `speech`; `look.mouth` scales how far it opens (0: it stays shut)."""
    sound = listen(speech.samples, speech.rate)
    note = ""
    if speech.text.strip():
        words = from_words(sound, speech.text, look.language)
        if words.phones:
            return _scaled(from_phones(words.phones, sound, "text"), look.mouth)
        note = words.note
    return _scaled(replace(from_sound(sound), note=note), look.mouth)


def sampled(
    controls: Controls, fps: Fraction, first: int, last: int
) -> dict[str, Floats]:
    """The curves for frames first..last-1, each (last - first,): their values at the frames'
    centres, `press` the highest within the frame, so that no closure falls between two frames."""
    frames = {
        name: resampled(getattr(controls, name), RATE, fps, first, last) for name in CURVES
    }
    frames["press"] = highest(controls.press, RATE, fps, first, last)
    return frames


def from_phones(phones: Sequence[Phone], sound: Sound, source: Source) -> Controls:
    """The mouth by what is said, opened further where it is said louder."""
    mouth = blended(phones, len(sound.loud))
    energy = smooth(sound.loud, 4.0)
    jaw = mouth["jaw"] * (0.45 + 0.65 * energy) * np.clip(energy * 6, 0, 1)
    top = float(np.percentile(jaw, 95)) if jaw.any() else 0.0
    jaw = np.clip(jaw / top, 0, 1) if top > 0.02 else jaw
    return Controls(
        jaw=_curve(jaw),
        round=_curve(mouth["round"]),
        spread=_curve(mouth["spread"]),
        press=_curve(mouth["press"]),
        fricative=_curve(mouth["fricative"]),
        tongue=_curve(mouth["tongue"]),
        source=source,
        **_of_voice(sound),
    )


def from_sound(sound: Sound) -> Controls:
    """The mouth by what is heard alone (PUPPET (b)10)."""
    loud, voiced = sound.loud, smooth(sound.voiced, 1.0)
    f1, f2 = sound.formants[:, 0], sound.formants[:, 1]
    spoken = (sound.f0 > 0) & (loud > 0.3)
    low1, high1 = _percentiles(f1, spoken, (10, 90))
    low2, mid2, high2 = _percentiles(f2, spoken, (8, 45, 92))
    open1 = np.clip((f1 - low1) / (high1 - low1 + 1), 0, 1)
    hiss = _hiss(sound)
    press = _closures(sound)
    jaw = loud * np.where(sound.f0 > 0, 0.38 + 0.62 * open1, 0.18)
    jaw = _advanced(_released(jaw * (1 - press)))
    rounded = np.clip((mid2 - f2) / (mid2 - low2 + 1), 0, 1) * loud * voiced
    spread = np.clip((f2 - mid2) / (high2 - mid2 + 1), 0, 1) * loud * voiced
    top = float(np.percentile(jaw, 95)) if jaw.any() else 0.0
    jaw = np.clip(jaw / top, 0, 1) if top > 0.02 else jaw
    return Controls(
        jaw=_curve(jaw),
        round=_curve(smooth(rounded, 3.0)),
        spread=_curve(smooth(spread, 3.0)),
        press=_curve(np.clip(smooth(press, 1.0), 0, 1)),
        fricative=_curve(smooth(hiss, 1.5)),
        tongue=_curve(np.zeros(len(jaw))),
        **_of_voice(sound),
    )


def _of_voice(sound: Sound) -> dict[str, Any]:
    return {
        "loud": _curve(smooth(sound.loud, 3.0)),
        "voiced": _curve(smooth(sound.voiced, 1.0)),
        "f0": _semitones(sound.f0),
        "pauses": sound.pauses,
    }


def _percentiles(values: Array, where: Array, shares: tuple[int, ...]) -> list[float]:
    chosen = values[where] if where.sum() > 10 else values
    return [float(value) for value in np.percentile(chosen, shares)]


def _hiss(sound: Sound) -> Array:
    loud_high = sound.high - sound.low
    hiss = np.clip((loud_high - 1.5) / 3, 0, 1) * (sound.centroid > 2500) * (sound.high > -60)
    return np.asarray(hiss * (sound.high > np.percentile(sound.high, 95) - 30))


def _closures(sound: Sound) -> Array:
    """Dips of 400–3000 Hz by 9 dB within 120 ms on both sides, with a murmur below 400 Hz."""
    from scipy.ndimage import maximum_filter1d

    before = maximum_filter1d(sound.mid, 12, origin=5, mode="nearest")
    after = maximum_filter1d(sound.mid, 12, origin=-6, mode="nearest")
    dip = np.minimum(before, after) - sound.mid
    murmur = (dip > 9) & (sound.low - sound.mid > 8) & (sound.loud > 0.05)
    return murmur.astype(np.float64)


def _released(jaw: Array) -> Array:
    """Gaussian of 15 ms, then up within 25 ms and down within 60 ms."""
    quick = smooth(jaw, 1.5)
    up, down = 1 - np.exp(-10 / 25), 1 - np.exp(-10 / 60)
    slow = np.empty_like(quick)
    now = 0.0
    for index, value in enumerate(quick):
        now += (up if value > now else down) * (value - now)
        slow[index] = now
    return slow


def _advanced(curve: Array) -> Array:
    steps = round(AHEAD * RATE)
    return np.concatenate([curve[steps:], np.repeat(curve[-1:], steps)])[: len(curve)]


def _semitones(f0: Array) -> Floats:
    spoken = f0 > 0
    if not spoken.any():
        return np.zeros(len(f0), np.float32)
    middle = np.median(f0[spoken])
    values = np.zeros(len(f0))
    values[spoken] = 12 * np.log2(f0[spoken] / middle)
    return np.clip(values, -12, 12).astype(np.float32)


def _curve(values: Array) -> Floats:
    return np.clip(np.nan_to_num(values), 0, 1).astype(np.float32)


def _scaled(controls: Controls, mouth: float) -> Controls:
    """`controls` with every movement of the mouth scaled; the voice's own curves stay."""
    if mouth == 1.0:
        return controls
    names = ("jaw", "round", "spread", "press", "fricative", "tongue")
    changed = {name: _curve(getattr(controls, name) * mouth) for name in names}
    return replace(controls, **changed)
