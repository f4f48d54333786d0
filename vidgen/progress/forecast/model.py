"""What past runs teach about the time of the next one.

A stage's time is taken as a line over its work (Theil-Sen: the median of all slopes, which a
few odd runs do not bend). The bound is the 75th percentile of actual/foretold over whole past
runs, because sums of per-stage percentiles miss by a multiple (measured: 73 % against 11 %).
How fast the running one goes is the business of `estimator`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, inf, log2
from statistics import median
from typing import Any, Final

from vidgen.events import stages_of
from vidgen.progress.forecast.past_runs import TAIL, PastRun, StageTime

NEWEST: Final = 20  # times of one stage that count; older ones were made by older programs
ENOUGH_FOR_LINE: Final = 4  # points; of fewer it is believed in part
LEAST_SPREAD: Final = 1.5  # largest work over smallest, below which a line means nothing
LEAST_RATIOS: Final = 3
SHARE_KEPT: Final = 0.75  # of the runs shall end within the bound
UNTRIED_BOUND: Final = 1.5  # × the expected time, until enough runs have tested the estimates
DRAWING_STAGES: Final = frozenset({"rendering", "d_id_processing"})  # the long part of a run
USUAL_HEIGHT: Final = 720.0  # pixels, of a film whose height nobody asked for
# Of the time for a frame at USUAL_HEIGHT, what does not grow with its area.
FIXED_SHARE: Final[Mapping[str, float]] = {"rendering": 0.15, "finalizing": 0.5}
# Units of work beyond which what follows them takes no longer: `quality.closing_look` looks at all
# frames of a film this short, and at fewer of a longer one.
CLOSING_MOST: Final[Mapping[str, float]] = {"finalizing": 195.0}
# What two runs must have in common for their times to be alike, and for their drawing to be.
SITUATION: Final = ("renderer", "device", "precision", "models", "format", "background", "enlarge")
DRAWING: Final = ("renderer", "device")

Request = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """A stage's expected time, seconds: getting ready (models loading), its units of work, and
    what follows the last of them."""

    ready: float
    work: float
    closing: float = 0.0

    @property
    def seconds(self) -> float:
        return self.ready + self.work + self.closing

    def times(self, factor: float, pace: float) -> "StageEstimate":
        """All of it times `factor`; the work, which loading is not, times `pace` too."""
        work = factor * pace
        return StageEstimate(self.ready * factor, self.work * work, self.closing * work)


class TimeModel:
    """What past runs teach. Immutable; oldest run first."""

    def __init__(self, runs: Sequence[PastRun], *, calibrated: bool = True) -> None:
        self._runs = runs
        self._ratios = self._backtest() if calibrated else []

    def stage_time(
        self, stage: str, request: Request, traits: Mapping[str, str] | None = None
    ) -> StageEstimate | None:
        """What the stage will take; None when no run tells."""
        known = self._like(stage, request, traits or {})
        if not known:
            return None
        kept = stages_to_reuse(request)  # what is heard ahead of drawing has less time to be so
        likest = [time for run, time in known if stages_to_reuse(run.request) == kept]
        ready = median(time.ready_seconds for time in likest or [time for _, time in known])
        counted = [time.seconds - time.closing_seconds for _, time in known]
        closing = [time.closing_seconds for _, time in known]

        def at(took: Sequence[float], most: float = inf) -> float:
            works = [effort_of(time, run.request, most) for run, time in known]
            return _at(effort_of(known[-1][1], request, most), works, took)

        return StageEstimate(ready, at(counted), at(closing, CLOSING_MOST.get(stage, inf)))

    def run_seconds(self, request: Request) -> float | None:
        """The sum over the plan's stages; None when its longest part is unknown."""
        estimates = {stage: self.stage_time(stage, request) for stage in plan_of(request)}
        if any(estimates[stage] is None for stage in estimates if stage in DRAWING_STAGES):
            return None
        return sum(time.seconds for time in estimates.values() if time)

    @property
    def typical_ratio(self) -> float:
        """What estimates are to be multiplied with to be right in the middle."""
        return median(self._ratios) if len(self._ratios) >= LEAST_RATIOS else 1.0

    @property
    def upper_ratio(self) -> float:
        """What estimates are to be multiplied with so that three runs of four keep it."""
        count = len(self._ratios)
        rank = ceil(
            SHARE_KEPT * (count + 1)
        )  # the conformal rank: it covers SHARE_KEPT of new runs
        if rank > count:
            return max([UNTRIED_BOUND, *self._ratios])
        return sorted(self._ratios)[rank - 1]

    def _backtest(self) -> list[float]:
        """actual/foretold of each whole run, foretold from the runs before it only."""
        ratios = []
        for at, run in enumerate(self._runs):
            reused = {stage.stage for stage in run.stages if stage.status == "reused"}
            if run.seconds is None or reused - set(stages_to_reuse(run.request)):
                continue
            before = TimeModel(self._runs[:at], calibrated=False)
            foretold = before.run_seconds(run.request)
            if foretold:
                ratios.append(run.seconds / foretold)
        return ratios[-50:]

    def _like(
        self, stage: str, request: Request, traits: Mapping[str, str]
    ) -> list[tuple[PastRun, StageTime]]:
        """The newest times of this stage that were made in the same way."""
        found = [
            (run, time)
            for run in self._runs
            for time in run.stages
            if time.stage == stage and time.status != "reused" and _agree(time.traits, traits)
        ]
        alike = [(run, time) for run, time in found if _same(run.request, request, SITUATION)]
        if stage in DRAWING_STAGES:  # what draws on another device tells nothing about this one
            found = [(run, time) for run, time in found if _same(run.request, request, DRAWING)]
        found = alike or found
        if not found:
            return []
        latest = found[-1][1]
        same = [(run, time) for run, time in found if _kind(time) == _kind(latest)]
        size = size_class(request)
        sized = [(run, time) for run, time in same if size_class(run.request) == size]
        return (sized or same)[-NEWEST:]


