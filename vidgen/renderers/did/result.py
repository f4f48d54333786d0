"""The film that D-ID made: is it whole, and can the voice be joined to it as it is?

Knows files, not HTTP.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.errors import RenderError
from vidgen.media import Encoding, FilmWriter, Probe, decode_frames, probe
from vidgen.work import Frames

SAME_SHAPE: Final = 0.02  # of the aspect ratio
# Seconds between the ends of film and voice. Finalizing refuses more; here D-ID still has the film.
MOST_APART: Final = 0.5


def check_film(file: Path, seconds: float) -> Probe:
    """What is in the file. Raises RenderError when it is no video, or not of the voice's length."""
    import av

    try:
        found = probe(file)
        next(decode_frames(file))
    except (RenderError, StopIteration, ArithmeticError, TypeError, av.error.FFmpegError) as error:
        raise RenderError(
            "What D-ID sent is not a video that can be read.",
            hint="`vidgen resume` fetches it again.",
            code="did.result_broken",
            is_retryable=True,
        ) from error
    if abs(found.video_seconds - seconds) > MOST_APART:
        raise RenderError(
            "D-ID's video lasts {found:.1f} s, the voice {seconds:.1f} s.",
            hint="`vidgen resume` fetches it again; D-ID's support can say what went wrong.",
            code="did.result_length",
            is_retryable=True,
            found=found.video_seconds,
            seconds=seconds,
        )
    return found


def is_same_shape(size: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Whether a picture of `size` can be scaled to `wanted` (width, height) without distortion."""
    ratio = (size[0] * wanted[1]) / (size[1] * wanted[0])
    return abs(ratio - 1) <= SAME_SHAPE


def is_joinable(file: Path, encoding: Encoding) -> bool:
    """Whether the packets can be copied into a film of this encoding: H.264 in 8-bit 4:2:0, one
    picture a tick from 0 on.
    """
    import av

    if encoding.codec != "libx264":
        return False
    with av.open(str(file)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        rate = video.average_rate
        if context.codec.canonical_name != "h264" or context.pix_fmt != "yuv420p" or not rate:
            return False
        if context.width % 2 or context.height % 2:
            return False
        shown = sorted(
            round(packet.pts * packet.time_base * rate)
            for packet in container.demux(video)
            if packet.pts is not None
        )
    return shown == list(range(len(shown)))


def reencode(
    file: Path, found: Probe, size: tuple[int, int], target: Path, encoding: Encoding
) -> Probe:
    """The same film at `size` (width, height, even) and a steady rate, as `target`, silent."""
    fps = _usual(found.fps)
    with FilmWriter(target, size=size, fps=fps, encoding=encoding) as writer:
        for frame in _steady(decode_frames(file), fps):
            writer.write(Frames(_planes(frame, size)[None], "yuv420p"))
    return probe(target)


def _usual(fps: Fraction) -> Fraction:
    """The rate itself when it is a usual one, else D-ID's own 25."""
    usual = (*map(Fraction, (24, 25, 30, 50, 60)), Fraction(24000, 1001), Fraction(30000, 1001))
    return min(usual, key=lambda one: abs(one - fps)) if 23 < fps < 61 else Fraction(25)


def _steady(frames: Iterator[Any], fps: Fraction) -> Iterator[Any]:
    """At each tick of 1 / fps the frame that is on the screen then."""
    shown, tick, start = None, 0, None
    for frame in frames:
        at = Fraction(frame.pts) * frame.time_base
        start = at if start is None else start
        while shown is not None and Fraction(tick) / fps < at - start - Fraction(1, 1000):
            yield shown
            tick += 1
        shown = frame
    if shown is not None:
        yield shown


def _planes(frame: Any, size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(H * 3 / 2, W): Y, Cb, Cr in BT.709, limited range."""
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    scaled = frame.reformat(
        width=size[0],
        height=size[1],
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.LANCZOS,
    )
    return np.asarray(scaled.to_ndarray(), np.uint8)
