"""How a film's picture holds together: forehead, background, jumps, sharpness (PUPPET (d) 12–15).

Looks at every frame once. Without the framed photo the film's first frame stands for it, because
films begin in its pose; an encoder may have made that one sharper or softer than the photo.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vidgen.media.containers import open_container
from vidgen.quality.tracking import first_face, pictures
from vidgen.vision.faces import LandmarkNet, Landmarks
from vidgen.work import Pixels

EVERY: Final = 5  # frames between two looks at forehead and sharpness
FOREHEAD: Final = (109, 338, 9)  # upper left and right, and between the brows
CHEEKS: Final = (50, 280, 4)  # left and right cheek, tip of the nose
FAR: Final = 1.25  # face heights from the face's middle, above the chin: background


@dataclass(frozen=True, slots=True)
class Picture:
    """The numbers; those about the face NaN when it was not found."""

    forehead: float  # dB
    forehead_least: float  # dB
    background: float  # of 255
    pulse: float  # of 255: the background's where a piece begins, but for the film's first
    pulse_most: float  # of 255: in one pixel
    jump: float  # of 255
    sharpness: float  # over the photo's


def looked_at(film: Path, net: LandmarkNet, photo: Pixels | None = None) -> Picture:
    """All frames of `film`; `photo` (H, W, 3) is the framed photo it was made from."""
    frames = pictures(film, 0.0, None)
    begins, (then, first) = _key_frames(film), next(frames)
    face = first_face(first, net)
    jumps, still = [], []
    pulse, pulse_most = [], 0.0
    foreheads: list[float] = []
    sharp: list[float] = []
    far = _background(first, face) if face else None
    sharp_photo = _photo_sharpness(first if photo is None else photo, net)
    before, at = first, face
    for number, (time, now) in enumerate(frames, 1):
        change = np.abs(now.astype(np.int16) - before)
        jumps.append(float(change.mean()))
        if far is not None and far.any():
            still.append(float(change[far].mean()))
            if any(then < begin <= time for begin in begins):
                pulse.append(still[-1])
                pulse_most = max(pulse_most, float(change[far].max()))
        if at is not None and face is not None and number % EVERY == 0:
            at = net.track(now, at) or at
            foreheads.append(_psnr(first, now, face, at))
            sharp.append(_sharpness(now, at) / sharp_photo)
        before, then = now, time
    return Picture(
        forehead=_mean(foreheads),
        forehead_least=min(foreheads, default=float("nan")),
        background=_mean(still),
        pulse=_mean(pulse),
        pulse_most=pulse_most if pulse else float("nan"),
        jump=max(jumps, default=0.0),
        sharpness=_mean(sharp),
    )


def _key_frames(film: Path) -> list[float]:
    """When they are shown, seconds from the film's start."""
    with open_container(film, unseen=True) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.pts is not None]
        first = min(packet.pts for packet in packets)
        return [float((p.pts - first) * p.time_base) for p in packets if p.is_keyframe]


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _background(rgb: Pixels, face: Landmarks) -> NDArray[np.bool_]:
    """(H, W): far from the head, above the chin, so neither hair nor shoulders."""
    rows, columns = np.indices(rgb.shape[:2])
    x, y = face.centre
    distance = np.hypot(columns - x, rows - y)
    return np.asarray((distance > FAR * face.height) & (rows < y + 0.3 * face.height))


def _psnr(first: Pixels, now: Pixels, face: Landmarks, moved: Landmarks) -> float:
    """dB between the forehead in the first frame and now, after the best affine un-warp."""
    import cv2

    box = _box(face, FOREHEAD, 0.06)
    here, there = (np.ascontiguousarray(found.points[:, :2]) for found in (face, moved))
    matrix = cv2.estimateAffine2D(here, there)[0].astype(np.float32)
    grey = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in (first, now)]
    mask = np.zeros(grey[0].shape, np.uint8)
    mask[box] = 1
    mask = np.asarray(cv2.dilate(mask, np.ones((25, 25), np.uint8)), np.uint8)
    refined = _refined(grey, matrix, mask)
    size = (first.shape[1], first.shape[0])
    back = cv2.warpAffine(now, refined, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    error = np.square(back[box].astype(np.float64) - first[box]).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def _refined(grey: list[Any], matrix: NDArray[np.float32], mask: Pixels) -> NDArray[np.float32]:
    import cv2

    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-5)
    try:
        found = cv2.findTransformECC(
            grey[0], grey[1], matrix.copy(), cv2.MOTION_AFFINE, stop, mask, 3
        )
        return np.asarray(found[1], np.float32)
    except cv2.error:  # no contrast to hold on to: the landmarks' own warp must do
        return matrix


def _photo_sharpness(photo: Pixels, net: LandmarkNet) -> float:
    face = first_face(photo, net)
    return max(1e-6, _sharpness(photo, face)) if face else float("nan")


def _sharpness(rgb: Pixels, face: Landmarks) -> float:
    """Variance of the Laplacian between the cheeks and the tip of the nose."""
    import cv2

    patch = np.ascontiguousarray(rgb[_box(face, CHEEKS, 0.0)])
    return float(cv2.Laplacian(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def _box(face: Landmarks, points: tuple[int, ...], inset: float) -> tuple[slice, slice]:
    """Rows and columns around some points, shrunk by `inset` face heights."""
    chosen = face.points[list(points), :2]
    by = inset * face.height
    (left, top), (right, bottom) = chosen.min(0) + by * 0.5, chosen.max(0) - by * 0.5
    rows = slice(max(0, int(top)), max(int(top) + 4, int(bottom)))
    return rows, slice(max(0, int(left)), max(int(left) + 4, int(right)))
