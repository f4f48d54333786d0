"""`vidgen serve-progress` and `vidgen token`: read their arguments, serve or print."""

from typing import Any

import typer

from vidgen import console
from vidgen.command_options import ServerOptions, TokenOptions
from vidgen.errors import InputError, SetupError
from vidgen.flags import Task, is_typed, take
from vidgen.paths import Home


def serve_progress(context: typer.Context, **flags: Any) -> None:
    """Let a browser, a program or another machine watch every run of this one."""
    from vidgen.progress.publisher import publish_store
    from vidgen.progress.serve.server import Listening, serve
    from vidgen.progress.serve.settings import ServeSettings
    from vidgen.progress.serve.sharing import find_server

    options, home = take(ServerOptions, flags), Home.default()
    rules = ServeSettings.chosen(options, take_token(context, flags))
    tls = options.tls_cert, options.tls_key
    try:
        with publish_store(options.publish, home, _tell_publishing):
            serve(home, rules, tls, told=console.print_address, on_link=_tell_link)
    except SetupError as error:
        url = find_server(home, rules.port) if error.code == "page.port_taken" else ""
        # That one may not do what is asked.
        if not url or rules.accepts_jobs or rules.sources or options.publish:
            raise
        console.print_address(Listening(url, ""))


def _tell_link(host: str, link: str, reason: str) -> None:
    """How a source is: said when it changes."""
    console.print_note(f"page.source_{link}", host=host, reason=reason)


def _tell_publishing(host: str, reason: str) -> None:
    """How the Redis is that is told of all runs."""
    code = "page.source_down" if reason else "page.publishing"
    console.print_note(code, host=host, reason=reason)


def token(context: typer.Context, task: Task, **flags: Any) -> None:
    """Print a token that opens one run, by its whole id, and nothing else."""
    from vidgen.progress.serve.auth import token_for
    from vidgen.progress.store.runs import find_run

    own = take_token(context, flags)
    try:
        task = find_run(Home.default(), task).task_id
    except InputError as error:  # a whole id is known where the run is
        if task == "last" or error.code == "history.ambiguous":
            raise
    console.print_line(token_for(own, task))


def take_token(context: typer.Context, flags: dict[str, Any]) -> str:
    """The server's token; says so when everybody on this machine could read it."""
    options = take(TokenOptions, flags)
    if is_typed(context, "token"):
        console.print_note("page.typed_token")
    return options.given()
