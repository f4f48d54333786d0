"""A stored run again, at its own pace or faster, through any view."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from vidgen.errors import InputError
from vidgen.events import Envelope, seconds_of
from vidgen.messages import user_language
from vidgen.paths import Home
from vidgen.progress.listing import title
from vidgen.progress.store import find_run, iter_events, summarise
from vidgen.progress.views import choose

LONGEST_PAUSE_SECONDS: Final = 10.0  # a run taken up again next week is not worth waiting for


def pace(
    events: Iterable[Envelope], speed: float, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Envelope]:
    """The events, each after the pause it had, divided by `speed`; 0 is without pauses."""
    before = None
    for event in events:
        now = seconds_of(event.timestamp)
        if before is not None and speed > 0 and now > before:
            sleep(min(LONGEST_PAUSE_SECONDS, now - before) / speed)
        before = now
        yield event


def replay(home: Home, task: str, speed: float = 1.0, mode: str | None = None) -> None:
    """`vidgen replay`. Raises InputError when the run is not there or the speed is no speed."""
    check_speed(speed)
    folder = find_run(home, task)
    stored = summarise(folder)
    named = title(stored.request()) if stored else ""
    began = time.monotonic()

    def clock() -> float:
        return began + (time.monotonic() - began) * (speed or 1.0)

    with choose(mode, title=named, says_errors=True, clock=clock, language=user_language()) as view:
        for event in pace(iter_events(folder.events), speed):
            view(event)


def check_speed(speed: float) -> None:
    """Raises InputError when it is none."""
    if not 0 <= speed <= 1000:
        raise InputError(
            "A run cannot be replayed at {speed} times its speed.",
            hint="Use a number from 0 (without pauses) to 1000.",
            code="history.speed",
            speed=speed,
        )
