"""Draw histories and statistics on stdout with Rich. Computes nothing; the values come ready."""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from vidgen.messages import harmless, say
from vidgen.progress.forecast.accuracy import MOMENTS
from vidgen.progress.views.layout import ASCII, STYLES, UNICODE, Glyphs
from vidgen.progress.views.text import (
    advice,
    duration,
    megabytes,
    percent,
    sentence,
    shorten_path,
    stage_name,
)
from vidgen.text import json_bytes

if TYPE_CHECKING:
    from vidgen.progress.forecast.accuracy import Accuracy
    from vidgen.progress.history.stats import StageStats, Stats
    from vidgen.progress.history.timeline import LogLine, Run, Timeline, TimelineRow

NARROW: Final = 60
SIGNS: Final = {
    "complete": ("completed", "green"),
    "running": ("running", "bold cyan"),
    "failed": ("failed", "bold red"),
    "cancelled": ("failed", "yellow"),
    "interrupted": ("failed", "yellow"),
    "unfinished": ("failed", "yellow"),
}
EMPTY: Final = "–"
LEVELS: Final = {"INFO": "cyan", "WARNING": "yellow", "ERROR": "bold red"}


def print_json(value: object) -> None:
    import orjson

    text = json_bytes(value, orjson.OPT_INDENT_2)
    sys.stdout.write(text.decode() + "\n")


def console() -> Console:
    return Console(highlight=False, soft_wrap=False)


def print_runs(runs: Sequence["Run"], language: str, batch: str = "") -> None:
    """The list; what to say when it is empty depends on whether only a `batch` was asked for."""
    out = console()
    if not runs:
        code = "history.no_batch" if batch else "history.none"
        out.print(Text(say(code, {"batch": harmless(batch)}, language)))
        return
    is_wide = out.width >= NARROW
    took_width = max(cell_len(duration(run.seconds, language)) for run in runs)
    fixed = 1 + 8 + 16 + took_width + 8 if is_wide else 1 + 8 + 11 + 6
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=1)
    table.add_column(min_width=8)
    table.add_column(min_width=16 if is_wide else 11, style="dim")
    if is_wide:
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, overflow="ellipsis")
    for run in runs:
        table.add_row(*_run_row(run, language, out, is_wide=is_wide, room=out.width - fixed))
    out.print(table)
    if again := next((run.resume_command for run in runs if run.resume_command), ""):
        out.print(Text(f"{say('live.resume', None, language)}  {again}", "dim"))


def _run_row(
    run: "Run", language: str, out: Console, *, is_wide: bool, room: int
) -> Iterator[Text | str]:
    """`room`: cells for the names and the outcome together."""
    half = (room - 2) // 2 if is_wide else room
    yield _sign(run.state, out)
    yield run.task_id[:8]
    yield _local(run.began)[0 if is_wide else 5 : 16]
    if is_wide:
        yield duration(run.seconds, language)
        names = Text(harmless(run.title))
        names.truncate(half, overflow="ellipsis")
        yield names
    outcome = _outcome(run, language, half, out)
    outcome.truncate(half, overflow="ellipsis")
    yield outcome


def _outcome(run: "Run", language: str, cells: int, out: Console) -> Text:
    if run.state == "complete":
        return _path(run.video_path, cells, out)
    if reason := sentence(run.error, language):  # the sign has said that it failed
        return Text(reason)
    percent = f" {run.progress:.0f} %" if run.progress >= 0 else ""
    where = stage_name(run.stage, language)
    return Text(f"{stage_name(run.state, language)}{percent} · {where}")


def print_timeline(timeline: "Timeline", language: str) -> None:
    out = console()
    run = timeline.run
    head = Text.assemble(
        (harmless(run.title) or "vidgen", "bold"),
        "  ",
        (stage_name(run.state, language), SIGNS.get(run.state, ("", ""))[1]),
    )
    out.print(head)
    out.print(
        Text(f"{run.task_id}  {_local(run.began)[:16]}  {duration(run.seconds, language)}", "dim")
    )
    out.print()
    out.print(_steps_table(timeline.steps, language, out), end="\n\n")  # nothing without a step
    if timeline.said:
        print_log(timeline.said, language)
        out.print()
    _print_end(timeline, language, out)


def _steps_table(steps: Sequence["TimelineRow"], language: str, out: Console) -> Table:
    """A row per stage; the bar says when it ran, on a scale of the whole run."""
    table = _grid()
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    visible = [step for step in steps if step.stage != "initialized" or step.seconds >= 0.1]
    whole = max((step.began + step.seconds for step in visible), default=0.0)
    cells = out.width - 45 if out.width >= NARROW else 0
    if cells:
        table.add_column(no_wrap=True)
    for step in visible:
        bar = [_bar(step, whole, min(60, cells), out)] if cells else []
        name = stage_name(step.stage, language)
        table.add_row(_sign(step.status, out), name, _took(step, language), *bar)
    return table


def _took(step: "TimelineRow", language: str) -> Text:
    if step.status in ("skipped", "reused"):
        return Text(say(f"live.{step.status}", None, language), "dim")
    return Text(duration(step.seconds, language))


def _bar(step: "TimelineRow", whole: float, cells: int, out: Console) -> Text:
    if not whole or step.status in ("skipped", "reused"):
        return Text("")
    # Where the clock went back, a stage began before the run and took longer than it.
    first = min(max(0, round(step.began / whole * cells)), cells - 1)
    size = min(max(1, round(step.seconds / whole * cells)), cells - first)
    return Text(" " * first + _glyphs(out).full * size, "cyan")


