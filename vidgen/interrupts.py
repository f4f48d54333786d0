"""Ctrl-C, SIGTERM and a closed terminal end a run in order; a second time they end it at once."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

EXIT_CODE: Final = 130
SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_SHOW_CURSOR: Final = b"\x1b[?25h\x1b[?2026l\r\n"


@contextmanager
def orderly() -> Iterator[None]:
    """Turn the first signal into KeyboardInterrupt, so that everything in a `with` is closed.

    The second leaves at once, with the terminal's cursor back. Outside the main thread, where
    Python allows no handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        if came:
            _leave()
        came = True
        raise KeyboardInterrupt

    before: dict[int, Any] = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave() -> None:
    """The store is safe at every moment, so leaving costs nothing that was told as done."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(EXIT_CODE)
