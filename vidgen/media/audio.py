"""Read a voice out of any sound or video file, and say what is wrong with it.

Judges what `decoder` and `mixdown` give; changes to the voice are `stages.prosody`'s.
"""

from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.errors import InputError
from vidgen.events import Emit, Log
from vidgen.files import sha256_of
from vidgen.media.decoder import Damage, blocks, open_sound, sound_track, stated_seconds
from vidgen.media.levels import decibels, is_silent, window_levels
from vidgen.media.loudness import limit
from vidgen.media.mixdown import Survey, choose_track, mix_weights
from vidgen.trim import Trim
from vidgen.work import Floats, Speech

LEAST_SECONDS: Final = 0.3
QUIET: Final = -45.0  # dB RMS of the loudest 50 ms: a film that is hardly heard
BLOCK: Final = 1 << 20  # samples that the resampler is given at a time
FADE_SECONDS: Final = 0.005  # at the ends of a part that was cut out
WHOLE: Final = Trim()
_SAID_LOSS: Final = 0.01  # seconds; less is rounding of a clock


def load_speech(
    path: Path,
    *,
    max_seconds: float,
    trim: Trim = WHOLE,
    text: str = "",
    emit: Emit | None = None,
) -> Speech:
    """The voice in `path`: its track and channels chosen, mono, at its own rate and level.

    Reads whatever FFmpeg reads, a video too, on the file's own clock: pauses and damaged packets
    are silence. Only the part `trim` is kept. `emit` hears what is odd but usable (clipping, a
    missing end, …). At most `max_seconds` are held, so memory is bounded. Raises InputError for
    what cannot be used, each reason with its own code.
    """
    _check_file(path)
    recording = _record(path, Trim(trim.start, min(trim.end, trim.start + max_seconds)))
    if trim == WHOLE and _breaks_off(path):
        recording.damage.broken = recording.damage.broken or "shorter than its header says"
    seconds = len(recording.samples) / recording.rate
    if min(seconds, trim.seconds) > max_seconds:
        raise _too_long(path, max_seconds)
    if trim.start and not len(recording.samples):
        raise _begins_later(path, trim)
    if seconds - recording.damage.lost < LEAST_SECONDS:
        raise _too_short(path, max(0.0, seconds - recording.damage.lost), recording.damage)
    samples, notices = _repair(recording, path)
    if trim != WHOLE:
        samples = _cut(samples, recording.rate, trim)
    if is_silent(decibels(window_levels(samples, recording.rate))):
        raise InputError(
            "The voice {name} is silent.",
            hint="Check that the right track was recorded and that the microphone was on.",
            code="voice.silent",
            name=path.name,
        )
    speech = Speech(samples, recording.rate, sha256_of(path), text)
    for notice in (*notices, *flaws(speech)):
        if emit:
            emit(notice)
    return speech


