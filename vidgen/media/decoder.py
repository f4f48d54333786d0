"""Decode one sound track on its own clock: pauses and what cannot be decoded become silence.

Reads self-contained files only and follows no name in them. Mixes and judges nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.errors import InputError
from vidgen.work import Floats

MOST_RATE: Final = 96_000  # Hz; more says nothing about a voice and takes the more memory
_RESAMPLED: Final = 48_000
# A stamp may be off by its own rounding (Matroska's are milliseconds) without meaning anything.
_ROUNDING: Final = 0.003  # seconds
_LEAST_GAP: Final = 0.015  # the shortest lost packet of a telephone or a browser is 20 ms
_LEAST_OVERLAP: Final = 0.1  # clocks of phones run to and fro by some 10 ms
_RESTART: Final = 1.0  # seconds: a clock that goes back to its beginning is another recording's
_JUMP: Final = 10.0  # FFmpeg's own limit for formats whose clock may jump
_JUMPING: Final = frozenset({"mpegts", "mpeg", "ogg"})
_LATEST_START: Final = 30.0  # seconds: a later one is a cut-out of a stream, not a silent start
_BAD_READS: Final = 64  # damaged places in a row after which the rest is given up
# Formats whose stated length can be trusted to tell that the end is missing. Not mp3, aac, amr:
# there the length is often guessed from the bit rate.
_KNOW_THEIR_LENGTH: Final = frozenset({"wav", "w64", "aiff", "flac", "mov", "mp4", "m4a"})
_MOST_BOXES: Final = 1000  # at the top of a file; a recorder writes ten
_PLANES: Final = 8  # that FFmpeg's frames hold by themselves
_PROTECTED: Final = frozenset({"drms", "enca", "aavd", "drmi", "encv"})


@dataclass(slots=True)
class Damage:
    """What a track's decoding could not give. Seconds."""

    lost: float = 0.0  # in packets that cannot be decoded
    paused: float = 0.0  # in which the recorder stood still
    broken: str = ""  # why reading ended early


