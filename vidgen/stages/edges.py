"""Turn a coarse matte into a fine one, and find the colours under its soft edge.

Knows no network: it works from the picture, the coarse matte and the face's height Hf.
"""

from typing import Final

import numpy as np

from vidgen.stages.filling import pull_push
from vidgen.work import Floats, Pixels

RADIUS: Final = 0.03  # of the guided filter, in Hf
EVENNESS: Final = 1e-4  # its epsilon, for colours 0–1
NOISE: Final = 0.004  # squared colour distance that noise and compression make, colours 0–1


def refined(
    rgb: Pixels, coarse: Floats, face: tuple[float, float], face_height: float, smoothing: float
) -> Floats:
    """(H, W) 0–1: `coarse` made to follow the picture's edges, hair included.

    Keeps only the part in which the face is. `smoothing` scales the filter; 0 leaves it out.
    """
    coarse = _joined(_steeper(coarse, 0.2, 0.8), face, face_height)
    if smoothing <= 0:
        return coarse
    picture = rgb.astype(np.float32) / np.float32(255)
    radius = max(2, round(RADIUS * face_height * smoothing))
    by_colour, trust = _by_colour(picture, coarse, face_height)
    guided = _guided(picture, coarse, radius)
    mixed = guided + trust * (by_colour - guided)
    return _steeper(_joined(mixed, face, face_height), 0.05, 0.95)


def _steeper(matte: Floats, low: float, high: float) -> Floats:
    """Smoothstep: 0 below `low`, 1 above `high`."""
    t = np.clip((matte - low) / (high - low), 0, 1)
    made: Floats = (t * t * (3 - 2 * t)).astype(np.float32)
    return made


def _joined(matte: Floats, face: tuple[float, float], face_height: float) -> Floats:
    """Without what does not hang together with the face."""
    import cv2

    _, labels = cv2.connectedComponents((matte > 0.5).astype(np.uint8))
    height, width = matte.shape
    x, y = min(max(0, int(face[0])), width - 1), min(max(0, int(face[1])), height - 1)
    own = (labels == labels[y, x]).astype(np.uint8)
    near = cv2.dilate(own, _disc(0.06 * face_height)).astype(np.float32)
    made: Floats = matte * cv2.GaussianBlur(near, (0, 0), max(0.5, 0.01 * face_height))
    return made


def _disc(radius: float) -> Pixels:
    import cv2

    side = 2 * max(1, round(radius)) + 1
    made: Pixels = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return made


def _guided(picture: Floats, matte: Floats, radius: int) -> Floats:
    """Guided filter with a colour guide (He and others, 2010), its coefficients computed at a
    fraction of the size (He and Sun, "Fast guided filter", 2015)."""
    import cv2

    step = max(1, radius // 4)
    height, width = matte.shape
    small = (max(1, width // step), max(1, height // step))
    guide = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    target = cv2.resize(matte, small, interpolation=cv2.INTER_AREA)
    side = 2 * max(1, radius // step) + 1

    def mean(values: Floats) -> Floats:
        made: Floats = cv2.boxFilter(values, -1, (side, side))
        return made

    middle, level = mean(guide), mean(target)
    pairs = guide[..., :, None] * guide[..., None, :]  # (h, w, 3, 3)
    spread = mean(pairs.reshape(*small[::-1], 9)).reshape(pairs.shape)
    spread = spread - middle[..., :, None] * middle[..., None, :] + EVENNESS * np.eye(3)
    along = mean(guide * target[..., None]) - middle * level[..., None]
    slope = np.linalg.solve(spread, along[..., None])[..., 0].astype(np.float32)  # (h, w, 3)
    offset = level - (slope * middle).sum(-1)
    slope = cv2.resize(mean(slope), (width, height), interpolation=cv2.INTER_LINEAR)
    offset = cv2.resize(mean(offset), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip((slope * picture).sum(-1) + offset, 0, 1)


def _by_colour(picture: Floats, coarse: Floats, face_height: float) -> tuple[Floats, Floats]:
    """Coverage from where each pixel's colour lies between the speaker's and the background's.

    Both colours are spread from the sure parts into the unsure rim between. Second: how far to
    trust it (H, W) 0–1, little where the two are alike or the background is busy.
    """
    import cv2

    speaker = cv2.erode((coarse > 0.95).astype(np.float32), _disc(0.03 * face_height))
    behind = 1 - cv2.dilate((coarse > 0.05).astype(np.float32), _disc(0.05 * face_height))
    near, far = pull_push(picture, speaker), pull_push(picture, behind)
    across = near - far
    square = (across * across).sum(-1)
    coverage = np.clip(((picture - far) * across).sum(-1) / (square + 1e-6), 0, 1)
    busy = _busyness(picture, behind, face_height)
    unsure = cv2.GaussianBlur((1 - speaker) * (1 - behind), (0, 0), max(0.5, 0.01 * face_height))
    trust = unsure * square / (square + 10 * busy + 10 * NOISE)
    return coverage.astype(np.float32), trust.astype(np.float32)


def _busyness(picture: Floats, behind: Floats, face_height: float) -> Floats:
    """(H, W) variance of the background's colours near by, spread into the rim."""
    import cv2

    sigma = max(1.0, 0.08 * face_height)
    weight = cv2.GaussianBlur(behind, (0, 0), sigma)
    known = behind[..., None]
    over = np.maximum(weight, 1e-4)[..., None]
    mean = cv2.GaussianBlur(picture * known, (0, 0), sigma) / over
    square = cv2.GaussianBlur(picture * picture * known, (0, 0), sigma) / over
    variance = np.maximum(square - mean * mean, 0).sum(-1)
    return np.where(weight > 1e-3, variance, variance.max(initial=0)).astype(np.float32)


def foreground_colours(rgb: Pixels, matte: Floats, face_height: float) -> Pixels:
    """(H, W, 3) the speaker's own colours, without the background that shone through.

    Blur-fusion estimation in two passes (Forte, "Approximate fast foreground colour
    estimation", 2021).
    """
    import cv2

    picture = rgb.astype(np.float32) / np.float32(255)
    own, behind = picture, picture
    alpha = matte[..., None]
    for radius in (max(9, round(0.3 * face_height)), max(3, round(0.02 * face_height))):
        side = (2 * radius + 1, 2 * radius + 1)
        weight = cv2.blur(matte, side)[..., None]
        mean_own = cv2.blur(own * alpha, side) / (weight + 1e-5)
        behind = cv2.blur(behind * (1 - alpha), side) / (1 - weight + 1e-5)
        left_over = picture - alpha * mean_own - (1 - alpha) * behind
        own = np.clip(mean_own + alpha * left_over, 0, 1)
    return np.clip(own * 255 + 0.5, 0, 255).astype(np.uint8)
