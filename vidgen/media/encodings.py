"""Which codec, pixels and sound each file format gets, and whether a hardware encoder answers.

A table and a probe; writes no film.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Any, Final

from vidgen.errors import InputError
from vidgen.settings import ANIMATIONS


@dataclass(frozen=True, slots=True)
class Sound:
    """How the voice is stored; always 48 kHz, which every player and editor takes."""

    codec: str
    sample_format: str
    bit_rate: int  # bits per second; 0 where the codec has none
    rate: int = 48000
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a film is stored. Pieces of one film share it, or they would not join."""

    container: str  # PyAV's name of the file format, and the file's suffix
    codec: str
    pixels: str  # PyAV's name of the stored pixel layout
    options: Mapping[str, str]
    sound: Sound
    threads: int = 4  # fixed: the same machine must make the same bytes whatever else it does

    @property
    def suffix(self) -> str:
        return f".{self.container}"

    @property
    def has_alpha(self) -> bool:
        return "a" in self.pixels.removeprefix("yuv")


# The fast coder takes 0.6 of the usual one's time and is nearer to the voice: its error is 51 dB
# below it instead of 33, in half a minute of speech.
AAC: Final = Sound("aac", "fltp", 128_000, options={"aac_coder": "fast"})
OPUS: Final = Sound("libopus", "flt", 96_000)
PCM: Final = Sound("pcm_s16le", "s16", 0)

# Two threads: a film's pieces are encoded beside one another, and each has its drawing beside it;
# four take 3 to 8 % more of the processor for 2 % more bytes, one thread as much as two.
# Tuned for grain and without B-frames, a moving face keeps the photo's sharpness: 0.99 of it at
# 720p (nose and cheeks, Laplacian variance) instead of 0.92 with B-frames and 0.78 untuned, and a
# grainy wall behind it stays still (0.01 of 255 from frame to frame instead of 0.09). It costs no
# time; a minute of 720p is 13 MB instead of 4.
# The zone makes a piece's first picture fine: what follows has nothing left to refine, so that a
# still wall does not swim in between; and as fine in each piece, so that a wall that was predicted
# alike does not jump where pieces meet (`barrier`): by 0.003 of 255, where twice the bytes of the
# picture's share brought 0.07 to 0.23, as the quantiser differed from piece to piece.
# Half-pixel motion by a small diamond is enough for a face that hardly moves: 0.87 of the time at
# 720p for 1.09 of the bytes, 0.1 dB and the same stillness. Nothing fades or cuts in a piece, and
# macroblocks that are not parted save as much time again and 2 % of the bytes at the same PSNR.
_H264: Final = {
    "preset": "veryfast",
    "crf": "18",
    "tune": "grain",
    "g": "360",  # of the longest piece, 6 s at 60 frames a second: no whole picture within one
    "bf": "0",
    "subq": "1",
    "me_method": "dia",
    "weightp": "none",
    "sc_threshold": "0",
    "x264-params": "zones=0,0,q=15:partitions=none",
}
# Realtime 7 keeps VP9 near the renderer's pace; alt-ref frames are invisible packets, which
# would break "one packet is one frame" when pieces join, and libvpx forbids them with alpha.
_VP9: Final = {
    "crf": "24",
    "b": "0",
    "deadline": "realtime",
    "cpu-used": "7",
    "row-mt": "1",
    "tile-columns": "2",
    "auto-alt-ref": "0",
    "lag-in-frames": "0",
}

_MP4: Final = Encoding("mp4", "libx264", "yuv420p", _H264, AAC, threads=2)
# (format, transparent background) -> encoding. mov is for editors: its sound is not compressed.
ENCODINGS: Final[Mapping[tuple[str, bool], Encoding]] = {
    ("mp4", False): _MP4,
    ("webm", False): Encoding("webm", "libvpx-vp9", "yuv420p", _VP9, OPUS),
    ("webm", True): Encoding("webm", "libvpx-vp9", "yuva420p", _VP9, OPUS),
    ("mov", False): replace(_MP4, container="mov", sound=PCM),
    ("mov", True): Encoding("mov", "prores", "yuva444p10le", {"profile": "4"}, PCM),
    # Of these only the pieces: `animation` makes the file.
    **{(name, False): _MP4 for name in ANIMATIONS},
    **{(name, True): Encoding("webm", "libvpx-vp9", "yuva420p", _VP9, OPUS) for name in ANIMATIONS},
}

# What people call them, in the order in which they are tried.
HARDWARE: Final[Mapping[str, str]] = {
    "nvenc": "h264_nvenc",
    "videotoolbox": "h264_videotoolbox",
    "qsv": "h264_qsv",
    "amf": "h264_amf",
}
# Their constant-quality modes, near CRF 18 to the eye.
_HARDWARE_OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "h264_nvenc": {"preset": "p4", "rc": "vbr", "cq": "20", "b": "0", "bf": "0"},
    "h264_videotoolbox": {"q": "65", "realtime": "0"},
    "h264_qsv": {"preset": "veryfast", "global_quality": "20", "bf": "0"},
    "h264_amf": {"quality": "balanced", "rc": "cqp", "qp_i": "20", "qp_p": "20", "bf": "0"},
}


def encoding_for(
    format: str, *, transparent: bool = False, hardware: Sequence[str] = ()
) -> Encoding:
    """The encoding of a film in `format`, by the first of the `hardware` encoders that answers,
    where the format is H.264; by the processor when none does.

    Raises InputError for a transparent background in a format that cannot keep it.
    """
    chosen = ENCODINGS.get((format, transparent))
    if chosen is None:
        raise InputError(
            "A {format} file cannot keep a transparent background.",
            hint="Use --format webm (for the web) or --format mov (for editing),"
            " or choose another --background.",
            code="encode.no_alpha",
            format=format,
        )
    if chosen.codec != "libx264":
        return chosen
    codec = next((HARDWARE[name] for name in hardware if answers(name)), "")
    return replace(chosen, codec=codec, options=_HARDWARE_OPTIONS[codec]) if codec else chosen


@cache
def answers(name: str) -> bool:
    """Whether this hardware encoder is built in and encodes a frame: drivers list what they cannot
    do, cards come without one, and only so many may be used at once."""
    return _encodes(HARDWARE[name])


def _encodes(codec: str) -> bool:
    import av

    if codec not in av.codecs_available:
        return False
    try:
        context: Any = av.CodecContext.create(codec, "w")
        context.width, context.height, context.pix_fmt = 640, 360, "yuv420p"
        context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
        context.options = dict(_HARDWARE_OPTIONS[codec])
        frame = av.VideoFrame(640, 360, "yuv420p")
        frame.pts = 0
        return bool(context.encode(frame) + context.encode(None))
    except (av.error.FFmpegError, OSError) as error:
        logging.getLogger(__name__).debug("%s does not answer: %s", codec, error)
        return False
