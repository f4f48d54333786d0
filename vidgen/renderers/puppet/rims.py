"""The rim of glasses close above an eye, or across it: a shut lid comes out from under it.

Works in an eye's patch; knows nothing of what moves.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.geometry import Curve
from vidgen.renderers.puppet.grid import Array, smoothstep
from vidgen.renderers.puppet.lid_skin import View
from vidgen.renderers.puppet.path import cheapest_path
from vidgen.work import Pixels

# Lengths are shares of the eye's width unless they say otherwise.
COLUMNS: Final = 57
REACH: Final = 1.40  # half widths to either side: a rim goes on beside the eye, a lid does not,
BESIDE: Final = 1.02  # from here on
OVER: Final = 0.8  # half widths: the lid's own part
STEP: Final = 0.015  # a row of the search
AROUND: Final = (4, 5, 6, 7)  # rows above and below a rim where there is something brighter
# Rims that are looked for: below the lid's middle, how far an end goes down, and both do
HEIGHTS, TILTS, BOWS = (-0.38, 0.30, 0.015), (-0.26, 0.27, 0.026), (-0.06, 0.21, 0.02)
UNSEEN: Final = 35  # percent of a rim's columns may lack less light: before a pupil, or gleaming
# Of the skin's light: what a rim lacks beside the eye and over it, and on the whole; and so far
# apart these parts' are. Lash lines, creases, folds and brows have less of the first two or more of
# the third: all of 146 eyes behind glasses
DEEP, MEAN, EVEN = 0.17, 0.235, 0.155
SUREST: Final = 0.3  # what is darker than its surroundings by more is no surer
CLOSE: Final = 0.35  # above the lid: higher nothing is touched
ABOVE: Final = 0.04  # above the lid: a nearer rim lies across the eye
OFF: Final = 3  # rows that a rim may be off its bow
EDGE: Final = 0.5  # of its depth: what lacks less light is beside it


@dataclass(frozen=True, slots=True)
class Rim:
    """A dark line that bows over an eye, or across it. Frame pixels in the eye's axes."""

    line: Curve  # v over u
    above: float  # how far it goes on from there, up
    below: float  # and down
    gap: float  # least, from the lid's edge up to the line; less than 0 across the opening
    is_across: bool  # the eye, or hardly above it: else a lid comes out from under it

    @property
    def lower_edge(self) -> Curve:
        """v over u."""
        return Curve(self.line.u, self.line.v + np.float32(self.below))

    def cover(self, u: Array, v: Array, soft: float) -> Array:
        """1 on the rim and its soft edge, 0 from 1.5 `soft` pixels beside it on."""
        off = v - self.line(u)
        inside = np.minimum(off + self.above, self.below - off)
        return np.asarray(smoothstep(1.5 + inside / soft), np.float32)


def find_rim(view: View, plain: Array) -> Rim | None:
    """The rim close above the eye or across it; None without glasses, and where there is none.

    A rim is smooth, and darker than the `plain` skin (h, w, 3) above and below it all the way from
    one side of the eye to the other.
    """
    import cv2

    if not (view.light.glasses or view.light.wire):
        return None
    eye, width = view.eye, view.width
    at = np.linspace(-REACH, REACH, COLUMNS).astype(np.float32) * eye.half
    top, low = float(eye.upper.v.min()) - 0.75 * width, float(eye.lower.v.max()) + 0.5 * width
    rows = np.arange(top, low, STEP * width, dtype=np.float32)
    light = (view.still @ LUMA) / np.maximum(plain @ LUMA, 8)
    seen = view.straighten(light, *np.meshgrid(at, rows)).astype(np.float32)
    seen = cv2.GaussianBlur(seen, (0, 0), 0.8)
    around = np.minimum(_near(seen, -1), _near(seen, 1))
    depth = np.clip(around - seen, -0.1, SUREST)
    middle = (float(eye.upper(np.zeros(1))[0]) - top) / (STEP * width)
    thick = np.ones((3, 1), np.uint8)  # a row up or down is no matter
    bow = _bow(cv2.erode(seen, thick), cv2.dilate(depth, thick), at / eye.half, middle)
    if bow is None:
        return None
    far = np.abs(np.arange(len(rows))[:, None] - bow) > OFF
    path = cheapest_path(SUREST - depth + 10 * far, 0.05)
    line = Curve(at, (top + STEP * width * (0.5 * bow + 0.5 * path)).astype(np.float32))
    gap = float((eye.upper(at) - line.v)[np.abs(at) < OVER * eye.half].min())
    if gap > CLOSE * width:
        return None
    beside = np.abs(at) > BESIDE * eye.half
    above, below = _thickness(seen[:, beside], around[:, beside], path[beside])
    return Rim(line, above * STEP * width, below * STEP * width, gap, gap < ABOVE * width)


def without_rim(still: Pixels, cover: Array) -> Pixels:
    """The patch with what is beside it where a rim is."""
    import cv2

    return np.asarray(cv2.inpaint(still, (cover > 0).astype(np.uint8), 3, cv2.INPAINT_TELEA))


def _near(seen: Array, side: int) -> Array:
    """The brightest of the rows `AROUND`, above (-1) or below (1)."""
    most = AROUND[-1]
    padded = np.pad(seen, ((most, most), (0, 0)), mode="edge")
    moved = [padded[most + side * row : len(padded) - most + side * row] for row in AROUND]
    return np.asarray(np.max(moved, 0))


def _bow(seen: Array, depth: Array, share: Array, middle: float) -> Array | None:
    """(COLUMNS,) rows of the parabola that lacks most light, if its parts lack enough and alike;
    `middle` is the row of the lid's middle."""
    down, tilt, bow = (
        grid.ravel()[:, None] / STEP
        for grid in np.meshgrid(*(np.arange(*way) for way in (HEIGHTS, TILTS, BOWS)))
    )
    rows = middle + down + tilt * share + bow * share**2  # (N, COLUMNS)
    at = rows.round().astype(np.int64).clip(0, len(depth) - 1), np.arange(COLUMNS)
    lacks, light = depth[at], seen[at]
    parts = share < -BESIDE, share > BESIDE, np.abs(share) < OVER
    least = np.min([np.percentile(lacks[:, part], UNSEEN, axis=1) for part in parts], 0)
    apart = np.ptp([np.median(light[:, part], 1) for part in parts], 0)
    best = int((least + 0.5 * lacks.mean(1) - 0.3 * np.maximum(0, apart - 0.1)).argmax())
    sure = least[best] > DEEP and lacks[best].mean() > MEAN and apart[best] < EVEN
    return np.asarray(rows[best]) if sure else None


def _thickness(seen: Array, around: Array, path: Array) -> tuple[float, float]:
    """How many rows a rim goes on above and below its `path` (columns,): most columns do."""
    most = AROUND[-1]
    steps, columns = np.arange(-most, most + 1)[:, None], np.arange(len(path))
    profile = np.median(seen[(path + steps).clip(0, len(seen) - 1), columns], 1)
    beside = float(np.median(around[path, columns]))
    light = profile > beside - EDGE * (beside - profile[most])
    up, down = light[:most][::-1], light[most + 1 :]
    above, below = (float(side.argmax() if side.any() else most) for side in (up, down))
    return above + 0.5, below + 0.5  # it ends between two rows
