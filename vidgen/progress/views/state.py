"""A run as a terminal draws it: its snapshot, in rows, with the times of the one who looks.

What the events say is the snapshot's business, so a local run, a remote one and a stored one look
the same. Here is only what depends on when they were seen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vidgen.events import Envelope, is_start, seconds_of, stages_of
from vidgen.progress.forecast.countdown import Countdown
from vidgen.progress.snapshot import Mark, Snapshot, Stage, number

QUIET_STAGES: Final = frozenset({"initialized", "complete", "failed", "cancelled"})
FIRST_ROWS: Final = ("initialized", "queued")


@dataclass(frozen=True, slots=True)
class StageState:
    """One row of the view. `progress` is the data of its last `progress_update`."""

    name: str
    mark: Mark
    began: float  # on the view's clock
    seconds: float  # when it is over
    data: Mapping[str, Any]  # data of its last stage_update
    progress: Mapping[str, Any]


class RunState:
    """A run as its events tell it. Not thread-safe; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._run = Snapshot("")
        self.end: Envelope | None = None
        self.eta, self.upper = Countdown(), Countdown()
        self.eta_basis = ""
        self._began: float | None = None  # seconds since 1970
        self._elapsed = 0.0  # at the last event
        self._seen = clock()
        self._seen_began: dict[str, float] = {}  # stage -> when the view saw it begin
        self._seen_seconds: dict[
            str, float
        ] = {}  # stage -> how long the view saw it until it broke
        self._rows: dict[str, StageState] | None = None  # as long as no event comes

    @property
    def task_id(self) -> str:
        return self._run.task_id

    @property
    def request(self) -> Mapping[str, Any]:
        return self._run.request

    @property
    def percent(self) -> float:
        """What the bar shows: how much of the time is over, or else how much of the stages."""
        is_complete = self.end is not None and self.end.event_type == "complete"
        return self._run.most if is_complete else self._run.most_time or self._run.most

    @property
    def resource(self) -> Mapping[str, Any]:
        return self._run.resource

    @property
    def preview(self) -> Mapping[str, Any]:
        return self._run.preview

    @property
    def position(self) -> int:
        """The place in the queue for the device; 0 is unknown."""
        return self._run.position

    @property
    def stages(self) -> dict[str, StageState]:
        """The rows, from top to bottom: the plan's stages, and around them what else there is."""
        if self._rows is None:
            self._rows = {name: self._row(name) for name in self._names()}
        return self._rows

    @property
    def running(self) -> StageState | None:
        return next((s for s in reversed(self.stages.values()) if s.mark == "running"), None)

    def elapsed(self) -> float:
        """Seconds since the run began; a finished run stands still."""
        return self._elapsed + (0.0 if self.end else self._clock() - self._seen)

    def ready_at(self, now: float) -> float | None:
        """When it will be over, seconds since 1970; None while nobody knows."""
        left = self.eta.at(now)
        return None if left is None or self._began is None else self._began + self.elapsed() + left

    def take(self, event: Envelope) -> None:
        self._tell_time(event)
        self._run.task_id = event.task_id
        data = event.data
        if "eta_basis" in data or "eta_seconds" in data:
            self.eta.take(number(data.get("eta_seconds")), self._seen)
            self.upper.take(number(data.get("eta_upper_seconds")), self._seen)
            self.eta_basis = str(data.get("eta_basis", ""))
        if event.is_terminal:
            self._finish(event)
        self._run.take(event)
        self._rows = None
        if event.event_type == "progress_update":
            self._seen_began.setdefault(str(data.get("stage", "")), self._seen)
        elif event.event_type == "stage_update":
            self._see_update(data)

    def interrupt(self) -> None:
        """The writer is gone without a word; the view's owner found that out."""
        self._run.interrupt()
        self._rows = None

    def _tell_time(self, event: Envelope) -> None:
        stamp = seconds_of(event.timestamp)
        if self._began is None or is_start(event):  # a resumed run begins anew
            self._began, self.end = stamp, None
        self._elapsed, self._seen = max(0.0, stamp - self._began), self._clock()

    def _see_update(self, data: Mapping[str, Any]) -> None:
        name = str(data.get("stage", ""))
        if data.get("status") == "started" and (
            name not in QUIET_STAGES or name in self._seen_began
        ):
            self._seen_began[name] = self._seen

    def _finish(self, event: Envelope) -> None:
        self.end = event
        self.eta.take(None, self._seen)
        if name := self._run.running:
            self._seen_seconds[name] = self._seen - self._seen_began.get(name, self._seen)

    def _names(self) -> list[str]:
        """Quiet stages have a row when they took long enough to tell of progress."""
        known = [n for n in self._run.stages if n not in QUIET_STAGES or n in self._seen_began]
        is_cloud = any(name.startswith("d_id_") for name in known)
        plan = stages_of("d-id" if is_cloud else self.request.get("renderer"))
        first = [name for name in FIRST_ROWS if name in known]
        return [*first, *plan, *(n for n in known if n not in plan and n not in first)]

    def _row(self, name: str) -> StageState:
        stage = self._run.stages.get(name) or Stage()
        seconds = number(stage.update.get("duration_seconds")) or 0.0
        if stage.mark in ("failed", "cancelled"):
            seconds = self._seen_seconds.get(name, 0.0)
        began = self._seen_began.get(name, 0.0)
        return StageState(name, stage.mark, began, seconds, stage.update, stage.progress)
