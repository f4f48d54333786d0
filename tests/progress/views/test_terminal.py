"""The live view in a real terminal: Ctrl-C, Ctrl-Z, resizes, a window that is closed."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.serving import wait_until
from vidgen.events import Envelope
from vidgen.progress.views.terminal import Terminal

pexpect = pytest.importorskip("pexpect", reason="Windows has no pseudo-terminals")
pyte = pytest.importorskip("pyte")

RUN = """
import sys, time
from vidgen.events import *
from vidgen.signals import graceful_interrupts
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.views.choose import open_views

mode, frames = sys.argv[1], int(sys.argv[2])
with graceful_interrupts(), open_views(mode, title="a.png + b.wav") as views:
    emit = Broadcast("550e8400-e29b-41d4-a716-446655440000", views)
    try:
        emit(StageStarted("initialized"))
        emit(StageEnded("initialized", 0.1, metadata={"voice_seconds": 4.0}))
        emit(StageStarted("rendering"))
        emit(Log("WARNING", "A warning that stays."))
        for frame in range(frames):
            time.sleep(0.02)
            emit(StageProgress("rendering", frame + 1, frames, "frames"))
        emit(StageEnded("rendering", 4.0))
        emit(Completed("/videos/out.mp4", 5.0))
    except KeyboardInterrupt:
        emit(RunCancelled("vidgen resume 550e8400"))
        sys.exit(130)
print("the result")
"""


class Window:
    """A program in a pseudo-terminal, and what its window shows."""

    def __init__(
        self,
        columns: int,
        lines: int,
        mode: str = "tty",
        frames: int = 60,
        *,
        program: list[str] | None = None,
        environ: dict[str, str] | None = None,
    ) -> None:
        """`program` is another one with its arguments; `environ` is the terminal's."""
        usual = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
        self.child = pexpect.spawn(
            sys.executable,
            ["-c", *(program or [RUN, mode, str(frames)])],
            dimensions=(lines, columns),
            env=usual | (environ or {}),
        )
        self.screen = pyte.HistoryScreen(columns, lines, history=500)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""

    def read(self, seconds: float = 0.0) -> None:
        """Take in what is written, until the end or for so long."""
        until = time.monotonic() + (seconds or 30)
        while time.monotonic() < until:
            try:
                block = self.child.read_nonblocking(65536, timeout=0.1)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                return
            self.raw += block
            self._stream.feed(block)

    def until(self, seen: Callable[[], bool]) -> None:
        for _ in range(150):
            if seen():
                return
            self.read(0.1)
        raise AssertionError("\n".join(self.shown()))

    def shown(self) -> list[str]:
        return [row.rstrip() for row in self.screen.display]

    def shows(self, text: str) -> Callable[[], bool]:
        return lambda: any(text in row for row in self.shown())

    @property
    def exit_code(self) -> int | None:
        self.child.close()
        return self.child.exitstatus  # type: ignore[no-any-return]  # pexpect has no types


@pytest.mark.parametrize(
    ("columns", "lines", "ending"),
    [
        (
            80,
            24,
            [
                "  ! A warning that stays.",
                "",
                "  vidgen  a.png + b.wav                                            run 550e8400",
                "",
                "  ✓ Drawing the frames                                                    4.0 s",
                "",
                "  ✓ Film  /videos/out.mp4",
                "    in 5.0 s · 1.2 × the voice's length",
                "the result",
            ],
        ),
        (
            40,
            10,
            [
                "! A warning that stays.",
                "✓ Film  /videos/out.mp4",
                "  in 5.0 s · 1.2 × the voice's length",
                "the result",
            ],
        ),
    ],
)
def test_a_whole_run_leaves_its_summary_and_a_clean_terminal(
    columns: int, lines: int, ending: list[str]
) -> None:
    window = Window(columns, lines)
    window.read()
    assert [row for row in window.shown() if row][-len([e for e in ending if e]) :] == [
        row for row in ending if row
    ]
    assert window.shown()[: len(ending)] == ending
    assert not window.screen.cursor.hidden
    assert not window.screen.history.top
    assert window.exit_code == 0


def test_letters_that_the_stream_does_not_have_take_one_cell() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", "backslashreplace")
    Terminal(stream).write("1.5 × é")
    stream.flush()
    assert stream.buffer.getvalue() == b"1.5 x ?"


