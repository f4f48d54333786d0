"""How true a run's estimates were: what its log foretold against what came."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Final

from vidgen.events import Envelope, is_start, seconds_of

MOMENTS: Final = (0.0, 0.10, 0.25, 0.50, 0.75)  # shares of a run's time at which it is judged
TENTHS: Final = tuple(tenth / 10 for tenth in range(1, 10))  # where the bar is looked at
JUMP_SHARE: Final = 0.10  # an estimate of the whole that grows by more is a jump


@dataclass(frozen=True, slots=True)
class Forecast:
    """One run's estimates. `errors` are |foretold - actual| / actual of the time that was left at
    each of MOMENTS, None where nothing was foretold; `is_kept`: it ended within the first bound."""

    task_id: str
    seconds: float  # from the first possible estimate to the video
    foretold: float | None  # the first estimate
    errors: tuple[float | None, ...]
    is_kept: bool | None
    jumps: int  # upwards, by more than a tenth
    upper: float | None = None  # the first bound
    bar: float | None = None  # |shown - true share of the time|, in points, the mean of TENTHS


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Over several runs: the mean error at each of MOMENTS, the share of kept bounds."""

    runs: int
    mape: tuple[float | None, ...]
    coverage: float | None
    jumps_per_run: float
    bar: float | None  # the median run's


def forecast(events: Iterable[Envelope]) -> Forecast | None:
    """How a whole run was foretold; None for one that did not end in a film or was resumed."""
    estimates = list(events)
    if not estimates or estimates[-1].event_type != "complete" or sum(map(is_start, estimates)) > 1:
        return None
    if any(event.data.get("stage") == "queued" for event in estimates):
        return None  # nobody can foretell another run's length
    planned = next((i for i, event in enumerate(estimates) if _is_plan(event)), None)
    if planned is None:
        return None
    began, ended = seconds_of(estimates[planned].timestamp), seconds_of(estimates[-1].timestamp)
    points = [
        (seconds_of(event.timestamp) - began, float(event.data["eta_seconds"]))
        for event in estimates[planned:]
        if isinstance(event.data.get("eta_seconds"), int | float)
    ]
    whole = ended - began
    upper = estimates[planned].data.get("eta_upper_seconds")
    return Forecast(
        estimates[-1].task_id,
        whole,
        points[0][1] if points and points[0][0] == 0 else None,
        tuple(_error(points, share * whole, whole) for share in MOMENTS),
        None if upper is None else whole <= float(upper),
        _jumps(points),
        None if upper is None else float(upper),
        _bar_error(estimates),
    )


def accuracy(forecasts: Sequence[Forecast]) -> Accuracy:
    """The means over runs; None where no run tells."""
    columns = [[f.errors[at] for f in forecasts] for at in range(len(MOMENTS))]
    known = [[error for error in column if error is not None] for column in columns]
    kept = [f.is_kept for f in forecasts if f.is_kept is not None]
    return Accuracy(
        len(forecasts),
        tuple(fmean(errors) if errors else None for errors in known),
        fmean(kept) if kept else None,
        fmean(f.jumps for f in forecasts) if forecasts else 0.0,
        median(bars) if (bars := [f.bar for f in forecasts if f.bar is not None]) else None,
    )


def _is_plan(event: Envelope) -> bool:
    data = event.data
    return data.get("stage") == "initialized" and data.get("status") == "completed"


def _error(points: Sequence[tuple[float, float]], at: float, whole: float) -> float | None:
    """At a moment the newest estimate counts, less the time since it was made."""
    before = [(made, eta) for made, eta in points if made <= at]
    left = whole - at
    if not before or left <= 0:
        return None
    made, eta = before[-1]
    return abs(max(0.0, eta - (at - made)) - left) / left


def _bar_error(events: Sequence[Envelope]) -> float | None:
    """How far the bar is from the share of the run's time that is over; None when it tells none."""
    began, ended = seconds_of(events[0].timestamp), seconds_of(events[-1].timestamp)
    if ended <= began or not any("time_progress" in event.data for event in events):
        return None
    errors, shown, at = [], 0.0, 0
    for share in TENTHS:
        moment = began + share * (ended - began)
        while seconds_of(events[at].timestamp) <= moment:
            shown = max(shown, float(events[at].data.get("time_progress") or 0.0))
            at += 1
        errors.append(abs(shown - 100 * share))
    return fmean(errors)


def _jumps(points: Sequence[tuple[float, float]]) -> int:
    """How often the estimate of the whole run grew by more than a tenth from one to the next."""
    wholes = [made + eta for made, eta in points]
    return sum(new > old * (1 + JUMP_SHARE) for old, new in pairwise(wholes) if old > 0)
