"""What goes to D-ID and what comes back: picture and voice as they take them; the film, checked."""

import hashlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.errors import InputError, RenderError
from vidgen.media.containers import open_container
from vidgen.media.encoder import FilmWriter
from vidgen.media.encodings import Encoding
from vidgen.media.mux import Probe, decode_frames, probe
from vidgen.work import Cutout, Frames, Photo, Pixels, Speech, Subject

LEAST_SIDE: Final = 160  # pixels; 128 and 64 are refused, 256 is not
MOST_PIXELS: Final = 10 * 1024 * 1024  # more fails at the create with a misleading "10 MB"
MOST_IMAGE_BYTES: Final = 10_000_000
MOST_AUDIO_BYTES: Final = 6_000_000
MOST_SECONDS: Final = 600.0  # of the voice of one talk
SAFE_SECONDS: Final = 300.0  # what their FAQ promises
RATE: Final = 16_000  # D-ID stores voices as 16 kHz anyway
AAC_BITS: Final = 64_000  # per second: ten minutes are 4.8 MB
SAME_SHAPE: Final = 0.02  # of the aspect ratio
# Seconds between the ends of film and voice. Finalizing refuses more; here D-ID still has the film.
MOST_APART: Final = 0.5


_NO_FILM: Final = (ArithmeticError, TypeError, ValueError)  # what odd containers lead to


@dataclass(frozen=True, slots=True)
class Payload:
    """One file to send. Its name is ours, never the user's: at most 50 of A-Za-z0-9._-"""

    name: str
    content: bytes
    mime: str


def refuse(seconds: float, background: str = "keep") -> None:
    """Raise InputError for what D-ID cannot do, before anything is computed or sent."""
    if background == "transparent":
        raise InputError(
            "D-ID cannot make a film with a transparent background.",
            hint="Choose a colour or picture with --background, or use --renderer puppet.",
            code="did.transparent",
        )
    if seconds > MOST_SECONDS:
        raise InputError(
            "The voice lasts {seconds:.0f} s; D-ID takes at most {most:.0f} s.",
            hint="Give a shorter voice, or use --renderer puppet.",
            code="did.too_long",
            seconds=seconds,
            most=MOST_SECONDS,
        )


def flat(subject: Subject, cutout: Cutout) -> Pixels:
    """What D-ID shall animate: the speaker before the chosen background. (H, W, 3)

    Raises InputError when there is no background: D-ID's films have no transparency.
    """
    if cutout.keeps_photo:
        return subject.frame
    if cutout.background is None:
        refuse(0.0, "transparent")
    assert cutout.background is not None
    matte = cutout.matte[..., None].astype(np.float32)  # (H, W, 1)
    mixed = cutout.foreground * matte + cutout.background * (1 - matte)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def fingerprint(photo: Photo, speech: Speech, configuration: str) -> str:
    """sha256 of what is bought: this photo saying this voice.

    Of the photo's file, not of the picture that is sent: another model that cuts the speaker out
    a little differently must not buy the film again. Of the voice's samples, not of their file:
    nor must another version of an encoder.
    """
    digest = hashlib.sha256(f"{photo.sha256} {speech.rate} {configuration} ".encode())
    digest.update(np.ascontiguousarray(speech.samples).tobytes())
    return digest.hexdigest()


def picture(rgb: Pixels) -> Payload:
    """A JPEG within D-ID's limits. Raises InputError for a shape that cannot be fitted."""
    import cv2

    fitted = cv2.cvtColor(_fit_size(rgb), cv2.COLOR_RGB2BGR)
    for quality in (95, 90, 80, 70, 50):
        settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
        if quality == 95:  # colours at full resolution: lips are small and red
            settings += [
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
            ]
        content = cv2.imencode(".jpg", fitted, settings)[1].tobytes()
        if len(content) <= MOST_IMAGE_BYTES:
            break
    return Payload("photo.jpg", content, "image/jpeg")


def voice(speech: Speech) -> Payload:
    """16 kHz mono: FLAC or WAV, whichever is smaller; AAC when both are above 6 MB."""
    samples = _at_16_khz(speech)
    flac = Payload("voice.flac", _encode_pcm(samples, "FLAC"), "audio/flac")
    wav = Payload("voice.wav", _encode_pcm(samples, "WAV"), "audio/wav")
    smaller = min(flac, wav, key=lambda one: len(one.content))
    if len(smaller.content) <= MOST_AUDIO_BYTES:
        return smaller
    return Payload("voice.m4a", _aac(samples), "audio/mp4")


