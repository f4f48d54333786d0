"""The lips' inner edges brought from where the landmarks guess them to where the photo shows them.

The landmarks are a few pixels off; a cut beside the true line drags teeth or shadow along with
a lip. Changes the two inner curves of a `Face` and nothing else.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vidgen.renderers.puppet.geometry import Curve, FaceGeometry
from vidgen.renderers.puppet.grid import Array, look_up
from vidgen.renderers.puppet.lighting import LUMA
from vidgen.work import Pixels

COLUMNS: Final = 121  # over the width of the mouth
SEARCH_SHUT: Final = 0.022  # Hf: how far from the landmarks the line is looked for
SEARCH_OPEN: Final = 0.024
OUTWARD: Final = 0.30  # half mouths: no corner is farther out
DARK: Final = 0.74  # of the skin's luma: darker is still the line between the lips
ROW: Final = 0.003  # Hf: height of a row of the search


@dataclass(frozen=True, slots=True)
class _Strip:
    """The photo along a curve: row `middle` lies on it."""

    u: Array  # (COLUMNS,)
    v: Array  # (COLUMNS,) the curve
    row: float  # pixels per row
    colours: Array  # (rows, COLUMNS, 3)

    @property
    def middle(self) -> int:
        return len(self.colours) // 2


def snap_lips(frame: Pixels, face: FaceGeometry) -> FaceGeometry:
    """`face` with the mouth's corners and the lips' inner edges on the photo's own."""
    face = _widen(frame, face)
    if face.is_shut:
        line = _dark_line(frame, face)
        return replace(face, upper=line, lower=line, gap=0.0)
    upper = _lip_edge(frame, face, face.upper, face.outer_upper, -1)
    lower = _lip_edge(frame, face, face.lower, face.outer_lower, 1)
    middle = (upper.v + lower.v) / 2
    half = np.maximum(lower.v - upper.v, 0) / 2
    return replace(
        face,
        upper=Curve(upper.u, middle - half),
        lower=Curve(upper.u, middle + half),
        gap=float(2 * half.max()),
    )


def _strip(frame: Pixels, face: FaceGeometry, curve: Curve, reach: float) -> _Strip:
    import cv2

    row = max(0.4, ROW * face.height)
    rows = np.arange(-round(reach / row), round(reach / row) + 1) * row
    u = np.linspace(-face.left, face.right, COLUMNS).astype(np.float32)
    v = curve(u)
    x, y = face.axes.xy(np.broadcast_to(u, (len(rows), COLUMNS)), v + rows[:, None])
    colours = look_up(frame.astype(np.float32), x.astype(np.float32), y.astype(np.float32))
    return _Strip(u, v, row, cv2.GaussianBlur(colours, (0, 0), 1.0))


def _widen(frame: Pixels, face: FaceGeometry) -> FaceGeometry:
    """The landmarks' corners lie inside the photo's: each is moved out along the dark line."""
    left, right = _dark_until(frame, face, -1), _dark_until(frame, face, 1)

    def stretch(curve: Curve) -> Curve:
        u = np.where(curve.u < 0, curve.u * left, curve.u * right)
        return Curve(u.astype(np.float32), curve.v)

    return replace(
        face,
        left=face.left * left,
        right=face.right * right,
        upper=stretch(face.upper),
        lower=stretch(face.lower),
    )


def _dark_until(frame: Pixels, face: FaceGeometry, side: int) -> float:
    """How many half mouths from its middle the dark between the lips reaches on one side, ≥ 1."""
    half = face.left if side < 0 else face.right
    most = 1 + OUTWARD * (face.left + face.right) / 2 / half
    shares = np.arange(0.92, min(most, 2.0), 0.02)
    u = (side * half * shares).astype(np.float32)
    rows = np.arange(-0.09, 0.0901, 0.006) * face.height
    # the line goes on as it runs near the corner
    inner, outer = face.middle_line(np.array([0.8, 1.0]) * side * half)
    line = outer + np.clip((outer - inner) / 0.2, -0.3 * half, 0.3 * half) * (shares - 1)
    x, y = face.axes.xy(np.broadcast_to(u, (len(rows), len(u))), line + rows[:, None])
    at = x.astype(np.float32), y.astype(np.float32)
    look = look_up(frame, *at).astype(np.float32) @ LUMA
    near = np.abs(rows) < 0.03 * face.height
    around = np.abs(rows) > 0.05 * face.height
    ratio = look[near].min(0) / np.maximum(4.0, np.median(look[around], 0))
    light = np.flatnonzero((ratio > DARK) & (shares > 1.0))
    if face.is_shut:
        return float(shares[light[0]] - 0.02) if len(light) else 1.0
    # an open mouth's dark corner runs on into a beard or a fold: no farther than the lips do
    lips = side * face.outer_upper.u[0 if side < 0 else -1] / half
    found = float(shares[light[0]] - 0.02) if len(light) else float(lips)
    return float(np.clip(found, 1.0, max(1.0, lips)))


