"""What many runs say together: how long stages take, why runs fail, how true the estimates were.

Values only; `views.report` prints them and `views.plot` draws them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any, Final

from vidgen.paths import Home, TaskFolder
from vidgen.progress.forecast.accuracy import Accuracy, Forecast, accuracy, forecast
from vidgen.progress.forecast.model import work_of
from vidgen.progress.forecast.past_runs import TAIL, PastRun, StageTime, past_runs
from vidgen.progress.store.reader import iter_events
from vidgen.progress.store.runs import summarise, title

RUNS: Final = 200  # the newest; older ones were made by older programs
JUDGED: Final = 50  # of them, how many estimates are judged


@dataclass(frozen=True, slots=True)
class StageStats:
    """One stage as one backend on one device did it. Seconds are without getting ready."""

    stage: str
    backend: str
    device: str
    runs: int
    median_seconds: float
    low_seconds: float  # a quarter of the runs took less
    high_seconds: float  # a quarter took more
    ready_seconds: float
    seconds_per_unit: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class RunPoint:
    """One finished run: when it began (seconds since 1970), its times, its voice's length."""

    task_id: str
    began: float
    seconds: float
    voice_seconds: float | None


@dataclass(frozen=True, slots=True)
class Stats:
    """Everything `vidgen stats` tells."""

    runs: int
    states: Mapping[str, int]
    stages: tuple[StageStats, ...]
    failures: Mapping[str, int]  # by code, the most frequent first
    accuracy: Accuracy
    forecasts: tuple[Forecast, ...]
    finished: tuple[RunPoint, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def statistics(home: Home, limit: int = RUNS) -> Stats:
    """The newest `limit` runs that are over, together."""
    runs = past_runs(home, limit)
    whole = [run for run in runs if run.seconds is not None][-JUDGED:]
    read = (forecast(iter_events(home.task(run.task_id).events)) for run in whole)
    forecasts = tuple(found for found in read if found)
    return Stats(
        len(runs),
        dict(Counter(run.state for run in runs).most_common()),
        tuple(_stages(runs, home)),
        dict(Counter(run.error_code or "?" for run in runs if run.state == "failed").most_common()),
        accuracy(forecasts),
        forecasts,
        tuple(_point(run) for run in runs if run.state == "complete"),
    )


def _stages(runs: Sequence[PastRun], home: Home) -> list[StageStats]:
    """In the order of the pipeline as the runs had it; other programs each by itself."""
    groups: dict[tuple[str, str, str], list[tuple[PastRun, StageTime]]] = {}
    for run in runs:
        program = "" if run.request else _program(home.task(run.task_id))
        for time in run.stages:
            if time.status == "completed" and time.stage != TAIL:
                backend = program or time.traits.get("backend", "")
                key = (time.stage, backend, time.traits.get("device", ""))
                groups.setdefault(key, []).append((run, time))
    return [_stage(*key, found) for key, found in groups.items()]


def _stage(
    stage: str, backend: str, device: str, found: Sequence[tuple[PastRun, StageTime]]
) -> StageStats:
    seconds = [time.seconds for _, time in found]
    low, _, high = quantiles(seconds, method="inclusive") if len(seconds) > 1 else seconds * 3
    works = [(work_of(time, run.request) or time.work, time.seconds) for run, time in found]
    paces = [seconds / work for work, seconds in works if work]
    return StageStats(
        stage,
        backend,
        device,
        len(found),
        median(seconds),
        low,
        high,
        median(time.ready_seconds for _, time in found),
        median(paces) if paces else None,
        found[-1][1].work_unit,
    )


def _program(folder: TaskFolder) -> str:
    """What a run is called that a `Reporter` told; "" for one of our own."""
    summary = summarise(folder)
    request = summary.request() if summary else {}
    return "" if "inputs" in request or not request else title(request) or "Reporter"


def _point(run: PastRun) -> RunPoint:
    voice = run.request.get("voice_seconds")
    seconds = float(voice) if isinstance(voice, int | float) and voice > 0 else None
    return RunPoint(run.task_id, run.began, run.total_seconds, seconds)
