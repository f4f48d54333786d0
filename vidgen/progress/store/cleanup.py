"""Remove what is no longer worth its disk space: old runs, and work folders of finished ones."""

import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vidgen.errors import InputError
from vidgen.events import RESUMABLE, seconds_of
from vidgen.files import folder_size, size_of
from vidgen.paths import JOB_FILE, UPLOAD_FOLDER, Home, TaskFolder
from vidgen.progress.store.lock import Lock, LockHeld, is_held
from vidgen.progress.store.reader import has_ended
from vidgen.progress.store.runs import summarise, task_names

HOUR, DAY = 3600.0, 86400.0
LEAVING_SECONDS: Final = 5.0  # in which a process is gone whose run has ended
LOOK_SECONDS: Final = 0.05
EMPTY_SECONDS: Final = HOUR  # a folder without events this old was never begun


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What was removed: bytes freed, whole runs, work folders. `kept_resumable` runs could have
    given `resumable_bytes` more."""

    freed_bytes: int = 0
    runs: int = 0
    work_folders: int = 0
    kept_resumable: int = 0
    resumable_bytes: int = 0

    def __add__(self, other: "Cleanup") -> "Cleanup":
        return Cleanup(
            self.freed_bytes + other.freed_bytes,
            self.runs + other.runs,
            self.work_folders + other.work_folders,
            self.kept_resumable + other.kept_resumable,
            self.resumable_bytes + other.resumable_bytes,
        )


def clean(
    home: Home,
    keep_history_days: float,
    keep_work_hours: float,
    *,
    keep_resumable: bool = True,
    now: Callable[[], float] = time.time,
) -> Cleanup:
    """Remove runs older than `keep_history_days` and the work of runs that ended more than
    `keep_work_hours` ago. Runs that are being written are never touched, nor orders that wait for
    theirs, nor, unless told otherwise, the work that a resume would need."""
    total = Cleanup()
    for name in sorted(task_names(home)):
        folder = home.task(name)
        if _is_waiting(folder, now()):
            continue
        with ExitStack() as stack:
            try:
                # Held while we remove: a resume that starts now is told to wait.
                stack.enter_context(Lock(folder.lock))
            except (LockHeld, OSError):
                continue
            age = now() - _end_time(folder)
            total += _clean_one(folder, age, keep_history_days, keep_work_hours, keep_resumable)
    return total


def remove_runs(folders: Iterable[TaskFolder]) -> Cleanup:
    """Remove these runs whole, but for their films. Raises InputError when one is being made:
    then none is removed."""
    with ExitStack() as stack:
        roots = list(folders)
        for folder in roots:
            try:
                stack.enter_context(_lock_over(folder))
            except LockHeld as error:
                raise InputError(
                    "The run {task} is being made: nothing was removed.",
                    hint="End it first: vidgen cancel {task}",
                    code="history.rm_running",
                    task=folder.task_id[:8],
                ) from error
        return sum((_remove_run(folder) for folder in roots), start=Cleanup())


def _lock_over(folder: TaskFolder) -> Lock:
    """Its lock; waits for a process whose run is over, and which is only still leaving."""
    deadline = time.monotonic() + LEAVING_SECONDS
    while has_ended(folder) and is_held(folder.lock) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return Lock(folder.lock)


def _clean_one(
    folder: TaskFolder, age: float, days: float, hours: float, keep_resumable: bool
) -> Cleanup:
    summary = summarise(folder)
    if summary is None:
        return _remove_run(folder) if age > EMPTY_SECONDS else Cleanup()
    # We hold the run's lock, so it is not running: what looks so was killed.
    is_resumable = summary.state in RESUMABLE | {"running"} and folder.work.is_dir()
    if is_resumable and keep_resumable and age > min(days * DAY, hours * HOUR):
        return Cleanup(kept_resumable=1, resumable_bytes=folder_size(folder.work))
    if age > days * DAY:
        return _remove_run(folder)
    if age > hours * HOUR and folder.work.is_dir():
        return Cleanup(freed_bytes=_remove_tree(folder.work), work_folders=1)
    return Cleanup()


def _is_waiting(folder: TaskFolder, now: float) -> bool:
    """Whether an order waits here for its run, or is just arriving: it has no event yet."""
    if size_of(folder.events):
        return False
    if (folder.root / JOB_FILE).exists():
        return True
    upload = folder.root / UPLOAD_FOLDER
    return any(now - _mtime(file) < EMPTY_SECONDS for file in (upload, *upload.glob("*")))


def _mtime(file: Path) -> float:
    """When it was last written, seconds since 1970; 0 when it is not there."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _remove_run(folder: TaskFolder) -> Cleanup:
    return Cleanup(freed_bytes=_remove_tree(folder.root), runs=1)


def _end_time(folder: TaskFolder) -> float:
    """When it last did something, seconds since 1970."""
    summary = summarise(folder)
    if summary is not None:  # a clock may have been wrong: the file's own time counts as well
        return max(seconds_of(summary.last.timestamp), folder.events.stat().st_mtime)
    return folder.root.stat().st_mtime


def _remove_tree(folder: Path) -> int:
    """Bytes that were freed."""
    before = folder_size(folder)
    shutil.rmtree(folder, ignore_errors=True)  # what another program holds open stays
    return before - (folder_size(folder) if folder.exists() else 0)
