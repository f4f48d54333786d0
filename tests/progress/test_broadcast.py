"""Numbering, stamping, percentages, holding back, and what happens when a listener fails."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from vidgen.errors import SetupError
from vidgen.events import (
    Completed,
    Emit,
    Envelope,
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
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.wire import Eta

TASK = "550e8400-e29b-41d4-a716-446655440000"


class World:
    """A clock and a calendar that stand still until they are moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clock(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(1763642096.789 + self.seconds, UTC)


class Memory:
    """An event log in memory. `refuse` makes it fail like a full disk."""

    def __init__(self) -> None:
        self.events: list[Envelope] = []
        self.refuse = False

    @property
    def next_seq(self) -> int:
        return len(self.events) + 1

    def __call__(self, envelope: Envelope) -> None:
        if self.refuse:
            raise SetupError("The disk is full.", code="history.disk_full")
        self.events.append(envelope)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def seen() -> list[Envelope]:
    return []


@pytest.fixture
def emit(world: World, seen: list[Envelope]) -> Emit:
    return Broadcast(TASK, [seen.append], clock=world.clock, now=world.now)


def told(seen: list[Envelope]) -> list[tuple[str, float]]:
    return [(event.event_type, event.data["progress"]) for event in seen]


def test_an_event_becomes_the_envelope_of_the_wire(emit: Emit, seen: list[Envelope]) -> None:
    emit(StageEnded("birefnet_removal", 1.23456, metadata={"backend": "birefnet"}))
    assert seen == [
        Envelope(
            TASK,
            1,
            "stage_update",
            "2025-11-20T12:34:56.789Z",
            {
                "stage": "birefnet_removal",
                "progress": 40.0,
                "stage_progress": 1.0,
                "message": "Cutting the speaker out",
                "message_code": "stage.birefnet_removal",
                "metadata": {"backend": "birefnet"},
                "status": "completed",
                "duration_seconds": 1.235,
            },
        )
    ]


def test_a_snapshot_tells_how_far_and_how_fast(
    world: World, emit: Emit, seen: list[Envelope]
) -> None:
    emit(StageStarted("rendering"))
    emit(StageProgress("rendering", 0, 200, "frames"))
    world.seconds = 7.0  # getting ready
    emit(StageProgress("rendering", 10, 200, "frames"))
    world.seconds = 9.0
    emit(StageProgress("rendering", 50, 200, "frames"))
    assert [event.data.get("rate") for event in seen] == [None, None, None, 20.0]
    assert seen[-1].data == {
        "stage": "rendering",
        "progress": 65.0,
        "stage_progress": 0.25,
        "message": "Drawing the frames",
        "message_code": "stage.rendering",
        "metadata": {},
        "done": 50,
        "total": 200,
        "unit": "frames",
        "rate": 20.0,
    }


def test_a_download_tells_how_long_it_still_takes(
    world: World, emit: Emit, seen: list[Envelope]
) -> None:
    for second in (0, 1, 2):
        world.seconds = float(second)
        emit(StageProgress("initialized", 1e6 * second, 7e6, "bytes", "models.fetching"))
    told = [(event.data["rate"], event.data.get("transfer_eta_seconds")) for event in seen]
    assert told == [(None, None), (None, None), (1e6, 5.0)]


def test_the_end_of_a_stage_tells_how_long_it_got_ready(
    world: World, emit: Emit, seen: list[Envelope]
) -> None:
    emit(StageStarted("rendering"))
    world.seconds = 2.5
    emit(StageProgress("rendering", 1, 9, "frames"))
    emit(StageEnded("rendering", 4.0))
    emit(StageStarted("finalizing"))
    emit(StageEnded("finalizing", 1.0))
    assert [event.data.get("ready_seconds") for event in seen] == [None, None, 2.5, None, None]


def test_the_end_of_a_stage_tells_how_long_it_went_on_after_all_was_counted(
    world: World, emit: Emit, seen: list[Envelope]
) -> None:
    emit(StageStarted("finalizing"))
    emit(StageProgress("finalizing", 1, 9, "frames"))
    world.seconds = 2.0
    emit(StageProgress("finalizing", 9, 9, "frames"))
    world.seconds = 3.5
    emit(StageProgress("finalizing", 9, 9, "frames", "finalize.judging"))
    world.seconds = 6.0
    emit(StageEnded("finalizing", 6.0))
    emit(StageStarted("rendering"))
    emit(StageProgress("rendering", 1, 9, "frames"))
    emit(StageEnded("rendering", 1.0))
    ends = [event.data for event in seen if event.data.get("status") == "completed"]
    assert [data.get("closing_seconds") for data in ends] == [4.0, None]


def test_the_rate_forgets_what_is_over_three_seconds_old(
    world: World, emit: Emit, seen: list[Envelope]
) -> None:
    done = 0.0
    for pace in [1] * 50 + [10] * 40:
        world.seconds += 0.125
        done += pace
        emit(StageProgress("rendering", done, 1000, "frames"))
    assert (seen[49].data["rate"], seen[-1].data["rate"]) == (8.0, 80.0)


def test_seq_counts_without_gaps_from_where_the_log_stands(world: World) -> None:
    log = Memory()
    first = Broadcast(TASK, log=log)
    first(StageStarted("initialized"))
    first(StageEnded("initialized", 0.1))
    again = Broadcast(TASK, log=log)
    again(StageStarted("initialized"))
    assert [event.seq for event in log.events] == [1, 2, 3]


@pytest.mark.parametrize(
    ("ending", "event_type", "progress", "stage"),
    [
        (Completed("/v.mp4", 3.0), "complete", 100.0, "complete"),
        (Failed("No.", "bug"), "error", -1.0, "failed"),
        (RunCancelled("vidgen resume 550e"), "cancelled", 70.0, "cancelled"),
    ],
)
def test_each_ending_has_its_own_last_percentage(
    emit: Emit,
    seen: list[Envelope],
    ending: Event,
    event_type: str,
    progress: float,
    stage: str,
) -> None:
    emit(StageStarted("rendering"))
    emit(StageProgress("rendering", 1, 2, "frames"))
    emit(ending)
    last = seen[-1]
    assert (last.event_type, last.data["progress"], last.data["stage"]) == (
        event_type,
        progress,
        stage,
    )


def test_progress_never_falls(world: World, emit: Emit, seen: list[Envelope]) -> None:
    """Stages out of order, progress that goes back, a repeated stage: never less than before."""
    emit(StageStarted("prosody_adjustment"))
    emit(StageEnded("prosody_adjustment", 0.1))
    emit(StageStarted("yolo_detection"))
    emit(StageProgress("rendering", 9, 10, "frames"))
    world.seconds = 1
    emit(StageProgress("rendering", 1, 10, "frames"))
    emit(StageStarted("finalizing"))
    assert [percent for _, percent in told(seen)] == [40.0, 60.0, 60.0, 78.0, 78.0, 80.0]


def test_a_resumed_run_goes_on_where_it_was(world: World, seen: list[Envelope]) -> None:
    emit = Broadcast(TASK, [seen.append], 12, floor=63.5)
    emit(StageStarted("yolo_detection"))
    assert (seen[0].seq, seen[0].data["progress"]) == (12, 63.5)


def test_at_most_ten_snapshots_a_second_and_the_last_is_never_lost(
    world: World, emit: Emit, seen: list[Envelope]
) -> None:
    emit(StageStarted("rendering"))
    for frame in range(1, 1001):
        world.seconds = frame / 1000
        emit(StageProgress("rendering", frame, 1000, "frames"))
    emit(StageEnded("rendering", 1.0))
    snapshots = [event for event in seen if event.event_type == "progress_update"]
    assert len(snapshots) == 11  # one at once, nine more within the second, the held last one
    assert (seen[-2].data["done"], seen[-1].data["status"]) == (1000, "completed")


def test_a_new_sentence_is_not_held_back(emit: Emit, seen: list[Envelope]) -> None:
    for code in ("", "", "finalize.judging", "finalize.judging", ""):
        emit(StageProgress("finalizing", 9, 9, "frames", code))
    codes = [event.data["message_code"] for event in seen]
    assert codes == ["stage.finalizing", "finalize.judging", "stage.finalizing"]


def test_a_held_snapshot_goes_out_with_the_next_event_of_any_kind(
    world: World, emit: Emit, seen: list[Envelope]
) -> None:
    emit(StageProgress("rendering", 1, 10, "frames"))
    emit(StageProgress("rendering", 2, 10, "frames"))
    world.seconds = 2.0
    emit(Resource(100.0, 500.0))
    assert [(event.event_type, event.data.get("done")) for event in seen] == [
        ("progress_update", 1),
        ("progress_update", 2),
        ("resource", None),
    ]


@pytest.mark.parametrize("ending", [Failed("No.", "bug"), RunCancelled(), Completed("/v", 1.0)])
def test_an_ending_lets_held_snapshots_out_first(
    emit: Emit, seen: list[Envelope], ending: Event
) -> None:
    emit(StageProgress("rendering", 1, 10, "frames"))
    emit(StageProgress("rendering", 2, 10, "frames"))
    emit(ending)
    assert [event.data.get("done") for event in seen] == [1, 2, None]


def test_nothing_is_told_after_the_end(emit: Emit, seen: list[Envelope]) -> None:
    """Another thread may still be saving a preview when a run is cancelled."""
    emit(RunCancelled())
    emit(Preview("rendering-25", "x.jpg", 8, 6, "0", 9))
    emit(Completed("x.mp4", 1.0, {}))
    assert [event.event_type for event in seen] == ["cancelled"]


def test_a_stage_in_another_thread_holds_back_on_its_own(emit: Emit, seen: list[Envelope]) -> None:
    emit(StageProgress("rendering", 1, 10, "frames"))
    emit(StageProgress("prosody_adjustment", 1, 10, "seconds"))
    assert [event.data["stage"] for event in seen] == ["rendering", "prosody_adjustment"]


def test_the_log_has_an_event_before_any_view_sees_it() -> None:
    log = Memory()
    known: list[int] = []
    emit = Broadcast(TASK, [lambda event: known.append(len(log.events) - event.seq)], log=log)
    emit(Log("INFO", "stage.queued"))
    emit(Log("INFO", "stage.queued"))
    assert known == [0, 0]


def test_a_view_that_fails_is_left_out_and_the_run_goes_on(seen: list[Envelope]) -> None:
    calls: list[int] = []

    def broken(event: Envelope) -> None:
        calls.append(event.seq)
        raise RuntimeError("no screen")

    emit = Broadcast(TASK, [broken, seen.append])
    emit(StageStarted("rendering"))
    emit(StageEnded("rendering", 1.0))
    assert calls == [1]
    assert [(event.seq, event.event_type, event.data["message"]) for event in seen] == [
        (1, "stage_update", "Drawing the frames"),
        (2, "log", "The view broken stopped (RuntimeError: no screen). The run goes on."),
        (3, "stage_update", "Drawing the frames"),
    ]


def test_a_full_disk_stops_the_run_and_leaves_no_gap(seen: list[Envelope]) -> None:
    log = Memory()
    emit = Broadcast(TASK, [seen.append], log=log)
    emit(StageStarted("rendering"))
    log.refuse = True
    with pytest.raises(SetupError, match="disk is full"):
        emit(StageEnded("rendering", 1.0))
    log.refuse = False
    emit(Failed("The disk is full.", "history.disk_full"))
    assert [event.seq for event in log.events] == [1, 2]
    assert [event.event_type for event in seen] == ["stage_update", "error"]


@pytest.mark.parametrize("ending", [Failed("The disk is full.", "x"), RunCancelled()])
def test_views_hear_of_the_end_even_when_the_log_cannot_take_it(
    seen: list[Envelope], ending: Event
) -> None:
    log = Memory()
    log.refuse = True
    Broadcast(TASK, [seen.append], log=log)(ending)
    assert len(seen) == 1


def test_a_video_whose_completion_is_not_in_the_log_is_told_as_trouble(
    seen: list[Envelope],
) -> None:
    log = Memory()
    log.refuse = True
    with pytest.raises(SetupError):
        Broadcast(TASK, [seen.append], log=log)(Completed("/v.mp4", 1.0))
    assert [event.event_type for event in seen] == ["complete"]


@pytest.mark.parametrize("is_written", [True, False])
def test_ctrl_c_in_the_middle_of_a_write_leaves_numbers_right(is_written: bool) -> None:
    log = Memory()

    def struck(envelope: Envelope) -> None:
        if is_written:
            log.events.append(envelope)
        raise KeyboardInterrupt

    class Struck(Memory):
        next_seq = property(lambda self: len(log.events) + 1)

        def __call__(self, envelope: Envelope) -> None:
            write(envelope)

    write: Callable[[Envelope], Any] = log
    emit = Broadcast(TASK, log=Struck())
    emit(StageStarted("rendering"))
    write = struck
    with pytest.raises(KeyboardInterrupt):
        emit(StageEnded("rendering", 1.0))
    write = log
    emit(RunCancelled())
    assert [event.seq for event in log.events] == ([1, 2, 3] if is_written else [1, 2])


def test_peaks_of_the_machine_stand_in_the_last_event(emit: Emit, seen: list[Envelope]) -> None:
    emit(Resource(120.0, 500.0))
    emit(Resource(90.0, 812.5, 40.0, 2100.0))
    emit(Resource(100.0, 700.0, 55.0, 1900.0))
    emit(Completed("/v.mp4", 3.0, {"voice_seconds": 2.0}))
    assert seen[-1].data["metadata"] == {
        "peak_cpu_percent": 120.0,
        "peak_memory_mb": 812.5,
        "peak_gpu_percent": 55.0,
        "peak_gpu_memory_mb": 2100.0,
        "voice_seconds": 2.0,
    }


def test_a_failure_says_where_why_and_what_to_do(emit: Emit, seen: list[Envelope]) -> None:
    emit(StageStarted("rendering"))
    emit(
        Failed(
            "Out of memory.", "device.oom", "Use a smaller --height.", True, 1, 3, {"mb": 9}, "t"
        )
    )
    assert seen[-1].data == {
        "stage": "failed",
        "failed_stage": "rendering",
        "progress": -1.0,
        "message": "Out of memory.",
        "message_code": "device.oom",
        "metadata": {"mb": 9},
        "error_code": "device.oom",
        "is_retryable": True,
        "retry_count": 1,
        "max_retries": 3,
        "hint": "Use a smaller --height.",
        "solutions": ["Use a smaller --height."],
        "details": {"mb": 9},
        "trace_id": "t",
        "error": "Out of memory.",
    }


def test_a_preview_has_an_address_for_watchers(emit: Emit, seen: list[Envelope]) -> None:
    emit(Preview("rendering-50.jpg", "/home/u/previews/rendering-50.jpg", 720, 720, "ab", 9))
    data = seen[-1].data
    assert data["url"] == f"/api/tasks/{TASK}/previews/rendering-50.jpg"
    assert (data["path"], data["bytes"]) == ("/home/u/previews/rendering-50.jpg", 9)


def test_an_estimate_stands_in_stage_and_progress_events_only(
    world: World, seen: list[Envelope]
) -> None:
    asked: list[str] = []

    def estimate(event: Event) -> Eta | None:
        asked.append(type(event).__name__)
        if isinstance(event, StageStarted):
            return None
        return Eta(12.3456, None, "rate")

    emit = Broadcast(TASK, [seen.append], estimate=estimate, clock=world.clock)
    emit(StageStarted("rendering"))
    emit(StageProgress("rendering", 1, 2, "frames"))
    emit(Log("INFO", "stage.queued"))
    assert asked == ["StageStarted", "StageProgress"]
    etas = [{k: v for k, v in event.data.items() if k.startswith("eta")} for event in seen]
    assert etas == [
        {},
        {"eta_seconds": 12.3, "eta_upper_seconds": None, "eta_basis": "rate"},
        {},
    ]


def time_progress(
    world: World, left: list[float | None], *, floor: float = 0.0, step: float = 10.0
) -> list[float]:
    """What the bar of a run shows that tells these remaining times, `step` seconds apart."""
    seen: list[Envelope] = []
    told = iter(left)
    emit = Broadcast(
        TASK,
        [seen.append],
        floor=floor,
        estimate=lambda _: Eta(next(told), None, "history"),
        clock=world.clock,
    )
    for _ in left:
        world.seconds += step
        emit(StageEnded("prosody_adjustment", 1.0))
    return [event.data["time_progress"] for event in seen]


def test_the_bar_follows_the_time_and_not_the_stages(world: World) -> None:
    assert time_progress(world, [30.0, 20.0, 10.0, 0.0]) == [24.75, 49.5, 74.25, 99.0]


def test_the_bar_stands_while_nobody_knows_the_rest_and_never_falls(world: World) -> None:
    assert time_progress(world, [None, 20.0, 90.0, None, 10.0]) == [0, 49.5, 49.5, 49.5, 82.5]


def test_the_bar_of_a_run_taken_up_begins_where_it_was(world: World) -> None:
    assert time_progress(world, [30.0, 20.0, 0.0], floor=59.0) == [69.0, 79.0, 99.0]


def test_values_that_json_does_not_know_are_written_as_text(
    emit: Emit, seen: list[Envelope]
) -> None:
    from fractions import Fraction
    from pathlib import Path

    emit(StageEnded("rendering", 1.0, metadata={"fps": Fraction(25), "film": Path("/a/b")}))
    data = Envelope.from_wire(seen[0].to_wire()).data
    assert data["metadata"] == {"fps": "25", "film": "/a/b"}


def test_an_estimate_that_fails_is_given_up(seen: list[Envelope]) -> None:
    asked: list[Event] = []

    def estimate(event: Event) -> Eta | None:
        asked.append(event)
        raise ZeroDivisionError

    emit = Broadcast(TASK, [seen.append], estimate=estimate)
    emit(StageStarted("rendering"))
    emit(StageEnded("rendering", 1.0))
    assert (len(asked), len(seen)) == (1, 2)


def test_stages_of_another_program_have_their_own_shares(seen: list[Envelope]) -> None:
    emit = Broadcast(TASK, [seen.append], shares={"fetch": (0, 30), "bake": (30, 100)})
    emit(StageEnded("fetch", 1.0))
    emit(StageProgress("bake", 1, 2, "trays"))
    assert [event.data["progress"] for event in seen] == [30.0, 65.0]


def test_many_threads_get_one_unbroken_count() -> None:
    from concurrent.futures import ThreadPoolExecutor

    log = Memory()
    emit = Broadcast(TASK, log=log)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: emit(Log("INFO", "stage.queued")), range(800)))
    assert [event.seq for event in log.events] == list(range(1, 801))


