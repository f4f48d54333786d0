"""Steps run in order, say so, reuse what is kept, and every end is told."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from vidgen.device.memory import MemoryPeak
from vidgen.errors import Cancelled, DeviceError, InputError, SetupError
from vidgen.events import (
    Emit,
    Event,
    Failed,
    Log,
    RunCancelled,
    StageEnded,
    StageStarted,
)
from vidgen.signals import graceful_interrupts
from vidgen.steps import Step, run_outcome, run_steps
from vidgen.work import Notes, Work


@dataclass(frozen=True)
class Apple:
    size: int


@dataclass(frozen=True)
class Pie:
    apples: int


@dataclass
class Bake:
    name: str = "rendering"
    runs: int = 0

    def run(self, work: Work, emit: Emit) -> Work:
        self.runs += 1
        emit(Log("INFO", "oven.hot"))
        return work.plus(Pie(work.get(Apple).size), Notes({"oven": "hot"}, "pie.done"))


class Peel:
    name = "prosody_adjustment"

    def run(self, work: Work, emit: Emit) -> Work:
        return work.plus(Apple(work.get(Apple).size - 1))


@dataclass
class Shelf:
    """A cache in memory."""

    kept: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def has(self, step: Step) -> bool:
        return step.key in self.kept

    def load(self, step: Step) -> tuple[object, ...] | None:
        return self.kept.get(step.key)

    def save(self, step: Step, work: Work) -> None:
        self.kept[step.key] = tuple(work.get(kind) for kind in step.keeps)


@contextmanager
def weightless(device: str) -> Iterator[MemoryPeak]:
    yield MemoryPeak()


@contextmanager
def weighing(device: str) -> Iterator[MemoryPeak]:
    yield MemoryPeak(512.0, 2048.0)


def ticking() -> Iterator[float]:
    moment = 0.0
    while True:
        yield moment
        moment += 1.5


def test_steps_run_in_order_and_say_so() -> None:
    heard: list[Event] = []
    clock = ticking()
    work = run_steps(
        [Step(Peel()), Step(Bake())],
        Work(Apple(3)),
        heard.append,
        None,
        lambda: next(clock),
        meter=weightless,
    )
    assert work.get(Pie) == Pie(2)
    assert heard == [
        StageStarted("prosody_adjustment"),
        StageEnded("prosody_adjustment", 1.5),
        StageStarted("rendering"),
        Log("INFO", "oven.hot"),
        StageEnded("rendering", 1.5, "completed", "pie.done", {"oven": "hot"}),
    ]


def test_a_step_out_of_place_says_what_is_missing() -> None:
    with pytest.raises(LookupError, match="no stage has made a Apple yet"):
        run_steps([Step(Bake())], Work(), lambda _: None)


def test_what_is_kept_is_not_made_again() -> None:
    shelf, bake = Shelf(), Bake()
    step = Step(bake, "key-1", (Pie,))
    first = run_steps([step], Work(Apple(3)), lambda _: None, shelf)
    heard: list[Event] = []
    again = run_steps([step], Work(Apple(3)), heard.append, shelf, lambda: 0.0)
    assert bake.runs == 1
    assert again.get(Pie) == first.get(Pie)
    assert heard == [
        StageStarted("rendering"),
        StageEnded("rendering", 0.0, "reused", "run.reused"),
    ]


def test_another_key_is_made_anew() -> None:
    shelf, bake = Shelf(), Bake()
    run_steps([Step(bake, "key-1", (Pie,))], Work(Apple(3)), lambda _: None, shelf)
    run_steps([Step(bake, "key-2", (Pie,))], Work(Apple(4)), lambda _: None, shelf)
    assert bake.runs == 2
    assert shelf.kept == {"key-1": (Pie(3),), "key-2": (Pie(4),)}


def test_the_notes_of_one_step_are_not_the_next_ones() -> None:
    heard: list[Event] = []
    run_steps(
        [Step(Bake()), Step(Peel())],
        Work(Apple(3)),
        heard.append,
        None,
        lambda: 0.0,
        meter=weightless,
    )
    assert heard[-1] == StageEnded("prosody_adjustment", 0.0)


def test_the_peak_of_memory_is_told_with_the_stage() -> None:
    heard: list[Event] = []
    run_steps([Step(Bake())], Work(Apple(1)), heard.append, None, lambda: 0.0, meter=weighing)
    told = {"oven": "hot", "memory_mb": 512.0, "gpu_memory_mb": 2048.0}
    assert heard[-1] == StageEnded("rendering", 0.0, "completed", "pie.done", told)


def test_a_turn_is_held_while_a_step_draws() -> None:
    heard: list[str] = []

    @contextmanager
    def turn() -> Iterator[None]:
        heard.append("mine")
        yield
        heard.append("free")

    steps = [Step(Peel()), Step(Bake(), is_drawing=True), Step(Bake("finalizing"))]
    run_steps(
        steps,
        Work(Apple(1)),
        lambda event: heard.append(event.stage) if isinstance(event, StageStarted) else None,
        meter=weightless,
        drawing_turn=turn,
    )
    assert heard == ["prosody_adjustment", "mine", "rendering", "free", "finalizing"]


@dataclass
class Net:
    """A network that notes what is done with it."""

    done: list[str] = field(default_factory=list)

    def load(self) -> None:
        self.done.append("loaded")

    def release(self) -> None:
        self.done.append("released")


def test_networks_are_loaded_ahead_unless_their_work_is_kept() -> None:
    shelf, wanted, spare = Shelf({"kept": (Pie(1),)}), Net(), Net()
    steps = [
        Step(Bake(), "kept", (Pie,), (spare,)),
        Step(Bake("finalizing"), networks=(wanted,)),
    ]
    run_steps(steps, Work(Apple(1)), lambda _: None, shelf, meter=weightless)
    assert wanted.done[:1] == ["loaded"]
    assert "loaded" not in spare.done


def test_small_networks_are_let_go_before_the_next_stage() -> None:
    net, seen = Net(), list[list[str]]()

    class Look:
        name = "finalizing"

        def run(self, work: Work, emit: Emit) -> Work:
            seen.append([*net.done])
            return work

    steps = [Step(Bake(), small=(net,)), Step(Look())]
    run_steps(steps, Work(Apple(1)), lambda _: None, meter=weightless)
    assert seen == [["released"]]


def test_a_stage_that_finds_no_memory_blames_the_device() -> None:
    class Hungry:
        name = "rendering"

        def run(self, work: Work, emit: Emit) -> Work:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with pytest.raises(DeviceError) as told:
        run_steps([Step(Hungry())], Work(), lambda _: None, device="cuda:0", meter=weightless)
    assert (told.value.code, told.value.exit_code) == ("device.out_of_memory", 5)


def test_an_error_is_the_last_event_and_goes_on_up() -> None:
    heard: list[Event] = []
    with pytest.raises(InputError), run_outcome(heard.append):
        raise InputError(
            "No face in {path}.", hint="Take another.", code="detect.none", path="a.jpg"
        )
    assert heard == [
        Failed("No face in a.jpg.", "detect.none", "Take another.", details={"path": "a.jpg"})
    ]


def test_an_error_tells_how_often_it_was_tried_again() -> None:
    heard: list[Event] = []
    with pytest.raises(SetupError), run_outcome(heard.append):
        raise SetupError("No answer.", code="x", is_retryable=True, retry_count=2, max_retries=3)
    assert heard == [Failed("No answer.", "x", "", True, 2, 3)]


def test_an_error_that_can_be_resumed_names_the_command() -> None:
    heard: list[Event] = []
    with (
        pytest.raises(SetupError) as raised,
        run_outcome(heard.append, lambda: "vidgen resume 1234"),
    ):
        raise SetupError("Full.", hint="Make room, then `vidgen resume`.", code="output.disk_full")
    assert raised.value.hint == "Make room, then `vidgen resume 1234`."
    assert heard == [
        Failed(
            "Full.",
            "output.disk_full",
            "Make room, then `vidgen resume 1234`.",
            details={"resume_command": "vidgen resume 1234"},
        )
    ]


def test_ctrl_c_is_told_as_a_cancelled_run() -> None:
    heard: list[Event] = []
    with (
        pytest.raises(Cancelled) as raised,
        run_outcome(heard.append, lambda: "vidgen resume 1234"),
    ):
        raise KeyboardInterrupt
    assert heard == [RunCancelled("vidgen resume 1234")]
    assert raised.value.exit_code == 130
    assert "vidgen resume 1234" in raised.value.hint


def test_ctrl_c_that_an_extension_turned_into_another_error_is_a_cancel() -> None:
    def interrupted() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        except KeyboardInterrupt as error:
            raise RuntimeError("KeyboardInterrupt: At: somewhere") from error

    heard: list[Event] = []
    with pytest.raises(Cancelled), graceful_interrupts(), run_outcome(heard.append):
        interrupted()
    assert heard == [RunCancelled("")]
    with pytest.raises(RuntimeError), graceful_interrupts(), run_outcome(heard.append):
        raise RuntimeError("a bug of the next run")


def test_a_bug_is_told_without_its_values_and_keeps_its_traceback() -> None:
    heard: list[Event] = []
    with pytest.raises(ZeroDivisionError), run_outcome(heard.append):
        int("1") // int("0")
    (event,) = heard
    assert isinstance(event, Failed)
    assert event.error_code == "bug"
    assert "ZeroDivisionError" in event.message
    assert len(event.trace_id) == 12


def test_a_step_is_of_this_machine_unless_it_says_so() -> None:
    assert not Step(Peel()).is_elsewhere
    assert Step(Peel(), is_elsewhere=True).is_elsewhere
