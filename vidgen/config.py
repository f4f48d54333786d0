"""The file config.toml: the user's own defaults for the options, checked, and what holds now.

The options themselves are the business of `settings`.
"""

import json
import os
import re
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import Field, fields
from difflib import get_close_matches
from math import isfinite, isnan
from pathlib import Path
from typing import Any, Final

from vidgen import paths
from vidgen.command_options import ViewOptions
from vidgen.errors import InputError, SetupError
from vidgen.files import atomic_write
from vidgen.settings import Options, Setting, environment_name

# Settings of the house rather than of one run: name -> (default, what it is)
KEEPING: Final[Mapping[str, tuple[Any, str]]] = {
    "keep_history_days": (30, "days that a run's history is kept"),
    "keep_work_hours": (24, "hours that a finished run's work folder is kept"),
}
# What is wrong with a value -> its code in the settings file, its code in a call, what to do
WRONG: Final = {
    "switch": ("config.switch", "option.switch", "Write true or false."),
    "number": ("config.number", "option.number", "Write a number."),
    "range": ("config.range", "option.range", "Write a number from {least} to {most}."),
    "least": ("config.least", "option.least", "Write a number not below {least}."),
    "choice": ("config.choice", "option.choice", "Choose one of: {choices}."),
    "text": ("config.text", "option.text", "Write it in quotes."),
}


def load_config(file: Path | None = None) -> Mapping[str, Any]:
    """The values in config.toml, flat, by option name. {} when there is no such file.

    Raises InputError when it is not TOML, or holds a name that no option has or a value that its
    option cannot have.
    """
    file = file or paths.config_path()
    return _check_values(_load(file), file)


