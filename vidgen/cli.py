"""The commands: each reads its arguments, calls one thing and prints one thing.

stdout carries results only, stderr everything said. Nothing heavy is imported here at the top.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from vidgen import __version__
from vidgen.errors import Cancelled, InputError, VidgenError
from vidgen.flags import chosen, with_options
from vidgen.paths import Home

if TYPE_CHECKING:
    from vidgen.compose import Result

MAKE, WATCH, CARE = "Make", "Watch", "Look after it"

app = typer.Typer(
    name="vidgen",
    help="A talking-head video from one portrait photo and one voice recording.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="Which models there are, and which are here.", no_args_is_help=True)
app.add_typer(models_app, name="models", rich_help_panel=CARE)

Photo = Annotated[Path, typer.Argument(help="The portrait: JPEG, PNG, WebP …", metavar="PHOTO")]
Voice = Annotated[Path, typer.Argument(help="The voice: WAV, MP3, M4A …", metavar="VOICE")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Where the video goes.", metavar="FILE")
]
Mode = Annotated[
    Literal["auto", "tty", "plain", "rawjson", "quiet"],
    typer.Option("--progress", envvar="VIDGEN_PROGRESS", show_envvar=False, help="How to show it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
ModelName = Annotated[
    str, typer.Argument(help="A model's name, a set, or all.", metavar="NAME|SET")
]
Notify = Annotated[bool, typer.Option("--notify", help="Ring or notify at the end.")]
Preview = Annotated[
    Literal["auto", "inline", "link", "off"],
    typer.Option("--preview", help="Pictures in the terminal, links to them, or neither."),
]
Task = Annotated[
    str, typer.Argument(help="A run's id; its first characters do, or: last.", metavar="TASK")
]


def main(arguments: Sequence[str] | None = None) -> None:
    """`vidgen`. Tells a VidgenError once, in two plain lines, and exits with its code."""
    try:
        app(args=arguments, standalone_mode=True)
    except Cancelled as error:
        tell(error)
        _leave(error.exit_code)
    except VidgenError as error:
        tell(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _leave(Cancelled.exit_code)
    except BrokenPipeError:  # `vidgen history | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _leave(code: int) -> NoReturn:
    """Exit with this code and no other.

    A KeyboardInterrupt that passed through code run by an extension module leaves a mark in the
    interpreter, which then ends itself by SIGINT (-2) whatever `sys.exit` says.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def tell(error: VidgenError) -> None:
    """Say it to a person, in their language."""
    from vidgen.messages import pick, say

    language = pick(os.environ.get("VIDGEN_LANG"))
    message, hint = error.message, error.hint
    if language != "en":
        message = say(error.code, error.details, language, message)
        hint = say(f"{error.code}_hint", error.details, language, hint)
    typer.echo(f"vidgen: {message}", err=True)
    if hint:
        typer.echo(f"        {hint}", err=True)


