"""Events and snapshots of one run for the dialects' tests, told by the real broadcast."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from vidgen.events import (
    Completed,
    Emit,
    Envelope,
    Event,
    Failed,
    Log,
    Preview,
    Resource,
    StageEnded,
    StageProgress,
    StageStarted,
)
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.snapshot import Snapshot

TASK = "550e8400-e29b-41d4-a716-446655440000"
SHARES = {"load": (0.0, 20.0), "rendering": (20.0, 80.0), "save": (80.0, 99.0)}


def _moments() -> Iterator[datetime]:
    moment = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
    while True:
        yield moment
        moment += timedelta(seconds=1)


def told(*events: Event, task_id: str = TASK) -> list[Envelope]:
    """The events as they stand in a log, a second apart."""
    found: list[Envelope] = []
    moments, ticks = _moments(), iter(range(1000))
    emit: Emit = Broadcast(
        task_id,
        [found.append],
        shares=SHARES,
        clock=lambda: float(next(ticks)),
        now=lambda: next(moments),
    )
    for event in events:
        emit(event)
    return found


def said(text: str, **metadata: Any) -> dict[str, Any]:
    return {"code": "page.said", "metadata": {"text": text, **metadata}}


BEGUN: Sequence[Event] = (
    StageStarted("load", **said("Loading")),
    StageEnded("load", 5.2, **said("Loaded")),
    StageStarted("rendering", **said("Drawing")),
    Log("WARNING", **said("The voice is quiet")),
    Resource(45.2, 2048.0, 87.5, 6144.0),
    Preview("rendering-25", "rendering-25.jpg", 640, 360, "0" * 64, 1000),
    StageProgress("rendering", 1500, 2000, "frames", **said("Frame 1500 of 2000", fps=25)),
)
WHOLE = (*BEGUN, Completed("/films/a.mp4", 9.0, {"seconds": 66.67, "frames": 2000}))
BROKEN = (
    *BEGUN,
    Failed("Out of memory", "device.memory", "Take a smaller film", True, 2, 3, {"free": 1}, "t1"),
)


def snapshot(*events: Event, **more: Any) -> dict[str, Any]:
    """Where a run stands after these events."""
    found = Snapshot(TASK)
    for event in told(*events):
        found.take(event)
    return {"plan": list(SHARES), **found.to_wire(), **more}
