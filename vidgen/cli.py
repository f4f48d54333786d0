"""The command line. Each command reads its arguments, calls one thing and prints one thing.

stdout carries results only, stderr everything said. Nothing heavy is imported at the top.
"""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from vidgen import console, streams
from vidgen.command_options import BatchOptions, ServerOptions, TokenOptions, ViewOptions
from vidgen.commands import batch, film_tables, runs, server
from vidgen.commands.config import config_app
from vidgen.commands.help import translate_help
from vidgen.commands.models import models_app
from vidgen.commands.usage import Commands, explain, misspelt_variables
from vidgen.errors import Cancelled, InputError, VidgenError
from vidgen.files import keep_private, place_error
from vidgen.flags import (
    Batch,
    DryRun,
    Json,
    Mode,
    Output,
    Port,
    Say,
    Task,
    TaskId,
    as_url,
    choose_language,
    collect_settings,
    fill_bare_serve,
    take,
    task_in,
    with_flags,
)
from vidgen.messages import user_language
from vidgen.paths import Home
from vidgen.settings import Options

if TYPE_CHECKING:
    from vidgen.events import Sink
    from vidgen.run import Result

MAKE, WATCH, CARE = "Make", "Watch", "Look after it"
Make = Callable[[Home, "Sequence[Sink]"], "Result"]

