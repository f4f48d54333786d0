"""The wire's data to the last digit: rates, phases, shares, sentences and endings."""

import re
from typing import Any

import pytest

from vidgen.events import (
    SHARES,
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
from vidgen.progress.wire import Eta, Wire


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def new_wire(clock: Clock, floor: float = 0.0, stage: str = "", **more: Any) -> Wire:
    return Wire("t", SHARES, floor, more.get("estimate"), clock, stage)


def progress(done: float, total: float = 100, unit: str = "frames", **more: Any) -> StageProgress:
    return StageProgress("rendering", done, total, unit, **more)


def test_a_stage_that_begins() -> None:
    assert new_wire(Clock()).form(StageStarted("birefnet_removal", metadata={"a": 1})) == (
        "stage_update",
        {
            "stage": "birefnet_removal",
            "progress": 20.0,
            "message": "Cutting the speaker out",
            "message_code": "stage.birefnet_removal",
            "metadata": {"a": 1},
            "stage_progress": 0.0,
            "status": "started",
        },
    )


@pytest.mark.parametrize(
    "event",
    [StageStarted("rendering", "run.reused"), StageEnded("rendering", 1, code="run.reused"),
     StageProgress("rendering", 1, 2, "x", "run.reused")],
)  # fmt: skip
def test_a_sentence_of_ones_own(event: Event) -> None:
    assert new_wire(Clock()).form(event)[1]["message_code"] == "run.reused"


@pytest.mark.parametrize(
    ("done", "total", "share", "percent"),
    [(0, 3, 0.0, 60.0), (1, 3, 0.3333, 66.67), (2, 3, 0.6667, 73.33), (3, 3, 1.0, 80.0),
     (1, 0, 0.0, 60.0), (5, 3, 1.0, 80.0)],
)  # fmt: skip
def test_shares_have_four_digits_and_percentages_two(
    done: float, total: float, share: float, percent: float
) -> None:
    data = new_wire(Clock()).form(progress(done, total))[1]
    assert (data["stage_progress"], data["progress"]) == (share, percent)


def test_a_rate_is_of_the_last_three_seconds(clock: Clock) -> None:
    wire = new_wire(clock)
    rates = []
    # (seconds since the one before, done): slow, then quick, then begun anew
    told = [
        (0, 10),
        (0.125, 11),
        (0.125, 12),
        (1, 20),
        (1, 30),
        (1, 40),
        (1, 80),
        (1, 5),
        (0.25, 8),
    ]
    for seconds, done in told:
        clock.seconds += seconds
        rates.append(wire.form(progress(done))[1]["rate"])
    assert rates == [None, None, 8.0, 8.0, 8.89, 9.33, 20.0, None, 12.0]


def test_nothing_done_is_no_speed(clock: Clock) -> None:
    wire = new_wire(clock)
    rates = []
    for seconds, done in ((0, 0), (5, 0), (5, 0.5), (1, 1.5), (1, 1.5)):
        clock.seconds += seconds
        rates.append(wire.form(progress(done))[1]["rate"])
    assert rates == [None, None, None, 1.0, 0.5]


def test_another_stage_has_another_rate(clock: Clock) -> None:
    wire = new_wire(clock)
    wire.form(progress(10))
    clock.seconds += 1
    other = StageProgress("finalizing", 50, 100, "frames")
    assert wire.form(other)[1]["rate"] is None
    clock.seconds += 1
    assert wire.form(StageProgress("finalizing", 60, 100, "frames"))[1]["rate"] == 10.0
    assert "ready_seconds" not in wire.form(StageEnded("rendering", 1.0))[1]


@pytest.mark.parametrize(("unit", "left"), [("bytes", 4.5), ("frames", None)])
def test_only_a_download_tells_when_it_is_here(clock: Clock, unit: str, left: float | None) -> None:
    wire = new_wire(clock)
    assert "transfer_eta_seconds" not in wire.form(progress(10, unit=unit))[1]
    clock.seconds += 1
    data = wire.form(progress(28.19, unit=unit))[1]
    assert data.get("transfer_eta_seconds") == (3.9 if unit == "bytes" else left)


def test_how_long_a_stage_got_ready_and_went_on(clock: Clock) -> None:
    wire = new_wire(clock)
    wire.form(StageStarted("rendering"))
    clock.seconds += 1.23456
    wire.form(progress(0))
    clock.seconds += 1
    wire.form(progress(1))
    clock.seconds += 2
    wire.form(progress(100))
    clock.seconds += 0.5
    wire.form(progress(100))
    clock.seconds += 0.25049
    data = wire.form(StageEnded("rendering", 5.00049, "completed"))[1]
    assert data["ready_seconds"] == 2.235
    assert data["closing_seconds"] == 0.75
    assert (data["duration_seconds"], data["stage_progress"]) == (5.0, 1.0)


def test_a_stage_that_was_never_done_has_no_closing(clock: Clock) -> None:
    wire = new_wire(clock)
    wire.form(StageStarted("rendering"))
    wire.form(progress(99))
    data = wire.form(StageEnded("rendering", 1.0))[1]
    assert data["ready_seconds"] == 0.0
    assert "closing_seconds" not in data


def test_the_rest_is_told_in_tenths_and_as_a_share_of_the_time(clock: Clock) -> None:
    told = iter([Eta(20.04, 30.06, "history"), Eta(0.0, None, "rate"), Eta(None, None, "learning")])
    wire = new_wire(clock, floor=9.0, estimate=lambda _: next(told))
    clock.seconds += 10
    names = ("eta_seconds", "eta_upper_seconds", "eta_basis", "time_progress")
    told_of = [wire.form(progress(number))[1] for number in range(3)]
    found = [{name: data[name] for name in names} for data in told_of]
    assert found == [
        {"eta_seconds": 20.0, "eta_upper_seconds": 30.1, "eta_basis": "history",
         "time_progress": 38.96},
        {"eta_seconds": 0.0, "eta_upper_seconds": None, "eta_basis": "rate",
         "time_progress": 99.0},
        {"eta_seconds": None, "eta_upper_seconds": None, "eta_basis": "learning",
         "time_progress": 99.0},
    ]  # fmt: skip


def test_a_run_that_has_just_begun_has_no_share_of_the_time(clock: Clock) -> None:
    wire = new_wire(clock, estimate=lambda _: Eta(0.0, 0.0, "rate"))
    assert wire.form(progress(1))[1]["time_progress"] == 0.0
    assert Wire("t", SHARES, -5.0, None, clock).form(Log("INFO", "x"))[1]["progress"] == 0.0


def test_readings_repeat_the_last_sentence_and_peaks_are_kept(clock: Clock) -> None:
    wire = new_wire(clock)
    wire.form(StageStarted("rendering"))
    for cpu, gpu in ((50.0, None), (90.0, 1.0), (70.0, 0.5)):
        name, data = wire.form(Resource(cpu, 100.0 - cpu, gpu))
    assert (name, data["message"], data["message_code"]) == ("resource", "Drawing the frames", "")
    assert (data["stage"], data["cpu_percent"], data["gpu_memory_mb"]) == ("rendering", 70.0, None)
    done = wire.form(Completed("/v.mp4", 3.45678, {"a": 1}, video_file=(7, 9)))[1]
    assert done == {
        "stage": "complete",
        "progress": 100.0,
        "message": done["message"],
        "message_code": "stage.complete",
        "metadata": {
            "peak_cpu_percent": 90.0, "peak_memory_mb": 50.0, "peak_gpu_percent": 1.0, "a": 1,
        },
        "video_path": "/v.mp4",
        "video_file": [7, 9],
        "video_url": "/api/tasks/t/video",
        "duration_seconds": 3.457,
    }  # fmt: skip


def test_a_program_of_somebodys_says_where_its_film_is() -> None:
    done = Completed("", 1.0, result={"video_url": "https://x/y", "a": 1}, code="x.done")
    data = new_wire(Clock()).form(done)[1]
    assert (data["video_url"], data["result"], data["message_code"]) == (
        "https://x/y", {"video_url": "https://x/y", "a": 1}, "x.done",
    )  # fmt: skip
    odd = new_wire(Clock()).form(Completed("", 1.0, result={"video_url": 5}))[1]
    assert odd["video_url"] == "/api/tasks/t/video"


def test_a_failure_without_a_hint_or_a_trace() -> None:
    wire = new_wire(Clock(), stage="rendering")
    data = wire.form(Failed("No.", "bug"))[1]
    assert (data["failed_stage"], data["solutions"], data["progress"]) == ("rendering", [], -1.0)
    assert re.fullmatch("[0-9a-f]{12}", data["trace_id"])
    assert wire.form(Failed("No.", "bug", stage="queued"))[1]["failed_stage"] == "queued"


def test_a_cancelled_run_and_its_previews(clock: Clock) -> None:
    wire = new_wire(clock)
    wire.form(progress(50))
    name, shown = wire.form(Preview("a.jpg", "/p/a.jpg", 3, 4, "ab", 5))
    assert (name, shown) == (
        "preview",
        {
            "stage": "rendering", "progress": 70.0, "message": "Drawing the frames",
            "message_code": "", "name": "a.jpg", "url": "/api/tasks/t/previews/a.jpg",
            "path": "/p/a.jpg", "width": 3, "height": 4, "sha256": "ab", "bytes": 5,
        },
    )  # fmt: skip
    name, ended = wire.form(RunCancelled("vidgen resume t", {"a": 1}))
    assert (name, ended["cancelled_stage"], ended["stage"], ended["progress"]) == (
        "cancelled", "rendering", "cancelled", 70.0,
    )  # fmt: skip
    assert (ended["resume_command"], ended["metadata"]) == ("vidgen resume t", {"a": 1})


def test_a_sentence_that_is_none_leaves_the_last_one(clock: Clock) -> None:
    wire = new_wire(clock)
    wire.form(StageStarted("rendering"))
    wire.form(Log("INFO", ""))
    assert wire.form(Resource(1.0, 1.0))[1]["message"] == "Drawing the frames"
