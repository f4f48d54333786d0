"""Every sentence vidgen says, by code, in English, Japanese and Chinese. Imports nothing of vidgen.

`locale/<language>.toml` holds one table per subject; the code `matte.done` is the key `done` of
the table `matte`. A sentence may hold `{name}` places, filled from the event's metadata; a count
takes the word that fits it, `{total:film|films}`. Errors carry their English sentence themselves
(`errors.py`); the other languages have it here, under the error's code and, for what to do, the
code with `_hint` behind it. Of what the system says (`{reason}`) they have the usual phrases, under
`reason`.
"""

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

LANGUAGES: Final = ("en", "ja", "zh")

_UNSEEN: Final = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))  # turn the writing direction
_HARMLESS: Final = (
    dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\ufffd")
    | dict.fromkeys((0x09, 0x0A, 0x0D, 0x2028, 0x2029), " ")
    | dict.fromkeys(_UNSEEN, "")
)


class _Count(int):
    """A number that writes the word for one or for many behind it."""

    def __format__(self, words: str) -> str:
        one, bar, many = words.partition("|")
        return f"{int(self)} {one if self == 1 else many}" if bar else super().__format__(words)


class _SafeValues(dict[str, Any]):
    """The values for a sentence's places; a missing one stays visible instead of failing."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        return _Count(value) if type(value) is int else value

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


@cache
def message_catalogue(language: str) -> Mapping[str, str]:
    """code → sentence with places. Raises FileNotFoundError for a language that is not there."""
    text = resources.files("vidgen").joinpath("locale", f"{language}.toml").read_text("utf-8")
    return {
        f"{table}.{key}": sentence
        for table, sentences in tomllib.loads(text).items()
        for key, sentence in sentences.items()
    }


def say(
    code: str,
    values: Mapping[str, Any] | None = None,
    language: str = "en",
    otherwise: str = "",
) -> str:
    """The sentence for `code` in `language`, else in English, else `otherwise`, else the code."""
    template = message_catalogue(language).get(code)
    if template is None and not otherwise:
        template = message_catalogue("en").get(code)
    if template is None:
        return otherwise or code  # words from outside: never a template
    try:
        return template.format_map(_SafeValues(_with_reason(values or {}, language)))
    except Exception:
        return template  # a value of an unexpected kind must never cost a run its message


def _with_reason(values: Mapping[str, Any], language: str) -> Mapping[str, Any]:
    """`values` with the system's reason in `language`, where that knows the phrase."""
    known = message_catalogue(language).get(f"reason.{values.get('reason')}")
    return {**values, "reason": known} if known else values


def pick(wanted: str | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """The language to speak: `wanted`, else LC_ALL, LC_MESSAGES, LANG, else English."""
    for name in (wanted, *(environ.get(key) for key in ("LC_ALL", "LC_MESSAGES", "LANG"))):
        if name:
            short = name.replace("_", "-").split("-")[0].split(".")[0].lower()
            return short if short in LANGUAGES else "en"
    return "en"


def user_language() -> str:
    """The language of the person at this process: --lang (as VIDGEN_LANG), else the locale's."""
    return pick(os.environ.get("VIDGEN_LANG"))


def harmless(text: str) -> str:
    """The text on one line, without anything that a terminal would obey."""
    return text.translate(_HARMLESS)


def harmless_lines(text: str) -> str:
    """The same, with the line ends that the text has."""
    return "\n".join(harmless(line) for line in text.split("\n"))