def _load(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(error, file) from error


def _check_values(text: str, file: Path) -> Mapping[str, Any]:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(error, file) from error
    _check_all(values, file)
    return values


def _unreadable(error: Exception, file: Path) -> InputError:
    return InputError(
        "The settings file {file} cannot be read: {reason}.",
        hint="Mend it or move it away.",
        code="config.unreadable",
        file=str(file),
        reason=getattr(error, "strerror", None) or str(error),
    )


def _check_all(values: Mapping[str, Any], file: Path) -> None:
    known = {option.name: option for option in _options()}
    for name, value in values.items():
        if name not in known and name not in KEEPING:
            raise _unknown_name(name, (*known, *KEEPING), file)
        wrong = _wrong(known[name], value) if name in known else _not_positive(value)
        if wrong:
            code, _, advice = WRONG[wrong]
            raise InputError(
                "The settings file {file} cannot set {name} to {value}.",
                hint=advice,
                code=code,
                file=str(file),
                name=name,
                value=str(value),
                **_limits(known.get(name)),
            )


def _unknown_name(name: str, known: Iterable[str], file: Path) -> InputError:
    near = get_close_matches(name, known, n=1)
    return InputError(
        "The settings file {file} has an unknown name: {name}.",
        hint=("Did you mean {near}? " if near else "")
        + "Names are those of the options of `vidgen run`, with _ for -.",
        code="config.misspelt" if near else "config.unknown",
        file=str(file),
        name=name,
        near="".join(near),
    )


def check_option(name: str, value: object) -> None:
    """Refuse a name that no option of a run has, or a value that its option cannot have.

    Raises InputError.
    """
    known = {option.name: option for option in fields(Options)}
    if name not in known:
        raise unknown_option(name, known)
    check_value(known[name], value)


def check_value(option: "Field[Any]", value: object) -> None:
    """Raises InputError for a value that the option cannot have."""
    if wrong := _wrong(option, value):
        _, code, advice = WRONG[wrong]
        raise InputError(
            "The option {name} cannot be {value}.",
            hint=advice,
            code=code,
            name=option.name,
            value=str(value),
            **_limits(option),
        )


def unknown_option(name: str, known: Iterable[str]) -> InputError:
    near = get_close_matches(name, known, n=1)
    return InputError(
        "There is no option {name}.",
        hint=("Did you mean {near}? " if near else "")
        + "The names are those of `vidgen run`, with _ for -.",
        code="option.unknown" if near else "option.none_such",
        name=name,
        near="".join(near),
    )


def write_setting(name: str, text: str) -> str:
    """Set `name` in config.toml, as `text` says; answer the line that stands there now.

    Other lines stay, and nothing is written that leaves the file wrong. Raises InputError for a
    name or a value that there is not, or when another line is wrong; SetupError where it cannot be
    written.
    """
    known = {option.name: option for option in _options()}
    if name not in known and name not in KEEPING:
        raise unknown_option(name, (*known, *KEEPING))
    value = _parse(text, known.get(name))
    if name in known:
        check_value(known[name], value)
    file = paths.config_path()
    line = f"{name} = {_toml(value)}"
    rows = _load(file).splitlines()
    here = [at for at, row in enumerate(rows) if re.match(rf"\s*{name}\s*=", row)]
    if here:
        rows[here[0]] = line
    else:
        rows.append(line)
    _check_values("\n".join(rows), file)
    with write_errors(file):
        atomic_write(file, ("\n".join(rows) + "\n").encode())
    return line


@contextmanager
def write_errors(file: Path) -> Iterator[None]:
    """Turn the system's errors about writing the settings file into a SetupError."""
    try:
        yield
    except OSError as error:
        raise SetupError(
            "The settings file {file} cannot be written: {reason}.",
            hint="Check its permissions, or name another file in VIDGEN_CONFIG.",
            code="config.unwritable",
            file=str(file),
            reason=error.strerror or str(error),
        ) from error


def _parse(text: str, option: "Field[Any] | None") -> Any:
    """The text as the option's kind, or as it is: then its check refuses it."""
    kinds = (typing.get_args(option.type) or (option.type,)) if option else (float,)
    if bool in kinds:
        return {"true": True, "false": False}.get(text.lower(), text)
    if {int, float}.intersection(kinds):
        with suppress(ValueError):
            return int(text)
        with suppress(ValueError):
            return float(text) if isfinite(float(text)) else text
    return text


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def defaults() -> dict[str, Any]:
    """Every setting at its default."""
    own = {option.name: option.default for option in _options()}
    return own | {name: default for name, (default, _) in KEEPING.items()}


def in_force(environ: Mapping[str, str] = os.environ) -> dict[str, Setting]:
    """Every setting that a run would take without flags, with where it comes from.

    Raises InputError as `load_config` does.
    """
    found = {name: Setting(default, "default") for name, default in defaults().items()}
    told = {name: environ.get(environment_name(name)) for name in found}
    found |= {name: Setting(value, "config") for name, value in load_config().items()}
    return found | {name: Setting(value, "environment") for name, value in told.items() if value}


def keeping(name: str, environ: Mapping[str, str] = os.environ) -> float:
    """A setting of the house: environment, else config.toml, else the default.

    Raises InputError for what is no number.
    """
    value = environ.get(environment_name(name), load_config().get(name, KEEPING[name][0]))
    try:
        number = float(value)
        if isnan(number):
            raise ValueError
        return number
    except (TypeError, ValueError) as error:
        raise InputError(
            "The setting {name} is not a number: {value}.",
            hint="Give a number, for example {example}.",
            code="config.not_a_number",
            name=name,
            value=str(value),
            example=KEEPING[name][0],
        ) from error


def _options() -> Iterator["Field[Any]"]:
    yield from fields(Options)
    yield from (option for option in fields(ViewOptions) if option.name != "json")


def _wrong(option: "Field[Any]", value: object) -> str:
    """What is wrong with the value for this option, as a key of WRONG; empty when it is right."""
    about, kinds = option.metadata, typing.get_args(option.type) or (option.type,)
    if bool in kinds:
        return "" if isinstance(value, bool) else "switch"
    if isinstance(value, bool | list | dict):
        return "text" if str in kinds or Path in kinds else "number"
    if about["choices"]:
        return "" if str(value) in about["choices"] else "choice"
    if str in kinds or Path in kinds:  # a number is text enough: fps = 25
        return "" if str in kinds or isinstance(value, str) else "text"
    if not isinstance(value, int if int in kinds else int | float):
        return "number"
    return _out_of_range(float(typing.cast("float", value)), about["least"], about["most"])


def _out_of_range(value: float, least: float | None, most: float | None) -> str:
    if (least is None or value >= least) and (most is None or value <= most):
        return ""
    return "least" if most is None else "range"


def _not_positive(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "" if is_number else "number"


def _limits(option: "Field[Any] | None") -> dict[str, Any]:
    """What the hints of WRONG name."""
    about: Mapping[str, Any] = option.metadata if option else {}
    told = {name: about.get(name) for name in ("least", "most")}
    numbers = {name: show_limit(value) for name, value in told.items()}
    return numbers | {"choices": ", ".join(about.get("choices", ()))}


def show_limit(limit: float | None) -> str:
    """As a person writes it; "" for none."""
    return "" if limit is None else str(limit) if isinstance(limit, int) else f"{limit:g}"
