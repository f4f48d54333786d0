"""The options of `settings` as command-line flags, made from the tables there.

Typer reads a function's signature; `with_flags` gives a command the signature that the
dataclasses describe, so that no option is written down twice. What
several commands share besides stands at the end.
"""

import dataclasses
import inspect
import os
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import unquote

import typer

from vidgen.errors import InputError
from vidgen.messages import LANGUAGES
from vidgen.settings import Setting, Source, check_language, environment_name

Command = Callable[..., None]
T = TypeVar("T")
MOST_COMPLETIONS: Final = 50
ADDRESS: Final = re.compile(r"[\w.-]*:\d{1,5}|\[[\da-fA-F:]+\](:\d{1,5})?")  # no file is meant

_SOURCES: Final[Mapping[str, Source]] = {
    "COMMANDLINE": "flag",
    "ENVIRONMENT": "environment",
    "DEFAULT_MAP": "config",
}


def with_flags(*tables: type) -> Callable[[Command], Command]:
    """Give a command a flag for every field of these dataclasses; it gets them in `**flags`."""

    def decorate(command: Command) -> Command:
        plain = inspect.signature(command, eval_str=True)
        own = [p for p in plain.parameters.values() if p.kind is not p.VAR_KEYWORD]
        parameters = own + [flag for table in tables for flag in _flags(table)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # PEP 362
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def take(table: type[T], flags: dict[str, Any]) -> T:
    """The value of one of the dataclasses, its flags taken out of `flags`."""
    return table(**{field.name: flags.pop(field.name) for field in dataclasses.fields(table)})  # type: ignore[arg-type]  # it is a dataclass


@cache  # several commands share a table, and making the flags of one takes milliseconds
def _flags(table: type) -> tuple[inspect.Parameter, ...]:
    kinds = typing.get_type_hints(table)
    return tuple(_flag(field, kinds[field.name]) for field in dataclasses.fields(table))


def _flag(option: "dataclasses.Field[Any]", kind: Any) -> inspect.Parameter:
    about = option.metadata
    limits = {
        name: about[key]
        for name, key in (("min", "least"), ("max", "most"))
        if about[key] is not None
    }
    flag = typer.Option(
        _name(option),
        help=about["help"],
        envvar=None if about["environment"] == "none" else environment_name(option.name),
        show_envvar=about["environment"] == "shown",
        rich_help_panel=about["panel"] or None,
        metavar=_metavar(kind, about["choices"]) if about["metavar"] == "" else about["metavar"],
        show_default=option.default not in (None, "", False),
        autocompletion=complete_languages if option.name == "language" else None,
        **limits,
    )
    if about["choices"]:
        kind = Literal[about["choices"]]
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=option.default,
        annotation=Annotated[kind, flag],
    )


def _name(option: "dataclasses.Field[Any]") -> str:
    name = option.metadata["flag"] or "--" + option.name.replace("_", "-")
    return f"{name}/--no-{name[2:]}" if option.default is True else name


def _metavar(kind: Any, choices: tuple[str, ...]) -> str | None:
    if choices:
        return "|".join(choices)
    return {bool: None, int: "N", float: "X", str: "TEXT"}.get(kind, "FILE")


def collect_settings(context: typer.Context, options: Mapping[str, Any]) -> Mapping[str, Setting]:
    """Every option's value with where it came from."""
    return {name: Setting(value, _source(context, name)) for name, value in options.items()}


def _source(context: typer.Context, name: str) -> Source:
    source = context.get_parameter_source(name)
    return _SOURCES.get(source.name if source else "", "default")


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether the option stands on the command line."""
    return _source(context, name) == "flag"


def fill_bare_serve(arguments: Sequence[str]) -> list[str]:
    """A run's `--serve` with its value in the same word, empty where it stands alone: Typer knows
    no option with one value or none."""
    words: list[str] = []
    is_switch = "replay" in arguments[:3]
    for word in arguments:
        if words and words[-1] == "--serve=" and ADDRESS.fullmatch(word):
            words[-1] += word
        else:
            words.append("--serve=" if word == "--serve" and not is_switch else word)
    return words


def as_url(word: str) -> str:
    """The address that is meant, by http where it says only HOST:PORT; "" when it is none."""
    if "://" in word:
        return word
    place = re.split(r"[/?#]", word, maxsplit=1)[0]
    return f"http://{word}" if ADDRESS.fullmatch(place) and place[0] != ":" else ""


def task_in(url: str) -> str:
    """The run that the page's address shows, its #TASK; "" when it shows another view."""
    fragment = unquote(url.partition("#")[2])
    return "" if fragment.startswith("/") else fragment


