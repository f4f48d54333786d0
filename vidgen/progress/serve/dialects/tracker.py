"""The words of system 001: tasks with numbered stages, one WebSocket for as many as one likes.

/api/v1/progress/ws?client_id=…        progress.update; subscribe, unsubscribe, get_progress,
                                       get_batch_progress
/api/v1/progress/tasks/{id}            TaskProgress; behind it /logs and /history
/api/v1/progress/batch/{id}            several as one
/api/v1/previews/{task_id}_{name}.png  a picture
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final

from vidgen.events import Envelope
from vidgen.progress.serve.dialects.dialect import (
    QUIET,
    Before,
    Dialect,
    Json,
    number,
    own_metadata,
    percent,
)

PREVIEWS: Final = "/api/v1/previews/"
PING_SECONDS: Final = 30
STATUS: Final[Mapping[str, str]] = {
    "queued": "queued",
    "running": "executing",
    "complete": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "interrupted": "failed",  # its worker is gone
}
_STAGE_STATUS: Final[Mapping[str, str]] = {
    "started": "in_progress",
    "completed": "completed",
    "reused": "completed",
    "skipped": "skipped",
}
_UNENDED: Final = {"failed": "failed", "interrupted": "failed", "cancelled": "cancelled"}
_USED: Final = ("cpu_percent", "memory_mb", "gpu_percent", "gpu_memory_mb")


def task_progress(snapshot: Mapping[str, Any]) -> Json:
    """The whole state of a task, `TaskProgress`. `snapshot` has the names of its `plan`, too."""
    stages = _stages(snapshot)
    state = str(snapshot["state"])
    current = _current(list(stages.values()))
    return {
        "task_id": snapshot["task_id"],
        "template_id": snapshot.get("template_id") or "vidgen",
        "status": STATUS.get(state, "executing"),
        "current_stage": current,
        "total_stages": len(stages),
        "overall_progress": 100.0 if state == "complete" else _reached(snapshot),
        "message": str(snapshot.get("message", "")),
        "eta": _eta(snapshot),
        "preview_url": _preview(snapshot),
        "stages": {str(place): stage for place, stage in enumerate(stages.values())},
        "resource_usage": {name: (snapshot.get("resource") or {}).get(name) for name in _USED},
        "error": _error(snapshot),
        "updated_at": snapshot.get("updated", ""),
    }


def batch_progress(batch_id: str, tasks: Sequence[Mapping[str, Any]]) -> Json:
    """Several tasks as one; `tasks` are snapshots or briefs."""
    known = [(str(task["state"]), task) for task in tasks]
    counts = Counter(STATUS.get(state, "executing") for state, _ in known)
    shares = [100.0 if state == "complete" else _reached(task) for state, task in known]
    return {
        "batch_id": batch_id,
        "status": _together(counts),
        "total_tasks": len(known),
        "completed_tasks": counts["completed"],
        "failed_tasks": counts["failed"],
        "overall_progress": round(sum(shares) / len(shares), 2) if shares else 0.0,
        "tasks": {
            str(task["task_id"]): {
                "status": STATUS.get(state, "executing"),
                "overall_progress": share,
                "message": str(task.get("message", "")),
            }
            for (state, task), share in zip(known, shares, strict=True)
        },
    }


def log_line(event: Envelope) -> Json:
    """One line of `/logs`."""
    return {
        "timestamp": event.timestamp,
        "level": str(event.data.get("level", "INFO")).lower(),
        "message": str(event.data.get("message", "")),
        "stage": str(event.data.get("stage", "")),
        "seq": event.seq,
    }


def moment(text: str) -> datetime:
    """`2024-01-01`, or with a time: UTC when no zone is named. Raises ValueError."""
    found = datetime.fromisoformat(text.strip().replace(" ", "+"))  # a + in a query is a space
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def preview_name(file: str) -> tuple[str, str]:
    """(task id, the preview's name) of a file under PREVIEWS; ids may have a `_`, names have not.

    Raises ValueError.
    """
    task_id, found, name = PurePosixPath(file).stem.rpartition("_")
    if not (task_id and found and name):
        raise ValueError("not a preview")
    return task_id, name


def stands(snapshot: Mapping[str, Any], base: str) -> Sequence[Json]:  # noqa: ARG001  # every dialect's form
    """`progress.update`: idempotent, so it is the same early, late and in between."""
    return [update(snapshot)]


def update(snapshot: Mapping[str, Any]) -> Json:
    return {
        "type": "progress.update",
        "task_id": snapshot["task_id"],
        "data": task_progress(snapshot),
        "timestamp": snapshot.get("updated", ""),
    }


def ping(task_id: str, moment: str) -> Json:  # noqa: ARG001  # every dialect's form
    return {"type": "ping", "timestamp": moment}


def _says(event: Envelope, before: Before, base: str) -> Sequence[Json]:
    raise NotImplementedError("this system is told where a run stands, not what happened")


def _stages(snapshot: Mapping[str, Any]) -> dict[str, Json]:
    """name → how it is, those of the plan first, then what was begun beside it."""
    begun = {str(stage["stage"]): stage for stage in snapshot.get("stages") or []}
    plan = [*(snapshot.get("plan") or ()), *(name for name in begun if name not in QUIET)]
    return {name: _stage(name, begun.get(name), snapshot) for name in dict.fromkeys(plan)}


def _stage(name: str, begun: Mapping[str, Any] | None, snapshot: Mapping[str, Any]) -> Json:
    if begun is None:
        return {"name": name, "status": "pending", "progress": 0.0}
    status = _STAGE_STATUS.get(str(begun.get("status")), "in_progress")
    if status == "in_progress":
        status = _UNENDED.get(str(snapshot["state"]), status)
    is_current = snapshot.get("stage") == name and status == "in_progress"
    share = number(snapshot.get("stage_progress")) if is_current else None
    source = snapshot if is_current else begun
    stage: Json = {
        "name": name,
        "status": status,
        "progress": 1.0 if status in ("completed", "skipped") else share or 0.0,
        "message": str(source.get("message", "")),
        "metadata": own_metadata(source),
    }
    if (seconds := number(begun.get("duration_seconds"))) is not None:
        stage["duration"] = seconds
    return stage


def _current(stages: Sequence[Json]) -> int:
    """The number of the stage that is worked on; of the last one when all are over."""
    open_ = [n for n, stage in enumerate(stages) if stage["status"] in ("in_progress", "failed")]
    if open_:
        return open_[-1]
    over = [n for n, stage in enumerate(stages) if stage["status"] != "pending"]
    return over[-1] if over else 0


def _reached(snapshot: Mapping[str, Any]) -> float:
    return number(snapshot.get("reached")) or percent(snapshot)


def _eta(snapshot: Mapping[str, Any]) -> str | None:
    """When it will be ready, ISO 8601."""
    left = number(snapshot.get("eta_seconds"))
    if snapshot["state"] != "running" or left is None:
        return None
    try:
        ready = moment(str(snapshot["updated"])) + timedelta(seconds=left)
    except (ValueError, OverflowError):
        return None
    return ready.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _preview(snapshot: Mapping[str, Any]) -> str | None:
    """A path, as the document has it: the client puts the server before it."""
    previews = snapshot.get("previews") or []
    if not previews:
        return None
    last = previews[-1]
    ending = PurePosixPath(str(last.get("path", "")).replace("\\", "/")).suffix or ".jpg"
    return f"{PREVIEWS}{snapshot['task_id']}_{last.get('name', '')}{ending}"


def _error(snapshot: Mapping[str, Any]) -> str | None:
    if snapshot["state"] in ("failed", "interrupted", "cancelled"):
        return str((snapshot.get("end") or snapshot).get("message", ""))
    return None


def _together(counts: Mapping[str, int]) -> str:
    for status in ("executing", "queued", "failed", "cancelled", "completed"):
        if counts.get(status):
            return status
    return "queued"


DIALECT: Final = Dialect(
    "001", says=_says, stands=stands, tells_events=False, ping=ping, ping_seconds=PING_SECONDS
)
