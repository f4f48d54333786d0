"""What commands print about what is kept: tables and lines on stdout, downloads on stderr."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table
from rich.text import Text

from vidgen.catalog import Model, Removed, Shelved, Told
from vidgen.fetch import Pulled
from vidgen.messages import say, user_language
from vidgen.progress.cleaning import Cleaned
from vidgen.progress.words import duration

STATES: Final = {"ready": "green", "missing": "dim", "wrong": "bold red"}
STAGES: Final = {
    "yolo_detection": "detection",
    "birefnet_removal": "matte",
    "rendering": "rendering",
    "": "—",
}
NARROW: Final = 62  # columns; below, a model takes two lines
ROOMY: Final = 120  # from here on there is room for what a model does
PIPED: Final = 240  # nothing is cut or folded in what another program reads
TELL_SECONDS: Final = 10.0  # between the lines of a download that nobody watches


def models_table(rows: Sequence[Shelved]) -> None:
    """One line a model, under its set: stage, state, size, licence; with room, what it does."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out = Console(highlight=False, width=PIPED)
    if out.width < NARROW:
        _models_in_two_lines(rows, out)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=2 + max((len(row.model.name) for row in rows), default=0))
    table.add_column()
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    if out.width >= ROOMY:
        table.add_column()
    for name, members in _by_set(rows).items():
        table.add_row(Text(name, "bold"))
        for row in members:
            use = [Text(row.model.about, "dim")] if out.width >= ROOMY else []
            table.add_row(*_cells(row), *use)
    out.print(table)


def _by_set(rows: Sequence[Shelved]) -> Mapping[str, list[Shelved]]:
    groups: dict[str, list[Shelved]] = {}
    for row in rows:
        groups.setdefault(row.model.set, []).append(row)
    return groups


def _cells(row: Shelved) -> Iterator[Text]:
    model = row.model
    yield Text(f"  {model.name}", no_wrap=True)
    yield Text(STAGES.get(model.stage, model.stage), "dim", no_wrap=True)
    yield Text(row.state, STATES[row.state], no_wrap=True)
    yield Text(size_text(model.bytes or row.bytes), no_wrap=True)
    yield Text(model.licence)


def _models_in_two_lines(rows: Sequence[Shelved], out: Console) -> None:
    for row in rows:
        name, stage, state, size, licence = _cells(row)
        out.print(Text.assemble(name.plain.strip(), "  ", state), overflow="ellipsis", no_wrap=True)
        line = Text.assemble("  ", stage, f"  {size}  {licence}")
        out.print(line, overflow="ellipsis", no_wrap=True)


def pulled_lines(pulled: Sequence[Pulled]) -> None:
    for one in pulled:
        state = "fetched" if one.fetched else "was here already"
        Console(soft_wrap=True).print(f"{one.model.name}  {state}  [dim]{one.file}[/]")


def removed_lines(removed: Sequence[Removed]) -> None:
    if not removed:
        Console(soft_wrap=True).print("Nothing of it was here.")
    for one in removed:
        note = " (another program's cache keeps it)" if one.still_cached else ""
        Console(soft_wrap=True).print(f"{one.model.name}  removed, {size_text(one.bytes)}{note}")


def cleaned_lines(done: Cleaned) -> list[str]:
    """What `vidgen clean` did, in the user's language."""
    language = user_language()
    freed = {"size": size_text(done.freed_bytes) if done.freed_bytes else "0 MB"}
    counts = {"runs": done.runs, "folders": done.work_folders}
    lines = [say("history.cleaned", {**freed, **counts}, language)]
    if done.kept_resumable:
        kept = {"runs": done.kept_resumable, "size": size_text(done.resumable_bytes)}
        lines.append(say("history.kept_resumable", kept, language))
    return lines


def size_text(size: int) -> str:
    """Bytes for people: decimal megabytes, as download sites count them."""
    if not size:
        return "?"
    if size < 50_000:
        return f"{size / 1e3:.1f} kB"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


@contextmanager
def downloads(clock: Callable[[], float] = time.monotonic) -> Iterator[Told]:
    """A bar a file on stderr; gives the function that downloads tell their bytes to.

    Where stderr is no terminal, a line now and then says the same.
    """
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn() if console.width < NARROW else DownloadColumn(),
        TransferSpeedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True),
    )
    hidden = not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, get_time=clock) as progress:
        bars: dict[str, TaskID] = {}
        told_at: dict[str, float] = {}

        def told(model: Model, done: int, total: int) -> None:
            if model.name not in bars:
                bars[model.name] = progress.add_task(model.name, total=total)
                told_at[model.name] = clock()
                if hidden:
                    console.print(f"fetching {model.name} ({size_text(total)})", soft_wrap=True)
            progress.update(bars[model.name], completed=done, total=total)
            if hidden and clock() - told_at[model.name] >= TELL_SECONDS:
                told_at[model.name] = clock()
                console.print(_line(progress.tasks[bars[model.name]]), soft_wrap=True)

        yield told


def _line(task: Task) -> str:
    """`musetalk 34 %, 1.2 GB of 3.4 GB, 12.3 MB/s, 3 min left`, as far as it is known."""
    parts = [f"{task.description} {task.percentage:.0f} %"]
    parts.append(f"{size_text(int(task.completed))} of {size_text(int(task.total or 0))}")
    if task.speed:
        parts.append(f"{size_text(int(task.speed))}/s")
    if task.time_remaining is not None:
        parts.append(f"{duration(task.time_remaining)} left")
    return ", ".join(parts)