def show(value: object) -> None:
    """One JSON value on stdout."""
    import orjson

    typer.echo(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode())


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vidgen {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    lang: Annotated[
        str, typer.Option("--lang", help="Language to speak: en, ja or zh.", metavar="LANG")
    ] = "",
    version: Annotated[  # noqa: ARG001  # its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    from vidgen.settings import read_config

    if lang:
        os.environ["VIDGEN_LANG"] = lang  # the children, too
    if context.invoked_subcommand in ("run", "demo"):
        context.default_map = {context.invoked_subcommand: dict(read_config())}


def _uuid(value: str) -> str:
    import uuid

    try:
        return str(uuid.UUID(value)) if value else ""
    except ValueError as error:
        raise typer.BadParameter("a task id is a UUID") from error


# --- make


@app.command(rich_help_panel=MAKE)
@with_options
def run(
    context: typer.Context,
    photo: Photo,
    voice: Voice,
    output: Output = None,
    progress: Mode = "auto",
    as_json: Json = False,
    notify: Notify = False,
    preview: Preview = "auto",
    task_id: Annotated[str, typer.Option("--task-id", hidden=True, callback=_uuid)] = "",
    **options: Any,
) -> None:
    """Make a talking video of PHOTO saying VOICE."""
    from vidgen.request import asked

    request = asked(photo, voice, output, chosen(context, options))
    home, title = Home.default(), f"{photo.name} + {voice.name}"

    def make(compose: Any, views: Any) -> "Result":
        return compose.create(home, request, views, task_id)  # type: ignore[no-any-return]  # a module

    _shown(make, title, progress, as_json, notify, preview)


@app.command(rich_help_panel=MAKE)
@with_options
def demo(
    context: typer.Context,
    output: Output = None,
    progress: Mode = "auto",
    as_json: Json = False,
    notify: Notify = False,
    preview: Preview = "auto",
    **options: Any,
) -> None:
    """Make a video from a portrait and a voice that vidgen brings along."""
    home, settings = Home.default(), chosen(context, options)

    def make(compose: Any, views: Any) -> "Result":
        return compose.demo(home, output, settings, views)  # type: ignore[no-any-return]  # a module

    _shown(make, "", progress, as_json, notify, preview)


@app.command(rich_help_panel=MAKE)
def resume(
    task: Task,
    progress: Mode = "auto",
    as_json: Json = False,
    notify: Notify = False,
    preview: Preview = "auto",
) -> None:
    """Take up a run that was cancelled, failed or broke off."""
    from vidgen.progress.store import find_task

    home = Home.default()
    folder = find_task(home, task)

    def make(compose: Any, views: Any) -> "Result":
        return compose.resume(home, folder, views)  # type: ignore[no-any-return]  # a module

    _shown(make, "", progress, as_json, notify, preview)


def _shown(
    make: Callable[[Any, Any], "Result"],
    title: str,
    progress: str,
    as_json: bool,
    notify: bool,
    preview: str,
) -> None:
    """Show a run while it is made, then print what was made."""
    from vidgen.interrupts import orderly
    from vidgen.progress.views import shown

    with orderly(), shown(progress, title=title, notify=notify, preview=preview) as views:
        from vidgen import compose  # after the first paint: it takes a while

        result = make(compose, views)
    if as_json:
        show(result)
    elif progress != "rawjson" and not _has_seen(progress):
        typer.echo(result.video)


def _has_seen(progress: str) -> bool:
    """Whether the live view has just shown the path on the screen that stdout goes to."""
    is_live = progress in ("auto", "tty") and sys.stderr.isatty()
    return is_live and sys.stdout.isatty()


# --- watch


@app.command(rich_help_panel=WATCH)
def history(
    task: Annotated[str, typer.Argument(help="One run: its timeline.", metavar="[TASK]")] = "",
    as_json: Json = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it goes on.")] = False,
    logs: Annotated[bool, typer.Option("--logs", help="What was said to people only.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Newest runs to list.", min=1)] = 20,
) -> None:
    """The runs on this machine, or the timeline of one."""
    from vidgen.progress import history as past

    if follow and not task:
        raise InputError(
            "--follow needs a run to follow.",
            hint="Say which: vidgen history last --follow",
            code="history.follow_what",
        )
    past.show(Home.default(), task, as_json=as_json, follow=follow, logs=logs, limit=limit)


@app.command(rich_help_panel=WATCH)
def replay(
    task: Task,
    speed: Annotated[
        float, typer.Option("--speed", help="Times as fast; 0 is without pauses.", metavar="X")
    ] = 1.0,
    progress: Mode = "auto",
) -> None:
    """Play a stored run again."""
    from vidgen.progress.replay import replay as play

    play(Home.default(), task, speed, progress)


@app.command(rich_help_panel=WATCH)
def stats(
    as_json: Json = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw a picture.", metavar="FILE.png|svg")
    ] = None,
) -> None:
    """How long the stages take, what failed, how good the forecasts were."""
    from vidgen.progress import stats as statistics

    statistics.show(Home.default(), as_json=as_json, plot=plot)


# --- look after it


@app.command(rich_help_panel=CARE)
def doctor(as_json: Json = False) -> None:
    """Look at this machine: what is there, what is missing, what to do."""
    from vidgen.doctor import examine, show_findings

    findings = list(examine(Home.default()))
    if as_json:
        show(findings)
    else:
        show_findings(findings)
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(3)


@app.command(rich_help_panel=CARE)
def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what could still be resumed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove what is old: work folders after a day, runs after a month."""
    from vidgen.progress import cleaning
    from vidgen.settings import keeping
    from vidgen.tables import cleaned_lines

    hours, days = keeping("keep_work_hours"), keeping("keep_history_days")
    cleaned = cleaning.clean(Home.default(), days, hours, keep_resumable=not everything)
    if as_json:
        show(cleaned)
    else:
        typer.echo("\n".join(cleaned_lines(cleaned)))


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """Every model: its stage, size, licence, and whether it is here."""
    from vidgen.catalog import Catalog
    from vidgen.tables import models_table

    rows = Catalog(Home.default()).listed()
    if as_json:
        show(rows)
    else:
        models_table(rows)


@models_app.command("pull")
def models_pull(what: ModelName = "embedded") -> None:
    """Fetch a model or a set, check it, put it in place."""
    from vidgen import fetch
    from vidgen.catalog import Catalog
    from vidgen.interrupts import orderly
    from vidgen.tables import downloads, pulled_lines

    with orderly(), downloads() as told:
        pulled = fetch.pull(Catalog(Home.default()), what, told)
    pulled_lines(pulled)


@models_app.command("verify")
def models_verify(what: ModelName = "all", as_json: Json = False) -> None:
    """Read every byte again and compare it with what it must be."""
    from vidgen.catalog import Catalog
    from vidgen.tables import models_table

    rows = Catalog(Home.default()).listed(what, verify=True)
    if as_json:
        show(rows)
    else:
        models_table(rows)
    if any(row.state == "wrong" for row in rows):
        raise typer.Exit(3)


@models_app.command("path")
def models_path(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Where a model's verified file is."""
    from vidgen.catalog import Catalog, named

    typer.echo(Catalog(Home.default()).path(named(name)[0].name))


@models_app.command("rm")
def models_rm(name: Annotated[str, typer.Argument(metavar="NAME|SET")]) -> None:
    """Remove a model or a set from this machine."""
    from vidgen.catalog import Catalog
    from vidgen.tables import removed_lines

    removed_lines(Catalog(Home.default()).remove(name))
