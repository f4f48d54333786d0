"""The picture and the voice as D-ID takes them: flat, within their limits, under our own names.

Limits from their OpenAPI 4.2 and live measurements; says what is refused before anything is
sent. Sends nothing itself.
"""

import hashlib
import io
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.errors import InputError
from vidgen.work import Cutout, Photo, Pixels, Speech, Subject

LEAST_SIDE: Final = 160  # pixels; 128 and 64 are refused, 256 is not
MOST_PIXELS: Final = 10 * 1024 * 1024  # more fails at the create with a misleading "10 MB"
MOST_IMAGE_BYTES: Final = 10_000_000
MOST_AUDIO_BYTES: Final = 6_000_000
MOST_SECONDS: Final = 600.0  # of the voice of one talk
SAFE_SECONDS: Final = 300.0  # what their FAQ promises
CREDIT_SECONDS: Final = 15.0
RATE: Final = 16_000  # D-ID stores voices as 16 kHz anyway
AAC_BITS: Final = 64_000  # per second: ten minutes are 4.8 MB


@dataclass(frozen=True, slots=True)
class Payload:
    """One file to send. Its name is ours, never the user's: at most 50 of A-Za-z0-9._-"""

    name: str
    content: bytes
    mime: str


def credit_cost(seconds: float) -> int:
    """Credits for a voice of this length: each begun 15 seconds cost one."""
    return max(1, math.ceil(seconds / CREDIT_SECONDS))


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
    a little differently must not buy the video again. Of the voice's samples, not of their file:
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
