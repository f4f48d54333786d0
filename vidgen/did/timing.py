"""How long to wait for D-ID, and how often to ask. Numbers and arithmetic; sends nothing."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MOST_ASKED: Final = 366 * 86_400.0  # seconds; a header may say infinity


@dataclass(frozen=True, slots=True)
class Timing:
    """Every waiting time, in seconds, and the clocks; tests pass others."""

    tries: int = 6  # of one request that may be repeated
    delete_tries: int = 2  # the film is there already; nobody should wait for tidying
    first_wait: float = 1.0  # the upper end of the first random wait; doubles
    longest_wait: float = 30.0
    longest_retry_after: float = 300.0  # a server that asks for more is given up
    timeout: float = 60.0  # of one answer; their gateway gives up after 29
    connect_timeout: float = 15.0
    first_poll: float = 2.0
    longest_poll: float = 30.0
    poll_growth: float = 1.5
    tick: float = 1.0  # between two steps of the estimated bar
    silence: float = 300.0  # without one understood answer while polling
    least_total: float = 20 * 60.0  # for one talk; grows with the voice
    settle: float = 60.0  # after an unclear create, until an unlisted talk is none
    first_look: float = 2.0  # between the first two looks into the list of talks; doubles
    orders: int = 3  # of one create that stays unlisted
    uploads_live: float = 20 * 3600.0  # D-ID keeps them for 24 to 48 hours
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = field(default=random.random)

    def before_retry(self, attempt: int, asked: float | None) -> float:
        """Full jitter, after what the server asked for (AWS, "Exponential Backoff And Jitter").

        attempt: 0 for the wait after the first try. asked: seconds of Retry-After, or None.
        """
        spread = min(self.longest_wait, self.first_wait * 2.0**attempt)
        return (asked or 0.0) + self.chance() * spread

    def next_poll(self, last: float) -> float:
        """0 asks at once; after that from `first_poll`, growing."""
        if last <= 0:
            return self.first_poll
        return min(self.longest_poll, last * self.poll_growth)

    def total(self, voice_seconds: float) -> float:
        """When to stop waiting for a talk; it can still be taken up again later."""
        return max(self.least_total, 4 * voice_seconds)


def retry_after(header: str | None, wall: Callable[[], float]) -> float | None:
    """Seconds, from a number or an HTTP date (RFC 9110 §10.2.3); None when there is neither."""
    if not header:
        return None
    try:
        return min(max(0.0, float(header)), MOST_ASKED)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.fromtimestamp(wall(), UTC)).total_seconds())
