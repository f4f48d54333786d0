"""The wire's form of what happens in a run (DESIGN §3): percentages, sentences, rates, peaks.

Numbering, stamping and sending are the broadcast's.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vidgen.events import (
    Completed,
    Event,
    Failed,
    Log,
    Preview,
    Resource,
    RunCancelled,
    StageEnded,
    StageProgress,
    StageStarted,
)
from vidgen.messages import say

Data = dict[str, Any]
RATE_WINDOW_SECONDS: Final = 3.0
RATE_LEAST_SECONDS: Final = 0.2  # a rate over less than this is noise
MOST_TIME: Final = 99.0  # percent, before the end has come


@dataclass(frozen=True, slots=True)
class Eta:
    """How long a run still takes. `basis` is "history", "rate" or "learning" (nothing known yet).

    `seconds` is the expected time, `upper_seconds` the bound that three runs of four keep.
    """

    seconds: float | None
    upper_seconds: float | None
    basis: str


Estimate = Callable[[Event], Eta | None]


class Wire:
    """Turn a small event into the wire's `event_type` and `data` (DESIGN §3)."""

    def __init__(
        self,
        task_id: str,
        shares: Mapping[str, tuple[float, float]],
        floor: float,
        estimate: Estimate | None,
        clock: Callable[[], float] = time.monotonic,
        stage: str = "",
    ) -> None:
        self._task_id = task_id
        self._shares = shares
        self._estimate = estimate
        self._stage = stage or "initialized"
        self._progress = max(0.0, floor)
        self._message = say("stage.initialized")  # the last sentence: readings repeat it
        self._peaks: dict[str, float] = {}
        self._rate = _Rate(clock)
        self._time_share = _TimeShare(self._progress, clock)

    def form(self, event: Event) -> tuple[str, Data]:
        match event:
            case StageProgress():
                return "progress_update", self._snapshot(event)
            case StageStarted():
                self._stage = event.stage
                self._rate.begin(event.stage)
                self._reach(event.stage, 0.0)
                data = self._sentence(event.code or f"stage.{event.stage}", event.metadata)
                return "stage_update", data | {
                    "stage_progress": 0.0,
                    "status": "started",
                    **self._remaining(event),
                }
            case StageEnded():
                return "stage_update", self._stage_end(event)
            case Log():
                return "log", self._sentence(event.code, event.metadata) | {"level": event.level}
            case Resource():
                return "resource", self._resource(event) | self._remaining(event)
            case Preview():
                return "preview", self._preview(event)
            case Failed():
                return "error", self._failure(event)
            case Completed():
                return "complete", self._completion(event)
            case RunCancelled():
                return "cancelled", self._cancellation(event)

    def _reach(self, stage: str, share: float) -> None:
        first, last = self._shares.get(stage, (0.0, 0.0))
        self._progress = max(self._progress, round(first + (last - first) * share, 2))

    def _base(self, stage: str) -> Data:
        return {
            "stage": stage,
            "progress": self._progress,
            "message": self._message,
            "message_code": "",
        }

    def _sentence(self, code: str, metadata: Mapping[str, Any]) -> Data:
        sentence = say(code, metadata)
        self._message = sentence or self._message
        return {
            "stage": self._stage,
            "progress": self._progress,
            "message": sentence,
            "message_code": code,
            "metadata": metadata,
        }

    def _remaining(self, event: Event) -> Data:
        if self._estimate is None:
            return {}
        try:
            known = self._estimate(event)
        except Exception:  # an estimate is a convenience, the run is the work
            known = self._estimate = None
        if known is None:
            return {}
        return {
            "eta_seconds": _tenths(known.seconds),
            "eta_upper_seconds": _tenths(known.upper_seconds),
            "eta_basis": known.basis,
            "time_progress": self._time_share(known.seconds),
        }

    def _snapshot(self, event: StageProgress) -> Data:
        share = event.share
        self._stage = event.stage
        self._reach(event.stage, share)
        data = self._sentence(event.code or f"stage.{event.stage}", event.metadata)
        data["stage_progress"] = round(share, 4)
        data["done"] = event.done
        data["total"] = event.total
        data["unit"] = event.unit
        data["rate"] = self._rate(event)
        if event.unit == "bytes" and data["rate"]:  # of the transfer; `eta_seconds` is the run's
            data["transfer_eta_seconds"] = _tenths((event.total - event.done) / data["rate"])
        return data | self._remaining(event)

    def _stage_end(self, event: StageEnded) -> Data:
        self._stage = event.stage
        self._reach(event.stage, 1.0)
        data = self._sentence(event.code or f"stage.{event.stage}", event.metadata)
        data["stage_progress"] = 1.0
        data["status"] = event.status
        data["duration_seconds"] = round(event.duration_seconds, 3)
        data |= self._rate.phases(event)
        return data | self._remaining(event)

    def _resource(self, event: Resource) -> Data:
        used = {
            "cpu_percent": event.cpu_percent,
            "memory_mb": event.memory_mb,
            "gpu_percent": event.gpu_percent,
            "gpu_memory_mb": event.gpu_memory_mb,
        }
        for name, value in used.items():
            if value is not None:
                self._peaks[name] = max(value, self._peaks.get(name, value))
        return self._base(self._stage) | used

    def _preview(self, event: Preview) -> Data:
        return self._base(self._stage) | {
            "name": event.name,
            "url": f"/api/tasks/{self._task_id}/previews/{event.name}",
            "path": event.path,
            "width": event.width,
            "height": event.height,
            "sha256": event.sha256,
            "bytes": event.bytes,
        }

    def _failure(self, event: Failed) -> Data:
        return {
            "stage": "failed",
            "failed_stage": event.stage or self._stage,
            "progress": -1.0,
            "message": event.message,
            "error": event.message,
            "message_code": event.error_code,
            "metadata": event.details,
            "error_code": event.error_code,
            "is_retryable": event.is_retryable,
            "retry_count": event.retry_count,
            "max_retries": event.max_retries,
            "hint": event.hint,
            "solutions": [event.hint] if event.hint else [],
            "details": event.details,
            "trace_id": event.trace_id or uuid.uuid4().hex[:12],
        }

    def _completion(self, event: Completed) -> Data:
        self._stage, self._progress = "complete", 100.0
        peaks = {f"peak_{name}": value for name, value in self._peaks.items()}
        own = f"/api/tasks/{self._task_id}/video"
        foreign = event.result.get("video_url")  # where a program of somebody put its film
        data = self._sentence(event.code or "stage.complete", peaks | dict(event.metadata)) | {
            "video_path": event.video_path,
            "video_file": list(event.video_file),
            "video_url": foreign if isinstance(foreign, str) else own,
            "duration_seconds": round(event.duration_seconds, 3),
        }
        return data | ({"result": event.result} if event.result else {})

    def _cancellation(self, event: RunCancelled) -> Data:
        stopped_in, self._stage = self._stage, "cancelled"
        return self._sentence("stage.cancelled", event.metadata) | {
            "cancelled_stage": stopped_in,
            "resume_command": event.resume_command,
        }


