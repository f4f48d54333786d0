"""The rim of glasses close above an eye, or across its lid: what a shut lid comes out from under.

Works in an eye's patch; knows nothing of what moves.
"""

from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.geometry import Curve
from vidgen.renderers.puppet.grid import Array
from vidgen.renderers.puppet.lid_skin import View
from vidgen.renderers.puppet.path import cheapest_path

# Lengths are shares of the eye's width unless they say otherwise.
COLUMNS: Final = 63
REACH: Final = 1.55  # half widths to either side: a rim goes on beside the eye, a lid does not,
BESIDE: Final = 1.10  # from here on
STEP: Final = 0.02  # a row of the search
LOWEST: Final = 0.22  # below the lid's highest point: there its search ends
AROUND: Final = (4, 5, 6)  # rows above and below a rim where there is something brighter
DEEP: Final = 0.10  # of the skin's light, that it lacks beside the eye and over it
SUREST: Final = 0.3  # what is darker than its surroundings by more is no surer
ACROSS: Final = (0.04, 0.35)  # above the lid: nearer it may be the lid; higher nothing is touched
BENT: Final = 0.035  # off a curve of third degree: a rim is smooth


def rim_above(view: View, plain: Array) -> Curve | None:
    """v of the rim's lower edge over u, frame pixels; None without glasses, and where no rim
    crosses the patch above the eye.

    A rim is darker than the `plain` skin (h, w, 3) above and below it, all the way from one side
    of the eye to the other.
    """
    import cv2

    eye, width = view.eye, view.width
    at = np.linspace(-REACH, REACH, COLUMNS).astype(np.float32) * eye.half
    top, low = float(eye.brow.v.min()), float(eye.upper.v.min()) + LOWEST * width
    rows = np.arange(top, low, STEP * width, dtype=np.float32)
    if not (view.light.glasses or view.light.wire) or len(rows) < 2 * AROUND[-1]:
        return None
    light = (view.still @ LUMA) / np.maximum(plain @ LUMA, 8)
    seen = view.straighten(light, *np.meshgrid(at, rows))
    seen = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), 1.0)
    above, below = _near(seen, -1), _near(seen, 1)
    depth = np.minimum(above, below) - seen
    path = cheapest_path(SUREST - np.clip(depth, 0, SUREST), 0.05)
    line, lacks = rows[path], np.take_along_axis(depth, path[None], 0)[0]
    if not _is_rim(view, at, line, lacks):
        return None
    # its lower edge: half-way to the light below it
    middle = (seen + below)[path, np.arange(COLUMNS)] / 2
    under = (seen > middle) & (np.arange(len(rows))[:, None] > path)
    ends = np.where(under.any(0), under.argmax(0), path + AROUND[0])
    thick = np.percentile(ends - path, 75) * STEP * width
    return Curve(at, (line + thick).astype(np.float32))


def _near(seen: Array, side: int) -> Array:
    """The brightest of the rows `AROUND`, above (-1) or below (1)."""
    most = AROUND[-1]
    padded = np.pad(seen, ((most, most), (0, 0)), mode="edge")
    moved = [padded[most + side * row : len(padded) - most + side * row] for row in AROUND]
    return np.asarray(np.max(moved, 0))


def _is_rim(view: View, at: Array, line: Array, lacks: Array) -> bool:
    eye, width = view.eye, view.width
    share = at / eye.half
    over = np.abs(share) < 0.8
    sides = (np.median(lacks[side * share > BESIDE]) for side in (-1, 1))
    if min(*sides, np.median(lacks[over])) < DEEP:
        return False
    if not ACROSS[0] * width < float((eye.upper(at) - line)[over].min()) < ACROSS[1] * width:
        return False
    off = line - np.polyval(np.polyfit(share, line, 3), share)
    return float(off.std()) < BENT * width
