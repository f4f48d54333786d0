"""How long a whole run takes against the voice's length, and how much memory.

    python -m benchmarks.whole [--rounds 3] [--long 136] [--workers 0 1 …]

Every line is `vidgen run` in a process of its own, all made anew, judging included; the median
of the rounds is told. "Whole job" is what the run itself says it took, "command" is from the
shell's start to its end, with Python's start and all imports. The photo is the demo's, the voice
eSpeak's. `--long` seconds of voice show whether memory grows; each number of `--workers` gets
lines of its own. Processor seconds include the workers'; the megabytes are the largest process's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import soundfile

from tests.support.speakers import voice
from vidgen.models import catalog, pull
from vidgen.models.catalog import Catalog
from vidgen.paths import Home

SIZES: Final = ((512, "1:1", 0.18), (720, "16:9", 0.35), (1080, "16:9", 0.80))  # with the goals

COLUMNS: Final = (
    "film", "workers", "voice s", "whole job s", "× voice", "goal", "command s", "processor s",
    "peak MB",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """What one command took."""

    job: float  # seconds
    command: float
    processor: float
    megabytes: float  # the most it held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", type=float, default=136.0, help="seconds of the long voice")
    parser.add_argument("--workers", type=int, nargs="+", default=[0], help="0: as a run chooses")
    options = parser.parse_args()
    shelf = Catalog(Home.default())
    pull.ensure(shelf, [*catalog.find_models("embedded"), *catalog.find_models("demo")])
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    with tempfile.TemporaryDirectory() as folder:
        usual, short = Path(folder) / "usual.wav", Path(folder) / "short.wav"
        speak(usual, 0.0)
        samples, rate = soundfile.read(usual)
        soundfile.write(short, samples[: 3 * rate], rate)
        for workers in options.workers:
            for height, aspect, goal in SIZES:
                line = row(shelf, usual, height, aspect, options.rounds, f"{goal:g}", workers)
                print(line, flush=True)
            print(row(shelf, short, 720, "16:9", options.rounds, "—", workers), flush=True)
        if options.long:
            speak(Path(folder) / "long.wav", options.long)
            print(row(shelf, Path(folder) / "long.wav", 512, "1:1", 1, "—"), flush=True)


def speak(file: Path, seconds: float) -> None:
    """The usual 34 s of voice, or `seconds`."""
    said = voice(seconds=seconds).speech
    soundfile.write(file, said.samples[: int(seconds * said.rate) or None], said.rate)


def row(
    shelf: Catalog, voice: Path, height: int, aspect: str, rounds: int, goal: str, workers: int = 0
) -> str:
    """One line of the table."""
    wide = ["--height", str(height), "--aspect", aspect, "--workers", str(workers)]
    runs = [ran(shelf, voice, wide) for _ in range(rounds)]
    seconds = soundfile.info(voice).duration
    job, command, processor, peak = (
        statistics.median(getattr(run, name) for run in runs) for name in Run.__slots__
    )
    return (
        f"| {height} high, {aspect} | {workers or 'auto'} | {seconds:.0f} "
        f"| {job:.1f} | {job / seconds:.2f} | {goal} "
        f"| {command:.1f} | {processor:.1f} | {peak:.0f} |"
    )


def ran(shelf: Catalog, voice: Path, wide: Sequence[str]) -> Run:
    """`vidgen run` once, in a home of its own that has the models."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "models").symlink_to(shelf.home.models)
        photo, film = str(shelf.path("demo_photo")), f"{folder}/film.mp4"
        command = [sys.executable, "-m", "vidgen", "run", photo, str(voice), "-o", film]
        command += ["--models", "embedded", "--progress", "quiet", "--json", *wide]
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, env={**os.environ, "VIDGEN_HOME": folder}
        )
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"the run failed: {' '.join(command)}")
    return Run(
        job=json.loads(said)["took_seconds"],
        command=time.monotonic() - began,
        processor=used.ru_utime + used.ru_stime,
        megabytes=used.ru_maxrss / 1024,
    )


if __name__ == "__main__":
    main()
