"""The runs on this machine, and the timeline of one, as values; `report` shows them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from vidgen.errors import InputError
from vidgen.events import (
    RESUMABLE,
    Envelope,
    State,
    is_start,
    lost_ends,
    seconds_of,
    stages_of,
)
from vidgen.paths import Home, TaskFolder
from vidgen.progress.store import runs as store
from vidgen.progress.store.batches import load_batch
from vidgen.progress.store.reader import skip_snapshots
from vidgen.progress.store.runs import Summary, title

REFUSED: Final = ("photo.", "voice.", "input.", "option.", "detect.")  # error codes
SAID: Final = ("message_code", "message", "metadata")  # what a sentence is made from


@dataclass(frozen=True, slots=True)
class Run:
    """One run in the list. Times are RFC 3339 in UTC; `seconds` is its length so far."""

    task_id: str
    state: State
    began: str
    ended: str
    seconds: float
    photo: str
    voice: str
    stage: str
    progress: float
    video_path: str
    resume_command: str
    error: Mapping[str, Any] = field(default_factory=dict)  # code, sentence, its places
    title: str = ""  # what a program called it, else the names of photo and voice

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One stage in a timeline; `began` in seconds from the run's beginning."""

    stage: str
    status: str
    began: float
    seconds: float
    message: str
    message_code: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A message of a run."""

    timestamp: str
    level: str
    message: str
    message_code: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timeline:
    """What happened in one run, in order."""

    run: Run
    steps: tuple[TimelineRow, ...]
    said: tuple[LogLine, ...]
    error: Mapping[str, Any] | None
    metadata: Mapping[str, Any]  # of the finished film: peaks, quality …
    left: tuple[str, ...] = ()  # the stages that a resume still has to do

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def runs(home: Home, limit: int | None = None) -> list[Run]:
    """The runs, newest first."""
    return [_run(summary) for summary in store.list_runs(home)[:limit]]


def batch_runs(home: Home, batch_id: str) -> list[Run]:
    """The runs of a batch, newest first; those too that other batches made for it."""
    record = load_batch(home, batch_id)
    planned = {film.task_id for film in record.films} if record else set()
    return [
        _run(summary)
        for summary in store.list_runs(home)
        if summary.task_id in planned or summary.request().get("batch_id") == batch_id
    ]


def timeline(folder: TaskFolder) -> Timeline:
    """What happened in one run. Raises InputError when nothing did yet."""
    summary = store.summarise(folder)
    if summary is None:
        raise InputError(
            "The run {task} has no events.",
            hint="It ended before it began; `vidgen clean` removes what is left of it.",
            code="history.empty",
            task=folder.task_id,
        )
    events = [*_with_lost_ends(skip_snapshots(folder.events))]
    logs = [event for event in events if event.event_type == "log"]
    error = summary.last.data if summary.state == "failed" else None
    metadata = summary.last.data.get("metadata") if summary.state == "complete" else None
    run = _run(summary)
    left = _stages_to_do(events) if run.resume_command else ()
    return Timeline(
        run, tuple(_steps(events)), tuple(map(_log_line, logs)), error, metadata or {}, left
    )


def _is_refused(summary: Summary) -> bool:
    """Whether its photo, its voice or its options were refused: a resume would hear the same."""
    code = str(summary.last.data.get("error_code", "")) if summary.state == "failed" else ""
    return code.startswith(REFUSED) and code != "detect.no_enlarge"  # what is missing may come


def _run(summary: Summary) -> Run:
    request = summary.request()
    inputs = request.get("inputs") or {}
    data = summary.last.data
    took = data.get("duration_seconds") if summary.state == "complete" else None
    length = seconds_of(summary.last.timestamp) - seconds_of(summary.began)
    can_resume = summary.state in RESUMABLE and bool(inputs) and not _is_refused(summary)
    again = f"vidgen resume {summary.task_id[:8]}" if can_resume else ""
    return Run(
        summary.task_id,
        summary.state,
        summary.began,
        summary.last.timestamp,
        float(took) if took else max(0.0, length),
        _name(inputs, "photo"),
        _name(inputs, "voice"),
        summary.stage,
        summary.progress,
        str(data.get("video_path") or ""),
        again,
        {name: data.get(name) for name in SAID} if summary.state == "failed" else {},
        title(request),
    )


def _name(inputs: Mapping[str, Any], which: str) -> str:
    value = inputs.get(which)
    path = value.get("path", "") if isinstance(value, Mapping) else ""
    return Path(str(path)).name


def _with_lost_ends(events: Iterable[Envelope]) -> Iterator[Envelope]:
    """The events, and the ends of stages that the log has lost, at the latest moment for each."""
    begun: dict[str, None] = {}
    for event in events:
        if is_start(event):  # what broke off before was no end
            begun.clear()
        for name in lost_ends(begun, event):
            del begun[name]
            data = {"stage": name, "status": "completed", "message_code": f"stage.{name}"}
            yield replace(event, event_type="stage_update", data=data)
        if event.event_type == "stage_update":
            stage = str(event.data.get("stage"))
            if event.data.get("status") == "started":
                begun[stage] = None
            else:
                begun.pop(stage, None)
        yield event


def _steps(events: list[Envelope]) -> list[TimelineRow]:
    """The stages of the log, in order; one that did not end ends with the log.

    The time between a run's end and its being taken up again is left out.
    """
    steps: list[TimelineRow] = []
    opened: dict[str, float] = {}
    zero = last = seconds_of(events[0].timestamp) if events else 0.0
    for event in events:
        now = seconds_of(event.timestamp)
        if is_start(event):
            steps += _open_steps(opened, zero, last)
            zero += now - last
        last = now
        if event.event_type != "stage_update":
            continue
        stage, status = str(event.data.get("stage")), str(event.data.get("status"))
        if status == "started":
            opened[stage] = now
        else:
            began = opened.pop(stage, now)
            steps.append(_step(event.data, status, began - zero, now - began))
    return steps + _open_steps(opened, zero, last)


def _stages_to_do(events: list[Envelope]) -> tuple[str, ...]:
    """The stages that did not end the last time they were begun, or never were."""
    updates = [event.data for event in events if event.event_type == "stage_update"]
    last = {str(data.get("stage")): data.get("status") for data in updates}
    named = [(data.get("metadata") or {}).get("renderer") for data in updates]
    stages = stages_of("d-id" if "d-id" in named else "")
    return tuple(stage for stage in stages if last.get(stage, "started") == "started")


def _open_steps(opened: dict[str, float], zero: float, last: float) -> list[TimelineRow]:
    found = [
        TimelineRow(
            stage, "unfinished", round(at - zero, 3), round(last - at, 3), "", f"stage.{stage}"
        )
        for stage, at in opened.items()
    ]
    opened.clear()
    return found


def _step(data: Mapping[str, Any], status: str, began: float, seconds: float) -> TimelineRow:
    return TimelineRow(
        str(data.get("stage")),
        status,
        round(began, 3),
        float(data.get("duration_seconds") or round(seconds, 3)),
        str(data.get("message", "")),
        str(data.get("message_code", "")),
        data.get("metadata") or {},
    )


def _log_line(event: Envelope) -> LogLine:
    data = event.data
    return LogLine(
        event.timestamp,
        str(data.get("level", "INFO")),
        str(data.get("message", "")),
        str(data.get("message_code", "")),
        data.get("metadata") or {},
    )
