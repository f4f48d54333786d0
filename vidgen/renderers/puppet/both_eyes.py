"""Both eyes as one patch, for a canvas that draws many frames: few large pictures take fewer calls
than many small ones. Knows nothing of what a lid or an iris does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeVar

import numpy as np

from vidgen.renderers.puppet.eyes import EyePatch
from vidgen.renderers.puppet.grid import Array
from vidgen.renderers.puppet.layer import FINE, Layer, crop
from vidgen.work import Box

T = TypeVar("T")
Corner = tuple[int, int]  # patch pixels: column and row
PLACES: Final = {"at": (0, 1), "at_shut": (0, 1), "column": 0, "row": 1}  # x, y, or both
# What is nothing outside an eye's own part; all else goes on
NOWHERE: Final = ("opening", "edge", "steep", "detail", "reach", "first", "gain")


def both_eyes(eyes: tuple[EyePatch, ...], layer: Layer) -> tuple[EyePatch, ...]:
    """One patch that holds all `eyes`, where there are any; each rules its own half.

    Between them it is the photo, out of `layer`.
    """
    if not eyes:
        return ()
    boxes = np.array([eye.box for eye in eyes])
    box: Box = (*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist())
    halves = _Halves.of(boxes, box)
    left, top = box[0] - layer.box[0], box[1] - layer.box[1]
    fine = (FINE * left, FINE * top, FINE * left + halves.width, FINE * top + halves.height)
    still = np.ascontiguousarray(crop(layer.fine, fine)[..., :3])
    corners = [_corner(eye.box, box) for eye in eyes]
    openings = [_corner(eye.opening, box) for eye in eyes]
    ball = halves.join([eye.ball for eye in eyes], openings, still=still)
    inner = [
        (x + columns.start, y + rows.start)
        for (x, y), (rows, columns) in zip(corners, (eye.lids.part for eye in eyes), strict=True)
    ]
    everywhere = slice(None), slice(None)
    lids = halves.join([eye.lids for eye in eyes], inner, still=still, part=everywhere)
    side = halves.lay("side", [eye.side for eye in eyes], corners)
    return (EyePatch(box, box, ball, lids, side),)


def _corner(box: Box, outer: Box) -> Corner:
    return FINE * (box[0] - outer[0]), FINE * (box[1] - outer[1])


@dataclass(frozen=True, slots=True)
class _Halves:
    """A sheet, one range of columns for each eye."""

    height: int  # patch pixels
    ends: tuple[int, ...]  # the first column of each range, and one past the last

    @classmethod
    def of(cls, boxes: Array, box: Box) -> "_Halves":
        """Halves of `box`, split in the middle between `boxes` (N, 4)."""
        between = (boxes[:-1, 2] + boxes[1:, 0]) // 2
        ends = FINE * (np.array([box[0], *between, box[2]]) - box[0])
        return cls(FINE * (box[3] - box[1]), tuple(ends.tolist()))

    @property
    def width(self) -> int:
        return self.ends[-1]

    def join(self, parts: Sequence[T], corners: Sequence[Corner], **known: Any) -> T:
        """One dataclass out of the eyes' own; what of it is not `known` is (height, width, …)."""
        names = (part.name for part in fields(parts[0]) if part.compare)  # type: ignore[arg-type]
        made: dict[str, Any] = {
            name: self.lay(name, [getattr(one, name) for one in parts], corners)
            for name in names
            if name not in known
        }
        return replace(parts[0], **made, **known)  # type: ignore[type-var]

    def lay(self, name: str, values: Sequence[Any], corners: Sequence[Corner]) -> Any:
        """The eyes' `values` of this name, pictures from their corners on, side by side."""
        if isinstance(values[0], tuple):
            together = zip(*values, strict=True)
            return tuple(self.lay(name, each, corners) for each in together)
        columns = (np.arange(*ends) for ends in zip(self.ends, self.ends[1:], strict=False))
        each = zip(values, corners, columns, strict=True)
        return np.concatenate([self._extend(name, *one) for one in each], 1)

    def _extend(self, name: str, value: Any, corner: Corner, columns: Array) -> Array:
        """One eye's value over its half: a picture's edge goes on, numbers are everywhere."""
        value, shape = np.asarray(value, np.float32), (self.height, len(columns))
        if value.ndim < 2:
            return np.broadcast_to(value, shape + value.shape)
        y, x = np.arange(self.height) - corner[1], columns - corner[0]
        rows, across = (at.clip(0, size - 1) for at, size in zip((y, x), value.shape, strict=False))
        found: Array = value[rows[:, None], across]
        if name in PLACES:
            found = found + np.array(corner, np.float32)[np.array(PLACES[name])]
        if name in NOWHERE:
            inside = (rows == y)[:, None] & (across == x)
            found = found * inside.reshape(inside.shape + (1,) * (found.ndim - 2))
        return found
