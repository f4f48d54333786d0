"""`vidgen history` and `vidgen stats`: what to say of past runs, printed on stdout."""

import sys
from pathlib import Path

from vidgen.errors import InputError
from vidgen.messages import user_language
from vidgen.paths import Home, TaskFolder
from vidgen.progress.history import timeline
from vidgen.progress.history.stats import statistics
from vidgen.progress.store import reader, runs
from vidgen.progress.views import tables
from vidgen.progress.views.plain import Plain, RawJson


def show_history(
    home: Home,
    task: str = "",
    *,
    as_json: bool = False,
    follow: bool = False,
    logs: bool = False,
    limit: int = 20,
    batch: str = "",
) -> None:
    """`vidgen history`. Raises InputError when the run is not there, or none is named to follow."""
    if follow and not task:
        raise InputError(
            "--follow needs a run to follow.",
            hint="Say which: vidgen history last --follow",
            code="history.follow_what",
        )
    language = user_language()
    if not task:
        found = timeline.batch_runs(home, batch) if batch else timeline.runs(home, limit)
        if as_json:
            tables.print_json([run.to_json() for run in found])
        else:
            tables.print_runs(found, language, batch)
        return
    folder = runs.find_run(home, task)
    if follow:
        _follow(folder, language, as_json=as_json, logs=logs)
    elif as_json:
        data = timeline.timeline(folder).to_json()
        tables.print_json(data["said"] if logs else data)
    elif logs:
        tables.print_log(timeline.timeline(folder).said, language)
    else:
        tables.print_timeline(timeline.timeline(folder), language)


def show_stats(home: Home, *, as_json: bool = False, plot: Path | None = None) -> None:
    """`vidgen stats`. Raises InputError when the picture cannot be written, SetupError when what
    draws it is not installed."""
    found = statistics(home)
    if plot is not None:
        from vidgen.progress.views.plot import save

        save(found, plot)
    if as_json:
        tables.print_json(found.to_json())
    else:
        tables.print_stats(found, user_language())


def _follow(folder: TaskFolder, language: str, *, as_json: bool, logs: bool) -> None:
    sink = RawJson(sys.stdout.buffer) if as_json else Plain(sys.stdout, language)
    for event in reader.follow(folder):
        if not logs or event.event_type == "log":
            sink(event)
