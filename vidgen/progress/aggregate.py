"""Several runs as one: what a batch's watchers are told. Pure arithmetic."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vidgen.events import OVER


def aggregate(tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts by state, the mean progress (an ended run counts as done), and the tasks.

    `tasks` are briefs (`Snapshot.brief`). `state` is running while any of them is, else the
    worst of their ends.
    """
    states = Counter(str(task["state"]) for task in tasks)
    done = [100.0 if task["state"] in OVER else float(task["progress"]) for task in tasks]
    return {
        "total": len(tasks),
        "states": dict(states),
        "state": _state(states),
        "progress": round(sum(done) / len(done), 2) if done else 0.0,
        "tasks": list(tasks),
    }


def _state(states: Mapping[str, int]) -> str:
    for state in ("running", "queued", "failed", "interrupted", "cancelled", "complete"):
        if states.get(state):
            return state
    return "queued"
