"""The writer of a run's `events.jsonl`: no acknowledged event is ever lost."""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from vidgen.errors import InputError, SetupError, VidgenError
from vidgen.events import DURABLE, LINE_LIMIT, Envelope
from vidgen.files import NO_SPACE, make_private, open_regular, sync_folder
from vidgen.paths import TaskFolder
from vidgen.progress.store.lock import Lock, LockHeld
from vidgen.progress.store.reader import bytes_between, iter_events, last_whole, percent
from vidgen.text import json_bytes

SYNC_SECONDS: Final = 1.0  # how old an ordinary event may get before it is on the disk itself
_sync = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have only fsync
LONGEST_VALUE: Final = 4096  # bytes that one field may keep in an event that is too long
LONGEST_MESSAGE: Final = 1000  # characters


class TaskLog:
    """The one writer of a run's `events.jsonl`; a sink, held in a `with`.

    One `os.write` per event on an `O_APPEND` descriptor, so that a process killed at any moment
    leaves whole lines. Stage ends and terminal events are on the disk before the call returns;
    others follow within a second from a thread of their own. Opening an old log moves a torn tail
    to `events.torn` and goes on behind it. Raises InputError when somebody else writes it,
    SetupError when the disk is full or refuses.
    """

    def __init__(
        self,
        folder: TaskFolder,
        *,
        sync: Callable[[int], None] = _sync,
        sync_seconds: float = SYNC_SECONDS,
    ) -> None:
        """`sync` puts a descriptor's bytes on the disk; it and `sync_seconds` are for tests."""
        self._sync, self._sync_seconds = sync, sync_seconds
        self.folder = folder
        self._last: Envelope | None = None
        self._lock = Lock(folder.lock)
        self._fd = -1
        self._settled = True
        self._broken: OSError | None = None
        self._unsynced = threading.Event()
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync_loop, name="log-sync", daemon=True)

    @property
    def last(self) -> Envelope | None:
        """The last event that the file holds."""
        if not self._settled:
            self._settle()
        return self._last

    @property
    def next_seq(self) -> int:
        return self.last.seq + 1 if self.last else 1

    @property
    def progress(self) -> float:
        """The percentage the run had reached: where a resumed one goes on."""
        return max(0.0, *map(percent, iter_events(self.folder.events)), 0.0)

    def __enter__(self) -> "TaskLog":
        try:
            make_private(self.folder.root)
            self._lock.__enter__()
        except LockHeld as held:
            raise InputError(
                "The run {task} is being worked on by another process ({pid}).",
                hint="Wait until it ends, or end that process; then try again.",
                code="history.busy",
                task=self.folder.task_id,
                pid=held.pid or "?",
            ) from held
        except OSError as error:
            raise write_error(self.folder.root, error) from error
        try:
            self.folder.cancellable.unlink(missing_ok=True)  # of a writer that was killed
            self._open()
        except OSError as error:
            self._lock.__exit__(None, None, None)
            raise write_error(self.folder.events, error) from error
        self._syncer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._unsynced.set()
        self._syncer.join()
        with contextlib.suppress(OSError):  # what had to be on the disk is there already
            self._sync(self._fd)
        os.close(self._fd)
        self._lock.__exit__(kind, error, trace)

    def __call__(self, envelope: Envelope) -> None:
        self.write_all([envelope])

    def write_all(self, envelopes: Sequence[Envelope]) -> None:
        """Append several events with one write; all are kept when this returns."""
        if not envelopes:
            return
        if self._broken:
            raise write_error(self.folder.events, self._broken)
        block = b"".join([line_of(envelope) for envelope in envelopes])
        self._settled = False  # until the next line but two; Ctrl-C may strike in between
        try:
            self._append(block)
        except OSError as error:
            self._settle()
            raise write_error(self.folder.events, error) from error
        self._last = envelopes[-1]
        self._settled = True
        if not DURABLE.isdisjoint([envelope.event_type for envelope in envelopes]):
            self._sync_now()
        elif not self._unsynced.is_set():
            self._unsynced.set()

    def _append(self, block: bytes) -> None:
        written = os.write(self._fd, block)
        while written < len(block):  # a full disk takes a part first and refuses the rest
            written += os.write(self._fd, block[written:])

    def _sync_now(self) -> None:
        try:
            self._sync(self._fd)
        except OSError as error:
            # The kernel may have dropped the pages: asking again would only pretend.
            self._broken = error
            raise write_error(self.folder.events, error) from error

    def _sync_loop(self) -> None:
        while not self._closing.wait(self._sync_seconds):
            self._unsynced.wait()
            self._unsynced.clear()
            if self._closing.is_set():
                return
            try:
                self._sync(self._fd)
            except OSError as error:
                self._broken = error
                return

    def _open(self) -> None:
        is_new = not self.folder.events.exists()
        if not is_new:
            os.close(open_regular(self.folder.events))  # a pipe would hold us up for ever
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._fd = os.open(self.folder.events, flags, 0o600)
        if is_new:
            sync_folder(self.folder.root)
        self._settle()

    def _settle(self) -> None:
        """Find the end of the last whole event; put what is behind it aside."""
        size, self._last = last_whole(self._fd)
        torn = bytes_between(self._fd, size, os.fstat(self._fd).st_size)
        if torn:
            # On a full disk the torn half is not worth keeping.
            with contextlib.suppress(OSError), self._torn_file() as file:
                file.write(torn + b"\n")
            os.ftruncate(self._fd, size)
        self._settled = True

    def _torn_file(self) -> BinaryIO:
        path = self.folder.root / "events.torn"
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def write_error(path: Path, error: OSError) -> VidgenError:
    """What to tell a person when the disk did not take what was written."""
    if error.errno in NO_SPACE:
        return SetupError(
            "The disk is full: {path} cannot be written.",
            hint="Free some space (`vidgen clean` helps), then continue with `vidgen resume`.",
            code="history.disk_full",
            path=str(path),
        )
    return SetupError(
        "{path} cannot be written: {reason}.",
        hint="Check the folder and its permissions, or name another one in VIDGEN_HOME.",
        code="history.not_writable",
        path=str(path),
        reason=error.strerror or str(error),
    )


def line_of(envelope: Envelope) -> bytes:
    line = envelope.to_wire() + b"\n"
    if len(line) <= LINE_LIMIT:
        return line
    # Longer lines can be torn by a kill. What is too long for one is left out, and named.
    data = dict(envelope.data)
    sizes = {name: len(json_bytes(value)) for name, value in data.items()}
    left_out = [name for name, size in sizes.items() if size > LONGEST_VALUE]
    slim = {name: value for name, value in data.items() if name not in left_out}
    slim["message"] = str(data.get("message", ""))[:LONGEST_MESSAGE]
    return replace(envelope, data=slim | {"left_out": left_out}).to_wire() + b"\n"
