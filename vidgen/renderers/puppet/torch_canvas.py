"""A batch of frames on a device, drawn by the calls of `canvas`.

Arrays are float32 tensors, (B, h, w, C) over memory in which each channel lies by itself, as
torch looks up and enlarges. Nothing here waits for the device or asks it anything: whatever might
not be needed in a frame is drawn with no cover. Torch's CPU stands in for a device in tests.
"""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from vidgen.renderers.puppet.canvas import Canvas, Number, T, shown_box
from vidgen.renderers.puppet.grid import Array, Grid
from vidgen.work import Box


class TorchCanvas(Canvas):
    """A batch of frames of one film."""

    batched = True

    def __init__(self, device: str, least: Array, most: Array) -> None:
        """`least` and `most`: how far, in any frame of the film, a node of the figure's grid may
        lie from its source, (rows, columns, 2) frame pixels."""
        import torch

        self.torch = torch
        self.device = torch.device(device)
        self._span = least, most
        self._kept: dict[Any, Any] = {}  # what is the same in all batches, by what it is of

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
            return held.permute(2, 0, 1).contiguous().permute(1, 2, 0)
        return held

    def _constant(self, *values: float) -> Any:
        if values not in self._kept:
            self._kept[values] = self.upload(np.array(values, np.float32))
        return self._kept[values]

    # Places

    def nodes(self, rows: int, columns: int) -> Any:
        key = "nodes", rows, columns
        if key not in self._kept:
            self._kept[key] = self.upload(super().nodes(rows, columns))
        return self._kept[key]

    def scale_places(self, places: Any, origin: Sequence[float], times: float) -> Any:
        start = self._constant(*(-times * value for value in origin))
        return self.torch.add(start, places, alpha=times)

    def fix(self, places: Any) -> Any:
        return places

    def enlarge(self, field: Any, pitch: int, size: tuple[int, int], smooth: bool = False) -> Any:
        full = self.torch.nn.functional.interpolate(
            field.permute(0, 3, 1, 2),
            size=(pitch * field.shape[1], pitch * field.shape[2]),
            mode="bicubic" if smooth else "bilinear",
            align_corners=False,
        )
        full = full[..., pitch : pitch + size[0], pitch : pitch + size[1]]
        return full.permute(0, 2, 3, 1)

    def spread(self, direction: Sequence[float], by: Number) -> Any:
        return by[..., None] * self._constant(*direction)

    def move_box(
        self,
        box: Box,
        grid: Grid,
        field: Any,  # noqa: ARG002  # one box for the whole film
        size: tuple[int, int],
        margin: float,
    ) -> Box:
        key = "box", box, margin
        if key not in self._kept:
            self._kept[key] = self._film_box(box, grid, size, margin)
        return self._kept[key]  # type: ignore[no-any-return]

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
        at = self.torch.stack(at, -1) if isinstance(at, tuple) else at
        height, width = (max(2, side) for side in picture.shape[-3:-1])
        scale = self._constant(2 / (width - 1), 2 / (height - 1))
        found = self.torch.nn.functional.grid_sample(
            picture.movedim(-1, -3).expand(len(at), -1, -1, -1),
            self.torch.addcmul(self._constant(-1.0), at, scale),
            padding_mode="reflection" if mirrored else "border",
            align_corners=True,
        )
        return found.permute(0, 2, 3, 1)

    def paste(self, picture: Any, part: Any, left: int, top: int) -> Any:
        whole = picture.expand(len(part), -1, -1, -1).clone()
        whole[:, top : top + part.shape[1], left : left + part.shape[2]] = part
        return whole

    def split(self, picture: Any) -> tuple[Any, ...]:
        return picture.unbind(-1)  # type: ignore[no-any-return]

    def colours(self, picture: Any) -> Any:
        return picture[..., :3]

    def within(
        self, at: Any, low: Sequence[float], high: Sequence[float], alpha: Any = None
    ) -> Any:
        halves = [(end - start) / 2 for start, end in zip(low, high, strict=True)]
        scale = [1 / half for half in halves]
        start = [-1 - begin / half for begin, half in zip(low, halves, strict=True)]
        off = self.torch.addcmul(self._constant(*start), at, self._constant(*scale)).abs()
        inside = (off <= 1 + 1e-5).all(-1)
        return inside.float() if alpha is None else alpha * inside * (1 / 255)

    def blend(self, one: Any, other: Any, share: Any, rest: Any = None) -> Any:
        if rest is None:
            return self.mix(other, one, share)
        share, rest = share[..., None], rest[..., None]
        return (one * share + other * rest) / (share + rest)

    def mix(self, under: Any, over: Any, share: Any) -> Any:
        return self.torch.lerp(under, over, share[..., None])

    def cover(self, under: Any, layer: Any) -> Any:
        colours, alpha = layer[..., :3], layer[..., 3:]
        return self.torch.addcmul(under + colours, under, alpha, value=-1 / 255)

    def to_bytes(self, colours: Any) -> Any:
        return colours.clip(0, 255)

    def lay(self, out: Any, box: Box, pixels: Any, cover: Any) -> None:
        left, top, right, bottom = box
        under = out[:, top:bottom, left:right, :3]
        if pixels is None:
            under.mul_(1 - cover[..., None].to(out.dtype))
            return
        under.lerp_(pixels.to(out.dtype), cover[..., None].to(out.dtype))

    # Numbers

    def weigh(self, weights: Any, bases: Any) -> Any:
        return (weights @ bases.flatten(1)).unflatten(1, bases.shape[1:])

    def limit(self, number: Number, low: float, high: float = np.inf) -> Number:
        return number.clip(low, high)

    def is_over(self, number: Number, least: float) -> bool:  # noqa: ARG002  # a batch draws all
        return True

    def only_over(self, number: Number, least: float, cover: Any) -> Any:
        return cover * (number > least)

    def part(self, share: Any, least: float) -> Any:  # noqa: ARG002  # a batch draws all
        return ...

    def smoothstep(self, x: Any) -> Any:
        x = x.clip(0, 1)
        return x * x * self.torch.rsub(x, 3, alpha=2)

    def bell(self, x: Any, width: Any) -> Any:
        if isinstance(width, float):
            return self.torch.exp(x * x * (-1 / width**2))
        return self.torch.exp(-((x / width) ** 2))

    def maximum(self, one: Any, other: Any) -> Any:
        return self.torch.maximum(one, other)

    def where(self, chosen: Any, one: Any, other: Any) -> Any:
        return self.torch.where(chosen, one, other)
