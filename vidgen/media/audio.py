"""Read a voice out of any sound or video file, at any rate, and say what is wrong with it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.errors import InputError
from vidgen.events import Emit, Log
from vidgen.work import Floats, Speech

LEAST_SECONDS: Final = 0.3
SILENCE: Final = 10 ** (-60 / 20)  # RMS of the loudest 50 ms, full scale 1
_WINDOW_SECONDS: Final = 0.05


# Formats whose stated length can be trusted to tell that the end is missing. Not mp3, aac, amr:
# there the length is often guessed from the bit rate.
_KNOW_THEIR_LENGTH: Final = frozenset({"wav", "w64", "aiff", "flac", "mov", "mp4", "m4a"})


def load_speech(
    path: Path, *, max_seconds: float, text: str = "", emit: Emit | None = None
) -> Speech:
    """The first sound track of `path`, mixed to mono, at its own rate.

    Reads whatever FFmpeg reads, a video too. `emit` hears what is odd but usable (clipping, a
    missing end, …). Decoding stops at `max_seconds`, so memory is bounded. Raises InputError for
    what cannot be used, each reason with its own code.
    """
    _check_file(path)
    recording = _record(path, max_seconds)
    if _breaks_off(path):
        recording.broken = recording.broken or "shorter than its header says"
    seconds = len(recording.samples) / recording.rate
    if seconds > max_seconds:
        raise _too_long(path, max_seconds)
    if seconds < LEAST_SECONDS:
        raise _too_short(path, seconds, recording.broken)
    samples, notices = _repair(recording, path)
    if _loudest(samples, recording.rate) < SILENCE:
        raise InputError(
            "The voice {name} is silent.",
            hint="Check that the right track was recorded and that the microphone was on.",
            code="voice.silent",
            name=path.name,
        )
    speech = Speech(samples, recording.rate, _hash(path), text)
    for notice in (*notices, *flaws(speech)):
        if emit:
            emit(notice)
    return speech


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
    return tuple(found)


@dataclass(slots=True)
class _Recording:
    """What decoding gave: mono samples, and whether the file broke off."""

    samples: Floats
    rate: int
    broken: str = ""  # why decoding ended early
    stated_seconds: float = 0.0  # the length the file claims, 0 when it does not say


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


def _record(path: Path, max_seconds: float) -> _Recording:
    """Decode to mono; take the first channel alone where mixing cancels the voice out."""
    mixed = _decode_audio(path, max_seconds, first_channel=False)
    if len(mixed.samples) and _loudest(_finite(mixed.samples), mixed.rate) < SILENCE:
        alone = _decode_audio(path, max_seconds, first_channel=True)
        return alone if _loudest(_finite(alone.samples), alone.rate) >= SILENCE else mixed
    return mixed


def _decode_audio(path: Path, max_seconds: float, *, first_channel: bool) -> _Recording:
    import av

    try:
        container = av.open(str(path), metadata_errors="ignore")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            "The voice {name} is not a sound file that can be read.",
            hint="Use a wav, mp3, m4a, flac, ogg, opus or video file; convert others first.",
            code="voice.not_sound",
            name=path.name,
        ) from error
    with container:
        if not container.streams.audio:
            raise InputError(
                "The file {name} has no sound track.",
                hint="Choose a file with a voice in it.",
                code="voice.no_track",
                name=path.name,
            )
        return _decode_track(container, max_seconds, first_channel=first_channel)


def _decode_track(container: Any, max_seconds: float, *, first_channel: bool) -> _Recording:
    import av

    stream = container.streams.audio[0]
    stated = 0.0
    if stream.duration and _KNOW_THEIR_LENGTH & set(container.format.name.split(",")):
        stated = float(stream.duration * stream.time_base)
    pcm = bytearray()  # grows in place; a list of blocks to be joined would need twice the memory
    recording = _Recording(np.zeros(0, np.float32), stream.rate or 1, stated_seconds=stated)
    try:
        for samples, rate in _blocks(container, stream, first_channel=first_channel):
            recording.rate = rate
            pcm += samples.tobytes()
            if len(pcm) / 4 > max_seconds * rate:
                break
    except (av.error.FFmpegError, OSError, ValueError) as error:
        recording.broken = str(error)
    recording.samples = np.frombuffer(pcm, np.float32)[: _sound_end(recording, len(pcm) // 4)]
    return recording


def _sound_end(recording: _Recording, count: int) -> int:
    """Where the sound ends: AAC fills its last packet, and only the file knows how far."""
    stated = round(recording.stated_seconds * recording.rate)
    return stated if 0 < count - stated <= 4096 and stated else count


def _blocks(container: Any, stream: Any, *, first_channel: bool) -> Iterator[tuple[Floats, int]]:
    """Mono blocks (n,) with their rate, which is that of the first frame throughout.

    FFmpeg's decoders cut what encoders put before and behind the sound (priming, padding).
    """
    import av

    layout = None if first_channel else "mono"
    resampler: Any = None
    shape, rate = None, 0
    for frame in container.decode(stream):
        if not frame.samples:
            continue
        rate = rate or frame.sample_rate
        if shape != (frame.format.name, frame.layout.name, frame.sample_rate):
            # Some streams change their form on the way (joined radio recordings do).
            shape = (frame.format.name, frame.layout.name, frame.sample_rate)
            if resampler is not None:
                yield from _mono(resampler.resample(None), rate)
            # Without a largest sum of 1 two equal float channels would come out 3 dB too loud.
            resampler = av.AudioResampler(
                format="fltp", layout=layout, rate=rate, options={"rematrix_maxval": "1.0"}
            )
        frame.pts = None  # gaps in the clock are not filled: the voice is what was decoded
        yield from _mono(resampler.resample(frame), rate)
    if resampler is not None:
        yield from _mono(resampler.resample(None), rate)


def _mono(frames: list[Any], rate: int) -> Iterator[tuple[Floats, int]]:
    for frame in frames:
        yield np.asarray(frame.to_ndarray()[0], np.float32), rate


def _repair(recording: _Recording, path: Path) -> tuple[Floats, list[Log]]:
    """The samples finite and in -1..1, and what had to be done for it."""
    samples, notices = recording.samples, []
    seconds = len(samples) / recording.rate
    missing = recording.stated_seconds - seconds
    if recording.broken or missing > max(0.25, 0.02 * recording.stated_seconds):
        notices.append(
            Log("WARNING", "voice.truncated", {"name": path.name, "seconds": round(seconds, 2)})
        )
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


def _levels(samples: Floats, rate: int) -> Floats:
    """RMS of each whole window of 50 ms, the mean taken out (a recorder's DC is no voice)."""
    width = max(1, int(rate * _WINDOW_SECONDS))
    windows = samples[: len(samples) // width * width].reshape(-1, width)
    mean = windows.mean(1)
    power = np.einsum("ij,ij->i", windows, windows) / np.float32(width) - mean * mean
    levels: Floats = np.sqrt(np.maximum(power, 0))
    return levels


def _loudest(samples: Floats, rate: int) -> float:
    levels = _levels(samples, rate)
    return float(levels.max()) if len(levels) else 0.0


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
    levels = _levels(speech.samples[::-1], speech.rate)  # windows counted from the end
    return len(levels) > 4 and bool(levels[0] > 0.25 * np.percentile(levels, 95))


def _too_long(path: Path, max_seconds: float) -> InputError:
    return InputError(
        "The voice {name} is longer than {seconds:g} seconds.",
        hint="Cut it, or allow more with --max-seconds.",
        code="voice.too_long",
        name=path.name,
        seconds=max_seconds,
    )


def _too_short(path: Path, seconds: float, broken: str) -> InputError:
    if broken:
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


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


BLOCK: Final = 1 << 20  # samples given at a time


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
