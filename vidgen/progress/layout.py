"""Draw a run as lines of styled text that fit a width and a height exactly. Pure: no terminal.

Times come from the state, words from `words`; escape codes are made by `terminal`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.cells import cell_len

from vidgen.progress.fitting import Line, Span, cropped, cut_path, wrapped
from vidgen.progress.state import RunState, StageState
from vidgen.progress.words import (
    clock_time,
    counted,
    doing,
    duration,
    harmless,
    label,
    megabytes,
    remaining,
    sentence,
    speed,
    stage_name,
)

WIDEST: Final = 100  # wider bars say no more
NARROW: Final = 60  # below: one column less, no notes, no bars inside stages
FULL_HEIGHT: Final = 16  # from here on there is room for a heading and blank lines
ROOM_BESIDE: Final = 24  # cells beside a picture for what it shows


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
class Page:
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


def draw(state: RunState, page: Page, now: float) -> list[Line]:
    """The live picture, at most `page.height - 1` lines; what matters least goes first."""
    ranked: list[tuple[int, Line]] = []  # (rank, line): the highest rank is dropped first
    blank = 7 if page.is_narrow else 6
    if page.is_roomy:
        ranked += [(9, ()), (8, _heading(state, page)), (9, ())]
    ranked += [(_rank(row), _stage(row, state, page, now)) for row in state.stages.values()]
    ranked += [(blank, ()), (0, _overall(state, page, now))]
    ranked += [(rank, line) for rank, line in _details(state, page, now) if line]
    return [_fitted(line, page) for line in _within(ranked, max(1, page.height - 1))]


def _within(ranked: Sequence[tuple[int, Line]], most: int) -> list[Line]:
    kept = list(enumerate(ranked))
    while len(kept) > most:
        kept.remove(max(kept, key=lambda item: (item[1][0], -item[0])))
    return [line for _, (_, line) in kept]


def _rank(row: StageState) -> int:
    return {"running": 1, "waiting": 4}.get(row.mark, 3)


def _heading(state: RunState, page: Page) -> Line:
    left = [Span("vidgen", "bold")]
    if page.title:
        left.append(Span("  " + harmless(page.title)))
    run = label("run", page.language, task=state.task_id[:8]) if state.task_id else ""
    return _spread(left, [Span(run, "dim")], page)


def _stage(row: StageState, state: RunState, page: Page, now: float) -> Line:
    name = doing(row.progress, page.language) if row.mark == "running" and row.progress else ""
    name = name or stage_name(row.name, page.language)
    column = max(cell_len(stage_name(n, page.language)) for n in state.stages)
    sign = getattr(page.glyphs, _sign(row.mark))
    style = {"running": "bold", "waiting": "dim", "skipped": "dim"}.get(row.mark, "")
    head = [Span(sign + " ", STYLES[row.mark]), Span(name, style)]
    if row.mark == "waiting":
        return _spread(head, [], page)
    gap = Span(" " * (max(0, column - cell_len(name)) + 2))
    if row.mark == "running":
        if row.name == "queued":
            return _queued(row, state, head, gap, page, now)
        return _running(row, head, gap, page, now)
    took = Span(_took(row, page), "dim")
    note = _note(row, page)
    return _spread([*head, gap, Span(note, "dim")] if note else head, [took], page)


def _sign(mark: str) -> str:
    return {"cancelled": "failed", "interrupted": "failed"}.get(mark, mark)


def _took(row: StageState, page: Page) -> str:
    if row.mark in ("skipped", "reused"):
        return label(row.mark, page.language)
    return duration(row.seconds, page.language)


def _note(row: StageState, page: Page) -> str:
    """The stage's own closing sentence, where there is room and it has one."""
    if page.is_narrow or row.said.get("message_code") == f"stage.{row.name}":
        return ""
    return sentence(row.said, page.language)


def _queued(
    row: StageState, state: RunState, head: list[Span], gap: Span, page: Page, now: float
) -> Line:
    where = [] if page.is_narrow else [gap, Span(_place(state, page), "dim")]
    return _spread([*head, *where], [Span(clock_time(now - row.began), "dim")], page)


def _is_queued(state: RunState) -> bool:
    return state.running is not None and state.running.name == "queued"


def _place(state: RunState, page: Page) -> str:
    """Behind whom the run waits, and in which place; empty while nobody knows."""
    said = state.stages["queued"].said.get("metadata") or {}
    behind, parts = harmless(str(said.get("behind", "?"))), []
    if behind != "?":
        parts.append(label("behind", page.language, task=behind))
    if state.position:
        parts.append(label("place", page.language, position=state.position))
    return f" {page.glyphs.dot} ".join(parts)


