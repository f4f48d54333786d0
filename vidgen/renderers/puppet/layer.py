"""The speaker as a layer over a background.

Colours are premultiplied 8-bit RGBA at twice the frame's resolution, so that a bilinear
look-up keeps nearly all of the photo's sharpness. At rest the layer over its background is the
framed photo to the bit. Knows nothing of faces' parts.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array
from vidgen.work import Box, Cutout, Pixels, Subject

FINE: Final = 2  # layer pixels per frame pixel
# The pixels between: Lanczos' kernel of four lobes, half a pixel off, a little sharpened. Half-way
# to a neighbour a bilinear look-up blurs; over all places the mean sharpness so is the photo's
# (measured: 1.06 and .99 of it on soft photos, .89 on a very grainy one; without: .98, .92, .74).
_LOBES: Final = np.sinc(np.arange(-3.5, 4)) * np.sinc(np.arange(-3.5, 4) / 4)
_SHARPER: Final = np.convolve(_LOBES, (-0.06, 1.12, -0.06))[1:-1]
HALF: Final = _SHARPER / _SHARPER.sum()
RIPPLE: Final = 4  # frame pixels: so far that kernel reaches
REACH: Final = 0.16  # Hf: nothing moves farther than this in a film


@dataclass(frozen=True, slots=True)
class Layer:
    """The speaker in front of a background."""

    box: Box  # frame pixels: what `fine` covers
    fine: Pixels  # (2 h, 2 w, 4) premultiplied; pixel (2 i, 2 j) is the frame's (i, j)
    background: Pixels | None  # (H, W, 3); None is transparent
    near: Pixels  # (h, w, 2) least alpha and greatest value about each frame pixel


def build(subject: Subject, cutout: Cutout, face: FaceGeometry, pitch: int) -> Layer:
    """The layer for this cutout, to be moved by a field with a node every `pitch` pixels."""
    matte = _solid(cutout.matte, face)
    background = cutout.background
    if cutout.keeps_photo and background is not None:
        background = _same_far_off(subject.frame, matte, background, face)
        still = _residual(subject.frame, matte, background)
    else:
        still = _premultiply(cutout.foreground, matte)
    box = _box(still[..., 3], face, pitch)
    shown = crop(still, box)
    return Layer(box, double(shown), background, _near(shown, pitch))


def crop(image: Pixels, box: Box) -> Pixels:
    """`image` inside `box`; the box lies within it."""
    return image[box[1] : box[3], box[0] : box[2]]


def double(image: Any) -> Any:
    """`image` at twice its resolution; pixel (2 i, 2 j) is (i, j) of the original, exactly."""
    import cv2

    def between(picture: Any, down: bool) -> Any:
        one, half = np.ones(1), HALF
        x, y = (one, half) if down else (half, one)
        anchor = (0, 3) if down else (3, 0)
        edge = cv2.BORDER_REFLECT_101
        return cv2.sepFilter2D(picture, -1, x, y, anchor=anchor, borderType=edge)

    rows, columns = image.shape[:2]
    fine = np.empty((FINE * rows, FINE * columns, *image.shape[2:]), image.dtype)
    fine[::2, ::2] = image
    fine[::2, 1::2] = across = between(image, down=False)
    fine[1::2, ::2] = between(image, down=True)
    fine[1::2, 1::2] = between(across, down=True)
    return fine


def places(box: Box) -> tuple[Array, Array]:
    """x and y, frame pixels, of a patch's pixels: (FINE i, FINE j) is on the frame's (i, j)."""
    x = box[0] + np.arange(FINE * (box[2] - box[0])) / FINE
    y = box[1] + np.arange(FINE * (box[3] - box[1])) / FINE
    across, down = np.meshgrid(x, y)
    return across.astype(np.float32), down.astype(np.float32)


def over(background: Pixels, alpha: Pixels) -> Pixels:
    """What a background (h, w, 3) still shows behind a layer of this alpha (h, w), 8 bits."""
    import cv2

    left = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.multiply(background, left, scale=1 / 255))


def _solid(matte: Array, face: FaceGeometry) -> Pixels:
    """The matte in 8 bits, with no hole in the face."""
    import cv2

    alpha = np.clip(np.nan_to_num(matte) * 255 + 0.5, 0, 255).astype(np.uint8)
    alpha[alpha > 250] = 255
    alpha[alpha < 3] = 0
    centre = face.outline.mean(0)
    inner = (centre + 0.93 * (face.outline - centre)).round().astype(np.int32)
    hull = np.zeros_like(alpha)
    cv2.fillPoly(hull, [inner], 255)
    soft = cv2.GaussianBlur(hull, (0, 0), max(0.5, 0.012 * face.height))
    return np.asarray(np.maximum(alpha, soft))


def _same_far_off(frame: Pixels, alpha: Pixels, background: Pixels, face: FaceGeometry) -> Pixels:
    """The background, being the photo itself wherever the speaker is not near."""
    near = _grown(alpha, round(0.06 * face.height))[..., None] > 0
    return np.where(near, background, frame)


def _residual(frame: Pixels, alpha: Pixels, background: Pixels) -> Pixels:
    """Premultiplied layer with layer + background behind it == frame, exactly.

    Where the frame is darker than the background shows through, the matte was too thin:
    a dark hair before a bright wall. It is thickened there.
    """
    behind = np.maximum(background, 1).astype(np.float32)
    changed = (background != frame).any(-1)
    if changed.any():
        pixels, behind = frame[changed][:, None], background[changed][:, None]  # (N, 1, 3)
        alpha[changed] = _thicken(pixels, behind, alpha[changed][:, None])[:, 0]
    rest = frame.astype(np.int16) - over(background, alpha)
    return np.dstack([np.clip(rest, 0, 255).astype(np.uint8), alpha])


def _thicken(pixels: Pixels, behind: Pixels, alpha: Pixels) -> Pixels:
    """The least alpha from `alpha` up through which `behind` is nowhere brighter than `pixels`."""
    least = (pixels + np.float32(0.5)) / np.maximum(behind, 1)
    needed = 255 * (1 - np.where(behind > pixels, least, 1).min(-1))
    alpha = np.maximum(alpha, np.ceil(np.clip(needed, 0, 255))).astype(np.uint8)
    for _ in range(3):
        short = (over(behind, alpha) > pixels).any(-1) & (alpha < 255)
        alpha[short] += 1
    return alpha


def _premultiply(colours: Pixels, alpha: Pixels) -> Pixels:
    import cv2

    cover = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    return np.dstack([cv2.multiply(colours, cover, scale=1 / 255), alpha])


def _grown(mask: Pixels, by: int) -> Pixels:
    import cv2

    size = 2 * max(1, by) + 1
    return np.asarray(cv2.dilate(mask, np.ones((size, size), np.uint8)))


def _near(still: Pixels, pitch: int) -> Pixels:
    """The least alpha and the greatest value of any channel (h, w, 2) that a cell may show whose
    middle comes from this pixel, however it is stretched."""
    import cv2

    size = 2 * (round(1.5 * pitch) + RIPPLE) + 1
    around = np.ones((size, size), np.uint8)
    return np.dstack([cv2.erode(still[..., 3], around), cv2.dilate(still.max(-1), around)])


def _box(alpha: Pixels, face: FaceGeometry, pitch: int) -> Box:
    """Everything the speaker can reach, in whole cells from the frame's corner."""
    height, width = alpha.shape
    rows = np.flatnonzero(alpha.any(1))
    columns = np.flatnonzero(alpha.any(0))
    if not len(rows):
        return 0, 0, width, height
    by = round(REACH * face.height) + 1
    left = max(0, columns[0] - by) // pitch * pitch
    top = max(0, rows[0] - by) // pitch * pitch
    return int(left), int(top), min(width, int(columns[-1]) + by), min(height, int(rows[-1]) + by)
