"""SIGKILL at sixty random moments: every run is taken up, nothing told is lost, and the
film is the same as if nothing had happened."""

import hashlib
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.cli import command, environment, vidgen
from vidgen import demo
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.progress.store.reader import iter_events
from vidgen.progress.store.runs import list_runs

pytestmark = [pytest.mark.models, pytest.mark.slow]

KILLS = 60
KILLS_A_RUN = 12
OPTIONS = ("--height", 256, "--seed", 3, "--progress", "rawjson")


def pictures(film: Path) -> str:
    """One hash of every decoded frame."""
    digest = hashlib.sha256()
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            digest.update(np.ascontiguousarray(frame.to_ndarray(format="rgb24")).tobytes())
    return digest.hexdigest()


def killed(home: Home, arguments: tuple[object, ...], seconds: float) -> list[bytes]:
    """Start vidgen and kill it after a while; the event lines that it had told by then."""
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(home),
        start_new_session=True,
    )
    time.sleep(seconds)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=30)
    return [line for line in out.split(b"\n")[:-1] if line]


def test_sixty_kills_cost_nothing_that_was_told(
    home_with_models: Home, tmp_path: Path, demo_photo: Path
) -> None:
    home, dice = home_with_models, random.Random(20261120)
    voice = demo.demo_voice(tmp_path / "voice.wav", "Mama may buy a map.")
    began = time.monotonic()
    whole = vidgen(home, "run", demo_photo, voice, *OPTIONS, "-o", tmp_path / "whole.mp4")
    assert whole.code == 0, whole.err
    usual, wanted = time.monotonic() - began, pictures(tmp_path / "whole.mp4")

    kills = 0
    for turn in range(KILLS // KILLS_A_RUN):
        film = tmp_path / f"{turn}.mp4"
        run: tuple[object, ...] = ("run", demo_photo, voice, *OPTIONS, "--fresh", "-o", film)
        told: list[bytes] = []
        task = ""
        while kills < (turn + 1) * KILLS_A_RUN:
            # Most of a run's start is Python's own; what matters is spread over the rest.
            told += killed(home, run, dice.uniform(0.15, usual))
            kills += 1
            task = task or (Envelope.from_wire(told[0]).task_id if told else "")
            if task and (home.task(task).request).is_file():
                run = ("resume", task, "--progress", "rawjson")
            elif task:  # killed before anything could be kept: nothing to take up
                told, task = [], ""
        last = vidgen(home, *run)
        if last.code != 0:  # the last kill came after the end
            assert re.search("complete", last.err), last.err
        assert pictures(film) == wanted
        log = {e.seq: e for e in iter_events(home.task(task).events)} if task else {}
        for line in told:
            event = Envelope.from_wire(line)
            assert log[event.seq] == event, "an event that was told is not in the log"
        assert list(log) == list(range(1, len(log) + 1))
    assert kills >= KILLS
    assert not list(tmp_path.glob(".*")), "half a file is left"
    assert not list(tmp_path.glob("*-2.*")), "a finished film was made a second time"
    assert len(list_runs(home)) >= KILLS // KILLS_A_RUN
