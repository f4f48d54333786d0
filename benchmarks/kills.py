"""SIGKILL again and again: what is lost? Runs, resumed runs, runs at their end, batches, the
server, D-ID's orders.

    python -m benchmarks.kills --rounds 500 --models ~/.local/share/vidgen/models

Every kill is followed by the command that goes on. At the end each film is compared, picture by
picture, with one that nobody disturbed, each event that was told with the log, and D-ID's talks
are counted. Needs the embedded models and about half an hour; `--kinds` takes some of the kinds.
"""

import argparse
import os
import queue
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import soundfile

from tests.e2e.test_kill import pictures
from tests.support.did_driver import Driver
from tests.support.did_driver import Run as DidRun
from tests.support.fake_did import FakeDid
from tests.support.serving import Run, serving_process
from tests.support.voices import RATE, syllables
from tests.support.warm import Child, Warm
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.progress.store.reader import iter_events

OPTIONS: Final = ("--height", 256, "--progress", "rawjson")
SEEDS: Final = (3, 4)  # a batch makes two films
DID_STEPS: Final = 11  # requests of an order that nobody disturbs
DID_FILES: Final = 20  # … and its file operations, at least


@dataclass
class Losses:
    """What the kills have cost."""

    kills: Counter[str] = field(default_factory=Counter)
    events: int = 0  # told, and not in the log
    films: int = 0  # other than the undisturbed one
    left: int = 0  # halves of files beside the films
    bills: int = 0  # talks that were bought more than once, or never


class Rounds:
    """Films that are made against the killing; `folder` holds the home and all films."""

    def __init__(
        self, home: Home, photo: Path, folder: Path, warm: Warm, *, is_quick: bool
    ) -> None:
        self.home = home
        self.photo = photo
        self.folder = folder
        self.warm = warm
        self.is_quick = is_quick
        self.dice = random.Random(20261126)
        self.losses = Losses()
        self.voice = folder / "voice.wav"
        soundfile.write(self.voice, syllables(1.2), RATE)
        self.wanted = {}
        for seed in SEEDS:
            film, began = folder / f"whole-{seed}.mp4", time.monotonic()
            run = ("run", photo, self.voice, *OPTIONS, "--seed", seed, "-o", film)
            ran = warm.run(home, *run, is_quick=is_quick)
            if ran.code:
                raise SystemExit(ran.err)
            self.usual, self.wanted[seed] = time.monotonic() - began, pictures(film)
        self.driver = Driver()

    def film(self) -> None:
        """One film: its run is killed, then what takes it up, then at the end, each twice."""
        film = self.folder / f"{self.losses.kills.total()}.mp4"
        fresh = ("run", self.photo, self.voice, *OPTIONS, "--seed", SEEDS[0], "--fresh", "-o", film)
        run: tuple[object, ...] = fresh
        told: list[Envelope] = []
        for kind in ("run", "resume", "resume", "finalizing", "finalizing"):
            child = self.warm.start(self.home, *run, is_quick=self.is_quick)
            told += self._end(child, kind)
            self.losses.kills[kind if run is not fresh or kind != "resume" else "run"] += 1
            if told and self.home.task(told[0].task_id).request.is_file():
                run = ("resume", told[0].task_id, "--progress", "rawjson")
            else:
                told = []
        self.warm.run(self.home, *run, is_quick=self.is_quick)
        self._look(film, SEEDS[0], told)

    def _end(self, child: Child, kind: str) -> list[Envelope]:
        """Kill it at some moment, or at one of its end; what it had told by then."""
        if kind == "finalizing":
            until = time.monotonic() + 60
            while b'"finalizing"' not in child.out.read_bytes() and time.monotonic() < until:
                if b'"error"' in child.out.read_bytes() or b"complete" in child.err.read_bytes():
                    break
                time.sleep(0.005)
            time.sleep(self.dice.uniform(0, self.usual / 3))
        else:
            time.sleep(self.dice.uniform(0, self.usual))
        child.kill()
        *lines, _ = child.wait().out.split("\n")
        return [Envelope.from_wire(line) for line in lines if line]

    def _look(self, film: Path, seed: int, told: list[Envelope]) -> None:
        self.losses.films += not film.is_file() or pictures(film) != self.wanted[seed]
        self.losses.left += len([*self.folder.glob(".*.part"), *self.folder.glob("*-2.mp4")])
        for task in {event.task_id for event in told}:
            log = list(iter_events(self.home.task(task).events))
            self.losses.events += sum(e not in log for e in told if e.task_id == task)
            self.losses.events += [event.seq for event in log] != [*range(1, len(log) + 1)]

    def batch(self) -> None:
        """Two films of one job file; the batch and its workers die twice."""
        jobs = self.folder / f"batch-{self.losses.kills['batch']}"
        jobs.mkdir()
        rows = [f"{self.photo},{self.voice},{seed}.mp4,256,{seed}" for seed in SEEDS]
        (jobs / "jobs.csv").write_text("\n".join(["photo,voice,output,height,seed", *rows]))
        run = ("batch", "jobs.csv", "--fresh", "--progress", "rawjson")
        told: list[Envelope] = []
        for _ in range(2):
            child = self.warm.start(self.home, *run, cwd=jobs)
            time.sleep(self.dice.uniform(1, 3 * self.usual))
            for worker in children_of(child.pid):  # they have groups of their own
                os.killpg(worker, signal.SIGKILL)
            child.kill()
            *lines, _ = child.wait().out.split("\n")
            told += [Envelope.from_wire(line) for line in lines if line]
            self.losses.kills["batch"] += 1
        self.warm.run(self.home, *run, cwd=jobs)
        for seed in SEEDS:
            self._look(jobs / f"{seed}.mp4", seed, told)

    def server(self) -> None:
        """A server dies under a reader, who asks the next one for the rest."""
        run = Run(self.home)
        with serving_process(self.home) as server:
            seen: list[int] = []
            for _ in range(5):
                run.write("log", count=50)
                seen += self._ask(server.url, run, len(seen))
                server.kill()
                self.losses.kills["server"] += 1
                server.start()
            run.write("complete")
            run.end()
            seen += self._ask(server.url, run, len(seen))
        self.losses.events += seen != list(range(1, run.seq + 1))

    def _ask(self, url: str, run: Run, after: int) -> list[int]:
        answer = httpx.get(f"{url}/api/tasks/{run.id}/events?after={after}", timeout=60)
        return [event["seq"] for event in answer.json()["events"]]

    def order(self) -> None:
        """An order of D-ID's: killed at a request and at a file operation, then finished."""
        folder = self.folder / f"did-{self.losses.kills['D-ID']}"
        with FakeDid(created=2, unlisted=self.dice.choice((0, 1))) as fake:
            victims: queue.Queue[int] = queue.Queue()
            at = self.dice.randint(1, DID_STEPS), self.dice.choice(("before", "after"))

            def gate(number: int, moment: str, _words: str) -> None:
                if (number, moment) == at:
                    os.kill(victims.get(timeout=30), signal.SIGKILL)

            fake.gate = gate
            victims.put(self.driver.start(DidRun(fake.url, str(folder))))
            self.losses.kills["D-ID"] += self.driver.ended() == -signal.SIGKILL
            fake.gate = lambda *_: None
            dies_at = self.dice.randint(1, DID_FILES)
            self.driver.start(DidRun(fake.url, str(folder), dies_at=dies_at))
            self.losses.kills["D-ID"] += self.driver.ended() == -signal.SIGKILL
            self.driver.start(DidRun(fake.url, str(folder)))
            is_whole = self.driver.ended() == 0
            self.losses.bills += not is_whole or (len(fake.talks), fake.charged) != (1, 1)


