"""Where a run stands, kept up to date event by event. Knows no file and no network."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Literal

from vidgen.events import END_STATES, Envelope, State
from vidgen.messages import say

TRACE: Final = 120  # resource readings kept for the plots; 4 minutes at one each 2 s
_CURRENT: Final = (
    "stage",
    "progress",
    "stage_progress",
    "message",
    "message_code",
    "metadata",
    "done",
    "total",
    "unit",
    "rate",
    "eta_seconds",
    "eta_upper_seconds",
    "eta_basis",
)
_USED: Final = ("cpu_percent", "memory_mb", "gpu_percent", "gpu_memory_mb")


class Snapshot:
    """One run's state out of its events; `to_wire` is what watchers get instead of all of them."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.last_type = ""
        self.last_seq = 0
        self.began = ""
        self.updated = ""
        self.state: State | Literal["queued"] = "queued"
        self._count = 0
        self._now: dict[str, Any] = {"stage": "queued", "progress": 0.0, "message": ""}
        self._stages: dict[str, dict[str, Any]] = {}
        self._trace: deque[dict[str, Any]] = deque(maxlen=TRACE)
        self._previews: dict[str, dict[str, Any]] = {}
        self._warnings = 0
        self._end: dict[str, Any] = {}

    @property
    def stage(self) -> str:
        return str(self._now.get("stage", ""))

    @property
    def progress(self) -> float:
        value = self._now.get("progress", 0.0)
        return float(value) if isinstance(value, int | float) else 0.0

    @property
    def end(self) -> Mapping[str, Any]:
        """The data of the terminal event; empty while there is none."""
        return self._end

    def take(self, event: Envelope) -> None:
        """Bring the next event in."""
        self.began = self.began or event.timestamp
        self.updated = event.timestamp
        self.last_type, self.last_seq = event.event_type, event.seq
        self._count += 1
        self.state = END_STATES.get(event.event_type, "running")
        self._end = dict(event.data) if event.is_terminal else {}
        match event.event_type:
            case "resource":
                self._trace.append(
                    {"timestamp": event.timestamp} | {name: event.data.get(name) for name in _USED}
                )
            case "preview":
                self._previews[str(event.data.get("name", ""))] = dict(event.data)
            case "log":
                self._warnings += event.data.get("level") in ("WARNING", "ERROR")
            case "stage_update":
                self._enter(event)
            case _:
                self._now = _current(event.data)

    def _enter(self, event: Envelope) -> None:
        self._now = _current(event.data)
        stage = str(event.data.get("stage", ""))
        entry = self._stages.setdefault(stage, {"stage": stage, "began": event.timestamp})
        entry["status"] = event.data.get("status", "started")
        for name in ("duration_seconds", "message", "message_code", "metadata"):
            if name in event.data:
                entry[name] = event.data[name]

    def interrupt(self) -> None:
        """Its writer is gone without a last word. The next event takes this back."""
        self.state = "interrupted"

    def interruption(self) -> dict[str, Any]:
        """What to tell watchers of it; never stored."""
        return {
            "stage": "interrupted",
            "interrupted_stage": self.stage,
            "progress": self.progress,
            "message": say("stage.interrupted"),
            "message_code": "stage.interrupted",
            "metadata": {},
            "resume_command": f"vidgen resume {self.task_id[:8]}",
        }

    def deletion(self) -> dict[str, Any]:
        """What to tell watchers when the task is deleted under them; never stored."""
        return self.pulse() | {"message": say("page.deleted"), "message_code": "page.deleted"}

    def pulse(self) -> dict[str, Any]:
        """What a heartbeat says."""
        return {"stage": self.stage, "progress": self.progress, "message": ""}

    def to_wire(self) -> dict[str, Any]:
        """The whole state (`GET /api/tasks/{id}`)."""
        return self.brief() | {
            "event_count": self._count,
            "metadata": {},
            **self._now,
            "stages": list(self._stages.values()),
            "resource": self._trace[-1] if self._trace else None,
            "resources": list(self._trace),
            "previews": list(self._previews.values()),
            "warnings": self._warnings,
            "end": self._end or None,
        }

    def brief(self) -> dict[str, Any]:
        """One line of a list (`GET /api/tasks`)."""
        return {
            "task_id": self.task_id,
            "state": self.state,
            "stage": self.stage,
            "progress": self.progress,
            "message": str(self._now.get("message", "")),
            "message_code": str(self._now.get("message_code", "")),
            "eta_seconds": self._now.get("eta_seconds"),
            "began": self.began,
            "updated": self.updated,
            "last_seq": self.last_seq,
        }


def _current(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in _CURRENT if name in data}
