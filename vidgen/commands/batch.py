"""`vidgen batch`: reads its arguments, has the films made, prints one account of them."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidgen import console, streams
from vidgen.command_options import BatchOptions, ViewOptions
from vidgen.commands import film_tables
from vidgen.errors import InputError
from vidgen.flags import Batch, collect_settings, take
from vidgen.paths import Home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vidgen.batch import PlannedFilm
    from vidgen.engines.base import Engine
    from vidgen.engines.ray import RayEngine
    from vidgen.jobs.checker import FilmJob
    from vidgen.jobs.rows import Mistake, Row
    from vidgen.settings import Setting


def batch(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(help="A job file, or with --photo the voices.", metavar="JOBS|VOICE…"),
    ] = None,
    batch: Batch = "",
    **flags: Any,
) -> None:
    """Make many films: of a job file, of one face and many voices, of two folders."""
    wish, showing = take(BatchOptions, flags), take(ViewOptions, flags)
    inputs = _inputs(wish, [Path(word) for word in what or []], batch)
    settings = collect_settings(context, flags)
    cluster = _join_cluster(wish, len(inputs.rows)) if wish.ray and not wish.dry_run else None
    films = _plan(inputs, wish, settings)
    if wish.dry_run:
        _show_plan(inputs, films, wish, showing)
    else:
        _make(inputs, films, wish, showing, cluster)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The rows, where they came from, and what follows from that."""

    name: str
    source: str  # what mistakes are told of
    folder: Path  # where relative paths begin
    output_dir: Path
    rows: "Sequence[Row]"
    mistakes: "Sequence[Mistake]"
    results: Path


def _inputs(wish: BatchOptions, what: list[Path], name: str) -> _Inputs:
    """Raises InputError when it is not said which films are wanted."""
    from vidgen.jobs import rows as read

    here = Path()
    out = wish.output_dir or here
    if wish.photo and what and not (wish.photos or wish.voices):
        name = name or wish.photo.stem
        rows = read.pair_voices(wish.photo, what)
        return _Inputs(
            name, "voice", here, out, rows, (), out / f"{name}{_part_suffix(wish)}.results.jsonl"
        )
    if wish.photos and wish.voices and not (wish.photo or what):
        name = name or wish.voices.absolute().name
        rows, mistakes = read.pair_folders(wish.photos, wish.voices)
        return _Inputs(
            name,
            "film",
            here,
            out,
            rows,
            mistakes,
            out / f"{name}{_part_suffix(wish)}.results.jsonl",
        )
    if len(what) == 1 and not (wish.photo or wish.photos or wish.voices):
        file = what[0]
        rows, mistakes = read.read_rows(file)
        return _Inputs(
            name or file.stem,
            file.name,
            file.parent,
            wish.output_dir or file.parent,
            rows,
            mistakes,
            file.with_suffix(f"{_part_suffix(wish)}.results.jsonl"),
        )
    raise InputError(
        "It is not clear which films are wanted.",
        hint="Give a job file; or --photo FACE and voices; or --photos FACES --voices VOICES.",
        code="batch.which",
    )


def _part_suffix(wish: BatchOptions) -> str:
    """Parts are made side by side: each has its own results."""
    return f".{wish.part.replace('/', '-of-')}" if wish.part else ""


def _plan(
    inputs: _Inputs, wish: BatchOptions, settings: "Mapping[str, Setting]"
) -> "list[PlannedFilm]":
    from vidgen.batch import part_of, plan_films

    films = plan_films(Home.default(), _check(inputs, wish, settings))
    return part_of(films, _part(wish.part)) if wish.part else films


def _check(
    inputs: _Inputs, wish: BatchOptions, settings: "Mapping[str, Setting]"
) -> "list[FilmJob]":
    """The jobs. Raises InputError, after all mistakes are told, when there are any."""
    from vidgen.jobs.checker import Checker

    checker = Checker(inputs.folder, settings, inputs.output_dir, inputs.name, wish.name)
    checker.mistakes.extend(inputs.mistakes)
    found = checker.check(inputs.rows)
    if checker.mistakes:
        console.print_mistakes(inputs.source, checker.mistakes)
        raise _refusal(len({mistake.line for mistake in checker.mistakes}))
    if not found:
        raise InputError(
            "There is no film to make.",
            hint="The job file or the folders are empty.",
            code="batch.empty",
        )
    return found


