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
HANGING: Final = 0.75  # share of their length there that they have when they point down
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
    hair = (hair - hair[-1]).clip(0, None) * (1 - steps[3:, None] / FRINGE) ** 2
    hair = cv2.GaussianBlur(hair, (0, 0), sigmaX=6, sigmaY=0.1)
    inner = np.abs(at) < eye.half
    darkest = np.percentile(colours[3:8][:, inner].reshape(-1, 3), 15, 0)
    colour = np.minimum(darkest, 0.5 * skin[:, inner].mean((0, 1)))
    reach = np.maximum(np.where(below < 0, *LINE), 0.6 * soft)
    line = np.interp(view.u, at, root) * np.exp(-((below / reach) ** 2))
    hanging = _table(hair, view.u, at, below / HANGING, steps[3:])
    hanging *= smoothstep(0.5 + below / soft)
    cover = np.maximum(line, np.minimum(1.5 * hanging, LASHES[1]))
    return cover.astype(np.float32), (0.85 * colour).astype(np.float32)


def _table(values: Array, u: Array, at: Array, down: Array, steps: Array) -> Array:
    """`values` (len(steps), len(at)) where `u` and `down` are; nothing beyond them."""
    x = (u - at[0]) / (at[1] - at[0])
    y = (down - steps[0]) / (steps[1] - steps[0])
    inside = (y > -0.5) & (y < len(steps) - 1)
    found = look_up(values.astype(np.float32), x.astype(np.float32), y.astype(np.float32))
    return np.asarray(found * inside, np.float32)