class _TimeShare:
    """How much of a run's time is over, in percent: a bar that follows it ends when the run does.

    Never falls, and stands while nobody knows how long the rest takes. A run that was taken up
    begins with the percentage that it had reached.
    """

    def __init__(self, floor: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._floor = self._most = floor

    def __call__(self, seconds: float | None) -> float:
        """With `seconds` left."""
        if seconds is not None:
            elapsed = self._clock() - self._began
            share = elapsed / (elapsed + seconds) if elapsed + seconds > 0 else 0.0
            now = self._floor + (MOST_TIME - self._floor) * share
            self._most = max(self._most, round(now, 2))
        return self._most


class _Rate:
    """Units per second of the running stage, over about the last three seconds.

    What passes before the first unit is done is getting ready, not speed.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stage = ""
        self._began = 0.0
        self._first: float | None = None  # seconds, when the first unit was done
        self._last: float | None = None  # … and the last one
        self._points: list[tuple[float, float]] = []  # (seconds, done)

    def begin(self, stage: str) -> None:
        self._stage, self._began, self._points = stage, self._clock(), []
        self._first = self._last = None

    def __call__(self, event: StageProgress) -> float | None:
        if event.stage != self._stage:
            self.begin(event.stage)
        if event.done <= 0:
            return None
        now = self._clock()
        if self._first is None:
            self._first = now
        if self._last is None and event.done >= event.total:
            self._last = now
        if self._points and event.done < self._points[-1][1]:
            self._points = []
        self._points.append((now, event.done))
        while len(self._points) > 2 and now - self._points[1][0] >= RATE_WINDOW_SECONDS:
            del self._points[0]
        (began, first), (_, last) = self._points[0], self._points[-1]
        if now - began < RATE_LEAST_SECONDS:
            return None
        return round((last - first) / (now - began), 2)

    def phases(self, event: StageEnded) -> Data:
        """How long the stage got ready before its first unit, and went on after its last."""
        if event.stage != self._stage or self._first is None:
            return {}
        phases = {"ready_seconds": round(self._first - self._began, 3)}
        if self._last is not None:
            phases["closing_seconds"] = round(self._clock() - self._last, 3)
        return phases


def _tenths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
