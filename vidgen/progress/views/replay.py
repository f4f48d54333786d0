"""A stored run again, at its own pace or faster, through any view."""

import time

from vidgen.messages import user_language
from vidgen.paths import Home
from vidgen.progress.store.reader import check_speed, iter_events, pace
from vidgen.progress.store.runs import find_run, summarise, title
from vidgen.progress.views.choose import choose


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