app = typer.Typer(
    name="vidgen",
    cls=Commands,
    help="A talking-head video from one portrait photo and one voice recording.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models_app, name="models", rich_help_panel=CARE)
app.add_typer(config_app, name="config", rich_help_panel=CARE)


def main(arguments: Sequence[str] | None = None) -> None:
    """`vidgen`. Tells a VidgenError once, in two plain lines, and exits with its code."""
    keep_private()
    if not sys.warnoptions:  # what a library warns of is for developers; users get our sentences
        warnings.simplefilter("ignore")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads mostly wait in turns
    words = list(sys.argv[1:] if arguments is None else arguments)
    streams.prepare_streams()
    try:
        words = choose_language(fill_bare_serve(words))
        streams.check_surroundings()
        try:
            _run_command([*words[1:], "--help"] if words[:1] == ["help"] else words)
        finally:
            streams.finish_streams()
    except VidgenError as error:
        _fail(error, words)
    except KeyboardInterrupt:
        streams.exit_at_once(Cancelled.exit_code)
    except OSError as error:  # a folder that may not be read, a disk that went away
        plain = place_error(error)
        if plain is None:
            raise
        _fail(plain, words)


def _run_command(words: Sequence[str]) -> None:
    """Raises SystemExit with the command's code where that is not 0, and VidgenError."""
    from typer._click import exceptions

    command = typer.main.get_command(app)
    if (language := user_language()) != "en":
        translate_help(command, language)
    for name, meant in misspelt_variables(command, os.environ):
        console.print_note("option.variable", name=name, meant=meant)
    try:
        code = command(args=words, standalone_mode=False)
    except exceptions.NoArgsIsHelpError:  # its help is on the screen
        code = InputError.exit_code
    except exceptions.UsageError as error:
        raise explain(error, words) from error
    if code:
        sys.exit(code)


def _fail(error: VidgenError, words: Sequence[str]) -> NoReturn:
    console.print_error(error)
    if "--json" in words:
        console.print_failure(error)
    if isinstance(error, Cancelled):
        streams.exit_at_once(error.exit_code)
    streams.drop_unwritable()
    sys.exit(error.exit_code)


@app.callback()
def root(
    context: typer.Context,
    lang: Annotated[  # noqa: ARG001  # `choose_language` has taken it
        str,
        typer.Option(
            "--lang",
            help="Language to speak: en, ja or zh; also behind the command.",
            metavar="LANG",
        ),
    ] = "",
    version: Annotated[  # noqa: ARG001  # its callback does the work
        bool,
        typer.Option(
            "--version", "-V", callback=console.print_version, is_eager=True, help="Print it."
        ),
    ] = False,
) -> None:
    from vidgen.config import load_config

    if context.invoked_subcommand in ("run", "demo", "batch", "resume"):
        context.default_map = {context.invoked_subcommand: dict(load_config())}


@app.command(rich_help_panel=MAKE)
@with_flags(Options, ViewOptions)
def run(
    context: typer.Context,
    photo: Annotated[Path, typer.Argument(help="The portrait: JPEG, PNG …", metavar="PHOTO")],
    voice: Annotated[Path | None, typer.Argument(help="The voice: WAV …", metavar="VOICE")] = None,
    say: Say = "",
    output: Output = None,
    batch: Batch = "",
    task_id: TaskId = "",
    dry_run: DryRun = False,
    **flags: Any,
) -> None:
    """Make a talking video of PHOTO saying VOICE."""
    from vidgen.request import build_request, choose_voice
    from vidgen.say import with_voice

    showing, settings = take(ViewOptions, flags), collect_settings(context, flags)
    voice, settings = choose_voice(voice, say, settings)
    request = replace(build_request(photo, voice, output, settings), batch_id=batch)

    def make(home: Home, views: "Sequence[Sink]") -> "Result":
        from vidgen.run import create  # after the first paint: it takes a while

        with with_voice(request, say) as ready:
            return create(home, ready, views, task_id)

    if dry_run:
        from vidgen.dry_run import plan_film

        with with_voice(request, say) as ready:
            found = plan_film(Home.default(), ready)
        (console.print_json if showing.json else film_tables.print_plan)(found)
    else:
        _show_run(make, showing, _title(photo, voice))


@app.command(rich_help_panel=MAKE)
@with_flags(Options, ViewOptions)
def demo(context: typer.Context, output: Output = None, **flags: Any) -> None:
    """Make a film of a portrait and a voice that vidgen brings along."""
    showing, settings = take(ViewOptions, flags), collect_settings(context, flags)

    def make(home: Home, views: "Sequence[Sink]") -> "Result":
        from vidgen.demo import make_demo

        return make_demo(home, output, settings, views)

    _show_run(make, showing)


app.command("batch", rich_help_panel=MAKE)(
    with_flags(BatchOptions, Options, ViewOptions)(batch.batch)
)


@app.command(rich_help_panel=MAKE)
@with_flags(ViewOptions)
def resume(task: Task = "last", **flags: Any) -> None:
    """Take up a run that was cancelled, failed or broke off."""
    from vidgen.progress.store.runs import find_run
    from vidgen.request import load_request

    folder = find_run(Home.default(), task)
    request = load_request(folder).request

    def make(home: Home, views: "Sequence[Sink]") -> "Result":
        from vidgen.run import resume as take_up

        return take_up(home, folder, views)

    _show_run(make, take(ViewOptions, flags), _title(request.photo, request.voice))


def _title(photo: Path, voice: Path) -> str:
    from vidgen.progress.store.runs import file_title

    return f"{file_title(str(photo))} + {file_title(str(voice))}"


def _show_run(make: Make, showing: ViewOptions, title: str = "") -> None:
    """Show a run while it is made, then print what was made."""
    from vidgen.progress.publisher import publish_run
    from vidgen.progress.serve.subprocess import serve_meanwhile
    from vidgen.progress.views.choose import open_views
    from vidgen.signals import graceful_interrupts

    home, how = Home.default(), showing.progress
    serving = serve_meanwhile(home, showing.serve, console.print_address)
    view = open_views(how, title=title, notify=showing.notify, preview=showing.preview)
    publishing = publish_run(showing.publish, home, partial(console.print_note, "page.unpublished"))
    streams.drop_unwritable()
    with graceful_interrupts(), serving, publishing as sinks, view as views:
        result = make(home, [*views, *sinks])
    if showing.json:
        console.print_json(result)
    elif how != "rawjson" and not _is_on_screen(how):
        console.print_line(result.video)


def _is_on_screen(how: str) -> bool:
    """Whether the live view has just shown the path on the screen that stdout goes to."""
    return how in ("auto", "tty") and sys.stderr.isatty() and sys.stdout.isatty()


@app.command(rich_help_panel=WATCH)
def history(
    task: Annotated[str, typer.Argument(help="One run: its timeline.", metavar="[TASK]")] = "",
    as_json: Json = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it goes on.")] = False,
    logs: Annotated[bool, typer.Option("--logs", help="What was said to people only.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", help="Newest runs to list.", min=1, metavar="N")
    ] = 20,
    batch: Batch = "",
) -> None:
    """The runs on this machine, or the timeline of one."""
    from vidgen.progress.views.report import show_history

    show_history(
        Home.default(), task, as_json=as_json, follow=follow, logs=logs, limit=limit, batch=batch
    )


@app.command(rich_help_panel=WATCH)
@with_flags(TokenOptions)
def watch(
    context: typer.Context,
    where: Annotated[
        list[str], typer.Argument(help="Servers, and perhaps a run's id.", metavar="URL… [TASK]")
    ],
    until: Annotated[
        str, typer.Option("--until", help="complete, a stage's id, or 50%.", metavar="WHEN")
    ] = "complete",
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Exit with 0 only if the film is there.")
    ] = False,
    ca: Annotated[
        Path | None, typer.Option("--ca", help="Whom to trust, for https.", metavar="FILE")
    ] = None,
    progress: Mode = "auto",
    **flags: Any,
) -> None:
    """Watch runs of other machines as if they were here."""
    from vidgen.progress.watch import show
    from vidgen.signals import graceful_interrupts

    urls = [url for word in where if (url := as_url(word))]
    tasks = [word for word in where if not as_url(word)] or list(filter(None, map(task_in, urls)))
    if not urls or len(tasks) > 1:
        raise InputError(
            "watch needs the address of a server.",
            hint="For example: vidgen watch http://127.0.0.1:55433 [TASK]",
            code="page.watch_what",
        )
    task, token = "".join(tasks), server.take_token(context, flags)
    with graceful_interrupts():
        code = show.show(urls, task, token=token, until=until, certificate=ca, mode=progress)
    if exit_status:
        raise typer.Exit(code)