def check_film(file: Path, seconds: float) -> Probe:
    """What is in the file. Raises RenderError when it is no film, or not of the voice's length."""
    import av

    try:
        found = probe(file)
        if math.prod(found.size) > MOST_PIXELS:
            raise ValueError("larger than any film of theirs")
        next(decode_frames(file))
    except (RenderError, StopIteration, *_NO_FILM, av.error.FFmpegError) as error:
        raise RenderError(
            "What D-ID sent is not a film that can be read.",
            hint="`vidgen resume` fetches it again.",
            code="did.result_broken",
            is_retryable=True,
        ) from error
    if abs(found.video_seconds - seconds) > MOST_APART:
        raise RenderError(
            "D-ID's film lasts {found:.1f} s, the voice {seconds:.1f} s.",
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

    if encoding.codec != "libx264":
        return False
    with open_container(file) as container:
        video = container.streams.video[0]
        context = video.codec_context
        rate = video.average_rate
        if context.codec.canonical_name != "h264" or context.pix_fmt != "yuv420p" or not rate:
            return False
        if context.width % 2 or context.height % 2:
            return False
        pts = sorted(
            round(packet.pts * packet.time_base * rate)
            for packet in container.demux(video)
            if packet.pts is not None
        )
    return pts == list(range(len(pts)))


def reencode(
    file: Path, found: Probe, size: tuple[int, int], target: Path, encoding: Encoding
) -> Probe:
    """The same film at `size` (width, height, even) and a steady rate, as `target`, silent."""
    fps = _usual(found.fps)
    with FilmWriter(target, size=size, fps=fps, encoding=encoding) as writer:
        for frame in _steady(decode_frames(file), fps):
            writer.write(Frames(_planes(frame, size)[None], "yuv420p"))
    return probe(target)


def _fit_size(rgb: Pixels) -> Pixels:
    import cv2

    height, width = rgb.shape[:2]
    scale = 1.0
    if min(height, width) < LEAST_SIDE:
        scale = LEAST_SIDE / min(height, width)
    if height * width * scale * scale > MOST_PIXELS:
        scale = math.sqrt(MOST_PIXELS / (height * width))
    if scale == 1.0:
        return rgb
    size = (math.floor(width * scale + 1e-6), math.floor(height * scale + 1e-6))
    if min(size) < LEAST_SIDE:
        raise InputError(
            "A picture of {width}×{height} pixels cannot be fitted to D-ID's limits.",
            hint="Choose a less narrow --aspect.",
            code="did.shape",
            width=width,
            height=height,
        )
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, size, interpolation=way), np.uint8)


def _at_16_khz(speech: Speech) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """The voice as 16-bit samples (N,)."""
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    floats = np.ascontiguousarray(speech.samples, np.float32)[None]  # (1, N)
    whole = av.AudioFrame.from_ndarray(np.clip(floats, -1, 1), format="fltp", layout="mono")
    whole.sample_rate = speech.rate
    frames = [*resampler.resample(whole), *resampler.resample(None)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _encode_pcm(samples: np.ndarray[tuple[int], np.dtype[np.int16]], container: str) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=container, subtype="PCM_16")
    return file.getvalue()


def _aac(samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        stream.bit_rate = AAC_BITS
        for start in range(0, len(samples), RATE):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + RATE], "s16", "mono")
            frame.sample_rate = RATE
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _usual(fps: Fraction) -> Fraction:
    """The rate itself when it is a usual one, else D-ID's own 25."""
    usual = (*map(Fraction, (24, 25, 30, 50, 60)), Fraction(24000, 1001), Fraction(30000, 1001))
    return min(usual, key=lambda one: abs(one - fps)) if 23 < fps < 61 else Fraction(25)


def _steady(frames: Iterator[Any], fps: Fraction) -> Iterator[Any]:
    """At each tick of 1 / fps the frame that is on the screen then."""
    current, tick, start = None, 0, None
    for frame in frames:
        at = Fraction(frame.pts) * frame.time_base
        start = at if start is None else start
        while current is not None and Fraction(tick) / fps < at - start - Fraction(1, 1000):
            yield current
            tick += 1
        current = frame
    if current is not None:
        yield current


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
