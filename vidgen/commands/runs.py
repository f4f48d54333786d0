"""`vidgen open`, `cancel`, `rm` and `clean`: what can be done with runs that are there already."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from vidgen import console
from vidgen.errors import InputError
from vidgen.flags import Json, Task, complete_tasks
from vidgen.paths import Home

if TYPE_CHECKING:
    from vidgen.paths import TaskFolder


def open_film(task: Task = "last") -> None:
    """Show a run's film in this machine's player, and print its path."""
    from vidgen.desktop import show_file
    from vidgen.progress.store.runs import find_film, find_run

    film = find_film(find_run(Home.default(), task))
    console.print_line(film)
    show_file(film)


def cancel(task: Task = "last") -> None:
    """End a run that is being made on this machine; it can be resumed."""
    from vidgen.progress.store.cancel import request_cancel
    from vidgen.progress.store.runs import find_run

    folder = find_run(Home.default(), task)
    if not request_cancel(folder):
        raise InputError(
            "The run {task} is not being made, or does not listen.",
            hint="`vidgen history` tells how each run ended.",
            code="history.not_running",
            task=folder.task_id[:8],
        )
    console.print_sentence("history.cancelling", {"task": folder.task_id[:8]})


def remove(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Runs, by the first characters of their ids, or: last.",
            metavar="TASK…",
            autocompletion=complete_tasks,
        ),
    ] = None,
    all_finished: Annotated[
        bool, typer.Option("--all-finished", help="All runs whose film is there.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove runs: their history, previews, copies of photo and voice. The films stay."""
    from vidgen.progress.store.cleanup import remove_runs

    folders = _chosen(tasks or (), all_finished=all_finished)
    if folders and not yes and not _agrees(folders):
        raise typer.Exit(1)
    removed = remove_runs(folders)
    if as_json:
        console.print_json(removed)
    else:
        size = console.format_size(removed.freed_bytes)
        console.print_sentence("history.removed", {"runs": removed.runs, "size": size})


def _chosen(tasks: Iterable[str], *, all_finished: bool) -> "list[TaskFolder]":
    """Each run once. Raises InputError."""
    from vidgen.progress.store.runs import find_run, list_runs

    home = Home.default()
    named = list(dict.fromkeys(find_run(home, task) for task in tasks))
    if bool(named) == all_finished:
        raise InputError(
            "It is not said which runs to remove.",
            hint="Name some, or all that are ready: vidgen rm --all-finished",
            code="history.rm_what",
        )
    return named or [run.folder for run in list_runs(home) if run.state == "complete"]


def _agrees(folders: "list[TaskFolder]") -> bool:
    """Ask; no answer is a no. Raises InputError where nobody can be asked."""
    from vidgen.files import folder_size

    if not sys.stdin.isatty():
        raise InputError(
            "Nothing was removed: there is nobody here to ask.",
            hint="Add --yes.",
            code="history.rm_ask",
        )
    size = console.format_size(sum(folder_size(folder.root) for folder in folders))
    console.print_question("history.rm_sure", {"runs": len(folders), "size": size})
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what could still be resumed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove what is old: work folders after a day, runs after a month."""
    from vidgen.config import keeping
    from vidgen.progress.store import cleanup

    hours, days = keeping("keep_work_hours"), keeping("keep_history_days")
    cleaned = cleanup.clean(Home.default(), days, hours, keep_resumable=not everything)
    (console.print_json if as_json else console.print_cleanup)(cleaned)