def _cut(samples: Floats, rate: int, trim: Trim) -> Floats:
    """The part, with ends that do not click."""
    kept = samples if trim.end == inf else samples[: round(trim.seconds * rate)]
    count = min(round(FADE_SECONDS * rate), len(kept) // 2)
    ramp = np.linspace(0, 1, count, dtype=np.float32)
    kept = kept.copy()
    if trim.start:
        kept[:count] *= ramp
    if len(kept) < len(samples):
        kept[len(kept) - count :] *= ramp[::-1]
    return kept


def _begins_later(path: Path, trim: Trim) -> InputError:
    return InputError(
        "The voice {name} is over before {seconds:g} seconds, where --trim begins.",
        hint="Give an earlier part of it.",
        code="voice.trimmed_away",
        name=path.name,
        seconds=trim.start,
    )


def identify_voice(path: Path, max_seconds: float, trim: Trim = WHOLE) -> tuple[str, float]:
    """The file's sha256, and the seconds of it by its head: a quick look before the work.

    Raises InputError as `load_speech` does, but for what only decoding shows.
    """
    _check_file(path)
    stated = _stated_seconds(path)
    seconds = max(0.0, min(stated, trim.end) - trim.start)
    if 0 < stated <= trim.start:
        raise _begins_later(path, trim)
    if seconds > max_seconds:
        raise _too_long(path, max_seconds)
    if 0 < seconds < LEAST_SECONDS:
        raise _too_short(path, seconds, Damage())
    return sha256_of(path), seconds


def _stated_seconds(path: Path) -> float:
    """By the head of the file; 0 when it does not say."""
    import soundfile

    try:  # twenty times as fast as FFmpeg, where it knows the format
        with soundfile.SoundFile(str(path)) as sound:  # its `info` spells out much more
            return float(sound.frames / sound.samplerate)
    except (RuntimeError, OSError):
        with open_sound(path) as container:
            stream = container.streams.audio[0]
            if stream.duration:
                return float(stream.duration * stream.time_base)
            return float(container.duration or 0) / 1_000_000


def flaws(speech: Speech) -> tuple[Log, ...]:
    """What will make the film worse though the voice can be used."""
    found = []
    clipped = _clipping_share(speech.samples)
    if clipped > 5e-4:
        found.append(Log("WARNING", "voice.clipped", {"percent": round(100 * clipped, 2)}))
    if speech.rate <= 8000:
        found.append(Log("INFO", "voice.telephone", {"rate": speech.rate}))
    if _ends_abruptly(speech):
        found.append(Log("INFO", "voice.cut_off"))
    loudest = float(decibels(window_levels(speech.samples, speech.rate)).max(initial=-120.0))
    if loudest < QUIET:
        found.append(Log("WARNING", "voice.quiet", {"level": round(loudest)}))
    return tuple(found)


@dataclass(slots=True)
class _Recording:
    """What decoding gave: mono samples, and what is wrong with them."""

    samples: Floats
    rate: int
    damage: Damage
    stated_seconds: float = 0.0  # the length the file claims, 0 when it does not say
    notices: list[Log] = field(default_factory=list)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(
            "The voice {name} is a folder.",
            hint="Name a sound file in it.",
            code="voice.is_folder",
            name=str(path),
        )
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError as error:
        raise InputError(
            "There is no voice file {name}.",
            hint="Check the path.",
            code="voice.missing",
            name=str(path),
        ) from error
    except OSError as error:
        raise InputError(
            "The voice {name} cannot be opened: {reason}.",
            hint="Check the file's permissions and its disk.",
            code="voice.unreadable",
            name=str(path),
            reason=error.strerror or str(error),
        ) from error
    if empty:
        raise InputError(
            "The voice {name} is an empty file.",
            hint="Record or copy it again.",
            code="voice.empty",
            name=path.name,
        )


def _breaks_off(path: Path) -> bool:
    """Whether a wav file is shorter than its header says; FFmpeg believes the file silently."""
    with path.open("rb") as file:
        head = file.read(8)
    said = int.from_bytes(head[4:], "little")
    # Programs that write into a pipe cannot know the size and put the largest number there.
    return head[:4] == b"RIFF" and 0x7FFF0000 > said > path.stat().st_size


def _record(path: Path, part: Trim) -> _Recording:
    """The voice's own track and channels, mixed to mono, a little more than the part."""
    with open_sound(path) as container:
        asides, defaults = [], []
        for stream in container.streams.audio:
            defaults.append(bool(stream.disposition & _flags("default")))
            asides.append(bool(stream.disposition & _flags("comment", "visual_impaired")))
    number, notices = 0, []
    if len(defaults) > 1:
        surveys = [_survey(path, n, part.end) for n in range(len(defaults))]
        number = choose_track(surveys, defaults, asides)
        notices.append(Log("INFO", "voice.track", {"number": number + 1, "count": len(defaults)}))
    recording = _mixed(path, number, part)
    recording.notices = notices
    return recording


def _flags(*names: str) -> Any:
    import av

    kinds = av.stream.Disposition
    flags = kinds(0)
    for name in names:
        flags |= kinds[name]
    return flags


def _survey(path: Path, number: int, max_seconds: float) -> Survey:
    """What each channel of a track does. A track that cannot be decoded does nothing."""
    survey, seconds = Survey(), 0.0
    with open_sound(path) as container:
        stream = sound_track(container, number, path)
        for block, rate in blocks(container, stream, Damage()):
            survey.add(block, rate)
            seconds += block.shape[1] / rate
            if seconds > max_seconds:
                break
        survey.names = tuple(channel.name for channel in stream.codec_context.layout.channels)
    return survey


def _mixed(path: Path, number: int, part: Trim) -> _Recording:
    pcm = bytearray()  # grows in place; a list of blocks to be joined would need twice the memory
    weights: Floats | None = None
    damage, rate, before = Damage(), 1, 0
    with open_sound(path) as container:
        stream = sound_track(container, number, path)
        stated = stated_seconds(container, stream)
        for block, rate in blocks(container, stream, damage):
            if weights is None:
                weights = _weights(path, number, part.end, len(block))
                before = 4 * round(part.start * rate)  # bytes
            pcm += (block[0] if len(block) == 1 else weights @ block).tobytes()
            if before:
                skipped = min(before, len(pcm))
                del pcm[:skipped]
                before -= skipped
            if len(pcm) / 4 > part.seconds * rate:
                break
    is_whole = not part.start and len(pcm) / 4 <= part.seconds * rate
    stated = stated if is_whole else 0.0
    count = _stated_end(round(stated * rate), len(pcm) // 4)
    samples = np.frombuffer(pcm, np.float32)[:count]
    if weights is not None and np.count_nonzero(weights) > 1:
        samples = limit(_finite(samples), rate)
    return _Recording(samples, rate, damage, stated)


def _weights(path: Path, number: int, max_seconds: float, channels: int) -> Floats:
    if channels == 1:
        return np.ones(1, np.float32)
    return mix_weights(_survey(path, number, max_seconds))


def _stated_end(stated: int, count: int) -> int:
    """Where the sound ends: AAC fills its last packet, and only the file knows how far."""
    return stated if 0 < count - stated <= 4096 and stated else count


def _repair(recording: _Recording, path: Path) -> tuple[Floats, list[Log]]:
    """The samples finite and in -1..1, and what had to be done for it."""
    samples, notices = recording.samples, list(recording.notices)
    seconds, damage = len(samples) / recording.rate, recording.damage
    missing = recording.stated_seconds - seconds
    if damage.broken or missing > max(0.25, 0.02 * recording.stated_seconds):
        notices.append(
            Log("WARNING", "voice.truncated", {"name": path.name, "seconds": round(seconds, 2)})
        )
    if damage.lost > _SAID_LOSS:
        values = {"name": path.name, "seconds": round(damage.lost, 2)}
        notices.append(Log("WARNING", "voice.lost", values))
    if damage.paused > _SAID_LOSS:
        notices.append(Log("INFO", "voice.paused", {"seconds": round(damage.paused, 2)}))
    finite = _finite(samples)
    if finite is not samples:
        notices.append(Log("WARNING", "voice.not_finite", {"name": path.name}))
    peak = _peak(finite)
    if peak > 1.0:  # decoders of lossy formats overshoot a little; float files may be anywhere
        finite = finite * np.float32(1 / peak)
        if peak > 1.5:
            notices.append(Log("WARNING", "voice.scaled", {"peak": round(peak, 2)}))
    return finite, notices


def _finite(samples: Floats) -> Floats:
    """The same array when all is finite, else a copy with zeros in place of NaN and infinity."""
    # The sum is NaN or infinite as soon as one sample is, and needs no array of its own.
    with np.errstate(all="ignore"):
        if np.isfinite(np.dot(samples, samples)) or np.isfinite(samples).all():
            return samples
    return np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)


def _peak(samples: Floats) -> float:
    return max(float(samples.max()), -float(samples.min())) if len(samples) else 0.0


def _clipping_share(samples: Floats) -> float:
    """The share of samples in runs of three or more at one same extreme value."""
    peak = _peak(samples)
    if peak < 0.5:
        return 0.0
    flat = np.abs(samples) >= np.float32(peak * 0.9995)
    run = flat[:-2] & flat[1:-1] & flat[2:]
    return float(run.mean()) if len(run) else 0.0


def _ends_abruptly(speech: Speech) -> bool:
    """Whether the last 50 ms are about as loud as speech is (within 12 dB of its loud parts)."""
    levels = window_levels(speech.samples[::-1], speech.rate)  # windows counted from the end
    return len(levels) > 4 and bool(levels[0] > 0.25 * np.percentile(levels, 95))


def _too_long(path: Path, max_seconds: float) -> InputError:
    return InputError(
        "The voice {name} is longer than {seconds:g} seconds.",
        hint="Cut it, or allow more with --max-seconds.",
        code="voice.too_long",
        name=path.name,
        seconds=max_seconds,
    )


def _too_short(path: Path, seconds: float, damage: Damage) -> InputError:
    if damage.broken or damage.lost:
        return InputError(
            "The voice {name} is damaged: only {seconds:.2f} seconds can be read.",
            hint="Copy or record it again.",
            code="voice.damaged",
            name=path.name,
            seconds=seconds,
        )
    return InputError(
        "The voice {name} is too short: {seconds:.2f} seconds, where {least:g} are needed.",
        hint="Record at least one word.",
        code="voice.too_short",
        name=path.name,
        seconds=seconds,
        least=LEAST_SECONDS,
    )


def resample(samples: Floats, rate: int, wanted: int) -> Floats:
    """`samples` (N,) of `rate` Hz at `wanted` Hz: (ceil(N × wanted / rate),), in time with them."""
    import av

    if rate == wanted or not len(samples):
        return samples
    resampler = av.AudioResampler(format="flt", layout="mono", rate=wanted)
    parts: list[Any] = []
    for first in range(0, len(samples), BLOCK):
        block = np.ascontiguousarray(samples[first : first + BLOCK], np.float32)[None]
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout="mono")
        frame.sample_rate = rate
        parts += resampler.resample(frame)
    parts += resampler.resample(None)
    made = np.concatenate([part.to_ndarray().reshape(-1) for part in parts])
    count = -(-len(samples) * wanted // rate)
    return np.asarray(np.pad(made[:count], (0, max(0, count - len(made)))), np.float32)
