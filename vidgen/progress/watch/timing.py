"""How long a watching client waits, and how often it tries. Numbers only."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Timing:
    """Every waiting time of one client, in seconds, and its patience; tests pass others."""

    silence: float = 45.0  # three heartbeats missed: the line is dead
    connect: float = 10.0
    first_wait: float = 1.0  # the upper end of the first random wait; doubles
    longest_wait: float = 30.0
    first_contact: float = 10.0  # a server that was never reached is given up after this
    poll_wait: int = 25
    polls_before_return: int = 12  # long polls, then server-sent events are tried again
    stream_tries: int = 2  # streams without a byte, then long polls are tried
    waiting: float = 2.0  # between two looks for a run
    most_bytes: int = 64 * 1024 * 1024  # of one answer: a history of a whole day is less


USUAL: Final = Timing()