def choose_language(arguments: Sequence[str]) -> list[str]:
    """Take `--lang LANG` out, before or behind the command, and speak that language from now on,
    in the views and the children too. Raises InputError for one that is not spoken."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    for at, word in enumerate(words[:end]):
        name, equals, value = word.partition("=")
        if word == "--lang" and at + 1 == end:
            raise InputError(
                "--lang is given no language.",
                hint="Choose one of: {choices}.",
                code="option.no_language",
                choices=", ".join(LANGUAGES),
            )
        if name == "--lang":
            value = value if equals else words[at + 1]
            check_language(value)
            os.environ["VIDGEN_LANG"] = value
            return words[:at] + words[at + (1 if equals else 2) :]
    return words


# Arguments and options that stand in no table


def complete_tasks(incomplete: str) -> list[tuple[str, str]]:
    """Ids of runs, newest first, with what they are of: for a shell's completion."""
    from vidgen.paths import Home
    from vidgen.progress.store.runs import list_runs, title

    runs = [run for run in list_runs(Home.default()) if run.task_id.startswith(incomplete)]
    newest = [("last", "the newest")] if "last".startswith(incomplete) else []
    return newest + [(run.task_id[:8], title(run.request())) for run in runs[:MOST_COMPLETIONS]]


def complete_models(incomplete: str) -> list[tuple[str, str]]:
    """Names of models and of sets."""
    from vidgen.models.catalog import models

    sets = {model.set: "a set" for model in models().values()}
    names = {name: model.about for name, model in models().items()}
    known = {**sets, "all": "every model", **names}
    return [(name, about) for name, about in known.items() if name.startswith(incomplete)]


def complete_languages(incomplete: str) -> list[tuple[str, str]]:
    """Languages of a voice's words."""
    from vidgen.speech.languages import LANGUAGES

    return [pair for pair in LANGUAGES.items() if pair[0].startswith(incomplete)]


def _check_uuid(value: str) -> str:
    import uuid

    try:
        return str(uuid.UUID(value)) if value else ""
    except ValueError as error:
        raise InputError(
            "--task-id {value} is no UUID.",
            hint="Leave it away: a run chooses its own.",
            code="option.task_id",
            value=value,
        ) from error


def _check_batch(value: str) -> str:
    if "/" in value or len(value) > 128:
        raise InputError(
            "--batch {value} is no name of a batch.",
            hint="Use at most 128 characters, and no /.",
            code="option.batch",
            value=value,
        )
    return value


Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
Task = Annotated[
    str,
    typer.Argument(
        help="A run's id; its first characters do, or: last.",
        metavar="TASK",
        autocompletion=complete_tasks,
    ),
]
Output = Annotated[
    str | None, typer.Option("--output", "-o", help="Where the film goes.", metavar="FILE")
]
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
ModelName = Annotated[
    str,
    typer.Argument(
        help="A model's name, a set, or all.", metavar="NAME|SET", autocompletion=complete_models
    ),
]
Port = Annotated[
    int, typer.Option("--port", help="0 takes a free one.", min=0, max=65535, metavar="N")
]
Batch = Annotated[
    str,
    typer.Option(
        help="Runs of one name are watched as one.", metavar="NAME", callback=_check_batch
    ),
]
Say = Annotated[
    str,
    typer.Option(
        help="Words to be said where there is no recording: English, by the extra `say`.",
        metavar="TEXT",
    ),
]
TaskId = Annotated[str, typer.Option("--task-id", hidden=True, callback=_check_uuid)]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check all, say what would be made, make nothing."),
]