def _dark_line(frame: Pixels, face: FaceGeometry) -> Curve:
    """The darkest path from corner to corner near the landmarks' line."""
    reach = SEARCH_SHUT * face.height
    middle = Curve(face.upper.u, face.middle_line(face.upper.u))
    strip = _strip(frame, face, middle, reach)
    luma = strip.colours @ LUMA
    depth = max(8.0, float(luma.std()))
    away = (np.arange(len(luma)) - strip.middle) / max(1, strip.middle)
    cost = luma / depth + 0.5 * away[:, None] ** 2
    return _curve(strip, _path(cost), face)


def _lip_edge(frame: Pixels, face: FaceGeometry, curve: Curve, outer: Curve, side: int) -> Curve:
    """Where the lip's colours end. `side` is the lip's: -1 above the edge, 1 below it."""
    reach = SEARCH_OPEN * face.height
    strip = _strip(frame, face, curve, 2 * reach)
    thick = np.abs(curve(strip.u) - outer(strip.u)) / strip.row
    rows = np.arange(len(strip.colours))[:, None] - strip.middle
    inward = side * rows
    lip = (inward > 0.25 * thick) & (inward < 0.85 * thick) & (thick > 2)
    lip[:, : COLUMNS // 8] = lip[:, -COLUMNS // 8 :] = False
    if lip.sum() < 20:
        return Curve(curve.u, curve.v)
    usual = np.median(strip.colours[lip], 0)
    spread = 1.5 * np.median(np.abs(strip.colours[lip] - usual), 0) + 9
    likeness = np.exp(-0.5 * (((strip.colours - usual) / spread) ** 2).mean(-1))
    window = max(2, round(0.018 * face.height / strip.row))
    score = _difference(likeness, window, side) + 0.8 * _reddening(strip, side)
    half = strip.middle // 2
    kept = slice(strip.middle - half, strip.middle + half + 1)
    away = np.arange(-half, half + 1) / max(1, half)
    trust = 2.0 if side < 0 else 0.3  # the net knows the upper lip better
    return _curve(strip, _bend(score[kept] - trust * away[:, None] ** 2) + strip.middle, face)


def _bend(score: Array) -> Array:
    """The rows off the middle, (columns,), of the smooth bend that scores best.

    Lips are smooth: a free path would follow single teeth. The corners stay.
    """
    half = len(score) // 2
    share = np.linspace(-1, 1, COLUMNS)
    fade = 1 - share**4
    columns = np.arange(COLUMNS)
    best, found = -np.inf, np.zeros(COLUMNS)
    for middle in range(-half, half + 1):
        for tilt in np.linspace(-0.4, 0.4, 9) * half:
            off = (middle + tilt * share) * fade
            rows = np.clip(np.rint(off) + half, 0, 2 * half).astype(np.int64)
            total = float((score[rows, columns] * fade).sum())
            if total > best:
                best, found = total, off
    return found


def _difference(likeness: Array, window: int, side: int) -> Array:
    """Mean likeness in `window` rows on the lip's side of each row, less that on the other."""
    total = np.cumsum(np.pad(likeness, ((window + 1, window), (0, 0)), mode="edge"), 0)
    rows = len(likeness)
    here = total[window : window + rows]
    above = (here - total[:rows]) / window
    below = (total[2 * window : 2 * window + rows] - here) / window
    return np.asarray(above - below if side < 0 else below - above)


def _reddening(strip: _Strip, side: int) -> Array:
    """How much redder it becomes across each row towards the lip, -1 to 1.

    Red less green is small on teeth and in the dark, large on lips, less again on skin, so the
    lip's outer edge counts against itself.
    """
    import cv2

    red = np.ascontiguousarray(strip.colours[..., 0] - strip.colours[..., 1])
    change = cv2.Sobel(red, cv2.CV_32F, 0, 1, ksize=5) / 48
    scale = max(1.5, float(np.percentile(np.abs(change), 90)))
    return np.asarray(np.tanh(side * change / scale))


def _path(cost: Array) -> Array:
    """The cheapest path over the columns, at most a row up or down at a step; (columns,) rows."""
    rows, columns = cost.shape
    best = cost[:, 0].copy()
    came = np.zeros((columns, rows), np.int64)
    bend = 0.08
    for column in range(1, columns):
        padded = np.pad(best, 1, constant_values=np.inf)
        options = np.stack([padded[:-2] + bend, padded[1:-1], padded[2:] + bend])
        step = options.argmin(0)
        came[column] = np.arange(rows) + step - 1
        best = options[step, np.arange(rows)] + cost[:, column]
    path = np.empty(columns, np.int64)
    path[-1] = best.argmin()
    for column in range(columns - 1, 0, -1):
        path[column - 1] = came[column, path[column]]
    return path


def _curve(strip: _Strip, path: Array, face: FaceGeometry) -> Curve:
    """A smooth curve along `path`, on the landmarks' table of u."""
    off = (path - strip.middle) * strip.row
    kernel = np.hanning(19)
    off = np.convolve(np.pad(off, 9, mode="edge"), kernel / kernel.sum(), "valid")
    u = face.upper.u
    v = np.interp(u, strip.u, strip.v + off)
    return Curve(u, v.astype(np.float32))
