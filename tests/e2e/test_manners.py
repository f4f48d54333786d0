"""The terminal is left as it was found, on every way out that leaves a moment to do so."""

import re
import signal
from pathlib import Path

import pytest

from tests.progress.views.test_terminal import Window

pexpect = pytest.importorskip("pexpect", reason="Windows has no pseudo-terminals")

RUN = """
import os, signal, sys, time
from vidgen.events import *
from vidgen.errors import RenderError
from vidgen.signals import graceful_interrupts
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.views.choose import open_views

def run(ending):
    with graceful_interrupts(), open_views("tty", title="a.png + b.wav", notify=True) as views:
        emit = Broadcast("550e8400-e29b-41d4-a716-446655440000", views)
        emit(StageStarted("initialized"))
        emit(StageStarted("rendering"))
        emit(StageProgress("rendering", 3, 10, "frames"))
        time.sleep(0.3)
        try:
            ending(emit)
        except KeyboardInterrupt:
            if "stubborn" in sys.argv:
                time.sleep(30)
            emit(RunCancelled("vidgen resume 550e8400"))
            raise

def complete(emit):
    emit(Completed("/v/out.mp4", 5.0))

def fail(emit):
    emit(Failed("No.", "x.y"))
    raise RenderError("No.", code="x.y")

def bug(emit):
    1 / 0

def leave(emit):
    sys.exit(3)

def wait(emit):
    os.write(1, b"WAITING")
    time.sleep(30)

run(globals()[sys.argv[1]])
"""

TASKBAR = re.compile(rb"\x1b\]9;4;(\d);(\d+)\x1b\\")
KNOWN = {"WT_SESSION": "8d4f", "TERM": "xterm-256color"}


class Program(Window):
    """The program above in a pseudo-terminal of this environment."""

    def __init__(self, *arguments: str, program: str = RUN, **environ: str) -> None:
        super().__init__(80, 24, program=[program, *arguments], environ=environ)


def assert_left_as_found(window: Window) -> None:
    assert not window.screen.cursor.hidden
    assert window.child.getecho()
    assert window.raw.rindex(b"\x1b[23;2t") > window.raw.rindex(b"\x1b]2;")
    assert window.raw.count(b"\x1b[22;2t") == window.raw.count(b"\x1b[23;2t")
    told = [(int(kind), int(percent)) for kind, percent in TASKBAR.findall(window.raw)]
    assert (1, 66) in told
    assert told[-1] == (0, 0)
    assert window.raw.rindex(b"\x1b[?2026l") > window.raw.rindex(b"\x1b[?2026h")


@pytest.mark.parametrize("ending", ["complete", "fail", "bug", "leave"])
def test_after_every_end_of_a_run(ending: str) -> None:
    window = Program(ending, **KNOWN)
    window.read()
    assert_left_as_found(window)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_after_every_signal_that_can_be_heard(name: str) -> None:
    window = Program("wait", **KNOWN)
    window.until(lambda: b"WAITING" in window.raw)
    assert not window.child.getecho()  # keys would stand in the picture
    window.child.kill(getattr(signal, name))
    window.read()
    assert_left_as_found(window)


def test_after_a_second_ctrl_c_that_leaves_at_once() -> None:
    window = Program("wait", "stubborn", **KNOWN)
    window.until(lambda: b"WAITING" in window.raw)
    window.child.sendintr()
    window.read(0.5)
    assert window.child.isalive()
    window.child.sendintr()
    window.read()
    assert_left_as_found(window)
    assert window.exit_code == 130


@pytest.mark.parametrize(
    "environ",
    [
        {"TERM": "xterm-256color"},
        {"TERM": "tmux-256color", "TMUX": "/tmp/t", "WT_SESSION": "8d4f"},
        {"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"},
    ],
)
def test_the_taskbar_is_left_alone_where_it_is_not_known(environ: dict[str, str]) -> None:
    window = Program("complete", **environ)
    window.read()
    assert b"]9;4" not in window.raw


@pytest.mark.parametrize(
    ("environ", "codes"),
    [
        ({"TERM": "xterm-256color"}, b"\a"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, b"\x1b]9;Done\x1b\\"),
        (
            {"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"},
            b"\x1b]777;notify;vidgen;Done\x1b\\",
        ),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "WezTerm", "TMUX": "/tmp/t"}, b"\a"),
    ],
)
def test_the_end_is_told_once_the_way_the_terminal_knows(
    environ: dict[str, str], codes: bytes
) -> None:
    window = Program("complete", **environ)
    window.read()
    assert window.raw.count(codes) == 1


def test_the_terminal_is_never_asked_anything() -> None:
    """Its answer would be read by nobody, or by the shell afterwards."""
    questions = re.compile(rb"\x1b\[\??[0-9;]*[cn]|\x1b\[(?:1[1-9]|2[01])t|\x1b\]1[01];\?|\x1bP\+q")
    for term in ("xterm-256color", "xterm-kitty", "foot"):
        window = Program("complete", TERM=term)
        window.read()
        assert questions.search(window.raw) is None


MISSING = """
from vidgen.cli import main
main(["--lang", "en", "history", "nosuchrun"])
"""


def test_an_error_is_broken_between_words(tmp_path: Path) -> None:
    window = Window(40, 10, program=[MISSING], environ={"VIDGEN_HOME": str(tmp_path)})
    window.read()
    assert [row for row in window.shown() if row] == [
        "vidgen: There is no run nosuchrun.",
        "        `vidgen history` lists the runs;",
        "        the first letters of an id are",
        "        enough.",
    ]


REPLAY = """
from datetime import UTC, datetime, timedelta
from vidgen.cli import main
from vidgen.events import *
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.store.log import TaskLog

home = Home.default()
with TaskLog(home.task("550e8400-e29b-41d4-a716-446655440000")) as log:
    now = [datetime.now(UTC)]
    emit = Broadcast("550e8400-e29b-41d4-a716-446655440000", [], log=log, now=lambda: now[0])
    emit(StageStarted("rendering"))
    emit(StageProgress("rendering", 3, 10, "frames"))
    now[0] += timedelta(seconds=9)
    emit(Completed("/v/out.mp4", 9.0))
main(["replay", "last"])
"""


def test_after_a_replay_that_is_told_to_stop(tmp_path: Path) -> None:
    window = Program(program=REPLAY, VIDGEN_HOME=str(tmp_path), **KNOWN)
    window.until(window.shows("3/10 frames"))
    window.child.kill(signal.SIGTERM)
    window.read()
    assert_left_as_found(window)
