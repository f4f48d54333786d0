"""The speaker's layer in one frame on the processor, drawn only where that frame shows it.

Goes through the frame in bands that stay in the processor's cache, in memory that is used again:
fresh memory for each step took as long as the steps. Knows nothing of faces' parts.
"""

import threading
from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np

from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.grid import Array, Grid
from vidgen.renderers.puppet.layer import FINE, Layer, over
from vidgen.work import Box, Pixels

BAND: Final = 128  # pixels high: lower ones mean more calls, higher ones leave the cache


class LayerWarp:
    """Draws one film's layer into frames; each thread has memory of its own, and keeps it."""

    def __init__(self, layer: Layer, grid: Grid) -> None:
        """`grid` is over the layer's box."""
        self.layer = layer
        self.grid = grid
        self._kept = threading.local()

    def draw(self, whole: Array, out: Pixels, last: Sequence[Box] | None = None) -> list[Box]:
        """The layer before its background in all of `out`, (H, W, 3), or (H, W, 4) without one;
        `whole` (rows, columns, 2) is where each node of the grid comes from, frame pixels.

        Answers the boxes that are drawn: the rest is background. So it must be already outside
        those of the frame that `out` held, `last`.
        """
        import cv2

        origin = self.layer.box[:2]
        near = ONE_FRAME.scale_places(whole, origin, 1)
        found = cv2.remap(
            self.layer.near, near, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
        )
        places = cv2.split(ONE_FRAME.scale_places(whole, origin, FINE))
        least, most = found[1:-1, 1:-1, 0], found[1:-1, 1:-1, 1]  # of each cell
        tops = np.arange(0, len(most), max(1, BAND // self.grid.pitch))
        shows = runs_of_rows(np.maximum.reduceat(most, tops, axis=0) > 0)
        through = np.minimum.reduceat(least, tops, axis=0) < 255
        ends = [*tops[1:].tolist(), len(most)]
        cells = [(slice(int(tops[band]), ends[band]), slice(a, b)) for band, a, b in shows]
        boxes = [self._box(*part) for part in cells]
        self._clear(out, [(0, 0, *out.shape[1::-1])] if last is None else last, boxes)
        for (rows, columns), box, (band, start, end) in zip(cells, boxes, shows, strict=True):
            self._draw_part(rows, columns, places, through[band, start:end], box, out)
        return boxes

    def _clear(self, out: Pixels, boxes: Sequence[Box], drawn: Sequence[Box]) -> None:
        """The background in these boxes, but for columns where all is going to be drawn."""
        for left, top, right, bottom in boxes:
            covered = [(x0, x1) for x0, y0, x1, y1 in drawn if y0 <= top and bottom <= y1]
            x = left
            for start, end in [*covered, (right, right)]:  # from left to right
                if x < start:
                    here = slice(top, bottom), slice(x, min(start, right))
                    out[here] = 0 if self.layer.background is None else self.layer.background[here]
                x = max(x, end)

    def _box(self, rows: slice, columns: slice) -> Box:
        """Where these cells are, frame pixels."""
        left, top, right, bottom = self.layer.box
        pitch = self.grid.pitch
        return (
            left + columns.start * pitch,
            top + rows.start * pitch,
            min(left + columns.stop * pitch, right),
            min(top + rows.stop * pitch, bottom),
        )

    def _draw_part(
        self,
        rows: slice,
        columns: slice,
        places: Sequence[Array],
        see_through: Array,
        box: Box,
        out: Pixels,
    ) -> None:
        """These cells of the grid, which are in `box`; some columns of them are `see_through`."""
        import cv2

        nodes = slice(rows.start, rows.stop + 2), slice(columns.start, columns.stop + 2)
        inside, pitch = (slice(box[1], box[3]), slice(box[0], box[2])), self.grid.pitch
        target = out[inside]
        size = target.shape[:2]
        x, y = (
            self._enlarge(name, part[nodes], size) for name, part in zip("xy", places, strict=True)
        )
        warped = cv2.remap(
            self.layer.fine,
            x,
            y,
            cv2.INTER_LINEAR,
            dst=self._room("warped", (*size, 4), np.uint8),
            borderMode=cv2.BORDER_REFLECT_101,
        )
        through = [slice(a * pitch, b * pitch) for _, a, b in runs_of_rows(see_through[None])]
        if self.layer.background is None:
            target[:] = _unmultiply(warped, through)
            return
        behind = self.layer.background[inside]
        cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, dst=target)
        for here in through:
            rest = over(behind[:, here], cv2.extractChannel(warped[:, here], 3))
            cv2.add(target[:, here], rest, dst=target[:, here])

    def _enlarge(self, name: str, nodes: Array, size: tuple[int, int]) -> Array:
        """One coordinate of the places at the first `size` (h, w) pixels of the inner cells."""
        import cv2

        pitch = self.grid.pitch
        full = nodes.shape[0] * pitch, nodes.shape[1] * pitch
        found = cv2.resize(nodes, full[::-1], dst=self._room(name, full, np.float32))
        return np.asarray(found[pitch : pitch + size[0], pitch : pitch + size[1]])

    def _room(self, name: str, shape: tuple[int, ...], kind: Any) -> Array:
        """Memory to write into, the last call's of this name if that is enough."""
        need, kept = prod(shape), self._kept.__dict__
        if name not in kept or kept[name].size < need:
            kept[name] = np.empty(need, kind)
        return np.asarray(kept[name][:need].reshape(shape))


def runs_of_rows(mask: Array) -> list[tuple[int, int, int]]:
    """Row, first column and one past the last of each run of True in (h, w), in order."""
    found: list[tuple[int, int, int]] = []
    for row, line in enumerate(map(bytes, mask)):
        start = line.find(1)
        while start >= 0:
            end = line.find(0, start)
            end = len(line) if end < 0 else end
            found.append((row, start, end))
            start = line.find(1, end)
    return found


def _unmultiply(warped: Pixels, through: list[slice]) -> Pixels:
    """Colours not premultiplied, for a film with transparency; only columns `through` have any."""
    for here in through:
        part = warped[:, here]
        cover = np.maximum(part[..., 3:], 1).astype(np.uint16)
        colour = (part[..., :3].astype(np.uint16) * 255 + cover // 2) // cover
        part[..., :3] = np.minimum(255, colour)
    return warped
