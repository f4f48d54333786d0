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
# Of the time of each batch, measured on an H100 for each network alone: 1,906 and 641 frames/s in
# place of the recorded UNet's 1,190 and the VAE's 294.
COMPILE_SAVES: Final = 0.51
PLACES: Final = (0, 0, 1, 1, 2, 2, 3, 3)  # red, green, blue, alpha: from, to
LAID: Final = 4  # patches handed out together: a group's at once would be hundreds of megabytes


class FaceNetwork(Protocol):
    """What of `Networks` a painter needs."""

    device: str

    def draw(self, latents: Any, tokens: Floats) -> Any: ...


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
    warm_up: Callable[["Painter", int], None] | None = None  # before the first frame that is drawn
    _group: int = 0  # frames handed out together; stays when the batch is halved
    _groups: dict[int, "Future[Any]"] = field(default_factory=dict)  # from the last on that was
    # asked for: a film drawn in pieces asks for a group twice

    def __post_init__(self) -> None:
        self._group = self.batch

    @property
    def box(self) -> Box:
        return self.canvas.box

    @property
    def mask(self) -> Floats:
        return self.canvas.mask

    def patches(self, first: int, last: int) -> Iterator[Pixels]:
        for faces in self.faces(first, last):
            pixels = faces.permute(0, 2, 3, 1).cpu().numpy()
            for at in range(0, len(pixels), LAID):
                yield self._patches(pixels[at : at + LAID])

    def faces(self, first: int, last: int) -> Iterator[Any]:
        warm_up, self.warm_up = self.warm_up, None
        begin = first - first % self._group
        if warm_up is not None and first < last:
            warm_up(self, begin)
        # A device has the next piece's first group to draw while this one's last is encoded.
        end = last if self.drawer.device == "cpu" else self.frame_count
        for start in range(begin, last, self._group):
            waiting = self._submit(start)
            if start + self._group < end:
                self._submit(start + self._group)
            self._groups = {at: some for at, some in self._groups.items() if at >= start}
            yield waiting.result()[max(0, first - start) : last - start]

    def seconds_per_frame(self, first: int) -> float:
        """Measured on the second group from the one that begins with frame `first`: the first pays
        for everything being new. 0 where there is no other. The film begins with them."""
        self._submit(first).result()
        began, second = time.perf_counter(), first + self._group
        if second >= self.frame_count:
            return 0.0
        return (time.perf_counter() - began) / len(self._submit(second).result())

    def forget(self) -> None:
        """Draw the groups that are drawn already anew, should they be asked for again."""
        self._groups = {}

    def _submit(self, start: int) -> "Future[Any]":
        if start not in self._groups:
            self._groups[start] = self.worker.submit(self._faces, start)
        return self._groups[start]

    def _faces(self, start: int) -> Any:
        """(B, 3, 256, 256) of the group that begins with this frame."""
        import torch

        end, made = min(start + self._group, self.frame_count), list[Any]()
        while start < end:
            try:
                made.append(self._batch(start)[: end - start])
                start += len(made[-1])
            except (RuntimeError, MemoryError) as error:
                self._shrink(error)
        return made[0] if len(made) == 1 else torch.cat(made)

    def _batch(self, start: int) -> Any:
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


@dataclass(frozen=True, slots=True)
class CompileIfItPays:
    """A painter's `warm_up`: measure, and compile when the rest of the film earns it."""

    compile_networks: Callable[[], None]
    compile_seconds: float = COMPILE_SECONDS

    def __call__(self, painter: Painter, first: int) -> None:
        seconds, left = painter.seconds_per_frame(first), painter.frame_count - first
        if pays(seconds, left, self.compile_seconds):
            self.compile_networks()
            painter.forget()  # what the networks drew before may differ in the last bit
