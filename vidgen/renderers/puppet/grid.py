"""Coarse grids of displacements over a part of the frame, and their way up to every pixel.

Fields are smooth, so they are worked out at one node in `pitch` pixels and enlarged
by `cv2.resize`. Knows nothing of faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidgen.work import Box, Pixels

Array = NDArray[Any]  # of floats, single or double, or of booleans


def smoothstep(x: Array) -> Array:
    """0 below 0, 1 above 1, with slope 0 at both."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3 - 2 * x), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Grid:
    """Nodes over `box` of the frame, each in the middle of a cell; one ring of cells outside.

    Node (row r, column c) is at pixel x = left + (c - 1) * pitch + (pitch - 1) / 2, so that
    `cv2.resize` by `pitch` puts pixel centres where they belong.
    """

    left: int
    top: int
    columns: int  # the ring included
    rows: int
    pitch: int

    @classmethod
    def over(cls, box: Box, pitch: int) -> "Grid":
        """The grid whose inner cells cover `box` (frame pixels)."""
        left, top, right, bottom = box
        columns = -(-(right - left) // pitch) + 2
        rows = -(-(bottom - top) // pitch) + 2
        return cls(left, top, columns, rows, pitch)

    @property
    def origin(self) -> tuple[float, float]:
        """x and y of node (0, 0), frame pixels."""
        start = -self.pitch + (self.pitch - 1) / 2
        return self.left + start, self.top + start

    @property
    def right(self) -> int:
        return self.left + (self.columns - 2) * self.pitch

    @property
    def bottom(self) -> int:
        return self.top + (self.rows - 2) * self.pitch

    def nodes(self) -> tuple[Array, Array]:
        """x and y of the nodes, each (rows, columns), frame pixels."""
        x = self.origin[0] + self.pitch * np.arange(self.columns)
        y = self.origin[1] + self.pitch * np.arange(self.rows)
        across, down = np.meshgrid(x, y)
        return across.astype(np.float32), down.astype(np.float32)

    def part(self, box: Box) -> tuple["Grid", slice, slice]:
        """The smallest part of this grid that covers `box`, with its rows and columns in it."""
        c0 = max(0, (box[0] - self.left) // self.pitch)
        r0 = max(0, (box[1] - self.top) // self.pitch)
        c1 = min(self.columns - 2, -(-(box[2] - self.left) // self.pitch))
        r1 = min(self.rows - 2, -(-(box[3] - self.top) // self.pitch))
        c1, r1 = max(c1, c0 + 1), max(r1, r0 + 1)
        left, top = self.left + c0 * self.pitch, self.top + r0 * self.pitch
        inner = Grid(left, top, c1 - c0 + 2, r1 - r0 + 2, self.pitch)
        return inner, slice(r0, r1 + 2), slice(c0, c1 + 2)


def enlarge(field: Array, pitch: int, smooth: bool = False) -> Array:
    """`field` (rows, columns, C) of a `Grid` at every pixel of its inner cells."""
    import cv2

    rows, columns = field.shape[:2]
    how = cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR
    full: Array = cv2.resize(field, (columns * pitch, rows * pitch), interpolation=how)
    return full[pitch:-pitch, pitch:-pitch]


def look_up(picture: Array, x: Any, y: Any = None, mirrored: bool = False) -> Array:
    """`picture` at (x, y), bilinear, its edge repeated, or it itself `mirrored` there. Also takes
    both of `cv2.convertMaps`, or x as (h, w, 2) alone."""
    import cv2

    edge = cv2.BORDER_REFLECT_101 if mirrored else cv2.BORDER_REPLICATE
    found: Array = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=edge)
    return found


def scale_places(places: Array, origin: Sequence[float] | Array, times: float) -> Array:
    """Places (h, w, 2) from `origin` on, `times` as large; numpy takes five times as long."""
    import cv2

    x, y = (float(value) for value in origin)
    matrix = np.array([[times, 0, -times * x], [0, times, -times * y]])
    made: Array = cv2.transform(np.ascontiguousarray(places), matrix)
    return made


def span(weights: Array, bases: Array) -> tuple[Array, Array]:
    """The least and the most that the sum of `bases` (K, …) can be for weights (N, K) whose parts
    come together in any way."""
    ends = np.stack(
        [np.tensordot(np.diag(side(weights, 0)), bases, 1) for side in (np.min, np.max)]
    )
    return ends.min(0).sum(0), ends.max(0).sum(0)


def bounds(mask: Array) -> tuple[slice, slice] | None:
    """The rows and columns that hold all of a mask (h, w); None when it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def indices(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The column and the row of every pixel, each `shape`, float32."""
    row, column = np.indices(shape, np.float32)
    return column, row


def to_bytes(colours: Array) -> Pixels:
    """Colours as bytes."""
    bytes_: Pixels = np.clip(colours + np.float32(0.5), 0, 255).astype(np.uint8)
    return bytes_