def _agree(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _same(one: Request, other: Request, names: Sequence[str]) -> bool:
    return all(one.get(name) == other.get(name) for name in names)


def _kind(time: StageTime) -> tuple[object, ...]:
    return (time.status == "skipped", time.work_unit, sorted(time.traits.items()))


def plan_of(request: Request) -> tuple[str, ...]:
    """The stages that a run has to do, and what comes between the last one and its end."""
    kept = stages_to_reuse(request)
    stages = stages_of(request.get("renderer"))
    return (*(stage for stage in stages if stage not in kept), TAIL)


def stages_to_reuse(request: Request) -> tuple[str, ...]:
    """The stages whose results the run has from an earlier one, as its plan knew."""
    return tuple(request.get("kept") or ())


def film_height(request: Request) -> float:
    """Pixels: what was asked for, or what the photo gives unasked."""
    asked, photo = request.get("height"), request.get("photo_height")
    if isinstance(asked, int | float) and asked > 0:
        return float(asked)
    return float(min(USUAL_HEIGHT, photo)) if isinstance(photo, int) and photo > 0 else USUAL_HEIGHT


def size_class(request: Request) -> int:
    """The film's height in steps of √2, so that 720 and 704 are alike."""
    return round(2 * log2(film_height(request) / USUAL_HEIGHT))


def effort_of(time: StageTime, request: Request, most: float = inf) -> float | None:
    """The same as `work_of`, but a frame of a larger film is more work; `most` frames count."""
    work, share = work_of(time, request), FIXED_SHARE.get(time.stage)
    if work is None or share is None:
        return work
    area = (film_height(request) / USUAL_HEIGHT) ** 2
    return min(work, most) * (share + (1 - share) * area)


def work_of(time: StageTime, request: Request) -> float | None:
    """How much work a stage has in a run. The request tells it for past and coming runs alike."""
    width, height = request.get("width"), request.get("height")
    amounts = {
        "frames": request.get("frames"),
        "seconds": request.get("voice_seconds"),
        "megapixels": width * height / 1e6 if width and height else None,
    }.get(time.work_unit)
    return float(amounts) if isinstance(amounts, int | float) and amounts > 0 else None


def _at(wanted: float | None, works: Sequence[float | None], seconds: Sequence[float]) -> float:
    """Seconds for so much work, going by what the known works took; their median without any."""
    points = [(work, took) for work, took in zip(works, seconds, strict=True) if work]
    if wanted is None or len(points) < len(seconds):
        return median(seconds)
    slope, base = line(points)
    return base + slope * wanted


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(seconds per unit of work, seconds besides) through (work, seconds) points; neither < 0.

    Few points say little about what is besides: the fewer, the more is taken to be work.
    """
    works = [work for work, _ in points]
    per_unit = median(seconds / work for work, seconds in points)
    if max(works) < LEAST_SPREAD * min(works):
        return per_unit, 0.0
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x1 != x2]
    slope = max(0.0, median(slopes))
    base = median(seconds - slope * work for work, seconds in points)
    if base < 0:
        return per_unit, 0.0
    trust = min(1.0, len(points) / ENOUGH_FOR_LINE)
    return trust * slope + (1 - trust) * per_unit, trust * base
