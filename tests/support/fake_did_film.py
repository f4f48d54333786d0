"""The film that the fake D-ID makes: the uploaded picture, nodding, with the uploaded voice."""

import io
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MOST_SIDE: Final = 1280


@dataclass(frozen=True)
class FilmKind:
    """What comes back. D-ID's own is H.264, 25 frames a second, at most 1280 × 1280."""

    codec: str = "libx264"
    pixels: str = "yuv420p"
    fps: int = 25
    scale: float = 1.0
    stretch: float = 1.0  # of the length
    drop_every: int = 0  # leave out each n-th frame: an unsteady rate
    garbage: bool = False
    sound: bool = True


def image_size(content: bytes) -> tuple[int, int]:
    """(width, height); (0, 0) when it is no picture."""
    import cv2

    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return (0, 0) if image is None else (image.shape[1], image.shape[0])


def audio_seconds(content: bytes) -> float:
    """0 when it is no audio."""
    import av

    try:
        with av.open(io.BytesIO(content), "r") as container:
            samples = rate = 0
            for frame in container.decode(audio=0):
                samples, rate = samples + frame.samples, frame.sample_rate
        return samples / rate if rate else 0.0
    except (av.error.FFmpegError, IndexError):
        return 0.0


def film_of(picture: bytes, voice: bytes, stitch: bool, kind: FilmKind) -> bytes:
    """The MP4. The same is asked for by many tests, so it is made once."""
    if kind.garbage:
        return b"this is no video" * 100
    return _film_of(picture, voice, stitch, kind)


@lru_cache(16)
def _film_of(picture: bytes, voice: bytes, stitch: bool, kind: FilmKind) -> bytes:
    import cv2

    image = np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), 1), np.uint8)
    return _encoded(_shown(image, stitch, kind), voice, kind)


def _shown(image: NDArray[np.uint8], stitch: bool, kind: FilmKind) -> NDArray[np.uint8]:
    """(H, W, 3) BGR: the whole picture, or without stitch a square of 512."""
    import cv2

    if not stitch:
        side = min(image.shape[:2])
        return np.asarray(cv2.resize(image[:side, :side], (512, 512)), np.uint8)
    height, width = image.shape[:2]
    scale = min(1.0, MOST_SIDE / max(height, width)) * kind.scale
    size = (int(width * scale) // 2 * 2, int(height * scale) // 2 * 2)
    return np.asarray(cv2.resize(image, size), np.uint8)


def _encoded(bgr: NDArray[np.uint8], voice: bytes, kind: FilmKind) -> bytes:
    import av

    seconds = audio_seconds(voice) * kind.stretch
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream(kind.codec, rate=kind.fps)
        stream.height, stream.width = bgr.shape[:2]
        stream.pix_fmt = kind.pixels
        if kind.codec == "libx264":
            stream.options = {"preset": "ultrafast", "bf": "2"}
        sound: Any = container.add_stream("aac", rate=16000, layout="mono") if kind.sound else None
        for number in range(max(1, round(seconds * kind.fps))):
            if kind.drop_every and number % kind.drop_every == kind.drop_every - 1:
                continue
            frame = av.VideoFrame.from_ndarray(np.roll(bgr, number % 8, 0), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, kind.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            with av.open(io.BytesIO(voice), "r") as given:
                for heard in given.decode(audio=0):
                    container.mux(sound.encode(heard))
            container.mux(sound.encode(None))
    return file.getvalue()
