"""The live view: a run drawn in place in a terminal, from its events alone.

What to draw is the layout's business, what the terminal understands is `terminal`'s. The cursor
rests on the picture's first cell: whatever the window does to the lines below, that cell stays
the beginning, so a resize needs no guessing and scrolls nothing.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, TextIO

from vidgen.events import Envelope
from vidgen.messages import harmless
from vidgen.progress.snapshot import POSITION
from vidgen.progress.views import images
from vidgen.progress.views import terminal as codes
from vidgen.progress.views.layout import (
    ASCII,
    COLOURLESS,
    UNICODE,
    Viewport,
    lay_out,
    preview_link,
)
from vidgen.progress.views.state import RunState
from vidgen.progress.views.summary import ROOM_BESIDE, beside, message, summary
from vidgen.progress.views.terminal import Abilities, Terminal, abilities
from vidgen.progress.views.text import Line, Span, doing, stage_name

FRAME_SECONDS: Final = 0.1  # at most ten pictures a second
REST_SECONDS: Final = 0.5  # the clock on the screen goes on when nothing happens
LEAVE_SECONDS: Final = 1.0  # a terminal that blocks must not keep the run from ending
LEAST_HEIGHT_FOR_NOTES: Final = 16  # below, only warnings and errors are worth the lines
LEAST_PICTURE: Final = 6  # rows; a face is not recognised in fewer
MOST_PICTURE: Final = 14  # rows


class Live:
    """A sink and a context manager; the first picture is there when `with` is entered.

    `title` names the inputs. `says_errors` when nobody else tells the run's error (`watch`,
    `replay`). `preview` is one of images.CHOICES. `clock` may run fast, for replays. The view never
    raises because of its terminal.
    """

    def __init__(
        self,
        stream: TextIO,
        language: str = "en",
        *,
        title: str = "",
        says_errors: bool = False,
        notify: bool = False,
        preview: str = "link",
        environ: Mapping[str, str] = os.environ,
        can: Abilities | None = None,
        size: Callable[[], tuple[int, int]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        leave_seconds: float = LEAVE_SECONDS,
    ) -> None:
        self._leave_seconds = leave_seconds
        self._terminal = Terminal(stream, size)
        self._can = can or abilities(stream, environ)
        self._cell = self._terminal.cell()
        self._way = images.choose_protocol(preview, self._can, self._cell, environ)
        self._ignores_previews = preview == "off"
        self._language, self._title = language, title
        self._says_errors, self._notify = says_errors, notify
        self._clock = clock
        self._state = RunState(clock)
        self._untold: list[Envelope] = []
        self._lock = threading.Lock()  # guards the state and what is untold
        self._wake, self._closing = threading.Event(), threading.Event()
        self._suspend = threading.Event()
        self._shown: list[str] = []
        self._shown_size = (0, 0)
        self._dressed = (-1, "")
        self._thread = threading.Thread(target=self._go, name="live-view", daemon=True)
        self._trouble: Exception | None = None
        self._catches = False

    def __enter__(self) -> "Live":
        self._begin()
        self._frame()
        self._catch_suspension()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._wake.set()
        self._thread.join(self._leave_seconds)
        self._release_suspension()
        if not self._thread.is_alive() and not self._trouble:
            self._last_frame()
        self._terminal.undo()

    def __call__(self, envelope: Envelope) -> None:
        if self._trouble:
            raise self._trouble
        is_preview = envelope.event_type == "preview"
        if is_preview and self._ignores_previews:
            return
        with self._lock:
            if not (is_preview and self._way):
                self._state.take(envelope)
            if envelope.event_type == "log" or (is_preview and self._way):
                self._untold.append(envelope)
        self._wake.set()

    def retitle(self, title: str) -> None:
        """Name the run's inputs, of which nobody knew when the view was opened."""
        self._title = title

    def interrupt(self) -> None:
        """Tell that the run's writer is gone without a terminal event."""
        with self._lock:
            self._state.interrupt()
        self._wake.set()

    def _go(self) -> None:
        try:
            while not self._closing.is_set():
                self._wake.wait(REST_SECONDS)
                self._wake.clear()
                if self._suspend.is_set():
                    self._stand_still()
                if self._terminal.is_ours():
                    self._frame()
                self._closing.wait(FRAME_SECONDS)
        except Exception as error:  # a bug in drawing; whoever sends the next event hears of it
            self._trouble = error
            self._terminal.undo()

    def _begin(self) -> None:
        title = codes.KEEP_TITLE if self._can.title else ""
        restore = codes.SHOW_CURSOR + (codes.OLD_TITLE if self._can.title else "")
        restore += codes.NO_TASKBAR if self._can.taskbar else ""
        self._terminal.change(codes.HIDE_CURSOR + title, restore)

    def _page(self) -> Viewport:
        glyphs = (UNICODE if self._can.colours else COLOURLESS) if self._can.unicode else ASCII
        return Viewport(*self._terminal.size(), glyphs, self._language, self._title)

    def _frame(self) -> None:
        """Draw what changed since the last picture."""
        page = self._page()
        with self._lock:
            untold, self._untold = self._untold, []
            lines = lay_out(self._state, page, self._clock())
            percent, stage = self._state.percent, self._state.running
        self._paint(self._rows_above(untold, page, len(lines)), lines, page, park=True)
        self._dress(percent, doing(stage.progress or stage.data, self._language) if stage else "")

    def _last_frame(self) -> None:
        page = self._page()
        with self._lock:
            untold, self._untold = self._untold, []
            lines = summary(self._state, page, says_errors=self._says_errors)
            end = self._state.end
        self._paint(self._rows_above(untold, page, len(lines)), lines, page, park=False)
        if self._notify and end is not None:
            text = stage_name(
                "failed" if end.event_type == "error" else end.event_type, self._language
            )
            self._terminal.write(codes.notification(text))

    def _rows_above(self, untold: list[Envelope], page: Viewport, taken: int) -> list[str]:
        """Rows that stay above the picture of the run, which takes `taken` rows."""
        rows: list[str] = []
        for event in untold:
            if event.event_type == "preview":
                rows += self._picture(event.data, page, page.height - 3 - taken)
            elif _is_worth_telling(event.data, page):
                rows += [self._render(line) for line in message(event.data, page)]
        return rows

    def _picture(self, data: Mapping[str, Any], page: Viewport, room: int) -> list[str]:
        """A preview in at most `room` rows; its link where it cannot be shown."""
        if not page.is_roomy:
            return []
        image = None
        if self._way and room >= LEAST_PICTURE:
            most = (page.inner - page.margin - ROOM_BESIDE, min(room, MOST_PICTURE))
            path = Path(str(data.get("path", "")))
            image = images.inline_image(path, self._way, most, self._cell, self._can.colours)
        if image is None:
            return [self._render(preview_link(data, page))]
        lines = [self._render(line) for line in beside(data, page)]
        rows = [
            " " * page.margin + row + (f"  {words}" if words else "")
            for row, words in zip_longest(image.rows, lines[: len(image.rows)], fillvalue="")
        ]
        return ["", *rows[:-1], rows[-1] + image.overlay(page.margin)]

    def _paint(self, above: list[str], lines: list[Line], page: Viewport, *, park: bool) -> None:
        size = (page.width, page.height)
        rows = [self._render(line) for line in lines]
        old = self._shown
        fresh = bool(above) or size != self._shown_size or len(rows) < len(old) or not park
        if not fresh and rows == old:
            return
        out = [codes.BEGIN_FRAME]
        if fresh:
            # Line by line: clearing a whole screen at once makes tmux keep a copy of it.
            out.append("\n".join(row + codes.CLEAR_RIGHT for row in [*above, *rows]))
            out.append(codes.CLEAR_BELOW)
        else:
            news = zip_longest(rows, old)
            out.append(
                "\n".join("" if row == was else row + codes.CLEAR_RIGHT for row, was in news)
            )
        up = f"{codes.ESC}[{len(rows) - 1}A" if len(rows) > 1 else ""
        out += [("\r" + up) if park else "\n", codes.END_FRAME]
        self._shown, self._shown_size = rows, size
        self._terminal.write("".join(out))

    def _render(self, line: Line) -> str:
        return "".join(self._style(span) for span in line)

    def _style(self, span: Span) -> str:
        text = codes.apply_style(span.text, span.style, self._can.colours)
        return codes.link(text, span.link) if span.link and self._can.links else text

    def _dress(self, percent: float, stage: str) -> None:
        """The window's title and the taskbar, when they changed."""
        whole = int(percent)
        if (whole, stage) == self._dressed:
            return
        self._dressed = (whole, stage)
        if self._can.title:
            text = f"{whole} % {stage}".rstrip() if stage else self._title
            self._terminal.write(codes.title(harmless(f"{text} - vidgen" if text else "vidgen")))
        if self._can.taskbar:
            self._terminal.write(codes.taskbar(percent))

    def _stand_still(self) -> None:
        """Ctrl-Z: give the terminal back, stop, and draw anew when we are continued."""
        self._suspend.clear()
        self._terminal.write(codes.CLEAR_BELOW)
        self._terminal.undo()
        # To this very thread: sent to the process, it would let this thread draw a little more.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        while not self._terminal.is_ours():  # `bg`: the terminal is the shell's
            if self._closing.wait(REST_SECONDS):
                return
        self._begin()
        self._shown, self._shown_size = [], (0, 0)

    def _catch_suspension(self) -> None:
        """Ctrl-Z must not leave a hidden cursor. Only the main thread may ask for signals."""
        if (
            not hasattr(signal, "SIGTSTP")
            or threading.current_thread() is not threading.main_thread()
            or signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL
            or os.getsid(0) == os.getpid()  # nobody could continue us
        ):
            return
        signal.signal(signal.SIGTSTP, self._on_suspend)
        self._catches = True

    def _on_suspend(self, *_: object) -> None:
        self._suspend.set()
        self._wake.set()

    def _release_suspension(self) -> None:
        if self._catches:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            self._catches = False


def _is_worth_telling(data: Mapping[str, Any], page: Viewport) -> bool:
    """The place in the queue stands in the picture; small windows keep their rows for warnings."""
    is_note = data.get("level") == "INFO"
    return data.get("message_code") != POSITION and not (
        is_note and page.height < LEAST_HEIGHT_FOR_NOTES
    )
