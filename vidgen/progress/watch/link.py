"""How the line to a host is, for whoever shows it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """How the line to a host is: `state` is connected, lost, polling or waiting (for a run); away
    or back is the machine behind it on which the run is, named in `detail`."""

    host: str
    state: str
    detail: str = ""


OnLink = Callable[[Link], None]
