"""Draw the silent film with a renderer, piece by piece. Knows no renderer and no codec.

A piece is drawn and encoded in one go, by a worker process where there are some. One that is on
disk and belongs to this very film is never drawn again.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from vidgen.errors import RenderError
from vidgen.events import Emit, Event, Log, StageProgress
from vidgen.media.barrier import barrier
from vidgen.media.encoder import FilmWriter, HardwareLostError
from vidgen.media.encodings import Encoding, encoding_for
from vidgen.media.previews import PERCENTS, Previews
from vidgen.media.segments import Segment, Segments, spans
from vidgen.quality.closing_look import ClosingLook, SeenWindow
from vidgen.renderers.base import Performance, Renderer
from vidgen.renderers.workers import Say, Task, Workers
from vidgen.work import (
    Box,
    Cutout,
    Film,
    Folder,
    Frames,
    MotionOptions,
    Notes,
    Speech,
    Subject,
    Work,
)

SWAY: Final = 0.03  # face heights: a speaker's outline hardly ever gets farther
Clock = Callable[[], float]
ChooseEncoding = Callable[..., Encoding]  # `encoding_for`, or what answers in its stead


class Render:
    """Subject, Cutout, Speech, Folder → Film."""

    name = "rendering"

    def __init__(
        self,
        renderer: Renderer,
        look: MotionOptions,
        *,
        format: str = "mp4",
        hardware: Sequence[str] = (),
        key: str = "",
        workers: Workers | None = None,
        encoders: int = 1,
        closing_look: ClosingLook | None = None,
        preview_at: Sequence[int] = PERCENTS,
        clock: Clock = time.perf_counter,
        choose_encoding: ChooseEncoding = encoding_for,
    ) -> None:
        """`key` stands for everything the film depends on: with another key, or with none, all
        is drawn anew. `hardware` encoders are tried in their order. Without
        `workers` everything is drawn in this process, and as many pieces are encoded at once as
        there are `encoders`; the film is the same. Workers begin the `closing_look` at each piece
        that they finish.
        """
        self.renderer = renderer
        self.look = look
        self.format = format
        self.hardware = hardware
        self.key = key
        self.workers = workers or Workers()
        self.encoders = encoders
        self.closing_look = closing_look
        self.preview_at = tuple(preview_at)
        self.clock = clock
        self.choose_encoding = choose_encoding

    def run(self, work: Work, emit: Emit) -> Work:
        """Raises InputError for a format that cannot keep a transparent background, RenderError
        when the renderer gives too few or too many frames, and what the renderer itself raises.
        """
        began = self.clock()
        plan = self._plan(work, emit, self.hardware)
        try:
            self._draw(work, plan, emit)
        except HardwareLostError as error:  # one film has one encoding
            emit(Log("WARNING", "render.hardware_encoder_lost", {"encoder": str(error)}))
            plan = self._plan(work, emit, ())
            self._draw(work, plan, emit)
        film = self._film(work, plan)
        return work.plus(film, _notes(film, plan, self.clock() - began))

    def _plan(self, work: Work, emit: Emit, hardware: Sequence[str]) -> "_Spans":
        encoding = self.choose_encoding(
            self.format, transparent=work.get(Cutout).background is None, hardware=hardware
        )
        if hardware and encoding.codec == "libx264":
            emit(Log("INFO", "render.no_hardware_encoder"))
        key = f"{self.key}/{encoding.codec}" if self.key else ""
        pieces = Segments(work.get(Folder).work / "render", key, encoding.suffix)
        every = spans(work.get(Speech).frame_count(self.look.fps), self.look.fps)
        return _Spans(encoding, pieces, every, pieces.missing(every))

    def _draw(self, work: Work, plan: "_Spans", emit: Emit) -> None:
        if not plan.missing:
            return
        subject, previews = work.get(Subject), work.get(Folder).previews
        progress = _Progress(self.name, plan, emit, self.closing_look)
        with self.renderer.perform(
            subject, work.get(Cutout), work.get(Speech), self.look, progress.get_ready
        ) as performance:
            plan.pieces.save_metadata(performance.metadata)
            if note := performance.metadata.get("note"):
                emit(Log("WARNING", str(note)))
            portable = performance.for_workers() if len(plan.missing) > 1 else None
            shares = portable is not None and self.workers.alive
            looks = self._looks(plan, subject) if shares else {}
            size, fps = _size(subject), self.look.fps
            still = _barrier(subject, work.get(Cutout))
            tasks = [
                DrawPiece(plan, span, size, fps, previews, self.preview_at, looks.get(span), still)
                for span in plan.missing
            ]
            if shares:
                self.workers.run(tasks, portable, progress.hear, progress.tell_loss)
            else:
                # Of hardware's sessions there are but a few, and one keeps up with the drawing.
                most = self.encoders if plan.encoding.codec == "libx264" else 1
                _draw_in_turn(tasks, performance, progress.hear, most)

    def _looks(self, plan: "_Spans", subject: Subject) -> Mapping[Segment, Task]:
        if self.closing_look is None:
            return {}
        pieces = {span: plan.pieces.path(span) for span in plan.spans}
        return self.closing_look.tasks(pieces, self.look.fps, subject.face)

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


@dataclass(frozen=True, slots=True)
class DrawPiece:
    """Draw one piece of the film, encode it and seal it, then do `then`; says how far it is, and
    events."""

    plan: _Spans
    span: Segment
    size: tuple[int, int]
    fps: Fraction
    previews: Path
    preview_at: tuple[int, ...]
    then: Task | None = None
    barrier: tuple[Box, ...] = ()

    def __call__(self, performance: Performance, say: Say) -> None:
        with self.draw(performance, say):
            pass  # and encoded at the end

    @contextmanager
    def draw(self, performance: Performance, say: Say) -> Iterator[None]:
        """The block begins when all is drawn, and goes on while it is encoded."""
        plan, span = self.plan, self.span
        with (
            Previews(self.previews, plan.frame_count, say, self.preview_at) as previews,
            FilmWriter(
                plan.pieces.path(span),
                size=self.size,
                fps=self.fps,
                encoding=plan.encoding,
                barrier=self.barrier,
            ) as writer,
        ):
            for frames in _exactly(performance, span):
                previews.offer(span.first + writer.frame_count, frames)
                writer.write(frames)
                say(_Drawn(span.index, writer.frame_count))
            writer.end()
            yield
        plan.pieces.seal(span)
        if self.then:
            self.then(performance, say)


def _draw_in_turn(
    tasks: Sequence[DrawPiece], performance: Performance, hear: Say, encoders: int
) -> None:
    """Draw one piece after the other, while so many, that one and those before it, are encoded."""
    with ExitStack() as every:
        begun = deque[ExitStack]()
        for task in tasks:
            piece = every.enter_context(ExitStack())
            piece.enter_context(task.draw(performance, hear))
            begun.append(piece)
            if len(begun) >= encoders:
                begun.popleft().close()
        while begun:
            begun.popleft().close()


@dataclass(frozen=True, slots=True)
class _Drawn:
    """How many frames of a piece are drawn."""

    index: int
    count: int


class _Progress:
    """The pieces' news, which come from several at once, as events of the stage."""

    def __init__(self, stage: str, plan: _Spans, emit: Emit, look: ClosingLook | None) -> None:
        self._stage = stage
        self._total = plan.frame_count
        self._reused = plan.frame_count - plan.frames_to_draw
        self._drawn: dict[int, int] = {}  # by piece; one that is begun anew catches up
        self._emit = emit
        self._look = look
        self._tell()

    def hear(self, news: _Drawn | SeenWindow | Event) -> None:
        if isinstance(news, _Drawn):
            self._drawn[news.index] = max(news.count, self._drawn.get(news.index, 0))
            self._tell()
        elif not isinstance(news, SeenWindow):
            self._emit(news)
        elif self._look:
            self._look.seen.append(news)

    def get_ready(self, code: str, share: float) -> None:
        """What the renderer does before it draws; nothing of the film is done by that."""
        metadata = {"percent": 10 * int(10 * share)}
        told = StageProgress(self._stage, self._reused, self._total, "frames", code, metadata)
        self._emit(told)

    def tell_loss(self, left: int) -> None:
        self._emit(Log("WARNING", "render.worker_lost", {"workers": left}))

    def _tell(self) -> None:
        done = self._reused + sum(self._drawn.values())
        self._emit(StageProgress(self._stage, done, self._total, "frames"))


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


def _barrier(subject: Subject, cutout: Cutout) -> tuple[Box, ...]:
    """What keeps the wall behind the speaker as it is where pieces meet."""
    top, bottom = subject.face[1::2]
    return barrier(cutout.matte, round(SWAY * (bottom - top)))


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
