"""Draw the silent film with a renderer, piece by piece. Knows no renderer and no codec.

A piece that is on disk and belongs to this very film is never drawn again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from vidgen.errors import RenderError
from vidgen.events import Emit, Log, StageProgress
from vidgen.media import Encoding, FilmWriter, Pieces, Previews, Span, encoding_for, spans
from vidgen.renderers.base import Look, Performance, Renderer
from vidgen.work import Cutout, Film, Folder, Notes, Speech, Subject, Work

Clock = Callable[[], float]


class Render:
    """Subject, Cutout, Speech, Folder → Film."""

    name = "rendering"

    def __init__(
        self,
        renderer: Renderer,
        look: Look,
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
        encoding = self._encoding(work.get(Cutout), emit)
        film_spans = spans(frame_count(work.get(Speech), self.look.fps), self.look.fps)
        key = f"{self.key}/{encoding.codec}" if self.key else ""
        pieces = Pieces(work.get(Folder).work / "render", key, encoding.suffix)
        missing = pieces.missing(film_spans)
        if missing:
            self._draw(work, _Task(pieces, encoding, film_spans, missing), emit)
        film = self._film(work, pieces, encoding, film_spans)
        return work.plus(film, _notes(film, sum(map(len, missing)), self.clock() - began))

    def _encoding(self, cutout: Cutout, emit: Emit) -> Encoding:
        encoding = encoding_for(
            self.format, transparent=cutout.background is None, hardware=self.hardware
        )
        if self.hardware and encoding.codec == "libx264":
            emit(Log("INFO", "render.no_hardware_encoder"))
        return encoding

    def _draw(self, work: Work, task: "_Task", emit: Emit) -> None:
        subject, cutout, speech = work.get(Subject), work.get(Cutout), work.get(Speech)
        done = task.frame_count - sum(map(len, task.missing))
        emit(StageProgress(self.name, done, task.frame_count, "frames"))
        with (
            self.renderer.perform(subject, cutout, speech, self.look) as performance,
            Previews(work.get(Folder).previews, task.frame_count, emit) as previews,
        ):
            task.pieces.remember(performance.metadata)
            for span in task.missing:
                self._draw_piece(
                    task, span, performance, _Told(self.name, done, task, previews, emit), subject
                )
                done += len(span)
