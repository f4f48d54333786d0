"""The live picture's rows: signs, styles, lines that fit; a run's state as some of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rich.cells import cell_len

from vidgen.messages import harmless
from vidgen.progress.snapshot import number
from vidgen.progress.views.state import RunState, StageState
from vidgen.progress.views.text import (
    Line,
    Span,
    clock_time,
    count_text,
    crop_spans,
    doing,
    duration,
    label,
    line_len,
    megabytes,
    remaining,
    sentence,
    shorten_path,
    speed,
    stage_name,
    wrap_text,
)

WIDEST: Final = 100  # wider bars say no more
NARROW: Final = 60  # below: one column less, no notes, no bars inside stages
FULL_HEIGHT: Final = 16  # from here on there is room for a heading and blank lines
WORTH_A_CLOCK: Final = 60.0  # seconds; what is over sooner needs no time of day
PATIENCE_SECONDS: Final = 5.0  # past its time, a run is no longer "nearly there"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The signs of a view, one cell each."""

    completed: str
    running: str
    waiting: str
    skipped: str
    reused: str
    failed: str
    warning: str
    info: str
    full: str
    half: str
    empty: str
    dot: str
    cut: str


UNICODE: Final = Glyphs("✓", "▸", "·", "–", "↺", "✗", "!", "i", "━", "╸", "━", "·", "…")
COLOURLESS: Final = replace(UNICODE, empty="─")  # nothing else tells what is done from what is not
ASCII: Final = Glyphs("+", ">", ".", "-", "=", "x", "!", "i", "#", "#", "-", "-", "~")
STYLES: Final = {
    "completed": "green",
    "running": "bold cyan",
    "waiting": "dim",
    "skipped": "dim",
    "reused": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "interrupted": "yellow",
}


@dataclass(frozen=True, slots=True)
class Viewport:
    """Where to draw: cells, the signs and the language. `title` names the run's inputs."""

    width: int
    height: int
    glyphs: Glyphs = UNICODE
    language: str = "en"
    title: str = ""

    @property
    def inner(self) -> int:
        """Usable cells: the last column stays free, where terminals differ about wrapping."""
        return max(8, min(WIDEST, self.width - 1))

    @property
    def is_narrow(self) -> bool:
        return self.inner < NARROW

    @property
    def is_roomy(self) -> bool:
        return self.height >= FULL_HEIGHT and not self.is_narrow

    @property
    def margin(self) -> int:
        return 2 if self.is_roomy else 0


def lay_out(state: RunState, page: Viewport, now: float) -> list[Line]:
    """The live picture, at most `page.height - 1` lines; what matters least goes first."""
    ranked: list[tuple[int, Line]] = []  # (rank, line): the highest rank is dropped first
    blank = 7 if page.is_narrow else 6
    if page.is_roomy:
        ranked += [(9, ()), (8, heading(state, page)), (9, ())]
    ranked += [(_rank(row), stage_line(row, state, page, now)) for row in state.stages.values()]
    ranked += [(blank, ()), (0, _overall(state, page, now))]
    ranked += [(rank, line) for rank, line in _details(state, page, now) if line]
    return [fit_line(line, page) for line in _within(ranked, max(1, page.height - 1))]


def heading(state: RunState, page: Viewport) -> Line:
    left = [Span("vidgen", "bold")]
    if page.title:
        left.append(Span("  " + harmless(page.title)))
    run = label("run", page.language, task=state.task_id[:8]) if state.task_id else ""
    return justify(left, [Span(run, "dim")], page)


def stage_line(row: StageState, state: RunState, page: Viewport, now: float) -> Line:
    name = doing(row.progress, page.language) if row.mark == "running" and row.progress else ""
    name = name or stage_name(row.name, page.language)
    column = max(cell_len(stage_name(n, page.language)) for n in state.stages)
    sign = getattr(page.glyphs, _sign(row.mark))
    style = {"running": "bold", "waiting": "dim", "skipped": "dim"}.get(row.mark, "")
    head = [Span(sign + " ", STYLES[row.mark]), Span(name, style)]
    if row.mark == "waiting":
        return justify(head, [], page)
    gap = Span(" " * (max(0, column - cell_len(name)) + 2))
    if row.mark == "running":
        if row.name == "queued":
            return _queue_line(row, state, head, gap, page, now)
        return _running(row, head, gap, page, now)
    took = Span(_took(row, page), "dim")
    note = _note(row, page)
    return justify([*head, gap, Span(note, "dim")] if note else head, [took], page)


def preview_link(data: Mapping[str, Any], page: Viewport) -> Line:
    return fit_line(link(label("preview", page.language), str(data.get("path", "")), page), page)


