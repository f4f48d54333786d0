"""Invent pixels that a photo does not have: beyond its edge, and behind the speaker.

Smooth colours from what is around, then the photo's own grain, so that the eye finds no seam.
"""

from typing import Final

import numpy as np

from vidgen.work import Floats, Pixels

GRAIN_TILE: Final = 32  # pixels; side of the piece of background whose grain is taken
MOST_GRAIN: Final = 6.0  # of 255, standard deviation; what is more is no grain but a pattern


def extend(rgb: Pixels, left: int, top: int, right: int, bottom: int) -> Pixels:
    """`rgb` (H, W, 3) with this many more pixels on each side.

    Mirrored close to the edge, then smoothly on in the colours along it: a mirrored shoulder or
    face must not be recognised.
    """
    import cv2

    mirrored: Pixels = cv2.copyMakeBorder(rgb, top, bottom, left, right, cv2.BORDER_REFLECT)
    if not max(left, top, right, bottom):
        return mirrored
    inside = np.zeros(mirrored.shape[:2], np.uint8)
    inside[top : top + rgb.shape[0], left : left + rgb.shape[1]] = 1
    away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3)  # (H, W) pixels
    reach = 0.02 * max(rgb.shape[:2])
    along = inside * (cv2.distanceTransform(inside, cv2.DIST_L2, 3) <= 2 * reach)
    picture: Floats = mirrored.astype(np.float32)
    smooth = pull_push(picture, along.astype(np.float32)) + _grain(
        picture, inside.astype(np.float32)
    )
    for sigma in (reach / 4, reach):
        blurred = cv2.GaussianBlur(picture, (0, 0), sigma)
        picture = picture + np.clip(away / (3 * sigma), 0, 1)[..., None] * (blurred - picture)
    picture = picture + np.clip(away / (3 * reach), 0, 1)[..., None] * (smooth - picture)
    made: Pixels = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    made[inside > 0] = mirrored[inside > 0]
    return made


def inpaint(rgb: Pixels, known: Floats) -> Pixels:
    """`rgb` (H, W, 3) with what is not `known` (H, W, 0–1) filled from what is around it.

    By pull-push (Gortler and others, "The Lumigraph", 1996), which keeps large holes smooth
    where inpainting along edges smears, and grain from the known part on top.
    """
    picture = rgb.astype(np.float32)
    smooth = pull_push(picture, known)
    grain = _grain(picture, known)
    made = smooth + (1 - known[..., None]) * grain
    return np.clip(made + 0.5, 0, 255).astype(np.uint8)


def pull_push(picture: Floats, known: Floats) -> Floats:
    """`picture` (H, W, 3) where `known` (H, W) is 1, the colours around it where it is 0."""
    import cv2

    height, width = known.shape
    if min(height, width) < 3:
        weight = known[..., None]
        mean = (picture * weight).sum((0, 1)) / max(1e-6, float(known.sum()))
        return np.asarray(picture * weight + mean * (1 - weight), np.float32)
    share = cv2.pyrDown(known)
    smaller = cv2.pyrDown(picture * known[..., None]) / np.maximum(share, 1e-4)[..., None]
    around = pull_push(smaller, np.minimum(1, 4 * share) * (share > 1e-3))
    larger = cv2.pyrUp(around, dstsize=(width, height))
    made: Floats = picture * known[..., None] + larger * (1 - known[..., None])
    return made


def _grain(picture: Floats, known: Floats) -> Floats:
    """(H, W, 3) fine noise like that of the calm parts of the known picture; zero without any.

    White noise through a piece of the picture's own fine detail: the same spectrum without a
    pattern that repeats (Galerne and others, "Random phase textures", 2011).
    """
    import cv2

    height, width = known.shape
    fine = picture - cv2.GaussianBlur(picture, (0, 0), 2.0)
    step = GRAIN_TILE
    sure = cv2.erode(known, np.ones((9, 9), np.uint8))
    tiles = [
        fine[y : y + step, x : x + step]
        for y in range(0, height - step + 1, step)
        for x in range(0, width - step + 1, step)
        if sure[y : y + step, x : x + step].min() > 0.99
    ]
    if not tiles:
        return np.zeros_like(picture)
    tiles.sort(key=lambda tile: float(np.square(tile).sum()))
    calm = tiles[len(tiles) // 10]
    calm = calm - calm.mean((0, 1))
    calm = calm * min(1.0, MOST_GRAIN / max(1e-6, float(calm.std())))
    white = np.random.default_rng(0).standard_normal((height, width), np.float32)
    return np.dstack([cv2.filter2D(white, -1, calm[..., colour] / step) for colour in range(3)])


def out_of_focus(rgb: Pixels, radius: float) -> Pixels:
    """`rgb` as a lens shows what is far behind: each point a disc of `radius` pixels.

    Computed in linear light (gamma 2.2), so that lamps stay bright discs.
    """
    import cv2

    scale = max(1.0, radius / 6)
    height, width = rgb.shape[:2]
    small = (max(8, round(width / scale)), max(8, round(height / scale)))
    light = (cv2.resize(rgb, small, interpolation=cv2.INTER_AREA) / np.float32(255)) ** 2.2
    reach = max(1, round(radius / scale))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius / scale + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    light = cv2.filter2D(light, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)
    light = cv2.GaussianBlur(light, (0, 0), max(0.3, reach / 4))  # lenses are no perfect discs
    shown = 255 * np.clip(light, 0, 1) ** (1 / 2.2)
    large = cv2.resize(shown, (width, height), interpolation=cv2.INTER_CUBIC)
    made: Pixels = np.clip(large + 0.5, 0, 255).astype(np.uint8)
    return made
