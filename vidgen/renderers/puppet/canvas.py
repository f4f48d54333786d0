"""The few operations that all parts of a face are drawn with, so that each has one drawing code.

A `Canvas` draws one frame on the processor, by OpenCV and numpy; `torch_canvas.TorchCanvas` draws
a batch on a device by the same calls. Drawing code asks for nothing else but plain arithmetic,
`clip`, slices from the right (`[..., rows, columns, :]`) and what is here. One frame's pictures are
(h, w, C) and its numbers floats; a batch's are (B, h, w, C) and (B, 1, 1). What is the same in
every frame has no batch in either. Knows nothing of faces.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np

from vidgen.renderers.puppet import grid as grids
from vidgen.renderers.puppet.grid import Array, Grid, bounds
from vidgen.work import Box

T = TypeVar("T")
Number = Any  # of one frame a float, of a batch (B, 1, 1)


class Canvas:
    """One frame, on the processor. Bytes stay bytes: OpenCV is quickest with them."""

    batched = False  # whether it holds many frames: then nothing may be left out for one of them

    def hold(self, made: T) -> T:
        """`made`, an array or a dataclass of arrays, where this canvas draws."""
        return made

    # Places

    def nodes(self, rows: int, columns: int) -> Array:
        """Column and row of every node of a grid, (rows, columns, 2)."""
        return _nodes(rows, columns)

    def scale_places(self, places: Array, origin: Sequence[float], times: float) -> Array:
        """Places (…, 2) from `origin` on, `times` as large."""
        return grids.scale_places(places, origin, times)

    def places(self, x: Array, y: Array) -> Array:
        """(…, 2) of columns and rows."""
        return np.stack([x, y], -1)

    def fix(self, places: Array) -> Any:
        """Places in the form in which many pictures are looked up quickest, to 1/32 pixel."""
        import cv2

        return cv2.convertMaps(places, None, cv2.CV_16SC2)

    def enlarge(
        self, field: Array, pitch: int, size: tuple[int, int], smooth: bool = False
    ) -> Array:
        """`field` (rows, columns, C) of a `Grid` at the first `size` (h, w) pixels of its cells."""
        full = grids.enlarge(field, pitch, smooth)
        return np.ascontiguousarray(full[: size[0], : size[1]])

    def enlarge_all(
        self, several: Sequence[Array], pitch: int, size: tuple[int, int]
    ) -> Sequence[Array]:
        """Each of several fields of one grid, smoothly."""
        return [self.enlarge(field, pitch, size, smooth=True) for field in several]

    def invert(self, several: Sequence[Array], pitch: int, steps: int) -> Sequence[Array]:
        """For each forward field (rows, columns, 2) D with D(p) = -forward(p + D(p)), pixels, by
        so many steps to a fixed point."""
        return [self._invert(forward, pitch, steps) for forward in several]

    def _invert(self, forward: Array, pitch: int, steps: int) -> Array:
        at, back = self.nodes(*forward.shape[:2]), -forward
        for _ in range(steps):
            back = -self.look_up(forward, at + back / pitch)
        return back

    def spread(self, direction: Sequence[float], by: Number, times: float) -> Array:
        """A shift by `times` as many pixels along a unit vector, to be added to places."""
        return np.array(direction, np.float32) * np.float32(by * times)

    def move_box(
        self, box: Box, grid: Grid, field: Array, size: tuple[int, int], margin: float
    ) -> Box:
        """Where the frame shows now what was in `box`; `field` (absolute) is on `grid`.

        A batch has one answer for all its frames, and for all other batches of the film.
        """
        left, top, right, bottom = box
        middle = np.array([(left + right) / 2, (top + bottom) / 2])
        node = np.clip((middle - grid.origin) / grid.pitch, 0, np.array(field.shape[1::-1]) - 1)
        column, row = node.astype(int)
        place = np.array(grid.origin) + grid.pitch * np.array([column, row])
        dx, dy = place - field[row, column]
        low, high = (
            (left + dx - margin, top + dy - margin),
            (right + dx + margin, bottom + dy + margin),
        )
        return in_frame(low, high, size)

    def reach(self, box: Box, grid: Grid, field: Array, size: tuple[int, int]) -> Box | None:
        """The frame pixels that show any of `box`, however its parts move; None if none does."""
        slack = 1.5 * grid.pitch  # a cell, and what a cell is stretched at most
        low, high = np.array(box[:2]) - slack, np.array(box[2:]) + slack
        return shown_box(np.all((field > low) & (field < high), axis=-1), grid, size)

    # Pictures

    def look_up(self, picture: Array, at: Any, mirrored: bool = False) -> Array:
        """`picture` (h, w, C) at places (…, 2), or at what `fix` made of them, or at (x, y):
        bilinear; past its edge that edge again, or the picture `mirrored`."""
        x, y = at if isinstance(at, tuple) else (at, None)
        return grids.look_up(picture, x, y, mirrored)

    def look_up_all(self, several: Sequence[Array], at: Any) -> Sequence[Array]:
        """Each of several pictures of one size at the same places."""
        return [self.look_up(picture, at) for picture in several]

    def look_up_over(self, box: Box, several: Sequence[Array], at: Array) -> Sequence[Array]:
        """Each of several pictures that cover `box`, with whole numbers of pixels for one of the
        frame's, at places in the frame."""
        kinds = [(one.shape[1] // (box[2] - box[0]), one.dtype == np.uint8) for one in several]
        places = {kind: self._aim(at, box, *kind) for kind in set(kinds)}
        each = zip(several, kinds, strict=True)
        return [self.look_up(picture, places[kind]) for picture, kind in each]

    def _aim(self, at: Array, box: Box, times: int, coarse: bool) -> Any:
        scaled = self.scale_places(at, box[:2], times)
        return self.fix(scaled) if coarse else scaled

    def shift_back(
        self, column: Array, row: Array, along: tuple[Any, Any], du: Array, dv: Array
    ) -> Any:
        """Places less `du` the way `along`, a vector (x, y), and `dv` across it."""
        x, y = along
        return column - x * du + y * dv, row - y * du - x * dv

    def add(self, picture: Array, part: Array, left: int, top: int) -> Array:
        """A copy of `picture` with `part` added to it from (left, top) on."""
        whole = picture.copy()
        whole[top : top + part.shape[0], left : left + part.shape[1]] += part
        return whole

    def paste(self, picture: Array, part: Array, left: int, top: int) -> Array:
        """A copy of `picture` with `part` laid over it from (left, top) on."""
        whole = picture.copy()
        whole[top : top + part.shape[0], left : left + part.shape[1]] = part
        return whole

    def write(self, picture: Array, part: Array, colours: Array) -> Array:
        """`picture`, with finished `colours` written into this `part` of it."""
        part[:] = self.to_bytes(colours)
        return picture

    def split(self, picture: Array) -> tuple[Array, ...]:
        """The channels."""
        import cv2

        return tuple(cv2.split(picture))

    def within(self, at: Array, picture: Array) -> Array:
        """1 where places lie in `picture`, else 0, (h, w)."""
        import cv2

        height, width = picture.shape[:2]
        inside = cv2.inRange(at, (0.0, 0.0), (width - 1.0, height - 1.0))
        return np.asarray(inside.astype(np.float32) / 255)

    def look_up_patch(
        self,
        picture: Array,
        at: Array,
        mask: Array | None,  # noqa: ARG002  # a batch's
    ) -> tuple[Array, Array]:
        """Colours of a picture (h, w, 4) at places in it, and how much they cover, (h, w), 0–1:
        nothing past its pixels' edges.

        A batch's pictures have three channels, and all the `mask` (h, w, 1) that the places are in;
        both go from edge to edge, whatever their sizes are.
        """
        import cv2

        height, width = picture.shape[:2]
        found = self.look_up(picture, self.fix(at))
        inside = cv2.inRange(at, (-0.5, -0.5), (width - 0.5, height - 0.5))
        alpha = cv2.extractChannel(found, 3)
        cover = cv2.multiply(alpha, inside, scale=1 / 255**2, dtype=cv2.CV_32F)
        return np.asarray(cv2.cvtColor(found, cv2.COLOR_RGBA2RGB)), np.asarray(cover)

    def blend(self, one: Array, other: Array, share: Array, rest: Array | None = None) -> Array:
        """`one` by `share` (h, w) and `other` by `rest`, over their sum; 1 - share for no rest."""
        import cv2

        rest = 1 - share if rest is None else rest
        return np.asarray(cv2.blendLinear(one, other, share, rest))

    def mix(self, under: Array, over: Array, share: Array) -> Array:
        """Colours that are `over` where `share` (h, w) is 1, `under` where it is 0."""
        return np.asarray(under + share[..., None] * (over.astype(np.float32, copy=False) - under))

    def replace(self, under: Array, over: Array, share: Array) -> Array:
        """`mix`, when `under` has bytes."""
        share = share[..., None]
        return np.asarray(under * (1 - share) + over * share)

    def cover(self, under: Array, layer: Array, light: Array | None = None) -> Array:
        """A premultiplied layer (h, w, 4), 0–255, over colours (h, w, 3); in some `light`."""
        colours = layer[..., :3] if light is None else layer[..., :3] * light
        return np.asarray(under * (1 - layer[..., 3:] / 255) + colours)

    def fade(self, layer: Array, share: Number) -> Array:
        """A premultiplied layer that is there by a frame's `share`."""
        return np.asarray(layer * np.float32(share))

    def shades(
        self,
        ways: Sequence[Array],
        lengths: Sequence[float],
        leasts: Sequence[Sequence[float]],
        powers: Array,
    ) -> Sequence[Array]:
        """The light that is left where each of some things takes all but its least of it at 0 and
        nothing at its length: for each of `leasts`, to the `powers` of the colours, (h, w, 3)."""
        scaled = zip(ways, lengths, strict=True)
        ramps = [self.smoothstep(way / length) for way, length in scaled]
        lights = (
            np.prod([low + (1 - low) * ramp for low, ramp in zip(least, ramps, strict=True)], 0)
            for least in leasts
        )
        return [light[..., None] ** powers for light in lights]

    def relight(self, shade: Array, share: Number) -> Array:
        """What undoes a frame's `share` of a `shade` (h, w, 3) by multiplication."""
        return np.asarray(1 + np.float32(share) * (1 / shade - 1))

    def part_last(self, picture: Array) -> tuple[Array, Array]:
        """All channels but the last, and that one, (h, w, 1)."""
        return picture[..., :-1], picture[..., -1:]

    def to_bytes(self, colours: Array) -> Array:
        """Colours as a finished picture has them."""
        return grids.to_bytes(colours)

    def lay(self, out: Array, box: Box, pixels: Array | None, cover: Array) -> None:
        """`pixels`, or black, over the box of the frame `out`, where `cover` is 1."""
        import cv2

        left, top, right, bottom = box
        under = out[top:bottom, left:right, :3]
        if pixels is None:
            light = cv2.cvtColor(self.to_bytes(255 * (1 - cover)), cv2.COLOR_GRAY2RGB)
            under[:] = cv2.multiply(under, light, scale=1 / 255)
            return
        under[:] = cv2.blendLinear(pixels, np.ascontiguousarray(under), cover, 1 - cover)

    # Numbers

    def weigh_all(
        self, weights: Array, several: Sequence[Array], start: Array | float | None = None
    ) -> Sequence[Array]:
        """For each of several bases (N, …) their sum, times `weights` (N,), from `start` on."""
        sums = [
            (weights @ bases.reshape(len(weights), -1)).reshape(bases.shape[1:])
            for bases in several
        ]
        return sums if start is None else [start + found for found in sums]

    def edge(self, way: Array, slack: float, width: float) -> Array:
        """0 to 1 over `width` about a way of -`slack`."""
        return np.asarray(((way + slack) / width + 0.5).clip(0, 1))

    def limit(self, number: Number, low: float, high: float = np.inf) -> Number:
        """A frame's number from `low` to `high`."""
        return min(max(number, low), high)

    def is_over(self, number: Number, least: float) -> bool:
        """Whether a frame's number, or any of an array's, is over `least`: what is not, need not
        be drawn."""
        return bool((number if isinstance(number, float | np.floating) else np.max(number)) > least)

    def are_over(self, numbers: Sequence[Number], least: float) -> bool:
        """Whether a frame's numbers are, one way or the other and all together."""
        return bool(sum(map(abs, numbers)) > least)

    def only(self, chosen: Number, cover: Array) -> Array:  # noqa: ARG002  # else it is not called
        """`cover` in the frames that are `chosen`, 1, and nothing where that is 0."""
        return cover

    def choose(self, numbers: Sequence[Number], which: Any) -> Number:
        """One of two numbers."""
        return numbers[which]

    def part(self, share: Array, least: float) -> Any:
        """The part of (h, w) that is over `least`, for `cut`; None where none is."""
        return bounds(share > least)

    def crop(self, part: Any, *pictures: Array) -> Sequence[Array]:
        """This part of each, to be written to."""
        return [picture[part] for picture in pictures]

    def smoothstep(self, x: Any) -> Any:
        """0 below 0, 1 above 1, with slope 0 at both."""
        return grids.smoothstep(x)

    def bell(self, x: Array, width: Any) -> Array:
        """1 at 0, exp(-1) at `width`."""
        return np.asarray(np.exp(-((x / width) ** 2)))

    def add_product(self, to: Any, one: Any, other: Any, times: int = 1) -> Array:
        """`one` and `other` multiplied, once or -1 times, and added."""
        return np.asarray(to + one * other if times == 1 else to - one * other)

    def maximum(self, one: Array, other: Array) -> Array:
        return np.maximum(one, other)

    def where(self, chosen: Array, one: Any, other: Any) -> Array:
        return np.asarray(np.where(chosen, one, other))


ONE_FRAME: Final = Canvas()


def shown_box(shows: Array, grid: Grid, size: tuple[int, int]) -> Box | None:
    """The frame pixels about the nodes (rows, columns) of `grid` that are true; None for none."""
    part = bounds(shows)
    if part is None:
        return None
    low = [
        start + grid.pitch * side.start for start, side in zip(grid.origin, part[::-1], strict=True)
    ]
    high = [
        start + grid.pitch * (side.stop - 1) + 1
        for start, side in zip(grid.origin, part[::-1], strict=True)
    ]
    return in_frame(low, high, size)


def in_frame(low: Sequence[float], high: Sequence[float], size: tuple[int, int]) -> Box:
    """The pixels from `low` to `high`, at least two each way, inside a frame of `size`."""
    return (
        int(np.clip(low[0], 0, size[0] - 2)),
        int(np.clip(low[1], 0, size[1] - 2)),
        int(np.clip(high[0], 2, size[0])),
        int(np.clip(high[1], 2, size[1])),
    )


@lru_cache(maxsize=8)
def _nodes(rows: int, columns: int) -> Array:
    found = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)
    found.setflags(write=False)
    return found
