"""When the running run will be ready: what past runs foretell, then how fast this one goes.

The foretelling is `experience`'s; the first run of its kind is "learning" until its own speed
tells something.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from vidgen.events import Event, StageEnded, StageProgress, StageStarted
from vidgen.progress.countdown import Countdown
from vidgen.progress.experience import DRAWING_STAGES, Experience, Foretold, Request, plan_of
from vidgen.progress.past import TRAITS
from vidgen.progress.wire import Remaining

RATE_SHARE: Final = 0.02  # of a stage must be done before its own speed says anything
PATIENCE_SECONDS: Final = 0.5  # how long the first estimate may wait for the logs to be read
REFRESH_SECONDS: Final = 1.0
OVERDUE_SHARE: Final = 0.1  # a silent stage past its time is taken to need this much more of it
LIVE_HALF: Final = 0.05  # of a stage done, the measured speed counts as much as the foretold one


@dataclass(slots=True)
class _Running:
    """The stage that runs now: when it began, and its progress now and when it first told some."""

    stage: str
    began: float
    traits: Mapping[str, str] = field(default_factory=dict)
    first: tuple[float, float] | None = None  # (seconds, share)
    share: float = 0.0


class Estimator:
    """An `Estimate` for one run: call it with every event, it answers what remains.

    `load` reads the experience; it runs in a thread of its own from the beginning, so that no
    event waits for it. Estimates are made anew once a second and move only when they must.
    """

    def __init__(
        self, load: Callable[[], Experience], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._experience: Experience | None = None
        self._request: Request | None = None
        self._done: set[str] = set()
        self._running: _Running | None = None
        self._eta, self._upper = Countdown(), Countdown()
        self._basis = "learning"
        self._made_at: float | None = None
        self._loader = threading.Thread(target=self._load, args=(load,), daemon=True)
        self._loader.start()

    def _load(self, load: Callable[[], Experience]) -> None:
        try:
            self._experience = load()
        except Exception:  # logs of other times and hands: then this run is the first
            self._experience = Experience(())

    def wait(self) -> None:
        """Until the experience is there."""
        self._loader.join()

    def __call__(self, event: Event) -> Remaining | None:
        now = self._clock()
        is_turn = self._take(event, now)
        if self._request is None:
            return None
        if is_turn or self._made_at is None or now - self._made_at >= REFRESH_SECONDS:
            self._made_at = now
            self._estimate(self._request, now)
        return Remaining(self._eta.at(now), self._upper.at(now), self._basis)

    def _take(self, event: Event, now: float) -> bool:
        """Note what happened; whether it was a stage's beginning or end."""
        match event:
            case StageEnded(stage="initialized"):
                self._loader.join(PATIENCE_SECONDS)
                self._request = event.metadata
            case StageStarted():
                told = {n: str(event.metadata[n]) for n in TRAITS if event.metadata.get(n)}
                self._running = _Running(event.stage, now, told)
            case StageEnded():
                self._done.add(event.stage)
                self._running = None
            case StageProgress():
                if self._running is None or self._running.stage != event.stage:
                    self._running = _Running(event.stage, now)
                self._running.share = event.share
                if self._running.first is None and event.share > 0:
                    self._running.first = (now, event.share)
                return False
            case _:
                return False
        return True

    def _estimate(self, request: Request, now: float) -> None:
        running = self._running
        if running and running.stage == "queued":  # nobody can foretell another's run
            self._know_nothing("queued")
            return
        known = self._experience or Experience(())
        typical, spread = known.typical_ratio, max(1.0, known.upper_ratio / known.typical_ratio)
        left, upper, basis = 0.0, 0.0, "history"
        for stage in plan_of(request):
            if stage in self._done:
                continue
            is_running = running is not None and running.stage == stage
            prior = known.stage_time(
                stage, request, running.traits if running and is_running else {}
            )
            if prior:
                prior = Foretold(prior.ready * typical, prior.work * typical)
            seconds = self._left(running, prior, now) if running and is_running else _all_of(prior)
            if seconds is None and stage in DRAWING_STAGES:
                self._know_nothing("learning")
                return
            if prior is None and stage in DRAWING_STAGES:
                basis = "rate"
            share = running.share if running and is_running else 0.0
            left += seconds or 0.0
            upper += (seconds or 0.0) * (1 + (spread - 1) * (1 - share))
        self._basis = basis
        self._eta.take(left, now)
        self._upper.take(upper if basis == "history" else None, now)

    def _know_nothing(self, basis: str) -> None:
        self._basis = basis
        self._eta.take(None, 0.0)
        self._upper.take(None, 0.0)

    def _left(self, running: _Running, prior: Foretold | None, now: float) -> float | None:
        """Seconds left of the running stage: foretold and measured, weighed by what is done."""
        live = self._live(running, now)
        if prior is None:
            return live if running.stage in DRAWING_STAGES else 0.0
        if running.first is None:
            # Still getting ready; a stage that never tells progress is silent to its end.
            elapsed = now - running.began
            silent, rest = (prior.ready, prior.work) if prior.ready else (prior.work, 0.0)
            return max(silent - elapsed, OVERDUE_SHARE * elapsed) + rest
        foretold = prior.work * (1 - running.share)
        if live is None:
            return foretold
        weight = running.share / (running.share + LIVE_HALF)
        return (1 - weight) * foretold + weight * live

    def _live(self, running: _Running, now: float) -> float | None:
        if running.first is None:
            return None
        began, at = running.first
        done, took = running.share - at, now - began
        if done < RATE_SHARE or took <= 0:
            return None
        return took / done * (1 - running.share)


def _all_of(prior: Foretold | None) -> float | None:
    return prior.seconds if prior else None
