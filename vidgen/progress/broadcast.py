"""Number what happens in a run, stamp it, and hand it to the log and to every view.

Knows no file format and no screen: the log and the views are given to it.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from vidgen.errors import VidgenError
from vidgen.events import (
    SHARES,
    Completed,
    Envelope,
    Event,
    Failed,
    Log,
    RunCancelled,
    Sink,
    StageEnded,
    StageProgress,
    timestamp,
    utc_now,
)
from vidgen.progress.wire import Estimate, Wire

SNAPSHOT_SECONDS: Final = 0.1  # at most ten progress events a second and stage reach anybody


class EventLog(Protocol):
    """Where every event is kept before anybody sees it."""

    @property
    def next_seq(self) -> int: ...

    def __call__(self, envelope: Envelope) -> None: ...


class Broadcast:
    """An `Emit` for one run; may be called from any thread, but not from a signal handler.

    The log comes first and its failure is the run's. A view that fails is left out from then on
    and a warning says so, unless what it raises is a `VidgenError`: that is meant for the person.
    The first end is the last word: a preview that another thread still saves is not told any more.
    `floor` is the progress, in percent, that a resumed run had reached, `stage` where it was.
    """

    def __init__(
        self,
        task_id: str,
        views: Sequence[Sink] = (),
        first_seq: int = 1,
        *,
        log: EventLog | None = None,
        floor: float = 0.0,
        stage: str = "",
        shares: Mapping[str, tuple[float, float]] = SHARES,
        estimate: Estimate | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.task_id = task_id
        self._views = list(views)
        self._log = log
        self._seq = log.next_seq if log else first_seq
        self._wire = Wire(task_id, shares, floor, estimate, clock, stage)
        self._throttle = _Throttle(clock)
        self._now = now
        self._lock = threading.Lock()
        self._is_over = False

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self._is_over:
                return
            self._is_over = isinstance(event, Failed | Completed | RunCancelled)
            for due in self._throttle.let_through(event):
                self._send(due)

    def flush(self) -> None:
        """Let out what is held back because it came too fast."""
        with self._lock:
            for held in self._throttle.let_go():
                self._send(held)

    def _send(self, event: Event) -> None:
        event_type, data = self._wire.form(event)
        envelope = Envelope(self.task_id, self._seq, event_type, timestamp(self._now()), data)
        trouble = self._keep(envelope)
        lost = self._show(envelope)
        if trouble and not isinstance(event, Failed | RunCancelled):
            raise trouble  # a run that already failed keeps its own reason
        for name, reason in lost:
            self._send(Log("WARNING", "live.view_failed", {"view": name, "reason": reason}))

    def _keep(self, envelope: Envelope) -> VidgenError | None:
        """Write to the log. An end is told to the views even when the log could not take it."""
        if self._log is None:
            self._seq += 1
            return None
        try:
            self._log(envelope)
            self._seq += 1
        except VidgenError as error:
            if not envelope.is_terminal:
                raise
            return error
        except BaseException:
            # Ctrl-C may strike between the write and the line above: the log knows what it holds.
            self._seq = self._log.next_seq
            raise
        return None

    def _show(self, envelope: Envelope) -> list[tuple[str, str]]:
        lost = []
        for view in tuple(self._views):
            try:
                view(envelope)
            except VidgenError:
                raise
            except Exception as error:  # a view is a convenience, the run is the work
                self._views.remove(view)
                name = getattr(view, "__name__", type(view).__name__)
                lost.append((name, f"{type(error).__name__}: {error}"))
        return lost


class _Throttle:
    """Hold back progress that comes too fast; never lose the last one of a stage."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sent: dict[str, float] = {}  # stage -> when its last progress went out, seconds
        self._code: dict[str, str] = {}  # stage -> the sentence it said
        self._held: dict[str, StageProgress] = {}

    def let_through(self, event: Event) -> list[Event]:
        """What is to be sent now, in order."""
        now = self._clock()
        if isinstance(event, StageProgress):
            self._held[event.stage] = event
            return self._due(now)
        if isinstance(event, StageEnded):
            late = self._held.pop(event.stage, None)
            return [late, event] if late else [event]
        if isinstance(event, Failed | Completed | RunCancelled):
            return [*self.let_go(), event]
        return [*self._due(now), event]

    def let_go(self) -> list[StageProgress]:
        """Everything that is held."""
        held = [*self._held.values()]
        self._held.clear()
        return held

    def _due(self, now: float) -> list[Event]:
        if not self._held:
            return []
        latest = now - SNAPSHOT_SECONDS
        due = [
            stage
            for stage, held in self._held.items()
            if self._sent.get(stage, latest) <= latest or self._code[stage] != held.code
        ]
        for stage in due:
            self._sent[stage], self._code[stage] = now, self._held[stage].code
        return [self._held.pop(stage) for stage in due]
