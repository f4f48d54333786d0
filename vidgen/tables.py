"""What commands print about what is kept: tables and lines on stdout, downloads on stderr."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from vidgen.catalog import Model, Removed, Shelved, Told
from vidgen.fetch import Pulled
from vidgen.messages import say
from vidgen.progress.cleaning import Cleaned
from vidgen.progress.views import user_language

STATES = {"ready": "[green]ready[/]", "missing": "[dim]missing[/]", "wrong": "[red]wrong[/]"}


def models_table(rows: Sequence[Shelved]) -> None:
    """One line a model, grouped by set as models.toml has them."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("model", "set", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("size", no_wrap=True, justify="right")
    table.add_column("licence")
    table.add_column("what it does")
    for row in rows:
        model = row.model
        size = size_text(model.bytes or row.bytes)
        table.add_row(model.name, model.set, STATES[row.state], size, model.licence, model.about)
    Console().print(table)


def pulled_lines(pulled: Sequence[Pulled]) -> None:
    for one in pulled:
        state = "fetched" if one.fetched else "was here already"
        Console(soft_wrap=True).print(f"{one.model.name}  {state}  [dim]{one.file}[/]")


def removed_lines(removed: Sequence[Removed]) -> None:
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
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


@contextmanager
def downloads() -> Iterator[Told]:
    """A bar a file on stderr; gives the function that downloads tell their bytes to."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bars: dict[str, int] = {}

        def told(model: Model, done: int, total: int) -> None:
            if model.name not in bars:
                bars[model.name] = int(progress.add_task(model.name, total=total))
                if not console.is_terminal:
                    console.print(f"fetching {model.name} ({size_text(total)})", soft_wrap=True)
            progress.update(bars[model.name], completed=done, total=total)  # type: ignore[arg-type]  # TaskID is an int

        yield told
