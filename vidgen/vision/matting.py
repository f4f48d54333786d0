"""Turn a coarse matte into a fine one, and find the colours under its soft edge.

Knows no network: it works from the picture, the coarse matte and the face's height Hf.
"""

from typing import Final

import numpy as np

from vidgen.vision.inpaint import pull_push
from vidgen.work import Box, Floats, Pixels

RADIUS: Final = 0.03  # of the guided filter, in Hf
FINE_RADIUS: Final = 0.006  # and after a network whose edges are fine already
EVENNESS: Final = 1e-4  # its epsilon, for colours 0–1
ROOM: Final = 0.08  # added round the person, shares of the box's sides, for hair and shadows
LINES: Final = (5e-4, 1.5e-3)  # squared colour distance in a background without and with lines
NOISE: Final = 0.004  # squared colour distance that noise and compression make, colours 0–1


def refine_matte(
    rgb: Pixels, coarse: Floats, face: tuple[float, float], face_height: float, smoothing: float
) -> Floats:
    """(H, W) 0–1: `coarse` made to follow the picture's edges, hair included.

    Keeps only the part in which the face is. `smoothing` scales the filter; 0 leaves it out.
    """
    coarse = _face_component(_steeper(coarse, 0.2, 0.8), face, face_height)
    if smoothing <= 0:
        return coarse
    picture = rgb.astype(np.float32) / np.float32(255)
    radius = max(2, round(RADIUS * face_height * smoothing))
    by_colour, trust = _by_colour(picture, coarse, face_height)
    guided = _guide_filter(picture, coarse, radius)
    # Hair is fine and of few colours. A collar may be of the background's colour, but is sharp.
    hair = _hair_zone(len(picture), face, face_height)
    mixed = _face_component(guided + hair * trust * (by_colour - guided), face, face_height)
    soft, sharp = _steeper(mixed, 0.05, 0.95), _steeper(mixed, 0.2, 0.6)
    return sharp + hair * (soft - sharp)


def smooth_matte(
    rgb: Pixels, fine: Floats, face: tuple[float, float], face_height: float, smoothing: float
) -> Floats:
    """(H, W) 0–1: a matte that is fine already, settled on the picture's edges.

    Keeps only the part in which the face is. `smoothing` scales the filter; 0 leaves it out.
    """
    own = _face_component(fine, face, face_height)
    if smoothing <= 0:
        return own
    picture = rgb.astype(np.float32) / np.float32(255)
    return _guide_filter(picture, own, max(1, round(FINE_RADIUS * face_height * smoothing)))


def roomy(person: Box, rgb: Pixels) -> Box:
    """`person` with some room round it, within the picture: what a fine network looks at."""
    height, width = rgb.shape[:2]
    left, top, right, bottom = person
    across, down = round(ROOM * (right - left)), round(ROOM * (bottom - top))
    return (
        max(0, left - across),
        max(0, top - down),
        min(width, right + across),
        min(height, bottom + down),
    )


def _hair_zone(height: int, face: tuple[float, float], face_height: float) -> Floats:
    """(H, 1) 1 from the cheeks up, 0 from the mouth down."""
    below = (np.arange(height, dtype=np.float32) - face[1]) / face_height  # Hf
    made: Floats = 1 - _steeper(below, 0.1, 0.3)
    return made[:, None]


def _steeper(matte: Floats, low: float, high: float) -> Floats:
    """Smoothstep: 0 below `low`, 1 above `high`."""
    t = np.clip((matte - low) / (high - low), 0, 1)
    made: Floats = (t * t * (3 - 2 * t)).astype(np.float32)
    return made


def _face_component(matte: Floats, face: tuple[float, float], face_height: float) -> Floats:
    """Without what does not hang together with the face."""
    import cv2

    _, labels = cv2.connectedComponents((matte > 0.5).astype(np.uint8))
    height, width = matte.shape
    x, y = min(max(0, int(face[0])), width - 1), min(max(0, int(face[1])), height - 1)
    own = (labels == labels[y, x]).astype(np.uint8)
    near = cv2.dilate(own, disc(0.06 * face_height)).astype(np.float32)
    made: Floats = matte * cv2.GaussianBlur(near, (0, 0), max(0.5, 0.01 * face_height))
    return made


