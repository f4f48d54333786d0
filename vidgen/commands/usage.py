"""A command line that cannot be meant, told like every other error: what is wrong, what to write.

Also what `--help` shows besides the options: examples. Each of them is parsed by a test.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from typer._click import Command, Context, exceptions  # Typer names its errors nowhere else
from typer.core import TyperGroup

from vidgen.config import KEEPING
from vidgen.errors import InputError
from vidgen.settings import ENVIRONMENT_PREFIX, environment_name

EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "run": (
        "vidgen run photo.jpg voice.wav",
        "vidgen run photo.jpg voice.m4a --background blur --aspect 9:16 -o film.mp4",
    ),
    "demo": ("vidgen demo", "vidgen demo --height 720 -o demo.mp4"),
    "batch": ("vidgen batch jobs.csv", "vidgen batch --photo face.jpg hello.wav bye.wav"),
    "resume": ("vidgen resume last",),
    "history": ("vidgen history", "vidgen history last --follow"),
    "watch": ("vidgen watch http://127.0.0.1:55433 --until 50%",),
    "serve-progress": ("vidgen serve-progress", "vidgen serve-progress --port 0 --accept-jobs"),
    "token": ("vidgen token 550e8400-e29b-41d4-a716-446655440000",),
    "replay": ("vidgen replay last --speed 4",),
    "stats": ("vidgen stats", "vidgen stats --plot stats.png"),
    "open": ("vidgen open last",),
    "cancel": ("vidgen cancel last",),
    "rm": ("vidgen rm last", "vidgen rm --all-finished --yes"),
    "doctor": ("vidgen doctor", "vidgen doctor --json"),
    "clean": ("vidgen clean", "vidgen clean --all"),
    "config get": ("vidgen config get", "vidgen config get height"),
    "config set": ("vidgen config set height 720",),
    "config path": ("vidgen config path",),
    "config edit": ("vidgen config edit",),
    "models list": ("vidgen models list",),
    "models pull": ("vidgen models pull embedded", "vidgen models pull full"),
    "models verify": ("vidgen models verify all",),
    "models path": ("vidgen models path centerface",),
    "models rm": ("vidgen models rm full",),
}
# Variables that no option reads, without their prefix, and how like a name must be to be meant.
NOT_OPTIONS: Final = ("home", "config", "lang", "models_file", "cores", "publish")
ALIKE: Final = 0.75
# What other programs call it.
MEANT: Final[Mapping[str, str]] = {
    "serve": "serve-progress",
    "server": "serve-progress",
    "list": "history",
    "ls": "history",
    "ps": "history",
    "status": "history last",
    "logs": "history last --logs",
    "log": "history last --logs",
    "tail": "history last --follow",
    "create": "run",
    "generate": "run",
    "make": "run",
    "continue": "resume",
    "delete": "rm",
    "remove": "rm",
    "show": "open",
    "play": "open",
    "stop": "cancel",
    "kill": "cancel",
    "settings": "config",
    "download": "models pull",
    "models fetch": "models pull",
    "models download": "models pull",
    "models remove": "models rm",
    "check": "doctor",
}


class Commands(TyperGroup):
    """A group of commands that says which one may be meant, and shows examples of each."""

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            examples = EXAMPLES.get(_join(_path(ctx), cmd_name), ())
            command.epilog = "\n\n".join(examples) or None
            for param in command.params:
                if hasattr(param.type, "readable"):  # whoever opens the file says why it cannot be
                    param.type.readable = False
        return command

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise _no_command(self, _path(ctx), args)
        return super().resolve_command(ctx, args)


def explain(error: exceptions.UsageError, words: Sequence[str]) -> InputError:
    """The error that calling it with these `words` led to, as vidgen tells it."""
    path = _path(error.ctx) if error.ctx else ""
    example = EXAMPLES.get(path, ("vidgen --help",))[0]
    if isinstance(error, exceptions.NoSuchOption):
        return _no_option(error, path, words)
    if isinstance(error, exceptions.MissingParameter):
        return InputError(
            "{command} needs {name}.",
            hint="For example: {example}",
            code="usage.missing",
            command=_join("vidgen", path),
            name=_name(error),
            example=example,
        )
    if isinstance(error, exceptions.BadParameter):
        return _bad_value(error)
    if isinstance(error, exceptions.BadOptionUsage):
        return InputError(
            "{name} is given no value, or one that it does not take.",
            hint="`vidgen --help` says what it takes; so does that of each command.",
            code="usage.value_count",
            name=error.option_name,
        )
    return InputError(
        "{command} cannot be called so: {reason}",
        hint="For example: {example}",
        code="usage.other",
        command=_join("vidgen", path),
        reason=error.format_message(),
        example=example,
    )


def _no_command(group: Commands, path: str, words: list[str]) -> InputError:
    name = _join(path, words[0])
    if not path and Path(words[0]).is_file():
        near = _join("run", *words)
    else:
        close = get_close_matches(words[0], group.commands, n=1)
        near = MEANT.get(name) or (_join(path, *close) if close else "")
    if not near:
        return InputError(
            "There is no command {name}.",
            hint="`{help}` lists them.",
            code="usage.unknown_command",
            name=name,
            help=_join("vidgen", path, "--help"),
        )
    return InputError(
        "There is no command {name}.",
        hint="Did you mean `{near}`?",
        code="usage.no_command",
        name=name,
        near=_join("vidgen", near),
    )


def _no_option(error: exceptions.NoSuchOption, path: str, words: Sequence[str]) -> InputError:
    near = get_close_matches(error.option_name, error.possibilities or (), n=1)
    if not near and (file := _dash_file(error.option_name, words)):
        return InputError(
            "{file} is taken for an option: its name begins with a dash.",
            hint="Write ./{file} instead.",
            code="usage.dashed_file",
            file=file,
        )
    if near:
        return InputError(
            "{command} has no option {name}.",
            hint="Did you mean {near}?",
            code="usage.no_option",
            command=_join("vidgen", path),
            name=error.option_name,
            near=near[0],
        )
    return InputError(
        "{command} has no option {name}.",
        hint="`{command} --help` lists them.",
        code="usage.unknown_option",
        command=_join("vidgen", path),
        name=error.option_name,
    )


def _dash_file(option: str, words: Sequence[str]) -> str:
    """The word that was taken for this option and is a file here; "" when there is none."""
    return next((word for word in words if word.startswith(option) and Path(word).is_file()), "")


def _bad_value(error: exceptions.BadParameter) -> InputError:
    """What stood there, and what could."""
    from vidgen.config import WRONG

    kind: Any = error.param.type if error.param else None
    said = re.match(r"'?(.*?)'? is not", error.message, re.DOTALL)
    if said is None:
        return InputError(
            "{name} cannot be that: {reason}.",
            hint="See `vidgen --help`.",
            code="usage.value",
            name=_name(error),
            reason=error.message.rstrip("."),
        )
    wrong, limits = _wanted(kind)
    _, code, advice = WRONG[wrong]
    return InputError(
        "The option {name} cannot be {value}.",
        hint=advice,
        code=code,
        name=_name(error),
        value=said[1],
        **limits,
    )


def misspelt_variables(command: Command, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names in the environment that nothing reads, each with the one that seems to be meant.

    `command` is the whole program. What resembles none of its names may be another program's.
    """
    whole = (name.upper() for name in (*NOT_OPTIONS, *KEEPING))
    known = {*map(environment_name, whole), *_variables(command)}
    ends = [name.removeprefix(ENVIRONMENT_PREFIX) for name in known]
    for name in environ:
        end = name.removeprefix(ENVIRONMENT_PREFIX)
        if end != name and name not in known and (near := get_close_matches(end, ends, 1, ALIKE)):
            yield name, environment_name(near[0])


