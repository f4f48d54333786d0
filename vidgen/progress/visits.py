"""When a server that ends with its run may go: not while a page fetches the finished film."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

LATELY_SECONDS: Final = 5.0  # an open page asks for the list every 3 s
GRACE_SECONDS: Final = 1.0  # for a page that has just heard of the end
MOST_SECONDS: Final = 8.0  # a slow line must not keep the run from ending


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
