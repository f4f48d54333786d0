"""A batch of frames on a device, drawn by the calls of `canvas`.

Arrays are float32 tensors, (B, h, w, C) over memory in which each channel lies by itself, as
torch looks up and enlarges. Nothing here waits for the device or asks it anything: whatever might
not be needed in a frame is drawn with no cover. Torch's CPU stands in for a device in tests.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from vidgen.renderers.puppet.aim import Aim
from vidgen.renderers.puppet.canvas import Canvas, Number, T, shown_box
from vidgen.renderers.puppet.grid import Array, Grid
from vidgen.work import Box


def _size(picture: Any) -> tuple[int, int]:
    """Width and height of (…, h, w, C), at least two."""
    return max(2, picture.shape[-2]), max(2, picture.shape[-3])


class TorchCanvas(Canvas):
    """A batch of frames of one film."""

    batched = True

    def __init__(self, device: str, least: Array, most: Array) -> None:
        """`least` and `most`: how far, in any frame of the film, a node of the figure's grid may
        lie from its source, (rows, columns, 2) frame pixels."""
        import torch

        self.torch = torch
        self.device = torch.device(device)
        self.kind = torch.float16 if self.device.type == "cuda" else torch.float32  # of frames
        self._span = least, most
        self._kept: dict[Any, Any] = {}  # what is the same in all batches, by what it is of
        self._shared: dict[int, Any] = {}  # pictures that are, by their identity

    def upload(self, array: Array) -> Any:
        """An array on the device; the only way up."""
        return self.torch.from_numpy(np.array(array)).to(self.device)

    def hold(self, made: T) -> Any:
        if isinstance(made, np.ndarray):
            return self._picture(made)
        if isinstance(made, tuple):
            return type(made)(self.hold(one) for one in made)
        if is_dataclass(made) and not isinstance(made, type):
            parts = {part.name: self.hold(getattr(made, part.name)) for part in fields(made)}
            return replace(made, **parts)
        return made

    def _picture(self, array: Array) -> Any:
        held = self.upload(array)
        held = held if array.dtype == bool else held.float()
        if array.ndim == 3 and array.shape[2] <= 4:
            return self._share(held.permute(2, 0, 1).contiguous().permute(1, 2, 0))
        return held

    def _share(self, picture: Any) -> Any:
        self._shared[id(picture)] = picture
        return picture

    def constant(self, *values: float) -> Any:
        return self.keep(values, lambda: self.upload(np.array(values, np.float32)))

    def keep(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` makes, once for the film."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    # Places

    def nodes(self, rows: int, columns: int) -> Any:
        plain = super().nodes
        return self.keep(("nodes", rows, columns), lambda: self.upload(plain(rows, columns)))

    def places(self, x: Any, y: Any) -> Any:
        return self.torch.stack([x, y], -1)

    def scale_places(self, places: Any, origin: Sequence[float], times: float) -> Any:
        return Aim(self, places, tuple(origin), times)

    def enlarge(self, field: Any, pitch: int, size: tuple[int, int], smooth: bool = False) -> Any:
        if isinstance(field, Aim):
            return replace(field, places=self.enlarge(field.places, pitch, size, smooth), shares={})
        planes = field.permute(0, 3, 1, 2)
        return self._sample(planes, self._cells(planes.shape, pitch, size), smooth)

    def _cells(self, shape: Sequence[int], pitch: int, size: tuple[int, int]) -> Any:
        """Where the pixels of a grid's inner cells lie in it, (B, h, w, 2) from -1 to 1."""
        count, _, *nodes = shape

        def make() -> Any:
            y, x = (
                ((pitch + np.arange(long) + 0.5) / pitch - 0.5) * 2 / (many - 1) - 1
                for long, many in zip(size, nodes, strict=True)
            )
            at = np.stack(np.meshgrid(x, y), -1).astype(np.float32)
            return self.upload(at)

        key = "cells", *nodes, pitch, size
        cells = self.keep(key, make).expand
        return self.keep((count, *key), lambda: cells(count, -1, -1, -1))

    def enlarge_all(self, several: Sequence[Any], pitch: int, size: tuple[int, int]) -> Any:
        found = self.enlarge(self.torch.cat([*several]), pitch, size, smooth=True)
        return found.chunk(len(several))

    def invert(self, several: Sequence[Any], pitch: int, steps: int) -> Any:
        forward = away = self.torch.cat([*several])  # `away` is -D
        planes, size = forward.permute(0, 3, 1, 2), _size(forward)
        here = Aim(self, self.nodes(size[1], size[0])).share(size)
        step = self.constant(*(-2 / (side - 1) / pitch for side in size))
        for _ in range(steps):
            away = self._sample(planes, self.torch.addcmul(here, away, step))
        return away.neg().chunk(len(several))

    def spread(self, direction: Sequence[float], by: Number, times: float) -> Any:
        return by[..., None] * self.constant(*(times * side for side in direction))

    def move_box(
        self,
        box: Box,
        grid: Grid,
        field: Any,  # noqa: ARG002  # one box for the whole film
        size: tuple[int, int],
        margin: float,
    ) -> Box:
        return self.keep(  # type: ignore[no-any-return]
            ("box", box, margin), lambda: self._film_box(box, grid, size, margin)
        )

    def reach(self, box: Box, grid: Grid, field: Any, size: tuple[int, int]) -> Box | None:
        return self.move_box(box, grid, field, size, 0.0)

    def _film_box(self, box: Box, grid: Grid, size: tuple[int, int], margin: float) -> Box | None:
        """The frame pixels that show any of `box` in any frame of the film."""
        least, most = (np.stack(grid.nodes(), -1) + ways for ways in self._span)
        low, high = (np.array(side) for side in (box[:2], box[2:]))
        slack = margin + 1.5 * grid.pitch
        shows = (most > low - slack) & (least < high + slack)
        return shown_box(np.asarray(shows.all(-1)), grid, size)

    # Pictures

    def look_up(self, picture: Any, at: Any, mirrored: bool = False) -> Any:
        at = at if isinstance(at, Aim) else Aim(self, at)
        planes = self._planes(picture, len(at.places))
        return self._sample(planes, at.share(_size(picture)), mirrored=mirrored)

    def _sample(
        self,
        planes: Any,
        at: Any,
        smooth: bool = False,
        mirrored: bool = False,
        edges: bool = False,
    ) -> Any:
        """Planes (B, C, h, w) at (B, h', w', 2), -1 to 1 from the middles, or the `edges`, of the
        first pixels to those of the last: (B, h', w', C)."""
        found = self.torch.nn.functional.grid_sample(
            planes,
            at,
            mode="bicubic" if smooth else "bilinear",
            padding_mode="reflection" if mirrored else "border",
            align_corners=not edges,
        )
        return found.permute(0, 2, 3, 1)

    def look_up_all(self, several: Sequence[Any], at: Any) -> Any:
        found = self.look_up(self.torch.cat([*several], -1), at)
        return found.split([picture.shape[-1] for picture in several], -1)

    def look_up_over(self, box: Box, several: Sequence[Any], at: Any) -> Any:
        key = "over", *map(id, several)
        layers = self.keep(key, lambda: self._share(self._layers(several)))
        times = layers.shape[-2] // (box[2] - box[0])
        found = self.look_up(layers, self.scale_places(at, box[:2], times))
        if len(several) == 1:
            return (found,)
        return found.split([picture.shape[-1] for picture in several], -1)

    def _layers(self, several: Sequence[Any]) -> Any:
        """One picture of all channels, as fine as the finest; looked up it is as it was."""
        functional, finest = self.torch.nn.functional, max(one.shape[0] for one in several)
        layers = []
        for picture in several:
            times, planes = finest // picture.shape[0], picture.permute(2, 0, 1)[None]
            size = [times * (side - 1) + 1 for side in picture.shape[:2]]
            fine = functional.interpolate(planes, size, mode="bilinear", align_corners=True)
            room = (0, times - 1, 0, times - 1)
            layers.append(functional.pad(fine, room, mode="replicate"))
        return self.torch.cat(layers, 1)[0].permute(1, 2, 0)

    def _planes(self, picture: Any, count: int) -> Any:
        """(B, C, h, w); of what all batches share once for all."""
        if id(picture) not in self._shared:
            return picture.permute(0, 3, 1, 2)
        planes = picture.permute
        key = "planes", id(picture), count
        return self.keep(key, lambda: planes(2, 0, 1).expand(count, -1, -1, -1))

    def shift_back(self, column: Any, row: Any, along: tuple[Any, Any], du: Any, dv: Any) -> Any:
        add, (x, y) = self.torch.addcmul, along
        across = add(add(column, x, du, value=-1), y, dv)
        down = add(add(row, y, du, value=-1), x, dv, value=-1)
        return self.torch.stack([across, down], -1)

    def add(self, picture: Any, part: Any, left: int, top: int) -> Any:
        right, bottom = (
            whole - start - inner
            for whole, start, inner in zip(
                picture.shape[2:0:-1], (left, top), part.shape[2:0:-1], strict=True
            )
        )
        room = (0, 0, left, right, top, bottom)
        return picture + self.torch.nn.functional.pad(part, room)

    def paste(self, picture: Any, part: Any, left: int, top: int) -> Any:
        whole = picture.expand(len(part), -1, -1, -1).clone()
        whole[:, top : top + part.shape[1], left : left + part.shape[2]] = part
        return whole

    def write(self, picture: Any, part: Any, colours: Any) -> Any:
        colours = colours.clip(0, 255)  # as bytes would be
        if part is picture:
            return colours
        part.copy_(colours)
        return picture

    def split(self, picture: Any) -> tuple[Any, ...]:
        return picture.unbind(-1)  # type: ignore[no-any-return]

    def within(self, at: Any, picture: Any) -> Any:
        return self._inside(at.share(_size(picture)))

    def _inside(self, share: Any) -> Any:
        return self.torch.linalg.vector_norm(share, np.inf, -1) <= 1 + 1e-5

    def look_up_patch(self, picture: Any, at: Any, mask: Any) -> tuple[Any, Any]:
        share = at.share_edges(_size(mask))
        planes = picture.permute(0, 3, 1, 2), self._planes(mask, len(picture))
        colours = self._sample(planes[0], share, smooth=True, edges=True)
        colours = colours.clip(0, 255)  # beside an edge it overshoots, and a byte would turn over
        cover = self._sample(planes[1], share, edges=True)[..., 0]
        return colours, cover * self._inside(share)

    def blend(self, one: Any, other: Any, share: Any, rest: Any = None) -> Any:
        if rest is None:
            return self.mix(other, one, share)
        return self.mix(other, one, share / (share + rest))

    def mix(self, under: Any, over: Any, share: Any) -> Any:
        return self.torch.lerp(under, over, share[..., None])

    def replace(self, under: Any, over: Any, share: Any) -> Any:
        return self.mix(under, over, share)

    def cover(self, under: Any, layer: Any, light: Any = None) -> Any:
        colours, alpha = self.part_last(layer)
        left = self.torch.addcmul(under, under, alpha, value=-1 / 255)
        return left + colours if light is None else self.torch.addcmul(left, colours, light)

    def fade(self, layer: Any, share: Number) -> Any:
        return layer * share[..., None]

    def shades(
        self,
        ways: Sequence[Any],
        lengths: Sequence[float],
        leasts: Sequence[Sequence[float]],
        powers: Any,
    ) -> Any:
        each = self.torch.stack([*ways], -1) * self.constant(*(1 / length for length in lengths))
        ramps = self.smoothstep(each)
        takes = (self.constant(*(1 - low for low in least)) for least in leasts)
        lights = (
            self.torch.addcmul(self.constant(*least), ramps, take)
            for least, take in zip(leasts, takes, strict=True)
        )
        return [light.prod(-1, keepdim=True) ** powers for light in lights]

    def relight(self, shade: Any, share: Number) -> Any:
        return self.torch.lerp(self.constant(1.0), shade.reciprocal(), share[..., None])

    def part_last(self, picture: Any) -> Any:
        return picture.split((picture.shape[-1] - 1, 1), -1)

    def to_bytes(self, colours: Any) -> Any:
        return colours  # what leaves the frame is clipped

    def frames(self, size: tuple[int, int], like: Any, channels: int) -> Any:
        """Memory for a batch of frames (B, H, W, channels), the same for each batch `like` this,
        as long as this canvas: a record of a batch goes on writing there.

        Colours fit half precision, which a GPU is quicker with; places do not: at 1280 its step
        is a whole pixel.
        """

        def make() -> Any:
            shape = len(like), channels, size[1], size[0]
            return like.new_empty(shape, dtype=self.kind).permute(0, 2, 3, 1)

        return self.keep(("frames", len(like)), make)

    def view(self, out: Any, box: Box) -> Any:
        """The box of the frames that `frames` gave."""
        left, top, right, bottom = box
        return self.keep(("view", len(out), box), lambda: out[:, top:bottom, left:right])

    def planes(self, out: Any) -> Any:
        """The same as (B, C, H * W)."""
        return self.keep(("view", len(out)), lambda: out.permute(0, 3, 1, 2).flatten(2))

    def lay(self, out: Any, box: Box, pixels: Any, cover: Any) -> None:
        under = self.view(out, box)[..., :3] if out.shape[3] > 3 else self.view(out, box)
        cover = cover[..., None]
        if pixels is None:
            under.addcmul_(under, cover, value=-1)
            return
        if cover.dtype == self.torch.bool:
            under.copy_(self.torch.where(cover, pixels, under))
            return
        if out.dtype != pixels.dtype:
            pixels, cover = pixels.to(out.dtype), cover.to(out.dtype)
        under.lerp_(pixels, cover)

    # Numbers

    def weigh_all(self, weights: Any, several: Sequence[Any], start: Any = None) -> Any:
        key = "bases", *map(id, several)
        flat = self.keep(key, lambda: self.torch.stack([*several], 1).flatten(1))
        shape = len(several), *several[0].shape[1:]
        found = self.torch.mm(weights, flat).unflatten(1, shape[len(several) == 1 :])
        found = found if start is None else start + found  # large places after small ways
        return (found,) if len(several) == 1 else found.unbind(1)

    def edge(self, way: Any, slack: float, width: float) -> Any:
        middle = self.constant(slack / width + 0.5)
        return self.torch.add(middle, way, alpha=1 / width).clip(0, 1)

    def limit(self, number: Number, low: float, high: float = np.inf) -> Number:
        return number.clip(low, high)

    def is_over(self, number: Number, least: float) -> bool:  # noqa: ARG002  # a batch draws all
        return True

    def are_over(
        self,
        numbers: Sequence[Number],  # noqa: ARG002
        least: float,  # noqa: ARG002
    ) -> bool:
        return True

    def only(self, chosen: Number, cover: Any) -> Any:
        return cover * chosen

    def choose(self, numbers: Sequence[Number], which: Any) -> Any:
        return self.torch.lerp(*numbers, which)

    def part(self, share: Any, least: float) -> Any:  # noqa: ARG002  # a batch draws all
        return ...

    def crop(self, part: Any, *pictures: Any) -> Any:  # noqa: ARG002
        return pictures

    def smoothstep(self, x: Any) -> Any:
        x = x.clip(0, 1)
        return x * x * self.torch.rsub(x, 3, alpha=2)

    def bell(self, x: Any, width: Any) -> Any:
        if isinstance(width, float):
            return self.torch.addcmul(self.constant(0.0), x, x, value=-1 / width**2).exp()
        return self.torch.exp(-((x / width) ** 2))

    def add_product(self, to: Any, one: Any, other: Any, times: int = 1) -> Any:
        return self.torch.addcmul(to, one, other, value=times)

    def maximum(self, one: Any, other: Any) -> Any:
        return self.torch.maximum(one, other)

    def where(self, chosen: Any, one: Any, other: Any) -> Any:
        return self.torch.where(chosen, one, other)