def _refusal(lines: int) -> InputError:
    if lines == 1:
        return InputError(
            "One line is wrong; nothing was made.",
            hint="Mend it and start again.",
            code="batch.mistake",
        )
    return InputError(
        "{count} lines are wrong; nothing was made.",
        hint="Mend them and start again.",
        code="batch.mistakes",
        count=lines,
    )


def _part(text: str) -> tuple[int, int]:
    index, _, parts = text.partition("/")
    if index.isdigit() and parts.isdigit() and 1 <= int(index) <= int(parts):
        return int(index), int(parts)
    raise InputError(
        "--part {text} is no part.",
        hint="Write it like 2/8: the second of eight.",
        code="batch.part",
        text=text,
    )


def _show_plan(
    inputs: _Inputs, films: "list[PlannedFilm]", wish: BatchOptions, showing: ViewOptions
) -> None:
    from vidgen.batch import forecast_films

    forecast = forecast_films(Home.default(), films, wish.jobs)
    wanted = [film.task_id for film in films if film.action != "skip"]
    seconds = {task_id: forecast.seconds(task_id) for task_id in wanted}
    total = forecast.remaining(wanted, {})
    if showing.json:
        console.print_json(
            {
                "batch_id": inputs.name,
                "seconds": total,
                "films": [
                    {
                        "line": film.job.line,
                        "task_id": film.task_id,
                        "action": film.action,
                        "photo": film.job.request.photo,
                        "voice": film.job.request.voice,
                        "output": film.video or film.job.request.output,
                        "seconds": seconds.get(film.task_id),
                    }
                    for film in films
                ],
            }
        )
    else:
        film_tables.print_batch_plan(films, seconds, total)


def _make(
    inputs: _Inputs,
    films: "list[PlannedFilm]",
    wish: BatchOptions,
    showing: ViewOptions,
    cluster: "RayEngine | None",
) -> None:
    from vidgen import batch
    from vidgen.progress.publisher import publish_run
    from vidgen.progress.serve.subprocess import serve_meanwhile
    from vidgen.progress.store.batches import record_batch
    from vidgen.progress.views.batch import open_batch_view
    from vidgen.signals import graceful_interrupts

    streams.drop_unwritable()
    inputs.output_dir.mkdir(parents=True, exist_ok=True)
    home = Home.default()
    wanted = sum(film.action != "skip" for film in films)
    engine, places = (cluster, cluster.places) if cluster else _local_engine(home, wish, wanted)
    forecast = batch.forecast_films(home, films, places)
    rules = batch.Rules(wish.retry, wish.fail_fast)
    planned = [film.record(forecast.seconds(film.task_id)) for film in films]
    with (
        record_batch(home, inputs.name, planned, places=places, part=wish.part),
        batch.say_how_to_go_on(sys.argv[1:]),
        graceful_interrupts(),
        serve_meanwhile(home, showing.serve, lambda at: console.print_address(at, inputs.name)),
        publish_run(
            showing.publish, home, partial(console.print_note, "page.unpublished")
        ) as sinks,
        open_batch_view(showing.progress) as view,
    ):
        result = batch.run_batch(
            inputs.name,
            films,
            engine,
            forecast,
            view,
            rules=rules,
            results=inputs.results,
            sinks=sinks,
        )
    if showing.json:
        console.print_json(result)
    elif showing.progress != "rawjson":
        film_tables.print_batch(result)
    raise typer.Exit(result.exit_code)


def _join_cluster(wish: BatchOptions, wanted: int) -> "RayEngine":
    """Its places start, and load, while the lines are being checked."""
    from vidgen.engines.ray import RayEngine

    cluster = RayEngine(wish.ray, Home.default(), gpus=wish.gpus_per_film, cpus=wish.cpus_per_film)
    cluster.start(wanted)
    return cluster


def _local_engine(home: Home, wish: BatchOptions, wanted: int) -> "tuple[Engine, int]":
    """What makes the films here, and how many at once."""
    from vidgen.engines.local import LocalEngine
    from vidgen.engines.places import find_places

    places = find_places(wish.devices, wish.jobs)
    return LocalEngine(places[:wanted], log=_log_file(home)), len(places)


def _log_file(home: Home) -> Path:
    """What workers print, bugs above all."""
    home.root.mkdir(parents=True, exist_ok=True)
    return home.root / "batch.log"
