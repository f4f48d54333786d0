"""A part of a recording, as people write it: 0:03-0:12."""

import re
from dataclasses import dataclass
from math import inf
from typing import Final

from vidgen.errors import InputError

_CLOCK: Final = r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)"  # hours, minutes, seconds
_PART: Final = re.compile(rf"(?:{_CLOCK})?\s*-\s*(?:{_CLOCK})?")


@dataclass(frozen=True, slots=True)
class Trim:
    """From `start` to `end`, in seconds from the recording's beginning."""

    start: float = 0.0
    end: float = inf

    @property
    def seconds(self) -> float:
        return self.end - self.start


def parse_trim(text: str) -> Trim:
    """FROM-TO, each as seconds or a clock's [H:]M:S; nothing is from the beginning, or to the end.

    Raises InputError.
    """
    found = _PART.fullmatch(text.strip()) if text else None
    if text and found is None:
        raise _no_part(text)
    start, end = (_seconds(found.groups()[at : at + 3]) for at in (0, 3)) if found else (None, None)
    trim = Trim(start or 0.0, inf if end is None else end)
    if trim.seconds <= 0:
        raise _no_part(text)
    return trim


def _seconds(clock: tuple[str | None, ...]) -> float | None:
    hours, minutes, seconds = clock
    if seconds is None:
        return None
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds)


def _no_part(text: str) -> InputError:
    return InputError(
        "--trim {value} is no part of a recording.",
        hint="Write from and to, like 0:03-0:12, or 3- for all but the first three seconds.",
        code="option.trim",
        value=text,
    )
