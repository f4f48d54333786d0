"""What past runs foretell, how the running one corrects it, and that the time does not jump."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.made_up_runs import judge, make_runs
from vidgen.events import Envelope, StageEnded, StageProgress, StageStarted
from vidgen.paths import Home
from vidgen.progress.forecast.accuracy import accuracy, forecast
from vidgen.progress.forecast.countdown import Countdown
from vidgen.progress.forecast.estimator import Estimator
from vidgen.progress.forecast.model import (
    CLOSING_MOST,
    StageEstimate,
    TimeModel,
    line,
    size_class,
)
from vidgen.progress.forecast.past_runs import PastRun, StageTime, past_run, past_runs
from vidgen.progress.store.log import TaskLog
from vidgen.progress.wire import Eta
from vidgen.quality.closing_look import FRAMES, windows

ABOUT = {"voice_seconds": 10.0, "frames": 250, "width": 720, "height": 720, "device": "cpu"}


def request(seconds: float = 10.0, **more: Any) -> dict[str, Any]:
    return ABOUT | {"voice_seconds": seconds, "frames": int(seconds * 25)} | more


def time_of(stage: str, seconds: float, unit: str = "", **more: Any) -> StageTime:
    return replace(StageTime(stage, "completed", seconds, 0.0, {}, None, unit), **more)


def past(seconds: float = 10.0, *, pace: float = 1.0, **more: Any) -> PastRun:
    """A run that took 3 s beside drawing and, per second of voice, `pace` seconds to draw."""
    stages = (
        time_of("yolo_detection", 1.0),
        time_of("birefnet_removal", 1.5),
        time_of("prosody_adjustment", 0.0, status="skipped"),
        time_of("rendering", seconds * pace, "frames"),
        time_of("finalizing", 0.5),
    )
    whole = 3.0 + seconds * pace
    run = PastRun("t", "complete", 0.0, request(seconds), stages, whole, whole, "", "")
    return replace(run, **more)


# --- experience


def seconds(known: TimeModel, stage: str, wanted: Mapping[str, Any], *traits: Any) -> float | None:
    told = known.stage_time(stage, wanted, *traits)
    return told.seconds if told else None


def test_nothing_is_known_before_the_first_run() -> None:
    assert TimeModel(()).run_seconds(request()) is None


def test_one_run_foretells_the_next_by_its_work() -> None:
    known = TimeModel([past(10.0)])
    assert known.run_seconds(request(10.0)) == pytest.approx(13.0)
    assert known.run_seconds(request(60.0)) == pytest.approx(63.0)


def test_the_median_forgives_an_odd_run() -> None:
    runs = [past(10.0), past(10.0), past(10.0, pace=9.0), past(10.0), past(10.0)]
    assert TimeModel(runs).run_seconds(request(20.0)) == pytest.approx(23.0)


def test_models_loading_is_counted_apart_from_the_work() -> None:
    drawing = time_of("rendering", 10.0, "frames", ready_seconds=4.0)
    run = replace(past(), stages=(drawing,))
    assert TimeModel([run]).stage_time("rendering", request(20.0)) == StageEstimate(4.0, 20.0)


def test_what_follows_the_last_unit_is_counted_apart_too() -> None:
    """Finalizing counts its frames and then looks at the film, which tells no progress."""
    ending = time_of("finalizing", 6.0, "frames", closing_seconds=4.0)
    known = TimeModel([replace(past(2.0), stages=(ending,))])
    assert known.stage_time("finalizing", request(4.0)) == StageEstimate(0.0, 4.0, 8.0)


def test_a_long_film_is_looked_at_no_longer_than_a_short_one() -> None:
    """Some films of three seconds foretold 39 s for one of three minutes, which took 0.7."""
    assert sum(count for _, count in windows(183.0, 25.0)) <= CLOSING_MOST["finalizing"]
    assert windows((CLOSING_MOST["finalizing"]) / 25.0, 25.0) == [(0.0, FRAMES)]
    assert len(windows((CLOSING_MOST["finalizing"] + 1) / 25.0, 25.0)) > 1
    ending = time_of("finalizing", 0.9, "frames", closing_seconds=0.8)
    known = TimeModel([replace(past(3.0), stages=(ending,))])
    told = known.stage_time("finalizing", request(183.0))
    assert told is not None
    assert told.closing == pytest.approx(0.8 * 195 / 75)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(10, 5.0)], (0.5, 0.0)),
        ([(10, 7.0), (20, 12.0)], (0.575, 1.0)),  # half line, half 0.65 a unit
        ([(10, 7.0), (20, 12.0), (30, 17.0)], (0.525, 1.5)),
        ([(10, 7.0), (20, 12.0), (30, 17.0), (40, 22.0)], (0.5, 2.0)),
        ([(10, 7.0), (20, 12.0), (30, 17.0), (40, 22.0), (50, 99.0)], (0.5, 2.0)),
        ([(10, 5.0), (11, 5.5), (12, 6.0), (13, 6.5)], (0.5, 0.0)),  # too narrow for a line
        ([(10, 3.0), (20, 8.0), (30, 13.0), (40, 18.0)], (0.4, 0.0)),  # never less than nothing
    ],
)
def test_a_line_with_an_intercept_needs_enough_to_go_by(
    points: list[tuple[float, float]], expected: tuple[float, float]
) -> None:
    assert line(points) == pytest.approx(expected, abs=0.02)


def test_another_device_tells_nothing_about_the_drawing() -> None:
    known = TimeModel([past(10.0)])
    assert known.run_seconds(request(10.0, device="cuda:0")) is None
    assert seconds(known, "yolo_detection", request(device="cuda:0")) == 1.0


def test_the_stage_as_it_is_made_now_decides() -> None:
    """The same stage by two backends: the one that the run names, else the newest."""
    slow = replace(past(), stages=(time_of("yolo_detection", 9.0, traits={"backend": "yolo26"}),))
    fast = replace(past(), stages=(time_of("yolo_detection", 1.0, traits={"backend": "face"}),))
    known = TimeModel([slow, fast])
    assert seconds(known, "yolo_detection", request()) == 1.0
    assert seconds(known, "yolo_detection", request(), {"backend": "yolo26"}) == 9.0
    assert seconds(known, "yolo_detection", request(), {"backend": "other"}) is None


def test_films_of_like_size_are_preferred() -> None:
    small = past(10.0, pace=0.5)
    small = replace(small, request=request(10.0, height=360, width=360))
    known = TimeModel([past(10.0, pace=2.0), small])
    assert seconds(known, "rendering", request(10.0)) == pytest.approx(20.0)


def test_where_no_film_is_of_like_size_a_larger_frame_is_more_work() -> None:
    large = request(10.0, height=1440, width=1440)
    told = seconds(TimeModel([past(10.0)]), "rendering", large)
    assert told == pytest.approx(10.0 * (0.15 + 0.85 * 4))


@pytest.mark.parametrize(
    ("asked", "photo", "expected"),
    [(720, 900, 0), (704, 900, 0), (512, 900, -1), (360, 900, -2), (256, 900, -3),
     (1080, 900, 1), (None, None, 0), (0, 2000, 0), (0, 360, -2)],
)  # fmt: skip
def test_sizes_fall_into_classes(asked: int | None, photo: int | None, expected: int) -> None:
    """Unasked, a film is as high as its photo, and not higher than usual."""
    assert size_class({"height": asked, "photo_height": photo}) == expected


def test_how_long_drawing_gets_ready_hangs_on_what_was_kept() -> None:
    """Where the photo is cut out anew, the voice is heard meanwhile."""
    drawing = time_of("rendering", 10.0, "frames", ready_seconds=2.0)
    anew = replace(past(), stages=(drawing,))
    kept = ["yolo_detection", "birefnet_removal"]
    again = replace(past(), request=request(kept=kept),
                    stages=(replace(drawing, ready_seconds=8.0),))  # fmt: skip
    known = TimeModel([anew, anew, again])
    for wanted, ready in ((request(), 2.0), (request(kept=kept), 8.0)):
        told = known.stage_time("rendering", wanted)
        assert told is not None
        assert told.ready == ready


def test_reused_stages_teach_nothing() -> None:
    again = replace(past(), stages=(time_of("yolo_detection", 0.01, status="reused"),))
    assert seconds(TimeModel([past(), again]), "yolo_detection", request()) == 1.0


def test_what_is_kept_from_an_earlier_run_takes_no_time() -> None:
    known = TimeModel([past(10.0)])
    kept = ["yolo_detection", "birefnet_removal"]
    assert known.run_seconds(request(10.0, kept=kept)) == pytest.approx(10.5)


def again(**more: Any) -> PastRun:
    """A run of the same photo: its first stage was made before."""
    first, *rest = past().stages
    stages = (replace(first, status="reused", seconds=0.0), *rest)
    return replace(past(), stages=stages, seconds=24.0, **more)


def test_runs_of_the_same_photo_test_the_estimates_too() -> None:
    known = TimeModel([past(), *[again(request=request(kept=["yolo_detection"]))] * 4])
    assert known.typical_ratio == pytest.approx(2.0)


def test_a_run_that_found_more_kept_than_it_knew_of_tests_nothing() -> None:
    assert TimeModel([past(), *[again()] * 4]).typical_ratio == 1.0


def test_the_bound_covers_three_runs_of_four() -> None:
    """Runs whose time over the estimate is 1.00, 1.01 … 1.39, in a mixed order."""
    runs = [past(pace=1.0)]
    runs += [replace(past(), seconds=13.0 * (1 + (at * 17 % 40) / 100)) for at in range(40)]
    known = TimeModel(runs)
    assert known.typical_ratio == pytest.approx(1.195)
    assert known.upper_ratio == pytest.approx(1.30)


def test_the_bound_is_wide_until_it_was_tested() -> None:
    assert TimeModel([past()]).upper_ratio == 1.5
    assert TimeModel([past(), replace(past(), seconds=26.0)]).upper_ratio == 2.0


# --- the running run


class Clock:
    def __init__(self) -> None:
        self.seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def estimator(clock: Clock, *runs: PastRun) -> Estimator:
    made = Estimator(lambda: TimeModel(runs), clock)
    made.wait()
    return made


def planned(made: Estimator, about: Mapping[str, Any] | None = None) -> Eta | None:
    made(StageStarted("initialized"))
    return made(StageEnded("initialized", 0.1, metadata=about or request()))


def test_the_first_run_ever_is_learning_and_then_goes_by_its_own_rate(clock: Clock) -> None:
    made = estimator(clock)
    assert planned(made) == Eta(None, None, "learning")
    assert made(StageStarted("rendering")) == Eta(None, None, "learning")
    made(StageProgress("rendering", 0, 250, "frames"))
    clock.seconds += 9.0  # getting ready tells nothing about the speed
    told = made(StageProgress("rendering", 50, 250, "frames"))
    assert told == Eta(None, None, "learning")
    clock.seconds += 5.0
    told = made(StageProgress("rendering", 100, 250, "frames"))
    assert told == Eta(15.0, None, "rate")


@pytest.mark.parametrize(("frames", "expected"), [(195, 15.0), (3900, 0.75)])
def test_the_first_run_ever_keeps_time_for_the_look_at_its_film(
    clock: Clock, frames: int, expected: float
) -> None:
    """A bar that forgot it would stand at 99 % for a third of the run."""
    made = estimator(clock)
    planned(made, request(renderer="puppet", frames=frames))
    left = []
    for stage, seconds, closing in (("rendering", 20.0, 0.0), ("finalizing", 1.0, 14.0)):
        made(StageStarted(stage))
        for done in range(1, frames + 1):
            clock.seconds += seconds / frames
            made(StageProgress(stage, done, frames, "frames"))
        clock.seconds += closing
        told = made(StageEnded(stage, seconds + closing))
        assert told is not None
        left.append(told.seconds)
    assert left[0] == pytest.approx(expected, abs=0.5)


def test_nothing_is_said_before_the_plan_is_known(clock: Clock) -> None:
    assert estimator(clock, past())(StageStarted("initialized")) is None


def test_a_run_begins_with_what_past_runs_foretell(clock: Clock) -> None:
    made = estimator(clock, past())
    told = planned(made)
    assert told is not None
    assert told.basis == "history"
    assert told.seconds == pytest.approx(13.0)
    assert told.upper_seconds == pytest.approx(19.5)


def test_finished_stages_are_no_longer_counted(clock: Clock) -> None:
    made = estimator(clock, past())
    planned(made)
    for stage, took in (("yolo_detection", 1.0), ("birefnet_removal", 1.5)):
        made(StageStarted(stage))
        told = made(StageEnded(stage, took))
    assert told is not None
    assert told.seconds == pytest.approx(10.5)


def test_a_slower_machine_is_believed_as_the_stage_goes_on(clock: Clock) -> None:
    """Twice as slow as foretold: the estimate moves from the old pace to the new."""
    made = estimator(clock, past())
    planned(made)
    made(StageStarted("rendering"))
    made(StageProgress("rendering", 0, 250, "frames"))
    wholes = []
    for done in range(10, 251, 10):
        clock.seconds += 0.8  # 80 ms a frame, foretold 40
        told = made(StageProgress("rendering", done, 250, "frames"))
        assert told is not None
        assert told.seconds is not None
        wholes.append(told.seconds + clock.seconds - 50.0)
    # The three other stages (3 s), which never began here, are expected to be slow, too.
    assert wholes[0] == pytest.approx(13.0, abs=1.4)
    assert wholes[-1] == pytest.approx(20.0 + 3.0 * 1.8, abs=0.5)


def test_getting_ready_longer_than_usual_leaves_the_work_as_it_was(clock: Clock) -> None:
    drawing = time_of("rendering", 10.0, "frames", ready_seconds=2.0)
    run = replace(past(), stages=(drawing, time_of("finalizing", 0.5)))
    made = estimator(clock, run)
    planned(made)
    made(StageStarted("rendering"))
    clock.seconds += 6.0
    told = made(StageProgress("rendering", 0, 250, "frames"))
    assert told is not None
    assert told.seconds == pytest.approx(0.6 + 10.0 + 0.5)
    clock.seconds += 1.0
    told = made(StageProgress("rendering", 5, 250, "frames"))
    assert told is not None
    assert told.seconds == pytest.approx(10.0 * 0.98 + 0.5, abs=0.5)


def test_a_stage_that_has_counted_all_still_needs_its_closing_time(clock: Clock) -> None:
    ending = time_of("finalizing", 5.0, "frames", closing_seconds=4.0)
    drawing = time_of("rendering", 10.0, "frames")
    made = estimator(clock, replace(past(), stages=(drawing, ending)))
    planned(made)
    made(StageEnded("rendering", 10.0))
    made(StageStarted("finalizing"))
    left = []
    for at, done in ((0.0, 1), (1.0, 250), (2.0, 250), (4.0, 250)):
        clock.seconds = 60.0 + at
        told = made(StageProgress("finalizing", done, 250, "frames"))
        assert told is not None
        assert told.seconds is not None
        left.append(told.seconds)
    assert left == pytest.approx([5.0, 4.0, 3.0, 1.0], abs=0.1)


def test_a_slow_stage_makes_the_later_ones_be_expected_slow(clock: Clock) -> None:
    """The machine has other work today: the first stages took four times as long as foretold."""
    known = [past(), past(), past()]
    usual, slow = estimator(clock, *known), estimator(clock, *known)
    left = []
    for made, took in ((usual, 1.0), (slow, 4.0)):
        planned(made)
        for stage, seconds in (("yolo_detection", 1.0), ("birefnet_removal", 1.5)):
            made(StageStarted(stage))
            told = made(StageEnded(stage, seconds * took))
        assert told is not None
        assert told.seconds is not None
        left.append(told.seconds)
    assert left[0] == pytest.approx(10.5)
    assert 1.2 < left[1] / left[0] < 4.0


def test_models_that_load_slowly_tell_nothing_about_the_rest(clock: Clock) -> None:
    made = estimator(clock, past())
    planned(made)
    made(StageStarted("yolo_detection"))
    clock.seconds += 31.0
    told = made(StageEnded("yolo_detection", 31.0, metadata={"load_seconds": 30.0}))
    assert told is not None
    assert told.seconds == pytest.approx(12.0)


def test_nothing_is_foretold_while_another_run_holds_the_device(clock: Clock) -> None:
    made = estimator(clock, past())
    planned(made)
    assert made(StageStarted("queued")) == Eta(None, None, "queued")
    told = made(StageEnded("queued", 60.0))
    assert told is not None
    assert told.seconds == pytest.approx(13.0)


def test_a_silent_stage_past_its_time_still_asks_for_a_little_more(clock: Clock) -> None:
    made = estimator(clock, past())
    planned(made)
    for stage in ("birefnet_removal", "prosody_adjustment", "rendering", "finalizing"):
        made(StageEnded(stage, 0.0))
    made(StageStarted("yolo_detection"))
    clock.seconds += 100.0
    told = made(StageStarted("yolo_detection"))
    assert told is not None
    assert told.seconds == pytest.approx(1.0)


def test_waiting_for_the_logs_is_limited(clock: Clock) -> None:
    import threading

    release = threading.Event()

    def slow() -> TimeModel:
        release.wait(10)
        return TimeModel([past()])

    made = Estimator(slow, clock, patience_seconds=0.01)
    assert planned(made) == Eta(None, None, "learning")
    release.set()
    made.wait()
    told = made(StageStarted("yolo_detection"))
    assert told is not None
    assert told.seconds == pytest.approx(13.0)


def test_logs_that_cannot_be_read_are_no_reason_to_stop(clock: Clock) -> None:
    def broken() -> TimeModel:
        raise OSError("gone")

    made = Estimator(broken, clock)
    made.wait()
    assert planned(made) == Eta(None, None, "learning")


# --- counting down


def test_small_differences_are_made_up_slowly_and_large_ones_at_once() -> None:
    shown = Countdown()
    shown.take(100.0, 0.0)
    assert shown.at(10.0) == 90.0
    shown.take(95.0, 10.0)  # within a tenth: no jump
    assert shown.at(10.0) == 90.0
    assert shown.at(11.0) == pytest.approx(89.2)  # counts down a little slower
    shown.take(50.0, 20.0)
    assert shown.at(20.0) == 50.0
    shown.take(None, 21.0)
    assert shown.at(21.0) is None


def test_a_countdown_never_goes_below_nothing() -> None:
    shown = Countdown()
    shown.take(2.0, 0.0)
    assert shown.overdue(1.0) == 0.0
    assert shown.at(99.0) == 0.0
    assert shown.overdue(99.0) == pytest.approx(97.0)
    assert Countdown().overdue(99.0) == 0.0


# --- reading logs


def stamped(seq: int, at: float, event_type: str, **data: Any) -> Envelope:
    stamp = f"2026-11-20T12:{int(at) // 60:02}:{at % 60:06.3f}Z"
    return Envelope("t", seq, event_type, stamp, {"stage": "", "progress": 0.0} | data)


def a_run(*, resumed: bool = False, eta: float = 10.0) -> list[Envelope]:
    rows: list[tuple[float, str, dict[str, Any]]] = [
        (0.0, "stage_update", {"stage": "initialized", "status": "started"}),
        (
            1.0,
            "stage_update",
            {
                "stage": "initialized",
                "status": "completed",
                "metadata": request(),
                "eta_seconds": eta,
                "eta_upper_seconds": 12.5,
            },
        ),
        (1.0, "stage_update", {"stage": "rendering", "status": "started"}),
        (6.0, "progress_update", {"stage": "rendering", "eta_seconds": 5.0}),
        (6.0, "resource", {"cpu_percent": 1.0}),
        (
            11.0,
            "stage_update",
            {
                "stage": "rendering",
                "status": "completed",
                "duration_seconds": 10.0,
                "closing_seconds": 1.5,
                "metadata": {
                    "backend": "puppet",
                    "device": "cpu",
                    "work": 250,
                    "work_unit": "frames",
                    "load_seconds": 2.0,
                },
            },
        ),
        (13.0, "complete", {"stage": "complete", "video_path": "/v.mp4"}),
    ]
    if resumed:
        rows.insert(3, (4.0, "stage_update", {"stage": "initialized", "status": "started"}))
    return [stamped(seq, at, kind, **data) for seq, (at, kind, data) in enumerate(rows, 1)]


def kept(home: Home, name: str, events: list[Envelope]) -> Path:
    with TaskLog(home.task(name)) as log:
        log.write_all(events)
    return home.task(name).events


def test_a_log_becomes_numbers(home: Home) -> None:
    run = past_run(kept(home, "t", a_run()))
    assert run is not None
    assert (run.state, run.request) == ("complete", request())
    assert run.seconds == pytest.approx(12.0)
    assert run.total_seconds == pytest.approx(13.0)
    drawn, tail = run.stages
    traits = {"backend": "puppet", "device": "cpu"}
    assert drawn == StageTime("rendering", "completed", 8.0, 2.0, traits, 250.0, "frames", 1.5)
    assert tail.stage == "complete"  # what follows the last stage
    assert tail.seconds == pytest.approx(2.0)


def test_a_resumed_run_tells_its_stages_but_no_whole(home: Home) -> None:
    run = past_run(kept(home, "t", a_run(resumed=True)))
    assert run is not None
    assert run.seconds is None
    assert [time.stage for time in run.stages] == ["rendering", "complete"]


def test_a_run_without_an_end_is_not_past(home: Home) -> None:
    assert past_run(kept(home, "t", a_run()[:-1])) is None


def test_past_runs_are_the_newest_without_this_one(home: Home) -> None:
    import os

    for number in range(5):
        log = kept(home, f"run{number}", a_run())
        os.utime(log, ns=(0, number * 10**9))
    found = past_runs(home, limit=3, skip="run3")
    assert len(found) == 3
    assert past_runs(Home(home.root / "nowhere")) == []


# --- how true it was


def test_a_forecast_is_judged_by_the_time_that_was_left() -> None:
    """12 s after the plan: 10 were foretold; half a second before the middle, 5 of the 7 left."""
    found = forecast(a_run())
    assert found is not None
    assert (found.seconds, found.foretold, found.is_kept, found.jumps) == (12.0, 10.0, True, 0)
    assert found.errors == pytest.approx((2 / 12, 2 / 10.8, 2 / 9, 2 / 6, 2 / 3))


@pytest.mark.parametrize("events", [a_run(resumed=True), a_run()[:-1], []])
def test_broken_runs_are_not_judged(events: list[Envelope]) -> None:
    assert forecast(events) is None


def test_accuracy_is_the_mean_over_runs() -> None:
    one, other = forecast(a_run()), forecast(a_run(eta=12.0))
    assert one is not None
    assert other is not None
    other = replace(other, is_kept=False)
    found = accuracy([one, other])
    assert (found.runs, found.coverage) == (2, 0.5)
    assert found.mape[0] == pytest.approx(1 / 12)
    assert accuracy([]).mape == (None,) * 5


def test_thirty_mixed_runs_meet_the_goal(tmp_path: Path) -> None:
    """The benchmark in small: error and coverage after five runs, on made-up runs."""
    forecasts = []
    for seed in (1, 2):
        home = Home(tmp_path / str(seed))
        make_runs(home, 30, seed)
        forecasts += judge(home)[5:]
    found = accuracy(forecasts)
    assert found.mape[0] is not None
    assert found.mape[0] <= 0.22
    assert found.coverage is not None
    assert 0.6 <= found.coverage <= 0.9
    assert found.jumps_per_run < 1
    assert found.bar is not None
    assert found.bar <= 10  # points, of the median run
