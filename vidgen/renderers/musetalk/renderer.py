"""MuseTalk 1.5: a network draws the mouth. The renderer's front door.

`hearing` tells what each frame hears, `face` which part of the photo is redrawn, `networks` holds
the weights and `painter` draws. By itself the head is still; given to a renderer that moves heads
as its `FaceSource`, the mouth is laid on a head that lives.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vidgen.events import Emit, Log
from vidgen.renderers.base import GetReady, nobody
from vidgen.signals import thread_pool
from vidgen.work import Cutout, Frames, MotionOptions, Pixels, Speech, Subject

if TYPE_CHECKING:
    from vidgen.renderers.musetalk.networks import NetworkFiles
    from vidgen.renderers.musetalk.painter import Painter

CPU_BATCH: Final = 4
GPU_BATCH: Final = 32


class MuseTalkRenderer:
    """A `Renderer`, and a `FaceSource` for others. Loads its networks once."""

    name = "musetalk"

    def __init__(
        self,
        files: "NetworkFiles",
        device: str = "cpu",
        emit: Emit = lambda _: None,
        batch: int = 0,
    ) -> None:
        """`batch` frames at a time; 0 is the device's usual number."""
        from vidgen.renderers.musetalk.networks import Networks

        self.networks = Networks(files, device, emit)
        self.device = device
        self.emit = emit
        self.batch = batch or (CPU_BATCH if device == "cpu" else GPU_BATCH)

    def load(self) -> None:
        """Raises SetupError without the GPU extra, or for weights that do not fit."""
        self.networks.load()

    def release(self) -> None:
        self.networks.release()

    @contextmanager
    def paint(
        self, subject: Subject, cutout: Cutout, speech: Speech, look: MotionOptions, scale: int = 1
    ) -> Iterator["Painter"]:
        """The mouth's patches, at `scale` times the frame's resolution.

        Raises InputError for a face that is too small, DeviceError when not one frame fits into
        memory.
        """
        from vidgen.renderers.musetalk.hearing import Hearing
        from vidgen.renderers.musetalk.painter import (
            COMPILE_SECONDS,
            KEPT_SECONDS,
            CompileIfItPays,
            Painter,
        )

        began = time.perf_counter()
        self.networks.load()
        load_seconds = time.perf_counter() - began
        canvas = self._canvas(subject, cutout, scale)
        metadata = {
            "renderer": self.name,
            "device": self.device,
            "model": "musetalk 1.5",
            "precision": self.networks.precision,
            "load_seconds": round(load_seconds, 3),
            "batch": self.batch,
            "seed": look.seed,
        }
        count = speech.frame_count(look.fps)
        with thread_pool(1, "musetalk") as worker:
            hearing = Hearing(speech, self.networks.hear)
            warm_up = None
            if self.device.startswith("cuda"):
                cost = KEPT_SECONDS if self.networks.has_kernels() else COMPILE_SECONDS
                warm_up = CompileIfItPays(self._compile, cost)
            yield Painter(
                self.networks,
                hearing,
                canvas,
                look.fps,
                count,
                self.batch,
                self.emit,
                worker,
                metadata,
                warm_up,
            )

    @contextmanager
    def perform(
        self,
        subject: Subject,
        cutout: Cutout,
        speech: Speech,
        look: MotionOptions,
        get_ready: GetReady = nobody,  # noqa: ARG002  # Renderer's form
    ) -> Iterator["StillHead"]:
        """The mouth alone on a still photo."""
        with self.paint(subject, cutout, speech, look) as painter:
            yield StillHead(painter, _compose(subject, cutout))

    def _compile(self) -> None:
        self.emit(Log("INFO", "render.compiling"))  # the first frames will be long in coming
        self.networks.compile()

    def _canvas(self, subject: Subject, cutout: Cutout, scale: int) -> Any:
        import cv2

        from vidgen.renderers.musetalk import face
        from vidgen.renderers.musetalk.painter import Canvas

        height, width = subject.frame.shape[:2]
        box = face.face_box(subject.landmarks, height, width)
        square = face.picture(subject.frame, box)
        mask = face.jaw_mask(subject.landmarks, box, cutout.matte)
        if scale != 1:
            size = (mask.shape[1] * scale, mask.shape[0] * scale)
            mask = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR)
        return Canvas(box, mask, self.networks.latents(square, face.blank_mouth(square)))


@dataclass(frozen=True, slots=True)
class StillHead:
    """A `Performance`: the photo with a mouth that speaks."""

    painter: "Painter"
    still: Pixels  # (H, W, 3), or (H, W, 4) with a transparent background

    @property
    def frame_count(self) -> int:
        return self.painter.frame_count

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.painter.metadata

    def for_workers(self) -> None:
        """The networks stay where they are."""

    def frames(self, first: int, last: int) -> Iterator[Frames]:
        import numpy as np

        left, top, right, bottom = self.painter.box
        layout = "rgba" if self.still.shape[2] == 4 else "rgb24"
        for patches in self.painter.patches(first, last):
            pixels = np.repeat(self.still[None], len(patches), axis=0)
            under = pixels[:, top:bottom, left:right, :3]
            share = patches[..., 3:].astype(np.uint16)
            mixed = patches[..., :3] * share + under * (255 - share) + 127
            under[:] = (mixed // 255).astype(np.uint8)
            yield Frames(pixels, layout)


def _compose(subject: Subject, cutout: Cutout) -> Pixels:
    """The speaker at rest before the background; with none, alpha stands in for it."""
    import numpy as np

    if cutout.keeps_photo:
        return subject.frame
    matte = cutout.matte[..., None]
    if cutout.background is None:
        alpha = (matte * 255).round().astype(np.uint8)
        return np.concatenate([cutout.foreground, alpha], axis=2)
    mixed = cutout.foreground * matte + cutout.background * (1 - matte)
    made: Pixels = mixed.round().astype(np.uint8)
    return made
