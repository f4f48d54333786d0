"""Commands that make a video: run, demo, resume."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidgen.cli.base import MAKE, Task, app, language, show
from vidgen.flags import chosen, taken, with_flags
from vidgen.paths import Home
from vidgen.settings import Options, Showing

if TYPE_CHECKING:
    from vidgen.events import Sink
    from vidgen.run import Result

Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Where the video goes.", metavar="FILE")
]
Make = Callable[[Home, "Sequence[Sink]"], "Result"]


def _uuid(value: str) -> str:
    import uuid

    try:
        return str(uuid.UUID(value)) if value else ""
    except ValueError as error:
        raise typer.BadParameter("a task id is a UUID") from error


def _batch(value: str) -> str:
    if "/" in value or len(value) > 128:
        raise typer.BadParameter("a batch's name has at most 128 characters, and no /")
    return value


@app.command(rich_help_panel=MAKE)
@with_flags(Options, Showing)
def run(
    context: typer.Context,
    photo: Annotated[Path, typer.Argument(help="The portrait: JPEG, PNG …", metavar="PHOTO")],
    voice: Annotated[Path, typer.Argument(help="The voice: WAV, MP3, M4A …", metavar="VOICE")],
    output: Output = None,
    batch: Annotated[
        str,
        typer.Option(help="Runs of one name are watched as one.", metavar="NAME", callback=_batch),
    ] = "",
    task_id: Annotated[str, typer.Option("--task-id", hidden=True, callback=_uuid)] = "",
    **flags: Any,
) -> None:
    """Make a talking video of PHOTO saying VOICE."""
    from vidgen.request import build_request

    showing = taken(Showing, flags)
    request = replace(build_request(photo, voice, output, chosen(context, flags)), batch_id=batch)

    def make(home: Home, views: "Sequence[Sink]") -> "Result":
        from vidgen.run import create  # after the first paint: it takes a while

        return create(home, request, views, task_id)

    _shown(make, showing, f"{photo.name} + {voice.name}")


@app.command(rich_help_panel=MAKE)
@with_flags(Options, Showing)
def demo(context: typer.Context, output: Output = None, **flags: Any) -> None:
    """Make a video from a portrait and a voice that vidgen brings along."""
    showing = taken(Showing, flags)
    settings = chosen(context, flags)

    def make(home: Home, views: "Sequence[Sink]") -> "Result":
        from vidgen import demo

        return demo.make(home, output, settings, views)

    _shown(make, showing)


@app.command(rich_help_panel=MAKE)
@with_flags(Showing)
def resume(task: Task, **flags: Any) -> None:
    """Take up a run that was cancelled, failed or broke off."""
    from vidgen.progress.store import find_task
    from vidgen.request import read

    folder = find_task(Home.default(), task)
    asked = read(folder).request

    def make(home: Home, views: "Sequence[Sink]") -> "Result":
        from vidgen import run

        return run.resume(home, folder, views)

    _shown(make, taken(Showing, flags), f"{asked.photo.name} + {asked.voice.name}")


def _shown(make: Make, showing: Showing, title: str = "") -> None:
    """Show a run while it is made, then print what was made."""
    from vidgen.interrupts import orderly
    from vidgen.progress.views import shown

    home, how = Home.default(), showing.progress
    view = shown(how, title=title, notify=showing.notify, preview=showing.preview)
    with orderly(), _served(home, showing.serve), view as views:
        result = make(home, views)
    if showing.json:
        show(result)
    elif how != "rawjson" and not _has_seen(how):
        typer.echo(result.video)


def _has_seen(how: str) -> bool:
    """Whether the live view has just shown the path on the screen that stdout goes to."""
    return how in ("auto", "tty") and sys.stderr.isatty() and sys.stdout.isatty()


@contextmanager
def _served(home: Home, address: str | None) -> Iterator[None]:
    """Serve this home's runs meanwhile, when asked to; say where."""
    if address is None:
        yield
        return
    from vidgen.progress.child import start_child

    with start_child(home, address) as child:
        say_where(child.url, child.token)
        yield


def say_where(url: str, token: str) -> None:
    """On stderr, the token on a line of its own: it must not get into a copied address."""
    from vidgen.messages import say

    typer.echo(say("page.serving", {"url": url}, language()), err=True)
    if token:
        typer.echo(say("page.serving_token", {"token": token}, language()), err=True)
