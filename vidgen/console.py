"""What commands print: results on stdout; errors, addresses and download bars on stderr.

The only printer besides the views of `progress`. Loads Rich when there is something to draw.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import typer

from vidgen.errors import VidgenError
from vidgen.messages import harmless, harmless_lines
from vidgen.version import __version__

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task
    from rich.text import Text

    from vidgen.doctor import Finding
    from vidgen.jobs.rows import Mistake
    from vidgen.models.catalog import CatalogEntry, Model, OnProgress, Removal
    from vidgen.models.pull import PullResult
    from vidgen.progress.store.cleanup import Cleanup
    from vidgen.settings import Setting

MARKS: Final = {"ok": "[green]✓[/]", "note": "[yellow]·[/]", "problem": "[red]✗[/]"}
STATES: Final = {"ready": "green", "missing": "dim", "wrong": "bold red"}
STAGES: Final = {
    "yolo_detection": "detection",
    "birefnet_removal": "matte",
    "rendering": "drawing",
}
NARROW: Final = 62  # columns; below, a model takes two lines
ROOMY: Final = 120  # from here on there is room for what a model does
PIPED: Final = 240  # nothing is cut or folded in what another program reads
LINE_SECONDS: Final = 10.0  # between the lines of a download that nobody watches


class Address(Protocol):
    """Where a server can be reached, its token where it must be told, and the port that it was
    to have, where another program has that."""

    @property
    def url(self) -> str: ...

    @property
    def token(self) -> str: ...

    @property
    def taken(self) -> int: ...


def print_line(text: object) -> None:
    """One line on stdout."""
    typer.echo(text)


def print_version(wanted: bool) -> None:
    """`--version`: print it, and nothing else is done."""
    if wanted:
        print_line(f"vidgen {__version__}")
        raise typer.Exit


def print_json(value: object) -> None:
    """One JSON value on stdout."""
    import orjson

    from vidgen.text import json_bytes

    print_line(json_bytes(value, orjson.OPT_INDENT_2).decode())


def print_error(error: VidgenError) -> None:
    """Say it to a person, in their language: what is wrong, then what to do."""
    from vidgen.messages import user_language

    message, hint = error.message, error.hint
    if user_language() != "en":
        message = sentence(error.code, error.details, message)
        hint = sentence(f"{error.code}_hint", error.details, hint)
        if command := error.details.get("resume_command"):
            hint = hint.replace("`vidgen resume`", f"`{command}`")
    for text, lead in ((message, "vidgen: "), (hint, " " * 8)):
        if text:
            typer.echo(_paragraph(harmless(text), lead), err=True)


def print_note(code: str, **values: Any) -> None:
    """A sentence of the catalogue on stderr, beside what is done all the same."""
    typer.echo(_paragraph(harmless(sentence(code, values)), "vidgen: "), err=True)


def print_mistakes(source: str, mistakes: "Sequence[Mistake]") -> None:
    """A line each on stderr: where, what is wrong, what to do."""
    from vidgen.messages import user_language

    for mistake in mistakes:
        error = mistake.error
        text, hint = error.message, error.hint
        if user_language() != "en":
            text = sentence(error.code, error.details, text)
            hint = sentence(f"{error.code}_hint", error.details, hint)
        where = f"{source}:{mistake.line}: " if mistake.line else ""
        typer.echo(harmless(f"{where}{text} {hint}"), err=True)


def print_failure(error: VidgenError) -> None:
    """The one JSON value of a command that failed."""
    about = {"code": error.code, "message": error.message, "hint": error.hint}
    print_json({"error": about | {"exit_code": error.exit_code, "details": error.details}})


def _paragraph(text: str, lead: str) -> str:
    """The text behind `lead`, in rows that a terminal need not break in the middle of a word."""
    if not sys.stderr.isatty():
        return lead + text
    from vidgen.progress.views.terminal import Terminal
    from vidgen.progress.views.text import wrap_text

    columns, _ = Terminal(sys.stderr).size()
    rows = wrap_text(text, max(12, columns - len(lead)))
    return lead + ("\n" + " " * len(lead)).join(rows)


def sentence(code: str, values: Mapping[str, Any], default: str = "") -> str:
    """The sentence of this code in the user's language."""
    from vidgen.messages import say, user_language

    return say(code, values, user_language(), default)


