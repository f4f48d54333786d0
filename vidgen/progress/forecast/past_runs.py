"""Past runs as numbers: how long each stage took for how much work, read from the logs.

What follows from them is the business of `model` and `history.stats`.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vidgen.events import END_STATES, State, is_start, seconds_of
from vidgen.paths import Home
from vidgen.progress.store.reader import skip_snapshots
from vidgen.progress.store.runs import task_names

TAIL: Final = "complete"  # as a stage: from the last one's end to the run's
TRAITS: Final = ("backend", "model", "device", "precision")


@dataclass(frozen=True, slots=True)
class StageTime:
    """One stage of one run. `seconds` is its work, `ready_seconds` what passed before: the loading
    of its models, or until the first of its units was done. `closing_seconds` of the work came
    after the last unit."""

    stage: str
    status: str
    seconds: float
    ready_seconds: float
    traits: Mapping[str, str]
    work: float | None
    work_unit: str
    closing_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run that is over. `seconds` runs from the plan's end to the film, without the queue;
    None when it did not end in a film or was taken up again."""

    task_id: str
    state: State
    began: float  # seconds since 1970
    request: Mapping[str, Any]
    stages: tuple[StageTime, ...]
    seconds: float | None
    total_seconds: float
    error_code: str
    failed_stage: str


def past_runs(home: Home, limit: int = 50, skip: str = "") -> list[PastRun]:
    """The newest `limit` runs that are over, oldest first, without the run `skip`."""
    logs = sorted(_logs(home), reverse=True)
    runs: list[PastRun] = []
    for _, log in logs:
        if len(runs) == limit:
            break
        if log.parent.name != skip and (run := past_run(log)):
            runs.append(run)
    return sorted(runs, key=lambda run: run.began)


def _logs(home: Home) -> Iterator[tuple[int, Path]]:
    for name in task_names(home):
        log = f"{home.tasks}/{name}/events.jsonl"
        try:
            yield os.stat(log).st_mtime_ns, Path(log)  # noqa: PTH116  # of 10,000 tasks
        except OSError:
            continue


def past_run(log: Path) -> PastRun | None:
    """The numbers of one log; None when it holds no run that came to an end."""
    events = list(skip_snapshots(log))
    if not events or events[-1].event_type not in END_STATES:
        return None
    request: Mapping[str, Any] = {}
    stages: list[StageTime] = []
    sessions, planned_at, queued, stage_end = 0, 0.0, 0.0, 0.0
    for event in events:
        if event.event_type != "stage_update":
            continue
        stage, status = str(event.data.get("stage")), str(event.data.get("status"))
        if status == "started":
            sessions += is_start(event)
        elif stage == "initialized":
            request, planned_at = event.data.get("metadata") or {}, seconds_of(event.timestamp)
        elif stage == "queued":
            queued += _number(event.data, "duration_seconds")
        else:
            stages.append(_stage_time(event.data))
            stage_end = seconds_of(event.timestamp)
    last, began = events[-1], seconds_of(events[0].timestamp)
    ended = seconds_of(last.timestamp)
    if last.event_type == "complete" and stage_end:
        stages.append(StageTime(TAIL, "completed", ended - stage_end, 0.0, {}, None, "frames"))
    is_whole = last.event_type == "complete" and sessions <= 1 and planned_at > 0
    return PastRun(
        last.task_id,
        END_STATES[last.event_type],
        began,
        request,
        tuple(stages),
        ended - planned_at - queued if is_whole else None,
        ended - began,
        str(last.data.get("error_code", "")),
        str(last.data.get("failed_stage", "")),
    )


def _stage_time(data: Mapping[str, Any]) -> StageTime:
    metadata = data.get("metadata") or {}
    took = _number(data, "duration_seconds")
    ready = min(took, max(_number(metadata, "load_seconds"), _number(data, "ready_seconds")))
    work = metadata.get("work")
    return StageTime(
        str(data.get("stage")),
        str(data.get("status")),
        took - ready,
        ready,
        {name: str(metadata[name]) for name in TRAITS if metadata.get(name)},
        float(work) if isinstance(work, int | float) and work > 0 else None,
        str(metadata.get("work_unit", "")),
        min(took - ready, _number(data, "closing_seconds")),
    )


def _number(data: Mapping[str, Any], name: str) -> float:
    value = data.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
