"""The frames of one performance by torch: large batches on a GPU, leaving it as YUV.

The poses of a batch go up, a few numbers a frame; everything else lies on the device from the
beginning, and all is drawn there by the code that draws a frame on the processor, on a
`TorchCanvas`. Also runs on torch's CPU, which stands in for a GPU in tests.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, repeat
from typing import Any, Final

import numpy as np

from vidgen.device.batch_graph import BatchGraph
from vidgen.device.memory import free_on_device
from vidgen.media.colour import RGB_TO_YUV
from vidgen.renderers.base import FacePainter
from vidgen.renderers.puppet.both_eyes import both_eyes
from vidgen.renderers.puppet.grid import Array
from vidgen.renderers.puppet.layer import FINE
from vidgen.renderers.puppet.overlay import Patch, overlays
from vidgen.renderers.puppet.poses import Pose, Poses
from vidgen.renderers.puppet.rig import Fields, Rig
from vidgen.renderers.puppet.torch_canvas import TorchCanvas
from vidgen.work import Frames

BATCH: Final = 32  # frames; more bring nothing on an H100
SHARE: Final = 0.4  # of the free memory for a batch: as much again for the record of one
PAINTED_BYTES: Final = 15 * 256**2  # a face of three channels, as bytes and as floats
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
    """A film's figure on a device, drawn in batches; its lower face by a `painter`, if any."""

    def __init__(
        self,
        figure: Rig,
        plan: Poses,
        device: str,
        painter: FacePainter | None = None,
        batch: int = 0,
    ) -> None:
        """`batch` frames are drawn at once; 0: as many as the memory takes when drawing begins."""
        self.canvas = self.make_canvas(device, figure, plan)
        eyes = both_eyes(figure.eyes, figure.layer)
        self.figure = self.canvas.hold(replace(figure, eyes=eyes))
        self.plan = plan
        self.matrix = self.canvas.hold(RGB_TO_YUV[:, :3])
        self.level = self.canvas.upload(np.array([[16.5], [128.5], [128.5]], np.float32))
        self.on_gpu = self.canvas.device.type == "cuda"
        self._graphs: dict[tuple[Any, ...], BatchGraph | None] = {}  # by shapes and layout
        self._painter = painter
        self._batch = batch
        self._mask = self.canvas.hold(painter.mask[..., None]) if painter else None

    def make_canvas(self, device: str, figure: Rig, plan: Poses) -> TorchCanvas:
        return TorchCanvas(device, *figure.extent(plan.weights, plan.turns))

    @property
    def layout(self) -> str:
        """Of a film's frames."""
        return "rgba" if self.figure.layer.background is None else "yuv420p"

    def batch(self) -> int:
        """Frames drawn at once. Asked when a painter has what it needs, before the first."""
        if not self._batch:
            free = free_on_device(str(self.canvas.device))
            self._batch = batch_for(self.frame_bytes, free)
        return self._batch

    @property
    def frame_bytes(self) -> int:
        """The device's memory for each frame of a batch, beside what all share; at most a third
        more than is needed."""
        (left, top, right, bottom), (width, height) = self.figure.layer.box, self.figure.size
        out, single = (6, 12) if self.on_gpu else (12, 0)  # bytes a pixel; half precision's copy
        warp = 36  # places twice, RGBA, what shows behind it
        layer = warp * (right - left) * (bottom - top)
        yuv = single + 20  # three planes, chroma at half the resolution, all as one
        beside = 6  # fields, the last overlay, bytes
        most = max(layer, yuv * width * height) + (out + beside) * width * height
        return int(most) + (PAINTED_BYTES if self._painter else 0)

    def draw(
        self,
        first: int,
        last: int,
        layout: str = "",
        faces: Sequence[Any] = (),
        batch: int = 0,
    ) -> Landing:
        """Frames first..last-1: "yuv420p", "rgb24", or "rgba" without a background. Returns before
        the device has drawn them. `faces` are the painter's for these frames, one tensor after the
        other.

        They are drawn as a batch of `batch` frames, if that is more: the last one again and again.
        So a frame is the same in whatever company, and a recorded batch does for all.
        """
        import torch

        layout, count = layout or self.layout, last - first
        more = max(0, batch - count)
        with torch.inference_mode():
            numbers = np.pad(self.numbers(first, last), ((0, more), (0, 0)), mode="edge")
            asked = [self.canvas.upload(numbers)]
            if faces:
                asked.append(self._join(faces, more))
            made = self._play(layout, *asked) if self.on_gpu else None
            made = self.draw_batch(layout, *asked) if made is None else made
            return self._land(made[:count], layout)

    def _play(self, layout: str, *asked: Any) -> Any | None:
        """A batch by its record, which is made first; None where none can be."""
        key = layout, *(tuple(one.shape) for one in asked)
        if key not in self._graphs:
            self._graphs[key] = None
            with suppress(RuntimeError):  # then it is drawn call by call
                self._graphs[key] = BatchGraph(partial(self.draw_batch, layout), *asked)
        graph = self._graphs[key]
        return None if graph is None else graph.play(*asked)

    def _join(self, faces: Sequence[Any], more: int) -> Any:
        """One tensor of all, and the last of them so many times `more`."""
        import torch

        if self.on_gpu:
            for some in faces:  # their memory is another stream's, to use again when they are gone
                some.record_stream(torch.cuda.current_stream(self.canvas.device))
        return torch.cat([*faces, faces[-1][-1:].expand(more, -1, -1, -1)])

    def numbers(self, first: int, last: int) -> Array:
        """All that goes up for these frames: (B, 26)."""
        plan = self.plan.part(first, last)
        columns = [
            *(plan.weights, plan.turns, plan.lids, plan.gaze, plan.looks),
            *(plan.tongue, plan.drop, plan.lift, plan.tip, plan.speaks),
        ]
        rows = [column.reshape(last - first, -1) for column in columns]
        return np.hstack(rows).astype(np.float32)

    def draw_batch(self, layout: str, asked: Any, faces: Any = None) -> Any:
        """The frames with these `numbers` (B, 26) on the device, bytes as `layout` has them, and
        `faces` (B, 3, H, W) of the painter. The same calls for all batches of a size, and none
        that waits."""
        import torch

        pose = self._pose(asked)
        fields = self.figure.fields(self.canvas, pose.weights, pose.turns)
        out, patch = self._place(self._warp(fields)), self._patch(faces)
        for part in overlays(self.canvas, self.figure, pose, fields, patch):
            self.canvas.lay(out, part.box, part.pixels, part.cover)
        made = self._yuv(out) if layout == "yuv420p" else (out + 0.5).clip(0, 255)
        return made.to(torch.uint8)

    def _pose(self, asked: Any) -> Pose:
        sizes = [self.plan.weights.shape[1], self.plan.turns.shape[1]]
        weights, turns, rest = asked.split([*sizes, asked.shape[1] - sum(sizes)], 1)
        left, right, x, y, *others = rest[..., None, None].unbind(1)
        return Pose(weights, turns, (left, right), (x, y), *others)

    def _patch(self, faces: Any) -> Patch | None:
        if self._painter is None or faces is None:
            return None
        return Patch(self._painter.box, faces.float().permute(0, 2, 3, 1), self._mask)

    def _warp(self, fields: Fields) -> Any:
        """The speaker's layer, premultiplied, over its box: (B, h, w, 4)."""
        layer = self.figure.layer
        left, top, right, bottom = layer.box
        places = self.canvas.scale_places(fields.whole, (left, top), FINE)
        at = self.canvas.enlarge(places, self.figure.grid.pitch, (bottom - top, right - left))
        return self.canvas.look_up(layer.fine, at, mirrored=True)

    def _place(self, warped: Any) -> Any:
        """Whole frames (B, H, W, 3), or (B, H, W, 4) for a film with transparency; in memory that
        each batch of this size uses again."""
        import torch

        behind, box = self.figure.layer.background, self.figure.layer.box
        out = self.canvas.frames(self.figure.size, warped, 3 if behind is not None else 4)
        inside = self.canvas.view(out, box)
        colour, alpha = self.canvas.part_last(warped)
        if behind is None:
            colour.mul_(255).div_(alpha.clip(min=1)).clip_(max=255)
            out.zero_()
            inside.copy_(warped)
        else:
            out.copy_(behind)
            torch.addcmul(colour, inside, torch.rsub(alpha, 1, alpha=1 / 255), out=inside)
        return out

    def _yuv(self, colours: Any) -> Any:
        """(B, H, W, 3) → (B, H * 3 / 2, W): a plane of Y, then U and V at half the resolution.

        Colours a little under black or over white stay bytes: YUV has room for them.
        """
        import torch
        from torch.nn import functional

        batch, height, width, _ = colours.shape
        flat = self.canvas.planes(colours)
        flat = flat if flat.dtype == torch.float32 else flat.float()
        matrix = self.canvas.keep(("yuv", batch), lambda: self.matrix.expand(batch, -1, -1))
        planes = torch.baddbmm(self.level, matrix, flat)
        luma, chroma = planes.split((1, 2), 1)
        small = functional.avg_pool2d(chroma.unflatten(2, (height, width)), 2)
        whole = torch.cat([luma.flatten(1), small.flatten(1)], 1)
        return whole.view(batch, height * 3 // 2, width)

    def _land(self, made: Any, layout: str) -> Landing:
        import torch

        if not self.on_gpu:
            return Landing(made.contiguous(), None, layout)
        host = torch.empty(made.shape, dtype=made.dtype, pin_memory=True)
        host.copy_(made.contiguous(), non_blocking=True)
        landed = torch.cuda.Event(blocking=True)  # else who waits keeps a core busy
        landed.record(torch.cuda.current_stream(self.canvas.device))  # of all devices' this one's
        return Landing(host, landed, layout)


def batch_for(frame_bytes: int, free: float | None) -> int:
    """How many frames to draw at once with so many bytes `free` on the device, None for unknown."""
    return BATCH if free is None else max(1, min(BATCH, int(SHARE * free / frame_bytes)))


def frames(
    drawing: DeviceDrawing, first: int, last: int, painter: FacePainter | None = None
) -> Iterator[Frames]:
    """Frames first..last-1; the device has the next batches to draw while one is taken."""
    waiting: deque[Landing] = deque()
    faces = iter(painter.faces(first, last) if painter else ())
    begun = [*islice(faces, 1)]  # before it is known how much memory is left for the rest
    batch = drawing.batch()
    painted = _regroup(chain(begun, faces), batch) if painter else repeat(())
    for start in range(first, last, batch):
        end = min(start + batch, last)
        waiting.append(drawing.draw(start, end, faces=next(painted), batch=batch))
        if len(waiting) > AHEAD:
            yield waiting.popleft().wait()
    while waiting:
        yield waiting.popleft().wait()


def _regroup(several: Iterable[Any], count: int) -> Iterator[Sequence[Any]]:
    """Tensors that have `count` rows together, and then the next ones, cut where they must be."""
    few, room = list[Any](), count
    for rows in several:
        at = 0
        while at < len(rows):
            few.append(rows[at : at + room])
            at, room = at + len(few[-1]), room - len(few[-1])
            if not room:
                yield few
                few, room = [], count
    if few:
        yield few