def print_log(log_lines: Sequence["LogLine"], language: str) -> None:
    out = console()
    table = _grid()
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for entry in log_lines:
        text = entry.message
        if language != "en":
            text = say(entry.message_code, entry.metadata, language, otherwise=text)
        level = Text(entry.level, LEVELS.get(entry.level, ""))
        table.add_row(_local(entry.timestamp)[11:], level, Text(harmless(text)))
    out.print(table)


def _print_end(timeline: "Timeline", language: str, out: Console) -> None:
    if timeline.run.video_path:
        out.print(
            Text.assemble(
                say("live.video", None, language),
                "  ",
                _path(timeline.run.video_path, out.width - 12, out),
            )
        )
        if peak := timeline.metadata.get("peak_memory_mb"):
            text = say("live.peak", {"amount": megabytes(float(peak))}, language)
            out.print(Text(text, "dim"))
    if timeline.error:
        out.print(Text(sentence(timeline.error, language), "red"))
        if hint := advice(timeline.error, language):
            out.print(Text(hint))
    if timeline.left:
        names = ", ".join(stage_name(stage, language) for stage in timeline.left)
        out.print(f"{say('live.left', None, language)}  {names}")
    if timeline.run.resume_command:
        out.print(f"{say('live.resume', None, language)}  {timeline.run.resume_command}")


def print_stats(stats: "Stats", language: str) -> None:
    out = console()
    if not stats.runs:
        out.print(say("history.none", None, language))
        return
    counts = (f"{stage_name(state, language)} {count}" for state, count in stats.states.items())
    out.print(Text(f" {_glyphs(out).dot} ".join(counts), "bold"))
    out.print()
    out.print(_stage_stats(stats.stages, language, out))
    if stats.failures:
        out.print()
        out.print(Text(say("stats.failures", None, language), "bold"))
        for code, count in stats.failures.items():
            out.print(f"{count:4} × {harmless(code)}")
    out.print()
    _print_accuracy(stats.accuracy, language, out)


def _stage_stats(stages: Sequence["StageStats"], language: str, out: Console) -> Table:
    heads = ["stage", "median", "half", "ready", "pace", "runs"]
    if out.width < NARROW:
        del heads[2:]
    titles = [say(f"stats.{head}", None, language) for head in heads]
    rows = [[_stat(stage, head, language) for head in heads] for stage in stages]
    numbers = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)][1:]
    room = out.width - sum(numbers) - 2 * len(heads)  # the names give way, not the numbers
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for _ in numbers:
        table.add_column(no_wrap=True, justify="right")
    table.add_row(*(Text(title, "dim") for title in titles))
    for stage, row in zip(stages, rows, strict=True):
        made = " ".join(filter(None, (stage.backend, stage.device)))
        name = Text.assemble(row[0], "  ", (harmless(made), "dim"))
        name.truncate(room, overflow="ellipsis")
        table.add_row(name, *row[1:])
    return table


def _stat(stage: "StageStats", column: str, language: str) -> str:
    match column:
        case "stage":
            return stage_name(stage.stage, language)
        case "median":
            return duration(stage.median_seconds, language)
        case "half":
            return f"{stage.low_seconds:.1f} – {stage.high_seconds:.1f}"
        case "ready":
            return f"{stage.ready_seconds:.1f}"
        case "pace" if stage.seconds_per_unit:
            unit = say(f"stats.unit_{stage.unit}", None, language, otherwise=stage.unit)
            return f"{stage.seconds_per_unit * 1000:.0f} ms/{unit}"
        case "runs":
            return str(stage.runs)
        case _:
            return ""


def _print_accuracy(found: "Accuracy", language: str, out: Console) -> None:
    out.print(Text(say("stats.accuracy", {"runs": found.runs}, language), "bold"))
    if all(error is None for error in found.mape):
        out.print(say("live.learning", None, language))
        return
    table = Table.grid(padding=(0, 2 if out.width >= NARROW else 1, 0, 0))
    table.add_column(no_wrap=True)
    for _ in MOMENTS:
        table.add_column(no_wrap=True, justify="right")
    at = [percent(share) for share in MOMENTS]
    table.add_row(*(Text(text, "dim") for text in (say("stats.at", None, language), *at)))
    errors = [EMPTY if error is None else percent(error) for error in found.mape]
    table.add_row(say("stats.error_at", None, language), *errors)
    out.print(table)
    if found.coverage is not None:
        out.print(say("stats.kept", {"percent": percent(found.coverage)}, language))


def _grid() -> Table:
    return Table.grid(padding=(0, 2, 0, 0), pad_edge=False)


def _glyphs(out: Console) -> Glyphs:
    return UNICODE if out.encoding.lower().startswith("utf") else ASCII


def _sign(state: str, out: Console) -> Text:
    name, style = SIGNS.get(state, (state, STYLES.get(state, "")))
    return Text(getattr(_glyphs(out), name, " "), style)


def _local(timestamp: str) -> str:
    """2026-11-20 12:34:56 where the reader is."""
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return timestamp


def _path(path: str, cells: int, out: Console) -> Text:
    """The file's name, or its path when it is not in the current folder, in so many cells."""
    file = Path(path)
    label = file.name if file.parent == Path.cwd() else path
    uri = file.as_uri() if file.is_absolute() else ""
    text = shorten_path(harmless(label), cells, _glyphs(out).cut)
    return Text(text, Style(link=uri) if uri else "")
