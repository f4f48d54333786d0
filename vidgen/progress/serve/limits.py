"""How many streams there may be at once, and when a server that ends with its run may go."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from vidgen.progress.serve.errors import RETRY_AFTER, ApiError

LATELY_SECONDS: Final = 5.0  # an open page asks for the list every 3 s
GRACE_SECONDS: Final = 1.0  # for a page that has just heard of the end
MOST_SECONDS: Final = 8.0  # a slow line must not keep the run from ending


class ConnectionLimit:
    """How many streams there may be, in all and for one address; 0 is no limit."""

    def __init__(self, most: int, per_address: int) -> None:
        self._most = most
        self._per_address = per_address
        self._taken: Counter[str] = Counter()
        self.refused = 0

    def take(self, address: str) -> None:
        """Take a place, to be given back in a `finally`. Raises ApiError when there is none."""
        if self._most and self._taken.total() >= self._most:
            self.refused += 1
            raise ApiError(503, "full", "Too many watchers are here already.", RETRY_AFTER)
        if self._per_address and self._taken[address] >= self._per_address:
            self.refused += 1
            raise ApiError(429, "too_many", "Too many streams from this address.", RETRY_AFTER)
        self._taken[address] += 1

    def give_back(self, address: str) -> None:
        self._taken[address] -= 1
        if not self._taken[address]:
            del self._taken[address]


BURST_SECONDS: Final = 10  # of requests that an address may make at once
MOST_ADDRESSES: Final = 10_000  # that are remembered; a flood of them must not fill the memory


class RequestLimit:
    """How many requests an address may make a second, on average; 0 is no limit."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._most = per_second * BURST_SECONDS
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}  # address → (requests left, when)
        self.refused = 0

    def take(self, address: str) -> None:
        """Count a request. Raises ApiError when there were too many."""
        if not self._rate:
            return
        now = self._clock()
        left, then = self._left.get(address, (self._most, now))
        left = min(self._most, left + (now - then) * self._rate)
        if left < 1:
            self.refused += 1
            raise ApiError(429, "too_fast", "Too many requests from this address.", RETRY_AFTER)
        if len(self._left) >= MOST_ADDRESSES and address not in self._left:
            self._left.clear()
        self._left[address] = left - 1, now


class Drain:
    """Whether somebody was here lately, and fetches a film right now."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen_at = float("-inf")
        self._films = 0

    def touch(self) -> None:
        """Somebody came or went."""
        self._seen_at = self._clock()

    @contextlib.contextmanager
    def fetching(self) -> Iterator[None]:
        """A film is on its way."""
        self._films += 1
        try:
            yield
        finally:
            self._films -= 1

    def await_end(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Block until whoever watched has the film; at once when nobody did."""
        began = self._clock()
        if began - self._seen_at > LATELY_SECONDS:
            return
        while (waited := self._clock() - began) < GRACE_SECONDS or (
            self._films and waited < MOST_SECONDS
        ):
            sleep(0.05)
