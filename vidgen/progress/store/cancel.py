"""Ask a run to end, and hear it: a file in the run's folder, and never a signal to a number.

A process number that stands in a file may be a stranger's by now: after a crash, a restart, in
another container. The file reaches the run that made it, or nobody.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

from vidgen.paths import TaskFolder
from vidgen.progress.store.lock import is_held
from vidgen.progress.store.reader import has_ended
from vidgen.signals import can_be_asked, interrupt

LOOK_SECONDS: Final = 0.25


def request_cancel(folder: TaskFolder) -> bool:
    """Ask the run to end; False when it is over, or does not listen (a `Reporter`'s)."""
    if not is_held(folder.lock) or has_ended(folder):
        return False
    try:
        os.unlink(folder.cancellable)  # noqa: PTH108  # of a full disk, too, nothing is asked
    except OSError:
        return False
    return True


class CancelWatch:
    """While its `with` lasts, a request ends this program as the first Ctrl-C would.

    Held by the run's one writer. Where signals have their usual meaning (vidgen as a library in
    somebody's program) it does nothing: that program is not ours to end.
    """

    def __init__(
        self,
        folder: TaskFolder,
        end: Callable[[], None] = interrupt,
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._file = folder.cancellable
        self._end = end
        self._look_seconds = look_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="cancel-watch", daemon=True)

    def __enter__(self) -> "CancelWatch":
        if can_be_asked():
            self._file.touch(0o600)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
            with contextlib.suppress(OSError):
                self._file.unlink(missing_ok=True)

    def _look(self) -> None:
        while not self._over.wait(self._look_seconds):
            try:
                os.stat(self._file)  # noqa: PTH116  # Path.exists hides what went wrong
            except FileNotFoundError:
                self._end()
                return
            except OSError:
                continue  # a network disk that is away asks for nothing
