"""The frames of one performance on the CPU: numpy and OpenCV, a few frames per thread.

OpenCV lets go of the interpreter's lock, so two threads keep two cores busy; OpenCV's own
threads are left out of it. More cores want processes, each with a `SingleCorePerformance`. No
frame depends on another.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np

from vidgen.media.colour import fill_yuv420p, to_yuv420p
from vidgen.renderers.base import FacePainter
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.layer_warp import LayerWarp
from vidgen.renderers.puppet.overlay import Patch, overlays, patches
from vidgen.renderers.puppet.poses import Poses
from vidgen.renderers.puppet.rig import Rig
from vidgen.work import Box, Frames, Pixels

BATCH: Final = 2  # frames handed on together; more only costs memory
AHEAD: Final = 4  # batches drawn before they are asked for


def cpu_frames(
    figure: Rig,
    plan: Poses,
    first: int,
    last: int,
    workers: ThreadPoolExecutor,
    painter: FacePainter | None = None,
) -> Iterator[Frames]:
    """Frames first..last-1 in batches, a few of them being drawn ahead."""
    waiting: deque[Future[Frames]] = deque()
    warp = LayerWarp(figure.layer, figure.grid)
    painted = patches(painter, first, last)
    for start in range(first, last, BATCH):
        few = list(islice(painted, BATCH))
        waiting.append(workers.submit(_batch, figure, plan, start, few, warp))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@dataclass(frozen=True, slots=True)
class SingleCorePerformance:
    """A `Performance` in one thread: for a process that has one core, and for pickling."""

    rig: Rig
    poses: Poses
    metadata: Mapping[str, Any]

    @property
    def frame_count(self) -> int:
        return len(self.poses)

    def frames(self, first: int, last: int) -> Iterator[Frames]:
        """In YUV before a background: of one frame to the next only where the speaker is, or was,
        has to be drawn and converted."""
        background, batches = self.rig.layer.background, range(first, last, BATCH)
        warp = LayerWarp(self.rig.layer, self.rig.grid)
        if background is None:
            for start in batches:
                few: list[Patch | None] = [None] * min(BATCH, last - start)
                yield _batch(self.rig, self.poses, start, few, warp)
            return
        still, out, drawn = to_yuv420p(background), background.copy(), list[Box]()
        for start in batches:
            found = np.stack([still] * min(BATCH, last - start))
            for index, frame in enumerate(found, start):
                drawn = draw(self.rig, self.poses, index, out, None, warp, drawn)
                for box in drawn:
                    fill_yuv420p(frame, out, box)
            yield Frames(found, "yuv420p")

    def for_workers(self) -> "SingleCorePerformance":
        return self


def _batch(
    figure: Rig, plan: Poses, first: int, painted: list[Patch | None], warp: LayerWarp
) -> Frames:
    """One frame for each of `painted`."""
    width, height = figure.size
    has_alpha = figure.layer.background is None
    pixels = np.empty((len(painted), height, width, 4 if has_alpha else 3), np.uint8)
    for index, (out, patch) in enumerate(zip(pixels, painted, strict=True), first):
        draw(figure, plan, index, out, patch, warp)
    return Frames(pixels, "rgba" if has_alpha else "rgb24")


def draw(
    figure: Rig,
    plan: Poses,
    index: int,
    out: Pixels,
    patch: Patch | None = None,
    warp: LayerWarp | None = None,
    last: Sequence[Box] | None = None,
) -> list[Box]:
    """Draw frame `index` into `out`, (H, W, 3) or, without a background, (H, W, 4).

    Answers where it differs from the background; `last` is the answer for the frame in `out`.
    """
    pose = plan.pose(index)
    fields = figure.fields(ONE_FRAME, pose.weights, pose.turns)
    warp = warp or LayerWarp(figure.layer, figure.grid)
    layer = warp.draw(fields.whole, out, last)
    beside: list[Box] = []
    for part in overlays(ONE_FRAME, figure, pose, fields, patch):
        ONE_FRAME.lay(out, part.box, part.pixels, part.cover)
        if not _is_within(part.box, layer):
            beside.append(part.box)
    return layer + beside


def _is_within(box: Box, parts: Sequence[Box]) -> bool:
    """Whether a box lies within these, of which no two share a pixel."""
    left, top, right, bottom = box
    shared = sum(
        max(0, min(right, x1) - max(left, x0)) * max(0, min(bottom, y1) - max(top, y0))
        for x0, y0, x1, y1 in parts
    )
    return shared >= (right - left) * (bottom - top)
