"""What is known of a run from its events so far, folded into one place for a view to draw.

Reads envelopes only, so a local run, a remote one and a stored one look the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from vidgen.events import CLOUD_PLAN, END_STATES, LOCAL_PLAN, Envelope, is_start, seconds_of
from vidgen.progress.countdown import Countdown

Mark = Literal[
    "waiting", "running", "completed", "skipped", "reused", "failed", "cancelled", "interrupted"
]
POSITION: Final = "run.position"  # the code of the log that tells the place in the queue
QUIET_STAGES: Final = frozenset({"initialized", "complete", "failed", "cancelled"})


@dataclass(slots=True)
class StageState:
    """One row of the view. `progress` is the data of its last `progress_update`."""

    name: str
    mark: Mark = "waiting"
    began: float = 0.0  # on the view's clock
    seconds: float = 0.0  # when it is over
    said: Mapping[str, Any] = field(default_factory=dict)  # data of its last stage_update
    progress: Mapping[str, Any] = field(default_factory=dict)


class RunState:
    """A run as its events tell it. Not thread-safe; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.task_id = ""
        self.stages: dict[str, StageState] = {name: StageState(name) for name in LOCAL_PLAN}
        self.request: Mapping[str, Any] = {}
        self.percent = 0.0
        self.resource: Mapping[str, Any] = {}
        self.preview: Mapping[str, Any] = {}
        self.position = 0  # in the queue for the device; 0 is unknown
        self.end: Envelope | None = None
        self.eta, self.upper = Countdown(), Countdown()
        self.eta_basis = ""
        self._began: float | None = None  # seconds since 1970
        self._elapsed = 0.0  # at the last event
        self._seen = clock()

    @property
    def running(self) -> StageState | None:
        return next((s for s in reversed(self.stages.values()) if s.mark == "running"), None)

    def elapsed(self) -> float:
        """Seconds since the run began; a finished run stands still."""
        return self._elapsed + (0.0 if self.end else self._clock() - self._seen)

    def take(self, event: Envelope) -> None:
        self.task_id = event.task_id
        self._tell_time(event)
        data = event.data
        self.percent = max(self.percent, _number(data.get("progress")) or 0.0)
        if "eta_basis" in data or "eta_seconds" in data:
            self.eta.take(_number(data.get("eta_seconds")), self._seen)
            self.upper.take(_number(data.get("eta_upper_seconds")), self._seen)
            self.eta_basis = str(data.get("eta_basis", ""))
        match event.event_type:
            case "stage_update":
                self._stage(data)
            case "progress_update":
                self._progress(data)
            case "log" if data.get("message_code") == POSITION:
                self.position = int(_number((data.get("metadata") or {}).get("position")) or 0)
            case "resource":
                self.resource = data
            case "preview":
                self.preview = data
            case kind if kind in END_STATES:
                self._finish(event)

    def interrupt(self) -> None:
        """The writer is gone without a word; the view's owner found that out."""
        if row := self.running:
            row.mark = "interrupted"

    def _tell_time(self, event: Envelope) -> None:
        stamp = seconds_of(event.timestamp)
        if self._began is None or is_start(event):  # a resumed run begins anew
            self._began, self.end = stamp, None
        told = max(0.0, stamp - self._began)
        self._elapsed, self._seen = told, self._clock()

    def _stage(self, data: Mapping[str, Any]) -> None:
        if data.get("stage") == "initialized":
            self.request = {**self.request, **(data.get("metadata") or {})}
            if self.request.get("renderer") == "d-id":
                self._plan(CLOUD_PLAN)
        if data.get("stage") in QUIET_STAGES and data.get("stage") not in self.stages:
            return
        row = self._row(data)
        row.said = data
        if row.name == "queued":
            self.position = 0
        if data.get("status") == "started":
            row.mark, row.began, row.progress = "running", self._seen, {}
        else:
            status = str(data.get("status"))
            row.mark = (
                "skipped"
                if status == "skipped"
                else ("reused" if status == "reused" else "completed")
            )
            row.seconds = _number(data.get("duration_seconds")) or 0.0

    def _progress(self, data: Mapping[str, Any]) -> None:
        row = self._row(data)
        if row.mark == "waiting":  # a quiet stage is worth a row when it fetches models
            row.mark, row.began = "running", self._seen
        row.progress = data

    def _row(self, data: Mapping[str, Any]) -> StageState:
        name = str(data.get("stage", ""))
        if name not in self.stages and name.startswith("d_id_"):
            self._plan(CLOUD_PLAN)
        if name in ("initialized", "queued") and name not in self.stages:
            before = {n: row for n, row in self.stages.items() if n == "initialized"}
            self.stages = {**before, name: StageState(name), **self.stages}
        return self.stages.setdefault(name, StageState(name))

    def _plan(self, names: tuple[str, ...]) -> None:
        known = {name: row for name, row in self.stages.items() if row.mark != "waiting"}
        rows = [*(n for n in known if n not in names), *names]
        self.stages = {name: known.get(name) or StageState(name) for name in rows}

    def _finish(self, event: Envelope) -> None:
        self.end = event
        self.eta.take(None, self._seen)
        state = END_STATES[event.event_type]
        if (row := self.running) and (state == "failed" or state == "cancelled"):
            row.mark, row.seconds = state, self._seen - row.began


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