def _running(row: StageState, head: list[Span], gap: Span, page: Page, now: float) -> Line:
    data, language = row.progress, page.language
    if _has_counted(row, page):
        data = {}
    time = Span(clock_time(now - row.began), "dim")
    count = counted(data, "" if page.is_narrow else language)
    if page.is_narrow:
        return _spread(head, [Span(count or time.text, "dim")], page)
    if not data:
        return _spread(head, [time], page)
    numbers = "  ".join(filter(None, (count, speed(data, language, short=True))))
    used = sum(cell_len(span.text) for span in (*head, gap))
    cells = min(24, page.inner - page.margin - used - cell_len(numbers) - 9)
    bar = _bar(float(data.get("stage_progress", 0)), cells, page) if cells >= 6 else []
    return _spread([*head, gap, *bar, Span(("  " if bar else "") + numbers)], [time], page)


def _has_counted(row: StageState, page: Page) -> bool:
    """Whether the stage is at something else since all it counts is done."""
    is_full = float(row.progress.get("stage_progress", 0)) >= 1
    own = doing(row.progress, page.language)
    return is_full and own != stage_name(row.name, page.language)


def _bar(share: float, cells: int, page: Page) -> list[Span]:
    halves = round(min(1.0, max(0.0, share)) * cells * 2)
    full, half = divmod(halves, 2)
    done = page.glyphs.full * full + (page.glyphs.half if half else "")
    return [Span(done, "cyan"), Span(page.glyphs.empty * (cells - full - half), "bright_black")]


def _overall(state: RunState, page: Page, now: float) -> Line:
    percent = f"{state.percent:3.0f} %  "
    # The room for the time is fixed, so that the bar never changes its length.
    room = 0 if page.is_narrow else 38
    cells = page.inner - page.margin - len(percent) - room
    text = "" if page.is_narrow else "  " + _eta(state, page, now)
    return (
        Span(" " * page.margin),
        Span(percent, "bold"),
        *_bar(state.percent / 100, max(4, cells), page),
        Span(text),
    )


def _eta(state: RunState, page: Page, now: float) -> str:
    if _is_queued(state):  # nobody knows how long the others take
        return _place(state, page) if page.is_narrow else ""
    left = remaining(state.eta.at(now), state.upper.at(now), page.language)
    if not left and state.eta_basis == "learning":
        return label("learning", page.language)
    return left


def _details(state: RunState, page: Page, now: float) -> list[tuple[int, Line]]:
    """(rank, line) of what stands under the bar: time, machine, preview."""
    elapsed = label("elapsed", page.language, time=clock_time(state.elapsed()))
    if page.is_narrow:
        waited = "" if _is_queued(state) else clock_time(state.elapsed())  # its row has it
        left = _row([_eta(state, page, now), waited], page, "")
        return [(2, left), (5, _row(_machine(state, page), page))]
    lines = [(2, _row([elapsed, *_machine(state, page)], page))]
    if state.preview.get("path"):
        lines.append((7, preview_link(state.preview, page)))
    return lines


def _machine(state: RunState, page: Page) -> list[str]:
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


def _row(parts: Sequence[str], page: Page, style: str = "dim") -> Line:
    text = f" {page.glyphs.dot} ".join(part for part in parts if part)
    return (Span(" " * page.margin), Span(text, style)) if text else ()


def _link(name: str, path: str, page: Page, style: str = "dim") -> Line:
    """A path, cut in its middle when it is long; the link holds all of it."""
    head = [Span(" " * page.margin), Span(f"{name}  ", style)]
    room = page.inner - sum(cell_len(span.text) for span in head)
    return (*head, Span(cut_path(harmless(path), room, page.glyphs.cut), "", _uri(path)))


def _uri(path: str) -> str:
    try:
        return Path(path).absolute().as_uri()
    except (ValueError, OSError):
        return ""


def message(data: Mapping[str, Any], page: Page) -> list[Line]:
    """A log event as lines that stay above the picture: a sign, then the sentence, wrapped."""
    level = str(data.get("level", "INFO"))
    sign, style = {
        "ERROR": (page.glyphs.failed, "bold red"),
        "WARNING": (page.glyphs.warning, "bold yellow"),
    }.get(level, (page.glyphs.info, "cyan"))
    return _paragraph(sign, style, sentence(data, page.language), "", page)


