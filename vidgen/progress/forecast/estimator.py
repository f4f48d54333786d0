"""When the running run will be ready: what past runs foretell, then how fast this one goes.

What past runs foretell is `model`'s; the first run of its kind is "learning" until its own speed
tells something.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from vidgen.events import Event, StageEnded, StageProgress, StageStarted
from vidgen.progress.forecast.countdown import Countdown
from vidgen.progress.forecast.model import (
    CLOSING_MOST,
    DRAWING_STAGES,
    Request,
    StageEstimate,
    TimeModel,
    plan_of,
)
from vidgen.progress.forecast.past_runs import TRAITS
from vidgen.progress.wire import Eta

RATE_SHARE: Final = 0.02  # of a stage must be done before its own speed says anything
PATIENCE_SECONDS: Final = 0.5  # how long the first estimate may wait for the logs to be read
REFRESH_SECONDS: Final = 1.0
OVERDUE_SHARE: Final = 0.1  # a silent stage past its time is taken to need this much more of it
LIVE_HALF: Final = 0.05  # of a stage done, the measured speed counts as much as the foretold one
# Of a run's foretold time, this much must be over until this run's own pace counts half.
PACE_HALF: Final = 0.2
PACE_LIMIT: Final = 4.0
# The look at a finished film takes so many times as long as the puppet drew what is looked at: for
# a first run.
LOOK_OF_DRAWING: Final = 0.75


@dataclass(slots=True)
class _RunningStage:
    """A stage that began: when, its progress now, and when it first and last told some."""

    stage: str
    began: float
    traits: Mapping[str, str] = field(default_factory=dict)
    first: tuple[float, float] | None = None  # (seconds, share)
    full: float | None = None  # seconds, when all was counted
    share: float = 0.0
    worked: float | None = None  # seconds without getting ready, when it is over and was worked at

    def progress(self, share: float, now: float) -> None:
        self.share = share
        if self.first is None and share > 0:
            self.first = (now, share)
        if self.full is None and share >= 1:
            self.full = now

    def end(self, event: StageEnded) -> None:
        if event.status == "completed":
            before = self.first[0] - self.began if self.first else 0.0
            ready = max(before, float(event.metadata.get("load_seconds") or 0.0))
            self.worked = max(0.0, event.duration_seconds - ready)

    def at_its_rate(self, now: float) -> float | None:
        """Seconds until all is counted if it goes on as since its first progress."""
        if self.first is None:
            return None
        began, at = self.first
        done, took = self.share - at, now - began
        if done < RATE_SHARE or took <= 0:
            return None
        return took / done * (1 - self.share)


class Estimator:
    """An `Estimate` for one run: call it with every event, it answers what remains.

    `load` reads the experience; it runs in a thread of its own from the beginning, so that no
    event waits for it. Estimates are made anew once a second and move only when they must.
    """

    def __init__(
        self,
        load: Callable[[], TimeModel],
        clock: Callable[[], float] = time.monotonic,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._experience: TimeModel | None = None
        self._request: Request | None = None
        self._begun: dict[str, _RunningStage] = {}
        self._done: set[str] = set()
        self._running: _RunningStage | None = None
        self._eta, self._upper = Countdown(), Countdown()
        self._basis = "learning"
        self._made_at: float | None = None
        self._loader = threading.Thread(target=self._load, args=(load,), daemon=True)
        self._loader.start()

    def _load(self, load: Callable[[], TimeModel]) -> None:
        try:
            self._experience = load()
        except Exception:  # logs of other times and hands: then this run is the first
            self._experience = TimeModel(())

    def wait(self) -> None:
        """Until the experience is there."""
        self._loader.join()

    def __call__(self, event: Event) -> Eta | None:
        now = self._clock()
        is_turn = self._take(event, now)
        if self._request is None:
            return None
        if is_turn or self._made_at is None or now - self._made_at >= REFRESH_SECONDS:
            self._made_at = now
            self._estimate(self._request, now)
        return Eta(self._eta.at(now), self._upper.at(now), self._basis)

    def _take(self, event: Event, now: float) -> bool:
        """Note what happened; whether it was a stage's beginning or end."""
        match event:
            case StageEnded(stage="initialized"):
                self._loader.join(self._patience_seconds)
                self._request = event.metadata
            case StageStarted():
                traits = {n: str(event.metadata[n]) for n in TRAITS if event.metadata.get(n)}
                self._begin(event.stage, now, traits)
            case StageEnded():
                if event.stage in self._begun:
                    self._begun[event.stage].end(event)
                self._done.add(event.stage)
                self._running = None
            case StageProgress():
                if self._running is None or self._running.stage != event.stage:
                    self._begin(event.stage, now, {})
                self._begun[event.stage].progress(event.share, now)
                return False
            case _:
                return False
        return True

    def _begin(self, stage: str, now: float, traits: Mapping[str, str]) -> None:
        self._running = self._begun[stage] = _RunningStage(stage, now, traits)

    def _estimate(self, request: Request, now: float) -> None:
        running = self._running
        if running and running.stage == "queued":  # nobody can foretell another's run
            self._know_nothing("queued")
            return
        known = self._experience or TimeModel(())
        typical, spread = known.typical_ratio, max(1.0, known.upper_ratio / known.typical_ratio)
        priors = self._priors(known, request, now)
        pace = self._pace(priors, now)
        left, upper, basis = 0.0, 0.0, "history"
        for stage, answer in priors.items():
            if stage in self._done:
                continue
            prior = answer.times(typical, pace) if answer else None
            is_running = running is not None and running.stage == stage
            seconds = _time_left(running, prior, now) if running and is_running else _all_of(prior)
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

    def _priors(
        self, known: TimeModel, request: Request, now: float
    ) -> dict[str, StageEstimate | None]:
        """What past runs say about each stage of the plan."""
        traits = {stage: begun.traits for stage, begun in self._begun.items()}
        priors = {
            stage: known.stage_time(stage, request, traits.get(stage)) for stage in plan_of(request)
        }
        if request.get("renderer") == "puppet" and "finalizing" in priors:
            priors["finalizing"] = priors["finalizing"] or self._look(request, now)
        return priors

    def _look(self, request: Request, now: float) -> StageEstimate | None:
        """The end of a first run, of which nothing tells but how fast the puppet draws."""
        drawn = self._begun.get("rendering")
        if drawn is None or drawn.first is None:
            return None
        so_far = now - drawn.first[0] + (drawn.at_its_rate(now) or 0.0)
        seconds = so_far if drawn.worked is None else drawn.worked
        frames = request.get("frames") or 0
        seen = min(1.0, CLOSING_MOST["finalizing"] / frames) if frames else 1.0
        return StageEstimate(0.0, 0.0, LOOK_OF_DRAWING * seen * seconds)

    def _pace(self, priors: Mapping[str, StageEstimate | None], now: float) -> float:
        """How many times as long as foretold this run takes, by what it has worked so far.

        A machine that has other work, or less than usual, is so in every stage.
        """
        whole = sum(prior.work + prior.closing for prior in priors.values() if prior)
        spent = foretold = PACE_HALF * whole
        for stage, begun in self._begun.items():
            prior = priors.get(stage)
            if prior is None:
                continue
            if begun.worked is not None:
                spent += begun.worked
                foretold += prior.work + prior.closing
            elif begun is self._running and begun.first:
                spent += (begun.full or now) - begun.first[0]
                foretold += prior.work * (begun.share - begun.first[1])
        return min(PACE_LIMIT, max(1 / PACE_LIMIT, spent / foretold)) if foretold > 0 else 1.0

    def _know_nothing(self, basis: str) -> None:
        self._basis = basis
        self._eta.take(None, 0.0)
        self._upper.take(None, 0.0)


def _time_left(running: _RunningStage, prior: StageEstimate | None, now: float) -> float | None:
    """Seconds left of the running stage: foretold and measured, weighed by what is done."""
    live = running.at_its_rate(now)
    if prior is None:
        return live if running.stage in DRAWING_STAGES else 0.0
    if running.first is None:
        # Still getting ready; a stage that never tells progress is silent to its end.
        elapsed = now - running.began
        rest = prior.work + prior.closing
        silent, rest = (prior.ready, rest) if prior.ready else (rest, 0.0)
        return max(silent - elapsed, OVERDUE_SHARE * elapsed) + rest
    if running.full is not None:  # all is counted, but the stage goes on
        elapsed = now - running.full
        return max(prior.closing - elapsed, OVERDUE_SHARE * elapsed)
    foretold = prior.work * (1 - running.share)
    if live is None:
        return foretold + prior.closing
    weight = running.share / (running.share + LIVE_HALF)
    return (1 - weight) * foretold + weight * live + prior.closing


def _all_of(prior: StageEstimate | None) -> float | None:
    return prior.seconds if prior else None
