"""Commands that tell how runs are and were: history, watch, serve-progress, replay, stats."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vidgen.cli.base import WATCH, Json, Task, app
from vidgen.errors import InputError
from vidgen.paths import Home

if TYPE_CHECKING:
    from vidgen.progress.server import Listening

Mode = Annotated[
    Literal["auto", "tty", "plain", "rawjson", "quiet"],
    typer.Option(
        "--progress",
        envvar="VIDGEN_PROGRESS",
        show_envvar=False,
        help="How to show it: auto, tty, plain, rawjson or quiet.",
        metavar="MODE",
    ),
]
Token = Annotated[
    str,
    typer.Option("--token", envvar="VIDGEN_TOKEN", help="The server's token.", metavar="TOKEN"),
]
Host = Annotated[str, typer.Option("--host", help="Address to listen at.", metavar="HOST")]
Port = Annotated[int, typer.Option("--port", help="0 takes a free one.", min=0, max=65535)]
Pem = typer.Option(help="A PEM file; with both it is https.", metavar="FILE")


@app.command(rich_help_panel=WATCH)
def history(
    task: Annotated[str, typer.Argument(help="One run: its timeline.", metavar="[TASK]")] = "",
    as_json: Json = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it goes on.")] = False,
    logs: Annotated[bool, typer.Option("--logs", help="What was said to people only.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Newest runs to list.", min=1)] = 20,
) -> None:
    """The runs on this machine, or the timeline of one."""
    from vidgen.progress.report import show_history

    if follow and not task:
        raise InputError(
            "--follow needs a run to follow.",
            hint="Say which: vidgen history last --follow",
            code="history.follow_what",
        )
    show_history(Home.default(), task, as_json=as_json, follow=follow, logs=logs, limit=limit)


@app.command(rich_help_panel=WATCH)
def watch(
    where: Annotated[
        list[str], typer.Argument(help="Servers, and perhaps a run's id.", metavar="URL… [TASK]")
    ],
    token: Token = "",
    until: Annotated[
        str, typer.Option("--until", help="complete, a stage's id, or 50%.", metavar="WHEN")
    ] = "complete",
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Exit with 0 only if the video is there.")
    ] = False,
    ca: Annotated[
        Path | None, typer.Option("--ca", help="Whom to trust, for https.", metavar="FILE")
    ] = None,
    progress: Mode = "auto",
) -> None:
    """Watch runs of other machines as if they were here."""
    from vidgen.interrupts import orderly
    from vidgen.progress import watching

    urls = [word for word in where if "://" in word]
    tasks = [word for word in where if "://" not in word]
    if not urls or len(tasks) > 1:
        raise InputError(
            "watch needs the address of a server.",
            hint="For example: vidgen watch http://127.0.0.1:55433 [TASK]",
            code="page.watch_what",
        )
    task = tasks[0] if tasks else ""
    with orderly():
        code = watching.show(urls, task, token=token, until=until, certificate=ca, mode=progress)
    if exit_status:
        raise typer.Exit(code)


@app.command("serve-progress", rich_help_panel=WATCH)
def serve_progress(
    host: Host = "127.0.0.1",
    port: Port = 55433,
    token: Token = "",
    accept_jobs: Annotated[
        bool, typer.Option("--accept-jobs", help="Take orders for runs, with the token.")
    ] = False,
    max_watchers: Annotated[int, typer.Option(help="Open streams in all; 0: any.", min=0)] = 2000,
    per_ip: Annotated[int, typer.Option(help="Open streams an address; 0: any.", min=0)] = 200,
    tls_cert: Annotated[Path | None, Pem] = None,
    tls_key: Annotated[Path | None, Pem] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name to answer to.", metavar="NAME")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="Another web site that may read.", metavar="URL")
    ] = None,
) -> None:
    """Let a browser, a program or another machine watch every run of this one."""
    from vidgen.progress.server import serve
    from vidgen.progress.server_settings import Rules

    rules = Rules(
        host,
        port,
        token,
        accept_jobs,
        max_watchers,
        per_ip,
        tuple(allow_host or ()),
        tuple(allow_origin or ()),
    )
    serve(Home.default(), rules, tls_cert=tls_cert, tls_key=tls_key, told=_told)


@app.command(rich_help_panel=WATCH)
def replay(
    task: Task,
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
        from vidgen.progress.rerun import serve_again
        from vidgen.progress.server_settings import Rules

        serve_again(Home.default(), task, speed, Rules(port=port), told=_told)
        return
    from vidgen.interrupts import orderly
    from vidgen.progress.replay import replay as play

    with orderly():  # a live view gives the terminal back on SIGTERM, too
        play(Home.default(), task, speed, progress)


@app.command(rich_help_panel=WATCH)
def stats(
    as_json: Json = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw a picture.", metavar="FILE.png|svg")
    ] = None,
) -> None:
    """How long the stages take, what failed, how good the forecasts were."""
    from vidgen.progress.report import show_stats

    show_stats(Home.default(), as_json=as_json, plot=plot)


def _told(listening: "Listening") -> None:
    from vidgen.cli.make import say_where

    say_where(listening.url, listening.token)
