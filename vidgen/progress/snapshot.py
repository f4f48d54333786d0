"""Where a run stands, folded from its events: the one fold, which the server sends and the
terminal draws. Knows no file, no network and no screen.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from vidgen.events import END_STATES, Envelope, State, lost_ends
from vidgen.messages import say

POSITION: Final = "run.position"  # the code of the log that tells the place in the queue
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
    "time_progress",
)
_USED: Final = ("cpu_percent", "memory_mb", "gpu_percent", "gpu_memory_mb")
Mark = Literal[
    "waiting", "running", "completed", "skipped", "reused", "failed", "cancelled", "interrupted"
]
_OUTCOMES: Final[Mapping[str, Mark]] = {
    "started": "running",
    "skipped": "skipped",
    "reused": "reused",
}


@dataclass(slots=True)
class Stage:
    """How far one stage is. `update` and `progress` are the data of its last events."""

    mark: Mark = "waiting"
    update: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)


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
        self.stages: dict[str, Stage] = {}  # in the order in which they were first heard of
        self.request: Mapping[str, Any] = {}  # what the run said of itself when it got ready
        self.most = 0.0  # percent that the run had ever reached
        self.most_time = 0.0  # percent of its time that is over, as far as it told
        self.position = 0  # in the queue for the device; 0 is unknown
        self.preview: Mapping[str, Any] = {}  # the newest
        self._now: Mapping[str, Any] = {"stage": "queued", "progress": 0.0, "message": ""}
        self._entries: dict[str, dict[str, Any]] = {}  # the stages as the wire has them
        self._trace: deque[dict[str, Any]] = deque(maxlen=TRACE)
        self._previews: dict[str, Mapping[str, Any]] = {}
        self._warnings = 0
        self._end: Mapping[str, Any] = {}

    @property
    def stage(self) -> str:
        return str(self._now.get("stage", ""))

    @property
    def message(self) -> str:
        return str(self._now.get("message", "") or self.stage)

    @property
    def progress(self) -> float:
        return number(self._now.get("progress")) or 0.0

    @property
    def now(self) -> Mapping[str, Any]:
        """The data of the last event that said where the run is."""
        return self._now

    @property
    def running(self) -> str:
        """The stage that is being worked on; "" between two."""
        return next((n for n, s in reversed(self.stages.items()) if s.mark == "running"), "")

    @property
    def resource(self) -> Mapping[str, Any]:
        """What the run used at the last look."""
        return self._trace[-1] if self._trace else {}

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
        data = event.data
        self._end = {} if self.state == "running" else data
        if (percent := number(data.get("progress"))) is not None and percent > self.most:
            self.most = percent
        if (percent := number(data.get("time_progress"))) is not None:
            self.most_time = max(self.most_time, percent)
        for name in lost_ends([n for n, s in self.stages.items() if s.mark == "running"], event):
            self.stages[name].mark = "completed"
            self._entries.get(name, {})["status"] = "completed"
        match event.event_type:
            case "progress_update":
                self._now = data
                self._advance(data)
            case "resource":
                self._trace.append(
                    {"timestamp": event.timestamp} | {name: data.get(name) for name in _USED}
                )
            case "preview":
                self._previews[str(data.get("name", ""))] = self.preview = data
            case "log":
                self._warnings += data.get("level") in ("WARNING", "ERROR")
                if data.get("message_code") == POSITION:
                    self.position = int(number((data.get("metadata") or {}).get("position")) or 0)
            case "stage_update":
                self._now = data
                self._enter(event)
            case _:
                self._now = data
                if self.state != "running" and self.state != "complete":
                    self._stop(self.state)

    def _advance(self, data: Mapping[str, Any]) -> None:
        name = str(data.get("stage", ""))
        stage = self.stages.get(name)
        if stage is None:
            stage = self.stages[name] = Stage()
        if stage.mark == "waiting":
            stage.mark = "running"
        stage.progress = data

    def _enter(self, event: Envelope) -> None:
        data, name = event.data, str(event.data.get("stage", ""))
        status = data.get("status", "started")
        entry = self._entries.setdefault(name, {"stage": name, "began": event.timestamp})
        entry["status"] = status
        for key in ("duration_seconds", "message", "message_code", "metadata"):
            if key in data:
                entry[key] = data[key]
        stage = self.stages.setdefault(name, Stage())
        stage.mark, stage.update = _OUTCOMES.get(str(status), "completed"), data
        if stage.mark == "running":
            stage.progress = {}
        if name == "initialized":
            self.request = {**self.request, **(data.get("metadata") or {})}
        elif name == "queued":
            self.position = 0

    def _stop(self, mark: Mark) -> None:
        if name := self.running:
            self.stages[name].mark = mark

    def interrupt(self) -> None:
        """Its writer is gone without a last word. The next event takes this back."""
        self.state = "interrupted"
        self._stop("interrupted")

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
        return {"stage": self.stage, "progress": self.progress, "message": self.message}

    def to_wire(self) -> dict[str, Any]:
        """The whole state (`GET /api/tasks/{id}`)."""
        return self.brief() | {
            "event_count": self._count,
            "reached": self.most,
            "metadata": {},
            **_current(self._now),
            "stages": list(self._entries.values()),
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
            "time_progress": self.most_time or None,
            "began": self.began,
            "updated": self.updated,
            "last_seq": self.last_seq,
        }


def brief_of(last: Envelope) -> dict[str, Any]:
    """What the last event alone says of its run, as a list of tasks has it."""
    data = last.data
    return {
        "state": END_STATES.get(last.event_type, "running"),
        "stage": str(data.get("stage", "")),
        "progress": number(data.get("progress")) or 0.0,
        "message": str(data.get("message", "")),
        "message_code": str(data.get("message_code", "")),
        "eta_seconds": data.get("eta_seconds"),
        "time_progress": data.get("time_progress"),
        "updated": last.timestamp,
        "last_seq": last.seq,
    }


def number(value: object) -> float | None:
    """A number of an event's data; None for what is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _current(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in _CURRENT if name in data}
