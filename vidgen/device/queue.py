"""One run at a time on a device, first come, first served, across processes.

The lock is the operating system's, so it is free again however the holder ended. Who waits stands
in a folder beside it: one ticket per run, in the order they came, locked while its run lives.
"""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from vidgen.paths import Home

LOOK_SECONDS: Final = 0.25  # how often a queued run looks whether it is its turn
NEXT_LOOK_SECONDS: Final = 0.02  # the same, for the next one: the device idles meanwhile


@dataclass(frozen=True, slots=True)
class Turn:
    """What a run queues for: its device or, in a batch whose films share one, a `slot` of it.
    With `only_drawing` a run on the processor begins and ends beside another that draws. Where its
    process `goes_on` to other films, it keeps what it loads, and starts no other for one film."""

    slot: str = ""
    only_drawing: bool = False
    goes_on: bool = False

    @property
    def code(self) -> str:
        """What is said while the run waits for it."""
        return "run.turn" if self.only_drawing else "run.queued"


@contextmanager
def device_slot(
    home: Home,
    device: str,
    task_id: str,
    queued: Callable[[str], None],
    moved: Callable[[int], None] = lambda _: None,
) -> Iterator[None]:
    """Hold the device for one run.

    When it has to wait, `queued(task id of the holder)` is called once, and `moved(position)` at
    first and whenever it changes; 1 is the next to run.
    """
    lock_file = home.device_lock(device)
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    note = lock_file.with_suffix(".holder")
    line = _Queue(lock_file.with_suffix(".queue"))
    lock = FileLock(lock_file)
    if line.length() or not _got(lock):
        queued(_holder(note))
        _wait(line, lock, moved)
    try:
        note.write_text(task_id, "ascii")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _wait(line: "_Queue", lock: FileLock, moved: Callable[[int], None]) -> None:
    told = 0
    with line.ticket() as mine:
        while True:
            position = line.length(before=mine) + 1
            if position != told:
                told = position
                moved(position)
            if position == 1 and _got(lock):
                return
            time.sleep(NEXT_LOOK_SECONDS if position == 1 else LOOK_SECONDS)


@dataclass(frozen=True, slots=True)
class _Queue:
    """The tickets of the runs that wait."""

    folder: Path

    @contextmanager
    def ticket(self) -> Iterator[str]:
        """A place at the end of the line; gone again at the end, however that comes."""
        self.folder.mkdir(exist_ok=True)
        # By time, so that names sort as they came; by chance, so that no two are one.
        ticket = self.folder / f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        lock = FileLock(ticket)
        with self._door():
            lock.acquire()
        try:
            yield ticket.name
        finally:
            lock.release()
            ticket.unlink(missing_ok=True)

    def length(self, before: str = "~") -> int:
        """Living tickets before that one. Those of ended runs are cleared away."""
        if not self.folder.is_dir():
            return 0
        with self._door():
            tickets = [entry for entry in self.folder.iterdir() if entry.suffix != ".door"]
            return sum(_lives(ticket) for ticket in tickets if ticket.name < before)

    def _door(self) -> FileLock:
        """Held while tickets are made and counted, so that nobody sees one half made."""
        return FileLock(self.folder / "queue.door")


def _lives(ticket: Path) -> bool:
    lock = FileLock(ticket)
    if not _got(lock):
        return True
    lock.release()
    with suppress(OSError):
        ticket.unlink(missing_ok=True)
    return False


def _got(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _holder(note: Path) -> str:
    try:
        return note.read_text("ascii").strip()
    except OSError:
        return ""
