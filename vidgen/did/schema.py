"""What D-ID answers, read leniently: unknown fields are ignored, missing ones tolerated.

Nothing of the account's owner is kept: an answer's `user` holds an e-mail address.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

ADDRESS: Final = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")
SIGNED: Final = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']+")
RUNNING: Final = frozenset({"created", "started"})
FAILED: Final = frozenset({"error", "rejected"})


@dataclass(frozen=True, slots=True)
class Problem:
    """Why D-ID refused or gave up: their `kind` and `description`, or what the gateway said."""

    kind: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that D-ID holds for 24 to 48 hours."""

    id: str
    url: str
    at: float  # unix time of the upload


@dataclass(frozen=True, slots=True)
class Talk:
    """One bought film, as D-ID sees it now."""

    id: str
    status: str
    user_data: str = ""
    name: str = ""
    result_url: str = ""
    problem: Problem = Problem()

    @property
    def is_failure(self) -> bool:
        return self.status in FAILED

    @property
    def is_ready(self) -> bool:
        # `pending_url` is where the file will be, not where it is; only result_url counts.
        return self.status == "done" and bool(self.result_url)


class SchemaError(ValueError):
    """The answer is not what the contract says."""


def talk(value: Any) -> Talk:
    """Raises UnreadableError when there is no id or no status."""
    given = _object(value)
    return Talk(
        id=_text(given, "id", needed=True),
        status=_text(given, "status", needed=True),
        user_data=_text(given, "user_data"),
        name=_text(given, "name"),
        result_url=_text(given, "result_url"),
        problem=problem(given.get("error")),
    )


def page(value: Any) -> tuple[tuple[Talk, ...], str]:
    """One page of talks and the token of the next one ("" at the end)."""
    given = _object(value)
    talks = given.get("talks")
    if not isinstance(talks, list):
        raise SchemaError("a list of talks without talks")
    return tuple(talk(each) for each in talks), _text(given, "token")


def upload(value: Any, now: float) -> Uploaded:
    given = _object(value)
    return Uploaded(_text(given, "id"), _text(given, "url", needed=True), now)


def credits_left(value: Any) -> float:
    remaining = _object(value).get("remaining")
    if isinstance(remaining, bool) or not isinstance(remaining, int | float):
        raise SchemaError("credits without a number")
    return float(remaining)


def problem(value: Any) -> Problem:
    """From `{kind, description}`, the gateway's `{message}`, a plain string, or nothing."""
    if isinstance(value, str):
        return Problem(description=plain(value))
    if not isinstance(value, Mapping):
        return Problem()
    text = value.get("description") or value.get("message") or ""
    details = value.get("details")
    if value.get("kind") == "ValidationError" and isinstance(details, Mapping):
        text = f"{text} ({', '.join(map(str, details))})"
    return Problem(plain(str(value.get("kind") or ""), 60), plain(str(text)))


def plain(text: str, most: int = 300) -> str:
    """One line without addresses of people and signatures of links, fit for a log."""
    return SIGNED.sub(r"\1", ADDRESS.sub("[address]", " ".join(text.split())))[:most]


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SchemaError("not an object")
    return value


def _text(given: Mapping[str, Any], name: str, needed: bool = False) -> str:
    value = given.get(name)
    if isinstance(value, str) and value:
        return value
    if needed:
        raise SchemaError(f"no {name}")
    return ""
