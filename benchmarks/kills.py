"""SIGKILL again and again: what is lost? Runs, resumed runs, runs at their end, and the server.

    python -m benchmarks.kills --rounds 500 --models ~/.local/share/vidgen/models

Every kill is followed by `vidgen resume`. At the end each film is compared, picture by picture,
with one that nobody disturbed, and each event that was told with the log. Needs the embedded
models and an hour or more. D-ID's kills, one at each of its requests, are `tests/did/test_kill.py`.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import av
import httpx
import numpy as np

from tests.support.cli import command, environment, vidgen
from tests.support.serving import Run, serving_process
from vidgen import demo
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.progress.store.reader import iter_events

OPTIONS = ("--height", 256, "--seed", 3, "--progress", "rawjson")
KINDS = ("run", "resume", "finalizing", "server")


@dataclass
class Losses:
    """What the kills have cost."""

    kills: Counter[str] = field(default_factory=Counter)
    events: int = 0  # told, and not in the log
    films: int = 0  # other than the undisturbed one
    left: int = 0  # halves of files beside the films


def pictures(film: Path) -> str:
    """One hash of every decoded frame."""
    digest = hashlib.sha256()
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            digest.update(np.ascontiguousarray(frame.to_ndarray(format="rgb24")).tobytes())
    return digest.hexdigest()


class Rounds:
    """Films that are made against the killing."""

    def __init__(self, home: Home, photo: Path, folder: Path, dice: random.Random) -> None:
        self.home = home
        self.photo = photo
        self.folder = folder
        self.dice = dice
        self.losses = Losses()
        self.voice = demo.demo_voice(folder / "voice.wav", "Mama may buy a map.")
        whole, began = folder / "whole.mp4", time.monotonic()
        ran = vidgen(home, "run", photo, self.voice, *OPTIONS, "-o", whole)
        if ran.code:
            raise SystemExit(ran.err)
        self.usual, self.wanted = time.monotonic() - began, pictures(whole)

    def film(self, kinds: list[str]) -> None:
        """One film, with a kill of each of these kinds on the way."""
        film = self.folder / f"{sum(self.losses.kills.values())}.mp4"
        run: tuple[object, ...] = ("run", self.photo, self.voice, *OPTIONS, "--fresh", "-o", film)
        told: list[Envelope] = []
        for kind in kinds:
            told += self._killed(run, kind)
            self.losses.kills[kind] += 1
            if told and self.home.task(told[0].task_id).request.is_file():
                run = ("resume", told[0].task_id, "--progress", "rawjson")
            else:
                told = []
        vidgen(self.home, *run)
        self.losses.films += not film.is_file() or pictures(film) != self.wanted
        self.losses.left += len([*self.folder.glob(".*.part"), *self.folder.glob("*-2.mp4")])
        log = list(iter_events(self.home.task(told[0].task_id).events)) if told else []
        self.losses.events += sum(event not in log for event in told)

    def _killed(self, run: tuple[object, ...], kind: str) -> list[Envelope]:
        """Start vidgen and kill it; what it had told by then."""
        process = subprocess.Popen(
            command(*run),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(self.home),
            start_new_session=True,
        )
        assert process.stdout is not None
        if kind == "finalizing":
            lines = []
            for line in process.stdout:
                lines.append(line)
                if b'"finalizing"' in line:
                    break
            time.sleep(self.dice.uniform(0, 0.5))
        else:
            lines = []
            time.sleep(self.dice.uniform(0.15, self.usual))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        rest, _ = process.communicate()
        whole = b"".join(lines) + (rest or b"")
        return [Envelope.from_wire(line) for line in whole.split(b"\n")[:-1] if line]

    def server(self) -> None:
        """A server dies under a reader, who asks the next one for the rest."""
        run = Run(self.home)
        with serving_process(self.home) as server:
            seen: list[int] = []
            for _ in range(3):
                run.write("log", count=50)
                answer = httpx.get(f"{server.url}/api/tasks/{run.id}/events?after={len(seen)}")
                seen += [event["seq"] for event in answer.json()["events"]]
                server.kill()
                self.losses.kills["server"] += 1
                server.start()
            run.write("complete")
            run.end()
            answer = httpx.get(f"{server.url}/api/tasks/{run.id}/events?after={len(seen)}")
            seen += [event["seq"] for event in answer.json()["events"]]
        self.losses.events += seen != list(range(1, 152))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--models", type=Path, default=Home.default().models)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home.tasks.mkdir(parents=True)
        home.models.symlink_to(wanted.models)
        photo = next((wanted.models / "demo_photo").glob("[!.]*"))
        rounds = Rounds(home, photo, Path(folder), random.Random(20261126))
        while (done := sum(rounds.losses.kills.values())) < wanted.rounds:
            rounds.film(["run", "resume", "finalizing"])
            if done % 2 == 0:
                rounds.server()
    losses = rounds.losses
    print("| killed | times |\n|---|---|")
    for kind in KINDS:
        print(f"| {kind} | {losses.kills[kind]} |")
    print(f"\n{losses.events} events lost, {losses.films} films wrong, {losses.left} halves left")


if __name__ == "__main__":
    main()
