"""Made-up runs, and stored ones lived through again: what the estimator is judged by.

Made-up runs mix voices of 3 s to 3 min, noise of 12 % per stage, a machine that is slower or
faster from run to run, one cold start in ten. Each run is foretold from the runs before it only.
"""

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from vidgen.events import (
    Completed,
    Envelope,
    Event,
    Resource,
    StageEnded,
    StageProgress,
    StageStarted,
    seconds_of,
)
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.forecast.accuracy import Forecast, forecast
from vidgen.progress.forecast.estimator import Estimator
from vidgen.progress.forecast.model import TimeModel
from vidgen.progress.forecast.past_runs import PastRun, past_run
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.reader import iter_events
from vidgen.progress.store.runs import list_runs

USUAL: Final = 0.15  # how much slower or faster (standard deviation) a machine is from run to run


@dataclass
class Calendar:
    """A clock that is set by hand."""

    seconds: float = 1_790_000_000.0

    def clock(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


def relive(log: Path, before: Sequence[PastRun]) -> Forecast | None:
    """The run of a log, foretold anew from the runs before it."""
    events = list(iter_events(log))
    calendar, found = Calendar(seconds_of(events[0].timestamp)), list[Envelope]()
    estimator = Estimator(lambda: TimeModel(before), calendar.clock)
    estimator.wait()
    emit = Broadcast(
        log.parent.name, [found.append], estimate=estimator, clock=calendar.clock, now=calendar.now
    )
    for envelope in events:
        calendar.seconds = seconds_of(envelope.timestamp)
        event = event_of(envelope)
        if event is not None:
            emit(event)
    return forecast(found)


def event_of(envelope: Envelope) -> Event | None:
    """What was emitted when this was written; None for what no estimate hangs on."""
    data = envelope.data
    stage, metadata = str(data.get("stage")), data.get("metadata") or {}
    if envelope.event_type == "complete":
        return Completed(str(data["video_path"]), float(data["duration_seconds"]))
    if envelope.event_type == "progress_update":
        return StageProgress(stage, data["done"], data["total"], str(data["unit"]))
    if envelope.event_type == "resource":
        return Resource(float(data["cpu_percent"]), float(data["memory_mb"]))
    if envelope.event_type != "stage_update":
        return None
    if data["status"] == "started":
        return StageStarted(stage, metadata=metadata)
    return StageEnded(stage, float(data["duration_seconds"]), data["status"], metadata=metadata)


def make_runs(home: Home, count: int, seed: int = 7, spread: float = USUAL) -> None:
    """Write `count` runs into `home` without waiting for any."""
    rng, calendar = random.Random(seed), Calendar()
    for _ in range(count):
        calendar.seconds += 600
        folder = home.task(str(uuid.UUID(int=rng.getrandbits(128))))
        with TaskLog(folder) as log:
            emit = Broadcast(folder.task_id, log=log, clock=calendar.clock, now=calendar.now)
            for event, seconds in _a_run(rng, spread):
                calendar.seconds += seconds
                emit(event)


def _a_run(rng: random.Random, spread: float) -> Iterator[tuple[Event, float]]:
    """(event, seconds before it)."""
    voice = min(180.0, max(3.0, rng.lognormvariate(2.7, 0.9)))
    frames, pace = int(voice * 25), rng.lognormvariate(0, spread)
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
    yield from _counted("rendering", frames, noisy(1.5), noisy(frames * 0.02), 0.0)
    yield from _counted("finalizing", frames, 0.02, noisy(frames * 0.002), noisy(1.2))
    yield Completed("/out.mp4", voice), 0.02


def _counted(
    stage: str, frames: int, ready: float, work: float, closing: float
) -> Iterator[tuple[Event, float]]:
    """A stage that gets ready, counts its frames, and goes on for a while (seconds)."""
    yield StageStarted(stage), 0.02
    steps = max(5, min(400, frames // 5))
    for step in range(1, steps + 1):
        since = work / (steps - 1) if step > 1 else ready
        yield StageProgress(stage, step * frames / steps, frames, "frames"), since
    told = {"work": frames, "work_unit": "frames"}
    yield StageEnded(stage, ready + work + closing, metadata=told), closing


def judge(home: Home) -> list[Forecast]:
    """A forecast per run of a home, oldest first."""
    logs = [summary.folder.events for summary in reversed(list_runs(home))]
    known: list[PastRun] = []
    forecasts = []
    for log in logs:
        run = past_run(log)
        if run is None:
            continue
        found = relive(log, known[-50:])
        if found is not None:
            forecasts.append(found)
        known.append(run)
    return forecasts
