"""The puppet: one photo speaks, drawn by rules but for its shut lids. The renderer's front door.

`speech.mouth_curves` and `motion` read the voice, `poses` turns them into weights, `rig` holds what
is worked out once for a speaker, `cpu` and `cuda` draw. Another renderer may paint the mouth: the
puppet then moves the head that wears it.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from vidgen.device.device import usable_cores
from vidgen.renderers.base import FacePainter, FaceSource, GetReady, nobody
from vidgen.signals import thread_pool
from vidgen.work import Cutout, Frames, MotionOptions, Speech, Subject

if TYPE_CHECKING:
    from vidgen.renderers.puppet.cpu import SingleCorePerformance
    from vidgen.renderers.puppet.poses import Poses
    from vidgen.renderers.puppet.rig import Rig
    from vidgen.speech.hearing import HearAhead
    from vidgen.speech.phonemes import PhonemeSource

# More only wait for the interpreter's lock: 12.1, 6.6, 5.9, 7.1, 9.5 ms a frame by 1, 2, 4, 8, 16.
MOST_THREADS: Final = 4
HANDOVER: Final = 1e-4  # seconds that a thread may keep the interpreter from the others
LONG: Final = 30.0  # seconds of a voice: hearing it keeps people waiting
FINE: Final = 2  # pixels that a painter gives for one of the frame: turned, they stay sharp
Draw = Callable[[int, int], Iterator[Frames]]


@dataclass(frozen=True, slots=True)
class PuppetRenderer:
    """A `Renderer` that warps the photo itself: faster than real time on two cores.

    `device` is "cpu" (numpy and OpenCV alone) or torch's name of a device ("cuda:0"). With a
    `face` the lower face is not warped but painted, and laid on the moving head. `hearing` finds
    the phones of a voice; without it closures are heard, and openings guessed.
    """

    device: str = "cpu"
    name: str = "puppet"
    face: FaceSource | None = None
    hearing: "PhonemeSource | None" = None
    ahead: "HearAhead | None" = None  # it may have heard the voice already
    batch: int = 0  # frames that a device draws at once; 0: as many as its memory usually takes

    @contextmanager
    def perform(
        self,
        subject: Subject,
        cutout: Cutout,
        speech: Speech,
        look: MotionOptions,
        get_ready: GetReady = nobody,
    ) -> Iterator["PuppetPerformance"]:
        """The film of `speech`. Raises nothing of its own: detection has refused bad faces.

        What `face` raises goes through.
        """
        from vidgen.renderers.puppet import cpu, poses, rig
        from vidgen.renderers.puppet.motion import motion
        from vidgen.speech.hearing import hear_voice
        from vidgen.speech.mouth_curves import curves_of

        # A painter's lips are its own. Another process may still be hearing the voice meanwhile.
        made = rig.build(subject, cutout, None if self.face else look)
        tell = get_ready if speech.seconds >= LONG else nobody
        on_share = partial(tell, "render.hearing")
        heard = (self.ahead or hear_voice)(speech, look.language, self.hearing, on_share)
        mouth = curves_of(heard, look)
        head = motion(mouth, look, speech.seconds)
        count = speech.frame_count(look.fps)
        wanted = poses.poses(made.face, mouth, head, look, count)
        metadata = {"device": self.device, "seed": look.seed, "blinks": len(head.blinks)}
        with self._painter(subject, cutout, speech, look) as painter, _threads() as pool:
            if painter is None:
                metadata["closures_from"] = mouth.source
                metadata |= {"note": mouth.note} if mouth.note else {}
                metadata["own_teeth"] = made.mouth.inside.own_teeth
            else:
                wanted = poses.without_mouth(wanted)
                metadata.update(painter.metadata)
            draw = self._drawing(made, wanted, pool, painter)
            portable = None
            if self.device == "cpu" and painter is None:
                portable = cpu.SingleCorePerformance(made, wanted, metadata)
            yield PuppetPerformance(count, metadata, draw, portable)

    def _painter(
        self, subject: Subject, cutout: Cutout, speech: Speech, look: MotionOptions
    ) -> AbstractContextManager[FacePainter | None]:
        """Who paints the mouth, if not the puppet."""
        if self.face is None or look.mouth == 0:
            return nullcontext()
        return self.face.paint(subject, cutout, speech, look, FINE)

    def _drawing(
        self, made: "Rig", wanted: "Poses", pool: ThreadPoolExecutor, painter: FacePainter | None
    ) -> Draw:
        """How frames are drawn on this device."""
        from vidgen.renderers.puppet import cpu, cuda

        if self.device == "cpu":
            return lambda first, last: cpu.cpu_frames(made, wanted, first, last, pool, painter)
        drawing = cuda.DeviceDrawing(made, wanted, self.device, painter, self.batch)
        return lambda first, last: cuda.frames(drawing, first, last, painter)


@dataclass(frozen=True, slots=True)
class PuppetPerformance:
    """A `Performance` of the puppet."""

    frame_count: int
    metadata: Mapping[str, Any]
    draw: Draw
    portable: "SingleCorePerformance | None" = None

    def frames(self, first: int, last: int) -> Iterator[Frames]:
        """Frames first..last-1 in order, in small batches."""
        yield from self.draw(first, last)

    def for_workers(self) -> "SingleCorePerformance | None":
        return self.portable


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """A thread for each core. OpenCV's own threads would only get in their way meanwhile.

    A frame is some hundred short calls without the interpreter's lock; who wants it back waits
    5 ms for somebody computing in Python. With HANDOVER two threads draw a fifth more.
    """
    import cv2

    threads, interval = cv2.getNumThreads(), sys.getswitchinterval()
    cv2.setNumThreads(1)
    sys.setswitchinterval(HANDOVER)
    count = max(1, min(MOST_THREADS, usable_cores()))
    try:
        with thread_pool(count, "puppet") as pool:
            yield pool
    finally:
        sys.setswitchinterval(interval)
        cv2.setNumThreads(threads)