def beside(data: Mapping[str, Any], page: Page) -> list[Line]:
    """What a picture shows, and its file: the lines beside a preview."""
    name, path = str(data.get("name", "")), str(data.get("path", ""))
    percent = name.removeprefix("rendering-")
    about = label("cutout", page.language) if name == "cutout" else harmless(name)
    if percent.isdigit():
        about = label("frame_at", page.language, percent=percent)
    file = Span(harmless(Path(path).name), "dim", _uri(path))
    room, cut = ROOM_BESIDE - 2, page.glyphs.cut
    return [tuple(cropped([span], room, cut)) for span in (Span(about, "dim"), file)]


def preview_link(data: Mapping[str, Any], page: Page) -> Line:
    return _fitted(_link(label("preview", page.language), str(data.get("path", "")), page), page)


def summary(state: RunState, page: Page, *, says_errors: bool) -> list[Line]:
    """What stays on the screen at the end: the stages where there is room, then the outcome."""
    lines: list[Line] = []
    if page.is_roomy:
        lines += [(), _heading(state, page), ()]
        done = (row for row in state.stages.values() if row.mark != "waiting")
        lines += [*(_stage(row, state, page, 0.0) for row in done), ()]
    lines += _outcome(state, page, says_errors)
    return [_fitted(line, page) for line in lines[-max(1, page.height - 1) :]]


def _outcome(state: RunState, page: Page, says_errors: bool) -> list[Line]:
    end, language = state.end, page.language
    if end is None:
        return [_row([label("elapsed", language, time=clock_time(state.elapsed()))], page)]
    if end.event_type == "complete":
        return _completed(end.data, state, page)
    stopped = [
        stage_name("failed" if end.event_type == "error" else "cancelled", language),
        label("stopped_at", language, percent=f"{state.percent:.0f}"),
        clock_time(state.elapsed()),
    ]
    if not page.is_narrow:
        stopped.append(label("run", language, task=state.task_id[:8]))
    style = "bold red" if end.event_type == "error" else "yellow"
    lines = [_row(stopped, page, style)]
    if end.event_type == "error" and says_errors:
        lines += _paragraph(page.glyphs.failed, "bold red", sentence(end.data, language), "", page)
        if hint := harmless(str(end.data.get("hint") or "")):
            lines += _paragraph(" ", "", hint, "dim", page)
    if again := str(end.data.get("resume_command") or ""):
        lines.append(_row([f"{label('resume', language)}  {harmless(again)}"], page, ""))
    return lines


def _completed(data: Mapping[str, Any], state: RunState, page: Page) -> list[Line]:
    language = page.language
    seconds = float(data.get("duration_seconds") or state.elapsed())
    facts = [label("in_time", language, time=duration(seconds, language))]
    voice = (data.get("metadata") or {}).get("voice_seconds") or state.request.get("voice_seconds")
    if voice:
        facts.append(label("real_time", language, factor=f"{seconds / float(voice):.1f}"))
    if peak := (data.get("metadata") or {}).get("peak_memory_mb"):
        facts.append(label("peak", language, amount=megabytes(float(peak))))
    path = str(data.get("video_path", ""))
    sign = page.glyphs.completed
    name = f"{sign} {label('video', language)}"
    return [_link(name, path, page, "bold green"), *_facts(facts, page)]


def _facts(facts: Sequence[str], page: Page) -> Iterator[Line]:
    """The facts on one line, or on one each where they do not fit."""
    line = _row(["  " + facts[0], *facts[1:]], page)
    if sum(cell_len(span.text) for span in line) <= page.inner:
        yield line
    else:
        yield from (_row(["  " + fact], page) for fact in facts)


def _paragraph(sign: str, style: str, text: str, ink: str, page: Page) -> list[Line]:
    left = " " * page.margin
    rows = wrapped(text, page.inner - page.margin - 2)
    first = (Span(left), Span(f"{sign} ", style), Span(rows[0], ink))
    return [first, *((Span(left + "  "), Span(row, ink)) for row in rows[1:])]


def _spread(left: Sequence[Span], right: Sequence[Span], page: Page) -> Line:
    """Left part, then the right part at the right edge; the left one gives way."""
    room = page.inner - page.margin
    ends = sum(cell_len(span.text) for span in right)
    kept = cropped(left, room - ends - (1 if ends else 0), page.glyphs.cut)
    used = sum(cell_len(span.text) for span in kept)
    fill = " " * (room - used - ends) if ends else ""
    return (Span(" " * page.margin), *kept, Span(fill), *right)


def _fitted(line: Line, page: Page) -> Line:
    """Never wider than the page, without spaces at the end, whatever the words were."""
    kept = cropped(line, page.inner, page.glyphs.cut)
    while kept and not kept[-1].text.strip(" "):
        kept.pop()
    return tuple(span for span in kept if span.text)
