"""How soon a command answers: the help, the history of a hundred runs, a run's first event.

    python -m benchmarks.starting [--rounds 15]

Medians of processes started one after another, from the start to the end, or to the first line.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.support.speakers import voice
from vidgen.events import Completed, StageEnded, StageStarted
from vidgen.models import catalog, pull
from vidgen.models.catalog import Catalog
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.store.log import TaskLog

RUNS: Final = 100  # in the history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    shelf = Catalog(Home.default())
    pull.ensure(shelf, [*catalog.find_models("embedded"), *catalog.find_models("demo")])
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.tasks.mkdir()
        home.models.symlink_to(shelf.home.models)
        _fill(home)
        sound = Path(folder) / "voice.wav"
        _speak(sound)
        run = ["run", str(shelf.path("demo_photo")), str(sound), "-o", f"{folder}/film.mp4"]
        print("| command | median s | slowest s | goal s |\n|---|---|---|---|")
        for name, measure, goal in (
            ("`vidgen --help`", lambda: _whole(home, ["--help"]), 0.3),
            (f"`vidgen history`, {RUNS} runs", lambda: _whole(home, ["history"]), 0.3),
            (
                "`vidgen run`, its first event",
                lambda: _first_line(home, [*run, "--progress", "rawjson"]),
                0.5,
            ),
        ):
            print(row(name, measure, rounds, goal), flush=True)


def row(name: str, measure: Callable[[], float], rounds: int, goal: float) -> str:
    times = [measure() for _ in range(rounds)]
    return f"| {name} | {statistics.median(times):.2f} | {max(times):.2f} | {goal:g} |"


def _whole(home: Home, arguments: Sequence[str]) -> float:
    began = time.monotonic()
    subprocess.run(_command(arguments), env=_world(home), check=True, capture_output=True)
    return time.monotonic() - began


def _first_line(home: Home, arguments: Sequence[str]) -> float:
    began = time.monotonic()
    with subprocess.Popen(
        _command(arguments), env=_world(home), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        lasted = time.monotonic() - began
        process.terminate()
    return lasted


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "vidgen", *arguments]


def _world(home: Home) -> dict[str, str]:
    return {**os.environ, "VIDGEN_HOME": str(home.root)}


def _fill(home: Home) -> None:
    """Finished runs."""
    for _ in range(RUNS):
        task = home.task(str(uuid.uuid4()))
        with TaskLog(task) as log:
            emit = Broadcast(task.task_id, (), log=log)
            emit(StageStarted("initialized"))
            emit(StageEnded("initialized", 0.1))
            emit(Completed(str(home.root / "film.mp4"), 12.0))


def _speak(file: Path) -> None:
    import soundfile

    made = voice(text="Hello.").speech
    soundfile.write(file, made.samples, made.rate)


if __name__ == "__main__":
    main()
