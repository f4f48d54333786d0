"""How the line to a host is, for whoever shows it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx

# What the system puts round its sentences: "[Errno 111] …", "[SSL] … (_ssl.c:1006)".
_SIGNS: Final = re.compile(r"^\[[^\]]*\] |\s*\(_ssl\.c:\d+\)$")


@dataclass(frozen=True, slots=True)
class Link:
    """How the line to a host is: `state` is connected, lost, polling or waiting (for a run); away
    or back is the machine behind it on which the run is, named in `detail`."""

    host: str
    state: str
    detail: str = ""


OnLink = Callable[[Link], None]


def reason_of(error: Exception) -> str:
    """Why a line was lost, without what only programmers read; no full stop."""
    if isinstance(error, httpx.RemoteProtocolError):  # it speaks of chunks and bodies
        return "the other side hung up"
    text = str(error) or type(error).__name__
    if "WRONG_VERSION_NUMBER" in text:
        return "it does not speak https"
    return _SIGNS.sub("", text).rstrip(".")