def join_parts(parts: Sequence[str], page: Viewport, style: str = "dim") -> Line:
    text = f" {page.glyphs.dot} ".join(part for part in parts if part)
    return (Span(" " * page.margin), Span(text, style)) if text else ()


def link(name: str, path: str, page: Viewport, style: str = "dim") -> Line:
    """A path, cut in its middle when it is long; the link holds all of it."""
    head = [Span(" " * page.margin), Span(f"{name}  ", style)]
    room = page.inner - line_len(head)
    return (*head, Span(shorten_path(harmless(path), room, page.glyphs.cut), "", uri(path)))


def uri(path: str) -> str:
    if path.startswith(("http://", "https://")):  # a file of another machine
        return harmless(path)
    try:
        return Path(path).absolute().as_uri()
    except (ValueError, OSError):
        return ""


def paragraph(sign: str, style: str, text: str, ink: str, page: Viewport) -> list[Line]:
    left = " " * page.margin
    rows = wrap_text(text, page.inner - page.margin - 2)
    first = (Span(left), Span(f"{sign} ", style), Span(rows[0], ink))
    return [first, *((Span(left + "  "), Span(row, ink)) for row in rows[1:])]


def justify(left: Sequence[Span], right: Sequence[Span], page: Viewport) -> Line:
    """Left part, then the right part at the right edge; the left one gives way."""
    room = page.inner - page.margin
    ends = line_len(right)
    kept = crop_spans(left, room - ends - (1 if ends else 0), page.glyphs.cut)
    used = line_len(kept)
    fill = " " * (room - used - ends) if ends else ""
    return (Span(" " * page.margin), *kept, Span(fill), *right)


def fit_line(line: Line, page: Viewport) -> Line:
    """Never wider than the page, without spaces at the end, whatever the words were."""
    kept = crop_spans(line, page.inner, page.glyphs.cut)
    while kept and not kept[-1].text.strip(" "):
        kept.pop()
    return tuple(span for span in kept if span.text)


def _within(ranked: Sequence[tuple[int, Line]], most: int) -> list[Line]:
    kept = list(enumerate(ranked))
    while len(kept) > most:
        kept.remove(max(kept, key=lambda item: (item[1][0], -item[0])))
    return [line for _, (_, line) in kept]


def _rank(row: StageState) -> int:
    return {"running": 1, "waiting": 4}.get(row.mark, 3)


def _sign(mark: str) -> str:
    return {"cancelled": "failed", "interrupted": "failed"}.get(mark, mark)


def _took(row: StageState, page: Viewport) -> str:
    if row.mark in ("skipped", "reused"):
        return label(row.mark, page.language)
    return duration(row.seconds, page.language)


def _note(row: StageState, page: Viewport) -> str:
    """The stage's own closing sentence, where there is room and it has one."""
    if page.is_narrow or row.data.get("message_code") == f"stage.{row.name}":
        return ""
    return sentence(row.data, page.language)


def _queue_line(
    row: StageState, state: RunState, head: list[Span], gap: Span, page: Viewport, now: float
) -> Line:
    where = [] if page.is_narrow else [gap, Span(_place(state, page), "dim")]
    return justify([*head, *where], [Span(clock_time(now - row.began), "dim")], page)


def _waits_in_queue(state: RunState) -> bool:
    return state.running is not None and state.running.name == "queued"


def _place(state: RunState, page: Viewport) -> str:
    """Behind whom the run waits, and in which place; empty while nobody knows."""
    metadata = state.stages["queued"].data.get("metadata") or {}
    behind, parts = harmless(str(metadata.get("behind", "?"))), []
    if behind != "?":
        parts.append(label("behind", page.language, task=behind))
    if state.position:
        parts.append(label("place", page.language, position=state.position))
    return f" {page.glyphs.dot} ".join(parts)


def _running(row: StageState, head: list[Span], gap: Span, page: Viewport, now: float) -> Line:
    data, language = row.progress, page.language
    if _is_past_counting(row, page):
        data = {}
    time = Span(clock_time(now - row.began), "dim")
    count = count_text(data, "" if page.is_narrow else language)
    if page.is_narrow:
        return justify(head, [Span(count or time.text, "dim")], page)
    if not data:
        return justify(head, [time], page)
    numbers = "  ".join(filter(None, (count, speed(data, language, short=True))))
    used = line_len((*head, gap))
    cells = min(24, page.inner - page.margin - used - cell_len(numbers) - 9)
    bar = draw_bar(float(data.get("stage_progress", 0)), cells, page) if cells >= 6 else []
    return justify([*head, gap, *bar, Span(("  " if bar else "") + numbers)], [time], page)


