"""What a local renderer is, and what every one of them may be asked for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from vidgen.work import Box, Cutout, Floats, Frames, MotionOptions, Pixels, Speech, Subject

# Hears what is done before the first frame, a sentence's code, and how much of that, 0–1. May be
# called from another thread.
GetReady = Callable[[str, float], None]


def nobody(code: str, share: float) -> None:
    """Nobody hears it."""


class Performance(Protocol):
    """One speaker saying one speech, ready to be drawn from any frame on."""

    @property
    def frame_count(self) -> int:
        """ceil(speech seconds × fps): the film covers the whole voice."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What to tell people: device, batch, blinks planned, closures from text or sound …"""
        ...

    def frames(self, first: int, last: int) -> Iterator[Frames]:
        """Frames first..last-1 in order. The same frame is the same pixels however it is reached,
        so that a film can be drawn in pieces and taken up again after a crash."""
        ...

    def for_workers(self) -> "Performance | None":
        """The same performance for processes with a core each, to be pickled; None when all must
        be drawn here: on a device, or by somebody else's paint."""
        ...


class Renderer(Protocol):
    """Loads its models once, then performs. `perform` may refuse a subject: raises InputError.
    Where it takes long to begin, `get_ready` hears of it."""

    @property
    def name(self) -> str: ...

    def perform(
        self,
        subject: Subject,
        cutout: Cutout,
        speech: Speech,
        look: MotionOptions,
        get_ready: GetReady = nobody,
    ) -> AbstractContextManager[Performance]: ...


class FacePainter(Protocol):
    """Paints part of a resting face, for a renderer that moves the head under it."""

    @property
    def box(self) -> Box:
        """The part of the frame that the patches cover."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]: ...

    @property
    def mask(self) -> Floats:
        """(h, w) 0–1, at the size of the box times the scale asked for: where it paints."""
        ...

    def patches(self, first: int, last: int) -> Iterator[Pixels]:
        """Frames first..last-1 in order, a few at a time: (B, h, w, 4) RGBA, colours not
        premultiplied, the mask as alpha."""
        ...

    def faces(self, first: int, last: int) -> Iterator[Any]:
        """The same where they were drawn, not yet at the box's size: (B, 3, H, W) bytes in a tensor
        of torch's device, ready for whatever that is given to do now."""
        ...


class FaceSource(Protocol):
    """Gives a renderer a face to lay over its own: a network's mouth on a head that lives."""

    def paint(
        self, subject: Subject, cutout: Cutout, speech: Speech, look: MotionOptions, scale: int = 1
    ) -> AbstractContextManager[FacePainter]: ...
