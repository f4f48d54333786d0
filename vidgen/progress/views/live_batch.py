"""A batch drawn in place: the films being made, and when all will be there.

The terminal is the live view's business; here is only what a batch looks like. Films that are
over stay above the picture, a line each.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from vidgen.events import Envelope
from vidgen.messages import harmless, say
from vidgen.progress.batch import BatchProgress, Film
from vidgen.progress.views.layout import (
    STYLES,
    Viewport,
    draw_bar,
    fit_line,
    join_parts,
    justify,
    paragraph,
    uri,
)
from vidgen.progress.views.live import Live
from vidgen.progress.views.text import (
    Line,
    Span,
    batch_failure,
    batch_opening,
    clock_time,
    doing,
    duration,
    label,
    line_len,
    remaining,
)

SHOWN_STATES = ("complete", "skipped", "failed", "cancelled", "waiting")
BAR_CELLS = 16  # of a film's own bar
TIME_CELLS = 38  # room for the time beside the batch's bar

Now = Callable[[], float]


class LiveBatch(Live):
    """A `BatchView` on a terminal."""

    def __init__(
        self, stream: TextIO, language: str = "en", *, wall: Now = time.time, **more: Any
    ) -> None:
        super().__init__(stream, language, **more)
        self._wall = wall
        self._progress: BatchProgress | None = None
        self._over: list[tuple[Film, str]] = []  # films to be told above the picture, and how

    def open(self, progress: BatchProgress) -> None:
        with self._lock:
            self._progress = progress
            self._title = progress.name
        self._wake.set()

    def began(self, film: Film) -> None:  # noqa: ARG002  # the picture shows it
        self._wake.set()

    def told(self, film: Film, envelope: Envelope) -> None:  # noqa: ARG002  # the same
        self._wake.set()

    def lost(self, film: Film) -> None:
        self._keep(film, "lost")

    def ended(self, film: Film, *, again: bool) -> None:
        self._keep(film, "again" if again else film.state)

    def _keep(self, film: Film, how: str) -> None:
        with self._lock:
            self._over.append((film, how))
        self._wake.set()

    def _frame(self) -> None:
        self._picture_of(park=True)

    def _last_frame(self) -> None:
        self._picture_of(park=False)

    def _picture_of(self, *, park: bool) -> None:
        page = self._page()
        with self._lock:
            over, self._over = self._over, []
            progress = self._progress
            lines: list[Line] = [()]
            if progress:
                lines = lay_out_batch(progress, page, self._wall())
            share = progress.share() if progress else 0.0
        told = [line for film, how in over for line in film_over(film, how, page)]
        self._paint([self._render(line) for line in told], lines, page, park=park)
        if park:
            self._dress(100 * share, "")


def lay_out_batch(progress: BatchProgress, page: Viewport, wall: float) -> list[Line]:
    """The picture, at most `page.height - 1` lines; `wall` is now, seconds since 1970."""
    films = [_film_line(film, progress, page) for film in progress.running]
    below = [_overall(progress, page, wall), _counts(progress, page)]
    room = max(0, page.height - 1 - len(below))
    if page.is_roomy:
        head = justify(
            [Span("vidgen", "bold"), Span("  " + harmless(progress.name))],
            [Span(batch_opening(progress, page.language).split(",")[0], "dim")],
            page,
        )
        room = max(0, room - 4)
        lines = [(), head, (), *films[:room], *([()] if films else []), *below]
    else:
        lines = [*films[:room], *below]
    return [fit_line(line, page) for line in lines]


def _film_line(film: Film, progress: BatchProgress, page: Viewport) -> Line:
    """A film that is being made: its name, what is done to it, how far, how long."""
    has_begun = film.snapshot is not None and film.snapshot.last_seq > 0
    now = film.snapshot.now if film.snapshot and has_begun else {"stage": "initialized"}
    name = Span(harmless(film.title), "bold")
    left = [Span(f"{page.glyphs.running} ", STYLES["running"]), name]
    time_text = Span(clock_time(progress.now() - film.began), "dim")
    if page.is_narrow:
        return justify(left, [time_text], page)
    percent = film.snapshot.most if film.snapshot else 0.0
    bar = [*draw_bar(percent / 100, BAR_CELLS, page), Span(f" {percent:3.0f} %  ")]
    return justify([*left, Span("  "), Span(doing(now, page.language), "dim")],
                   [*bar, time_text], page)  # fmt: skip


def _overall(progress: BatchProgress, page: Viewport, wall: float) -> Line:
    share = progress.share()
    percent = f"{int(100 * share):3} %  "  # 100 when all is over, not before
    room = 0 if page.is_narrow else TIME_CELLS
    cells = page.inner - page.margin - len(percent) - room
    text = "" if page.is_narrow else "  " + _time_left(progress, page, wall)
    bar = draw_bar(share, max(4, cells), page)
    return (Span(" " * page.margin), Span(percent, "bold"), *bar, Span(text))


def _time_left(progress: BatchProgress, page: Viewport, wall: float) -> str:
    left = progress.remaining()
    if left is None:
        return label("learning", page.language)
    if left <= 0:
        return ""
    clock = time.strftime("%H:%M", time.localtime(wall + left))
    until = say("batch.until", {"clock": clock}, page.language)
    return f"{remaining(left, None, page.language)}, {until}"


def _counts(progress: BatchProgress, page: Viewport) -> Line:
    counts: Mapping[str, int] = progress.counts
    parts = [
        say(f"batch.count_{state}", {"count": counts[state]}, page.language)
        for state in SHOWN_STATES
        if counts.get(state)
    ]
    parts.append(label("elapsed", page.language, time=clock_time(progress.elapsed)))
    line = join_parts(parts, page)
    return line if line_len(line) <= page.inner else join_parts(parts[:-1], page)


def film_over(film: Film, how: str, page: Viewport) -> list[Line]:
    """A film that is over, as lines that stay above the picture."""
    language, name = page.language, Span(harmless(film.title), "", uri(film.video))
    if how == "complete":
        took = Span(duration(film.took_seconds, language), "dim")
        sign = Span(f"{page.glyphs.completed} ", STYLES["completed"])
        return [fit_line(justify([sign, name], [took], page), page)]
    said, advice = batch_failure(film, language)
    what = say(f"batch.{how}", None, language)
    text = ": ".join(part for part in (harmless(film.title), what, "" if how == "lost" else said)
                     if part)  # fmt: skip
    mark = "failed" if how == "failed" else "warning"
    style = STYLES["failed"] if how == "failed" else "bold yellow"
    lines = paragraph(getattr(page.glyphs, mark), style, text, "", page)
    if advice and how == "failed":
        lines += paragraph(" ", "", harmless(advice), "dim", page)
    return [fit_line(line, page) for line in lines]