def test_ctrl_c_ends_in_order_and_gives_the_cursor_back() -> None:
    window = Window(80, 24, frames=2000)
    window.until(window.shows("/2000 frames"))
    window.child.sendintr()
    window.read()
    shown = "\n".join(window.shown())
    assert "Cancelled · stopped at" in shown
    assert "vidgen resume" not in shown  # the command tells how to go on, after the view
    assert not window.screen.cursor.hidden
    assert window.raw.count(b"\x1b[?2026h") == window.raw.count(b"\x1b[?2026l")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_give_the_cursor_back_too(number: signal.Signals) -> None:
    window = Window(80, 24, frames=2000)
    window.until(window.shows("/2000 frames"))
    window.child.kill(number)
    window.read()
    assert not window.screen.cursor.hidden
    assert any("Cancelled" in row for row in window.shown())


def test_a_resize_in_the_middle_of_a_run() -> None:
    window = Window(80, 24, frames=2000)
    window.until(window.shows("/2000 frames"))
    window.screen.resize(lines=10, columns=40)
    window.child.setwinsize(10, 40)
    # Narrow, the picture has no unit behind the numbers.
    window.until(lambda: any(row.endswith("/2000") for row in window.shown()))
    window.read(0.5)
    rows = window.shown()
    assert sum("Drawing the frames" in row for row in rows) == 1
    assert all(len(row) < 40 for row in rows)
    window.child.sendintr()
    window.read()


JOB = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], "tty", "2000"], process_group=0)
import os, signal
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
os.tcsetpgrp(0, child.pid)
os.waitpid(child.pid, os.WUNTRACED)
os.tcsetpgrp(0, os.getpgrp())
print("STOPPED", flush=True)
input()
os.tcsetpgrp(0, child.pid)
os.kill(child.pid, signal.SIGCONT)
child.wait()
print("ENDED", flush=True)
"""


def test_ctrl_z_gives_the_terminal_back_and_fg_draws_again() -> None:
    """With a small shell between, as there always is."""
    window = Window.__new__(Window)
    environ = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
    window.child = pexpect.spawn(
        sys.executable, ["-c", JOB, RUN], dimensions=(24, 80), env=environ, echo=False
    )
    window.screen = pyte.HistoryScreen(80, 24, history=500)
    window._stream = pyte.ByteStream(window.screen)
    window.raw = b""
    window.until(window.shows("/2000 frames"))
    assert window.screen.cursor.hidden
    window.child.sendcontrol("z")
    window.until(window.shows("STOPPED"))
    assert not window.screen.cursor.hidden
    assert not window.shows("Drawing the frames")()
    window.child.sendline("")
    window.until(window.shows("/2000 frames"))
    assert window.screen.cursor.hidden
    window.child.sendintr()
    window.until(window.shows("ENDED"))
    assert not window.screen.cursor.hidden


def test_a_window_that_is_closed_leaves_no_process_behind() -> None:
    window = Window(80, 24, frames=2000)
    window.until(window.shows("/2000 frames"))
    os.close(window.child.child_fd)
    wait_until(lambda: not window.child.isalive())
    window.child.closed = True  # its descriptor is closed already


@pytest.mark.parametrize(
    ("mode", "environ"), [("auto", {}), ("plain", {}), ("auto", {"FORCE_COLOR": "1"})]
)
def test_a_pipe_gets_lines_without_escapes(mode: str, environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, mode, "5"],
        capture_output=True,
        env=os.environ | environ,
        check=True,
        timeout=60,
    )
    assert done.stdout == b"the result\n"
    assert b"\x1b" not in done.stderr
    assert b"\r" not in done.stderr
    said = done.stderr.decode().splitlines()
    assert said[-1].endswith("Done: /videos/out.mp4 (5.0 s)")


def test_rawjson_on_a_pipe_is_events_only() -> None:
    code = RUN.replace('print("the result")', "")
    done = subprocess.run(
        [sys.executable, "-c", code, "rawjson", "5"], capture_output=True, check=True, timeout=60
    )
    events = [Envelope.from_wire(line) for line in done.stdout.splitlines()]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].event_type == "complete"
    assert done.stderr == b""


def test_quiet_says_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, "quiet", "2"], capture_output=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == (b"the result\n", b"")


def test_the_first_picture_is_quick(tmp_path: Path) -> None:
    """From the program's start to the first picture on the screen, imports and all."""
    window = Window(80, 24, frames=2000)
    window.until(window.shows("Finding the speaker"))
    used = psutil.Process(window.child.pid).cpu_times()
    window.child.sendintr()
    window.read()
    assert used.user + used.system < 2.0  # seconds of the processor; 0.25 where nothing else runs
