"""SIGKILL at sixty random moments: every run is taken up, nothing told is lost, and the
film is the same as if nothing had happened. `benchmarks/kills.py` does it to real films."""

import hashlib
import random
import time
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from tests.support.voices import RATE, syllables
from tests.support.warm import Warm
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.progress.store.reader import iter_events
from vidgen.progress.store.runs import list_runs

pytestmark = [pytest.mark.models, pytest.mark.slow]

KILLS = 60
KILLS_A_RUN = 12
OPTIONS = ("--seed", 3, "--progress", "rawjson")


def pictures(film: Path) -> str:
    """One hash of every decoded frame."""
    digest = hashlib.sha256()
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            digest.update(np.ascontiguousarray(frame.to_ndarray(format="rgb24")).tobytes())
    return digest.hexdigest()


def kill(warm: Warm, home: Home, arguments: tuple[object, ...], seconds: float) -> list[Envelope]:
    """Start vidgen and kill it after a while; the events that it had told by then."""
    child = warm.start(home, *arguments, is_quick=True)
    time.sleep(seconds)
    child.kill()
    *lines, _ = child.wait().out.split("\n")
    return [Envelope.from_wire(line) for line in lines if line]


def test_sixty_kills_cost_nothing_that_was_told(
    home_with_models: Home, tmp_path: Path, demo_photo: Path, warm: Warm
) -> None:
    home, dice = home_with_models, random.Random(20261120)
    voice, whole = tmp_path / "voice.wav", tmp_path / "whole.mp4"
    soundfile.write(voice, syllables(2.2), RATE)
    run: tuple[object, ...] = ("run", demo_photo, voice, *OPTIONS, "-o", whole)
    began = time.monotonic()
    undisturbed = warm.run(home, *run, is_quick=True)
    assert undisturbed.code == 0, undisturbed.err
    usual, wanted = time.monotonic() - began, pictures(whole)

    for turn in range(KILLS // KILLS_A_RUN):
        film = tmp_path / f"{turn}.mp4"
        run = ("run", demo_photo, voice, *OPTIONS, "--fresh", "-o", film)
        told: list[Envelope] = []
        for _ in range(KILLS_A_RUN):
            told += kill(warm, home, run, dice.uniform(0, usual))
            if told and home.task(told[0].task_id).request.is_file():
                run = ("resume", told[0].task_id, "--progress", "rawjson")
            else:  # killed before anything could be kept: nothing to take up
                told = []
        last = warm.run(home, *run, is_quick=True)
        if last.code != 0:  # the last kill came after the end
            assert "complete" in last.err
        assert pictures(film) == wanted
        log = {e.seq: e for e in iter_events(home.task(told[0].task_id).events)} if told else {}
        for event in told:
            assert log[event.seq] == event, "an event that was told is not in the log"
        assert list(log) == list(range(1, len(log) + 1))
    assert not list(tmp_path.glob(".*")), "half a file is left"
    assert not list(tmp_path.glob("*-2.*")), "a finished film was made a second time"
    assert len(list_runs(home)) >= KILLS // KILLS_A_RUN
