"""SIGKILL for all that a batch is made of: workers, the batch itself, and Ray's actors and nodes.

    python -m benchmarks.batch_kills --kills 30 --models ~/.local/share/vidgen/models

After every few kills the same command is started again, at once. Then each film must be there
once, in the store, too, and be picture by picture the undisturbed one. Without the extra `ray`
only the first two are killed.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import orjson
import psutil
import soundfile

from benchmarks.kills import OPTIONS, children_of
from tests.e2e.test_kill import pictures
from tests.support.voices import RATE, syllables
from tests.support.warm import Child, Warm
from vidgen.engines.ray import QUIET
from vidgen.paths import Home
from vidgen.progress.store.reader import iter_events
from vidgen.progress.store.runs import list_runs

SEEDS: Final = (3, 4, 3)  # of a job file's films
PATIENCE_SECONDS: Final = 120.0


class Rounds:
    """Batches that are made against the killing."""

    def __init__(self, home: Home, photo: Path, folder: Path, warm: Warm) -> None:
        self.home, self.photo, self.folder, self.warm = home, photo, folder, warm
        self.dice = random.Random(20261127)
        self.kills: Counter[str] = Counter()
        self.films = 0
        self.wrong: list[str] = []
        self.voice = folder / "voice.wav"
        soundfile.write(self.voice, syllables(1.2), RATE)
        self.wanted = {}
        for seed in SEEDS:
            film, began = folder / f"whole-{seed}.mp4", time.monotonic()
            run = ("run", photo, self.voice, *OPTIONS, "--force", "--seed", seed, "-o", film)
            ran = warm.run(home, *run)
            if ran.code:
                raise SystemExit(ran.err)
            self.usual, self.wanted[seed] = time.monotonic() - began, pictures(film)

    def play(self, way: tuple[str, ...], strikes: "Sequence[tuple[str, Strike]]") -> None:
        """One job file: each strike once, at some moment, then the batch dies; started again, it
        makes what is left."""
        folder = self.folder / f"batch-{self.films}"
        folder.mkdir()
        rows = [f"{self.photo},{self.voice},{n}.mp4,256,{s}" for n, s in enumerate(SEEDS)]
        (folder / "jobs.csv").write_text("\n".join(["photo,voice,output,height,seed", *rows]))
        run = ("batch", "jobs.csv", "--progress", "quiet", *way)
        runs = len(list_runs(self.home))
        child = self.warm.start(self.home, *run, cwd=folder)
        for name, strike in [*strikes, ("the batch", kill_batch)]:
            time.sleep(self.dice.uniform(0.2, self.usual))
            self.kills[name] += strike(child, self.dice)
        child.wait()
        again = self.warm.run(self.home, *run, cwd=folder)
        if again.code:
            self.wrong.append(f"{folder.name}: exit code {again.code}: {again.err}")
        self._look(folder, len(list_runs(self.home)) - runs)

    def _look(self, folder: Path, runs: int) -> None:
        """Each film once, and as it should be."""
        rows = [orjson.loads(line) for line in (folder / "jobs.results.jsonl").open()]
        ends = [
            event.event_type
            for row in rows
            for event in iter_events(self.home.task(row["task_id"]).events)
            if event.event_type == "complete"
        ]
        if not len(rows) == runs == len(ends) == len(SEEDS):
            self.wrong.append(f"{folder.name}: {len(rows)} rows, {runs} runs, {len(ends)} ends")
        files = {file.name for file in folder.iterdir() if file.suffix != ".png"}
        if files != {"jobs.csv", "jobs.results.jsonl", *(f"{n}.mp4" for n in range(len(SEEDS)))}:
            self.wrong.append(f"{folder.name}: {sorted(files)}")
        for number, seed in enumerate(SEEDS):
            film = folder / f"{number}.mp4"
            if not film.is_file() or pictures(film) != self.wanted[seed]:
                self.wrong.append(f"{folder.name}: {film.name} is another film")
        self.films += len(SEEDS)


Strike = Callable[[Child, random.Random], bool]  # whether somebody was there to be killed


def kill_batch(child: Child, _: random.Random) -> bool:
    is_there = psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE  # nobody waited yet
    child.kill()
    return bool(is_there)


def kill_worker(child: Child, dice: random.Random) -> bool:
    workers = children_of(child.pid)
    with contextlib.suppress(ProcessLookupError):
        if workers:
            os.killpg(dice.choice(workers), signal.SIGKILL)
            return True
    return False


class Nodes:
    """A Ray cluster on this machine: a head without room, and two nodes with room for one film."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster()
        self._cluster.add_node(num_cpus=0, include_dashboard=False)
        self._nodes = [self._cluster.add_node(num_cpus=1) for _ in range(2)]
        self.way = ("--ray", self._cluster.address, "--cpus-per-film", "1")

    def kill_actor(self, _: Child, dice: random.Random) -> bool:
        """One that makes films, as soon as there is one."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if actors := [p for p in psutil.process_iter(["cmdline"]) if _is_actor(p)]:
                dice.choice(actors).kill()
                return True
            time.sleep(0.1)
        return False

    def kill_node(self, _: Child, dice: random.Random) -> bool:
        """One node, in whose place another comes."""
        lost = self._nodes.pop(dice.randrange(len(self._nodes)))
        self._cluster.remove_node(lost, allow_graceful=False)
        self._nodes.append(self._cluster.add_node(num_cpus=1))
        return True

    def close(self) -> None:
        self._cluster.shutdown()


def _is_actor(process: psutil.Process) -> bool:
    return "".join(process.info["cmdline"] or ()).startswith("ray::_Actor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--models", type=Path, default=Home.default().models)
    wanted = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        warm = stack.enter_context(Warm(folder))
        home = Home(folder / "home")
        home.tasks.mkdir(parents=True)
        # Its own: runs queue where the models are.
        shutil.copytree(wanted.models, home.models, ignore=shutil.ignore_patterns("device*"))
        os.environ.update({**QUIET, "VIDGEN_HOME": str(home.root), "PYTHONPATH": str(Path.cwd())})
        rounds = Rounds(home, next((wanted.models / "demo_photo").glob("[!.]*")), folder, warm)
        plays = [lambda: rounds.play((), [("a worker", kill_worker)] * 2)]
        if find_spec("ray"):
            nodes = Nodes()
            stack.callback(nodes.close)
            strikes = [("an actor", nodes.kill_actor), ("a node", nodes.kill_node)]
            plays.append(lambda: rounds.play(nodes.way, strikes))
        number = 0
        while rounds.kills.total() < wanted.kills:
            plays[number % len(plays)]()
            number += 1
            print(dict(rounds.kills), rounds.wrong or "all right", flush=True)
    print(f"{rounds.kills.total()} kills, {rounds.films} films: {rounds.wrong or 'each once'}")


if __name__ == "__main__":
    main()
