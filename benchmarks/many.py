"""Many films: a batch against single commands, Ray against one machine, two devices against one,
a job file of 10,000 lines, events through Redis.

    python -m benchmarks.many films --films 20 --seconds 5 [--voice recording.flac]
    python -m benchmarks.many ray --films 8 --seconds 3
    python -m benchmarks.many devices
    python -m benchmarks.many lines
    python -m benchmarks.many events

Each way has a home of its own with its own models: runs queue where the models are. Needs the
embedded models; films are drawn by the clock, so a quiet machine tells most.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import soundfile

from tests.progress.sources.test_redis import RedisServer, serving
from tests.support.batch import job, run_jobs
from tests.support.serving import listed, stream, wait_until
from tests.support.speakers import voice
from vidgen.batch import forecast_films, plan_films, run_batch
from vidgen.engines.local import LocalEngine, Place
from vidgen.engines.places import find_places
from vidgen.engines.ray import QUIET, RayEngine
from vidgen.jobs.checker import Checker
from vidgen.jobs.rows import pair_voices
from vidgen.paths import Home
from vidgen.progress.batch import BatchProgress, Film
from vidgen.progress.reporter import Reporter
from vidgen.progress.views.batch import QuietBatch
from vidgen.request import default_settings

LOOK_SECONDS: Final = 0.5
LINES: Final = 10_000
LEARNED_FILMS: Final = 3  # after which a batch's forecast is looked at


@dataclass
class Cost:
    """What some commands took; `cpu` are seconds of processor time, `peak_mb` the resident memory
    of all their processes at once, shared pages in each. `seen_cpu` is looked at twice a second:
    all below this process, a Ray cluster too, whose workers end unwaited for."""

    seconds: float = 0.0
    cpu: float = 0.0
    peak_mb: float = 0.0
    seen_cpu: float = 0.0

    @contextlib.contextmanager
    def measure(self) -> Iterator[None]:
        """Add what happens meanwhile in processes that are started and over meanwhile."""
        before, began, ended = _children_cpu(), time.monotonic(), threading.Event()
        thread = threading.Thread(target=self._watch, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.seconds += time.monotonic() - began
            self.cpu += _children_cpu() - before

    def _watch(self, ended: threading.Event) -> None:
        before = used = self._look({})
        while not ended.wait(LOOK_SECONDS):
            used = self._look(used)
        self.seen_cpu += sum(self._look(used).values()) - sum(before.values())

    def _look(self, used: Mapping[psutil.Process, float]) -> Mapping[psutil.Process, float]:
        """Each process below this one with the seconds of processor that it has used, those of
        `used` too that are gone."""
        found, now = dict(used), 0
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                now += process.memory_info().rss
                found[process] = sum(process.cpu_times()[:2])
        self.peak_mb = max(self.peak_mb, now / 1e6)
        return found

    def row(self, name: str) -> str:
        return f"| {name} | {self.seconds:.1f} | {self.cpu:.1f} | {self.peak_mb:.0f} |"


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True, slots=True)
class Inputs:
    """One face and many voices in `folder`, where the homes are, too."""

    folder: Path
    models: Path
    height: int
    voices: Sequence[Path] = field(default_factory=list)

    @property
    def photo(self) -> Path:
        return next((self.models / "demo_photo").glob("[!.]*"))

    def home(self, name: str) -> Home:
        """A new one with the models."""
        home = Home(self.folder / name)
        home.tasks.mkdir(parents=True)
        shutil.copytree(self.models, home.models, ignore=shutil.ignore_patterns("device*"))
        return home

    def run_singles(self, home: Home, voices: Sequence[Path], cost: Cost) -> None:
        with cost.measure():
            for sound in voices:
                _run(home, "-m", "vidgen", "run", self.photo, sound, "--progress", "quiet",
                     "--height", self.height, "-o", home.root / f"{sound.stem}.mp4")  # fmt: skip

    def run_batch(self, home: Home, cost: Cost, *, jobs: int = 1, ray: str = "") -> dict[str, Any]:
        """All voices in a process of its own; what it knew after three films, and what came."""
        ways = ("--jobs", jobs, "--ray", ray, "--height", self.height, "--photo", self.photo)
        with cost.measure():
            told = _run(home, "-m", "benchmarks.many", "batch", *ways, "--voices", *self.voices)
        return dict(json.loads(told))


def _run(home: Home, *words: object) -> str:
    world = {**os.environ, "VIDGEN_HOME": str(home.root)}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=world, check=True, stdout=subprocess.PIPE, text=True).stdout


class Foreteller(QuietBatch):
    """Notes, when three films are over, when all should be."""

    left = 0.0  # seconds foretold
    at = 0.0

    def open(self, progress: BatchProgress) -> None:
        self.progress = progress

    def ended(self, film: Film, *, again: bool) -> None:  # noqa: ARG002  # the view's form
        if self.progress.counts["complete"] == LEARNED_FILMS:
            self.left, self.at = self.progress.remaining() or 0.0, self.progress.elapsed


def batch(wanted: argparse.Namespace) -> None:
    """The child: one batch, as the command makes it."""
    home, settings = Home.default(), default_settings(height=wanted.height)
    ray = RayEngine(wanted.ray, home, cpus=1) if wanted.ray else None
    if ray:
        ray.start(len(wanted.voices))
    checker = Checker(Path(), settings, home.root, "many", "{photo}-{voice}")
    films = plan_films(home, checker.check(pair_voices(wanted.photo, wanted.voices)))
    places = find_places(jobs=wanted.jobs)
    count = ray.places if ray else len(places)
    view = Foreteller()
    result = run_batch(
        "many", films, ray or LocalEngine(places), forecast_films(home, films, count), view
    )
    if result.failed:
        raise SystemExit(f"{result.failed} films failed: {result.films}")
    print(json.dumps({"told": view.left, "came": result.took_seconds - view.at}))


def films(inputs: Inputs) -> None:
    """Single commands, half before and half after the batches."""
    voices, middle = inputs.voices, len(inputs.voices) // 2
    single_home, single, one, two = inputs.home("single"), Cost(), Cost(), Cost()
    inputs.run_singles(single_home, voices[:middle], single)
    said = inputs.run_batch(inputs.home("one"), one)
    side_by_side = inputs.run_batch(inputs.home("two"), two, jobs=2)
    inputs.run_singles(single_home, voices[middle:], single)
    print("| | seconds | of processor | peak MB |\n|---|---|---|---|")
    print(single.row(f"`vidgen run`, {len(voices)} times"))
    print(one.row("`vidgen batch`"), two.row("`vidgen batch --jobs 2`"), sep="\n")
    print(f"\n{single.seconds / one.seconds:.2f} and {single.seconds / two.seconds:.2f} × as fast")
    for told in (said, side_by_side):
        error = 100 * (told["told"] / told["came"] - 1)
        print(f"after three films {told['told']:.1f} s foretold, {told['came']:.1f} came "
              f"({error:+.0f} %)")  # fmt: skip


def ray(inputs: Inputs) -> None:
    """Two nodes with a core each on this machine, and two films at once without Ray before it.

    Counted is all that the command does, connecting and its actors' start, too; not the cluster's
    own start: the nodes are there before it, as a user's are.
    """
    from ray.cluster_utils import Cluster

    node = inputs.home("node")
    os.environ.update({**QUIET, "VIDGEN_HOME": str(node.root), "PYTHONPATH": str(Path.cwd())})
    cluster = Cluster()
    cluster.add_node(num_cpus=0, include_dashboard=False)
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    local, far = Cost(), Cost()
    try:
        inputs.run_batch(inputs.home("local"), local, jobs=2)
        inputs.run_batch(inputs.home("far"), far, ray=cluster.address)
    finally:
        cluster.shutdown()
    print(f"{len(inputs.voices)} films: {local.seconds:.1f} s here, "
          f"{far.seconds:.1f} s by Ray: {local.seconds / far.seconds:.2f} ×; processor "
          f"{local.seen_cpu:.1f} and {far.seen_cpu:.1f} s: "
          f"{local.seen_cpu / far.seen_cpu:.2f} ×")  # fmt: skip


def devices(count: int, seconds: float) -> None:
    """Simulated ones: a film waits where a device would compute; all the rest is real."""
    one, two = (_wait_on(number, count, seconds) for number in (1, 2))
    print(f"{count} films of {seconds:g} s: {one:.2f} s on one device, {two:.2f} s on two: "
          f"{one / two:.2f} ×")  # fmt: skip


def _wait_on(number: int, count: int, seconds: float) -> float:
    """Seconds for all films, the workers' start included."""
    places = [
        Place(f"cuda:{n}", "cuda:0", f"cuda:{n}", environment={"CUDA_VISIBLE_DEVICES": f"GPU-{n}"})
        for n in range(number)
    ]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VIDGEN_HOME"] = folder
        jobs = [job(Path(folder), f"f{n}", f"sleep {seconds}", n) for n in range(count)]
        result = run_jobs(Home(Path(folder)), jobs, places=places)
    if result.failed:
        raise SystemExit(f"{result.failed} films failed")
    return result.took_seconds