def disc(radius: float) -> Pixels:
    """A round structuring element; `radius` in pixels."""
    import cv2

    side = 2 * max(1, round(radius)) + 1
    made: Pixels = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return made


def _guide_filter(picture: Floats, matte: Floats, radius: int) -> Floats:
    """Guided filter with a colour guide (He and others, 2010), its coefficients computed at a
    fraction of the size (He and Sun, "Fast guided filter", 2015)."""
    import cv2

    step = min(radius, max(2, radius // 3))
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
    made: Floats = np.clip(_dot(slope, picture) + offset, 0, 1)
    return made


def _by_colour(picture: Floats, coarse: Floats, face_height: float) -> tuple[Floats, Floats]:
    """Coverage from where each pixel's colour lies between the speaker's and the background's.

    Both colours are spread from the sure parts into the unsure rim between. Second: how far to
    trust it (H, W) 0–1, little where the two are alike or one of them is busy.
    """
    import cv2

    speaker = cv2.erode((coarse > 0.95).astype(np.float32), disc(0.03 * face_height))
    behind = 1 - cv2.dilate((coarse > 0.05).astype(np.float32), disc(0.05 * face_height))
    near, far, busy = _sides(picture, speaker, behind, face_height)
    across = near - far
    square = _dot(across, across)
    coverage = np.clip(_dot(picture - far, across) / (square + 1e-6), 0, 1)
    unsure = cv2.GaussianBlur((1 - speaker) * (1 - behind), (0, 0), max(0.5, 0.01 * face_height))
    return coverage, unsure * square / (square + 10 * busy + 10 * NOISE)


def _dot(one: Floats, two: Floats) -> Floats:
    """(H, W) the sum of products over the colours."""
    made: Floats = np.einsum("hwc,hwc->hw", one, two)
    return made


def _sides(
    picture: Floats, speaker: Floats, behind: Floats, face_height: float
) -> tuple[Floats, Floats, Floats]:
    """The colours of speaker and background spread over the whole picture, and how busy the two
    are (variance). Computed at a quarter of the size: they are smooth."""
    import cv2

    height, width = speaker.shape
    size = (max(4, width // 4), max(4, height // 4))
    small, *sure = (
        cv2.resize(values, size, interpolation=cv2.INTER_AREA)
        for values in (picture, speaker, behind)
    )
    sigma = max(1.0, 0.02 * face_height)
    colours = [pull_push(small, known) for known in sure]
    busy = sum(_variance(small, known, sigma) for known in sure)
    near, far, mixed = (
        cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
        for values in (*colours, np.asarray(busy, np.float32))
    )
    return near, far, mixed


def background_lines(rgb: Pixels, matte: Floats, beyond: float) -> Floats:
    """(H, W) 0 where the background near is even – 1 where there is something to be seen in it.

    Told from what lies more than `beyond` pixels outside the matte.
    """
    import cv2

    size = (max(4, rgb.shape[1] // 4), max(4, rgb.shape[0] // 4))
    behind = 1 - cv2.dilate((matte > 0.03).astype(np.float32), disc(beyond))
    picture = rgb.astype(np.float32) / np.float32(255)
    small, known = (cv2.resize(of, size, interpolation=cv2.INTER_AREA) for of in (picture, behind))
    low, high = LINES
    lines = _steeper(_variance(small, known, max(1.0, 0.2 * beyond)), low, high)
    made: Floats = cv2.resize(lines, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return made


def _variance(picture: Floats, known: Floats, sigma: float) -> Floats:
    """(H, W) variance of the known colours within `sigma`; the largest where none are near."""
    import cv2

    weight = cv2.GaussianBlur(known, (0, 0), sigma)
    over = np.maximum(weight, 1e-4)[..., None]
    mean = cv2.GaussianBlur(picture * known[..., None], (0, 0), sigma) / over
    square = cv2.GaussianBlur(picture * picture * known[..., None], (0, 0), sigma) / over
    variance = np.maximum(square - mean * mean, 0).sum(-1)
    largest = variance[weight > 1e-3].max(initial=0)
    return np.asarray(np.where(weight > 1e-3, variance, largest), np.float32)


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
    made: Pixels = np.clip(own * 255 + 0.5, 0, 255).astype(np.uint8)
    return made