def children_of(pid: int) -> list[int]:
    """The processes that this one started and that are still there."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


# kind of round -> the share of all kills that it is to have
SHARES: Final[dict[str, float]] = {"film": 0.5, "batch": 0.1, "server": 0.2, "order": 0.2}


def go_on(rounds: Rounds, wanted: int, kinds: list[str]) -> None:
    """Round after round, the kind that is most behind its share first."""
    counts: Counter[str] = Counter()
    while (done := rounds.losses.kills.total()) < wanted:
        kind = min(kinds, key=lambda name: counts[name] / SHARES[name])
        play: Callable[[], None] = getattr(rounds, kind)
        play()
        counts[kind] += rounds.losses.kills.total() - done
        print(dict(rounds.losses.kills), _sentence(rounds.losses), flush=True)


def _sentence(losses: Losses) -> str:
    return (
        f"{losses.events} events lost, {losses.films} films wrong, {losses.left} halves left, "
        f"{losses.bills} bills wrong"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500, help="kills in all")
    parser.add_argument("--kinds", default=",".join(SHARES), help="film, batch, server, order")
    parser.add_argument(
        "--quick", action="store_true", help="draw numbered gradients; batches are always drawn"
    )
    parser.add_argument("--models", type=Path, default=Home.default().models)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Warm(Path(folder)) as warm:
        home = Home(Path(folder) / "home")
        home.tasks.mkdir(parents=True)
        home.models.symlink_to(wanted.models)
        photo = next((wanted.models / "demo_photo").glob("[!.]*"))
        rounds = Rounds(home, photo, Path(folder), warm, is_quick=wanted.quick)
        go_on(rounds, wanted.rounds, wanted.kinds.split(","))
        rounds.driver.close()
    print("| killed | times |\n|---|---|")
    for kind, count in rounds.losses.kills.items():
        print(f"| {kind} | {count} |")
    print(f"\n{_sentence(rounds.losses)}")


if __name__ == "__main__":
    main()