def lines(inputs: Inputs) -> None:
    """Check and plan a job file with as many voices of half a second as lines."""
    hum = 0.1 * np.sin(np.arange(4000) * 0.1)
    rows = ["photo,voice"]
    for number in range(LINES):
        soundfile.write(inputs.folder / f"{number}.wav", hum, 8000)
        rows.append(f"{inputs.photo},{number}.wav")
    file = inputs.folder / "jobs.csv"
    file.write_text("\n".join(rows))
    home, cost = inputs.home("home"), Cost()
    with cost.measure():
        said = json.loads(_run(home, "-m", "vidgen", "batch", file, "--dry-run", "--json"))
    assert len(said["films"]) == LINES
    print(f"{LINES} lines: {cost.cpu:.1f} s of processor time, {cost.seconds:.1f} s, "
          f"{cost.peak_mb:.0f} MB")  # fmt: skip


def events(count: int = 200) -> None:
    """From a log here, through a Redis, to who watches at a server of another machine."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        there, here = Home(folder / "there"), Home(folder / "here")
        there.tasks.mkdir(parents=True)
        here.tasks.mkdir(parents=True)
        redis = RedisServer(folder)
        stack.callback(redis.kill)
        report = stack.enter_context(
            Reporter(["work"], task_id="job-1", home=there, publish=redis.url)
        )
        server = stack.enter_context(serving(here, redis.url))
        shown = f"127-0-0-1-{redis.port}.job-1"
        report.progress(0, 100)
        wait_until(lambda: shown in listed(server))
        watching = stack.enter_context(stream(f"{server.url}/api/sse/progress/{shown}"))
        threading.Thread(target=_talk, args=(report, count), daemon=True).start()
        took = sorted(
            1e3 * (time.perf_counter() - float(event["data"]["message"]))
            for _, event in watching
            if event["event_type"] == "log"
        )
    print(f"{len(took)} events: {took[count // 2]:.1f} ms p50, {took[int(0.95 * count)]:.1f} p95")


def _talk(report: Reporter, count: int) -> None:
    for _ in range(count):
        report.log(str(time.perf_counter()))
        time.sleep(0.03)
    report.complete()


@contextlib.contextmanager
def make_inputs(wanted: argparse.Namespace) -> Iterator[Inputs]:
    """Overlapping parts of a recording, or of what eSpeak says, as the voices."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Inputs(Path(folder), wanted.models, wanted.height)
        if wanted.what == "lines":
            yield inputs
            return
        if wanted.voice:
            samples, rate = soundfile.read(wanted.voice)
        else:
            speech = voice(seconds=wanted.seconds + 0.3 * wanted.films).speech
            samples, rate = speech.samples, speech.rate
        length = int(wanted.seconds * rate)
        files = []
        for number, start in enumerate(
            np.linspace(0, len(samples) - length, wanted.films).astype(int)
        ):
            files.append(inputs.folder / f"v{number:02}.wav")
            soundfile.write(files[-1], samples[start : start + length], rate)
        yield Inputs(inputs.folder, inputs.models, inputs.height, files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("what", choices=["films", "ray", "devices", "lines", "events", "batch"])
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each voice")
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--voice", type=Path, help="a recording, of which parts are taken")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--models", type=Path, default=Home.default().models)
    for_child: Mapping[str, Any] = {"help": argparse.SUPPRESS}
    parser.add_argument("--photo", type=Path, **for_child)
    parser.add_argument("--voices", type=Path, nargs="*", **for_child)
    parser.add_argument("--jobs", type=int, default=1, **for_child)
    parser.add_argument("--ray", default="", **for_child)
    wanted = parser.parse_args()
    if wanted.what == "batch":
        batch(wanted)
        return
    load = os.getloadavg()[0]
    for _ in range(wanted.rounds):
        if wanted.what == "devices":
            devices(wanted.films, wanted.seconds)
        elif wanted.what == "events":
            events()
        else:
            with make_inputs(wanted) as inputs:
                {"films": films, "ray": ray, "lines": lines}[wanted.what](inputs)
    print(f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