def print_sentence(code: str, values: Mapping[str, Any]) -> None:
    """One of vidgen's own, on stdout, in the user's language."""
    print_line(harmless(sentence(code, values)))


def print_question(code: str, values: Mapping[str, Any]) -> None:
    """On stderr, without an end of line: the answer is typed behind it."""
    typer.echo(sentence(code, values) + " ", nl=False, err=True)


def print_settings(settings: "Mapping[str, Setting]") -> None:
    """A line each, as a settings file would have it, with where the value comes from."""
    width = max(map(len, settings))
    for name, setting in settings.items():
        print_line(harmless(f"{name:{width}} = {setting.value}  # {setting.source}"))


def print_address(address: Address, batch: str = "") -> None:
    """On stderr, the token on a line of its own: it must not get into a copied address.

    Of a `batch` its own page; a port that another program has is told.
    """
    from urllib.parse import quote

    if address.taken:
        typer.echo(sentence("page.port_moved", {"port": address.taken}), err=True)
    url = f"{address.url.rstrip('/')}/?batch={quote(batch)}" if batch else address.url
    typer.echo(sentence("page.serving", {"url": url}), err=True)
    if address.token:
        typer.echo(sentence("page.serving_token", {"token": address.token}), err=True)


def print_findings(findings: "Iterable[Finding]") -> None:
    """A table on stdout, advice under what needs it."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for finding in findings:
        text = Text(harmless_lines(finding.text), overflow="fold")  # a long path is told whole
        if finding.advice:
            text.append(f"\n{harmless_lines(finding.advice)}", "dim")
        subject = sentence(f"doctor.of_{finding.subject.replace(' ', '_')}", {}, finding.subject)
        table.add_row(MARKS[finding.verdict], Text(subject), text)
    table_console().print(table)


def table_console() -> "Console":
    """For a table on stdout."""
    from rich.console import Console

    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=PIPED)


def print_models(rows: "Sequence[CatalogEntry]") -> None:
    """One line a model, under its set: stage, state, size, licence; with room, what it does."""
    out = table_console()
    if out.width < NARROW:
        _print_models_in_two_lines(rows, out)
    else:
        _print_models_in_columns(rows, out)


def _print_models_in_columns(rows: "Sequence[CatalogEntry]", out: "Console") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=2 + max((len(row.model.name) for row in rows), default=0))
    table.add_column()
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    if out.width >= ROOMY:
        table.add_column()
    for name, members in _by_set(rows).items():
        table.add_row(Text(harmless(name), "bold"))
        for row in members:
            use = [Text(harmless(row.model.about), "dim")] if out.width >= ROOMY else []
            table.add_row(*_cells(row), *use)
    out.print(table)


def _by_set(rows: "Sequence[CatalogEntry]") -> "Mapping[str, list[CatalogEntry]]":
    groups: dict[str, list[CatalogEntry]] = {}
    for row in rows:
        groups.setdefault(row.model.set, []).append(row)
    return groups


def _cells(row: "CatalogEntry") -> "Iterator[Text]":
    from rich.text import Text

    model = row.model
    yield Text(f"  {harmless(model.name)}", no_wrap=True)
    stage = sentence(f"doctor.{STAGES.get(model.stage, '')}", {}, model.stage or "—")
    yield Text(harmless(stage), "dim", no_wrap=True)
    yield Text(sentence(f"doctor.{row.state}", {}), STATES[row.state], no_wrap=True)
    yield Text(format_size(model.bytes or row.bytes), no_wrap=True)
    yield Text(harmless(model.licence))


def _print_models_in_two_lines(rows: "Sequence[CatalogEntry]", out: "Console") -> None:
    from rich.text import Text

    for row in rows:
        name, stage, state, size, licence = _cells(row)
        out.print(Text.assemble(name.plain.strip(), "  ", state), overflow="ellipsis", no_wrap=True)
        line = Text.assemble("  ", stage, f"  {size}  {licence}")
        out.print(line, overflow="ellipsis", no_wrap=True)


def print_pull(pulled: "Sequence[PullResult]") -> None:
    """A line a model: was it fetched, and where it is."""
    from rich.markup import escape

    for one in pulled:
        state = sentence("doctor.fetched" if one.fetched else "doctor.was_here", {})
        file = escape(harmless(str(one.file)))
        _print_markup(f"{escape(harmless(one.model.name))}  {state}  [dim]{file}[/]")


def print_removal(removed: "Sequence[Removal]") -> None:
    """A line a model that is gone now."""
    from rich.markup import escape

    if not removed:
        _print_markup(sentence("doctor.nothing_here", {}))
    for one in removed:
        code = "doctor.removed_cached" if one.still_cached else "doctor.removed"
        removal = sentence(code, {"size": format_size(one.bytes)})
        _print_markup(f"{escape(harmless(one.model.name))}  {removal}")


def _print_markup(line: str) -> None:
    from rich.console import Console

    Console(soft_wrap=True).print(line)


def print_cleanup(cleaned: "Cleanup") -> None:
    """What `vidgen clean` did, in the user's language."""
    freed = {"size": format_size(cleaned.freed_bytes) if cleaned.freed_bytes else "0 MB"}
    counts = {"runs": cleaned.runs, "folders": cleaned.work_folders}
    typer.echo(sentence("history.cleaned", {**freed, **counts}))
    if cleaned.kept_resumable:
        kept = {"runs": cleaned.kept_resumable, "size": format_size(cleaned.resumable_bytes)}
        typer.echo(sentence("history.kept_resumable", kept))