app.command("serve-progress", rich_help_panel=WATCH)(
    with_flags(ServerOptions, TokenOptions)(server.serve_progress)
)
app.command("token", rich_help_panel=WATCH)(with_flags(TokenOptions)(server.token))


@app.command(rich_help_panel=WATCH)
def replay(
    task: Task = "last",
    speed: Annotated[
        float, typer.Option("--speed", help="Times as fast; 0 is without pauses.", metavar="X")
    ] = 1.0,
    progress: Mode = "auto",
    serve: Annotated[
        bool, typer.Option("--serve", help="Through the server, for browsers.")
    ] = False,
    port: Port = 0,
) -> None:
    """Play a stored run again."""
    if serve:
        from vidgen.progress.serve.replay import serve_replay
        from vidgen.progress.serve.settings import ServeSettings

        serve_replay(
            Home.default(), task, speed, ServeSettings(port=port), told=console.print_address
        )
        return
    from vidgen.progress.views.replay import replay as play
    from vidgen.signals import graceful_interrupts

    with graceful_interrupts():  # a live view gives the terminal back on SIGTERM, too
        play(Home.default(), task, speed, progress)


@app.command(rich_help_panel=WATCH)
def stats(
    as_json: Json = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw a picture.", metavar="FILE.png|svg")
    ] = None,
) -> None:
    """How long the stages take, what failed, how good the forecasts were."""
    from vidgen.progress.views.report import show_stats

    show_stats(Home.default(), as_json=as_json, plot=plot)


@app.command(rich_help_panel=CARE)
def doctor(as_json: Json = False) -> None:
    """Look at this machine: what is there, what is missing, what to do."""
    from vidgen.doctor import run_doctor

    findings = list(run_doctor(Home.default()))
    (console.print_json if as_json else console.print_findings)(findings)
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(3)


app.command("open", rich_help_panel=WATCH)(runs.open_film)
app.command(rich_help_panel=WATCH)(runs.cancel)
app.command("rm", rich_help_panel=CARE)(runs.remove)
app.command(rich_help_panel=CARE)(runs.clean)
