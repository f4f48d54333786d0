"""The frames of one performance by torch: large batches on a GPU, leaving it as YUV.

The poses of a batch go up, a few numbers a frame; everything else lies on the device from the
beginning, and all is drawn there by the code that draws a frame on the processor, on a
`TorchCanvas`. Also runs on torch's CPU, which stands in for a GPU in tests.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

import numpy as np

from vidgen.media.colour import RGB_TO_YUV
from vidgen.renderers.base import FacePainter
from vidgen.renderers.puppet.both_eyes import both_eyes
from vidgen.renderers.puppet.layer import FINE
from vidgen.renderers.puppet.overlay import Patch, overlays, patches
from vidgen.renderers.puppet.poses import Pose, Poses
from vidgen.renderers.puppet.rig import Fields, Rig
from vidgen.renderers.puppet.torch_canvas import TorchCanvas
from vidgen.work import Frames

BATCH: Final = 32
AHEAD: Final = 2  # batches that the device is given before the first of them is waited for


@dataclass(frozen=True, slots=True)
class Landing:
    """A batch on its way down, into page-locked memory: that takes it at forty times the speed."""

    host: Any
    landed: Any  # an event of the device; None where there is nothing to wait for
    layout: str

    def wait(self) -> Frames:
        """The frames, once they are here. Torch uses the memory again when nobody holds them."""
        if self.landed is not None:
            self.landed.synchronize()
        return Frames(np.asarray(self.host.numpy()), self.layout)


class DeviceDrawing:
    """A film's figure on a device, drawn in batches."""

    def __init__(self, figure: Rig, plan: Poses, device: str) -> None:
        import torch

        self.canvas = self.make_canvas(device, figure, plan)
        eyes = both_eyes(figure.eyes, figure.layer)
        self.figure = self.canvas.hold(replace(figure, eyes=eyes))
        self.plan = plan
        self.matrix = self.canvas.hold(RGB_TO_YUV[:, :3])
        # colours fit half precision; places do not: at 1280 its step is a whole pixel
        self.on_gpu = self.canvas.device.type == "cuda"
        self.dtype = torch.float16 if self.on_gpu else torch.float32

    def make_canvas(self, device: str, figure: Rig, plan: Poses) -> TorchCanvas:
        return TorchCanvas(device, *figure.extent(plan.weights, plan.turns))

    @property
    def layout(self) -> str:
        """Of a film's frames."""
        return "rgba" if self.figure.layer.background is None else "yuv420p"

    def draw(
        self, first: int, last: int, layout: str = "", painted: list[Patch | None] | None = None
    ) -> Landing:
        """Frames first..last-1, `painted` by another or not: "yuv420p", "rgb24", or "rgba" without
        a background. Returns before the device has drawn them."""
        import torch

        layout = layout or self.layout
        with torch.inference_mode():
            pose = self._pose(first, last)
            fields = self.figure.fields(self.canvas, pose.weights, pose.turns)
            out = self._place(self._warp(fields))
            for part in overlays(self.canvas, self.figure, pose, fields, self._stack(painted)):
                self.canvas.lay(out, part.box, part.pixels, part.cover)
            made = self._yuv(out) if layout == "yuv420p" else (out + 0.5).clip(0, 255)
            return self._land(made.to(torch.uint8), layout)

    def _pose(self, first: int, last: int) -> Pose:
        """What the frames ask, gone up in one piece."""
        plan, span = self.plan, slice(first, last)
        weights = plan.weights[span]
        numbers = [
            *(plan.lids[span].T, plan.gaze[span].T, plan.looks[span]),
            *(part[span] for part in (plan.tongue, plan.drop, plan.lift, plan.tip, plan.speaks)),
        ]
        rows = np.vstack([weights.T, plan.turns[span].T, *numbers]).astype(np.float32)
        up = self.canvas.upload(rows)  # (26, B)
        turned, single = weights.shape[1], weights.shape[1] + plan.turns.shape[1]
        left, right, x, y, looks, *mouth = up[single:, :, None, None].unbind()
        return Pose(up[:turned].T, up[turned:single].T, (left, right), (x, y), looks, *mouth)

    def _stack(self, painted: list[Patch | None] | None) -> Patch | None:
        """A batch of patches on the device."""
        found = [patch for patch in painted or () if patch is not None]
        if not found:
            return None
        pixels = self.canvas.upload(np.stack([patch.pixels for patch in found])).float()
        return Patch(found[0].box, pixels)

    def _warp(self, fields: Fields) -> Any:
        """The speaker's layer, premultiplied, over its box: (B, h, w, 4)."""
        layer = self.figure.layer
        left, top, right, bottom = layer.box
        places = self.canvas.scale_places(fields.whole, (left, top), FINE)
        at = self.canvas.enlarge(places, self.figure.grid.pitch, (bottom - top, right - left))
        return self.canvas.look_up(layer.fine, at, mirrored=True)

    def _place(self, warped: Any) -> Any:
        """Whole frames (B, H, W, 3), or (B, H, W, 4) for a film with transparency."""
        left, top, right, bottom = self.figure.layer.box
        width, height = self.figure.size
        inside = slice(None), slice(top, bottom), slice(left, right)
        colour, alpha = warped[..., :3], warped[..., 3:]
        behind = self.figure.layer.background
        shape = len(warped), 3 if behind is not None else 4, height, width
        out = warped.new_empty(shape, dtype=self.dtype).permute(0, 2, 3, 1)
        if behind is None:
            colour.mul_(255).div_(alpha.clip(min=1)).clip_(max=255)
            out.zero_()[inside] = warped
        else:
            colour.addcmul_(behind[inside[1:]], 1 - alpha / 255)
            out[:] = behind
            out[inside] = colour
        return out

    def _yuv(self, colours: Any) -> Any:
        """(B, H, W, 3) → (B, H * 3 / 2, W): a plane of Y, then U and V at half the resolution."""
        import torch
        from torch.nn import functional

        planes = torch.einsum("pc,bhwc->bphw", self.matrix, colours.float())
        luma = planes[:, 0] + 16.5
        chroma = functional.avg_pool2d(planes[:, 1:], 2) + 128.5
        batch, height, width = luma.shape
        flat = torch.cat([luma.reshape(batch, -1), chroma.reshape(batch, -1)], 1)
        return flat.clamp(0, 255).reshape(batch, height * 3 // 2, width)

    def _land(self, made: Any, layout: str) -> Landing:
        import torch

        if not self.on_gpu:
            return Landing(made.contiguous(), None, layout)
        host = torch.empty(made.shape, dtype=made.dtype, pin_memory=True)
        host.copy_(made.contiguous(), non_blocking=True)
        landed = torch.cuda.Event()
        landed.record()
        return Landing(host, landed, layout)


def frames(
    drawing: DeviceDrawing,
    first: int,
    last: int,
    painter: FacePainter | None = None,
    batch: int = BATCH,
) -> Iterator[Frames]:
    """Frames first..last-1; the device has the next batches to draw while one is taken."""
    waiting: deque[Landing] = deque()
    painted = patches(painter, first, last)
    for start in range(first, last, batch):
        few = list(islice(painted, batch))
        waiting.append(drawing.draw(start, start + len(few), painted=few))
        if len(waiting) > AHEAD:
            yield waiting.popleft().wait()
    while waiting:
        yield waiting.popleft().wait()