@contextmanager
def open_sound(path: Path) -> Iterator[Any]:
    """The av container of a sound or video file that has at least one sound track.

    The file is handed over open: its name is never taken for a protocol, and what it names
    (playlists do) is never opened. Raises InputError.
    """
    import av

    with path.open("rb") as file:
        try:
            container = av.open(
                file, metadata_errors="ignore", options={"protocol_whitelist": "none"}
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise (_cut_off(path) if _lacks_index(path) else _not_sound(path)) from error
        with container:
            if not container.streams.audio:
                raise InputError(
                    "The file {name} has no sound track.",
                    hint="Choose a file with a voice in it.",
                    code="voice.no_track",
                    name=path.name,
                )
            yield container


def sound_track(container: Any, index: int, path: Path) -> Any:
    """The sound track of this number. Raises InputError for one that nothing here can decode."""
    stream = container.streams.audio[index]
    context = stream.codec_context
    tag = context.codec_tag if context is not None else ""
    if tag in _PROTECTED or _is_protected(path):
        raise InputError(
            "The voice {name} is protected against copying (DRM).",
            hint="Use a recording of your own, or one that its seller gives without protection.",
            code="voice.protected",
            name=path.name,
        )
    if context is None:
        raise _not_sound(path)
    return stream


def _is_protected(path: Path) -> bool:
    """Whether the file says at its very beginning that it is sold with a key."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in (b"M4P ", b"aax ", b"aaxc", b"M4VP")


def _not_sound(path: Path) -> InputError:
    return InputError(
        "The voice {name} is not a sound file that can be read.",
        hint="Use a wav, mp3, m4a, flac, ogg, opus or video file; convert others first.",
        code="voice.not_sound",
        name=path.name,
    )


def _cut_off(path: Path) -> InputError:
    return InputError(
        "The voice {name} is cut off: the index at its end is missing.",
        hint="Copy or download it again, or record it once more.",
        code="voice.cut_short",
        name=path.name,
    )


def _lacks_index(path: Path) -> bool:
    """Whether the file begins as m4a, mp4, mov and 3gp do and has its data, but no `moov` box.

    Box by box, as ISO 14496-12 has them: length (32 bits, big-endian; 1: 64 bits behind the name;
    0: up to the file's end) and name.
    """
    size, at = path.stat().st_size, 0
    names: list[bytes] = []
    with path.open("rb") as file:
        while at < size and len(names) < _MOST_BOXES:
            file.seek(at)
            head = file.read(16)
            names.append(head[4:8])
            if names[0] != b"ftyp":
                return False
            length = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
            at += length if length >= 8 else size
    return b"mdat" in names and b"moov" not in names


def stated_seconds(container: Any, stream: Any) -> float:
    """The length that the file claims; 0 when it does not say, or only guesses."""
    if stream.duration and _KNOW_THEIR_LENGTH & set(container.format.name.split(",")):
        return float(stream.duration * stream.time_base)
    return 0.0


def blocks(container: Any, stream: Any, damage: Damage) -> Iterator[tuple[Floats, int]]:
    """Blocks (channels, n) with their rate, both those of the first frame throughout.

    Full scale is 1. FFmpeg's decoders cut what encoders put before and behind the sound.
    `damage` is filled meanwhile.
    """
    clock = Clock(
        _beginning(container, stream), bool(_JUMPING & set(container.format.name.split(",")))
    )
    form, lost_before, due = _Form(), 0.0, 0
    for frame in _frames(container, stream, damage):
        start = None if frame.pts is None else float(frame.pts * frame.time_base)
        lost, lost_before = damage.lost - lost_before, damage.lost
        shift = clock.place(start, frame.samples / frame.sample_rate, lost)
        damage.paused += max(0.0, shift - lost)
        for block in form.given(frame):
            due += round(shift * form.rate)
            shift = 0.0
            yield from _silence(len(block), due, form.rate)
            kept = block[:, max(0, -due) :]
            due = min(0, due) + block.shape[1] - kept.shape[1]
            if kept.shape[1]:
                yield kept, form.rate
    for block in form.rest():
        yield block, form.rate


def _silence(channels: int, samples: int, rate: int) -> Iterator[tuple[Floats, int]]:
    """By the second, so that whoever listens may stop when it is too long."""
    for start in range(0, samples, rate):
        yield np.zeros((channels, min(rate, samples - start)), np.float32), rate


@dataclass(slots=True)
class Clock:
    """Where each frame belongs by the file's own stamps, all in seconds."""

    beginning: float | None  # of the whole file, where its sound begins later than the rest
    jumps: bool = False  # of formats whose clock may start anew
    first: float = field(default=0.0, init=False)
    end: float | None = field(default=None, init=False)  # of the last frame
    owed: float = field(default=0.0, init=False)  # shifts too small to be made so far

    def place(self, start: float | None, seconds: float, lost: float = 0.0) -> float:
        """The silence before a frame of so many seconds; below 0: so much of it is cut off.

        `start` None is a frame without a stamp; `lost` could not be decoded just before it.
        """
        shift = lost if start is None else self._shift(start, lost)
        if start is None:
            start = (self.end or 0.0) + lost
        if self.end is None:
            self.first = start
        self.end = start + seconds
        return shift

    def _shift(self, start: float, lost: float) -> float:
        if self.end is None:
            early = start - self.beginning if self.beginning is not None else 0.0
            return early if early >= _LEAST_GAP else 0.0
        step = start - self.end
        if abs(step) < _ROUNDING:
            return 0.0
        if self._is_anew(step, start):
            return lost
        self.owed += step
        if -_LEAST_OVERLAP < self.owed < _LEAST_GAP:
            return 0.0
        shift, self.owed = self.owed, 0.0
        return shift

    def _is_anew(self, step: float, start: float) -> bool:
        """Whether another clock begins here: recordings joined end to end."""
        if step < -_RESTART and start < self.first + _RESTART:
            return True
        return self.jumps and abs(step) > _JUMP


def _beginning(container: Any, stream: Any) -> float | None:
    """When the file begins: with the first of its other tracks; an mp4 begins at 0."""
    starts = [
        float(other.start_time * other.time_base)
        for other in (*container.streams.video, *container.streams.audio)
        if other.index != stream.index and other.start_time is not None and not _is_cover(other)
    ]
    if starts:
        return min(starts)
    own = float(stream.start_time * stream.time_base) if stream.start_time else 0.0
    return 0.0 if "mp4" in container.format.name.split(",") and own < _LATEST_START else None


def _is_cover(stream: Any) -> bool:
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _frames(container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
    """Every frame that can be decoded, as players do it: past a damaged packet comes the next."""
    import av

    failures, usual = 0, 0.0
    while True:
        try:
            for packet in container.demux(stream):
                failures = 0
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    if packet.size:
                        damage.lost += float((packet.duration or 0) * stream.time_base) or usual
                    continue
                for frame in frames:
                    if frame.samples:
                        usual = frame.samples / frame.sample_rate
                        yield frame
            return
        except av.error.InvalidDataError as error:
            failures += 1
            if failures > _BAD_READS:
                damage.broken = str(error)
                return
        except (av.error.FFmpegError, OSError, ValueError) as error:
            damage.broken = str(error)
            return


class _Form:
    """Frames of any form as (channels, n) blocks of the first one's channels and rate."""

    def __init__(self) -> None:
        self.rate = 0
        self.channels = 0
        self._resampler: Any = None
        self._resampled: tuple[str, str, int] | None = None

    def given(self, frame: Any) -> list[Floats]:
        if not self.rate:
            self.channels = frame.layout.nb_channels
            self.rate = frame.sample_rate if frame.sample_rate <= MOST_RATE else _RESAMPLED
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        made = self.rest() if shape != self._resampled else []
        if frame.sample_rate == self.rate and not _is_unreadable(frame):
            return [*made, self._fitted(_samples(frame))]
        return [*made, *map(self._fitted, self._resample(frame, shape))]

    def rest(self) -> list[Floats]:
        """What the resampler still holds."""
        if self._resampler is None:
            return []
        frames, self._resampler, self._resampled = self._resampler.resample(None), None, None
        return [self._fitted(_samples(frame)) for frame in frames]

    def _resample(self, frame: Any, shape: tuple[str, str, int]) -> list[Floats]:
        import av

        if self._resampler is None:
            self._resampler, self._resampled = av.AudioResampler("flt", None, self.rate), shape
        frame.pts = None  # the clock is kept by the samples from here on
        return [_samples(made) for made in self._resampler.resample(frame)]

    def _fitted(self, block: Floats) -> Floats:
        """Of as many channels as the first frame: joined recordings change between 1 and 2."""
        if len(block) == self.channels:
            return block
        return np.repeat(block.mean(0, keepdims=True), self.channels, 0)


def _is_unreadable(frame: Any) -> bool:
    """PyAV 18 counts the planes of a frame up to the first empty one, and with eight there is none:
    it reads on and crashes. The resampler gives all channels in one plane."""
    return bool(frame.format.is_planar) and frame.layout.nb_channels >= _PLANES


def _samples(frame: Any) -> Floats:
    """(channels, n), full scale 1, whatever the frame's sample format."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype.kind == "f":
        return np.asarray(values, np.float32)
    if values.dtype.kind == "u":
        return np.asarray((values.astype(np.float32) - 128) / 128, np.float32)
    return np.asarray(values.astype(np.float32) / 2.0 ** (8 * values.itemsize - 1), np.float32)
