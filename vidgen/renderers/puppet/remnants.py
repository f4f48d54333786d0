"""What would be left of an open eye below its shut lid: rests of the white.

Works in an eye's patch; knows nothing of what moves.
"""

from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.geometry import Curve
from vidgen.renderers.puppet.grid import Array, smoothstep
from vidgen.renderers.puppet.lid_skin import View

# Lengths are shares of the eye's width unless they say otherwise.
BELOW: Final = 0.25  # the lower lid: farther down nothing is looked for,
FAR: Final = 1.55  # nor so many half widths from the middle
SKIN: Final = (0.18, 0.40)  # below the lower lid: what is surely skin
LEAST_SEEN: Final = 12  # pixels of it, and of the white, that tell their colours
CLEAR: Final = 40.0  # of 255: white and skin that are less apart cannot be told
WHITE: Final = (0.45, 0.5)  # from so far on the way from skin to white; at most so far off that way
AREA: Final = (0.004, 0.10)  # of the squared width: what is smaller or larger is no remnant
GROWN: Final = 0.02  # by so much a remnant is more than is told


def remnants(view: View, lid: Array, bottom: Curve) -> Array:
    """(h, w) 0–1: pieces of the white that touch the shut `lid`, (h, w) 0–1, below its edge.

    That edge is `bottom`, v over u in frame pixels.

    Nothing behind glasses, where gleams are as white.
    """
    import cv2

    eye, u, v, width = view.eye, view.u, view.v, view.width
    if view.light.glasses:
        return np.zeros(u.shape, np.float32)
    share = np.abs(u) / eye.half
    room = (v > bottom(u)) & (v < eye.lower(u) + BELOW * width) & (share < FAR) & (lid < 0.9)
    piece = (_is_white(view) & room).astype(np.uint8)
    near = cv2.dilate((lid > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8))
    count, label, numbers, _ = cv2.connectedComponentsWithStats(piece, None, 8)
    area = numbers[:, cv2.CC_STAT_AREA] / (width * view.scale) ** 2
    kept = np.isin(np.arange(count), label[(near & piece) > 0])
    kept &= (area > AREA[0]) & (area < AREA[1])
    side = max(3, 2 * round(GROWN * width * view.scale) + 1)
    grown = cv2.dilate(kept[label].astype(np.uint8), np.ones((side, side), np.uint8))
    soft = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), side / 3)
    return np.asarray(soft * smoothstep((FAR - share) / 0.2), np.float32)


def _is_white(view: View) -> Array:
    """(h, w) whether a colour is rather that of the eye's white than that of the skin below it."""
    eye, u, v, width = view.eye, view.u, view.v, view.width
    upper, lower = eye.upper(u), eye.lower(u)
    inner = np.abs(u) < 0.9 * eye.half
    below = inner & (v > lower + SKIN[0] * width) & (v < lower + SKIN[1] * width)
    opening = inner & (v > upper + 0.06 * width) & (v < lower - 0.03 * width)
    if eye.iris:
        opening &= np.hypot(u - eye.iris[0], v - eye.iris[1]) > 1.1 * eye.iris[2]
    if min(below.sum(), opening.sum()) < LEAST_SEEN:
        return np.zeros(u.shape, bool)
    skin, eyeball = np.median(view.still[below], 0), view.still[opening].astype(np.float32)
    luma = eyeball @ LUMA
    way = np.median(eyeball[luma >= np.median(luma)], 0) - skin
    length = float(np.linalg.norm(way))
    if length < CLEAR:
        return np.zeros(u.shape, bool)
    from_skin = view.still - skin
    along = from_skin @ way / length**2
    off = np.linalg.norm(from_skin - along[..., None] * way, axis=-1)
    return np.asarray((along > WHITE[0]) & (off < WHITE[1] * length))
