"""Logs made up for tests of the store."""

from vidgen.events import Envelope
from vidgen.paths import TaskFolder
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.runs import Summary, summarise


def envelope(
    seq: int, event_type: str = "log", task_id: str = "t", progress: float = 0.0, **data: object
) -> Envelope:
    stamp = f"2026-11-20T12:00:{seq % 60:02}.000Z"
    base = {"stage": "rendering", "progress": progress, "message": "m"}
    return Envelope(task_id, seq, event_type, stamp, base | data)


def written(folder: TaskFolder, *events: Envelope) -> list[Envelope]:
    with TaskLog(folder) as log:
        for event in events:
            log(event)
    return list(events)


def summary_of(folder: TaskFolder) -> Summary:
    summary = summarise(folder)
    assert summary is not None
    return summary
