"""Copies of other machines' logs, event for event, in a folder that ends with the server.

A copy is read like any log of the store, so that all who watch need to know nothing of where a
run is; its epoch, made of its first event, is the one it has at home. How events come here is
the sources' business.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vidgen.events import TERMINAL, Envelope
from vidgen.files import atomic_write, make_private
from vidgen.paths import Home, TaskFolder
from vidgen.progress.store.lock import Lock, is_held
from vidgen.progress.store.log import line_of

FOLDER: Final = "sources"  # beside `tasks`


@dataclass(slots=True)
class Copy:
    """How far one copy is. `began` is the time of its first event, which names the log."""

    folder: TaskFolder
    began: str
    last_seq: int
    is_over: bool


class Copies:
    """All copies of one server. Whatever runs at its source counts as running here (`between`)."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._known: dict[str, Copy] = {}

    def get(self, task_id: str) -> Copy | None:
        return self._known.get(task_id)

    def append(self, task_id: str, events: Sequence[Envelope], *, is_whole: bool = False) -> bool:
        """Take in what is new of these events, in order. False: one before them is missing, or
        they are of another log of this name, and nothing was taken.

        `is_whole` when there are no events between the copy's last and these, whatever their
        numbers say.
        """
        copy = self._known.get(task_id)
        last = copy.last_seq if copy else 0
        if copy and events[0].seq == 1 and events[0].timestamp != copy.began:
            return False
        new = [event for event in events if event.seq > last]
        if not new:
            return True
        if new[0].seq != last + 1 and not is_whole:
            return False
        if copy is None:
            copy = self._known[task_id] = Copy(self._home.task(task_id), new[0].timestamp, 0, False)
            make_private(copy.folder.root)
        fd = os.open(copy.folder.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(b"".join(line_of(event) for event in new))
        self._advance(copy, new[-1])
        return True

    def replace(self, task_id: str, events: Sequence[Envelope]) -> None:
        """This is the whole log now."""
        folder = self._home.task(task_id).root
        make_private(folder)
        copy = Copy(self._home.task(task_id), events[0].timestamp, 0, False)
        atomic_write(copy.folder.events, b"".join(line_of(event) for event in events))
        self._known[task_id] = copy
        self._advance(copy, events[-1])

    def _advance(self, copy: Copy, last: Envelope) -> None:
        copy.last_seq = last.seq
        copy.is_over = last.event_type in TERMINAL
        if copy.is_over:
            copy.folder.between.unlink(missing_ok=True)
        else:
            copy.folder.between.touch()

    def leave(self, task_id: str) -> None:
        """Its writer is gone without a last word."""
        if copy := self._known.get(task_id):
            copy.folder.between.unlink(missing_ok=True)

    def keep_alive(self, task_id: str) -> None:
        """Nobody has said that its writer is gone."""
        copy = self._known.get(task_id)
        if copy and not copy.is_over and copy.folder.between.exists():
            copy.folder.between.touch()

    def remove(self, task_id: str) -> None:
        """The task was deleted at home."""
        if copy := self._known.pop(task_id, None):
            shutil.rmtree(copy.folder.root, ignore_errors=True)


@contextlib.contextmanager
def open_copies(home: Home) -> Iterator[Copies]:
    """An empty folder in the store, which is removed at the end; so are those of killed servers."""
    folder = home.root / FOLDER
    make_private(folder)
    for old in folder.iterdir():
        if old.is_dir() and not is_held(old / "lock"):
            shutil.rmtree(old, ignore_errors=True)
    own = Home(folder / uuid.uuid4().hex[:12])
    make_private(own.root)
    try:
        with Lock(own.root / "lock"):
            make_private(own.tasks)
            yield Copies(own)
    finally:
        shutil.rmtree(own.root, ignore_errors=True)
