"""One holder of a file at a time, across processes; freed by the system when the holder dies.

flock on Unix, msvcrt on Windows. Says who holds it; what it guards is others' business.
"""

import contextlib
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final

# A reader that asks "does anybody hold it?" holds it itself for some microseconds.
PATIENCE_SECONDS: Final = 0.25
# Not into child processes; and a pipe that was put in the place must not hold up who opens it.
_SAFELY: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_FAR: Final = 1 << 30  # Windows locks bytes; these lie behind the holder's name


class LockHeld(Exception):  # noqa: N818  # a fact about another process, turned into a sentence above
    """Somebody else holds the lock; `pid` is who, 0 when they left no name."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.pid = pid


class Lock:
    """A context manager: raises Held when somebody else has it for longer than a moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> "Lock":
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o600)
        patient_until = time.monotonic() + PATIENCE_SECONDS
        while not _take(fd):
            if time.monotonic() > patient_until:
                pid = _pid_in(fd)
                os.close(fd)
                raise LockHeld(pid)
            time.sleep(0.01)
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
        self._fd = fd
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # a number that stays behind may be a stranger's later
            os.ftruncate(self._fd, 0)
        os.close(self._fd)  # closing gives the lock back


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock. A missing or unreadable file is held by nobody.

    Asks for a share, so that those who ask at the same time never take each other for the holder,
    and needs no right to write: a server may read a store that is not its own.
    """
    try:
        fd = os.open(path, os.O_RDONLY | _SAFELY)
    except OSError:
        return False
    try:
        return not _take_share(fd)
    finally:
        os.close(fd)


def _pid_in(fd: int) -> int:
    os.lseek(fd, 0, os.SEEK_SET)
    text = os.read(fd, 32)
    return int(text) if text.isdigit() else 0


if sys.platform == "win32":
    import msvcrt

    def _take(fd: int) -> bool:
        os.lseek(fd, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
        return True

    _take_share = _take
else:
    import fcntl

    def _take(fd: int) -> bool:
        return _flock(fd, fcntl.LOCK_EX)

    def _take_share(fd: int) -> bool:
        return _flock(fd, fcntl.LOCK_SH)

    def _flock(fd: int, kind: int) -> bool:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
