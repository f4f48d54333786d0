"""Ctrl-C, SIGTERM and a closed terminal end a run in order; a second time they end it at once."""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from vidgen.errors import Cancelled

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

EXIT_CODE: Final = 130
Keys = list[Any]  # a terminal's settings, as termios has them
SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_END_FRAME: Final = "\x1b[?2026l"

_parting = ""
_keys: Keys | None = None
_has_come = False
_heard: tuple[int, ...] = ()  # the signals that end a run in order, as long as `orderly` lasts


def has_signal() -> bool:
    """Whether a signal asked this program to end, since the last `graceful_interrupts` began."""
    return _has_come


def is_cancel(error: BaseException) -> bool:
    """Whether `error` ends the run because somebody wanted it to.

    Extension modules make what they like of a Ctrl-C that strikes inside them (pybind11 a
    RuntimeError), so whatever is raised after a signal came counts.
    """
    return isinstance(error, KeyboardInterrupt | Cancelled) or has_signal()


def parting_words(codes: str, keys: Keys | None = None) -> None:
    """What gives the terminal back when the program is left at once; empty when nothing must."""
    global _parting, _keys  # one terminal, and a signal handler has no arguments
    _parting, _keys = codes, keys


def show_keys(terminal: int, keys: Keys) -> None:
    """Give a terminal the settings that it had."""
    import termios

    with suppress(termios.error):
        termios.tcsetattr(terminal, termios.TCSANOW, keys)


def can_be_asked() -> bool:
    """Whether `interrupt` would end this program in order."""
    return bool(_heard)


def interrupt() -> None:
    """What a first Ctrl-C does, from any thread."""
    if not _heard or has_signal():
        return
    if hasattr(signal, "pthread_kill"):  # wakes a main thread that waits for the system, too
        signal.pthread_kill(threading.main_thread().ident or 0, _heard[0])
    else:
        _thread.interrupt_main(signal.Signals(_heard[0]))


@contextmanager
def graceful_interrupts() -> Iterator[None]:
    """Turn the first signal into KeyboardInterrupt, so that everything in a `with` is closed.

    The second, or Ctrl-\\, leaves at once, with the terminal as it was found. A signal that was
    ignored when the program began stays so: `nohup` and a script's `&` mean it. Outside the main
    thread, where Python allows no handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _mark(False)

    def handle(_number: int, _frame: FrameType | None) -> None:
        if has_signal():
            _leave()
        _mark(True)
        raise KeyboardInterrupt

    before: dict[int, Any] = {
        number: signal.signal(number, handle) for number in SIGNALS if not is_ignored(number)
    }
    if hasattr(signal, "SIGQUIT") and not is_ignored(signal.SIGQUIT):
        before[signal.SIGQUIT] = signal.signal(signal.SIGQUIT, _quit)
    _listen(tuple(number for number in SIGNALS if number in before))
    try:
        yield
    finally:
        _listen(())
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(signals: tuple[int, ...]) -> None:
    global _heard  # noqa: PLW0603  # handlers are the whole program's
    _heard = signals


@contextmanager
def thread_pool(count: int, name: str) -> "Iterator[ThreadPoolExecutor]":
    """Threads that are waited for at the end; not so after a signal, when the program leaves."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(count, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=not has_signal(), cancel_futures=True)


def is_ignored(number: int) -> bool:
    """Whether the program does not hear this signal, as its parent wished."""
    return signal.getsignal(number) == signal.SIG_IGN


def _mark(has_come: bool) -> None:
    global _has_come  # noqa: PLW0603  # a signal is the whole program's
    _has_come = has_come


def _leave() -> None:
    """The store is safe at every moment, so leaving costs nothing that was told as done."""
    _part()
    os._exit(EXIT_CODE)


def _quit(number: int, _frame: FrameType | None) -> None:
    """Ctrl-\\ keeps its meaning, a core dump where those are on."""
    _part()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _part() -> None:
    """Past every stream: a drawing thread may hold its lock, or be blocked in it."""
    if _parting and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), f"{_END_FRAME}{_parting}\r\n".encode())
        if _keys:
            show_keys(sys.stderr.fileno(), _keys)
