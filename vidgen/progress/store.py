"""The store of runs (DESIGN §4): the log of each, written so that no acknowledged event is ever
lost, and read again; and the list of them all. Knows no screen and no network.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import orjson

from vidgen.errors import InputError, SetupError, VidgenError
from vidgen.events import DURABLE, END_STATES, Envelope, State
from vidgen.files import NO_SPACE, sync_folder
from vidgen.paths import Home, TaskFolder
from vidgen.progress.lines import bytes_between, last_whole, line_of, parse_line
from vidgen.progress.lock import Lock, LockHeld, is_held

SYNC_SECONDS: Final = 1.0  # how old an ordinary event may get before it is on the disk itself
POLL_SECONDS: Final = 0.05
TAIL_BYTES: Final = 4096  # holds nearly every last event; a longer one costs a second read
HEAD_BYTES: Final = 512  # holds the first event's time
_READING: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_sync = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have only fsync


class TaskLog:
    """The one writer of a run's `events.jsonl`; a sink, held in a `with`.

    One `os.write` per event on an `O_APPEND` descriptor, so that a process killed at any moment
    leaves whole lines. Stage ends and terminal events are on the disk before the call returns;
    others follow within a second from a thread of their own. Opening an old log moves a torn tail
    to `events.torn` and goes on behind it. Raises InputError when somebody else writes it,
    SetupError when the disk is full or refuses.
    """

    def __init__(self, folder: TaskFolder) -> None:
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
            self.folder.root.mkdir(parents=True, exist_ok=True)
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
            _sync(self._fd)
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
            _sync(self._fd)
        except OSError as error:
            # The kernel may have dropped the pages: asking again would only pretend.
            self._broken = error
            raise write_error(self.folder.events, error) from error

    def _sync_loop(self) -> None:
        while not self._closing.wait(SYNC_SECONDS):
            self._unsynced.wait()
            self._unsynced.clear()
            if self._closing.is_set():
                return
            try:
                _sync(self._fd)
            except OSError as error:
                self._broken = error
                return

    def _open(self) -> None:
        is_new = not self.folder.events.exists()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._fd = os.open(self.folder.events, flags, 0o644)
        if is_new:
            sync_folder(self.folder.root)
        self._settle()

    def _settle(self) -> None:
        """Find the end of the last whole event; put what is behind it aside."""
        size, self._last = last_whole(self._fd)
        torn = bytes_between(self._fd, size, os.fstat(self._fd).st_size)
        if torn:
            # On a full disk the torn half is not worth keeping.
            with contextlib.suppress(OSError), (self.folder.root / "events.torn").open("ab") as f:
                f.write(torn + b"\n")
            os.ftruncate(self._fd, size)
        self._settled = True


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


def iter_events(path: Path, after: int = 0) -> Iterator[Envelope]:
    """The stored events with `seq` > `after`, in order. A torn or broken line is passed over."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
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
    with folder.events.open("rb") as file:
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
    """Whether a living process writes this run."""
    return is_held(folder.lock)


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in short, from both ends of its log. Times are RFC 3339, UTC."""

    root: str  # the run's folder; 10,000 Paths would cost more than reading the logs
    state: State
    began: str
    last: Envelope

    @property
    def folder(self) -> TaskFolder:
        return TaskFolder(Path(self.root))

    @property
    def task_id(self) -> str:
        return os.path.basename(self.root)  # noqa: PTH119  # see above

    @property
    def stage(self) -> str:
        """The stage it is in, or ended in."""
        data = self.last.data
        return str(data.get("failed_stage") or data.get("cancelled_stage") or data.get("stage", ""))

    @property
    def progress(self) -> float:
        return percent(self.last)

    def request(self) -> Mapping[str, Any]:
        """What was asked (request.json); {} when it cannot be read."""
        try:
            value = orjson.loads(self.folder.request.read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}


def list_runs(home: Home) -> list[Summary]:
    """Every run that has at least one event, newest first."""
    tasks = str(home.tasks)
    found = (_summary(f"{tasks}{os.sep}{name}") for name in _names(home))
    return sorted((s for s in found if s), key=lambda s: (s.began, s.root), reverse=True)


def find_run(home: Home, prefix: str) -> TaskFolder:
    """The one run whose id begins with `prefix`; "last" is the newest.

    Raises InputError when there is none, or several.
    """
    if prefix == "last":
        newest = list_runs(home)
        names = [newest[0].task_id] if newest else []
    else:
        names = sorted(name for name in _names(home) if prefix and name.startswith(prefix))
    if prefix in names:
        names = [prefix]
    if not names:
        raise InputError(
            "There is no run {task}.",
            hint="`vidgen history` lists the runs; the first letters of an id are enough.",
            code="history.unknown",
            task=prefix,
        )
    if len(names) > 1:
        shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        raise InputError(
            "{count} runs begin with {task}: {names}.",
            hint="Write more letters of the id.",
            code="history.ambiguous",
            count=len(names),
            task=prefix,
            names=shown,
        )
    return home.task(names[0])


def summarise(folder: TaskFolder) -> Summary | None:
    """One run in short; None when its log holds no event."""
    return _summary(str(folder.root))


def _summary(root: str) -> Summary | None:
    try:
        fd = os.open(f"{root}{os.sep}events.jsonl", _READING)
    except OSError:
        return None
    try:
        head = os.read(fd, HEAD_BYTES)
        _, last = last_whole(fd, TAIL_BYTES)
    finally:
        os.close(fd)
    if last is None:
        return None
    state = END_STATES.get(last.event_type)
    if state is None:
        state = "running" if is_running(TaskFolder(Path(root))) else "interrupted"
    return Summary(root, state, _time_in(head) or last.timestamp, last)


def percent(event: Envelope) -> float:
    """The run's percentage in an event; -1 in a failure."""
    value = event.data.get("progress")
    return float(value) if isinstance(value, int | float) else 0.0


def _names(home: Home) -> list[str]:
    try:
        return os.listdir(home.tasks)  # noqa: PTH208  # iterdir makes 10,000 Paths for it
    except (FileNotFoundError, NotADirectoryError):
        return []


def _time_in(head: bytes) -> str:
    """The first event's time, without parsing the whole of it."""
    _, found, rest = head.partition(b'"timestamp":"')
    return rest.partition(b'"')[0].decode("ascii", "replace") if found else ""
