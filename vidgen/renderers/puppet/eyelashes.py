"""The lashes of a shut eye: the open lid's own, turned down.

Works in an eye's patch; knows nothing of what moves.
"""

from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.grid import Array, look_up, smoothstep
from vidgen.renderers.puppet.lid_skin import View

# Lengths are shares of the eye's width unless they say otherwise.
LASHES: Final = (0.33, 0.85)  # least and most cover of the line of the lashes
LINE: Final = (0.024, 0.036)  # its reach above the edge and below it
FRINGE: Final = 0.16  # how far above the open lid lashes are looked for
HAIR: Final = 0.45  # the most that a fringe of them covers
FRINGED, LENGTH = 0.38, 0.075
HANGING: Final = 0.75  # share of their length there that they have when they point down
STEP: Final = 0.01  # of the table in which lashes are taken away,
TALLEST: Final = 0.45  # up to here
CLUMP: Final = 0.28  # no hair is wider, no crease shorter
OUT: Final = (1.30, 1.05)  # half widths from the middle; behind glasses, where a rim is
HAIRY: Final = 16.0  # of 255: what is darker by so much is hair
COLUMNS: Final = 392  # of the table over the eye's width


def lashes(view: View, plain: Array, below: Array, soft: float) -> tuple[Array, Array]:
    """Cover of the shut eye's lashes (h, w) and their colour (3,); `plain` is the skin without
    lashes, pixels are `below` the edge of the shut lid, and edges are `soft`.

    They are as dark as the open lid's and hang as far as those stand.
    """
    import cv2

    eye = view.eye
    at = np.linspace(-1.2, 1.2, COLUMNS).astype(np.float32) * eye.half
    steps = np.arange(-0.03, FRINGE, 0.01)  # up from the lid's edge
    along, up = np.meshgrid(at, steps * view.width)
    colours, skin = (  # (steps, columns, 3)
        view.straighten(picture, along, eye.upper(along) - up) for picture in (view.still, plain)
    )
    dark = 1 - (colours @ LUMA) / np.maximum(1.0, skin @ LUMA)
    root = np.clip(np.percentile(dark[2:9], 75, 0), *LASHES)
    root = np.convolve(np.pad(root, 32, mode="edge"), np.hanning(65) / 32, "valid")
    hair = np.minimum.accumulate(dark[3:].clip(0, 1), 0)
    hair = (hair - np.percentile(hair[-1], 10)).clip(0, None) * (1 - steps[3:, None] / FRINGE) ** 2
    hair = cv2.GaussianBlur(hair, (0, 0), sigmaX=3, sigmaY=0.1)
    inner = np.abs(at) < eye.half
    darkest = np.percentile(colours[3:8][:, inner].reshape(-1, 3), 15, 0)
    colour = np.minimum(darkest, 0.5 * skin[:, inner].mean((0, 1)))
    solid = cv2.erode(hair, np.ones((1, 33), np.uint8))
    solid = cv2.GaussianBlur(solid, (0, 0), sigmaX=8, sigmaY=0.1)
    reach = np.maximum(np.where(below < 0, *LINE), 0.6 * soft)
    root = np.interp(view.u, at, root)
    line = root * np.exp(-((below / reach) ** 2))
    above = _table(solid, view.u, at, -below, steps[3:]) * smoothstep(0.5 - below / soft)
    tuft = np.interp(view.u, at, _tufts(soft))
    fringe = FRINGED * root * tuft * np.clip(1 - below / (LENGTH * tuft), 0, 1)
    hanging = 1.3 * tuft * _table(hair, view.u, at, below / HANGING, steps[3:])
    hanging = np.maximum(hanging, fringe) * smoothstep(0.5 + below / soft)
    cover = np.maximum(
        line, np.maximum(np.minimum(1.3 * above, LASHES[1]), np.minimum(hanging, HAIR))
    )
    return cover.astype(np.float32), (0.85 * colour).astype(np.float32)


def without_lashes(view: View) -> Array:
    """The patch (h, w, 3) without the hair of the open lid: what is dark and narrow above it."""
    import cv2

    at = np.arange(-1.4, 1.4, 2 * STEP).astype(np.float32) * view.eye.half
    steps = np.arange(2 * STEP, TALLEST, STEP)
    along, up = np.meshgrid(at, steps * view.width)
    colours = view.straighten(view.still, along, view.eye.upper(along) - up)
    wide = np.ones((1, round(CLUMP / STEP)), np.uint8)
    lighter = cv2.morphologyEx(colours, cv2.MORPH_CLOSE, wide) - colours
    inside = smoothstep(
        (OUT[view.light.glasses] - np.abs(along) / view.eye.half) / 0.2
    ) * smoothstep(up / view.width / 0.06)
    lighter *= (inside * smoothstep((lighter @ LUMA) / HAIRY - 0.5))[..., None]
    height = (view.eye.upper(view.u) - view.v) / view.width
    added = [_table(of, view.u, at, height, steps) for of in np.moveaxis(lighter, -1, 0)]
    return np.asarray(view.still + np.stack(added, -1), np.float32)


def _tufts(soft: float) -> Array:
    """(COLUMNS,) how much longer or shorter than usual the lashes are there."""
    chance = np.random.default_rng(1).standard_normal(COLUMNS)
    kernel = np.hanning(max(15, round(0.8 * soft * COLUMNS / 2.4)))
    tufts = np.convolve(chance, kernel, "same")
    return np.asarray(np.clip(1 + 0.2 * tufts / tufts.std(), 0.5, 1.5))


def _table(values: Array, u: Array, at: Array, down: Array, steps: Array) -> Array:
    """`values` (len(steps), len(at)) where `u` and `down` are; nothing beyond them."""
    x = (u - at[0]) / (at[1] - at[0])
    y = (down - steps[0]) / (steps[1] - steps[0])
    inside = (y > -0.5) & (y < len(steps) - 1)
    found = look_up(values.astype(np.float32), x.astype(np.float32), y.astype(np.float32))
    return np.asarray(found * inside, np.float32)
