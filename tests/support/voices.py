"""Voices and sound files made up for tests: syllables of noise and hum, in any container."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidgen.work import Floats

RATE = 48000


def syllables(seconds: float, rate: int = RATE, *, seed: int = 0, pause: float = 0.12) -> Floats:
    """(N,) of a buzz that comes and goes like speech, with silence after each 0.2 s of it."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(t))
    wave = np.sin(2 * np.pi * (140 + 37 * seed) * t) + 0.5 * noise
    beat = (t + 0.07 * seed) % (0.2 + pause)
    shape = np.where(beat < 0.2, np.sin(np.pi * np.minimum(beat, 0.2) / 0.2), 0.0)
    return (0.3 * wave * shape).astype(np.float32)


def steady(seconds: float, rate: int = RATE, *, seed: int = 9) -> Floats:
    """(N,) of noise that is as loud throughout."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return (0.1 * noise).astype(np.float32)


def level(samples: Floats) -> float:
    """RMS, dB of full scale."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


def write_tracks(
    path: Path,
    tracks: Sequence[Floats],
    codec: str = "pcm_s16le",
    *,
    rate: int = RATE,
    layout: str = "mono",
    starts: Iterable[tuple[float, float]] = ((0.0, 0.0),),
    default: int | None = None,
    video_from: float | None = None,
) -> Path:
    """A file of several sound tracks, each (N,) or (channels, N), with stamps of one's own.

    `starts` are pairs (sample seconds, stamp seconds): from that place in the sound on, stamps
    count from there. `default` is the number of the only default track; `video_from` adds a
    small film that begins then.
    """
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for number in range(len(tracks)):
            stream: Any = container.add_stream(codec, rate=rate, layout=layout)
            if default is not None:
                kind = av.stream.Disposition
                stream.disposition = kind.default if number == default else kind(0)
            streams.append(stream)
        film: Any = container.add_stream("libx264", rate=25) if video_from is not None else None
        if film is not None:
            film.width = film.height = 64
            film.pix_fmt = "yuv420p"
            for number in range(5):
                frame: Any = av.VideoFrame(64, 64, "yuv420p")
                frame.pts, frame.time_base = number + round((video_from or 0) * 25), Fraction(1, 25)
                container.mux(film.encode(frame))
            container.mux(film.encode(None))
        for stream, samples in zip(streams, tracks, strict=True):
            for packet in _packets(stream, np.atleast_2d(samples), rate, layout, list(starts)):
                container.mux(packet)
    return path


def _packets(
    stream: Any, samples: Floats, rate: int, layout: str, starts: list[tuple[float, float]]
) -> Iterable[Any]:
    size = stream.codec_context.frame_size or 960
    for first in range(0, samples.shape[1], size):
        block = np.ascontiguousarray(samples[:, first : first + size], np.float32)
        frame: Any = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
        for packet in stream.encode(frame):
            yield _stamped(packet, starts)
    for packet in stream.encode(None):
        yield _stamped(packet, starts)


def _stamped(packet: Any, starts: list[tuple[float, float]]) -> Any:
    at = float(packet.pts * packet.time_base)
    place, stamp = max((s for s in starts if s[0] <= at + 1e-6), default=starts[0])
    packet.pts += round((stamp - place) / packet.time_base)
    packet.dts = packet.pts
    return packet
