"""What commands print of films: those that would be made, and those of a batch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from vidgen.console import print_line, sentence, table_console
from vidgen.messages import harmless

# What is said of a film that was not made now.
STATES: Final = {
    "skipped": "batch.to_skip",
    "waiting": "page.mark_waiting",
    "failed": "batch.failed",
    "cancelled": "batch.cancelled",
}

if TYPE_CHECKING:
    from vidgen.batch import BatchResult, PlannedFilm
    from vidgen.dry_run import FilmPlan


def print_plan(plan: "FilmPlan") -> None:
    """What a run would make, by what, in what time, and what it would say; on stdout."""
    from vidgen.progress.views.text import duration, estimate_text

    facts = [
        duration(plan.seconds),
        f"{plan.fps:g} fps",
        plan.plan["renderer"],
        plan.plan["device"],
    ]
    if plan.size:
        facts.insert(1, "{}×{}".format(*plan.size))
    print_line(harmless(f"{sentence('live.video', {})}  {plan.output}"))
    print_line(", ".join(facts))
    expected = plan.expected_seconds
    about = {"eta": estimate_text(expected or 0)}
    print_line(sentence("live.about", about) if expected else sentence("batch.unknown_time", {}))
    if plan.preview:
        print_line(harmless(f"{sentence('live.preview', {})}  {plan.preview}"))
    for note in plan.notes:
        print_line(harmless(f"! {sentence(note.code, note.metadata)}"))


def print_batch_plan(
    films: "Sequence[PlannedFilm]", seconds: "Mapping[str, float | None]", total: float | None
) -> None:
    """A line for each film: what is to be done, and how long it will take."""
    from rich.table import Table

    from vidgen.progress.views.text import duration

    table = Table.grid(padding=(0, 2, 0, 0))
    for film in films:
        told = seconds.get(film.task_id)
        table.add_row(
            str(film.job.line),
            sentence(f"batch.to_{film.action}", {}),
            harmless(str(film.video or film.job.request.output)),
            f"[dim]{duration(told)}[/]" if told else "",
        )
    out = table_console()
    out.print(table)
    left = sum(film.action != "skip" for film in films)
    values = {"total": len(films), "there": len(films) - left, "left": left}
    time = duration(total) if total else sentence("batch.unknown_time", {})
    typer.echo(f"{sentence('batch.opening', values)}: {time}", err=True)


def print_batch(result: "BatchResult") -> None:
    """A table on a terminal; elsewhere the films' paths, a line each."""
    from rich.table import Table
    from rich.text import Text

    from vidgen.progress.views.text import duration

    out = table_console()
    if not out.is_terminal:
        for film in result.films:
            if film.video:
                typer.echo(film.video)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for film in result.films:
        sign = "[green]✓[/]" if film.video else "[red]✗[/]"
        why = f"{film.title}: {film.message}" if film.message else film.title
        text = Text(harmless(_from_here(film.video) if film.video else why))
        state = sentence(STATES.get(film.state, film.state), {})
        took = duration(film.took_seconds) if film.took_seconds else state
        table.add_row(sign, str(film.line), text, f"[dim]{took}[/]")
    out.print(table)


def _from_here(file: str) -> str:
    """Its path, without the folder that the user is in: a narrow terminal has no room for it."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
