"""A request to end reaches the run that listens, or nobody: no process of a stranger is touched."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import environment
from tests.support.disk import open_files
from tests.support.serving import Run, wait_until
from vidgen.events import Completed, StageStarted
from vidgen.paths import Home, TaskFolder
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.reporter import Reporter
from vidgen.progress.store.cancel import CancelWatch, request_cancel
from vidgen.progress.store.cleanup import remove_runs
from vidgen.progress.store.lock import Lock, LockHeld, is_held
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.runs import summarise

TASK = "11112222-0000-4000-8000-000000000000"
# A run of vidgen's own kind: under the lock, listening, ending in order.
LISTENER = """
import sys, time
from vidgen.events import RunCancelled, StageStarted
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.store.cancel import CancelWatch
from vidgen.progress.store.log import TaskLog
from vidgen.signals import graceful_interrupts
task = Home.default().task(sys.argv[1])
with graceful_interrupts(), TaskLog(task) as log:
    emit = Broadcast(task.task_id, log=log)
    emit(StageStarted("rendering"))
    try:
        with CancelWatch(task):
            time.sleep(60)
    except KeyboardInterrupt:
        emit(RunCancelled())
"""


@pytest.fixture
def folder(home: Home) -> TaskFolder:
    return home.task(TASK)


@pytest.fixture
def stranger() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has nothing to do with any run."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        assert process.poll() is None, "an innocent process was ended"
        process.kill()


def listener(home: Home) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", LISTENER, TASK], env=environment(home))
    wait_until(home.task(TASK).cancellable.exists)
    return process


def test_a_run_that_listens_ends_in_order(home: Home, folder: TaskFolder) -> None:
    with listener(home) as process:
        assert request_cancel(folder)
        assert process.wait(10) == 0
    found = summarise(folder)
    assert found is not None
    assert found.state == "cancelled"
    assert not folder.cancellable.exists()
    assert not request_cancel(folder)


def test_a_run_that_has_ended_is_not_asked_again(folder: TaskFolder) -> None:
    """Its process may take a moment to be gone."""
    with TaskLog(folder) as log:
        emit = Broadcast(TASK, [], log=log)
        emit(StageStarted("rendering"))
        folder.cancellable.touch()
        emit(Completed("film.mp4", 1.0))
        assert not request_cancel(folder)
    assert folder.cancellable.exists()


def test_a_run_that_has_ended_is_removed_when_its_process_is_gone(folder: TaskFolder) -> None:
    with TaskLog(folder) as log:
        Broadcast(TASK, [], log=log)(Completed("film.mp4", 1.0))
        removing = threading.Thread(target=remove_runs, args=([folder],))
        removing.start()
        assert folder.root.exists()
    removing.join(10)
    assert not folder.root.exists()


@pytest.mark.parametrize("state", ["dead", "being asked about"])
def test_the_number_in_a_dead_runs_lock_is_nobody(
    folder: TaskFolder, stranger: "subprocess.Popen[bytes]", state: str
) -> None:
    folder.root.mkdir()
    folder.lock.write_text(str(stranger.pid))
    folder.cancellable.touch()  # a killed run leaves this behind, too
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            is_held(folder.lock)

    asking = threading.Thread(target=ask)
    if state == "being asked about":
        asking.start()
    try:
        assert not any(request_cancel(folder) for _ in range(2000))
    finally:
        over.set()
        if asking.is_alive():
            asking.join()
    assert folder.cancellable.exists()


def test_a_strangers_number_in_a_living_lock_is_not_believed(
    home: Home, folder: TaskFolder, stranger: "subprocess.Popen[bytes]"
) -> None:
    """As when the run lives in another container: its number means somebody else here."""
    with listener(home) as process:
        folder.lock.write_text(str(stranger.pid))
        assert request_cancel(folder)
        assert process.wait(10) == 0


def test_the_program_of_a_reporter_is_not_ended(home: Home) -> None:
    with Reporter(home=home, task_id=TASK) as report:
        assert not request_cancel(home.task(TASK))
        report.progress(1, 2)
    found = summarise(home.task(TASK))
    assert found is not None
    assert found.state == "complete"


def test_a_program_that_uses_vidgen_is_not_ended(folder: TaskFolder) -> None:
    """Outside the command line nobody has said that a signal may end this process."""
    with TaskLog(folder), CancelWatch(folder):
        assert not request_cancel(folder)


def test_what_a_killed_run_left_does_not_cancel_the_next(home: Home, folder: TaskFolder) -> None:
    with listener(home) as process:
        process.kill()
    assert folder.cancellable.exists()
    with Reporter(home=home, task_id=TASK):
        assert not request_cancel(folder)


def test_asking_again_does_not_cut_the_last_words(home: Home, folder: TaskFolder) -> None:
    with listener(home) as process:
        asked = [request_cancel(folder) for _ in range(50)]
        assert process.wait(10) == 0
    assert asked.count(True) == 1
    found = summarise(folder)
    assert found is not None
    assert found.state == "cancelled"


def test_a_run_that_was_told_to_ignore_one_signal_is_cancelled(
    home: Home, folder: TaskFolder
) -> None:
    """nohup and `&` in scripts leave SIGHUP or SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = listener(home)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert request_cancel(folder)
        assert process.wait(10) == 0


def test_many_who_ask_are_no_holder(home: Home) -> None:
    run = Run(home)
    run.end()
    fds = [os.open(run.folder.lock, os.O_RDONLY) for _ in range(4)]
    over, seen = threading.Event(), []

    def ask() -> None:
        while not over.is_set():
            seen.append(is_held(run.folder.lock))

    threads = [threading.Thread(target=ask) for _ in fds]
    for thread in threads:
        thread.start()
    with Lock(run.folder.lock):  # and a writer still gets it
        pass
    over.set()
    for thread in threads:
        thread.join()
    for fd in fds:
        os.close(fd)
    assert seen
    assert run.folder.lock.read_text() == "", "the number must not outlive the holder"
    assert not is_held(run.folder.lock)


def test_a_lock_says_who_has_it_and_is_given_back(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    before = open_files()
    for _ in range(2):
        with Lock(file):
            assert file.read_text() == str(os.getpid())
            assert file.stat().st_mode & 0o777 == 0o600
            assert is_held(file)
            with pytest.raises(LockHeld) as caught, Lock(file):
                pass
            assert (caught.value.pid, caught.value.args) == (os.getpid(), (os.getpid(),))
            file.write_text("nobody's number")
            with pytest.raises(LockHeld) as caught, Lock(file):
                pass
            assert caught.value.pid == 0
        assert (file.read_text(), is_held(file)) == ("", False)
    assert not is_held(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    assert not is_held(tmp_path / "pipe")
    assert open_files() == before


def test_a_lock_is_no_childs(tmp_path: Path) -> None:
    with Lock(tmp_path / "lock") as lock:
        assert not os.get_inheritable(lock._fd)
