"""The application, and what its commands share: arguments, JSON, errors in words."""

import os
import sys
from typing import Annotated

import typer

from vidgen import __version__
from vidgen.errors import VidgenError

MAKE, WATCH, CARE = "Make", "Watch", "Look after it"

app = typer.Typer(
    name="vidgen",
    help="A talking-head video from one portrait photo and one voice recording.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
Task = Annotated[
    str, typer.Argument(help="A run's id; its first characters do, or: last.", metavar="TASK")
]


def language() -> str:
    """The user's: --lang, else VIDGEN_LANG, else the system's."""
    from vidgen.messages import pick

    return pick(os.environ.get("VIDGEN_LANG"))


def tell(error: VidgenError) -> None:
    """Say it to a person, in their language: what is wrong, then what to do."""
    from vidgen.messages import say

    message, hint = error.message, error.hint
    if language() != "en":
        message = say(error.code, error.details, language(), message)
        hint = say(f"{error.code}_hint", error.details, language(), hint)
        if command := error.details.get("resume_command"):
            hint = hint.replace("`vidgen resume`", f"`{command}`")
    for text, lead in ((message, "vidgen: "), (hint, " " * 8)):
        if text:
            typer.echo(_paragraph(text, lead), err=True)


def _paragraph(text: str, lead: str) -> str:
    """The text behind `lead`, in rows that a terminal need not break in the middle of a word."""
    if not sys.stderr.isatty():
        return lead + text
    from vidgen.progress.fitting import wrapped
    from vidgen.progress.terminal import Terminal

    columns, _ = Terminal(sys.stderr).size()
    rows = wrapped(text, max(12, columns - len(lead)))
    return lead + ("\n" + " " * len(lead)).join(rows)


def show(value: object) -> None:
    """One JSON value on stdout."""
    import orjson

    typer.echo(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode())


def _check_language(name: str) -> None:
    """Raises InputError for a language that is not spoken here."""
    from vidgen.errors import InputError
    from vidgen.messages import LANGUAGES, pick

    if not name.lower().startswith(pick(name)):
        raise InputError(
            "vidgen does not speak {name}.",
            hint="Choose one of: {choices}.",
            code="option.language",
            name=name,
            choices=", ".join(LANGUAGES),
        )


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
    from vidgen.config import read_config

    if lang:
        _check_language(lang)
        os.environ["VIDGEN_LANG"] = lang  # for the views and the children, too
    if context.invoked_subcommand in ("run", "demo", "resume"):
        context.default_map = {context.invoked_subcommand: dict(read_config())}
