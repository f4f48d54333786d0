"""What a terminal can do, the escape codes for it, and leaving it as it was found.

Knows nothing of runs. Whatever the terminal does (closing, blocking, refusing), writing to it
never raises: it is then `gone`, and the work goes on.
"""

import atexit
import contextlib
import os
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TextIO

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style

from vidgen import signals

ESC: Final = "\x1b"
HIDE_CURSOR, SHOW_CURSOR = f"{ESC}[?25l", f"{ESC}[?25h"
BEGIN_FRAME, END_FRAME = f"{ESC}[?2026h", f"{ESC}[?2026l"  # shown at once, without flicker
CLEAR_BELOW, CLEAR_RIGHT = f"{ESC}[J", f"{ESC}[K"
KEEP_TITLE, OLD_TITLE = f"{ESC}[22;2t", f"{ESC}[23;2t"
NO_TASKBAR: Final = f"{ESC}]9;4;0;0{ESC}\\"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What may be sent. `colours` is None for a terminal in one colour."""

    colours: ColorSystem | None
    unicode: bool
    links: bool
    title: bool
    taskbar: bool


def abilities(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Abilities:
    """Judged by the environment alone: asking the terminal itself would swallow typed keys."""
    term = environ.get("TERM", "").lower()
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
    is_plain = term in ("linux", "dumb", "unknown", "") and sys.platform != "win32"
    return Abilities(
        colours=_colours(stream, environ),
        unicode=encoding.startswith("utf") and term != "linux",
        links=not is_plain,
        title=not is_plain,
        taskbar=knows_taskbar(environ),
    )


def _colours(stream: TextIO, environ: Mapping[str, str]) -> ColorSystem | None:
    # Rich knows NO_COLOR, COLORTERM, TERM and Windows; its answer is all that is wanted.
    console = Console(file=stream, force_terminal=True, _environ=environ)
    if console.no_color or console.color_system is None:
        return None
    return {
        "standard": ColorSystem.STANDARD,
        "256": ColorSystem.EIGHT_BIT,
        "truecolor": ColorSystem.TRUECOLOR,
        "windows": ColorSystem.WINDOWS,
    }[console.color_system]


@lru_cache(maxsize=512)
def apply_style(text: str, style: str, colours: ColorSystem | None) -> str:
    """The text in a style like "bold cyan"; without colours bold and dim are left."""
    if not style or not text:
        return text
    parsed = Style.parse(style)
    if colours is None:
        return parsed.without_color.render(text, color_system=ColorSystem.STANDARD)
    return parsed.render(text, color_system=colours)


def knows_taskbar(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether OSC 9;4 is known to be understood; elsewhere it may pop up as a notification.

    The list is that of the `anstyle-progress` crate, which cargo uses.
    """
    if environ.get("TMUX") or environ.get("STY"):
        return False
    if environ.get("WT_SESSION") or environ.get("ConEmuANSI") == "ON":
        return True
    if environ.get("TERM_PROGRAM") in ("WezTerm", "ghostty"):
        return True
    if "P" in environ.get("TERM_FEATURES", ""):  # iTerm2 from 3.6.6 names it so
        return environ.get("TERM_PROGRAM") == "iTerm.app"
    major = environ.get("PTYXIS_VERSION", "").split(".")[0]
    return major.isdigit() and int(major) >= 48


def taskbar(percent: float) -> str:
    return f"{ESC}]9;4;1;{min(100, max(0, round(percent)))}{ESC}\\"


def title(text: str) -> str:
    return f"{ESC}]2;{text}{ESC}\\"


def link(text: str, uri: str) -> str:
    return f"{ESC}]8;;{uri}{ESC}\\{text}{ESC}]8;;{ESC}\\"


def notification(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """A desktop notification where the terminal has one, else its bell."""
    program, term = environ.get("TERM_PROGRAM", ""), environ.get("TERM", "")
    if environ.get("TMUX") or environ.get("STY"):
        return "\a"
    if program == "iTerm.app":
        return f"{ESC}]9;{text}{ESC}\\"
    if term == "xterm-kitty":
        return f"{ESC}]99;;{text}{ESC}\\"
    if program in ("WezTerm", "ghostty") or term.startswith("foot"):
        return f"{ESC}]777;notify;vidgen;{text}{ESC}\\"
    return "\a"


class Terminal:
    """A stream to a terminal. `restore` is written once, on whatever way out comes first."""

    def __init__(self, stream: TextIO, size: Callable[[], tuple[int, int]] | None = None) -> None:
        self._stream = stream
        self._size = size
        self._restore = ""
        self._keys: signals.Keys | None = None
        self.is_gone = False

    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        if self._size:
            return self._size()
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(self._stream.fileno())
            if size.columns and size.lines:
                return size.columns, size.lines
        return 80, 24

    def cell(self) -> tuple[int, int] | None:
        """A cell's width and height in pixels where the system knows them; asks no terminal."""
        try:
            import fcntl
            import termios

            window = fcntl.ioctl(self._stream.fileno(), termios.TIOCGWINSZ, bytes(8))
        except (ImportError, OSError, ValueError, AttributeError):
            return None
        lines, columns, width, height = struct.unpack("4H", window)
        return (width // columns, height // lines) if min(lines, columns, width, height) else None

    def is_ours(self) -> bool:
        """Whether we are in the foreground: a job sent to the background must not draw."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, ValueError, AttributeError):
            return True  # no job control here

    def write(self, text: str) -> None:
        if self.is_gone:
            return
        try:
            self._stream.write(self._transliterate(text))
            self._stream.flush()
        except (OSError, ValueError):
            self.is_gone = True

    def _transliterate(self, text: str) -> str:
        """In letters that the stream has: the usual codes for others would break the lines."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        if text.isascii() or encoding.lower().startswith("utf"):
            return text
        return text.replace("×", "x").encode(encoding, "replace").decode(encoding)

    def change(self, codes: str, restore: str) -> None:
        """Send codes that alter the terminal, and promise what undoes them.

        Until then typed keys are not shown: they would stand in the middle of what is drawn.
        """
        self._restore = restore
        self._keys = self._keys or self._mute_keys()
        atexit.register(self.undo)
        signals.parting_words(restore, self._keys)
        self.write(codes)

    def undo(self) -> None:
        codes, self._restore = self._restore, ""
        keys, self._keys = self._keys, None
        atexit.unregister(self.undo)
        signals.parting_words("")
        if codes:
            self.write(codes)
        if keys and self.is_ours():
            signals.show_keys(self._stream.fileno(), keys)

    def _mute_keys(self) -> signals.Keys | None:
        """The terminal's settings as they were; None where there are none, or they are others'."""
        try:
            import termios

            if not self.is_ours():
                return None
            number = self._stream.fileno()
            before = termios.tcgetattr(number)
            silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
            termios.tcsetattr(number, termios.TCSANOW, silent)
        except (ImportError, OSError, ValueError, AttributeError, termios.error):
            return None
        return before
