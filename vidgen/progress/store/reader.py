"""Read a run's log: all of it, what comes, or without its snapshots; find the last whole line."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from vidgen.errors import InputError
from vidgen.events import LINE_LIMIT, Envelope, seconds_of
from vidgen.files import open_regular
from vidgen.paths import TaskFolder
from vidgen.progress.store.lock import is_held

POLL_SECONDS: Final = 0.05
BETWEEN_SECONDS: Final = 3600.0  # a job that nobody goes on with for so long is interrupted


def iter_events(path: Path, after: int = 0) -> Iterator[Envelope]:
    """The stored events with `seq` > `after`, in order. A torn or broken line is passed over."""
    try:
        fd = open_regular(path)
    except OSError:
        return
    with os.fdopen(fd, "rb") as file:
        for line in file:
            event = parse_line(line)
            if event and event.seq > after:
                yield event


def follow(
    folder: TaskFolder, after: int = 0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Envelope]:
    """The stored events with `seq` > `after`, then each new one as it is written, until the run
    ends or its writer is gone."""
    rest, last = b"", None
    with os.fdopen(open_regular(folder.events), "rb") as file:
        while True:
            is_live = is_running(folder)  # asked before reading: nothing is written after a no
            *lines, rest = (rest + file.read()).split(b"\n")
            for event in filter(None, (parse_line(line + b"\n") for line in lines)):
                last = event
                if event.seq > after:
                    yield event
            if not is_live or (last and last.is_terminal):
                return
            sleep(POLL_SECONDS)


def is_running(folder: TaskFolder) -> bool:
    """Whether a living process writes this run, or will: a job is told by one after another."""
    return is_held(folder.lock) or _is_between(folder)


def has_ended(folder: TaskFolder) -> bool:
    """Whether its log has its last word; the process that wrote it may still be on its way out."""
    try:
        fd = open_regular(folder.events)
    except OSError:
        return False
    with os.fdopen(fd, "rb"):
        last = last_whole(fd)[1]
    return last is not None and last.is_terminal


def _is_between(folder: TaskFolder) -> bool:
    try:
        return time.time() - folder.between.stat().st_mtime < BETWEEN_SECONDS
    except OSError:
        return False


def percent(event: Envelope) -> float:
    """The run's percentage in an event; -1 in a failure."""
    value = event.data.get("progress")
    return float(value) if isinstance(value, int | float) else 0.0


def parse_line(line: bytes) -> Envelope | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return Envelope.from_wire(line)
    except ValueError:
        return None


def last_whole(fd: int, block: int = 2 * LINE_LIMIT) -> tuple[int, Envelope | None]:
    """Where the last whole event ends, in bytes, and that event; (0, None) without one.

    After a power loss the tail may be zeros or garbage, so a line must parse to count.
    """
    end = os.fstat(fd).st_size
    while end > 0:
        begin = max(0, end - block)
        chunk = bytes_between(fd, begin, end)
        stop = chunk.rfind(b"\n")
        start = chunk.rfind(b"\n", 0, max(0, stop)) + 1
        if (event := parse_line(chunk[start : stop + 1])) is not None:
            return begin + stop + 1, event
        if block < 2 * LINE_LIMIT:
            block = 2 * LINE_LIMIT
        elif stop < 0:
            end = begin
        else:
            end = begin + start if start else begin
    return 0, None


def bytes_between(fd: int, begin: int, end: int) -> bytes:
    os.lseek(fd, begin, os.SEEK_SET)
    parts = []
    while begin < end and (part := os.read(fd, end - begin)):
        parts.append(part)
        begin += len(part)
    return b"".join(parts)


# Lines that say nothing about durations, told apart by their first bytes: most of a log.
_SKIPPED: Final = (b'"event_type":"progress_update"', b'"event_type":"resource"')
_HEAD: Final = 200  # bytes in which a line's event_type stands


def skip_snapshots(log: Path) -> Iterator[Envelope]:
    """The events of a log but for its snapshots, which are most of it."""
    try:
        fd = open_regular(log)
    except OSError:
        return
    with os.fdopen(fd, "rb") as file:
        for line in file:
            head = line[:_HEAD]
            if _SKIPPED[0] in head or _SKIPPED[1] in head or not line.endswith(b"\n"):
                continue
            try:
                yield Envelope.from_wire(line)
            except ValueError:
                continue


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


def check_speed(speed: float) -> None:
    """Raises InputError when it is none."""
    if not 0 <= speed <= 1000:
        raise InputError(
            "A run cannot be replayed at {speed} times its speed.",
            hint="Use a number from 0 (without pauses) to 1000.",
            code="history.speed",
            speed=speed,
        )
