"""How well the estimator foretells runs: stored logs are lived through again, in order.

    python benchmarks/eta.py [HOME]     the runs of a vidgen home, else 30 made-up ones

Each run is foretold from the runs before it only. Made-up runs mix voices of 3 s to 3 min, noise
of 12 % per stage, a machine that is 15 % slower or faster from run to run, one cold start in ten.
"""

import argparse
import random
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vidgen.events import (
    Completed,
    Envelope,
    Event,
    StageEnded,
    StageProgress,
    StageStarted,
)
from vidgen.paths import Home
from vidgen.progress.accuracy import MOMENTS, Forecast, accuracy, forecast
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.eta import Estimator
from vidgen.progress.experience import Experience
from vidgen.progress.past import PastRun, past_run
from vidgen.progress.state import seconds_of
from vidgen.progress.store import TaskLog, list_tasks, read_events

WARM_UP = 5  # runs that the estimator may learn from before it is judged


@dataclass
class Calendar:
    """A clock that is set by hand."""

    seconds: float = 1_790_000_000.0

    def clock(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


def relived(log: Path, before: Sequence[PastRun]) -> Forecast | None:
    """The run of a log, foretold anew from the runs before it."""
    calendar, found = Calendar(), list[Envelope]()
    estimator = Estimator(lambda: Experience(before), calendar.clock)
    estimator.wait()
    emit = Broadcast(
        log.parent.name, [found.append], estimate=estimator, clock=calendar.clock, now=calendar.now
    )
    for envelope in read_events(log):
        calendar.seconds = seconds_of(envelope.timestamp)
        event = event_of(envelope)
        if event is not None:
            emit(event)
    return forecast(found)


def event_of(envelope: Envelope) -> Event | None:
    """What was emitted when this was written; None for what no estimate hangs on."""
    data = envelope.data
    stage, told = str(data.get("stage")), data.get("metadata") or {}
    if envelope.event_type == "complete":
        return Completed(str(data["video_path"]), float(data["duration_seconds"]))
    if envelope.event_type == "progress_update":
        return StageProgress(stage, data["done"], data["total"], str(data["unit"]))
    if envelope.event_type != "stage_update":
        return None
    if data["status"] == "started":
        return StageStarted(stage, metadata=told)
    return StageEnded(stage, float(data["duration_seconds"]), data["status"], metadata=told)


def made_up(home: Home, count: int, seed: int = 7) -> None:
    """Write `count` runs into `home` without waiting for any."""
    rng, calendar = random.Random(seed), Calendar()
    for _ in range(count):
        calendar.seconds += 600
        folder = home.task(str(uuid.UUID(int=rng.getrandbits(128))))
        with TaskLog(folder) as log:
            emit = Broadcast(folder.task_id, log=log, clock=calendar.clock, now=calendar.now)
            for event, seconds in _a_run(rng):
                calendar.seconds += seconds
                emit(event)


def _a_run(rng: random.Random) -> Iterator[tuple[Event, float]]:
    """(event, seconds before it)."""
    voice = min(180.0, max(3.0, rng.lognormvariate(2.7, 0.9)))
    frames, pace = int(voice * 25), rng.lognormvariate(0, 0.15)
    cold = 3.0 if rng.random() < 0.1 else 0.3

    def noisy(seconds: float) -> float:
        return seconds * pace * rng.lognormvariate(0, 0.12)

    about = {"voice_seconds": voice, "width": 720, "height": 720, "frames": frames}
    yield StageStarted("initialized"), 0.0
    yield StageEnded("initialized", 0.3, metadata=about | {"renderer": "puppet"}), 0.3
    for stage, seconds in (("yolo_detection", 0.8), ("birefnet_removal", 1.4)):
        took = noisy(seconds)
        yield StageStarted(stage), 0.02
        told = {"work": 0.5, "work_unit": "megapixels", "load_seconds": cold}
        yield StageEnded(stage, took + cold, metadata=told), took + cold
    yield StageStarted("prosody_adjustment"), 0.02
    yield StageEnded("prosody_adjustment", 0.01, "skipped"), 0.01
    yield StageStarted("rendering"), 0.02
    took = noisy(0.5 + frames * 0.021)
    steps = max(5, min(400, frames // 5))
    for step in range(1, steps + 1):
        yield StageProgress("rendering", step * frames / steps, frames, "frames"), took / steps
    told = {"work": frames, "work_unit": "frames"}
    yield StageEnded("rendering", took, metadata=told), 0.0
    yield StageStarted("finalizing"), 0.02
    took = noisy(0.4 + frames * 0.001)
    yield StageEnded("finalizing", took, metadata=told), took
    yield Completed("/out.mp4", voice), 0.02


def judged(home: Home) -> list[Forecast]:
    """A forecast per run of a home, oldest first."""
    logs = [summary.folder.events for summary in reversed(list_tasks(home))]
    known: list[PastRun] = []
    forecasts = []
    for log in logs:
        run = past_run(log)
        if run is None:
            continue
        found = relived(log, known[-50:])
        if found is not None:
            forecasts.append(found)
        known.append(run)
    return forecasts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("home", nargs="?", type=Path)
    parser.add_argument("--runs", type=int, default=30, help="made-up runs")
    parser.add_argument("--seeds", type=int, default=1, help="made-up homes")
    wanted = parser.parse_args()
    forecasts: list[Forecast] = []
    if wanted.home:
        forecasts = judged(Home(wanted.home))[WARM_UP:]
    for seed in range(0 if wanted.home else wanted.seeds):
        with tempfile.TemporaryDirectory() as folder:
            made_up(Home(Path(folder)), wanted.runs, seed)
            forecasts += judged(Home(Path(folder)))[WARM_UP:]
    found = accuracy(forecasts)
    print(f"{found.runs} runs, each foretold from those before it (first {WARM_UP} not judged)")
    for share, error in zip(MOMENTS, found.mape, strict=True):
        print(f"  error at {share:4.0%} of the time   {'-' if error is None else f'{error:.1%}'}")
    print(
        f"  runs within the bound     {'-' if found.coverage is None else f'{found.coverage:.0%}'}"
    )
    print(f"  jumps up by > 10 % a run  {found.jumps_per_run:.2f}")


if __name__ == "__main__":
    main()
