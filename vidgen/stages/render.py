"""Draw the silent film with a renderer, piece by piece. Knows no renderer and no codec.

A piece that is on disk and belongs to this very film is never drawn again.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vidgen.errors import RenderError
from vidgen.events import Emit, Log, StageProgress
from vidgen.media.encoder import FilmWriter
from vidgen.media.encodings import Encoding, encoding_for
from vidgen.media.previews import Previews
from vidgen.media.segments import Segment, Segments, spans
from vidgen.renderers.base import Performance, Renderer
from vidgen.work import Cutout, Film, Folder, Frames, MotionOptions, Notes, Speech, Subject, Work

Clock = Callable[[], float]


class Render:
    """Subject, Cutout, Speech, Folder → Film."""

    name = "rendering"

    def __init__(
        self,
        renderer: Renderer,
        look: MotionOptions,
        *,
        format: str = "mp4",
        hardware: bool = False,
        key: str = "",
        clock: Clock = time.perf_counter,
    ) -> None:
        """`key` stands for everything the film depends on: with another key, or with none, all
        is drawn anew. `hardware` asks for a hardware encoder, should one answer.
        """
        self.renderer = renderer
        self.look = look
        self.format = format
        self.hardware = hardware
        self.key = key
        self.clock = clock

    def run(self, work: Work, emit: Emit) -> Work:
        """Raises InputError for a format that cannot keep a transparent background, RenderError
        when the renderer gives too few or too many frames, and what the renderer itself raises.
        """
        began = self.clock()
        plan = self._plan(work, emit)
        if plan.missing:
            self._draw(work, plan, emit)
        film = self._film(work, plan)
        return work.plus(film, _notes(film, plan, self.clock() - began))

    def _plan(self, work: Work, emit: Emit) -> "_Spans":
        encoding = encoding_for(
            self.format,
            transparent=work.get(Cutout).background is None,
            hardware=self.hardware,
        )
        if self.hardware and encoding.codec == "libx264":
            emit(Log("INFO", "render.no_hardware_encoder"))
        key = f"{self.key}/{encoding.codec}" if self.key else ""
        pieces = Segments(work.get(Folder).work / "render", key, encoding.suffix)
        every = spans(work.get(Speech).frame_count(self.look.fps), self.look.fps)
        return _Spans(encoding, pieces, every, pieces.missing(every))

    def _draw(self, work: Work, plan: "_Spans", emit: Emit) -> None:
        subject = work.get(Subject)
        done = plan.frame_count - plan.frames_to_draw
        emit(StageProgress(self.name, done, plan.frame_count, "frames"))
        with (
            self.renderer.perform(
                subject, work.get(Cutout), work.get(Speech), self.look
            ) as performance,
            Previews(work.get(Folder).previews, plan.frame_count, emit) as previews,
        ):
            plan.pieces.save_metadata(performance.metadata)
            for span in plan.missing:
                with FilmWriter(
                    plan.pieces.path(span),
                    size=_size(subject),
                    fps=self.look.fps,
                    encoding=plan.encoding,
                ) as writer:
                    for frames in _exactly(performance, span):
                        previews.offer(span.first + writer.frame_count, frames)
                        writer.write(frames)
                        done += len(frames)
                        emit(StageProgress(self.name, done, plan.frame_count, "frames"))
                plan.pieces.seal(span)

    def _film(self, work: Work, plan: "_Spans") -> Film:
        return Film(
            pieces=tuple(plan.pieces.path(span) for span in plan.spans),
            frame_count=plan.frame_count,
            fps=self.look.fps,
            size=_size(work.get(Subject)),
            has_alpha=plan.encoding.has_alpha,
            metadata={
                **plan.pieces.metadata(),
                "renderer": self.renderer.name,
                "encoder": plan.encoding.codec,
                "seed": self.look.seed,
            },
        )


@dataclass(frozen=True, slots=True)
class _Spans:
    """How the film will be stored, and what of it is still to be drawn."""

    encoding: Encoding
    pieces: Segments
    spans: tuple[Segment, ...]
    missing: tuple[Segment, ...]

    @property
    def frame_count(self) -> int:
        return sum(map(len, self.spans))

    @property
    def frames_to_draw(self) -> int:
        return sum(map(len, self.missing))


def _exactly(performance: Performance, span: Segment) -> Iterator[Frames]:
    """The renderer's frames of one piece, counted: a piece that is short would end out of sync."""
    count = 0
    for frames in performance.frames(span.first, span.last):
        count += len(frames)
        if count <= len(span):
            yield frames
    if count != len(span):
        raise RenderError(
            "The renderer gave {count} frames where {wanted} were asked for.",
            hint="Run again with another --renderer, and please report it.",
            code="render.wrong_count",
            count=count,
            wanted=len(span),
        )


def _size(subject: Subject) -> tuple[int, int]:
    """Width and height in pixels."""
    height, width = subject.frame.shape[:2]
    return width, height


def _notes(film: Film, plan: _Spans, seconds: float) -> Notes:
    drawn = plan.frames_to_draw
    values = {
        **{name: film.metadata[name] for name in _TOLD if name in film.metadata},
        "backend": film.metadata["renderer"],
        "encoder": film.metadata["encoder"],
        "frames": film.frame_count,
        "reused_frames": film.frame_count - drawn,
        "frames_per_second": round(drawn / seconds, 1) if seconds > 0 else 0.0,
        "work": drawn,
        "work_unit": "frames",
    }
    if not drawn:
        return Notes(values, "render.reused", "reused")
    return Notes(values, "render.done")


_TOLD = ("model", "device", "precision", "load_seconds")  # by the renderer, agreed in work.Notes
