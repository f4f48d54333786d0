"""kill -9 at every request and file operation: the next run finishes, and one talk is paid."""

import os
import queue
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.did_driver import Driver, Run
from tests.support.fake_did import FakeDid

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
STEPS = 11  # requests of an undisturbed run


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    warm = Driver()
    yield warm
    warm.close()


def _killed(driver: Driver, fake: FakeDid, folder: Path, step: int, moment: str) -> int:
    """Run until the `step`-th request of this run; the client dies before it is heard, or before
    its answer arrives. The exit status."""
    already = len(fake.requests)
    child: queue.Queue[int] = queue.Queue()

    def gate(number: int, when: str, words: str) -> None:
        if (number - already, when) == (step, moment):
            os.kill(child.get(timeout=10), signal.SIGKILL)

    fake.gate = gate
    child.put(driver.start(Run(fake.url, str(folder))))
    status = driver.ended()
    fake.gate = lambda *_: None
    return status


def _resumed(driver: Driver, fake: FakeDid, folder: Path) -> int:
    driver.start(Run(fake.url, str(folder)))
    return driver.ended()


def _one_talk(fake: FakeDid) -> bool:
    return (len(fake.talks), fake.charged) == (1, 1)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_killed_at_a_request(step: int, moment: str, driver: Driver, tmp_path: Path) -> None:
    with FakeDid() as fake:
        assert _killed(driver, fake, tmp_path, step, moment) == -signal.SIGKILL
        assert _resumed(driver, fake, tmp_path) == 0
        assert _one_talk(fake)


@pytest.mark.slow
def test_killed_at_every_file_operation(driver: Driver, tmp_path: Path) -> None:
    with FakeDid() as fake:
        driver.start(Run(fake.url, str(tmp_path / "whole"), counts=str(tmp_path / "count")))
        assert driver.ended() == 0
    count = int((tmp_path / "count").read_text())
    assert count > 20
    for number in range(1, count + 1):
        folder = tmp_path / str(number)
        with FakeDid() as fake:
            driver.start(Run(fake.url, str(folder), dies_at=number))
            assert driver.ended() == -signal.SIGKILL
            assert _resumed(driver, fake, folder) == 0
            assert _one_talk(fake), f"killed at file operation {number}"


@pytest.mark.slow
def test_killed_again_and_again(driver: Driver, tmp_path: Path) -> None:
    dice = random.Random(6)
    for number in range(12):
        folder = tmp_path / str(number)
        with FakeDid(created=2, unlisted=dice.choice((0, 1))) as fake:
            for _ in range(3):
                step, moment = dice.randint(1, STEPS), dice.choice(("before", "after"))
                _killed(driver, fake, folder, step, moment)
            assert _resumed(driver, fake, folder) == 0
            assert _one_talk(fake)


def test_killed_while_looking_for_a_lost_answer(driver: Driver, tmp_path: Path) -> None:
    with FakeDid() as fake:
        fake.fail("POST /talks", "close-accepted")
        assert _killed(driver, fake, tmp_path, 5, "after") == -signal.SIGKILL
        assert fake.requests[-1] == "GET /talks"
        assert _resumed(driver, fake, tmp_path) == 0
        assert _one_talk(fake)