def format_size(size: int) -> str:
    """Bytes for people: decimal megabytes, as download sites count them."""
    if not size:
        return "?"
    if size < 50_000:
        return f"{size / 1e3:.1f} kB"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


@contextmanager
def download_bars(clock: Callable[[], float] = time.monotonic) -> "Iterator[OnProgress]":
    """A bar a file on stderr; gives the function that downloads call with their bytes.

    Where stderr is no terminal, a line now and then says the same.
    """
    from rich.console import Console
    from rich.progress import Progress, TaskID

    console = Console(stderr=True, highlight=False)
    hidden = not console.is_terminal
    columns = _bar_columns(console.width)
    with Progress(*columns, console=console, disable=hidden, get_time=clock) as progress:
        bars: dict[str, TaskID] = {}
        line_at: dict[str, float] = {}

        def on_progress(model: "Model", done: int, total: int) -> None:
            if model.name not in bars:
                bars[model.name] = progress.add_task(model.name, total=total)
                line_at[model.name] = clock()
                if hidden:
                    console.print(f"fetching {model.name} ({format_size(total)})", soft_wrap=True)
            progress.update(bars[model.name], completed=done, total=total)
            if hidden and clock() - line_at[model.name] >= LINE_SECONDS:
                line_at[model.name] = clock()
                console.print(_bar_in_words(progress.tasks[bars[model.name]]), soft_wrap=True)

        yield on_progress


def _bar_columns(width: int) -> "Sequence[Any]":
    from rich import progress
    from rich.table import Column

    return (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=None),
        progress.TaskProgressColumn() if width < NARROW else progress.DownloadColumn(),
        progress.TransferSpeedColumn(table_column=Column(no_wrap=True)),
        progress.TimeRemainingColumn(compact=True),
    )


def _bar_in_words(task: "Task") -> str:
    """`musetalk 34 %, 1.2 GB of 3.4 GB, 12.3 MB/s, 3 min left`, as far as it is known."""
    from vidgen.progress.views.text import duration

    parts = [f"{task.description} {task.percentage:.0f} %"]
    parts.append(f"{format_size(int(task.completed))} of {format_size(int(task.total or 0))}")
    if task.speed:
        parts.append(f"{format_size(int(task.speed))}/s")
    if task.time_remaining is not None:
        parts.append(f"{duration(task.time_remaining)} left")
    return ", ".join(parts)
