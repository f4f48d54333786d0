"""What `--help` says, in the user's language: the commands' own words, looked up in one table.

`locale/help.toml` has the English words as keys; what stands in no table stays English.
"""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from typer._click import Command, Context
from typer.core import TyperGroup


@cache
def help_words(language: str) -> Mapping[str, str]:
    """English → the same in `language`."""
    text = resources.files("vidgen").joinpath("locale", "help.toml").read_text("utf-8")
    words: Mapping[str, str] = tomllib.loads(text).get(language, {})
    return words


def translate_help(command: Command, language: str) -> None:
    """Let the command and all below it speak `language` when they are asked for help."""
    _fold_lines()
    words = help_words(language)
    for part, name in parts(command):
        said = getattr(part, name)
        setattr(part, name, "\n\n".join(words.get(text, text) for text in said.split("\n\n")))


def _fold_lines() -> None:
    """Break a line without spaces instead of cutting it: Typer leaves Rich's way for English."""
    from typer import rich_utils

    make = rich_utils._make_rich_text

    def make_folding(**how: Any) -> Any:
        text: Any = make(**how)
        text.overflow = "fold"
        return text

    rich_utils._make_rich_text = make_folding  # it has no setting for this


def parts(command: Command) -> Iterator[tuple[Any, str]]:
    """(object, attribute) of every text that help shows, of the command and those below it."""
    asked = command.get_help_option(Context(command, help_option_names=["-h", "--help"]))
    options = [option for option in (*command.params, asked) if not getattr(option, "hidden", 0)]
    for part in (command, *options):
        for name in ("help", "rich_help_panel"):
            if isinstance(getattr(part, name, None), str):
                yield part, name
    if isinstance(command, TyperGroup):
        for below in command.commands.values():
            yield from parts(below)