def _is_past_counting(row: StageState, page: Viewport) -> bool:
    """Whether the stage is at something else since all it counts is done."""
    is_full = float(row.progress.get("stage_progress", 0)) >= 1
    own = doing(row.progress, page.language)
    return is_full and own != stage_name(row.name, page.language)


def draw_bar(share: float, cells: int, page: Viewport) -> list[Span]:
    """A bar of so many cells, full to `share` (0 to 1)."""
    halves = round(min(1.0, max(0.0, share)) * cells * 2)
    full, half = divmod(halves, 2)
    done = page.glyphs.full * full + (page.glyphs.half if half else "")
    return [Span(done, "cyan"), Span(page.glyphs.empty * (cells - full - half), "bright_black")]


def _overall(state: RunState, page: Viewport, now: float) -> Line:
    percent = f"{state.percent:3.0f} %  "
    # The room for the time is fixed, so that the bar never changes its length.
    room = 0 if page.is_narrow else 38
    cells = page.inner - page.margin - len(percent) - room
    text = "" if page.is_narrow else "  " + _eta(state, page, now)
    return (
        Span(" " * page.margin),
        Span(percent, "bold"),
        *draw_bar(state.percent / 100, max(4, cells), page),
        Span(text),
    )


def _eta(state: RunState, page: Viewport, now: float, *, bound: bool = True) -> str:
    """What remains, with the most it may be where there is room for the `bound`."""
    if _waits_in_queue(state):  # nobody knows how long the others take
        return _place(state, page) if page.is_narrow else ""
    if state.eta.overdue(now) > PATIENCE_SECONDS:
        return label("longer", page.language)
    upper = state.upper.at(now) if bound else None
    left = remaining(state.eta.at(now), upper, page.language)
    if not left and state.eta_basis == "learning":
        return label("learning", page.language)
    return left


def _details(state: RunState, page: Viewport, now: float) -> list[tuple[int, Line]]:
    """(rank, line) of what stands under the bar: time, machine, preview."""
    elapsed = label("elapsed", page.language, time=clock_time(state.elapsed()))
    if page.is_narrow:
        waited = "" if _waits_in_queue(state) else clock_time(state.elapsed())  # its row has it
        left = [
            join_parts([_eta(state, page, now, bound=bound), waited], page, "")
            for bound in (True, False)
        ]
        fitting = next((line for line in left if line_len(line) <= page.inner), left[-1])
        return [(2, fitting), (5, join_parts(_machine(state, page), page))]
    ready = _ready(state, page, now)
    lines = [(2, join_parts([elapsed, ready, *_machine(state, page)], page))]
    if page.is_roomy and state.request.get("output"):
        lines.append((8, _film(state, page)))
    if state.preview.get("path"):
        lines.append((7, preview_link(state.preview, page)))
    return lines


def _ready(state: RunState, page: Viewport, now: float) -> str:
    """The time of day at which it will be over, when that is not just now."""
    left, at = state.eta.at(now), state.ready_at(now)
    if left is None or at is None or left < WORTH_A_CLOCK or state.eta.overdue(now) > 0:
        return ""
    return label("ready_at", page.language, clock=time.strftime("%H:%M", time.localtime(at)))


def _film(state: RunState, page: Viewport) -> Line:
    """Where the film goes, how long it will be and how high."""
    about, language = state.request, page.language
    facts = []
    if seconds := number(about.get("voice_seconds")):
        facts.append(duration(seconds, language))
    if height := number(about.get("height")):
        facts.append(f"{height:.0f} px")
    text = f" {page.glyphs.dot} ".join(["", *facts])
    name, path = label("video", language), harmless(str(about["output"]))
    head = (Span(" " * page.margin), Span(f"{name}  ", "dim"))
    room = page.inner - line_len(head) - cell_len(text)
    return (
        *head,
        Span(shorten_path(path, room, page.glyphs.cut), "", uri(path)),
        Span(text, "dim"),
    )


def _machine(state: RunState, page: Viewport) -> list[str]:
    used, language = state.resource, page.language
    parts = []
    if used.get("cpu_percent") is not None:
        parts.append(label("cpu", language, percent=f"{used['cpu_percent']:.0f}"))
    if used.get("memory_mb") is not None:
        amount = megabytes(used["memory_mb"])
        parts.append(amount if page.is_narrow else label("memory", language, amount=amount))
    if used.get("gpu_percent") is not None:
        memory = f" {megabytes(used['gpu_memory_mb'])}" if used.get("gpu_memory_mb") else ""
        parts.append(label("gpu", language, percent=f"{used['gpu_percent']:.0f}") + memory)
    return parts
