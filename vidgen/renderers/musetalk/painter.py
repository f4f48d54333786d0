"""The network's mouths, frame by frame, as patches for the photo.

Batches lie at fixed places in the film, so that a frame is the same wherever drawing began. The
next batch is computed while the last one is laid into its patches.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, Protocol

import numpy as np

from vidgen.device.memory import free, is_out_of_memory, out_of_memory
from vidgen.events import Emit, Log
from vidgen.renderers.musetalk.hearing import Hearing
from vidgen.work import Box, Floats, Pixels

COMPILE_SECONDS: Final = 90.0  # what `torch.compile` of the two networks costs, about
KEPT_SECONDS: Final = 20.0  # and with its kernels kept from before: a guess, not measured
COMPILE_SAVES: Final = 0.57  # of the time of each batch, measured on an H100
PLACES: Final = (0, 0, 1, 1, 2, 2, 3, 3)  # red, green, blue, alpha: from, to
LAID: Final = 4  # patches handed out together: a group's at once would be hundreds of megabytes


class FaceNetwork(Protocol):
    """What of `Networks` a painter needs."""

    device: str

    def draw(self, latents: Any, tokens: Floats) -> Pixels: ...


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where the faces go: worked out once for a photo."""

    box: Box
    mask: Floats  # (h, w) over the box times the scale
    latents: Any  # (1, 8, 32, 32)


@dataclass(slots=True)
class Painter:
    """A `FacePainter`. Halves its batch when memory is short, and says so."""

    drawer: FaceNetwork
    hearing: Hearing
    canvas: Canvas
    fps: Fraction
    frame_count: int
    batch: int
    emit: Emit
    worker: ThreadPoolExecutor  # of one thread: the device does one thing at a time
    metadata: Mapping[str, Any] = field(default_factory=dict)
    _group: int = 0  # frames handed out together; stays when the batch is halved
    _ready: dict[int, Pixels] = field(default_factory=dict)  # the last group, and later ones: a
    # film drawn in pieces asks for a group twice, and the first two are drawn to measure

    def __post_init__(self) -> None:
        self._group = self.batch

    @property
    def box(self) -> Box:
        return self.canvas.box

    def patches(self, first: int, last: int) -> Iterator[Pixels]:
        starts = list(range(first - first % self._group, last, self._group))
        waiting = self._submit(starts[0]) if starts else None
        for start, following in zip(starts, [*starts[1:], None], strict=True):
            assert waiting is not None
            faces = waiting.result()
            waiting = None if following is None else self._submit(following)
            later = {at: some for at, some in self._ready.items() if at > start}
            self._ready = {start: faces} | later
            wanted = faces[max(0, first - start) : last - start]
            for at in range(0, len(wanted), LAID):
                yield self._patches(wanted[at : at + LAID])

    def seconds_per_frame(self) -> float:
        """Measured on the second group: the first pays for everything being new. 0 for a film
        that has no other. The film begins with them."""
        lasted = 0.0
        for start in (0, self._group)[: 1 + (self.frame_count > self._group)]:
            began = time.perf_counter()
            self._ready[start] = self.worker.submit(self._faces, start).result()
            lasted = (time.perf_counter() - began) / len(self._ready[start]) if start else 0.0
        return lasted

    def forget(self) -> None:
        """Draw the groups that are drawn already anew, should they be asked for again."""
        self._ready = {}

    def _submit(self, start: int) -> "Future[Pixels]":
        if start in self._ready:
            ready: Future[Pixels] = Future()
            ready.set_result(self._ready[start])
            return ready
        return self.worker.submit(self._faces, start)

    def _faces(self, start: int) -> Pixels:
        """(B, 256, 256, 3) of the group that begins with this frame."""
        end, made = min(start + self._group, self.frame_count), list[Pixels]()
        while start < end:
            try:
                made.append(self._batch(start)[: end - start])
                start += len(made[-1])
            except (RuntimeError, MemoryError) as error:
                self._shrink(error)
        return np.concatenate(made)

    def _batch(self, start: int) -> Pixels:
        """Always a whole batch: another size could round differently. What is over is dropped."""
        tokens = self.hearing.tokens(range(start, start + self.batch), self.fps)
        return self.drawer.draw(self.canvas.latents, tokens)

    def _shrink(self, error: Exception) -> None:
        if not is_out_of_memory(error):
            raise error
        if self.batch == 1:
            raise out_of_memory(self.drawer.device) from error
        self.batch = self.batch // 2
        free(self.drawer.device)
        self.emit(Log("WARNING", "render.smaller_batch", {"batch": self.batch}))

    def _patches(self, faces: Pixels) -> Pixels:
        """(B, h, w, 4): each face at the box's size, the mask as its alpha."""
        import cv2

        height, width = self.canvas.mask.shape
        patches = np.empty((len(faces), height, width, 4), np.uint8)
        alpha = (self.canvas.mask * 255).round().astype(np.uint8)
        for face, patch in zip(faces, patches, strict=True):
            large = cv2.resize(face, (width, height), interpolation=cv2.INTER_CUBIC)
            cv2.mixChannels([large, alpha], [patch], PLACES)  # numpy's strided copy takes 2 ms
        return patches


def pays(
    seconds_per_frame: float, frame_count: int, compile_seconds: float = COMPILE_SECONDS
) -> bool:
    """Whether `torch.compile` earns more time in so many frames than it costs."""
    return seconds_per_frame * frame_count * COMPILE_SAVES > compile_seconds


def warm_up(
    painter: Painter,
    compile_networks: Callable[[], None],
    compile_seconds: float = COMPILE_SECONDS,
) -> bool:
    """Measure, and compile when it pays. Answers whether it did."""
    if not pays(painter.seconds_per_frame(), painter.frame_count, compile_seconds):
        return False
    compile_networks()
    painter.forget()  # what the networks drew before may differ in the last bit
    return True
