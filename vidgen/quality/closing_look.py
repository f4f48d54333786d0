"""Look at a film's mouth piece by piece, as soon as each is finished, for the verdict at its end.

The pieces' pictures are copied into the film: seen here, they need not be decoded again. Judges
nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vidgen.media.containers import open_container

if TYPE_CHECKING:
    from vidgen.media.segments import Segment
    from vidgen.quality.tracking import Tracking

FRAMES: Final = 150  # that are looked at, in all
STARTS: Final = (0.1, 0.3, 0.55, 0.8)  # of a longer film: where it is looked at
NEAR: Final = 0.005  # seconds: less than a frame, more than clocks are rounded by


def windows(seconds: float, fps: float, frames: int = FRAMES) -> list[tuple[float, int]]:
    """Start in seconds and frames of each window: all of a short film, else four parts of it."""
    if seconds * fps <= 1.3 * frames:
        return [(0.0, frames)]
    return [(share * seconds, frames // len(STARTS)) for share in STARTS]


@dataclass(frozen=True, slots=True)
class SeenWindow:
    """What was seen in one window, on the film's clock if its frames are shown where they should
    be, the first of them at `start` seconds."""

    index: int
    start: float
    face: "Tracking"

    def in_film(self, video: Path) -> "Tracking":
        """On the clock of `video`, the finished film."""
        shown = _shown_at(video, self.start)
        return replace(self.face, times=self.face.times + (shown - self.start))


Say = Callable[[SeenWindow], None]


@dataclass(frozen=True, slots=True)
class PieceLook:
    """Follow the face at the beginning of a piece; says a `SeenWindow`."""

    index: int
    piece: Path
    landmark_model: Path
    start: float  # seconds: where in the film it begins
    frames: int
    face: tuple[float, ...]

    def __call__(self, shared: object, say: Say) -> None:  # noqa: ARG002  # a task's form
        from vidgen.quality.tracking import track
        from vidgen.vision.faces import LandmarkNet

        with suppress(Exception):  # the piece is good; what is unseen is looked at in the film
            net = LandmarkNet(self.landmark_model)
            seen = track(self.piece, net, frames=self.frames, face=self.face).only_seen()
            face = replace(seen, times=seen.times + self.start)
            say(SeenWindow(self.index, self.start, face))


class ClosingLook:
    """The looks that belong to one film's pieces, and what they saw."""

    def __init__(self, landmark_model: Path, frames: int = FRAMES) -> None:
        self.landmark_model = landmark_model
        self.frames = frames
        self.seen: list[SeenWindow] = []

    def tasks(
        self, pieces: Mapping["Segment", Path], fps: Fraction, face: Sequence[float]
    ) -> Mapping["Segment", PieceLook]:
        """What is to be looked at when these pieces of a film, all it has, are finished; `face` is
        the box to begin at, pixels."""
        from vidgen.quality.tracking import FASTEST

        count = max(span.last for span in pieces)
        step = max(1, round(float(fps) / FASTEST))
        found = {}
        for index, (start, frames) in enumerate(
            windows(float(count / fps), float(fps), self.frames)
        ):
            for span, path in pieces.items():
                if span.first <= start * fps < span.last and frames * step <= len(span):
                    begin = float(span.first / fps)
                    found[span] = PieceLook(
                        index, path, self.landmark_model, begin, frames, tuple(face)
                    )
        return found


def _shown_at(video: Path, start: float) -> float:
    """When the key frame is shown that should be at `start` seconds of the film, in seconds."""
    import av

    with open_container(video, unseen=True) as container:
        stream = container.streams.video[0]
        begin = float((container.start_time or 0) / av.time_base)
        if start > 0:
            container.seek(int((start + begin + NEAR) * av.time_base))
        packet = next(container.demux(stream))
        return float(packet.pts * packet.time_base) - begin
