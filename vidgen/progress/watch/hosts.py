"""Watch runs on other machines: the events of several hosts as one, until they end.

How they come over the network is `client`'s business, what is drawn of them the views'.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vidgen.errors import InputError, VidgenError
from vidgen.events import Envelope
from vidgen.progress.watch.client import RunClient
from vidgen.progress.watch.link import OnLink
from vidgen.progress.watch.timing import USUAL, Timing

SAME_SECONDS: Final = 0.5  # an identical snapshot within this is shown once
_ENDS: Final = frozenset({"complete", "error", "cancelled", "interrupted", "deleted"})


@dataclass(frozen=True, slots=True)
class HostEvent:
    """One event, and the host whose run it is of: its name, its address, the run's title."""

    host: str
    envelope: Envelope
    base: str = ""
    title: str = ""


def watch(
    urls: Sequence[str],
    task: str = "",
    *,
    token: str = "",
    until: str = "complete",
    certificate: Path | None = None,
    on_link: OnLink = lambda _: None,
    timing: Timing = USUAL,
) -> Iterator[HostEvent]:
    """The events of a run on each host, until each has ended.

    `task` is an id, its first letters, or "" for the run that is at work (or the next one).
    `until` is "complete", a stage's id, or a percentage like "50%". `certificate` is a file to
    trust beside the system's. Raises InputError or SetupError when a host refuses, or was never
    reached.
    """
    stop = _stopper(until)
    followers = [RunClient(url, task, token, certificate, on_link, timing=timing) for url in urls]
    if len(followers) == 1:
        yield from _until(followers[0], stop)
    else:
        yield from _together(followers, stop)


def exit_code(last: Envelope | None) -> int:
    """How `--exit-status` ends: 0 for a finished run, 130 for a cancelled one, else 4."""
    if last is not None and last.event_type == "cancelled":
        return 130
    return 4 if last is None or last.event_type in ("error", "interrupted", "deleted") else 0


def _until(follower: RunClient, stop: Callable[[Envelope], bool]) -> Iterator[HostEvent]:
    same = _DuplicateFilter()
    for envelope in follower.events():
        if not same(envelope):
            yield HostEvent(follower.host, envelope, follower.base, follower.title)
        if stop(envelope):
            return


def _together(
    followers: Sequence[RunClient], stop: Callable[[Envelope], bool]
) -> Iterator[HostEvent]:
    """All at once, each in a thread of its own."""
    events: queue.Queue[HostEvent | VidgenError | None] = queue.Queue(maxsize=1000)

    def follow(follower: RunClient) -> None:
        try:
            for one in _until(follower, stop):
                events.put(one)
        except VidgenError as error:
            events.put(error)
        events.put(None)

    for follower in followers:
        threading.Thread(target=follow, args=(follower,), daemon=True).start()
    left = len(followers)
    while left:
        one = events.get()
        if isinstance(one, VidgenError):
            raise one
        if one is None:
            left -= 1
        else:
            yield one


def _stopper(until: str) -> Callable[[Envelope], bool]:
    if until.endswith("%") and until[:-1].replace(".", "", 1).isdigit():
        percent = float(until[:-1])
        return lambda e: e.event_type in _ENDS or float(e.data.get("progress") or 0) >= percent
    if "%" in until:
        raise InputError(
            "--until {until} is no share of a run.",
            hint="Write a percentage such as 50%, a stage's id such as rendering, or complete.",
            code="page.watch_until",
            until=until,
        )
    if until in ("", "complete"):
        return lambda e: e.event_type in _ENDS
    done = ("completed", "skipped", "reused")
    return lambda e: (
        e.event_type in _ENDS or (e.data.get("stage") == until and e.data.get("status") in done)
    )


class _DuplicateFilter:
    """Says whether a snapshot only repeats the one before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def __call__(self, event: Envelope) -> bool:
        if event.event_type not in ("progress_update", "resource"):
            return False
        now = self._clock()
        at, data = self._last.get(event.event_type, (-SAME_SECONDS, {}))
        if now - at < SAME_SECONDS and data == event.data:
            return True
        self._last[event.event_type] = (now, event.data)
        return False
