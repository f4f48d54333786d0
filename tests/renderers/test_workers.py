"""Worker processes: started early, fed in order, ended with their parent however it ends."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from vidgen.pipeline import WORKER_MODULES
from vidgen.renderers.workers import Say, SpareProcess, Workers


@dataclass(frozen=True)
class Double:
    """Says twice what is shared, times its own number, and which process says it."""

    number: int

    def __call__(self, shared: Any, say: Say) -> None:
        say((os.getpid(), 2 * shared * self.number))


@dataclass(frozen=True)
class Sleep:
    """Leaves its process's number in a file and sleeps."""

    folder: Path

    def __call__(self, shared: Any, say: Say) -> None:
        (self.folder / str(os.getpid())).touch()
        time.sleep(60)


@dataclass(frozen=True)
class TellModules:
    """Says which of the libraries that draw and encode are loaded, and OpenCV's threads."""

    def __call__(self, shared: Any, say: Say) -> None:
        say((sorted({"av", "cv2"} & set(sys.modules)), sys.modules["cv2"].getNumThreads()))


class Unsendable(Exception):  # noqa: N818
    """Cannot be made of its own arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one + two)


@dataclass(frozen=True)
class Fail:
    """Raises what no pickle can carry."""

    def __call__(self, shared: Any, say: Say) -> None:
        raise Unsendable(1, 2)


def wait_until(is_so: Any) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_worker_has_loaded_what_draws_and_keeps_to_one_core() -> None:
    """Two threads of it that first need OpenCV at once would both begin to load it, and fail."""
    said: list[Any] = []
    with Workers(2, WORKER_MODULES) as workers:
        workers.run([TellModules(), TellModules()], None, said.append)
    assert said == [(["av", "cv2"], 1)] * 2


def test_every_task_is_done_once_and_elsewhere() -> None:
    heard: list[tuple[int, int]] = []
    with Workers(2, ["math"]) as workers:
        workers.run([Double(n) for n in range(9)], 10, heard.append)
        workers.run([Double(n) for n in range(9)], 1, heard.append)  # something else is shared
    assert sorted(value for _, value in heard[:9]) == list(range(0, 180, 20))
    assert sorted(value for _, value in heard[9:]) == list(range(0, 18, 2))
    assert os.getpid() not in {process for process, _ in heard}


@pytest.mark.parametrize("count", [0, 1])
def test_one_worker_is_this_process(count: int) -> None:
    heard: list[tuple[int, int]] = []
    with Workers(count) as workers:
        assert workers.alive == 0
        workers.run([Double(1), Double(2)], 1, heard.append)
    assert heard == [(os.getpid(), 2), (os.getpid(), 4)]


def test_a_call_is_answered_by_a_process_that_is_gone_then() -> None:
    before, heard = set(psutil.Process().children()), list[float]()
    with SpareProcess(["math"]) as spare:
        process = spare(number_of, heard.append)
        assert process != os.getpid()
        assert not psutil.pid_exists(process)
        assert spare(number_of, heard.append) == os.getpid()  # it was for one call
    assert heard == [0.5, 0.5]
    with SpareProcess():
        assert len(set(psutil.Process().children()) - before) == 1
    assert set(psutil.Process().children()) == before
    with SpareProcess() as spare, pytest.raises(ZeroDivisionError):
        spare(divide_by_nothing, heard.append)


def test_a_call_whose_process_dies_is_answered_by_this_one() -> None:
    with SpareProcess() as spare:
        assert spare(partial(die_unless, os.getpid()), print) == "alive"


def number_of(say: Say) -> int:
    """The process's, after half a word."""
    say(0.5)
    return os.getpid()


def divide_by_nothing(_: Say) -> float:
    return 1 / 0


def die_unless(process: int, _: Say) -> str:
    if os.getpid() != process:
        os._exit(1)
    return "alive"


def test_the_end_of_the_block_ends_them_whatever_they_do(tmp_path: Path) -> None:
    def interrupt(said: Any) -> None:
        raise KeyboardInterrupt

    before = psutil.Process().children()
    with Workers(2) as workers:
        mine = set(psutil.Process().children()) - set(before)
        assert len(mine) == 2
        with pytest.raises(KeyboardInterrupt):
            workers.run([Double(1), Sleep(tmp_path)], 1, interrupt)
    assert [child for child in mine if child.is_running()] == []


def test_an_error_that_cannot_be_sent_is_told_all_the_same() -> None:
    with pytest.raises(RuntimeError, match="Unsendable: 3"), Workers(2) as workers:
        workers.run([Fail(), Fail()], None, lambda _: None)


def test_the_death_of_the_parent_ends_the_workers(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.renderers.test_workers import Sleep, Workers\n"
        "with Workers(2) as workers:\n"
        "    workers.run([Sleep(Path(sys.argv[1]))] * 2, None, print)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    numbers = [int(file.name) for file in tmp_path.iterdir()]
    wait_until(lambda: not any(map(psutil.pid_exists, numbers)))
