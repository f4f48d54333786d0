"""The frames of one performance by torch: large batches on a GPU, leaving it as YUV.

Takes the same coefficients, fields and overlays as `cpu`; the device warps and mixes whole
frames, worker threads prepare the fields and the small overlays meanwhile. Also runs on torch's
CPU, which stands in for a GPU in tests.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np

from vidgen.media.colour import RGB_TO_YUV
from vidgen.renderers.base import FacePainter
from vidgen.renderers.puppet.grid import Array
from vidgen.renderers.puppet.overlay import Overlay, Patch, overlays, patches
from vidgen.renderers.puppet.poses import Poses
from vidgen.renderers.puppet.rig import Rig, into
from vidgen.work import Box, Frames, Pixels

BATCH: Final = 32  # at 720p a batch takes 1.2 GB on the device


@dataclass(frozen=True, slots=True)
class Paint:
    """A frame's overlays as one picture."""

    box: Box  # frame pixels
    pixels: Pixels  # (h, w, 4) premultiplied


@dataclass(frozen=True, slots=True)
class FrameInputs:
    """One frame as the device needs it."""

    maps: Array  # (rows, columns, 2) float32: pixels of the layer's picture, on the grid
    paint: Paint | None  # all that is laid over the warped photo


class CudaCanvas:
    """A figure on a device, ready to be drawn in batches."""

    def __init__(self, figure: Rig, device: str) -> None:
        import torch

        self.figure = figure
        self.device = torch.device(device)
        # colours fit half precision; places do not: at 1280 its step is a whole pixel
        self.dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        self.fine = self._picture(figure.layer.fine, torch.float32)  # (1, 4, 2 h, 2 w)
        behind = figure.layer.background
        self.behind = None if behind is None else self._picture(behind, self.dtype)  # (1, 3, H, W)
        height, width = self.fine.shape[2:]
        # What stays the same goes up once: each upload waits for all that the device is at.
        self.scale = self.upload(np.array([2 / (width - 1), 2 / (height - 1)], np.float32))
        self.matrix = self.upload(RGB_TO_YUV[:, :3].astype(np.float32))

    def upload(self, array: Array) -> Any:
        """An array on the device; the only way up."""
        import torch

        return torch.from_numpy(array).to(self.device)

    def _picture(self, pixels: Array, dtype: Any) -> Any:
        return self.upload(pixels).to(dtype).permute(2, 0, 1)[None].contiguous()

    def draw(self, frames: list[FrameInputs], layout: str) -> Frames:
        """A batch in `layout`: "rgb24", "yuv420p", or "rgba" without a background."""
        import torch

        with torch.inference_mode():
            colours, alpha = self._place(self._warp(frames))
            self._lay(colours, frames)
            return Frames(self._pack(colours, alpha, layout), layout)

    def _warp(self, frames: list[FrameInputs]) -> Any:
        """The speaker's layer, premultiplied, over its box: (B, 4, h, w)."""
        from torch.nn import functional

        grid, box = self.figure.grid, self.figure.layer.box
        pitch = grid.pitch
        maps = self.upload(np.stack([frame.maps for frame in frames]))
        maps = maps.permute(0, 3, 1, 2)  # (B, 2, rows, columns)
        size = (grid.rows * pitch, grid.columns * pitch)
        full = functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
        full = full[:, :, pitch : pitch + box[3] - box[1], pitch : pitch + box[2] - box[0]]
        at = full.permute(0, 2, 3, 1) * self.scale - 1  # (B, h, w, 2)
        fine = self.fine.expand(len(frames), -1, -1, -1)
        return functional.grid_sample(
            fine, at, mode="bilinear", padding_mode="reflection", align_corners=True
        ).to(self.dtype)

    def _place(self, warped: Any) -> tuple[Any, Any]:
        """Colours (B, 3, H, W), and alpha (B, 1, H, W) for a film with transparency."""
        import torch

        left, top, right, bottom = self.figure.layer.box
        width, height = self.figure.size
        colour, alpha = warped[:, :3], warped[:, 3:]
        inside = slice(top, bottom), slice(left, right)
        if self.behind is None:
            colours = warped.new_zeros((len(warped), 3, height, width))
            cover = torch.zeros_like(colours[:, :1])
            colours[:, :, *inside] = (255 * colour / alpha.clamp(min=1)).clamp(max=255)
            cover[:, :, *inside] = alpha
            return colours, cover
        colours = self.behind.repeat(len(warped), 1, 1, 1)
        colours[:, :, *inside] = colour + self.behind[:, :, *inside] * (1 - alpha / 255)
        return colours, None

    def _lay(self, colours: Any, frames: list[FrameInputs]) -> None:
        """The whole batch's overlays at once: one upload and a handful of calls."""
        paints = [frame.paint for frame in frames]
        box = _around([paint.box for paint in paints if paint])
        if box is None:
            return
        left, top, right, bottom = box
        whole = np.zeros((len(frames), bottom - top, right - left, 4), np.uint8)
        for picture, paint in zip(whole, paints, strict=True):
            if paint:
                x, y = paint.box[0] - left, paint.box[1] - top
                height, width = paint.pixels.shape[:2]
                picture[y : y + height, x : x + width] = paint.pixels
        laid = self.upload(whole).to(self.dtype).permute(0, 3, 1, 2)  # (B, 4, h, w)
        under = colours[:, :, top:bottom, left:right]
        under.mul_(1 - laid[:, 3:] / 255).add_(laid[:, :3])

    def _pack(self, colours: Any, alpha: Any, layout: str) -> Pixels:
        """Colours (B, 3, H, W) and alpha as bytes on the host."""
        import torch

        if layout == "yuv420p":
            return self._download(self._yuv(colours))
        whole = colours if alpha is None else torch.cat([colours, alpha], 1)
        pixels = (whole + 0.5).clamp(0, 255).to(torch.uint8)
        return self._download(pixels.permute(0, 2, 3, 1).contiguous())

    def _yuv(self, colours: Any) -> Any:
        """(B, 3, H, W) → (B, H * 3 / 2, W): a plane of Y, then U and V at half the resolution."""
        import torch
        from torch.nn import functional

        planes = torch.einsum("pc,bchw->bphw", self.matrix, colours.float())
        luma = planes[:, 0] + 16.5
        chroma = functional.avg_pool2d(planes[:, 1:], 2) + 128.5
        batch, height, width = luma.shape
        flat = torch.cat([luma.reshape(batch, -1), chroma.reshape(batch, -1)], 1)
        return flat.clamp(0, 255).to(torch.uint8).reshape(batch, height * 3 // 2, width)

    def _download(self, made: Any) -> Pixels:
        """To page-locked memory, which takes it at forty times the speed of any other."""
        import torch

        if self.device.type != "cuda":
            return np.asarray(made.cpu().numpy())
        host = torch.empty(made.shape, dtype=made.dtype, pin_memory=True)
        host.copy_(made)
        return np.asarray(host.numpy())


def _around(boxes: list[Box]) -> Box | None:
    """The smallest box that holds all of them."""
    if not boxes:
        return None
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def frames(
    canvas: CudaCanvas,
    plan: Poses,
    first: int,
    last: int,
    workers: ThreadPoolExecutor,
    painter: FacePainter | None = None,
    batch: int = BATCH,
) -> Iterator[Frames]:
    """Frames first..last-1; the next batch is prepared while the device draws one."""
    layout = "rgba" if canvas.behind is None else "yuv420p"
    waiting: deque[list[Future[FrameInputs]]] = deque()
    painted = patches(painter, first, last)
    for start in range(first, last, batch):
        few = enumerate(islice(painted, batch), start)
        waiting.append(
            [workers.submit(prepare, canvas.figure, plan, index, patch) for index, patch in few]
        )
        if len(waiting) > 1:
            yield canvas.draw([frame.result() for frame in waiting.popleft()], layout)
    while waiting:
        yield canvas.draw([frame.result() for frame in waiting.popleft()], layout)


def prepare(figure: Rig, plan: Poses, index: int, patch: Patch | None = None) -> FrameInputs:
    """Fields and overlays of one frame."""
    fields = figure.fields(plan.weights[index], plan.turns[index])
    maps = into(fields.whole, figure.layer.box)
    parts = list(overlays(figure, plan, index, fields, patch))
    return FrameInputs(maps.astype(np.float32), _mix(parts))


def _mix(parts: list[Overlay]) -> Paint | None:
    """The overlays one over the other, on nothing."""
    import cv2

    box = _around([part.box for part in parts])
    if box is None:
        return None
    pixels = np.zeros((box[3] - box[1], box[2] - box[0], 4), np.uint8)
    for part in parts:
        left, top = part.box[0] - box[0], part.box[1] - box[1]
        height, width = part.cover.shape
        under = pixels[top : top + height, left : left + width]
        solid = cv2.cvtColor(part.pixels, cv2.COLOR_RGB2RGBA)
        cover = np.ascontiguousarray(part.cover)
        under[:] = cv2.blendLinear(solid, np.ascontiguousarray(under), cover, 1 - cover)
    return Paint(box, pixels)