def _variables(command: Command) -> Iterator[str]:
    yield from (str(option.envvar) for option in command.params if option.envvar)
    for child in getattr(command, "commands", {}).values():
        yield from _variables(child)


def _wanted(kind: Any) -> tuple[str, dict[str, Any]]:
    """Which of `config.WRONG` it is, and what its hint names."""
    if choices := getattr(kind, "choices", None):
        return "choice", {"choices": ", ".join(map(str, choices))}
    if kind.name == "boolean":
        return "switch", {}
    from vidgen.config import show_limit

    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    if least is None and most is None:
        return "number", {}
    return "least" if most is None else "range", {
        "least": show_limit(least),
        "most": show_limit(most),
    }


def _name(error: exceptions.BadParameter) -> str:
    """--its-name, or the argument's; the variable's where the value came from the environment."""
    if error.param is None:
        return "?"
    source = error.ctx and error.ctx.get_parameter_source(str(error.param.name))
    if source and source.name == "ENVIRONMENT":
        return str(error.param.envvar)
    is_option = error.param.opts[0].startswith("-")
    return error.param.opts[0] if is_option else str(error.param.metavar or error.param.name)


def _path(context: Context) -> str:
    """The words of the command without the program: "models pull"."""
    if context.parent is None:
        return ""
    return _join(_path(context.parent), context.info_name or "")


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)
