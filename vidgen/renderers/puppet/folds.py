"""Shade that grows as a mouth opens: beside nose and mouth, under the lip, under the chin.

A warp moves skin but no light: without it an open mouth is a hole in a still face. Like the
blendshapes these are bases, a share of the light for each weight. Moves nothing.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.renderers.puppet.blendshapes import WEIGHTS
from vidgen.renderers.puppet.canvas import Canvas
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, Grid, bounds, look_up, smoothstep
from vidgen.work import Box, Pixels

FOLD: Final = 0.017  # Hf: half width of the fold from the nose's wing to beside the mouth
CREASED: Final = (0.02, 0.08)  # so much darker than beside it: a fold of the photo's, dark in full
SMOOTH: Final = 0.3  # share of the shade that skin without a fold gets: more is a grey arc on it
# How much of the light each weight takes at 1: from the folds, under the lip, under the chin
TAKES: Final = {"wide": (0.06, 0, 0), "spread": (0.05, 0, 0), "round": (-0.03, 0, 0),
                "jaw": (0, 0.09, 0.12)}  # fmt: skip
SEEN: Final = 0.006  # of the light: less is not drawn
MOST: Final = 0.25
ROOM: Final = 0.05  # Hf: how far the head may carry them


@dataclass(frozen=True, slots=True)
class Folds:
    """One face's shades."""

    box: Box  # frame pixels that hold them, however the head turns
    grid: Grid  # over the box
    bases: Array  # (10, rows, columns, 1) on it: of the light, order of `WEIGHTS`

    def shade(self, canvas: Canvas, weights: Array, sources: Array) -> Array | None:
        """How much light is taken from the pixels of `box` with these weights, (h, w), 0–1; None
        where nothing is to be seen. `sources` (rows, columns, 2) is where each node of `grid` comes
        from, frame pixels."""
        (taken,) = canvas.weigh_all(weights, (self.bases,))
        if not canvas.is_over(taken, SEEN):
            return None
        size = self.box[3] - self.box[1], self.box[2] - self.box[0]
        at = canvas.scale_places(sources, self.grid.origin, 1 / self.grid.pitch)
        there = canvas.look_up(taken.clip(0, MOST), at)
        return canvas.split(canvas.enlarge(there, self.grid.pitch, size))[0]


def build(frame: Pixels, face: FaceGeometry, grid: Grid, alpha: Pixels) -> Folds:
    """The shades of the `face` in `frame` on its `grid`; `alpha` (H, W) is the speaker's, 8 bits:
    none falls on what is behind."""
    x, y = grid.nodes()
    u, v = face.axes.uv(x, y)
    columns = np.clip(x.round().astype(int), 0, alpha.shape[1] - 1)
    rows = np.clip(y.round().astype(int), 0, alpha.shape[0] - 1)
    solid = (alpha[rows, columns] > 250).astype(np.float32)
    places = solid * np.stack(
        [_beside(frame, face, u, v), _under_lip(face, u, v), _neck(face, u, v)]
    )
    takes = [TAKES.get(name, (0, 0, 0)) for name in WEIGHTS]
    bases = np.tensordot(np.array(takes, np.float32), places, 1)
    box = _box(grid, bases.max(0), ROOM * face.height, alpha)
    part, down, across = grid.part(box)
    return Folds(box, part, bases[:, down, across, None].astype(np.float32))


def _box(grid: Grid, taken: Array, room: float, alpha: Pixels) -> Box:
    """Whole cells of `grid` with `room` about all that takes light, inside the frame."""
    down, across = bounds(taken > SEEN) or (slice(1, 3), slice(1, 3))
    spare = round(room / grid.pitch)
    top, bottom = max(1, down.start - spare), min(grid.rows - 1, down.stop + spare)
    left, right = max(1, across.start - spare), min(grid.columns - 1, across.stop + spare)
    return (
        grid.left + (left - 1) * grid.pitch,
        grid.top + (top - 1) * grid.pitch,
        min(grid.left + (right - 1) * grid.pitch, alpha.shape[1]),
        min(grid.top + (bottom - 1) * grid.pitch, alpha.shape[0]),
    )


def _beside(frame: Pixels, face: FaceGeometry, u: Array, v: Array) -> Array:
    """From the wings of the nose to beside the corners; most in the middle, none in the mouth. All
    of it where the photo has such a fold already."""
    low, high = CREASED
    depths = [(_crease(frame, face, points) - low) / (high - low) for points in face.folds]
    shares = SMOOTH + (1 - SMOOTH) * smoothstep(np.array(depths))
    sides = zip(shares, face.folds, strict=True)
    one, other = (part * _fold(line, u, v, FOLD * face.height) for part, line in sides)
    return np.asarray(np.maximum(one, other))


def _crease(frame: Pixels, face: FaceGeometry, points: Array) -> float:
    """How much darker than the skin on either side a fold's line (N, 2) is in the photo, at most
    .025 Hf off it; the median along its middle."""
    import cv2

    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    soft = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), max(0.5, 0.006 * face.height))
    ways = np.append(0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
    at = np.linspace(0.2, 0.8, 13) * ways[-1]
    line = np.stack([np.interp(at, ways, side) for side in points.T])  # (2, 13)
    along = np.gradient(line, axis=1)
    across = np.stack([-along[1], along[0]]) / np.maximum(np.hypot(*along), 1e-6)
    off = np.linspace(-0.05, 0.05, 21) * face.height
    x, y = face.axes.xy(*(line[..., None] + across[..., None] * off))
    seen = look_up(soft, x.astype(np.float32), y.astype(np.float32))  # (13, 21)
    beside = np.minimum(seen[:, :5].mean(1), seen[:, -5:].mean(1))
    return float(np.median(1 - seen[:, 5:16].min(1) / np.maximum(beside, 1)))


def _fold(points: Array, u: Array, v: Array, width: float) -> Array:
    """1 on the middle of the line through `points` (N, 2), less towards its ends and beside."""
    near, along, done = np.full(u.shape, np.inf), np.zeros(u.shape), 0.0
    lengths = np.hypot(*np.diff(points, axis=0).T)
    for start, end, length in zip(points, points[1:], lengths, strict=False):
        du, dv = (end - start) / max(1e-6, length)
        step = np.clip((u - start[0]) * du + (v - start[1]) * dv, 0, length)
        off = np.hypot(u - start[0] - step * du, v - start[1] - step * dv)
        along = np.where(off < near, (done + step) / lengths.sum(), along)
        near = np.minimum(near, off)
        done += length
    return np.asarray(4 * along * (1 - along) * np.exp(-((near / width) ** 2)))


def _under_lip(face: FaceGeometry, u: Array, v: Array) -> Array:
    """The hollow between the lower lip and the chin."""
    off = (v - face.outer_lower(u)) / face.height - 0.022
    wide = np.clip(1 - (face.across(u) / 0.85) ** 2, 0, 1)
    return np.asarray(wide * np.exp(-((off / 0.017) ** 2)))


def _neck(face: FaceGeometry, u: Array, v: Array) -> Array:
    """The chin's shadow on the neck."""
    off = (v - face.jawline(u)) / face.height
    wide = 1 - smoothstep((np.abs(u - face.middle[0]) / face.jaw - 0.45) / 0.5)
    fall = smoothstep((off - 0.010) / 0.03) * np.exp(-((np.maximum(0, off - 0.04) / 0.06) ** 2))
    return np.asarray(wide * fall)