class Yielding(Memory):
    """A log that lets the other threads run in the middle of its write, as a disk does."""

    def __call__(self, envelope: Envelope) -> None:
        time.sleep(0.0005)
        super().__call__(envelope)
        time.sleep(0.0005)


def test_a_log_that_lets_others_run_meanwhile_keeps_the_count() -> None:
    from concurrent.futures import ThreadPoolExecutor

    log = Yielding()
    emit = Broadcast(TASK, log=log)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: emit(Log("INFO", "stage.queued")), range(120)))
    assert [event.seq for event in log.events] == list(range(1, 121))


def test_a_run_begins_at_nothing_and_a_strange_stage_moves_nothing() -> None:
    seen: list[Envelope] = []
    emit = Broadcast("task", [seen.append])
    emit(StageStarted("initialized"))
    emit(StageStarted("nobodys"))
    emit(StageEnded("nobodys", 1.0))
    emit(StageStarted("queued"))
    emit(StageStarted("yolo_detection"))
    assert [event.data["progress"] for event in seen] == [0.0] * 5
    emit(StageProgress("rendering", 1, 3, "frames"))
    assert seen[-1].data["progress"] == 66.67


@pytest.mark.parametrize("stage", ["", "rendering"])
def test_what_comes_before_any_stage_is_of_where_the_run_stands(
    seen: list[Envelope], stage: str
) -> None:
    Broadcast(TASK, [seen.append], floor=62.5, stage=stage)(Resource(1.0, 2.0))
    assert (seen[0].data["stage"], seen[0].data["progress"]) == (stage or "initialized", 62.5)
    assert seen[0].data["message"] == "Getting ready"


def test_a_tenth_of_a_second_lies_between_two_snapshots(
    world: World, emit: Emit, seen: list[Envelope]
) -> None:
    for seconds in (0.0, 0.0625, 0.09375, 0.125, 0.1875, 0.25):
        world.seconds = seconds
        emit(StageProgress("rendering", seconds * 100, 100, "frames"))
    assert [event.data["done"] for event in seen] == [0.0, 12.5, 25.0]


def test_what_is_held_is_let_out_once(world: World, emit: Broadcast, seen: list[Envelope]) -> None:
    for done in (1, 2):
        emit(StageProgress("rendering", done, 9, "frames"))
    emit.flush()
    emit.flush()
    world.seconds = 5
    emit(Log("INFO", "stage.queued"))
    assert [event.data.get("done") for event in seen] == [1, 2, None]
    assert [event.seq for event in seen] == [1, 2, 3]


def test_a_run_begins_with_number_one(seen: list[Envelope]) -> None:
    emit = Broadcast(TASK, [seen.append])
    emit(Log("INFO", "stage.queued"))
    assert (seen[0].seq, seen[0].data["progress"], seen[0].task_id) == (1, 0.0, TASK)
