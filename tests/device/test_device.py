"""Devices: which there is, one run at a time on each, memory, and loading ahead."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vidgen.device import device, memory, prefetch, queue
from vidgen.device import memory as memory_module
from vidgen.errors import DeviceError, InputError, SetupError
from vidgen.installation import install_command
from vidgen.paths import Home
from vidgen.signals import graceful_interrupts

# A run in a process of its own: says what it hears, holds the device until its input ends.
RUN = """
import sys
from pathlib import Path
from vidgen.device.queue import device_slot
from vidgen.paths import Home
def say(*words): print(*words, flush=True)
with device_slot(Home(Path(sys.argv[1])), "cpu", sys.argv[2],
          lambda holder: say("behind", holder), lambda place: say("place", place)):
    say("runs")
    sys.stdin.read()
"""


class Run:
    """One such process."""

    def __init__(self, home: Home, task: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(home.root), task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self.hears()  # it runs or waits: the next one may come

    def hears(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ends(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(10) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def running(home: Home, *tasks: str) -> Iterator[list[Run]]:
    runs: list[Run] = []
    try:
        for task in tasks:
            runs.append(Run(home, task))  # noqa: PERF401  # those made so far must be closed
        yield runs
    finally:
        for run in runs:
            run.close()


# --- which ----------------------------------------------------------------------------------------


def test_the_cpu_is_always_there() -> None:
    assert device.resolve_device("cpu") == "cpu"
    assert "core" in device.cpu_name()


@pytest.mark.parametrize("word", ["gpu", "cuda:x", "tpu:0", ""])
def test_an_unknown_word_is_told(word: str) -> None:
    with pytest.raises(InputError) as told:
        device.resolve_device(word)
    assert told.value.code == "device.unknown"


def test_without_the_extra_the_pip_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_gpu_extra", lambda: False)
    with pytest.raises(SetupError) as told:
        device.resolve_device("cuda")
    assert told.value.code == "device.no_extra"
    assert install_command("gpu") in told.value.hint
    assert device.resolve_device("auto") == "cpu"


class Driver:
    """Stands in for NVIDIA's, of a version, with so many GPUs."""

    def __init__(self, version: int, count: int, error: int = 0) -> None:
        self.version, self.count, self.error = version, count, error

    def cuInit(self, _flags: int) -> int:  # noqa: N802  # CUDA's name
        return self.error

    def cuDriverGetVersion(self, where: Any) -> int:  # noqa: N802  # CUDA's name
        where._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, where: Any) -> int:  # noqa: N802  # CUDA's name
        where._obj.value = self.count
        return 0


@pytest.mark.parametrize(
    ("driver", "toolkit", "count"),
    [
        (Driver(13010, 2), 13, 2),
        (Driver(13000, 0), 12, 0),
        (Driver(12080, 1), 13, None),  # too old for this torch, which says so better
        (Driver(13010, 1, error=100), 13, 0),  # none that may be used
        (Driver(13010, 1, error=803), 13, None),
        (Driver(13010, 1), 0, None),  # a torch without CUDA
        (None, 13, None),
    ],
)
def test_gpus_are_counted_without_torch_where_the_driver_can_tell(
    driver: Driver | None, toolkit: int, count: int | None
) -> None:
    assert device.count_by_driver(driver, toolkit) == count


@pytest.mark.gpu
def test_the_version_of_cuda_is_told_without_torch() -> None:
    torch = pytest.importorskip("torch")
    assert device._toolkit() == int((torch.version.cuda or "0").partition(".")[0])


@pytest.mark.gpu
def test_a_gpu_that_is_not_there_is_told() -> None:
    torch = pytest.importorskip("torch")
    number = torch.cuda.device_count()
    with pytest.raises(DeviceError) as told:
        device.resolve_device(f"cuda:{number}")
    assert told.value.code == "device.absent"


# --- one at a time --------------------------------------------------------------------------------


def test_a_free_device_is_held_at_once_and_free_again(home: Home) -> None:
    said: list[object] = []
    for _ in range(2):
        with queue.device_slot(home, "cpu", "mine", said.append, said.append):
            assert home.device_lock("cpu").with_suffix(".holder").read_text() == "mine"
    assert said == []
    assert not home.device_lock("cpu").with_suffix(".holder").exists()


def test_another_device_is_another_queue(home: Home) -> None:
    with (
        queue.device_slot(home, "cuda:0", "a", lambda _: None),
        queue.device_slot(home, "cuda:1", "b", lambda _: pytest.fail("it is free")),
    ):
        pass


def test_runs_wait_in_the_order_they_came(home: Home) -> None:
    with running(home, "first", "second", "third") as (first, second, third):
        assert first.first == "runs"
        assert second.first == "behind first"
        assert second.hears() == "place 1"
        assert third.hears() == "place 2"
        first.ends()
        assert second.hears() == "runs"
        assert third.hears() == "place 1"
        second.ends()
        assert third.hears() == "runs"


def test_a_run_that_dies_waiting_gives_its_place_up(home: Home) -> None:
    with running(home, "first", "second", "third") as (first, second, third):
        assert second.hears() == "place 1"
        assert third.hears() == "place 2"
        second.process.kill()
        assert third.hears() == "place 1"
        first.ends()
        assert third.hears() == "runs"


def test_a_run_that_dies_running_gives_the_device_up(home: Home) -> None:
    with running(home, "first", "second") as (first, second):
        assert second.hears() == "place 1"
        first.process.kill()
        assert second.hears() == "runs"


def test_nobody_overtakes_those_who_wait(home: Home) -> None:
    with running(home, "first", "second") as (first, second):
        assert second.hears() == "place 1"
        second.process.send_signal(signal.SIGSTOP)  # it sleeps while the device becomes free
        first.ends()
        with running(home, "late") as (late,):
            assert late.first == "behind"  # nobody holds it, but somebody waits
            assert late.hears() == "place 2"
            second.process.send_signal(signal.SIGCONT)
            assert second.hears() == "runs"


# --- memory ---------------------------------------------------------------------------------------


def test_the_first_way_that_fits_is_taken() -> None:
    tried: list[int] = []
    told: list[int] = []

    def attempt(size: int) -> str:
        tried.append(size)
        if size > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 3 GiB")
        return f"done with {size}"

    assert memory_module.first_that_fits([8, 4, 2, 1], attempt, told.append, "cpu") == "done with 2"
    assert (tried, told) == ([8, 4, 2], [4, 2])


def test_when_nothing_fits_the_device_is_blamed() -> None:
    def attempt(size: int) -> None:
        raise MemoryError

    with pytest.raises(DeviceError) as told:
        memory_module.first_that_fits([2, 1], attempt, lambda _: None, "cuda:0")
    assert told.value.exit_code == 5
    assert told.value.details == {"device": "cuda:0"}


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_want_of_memory_is_told_from_other_errors(error: Exception, is_memory: bool) -> None:
    assert memory_module.is_out_of_memory(error) is is_memory


class AcceleratorError(RuntimeError):
    """Named as torch's, for a GPU that fell off the bus."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "device.out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "device.out_of_memory"),
        (AcceleratorError("CUDA error: unspecified launch failure\nmore"), "device.lost"),
    ],
)
def test_what_a_device_does_is_its_own_fault(error: Exception, code: str) -> None:
    with pytest.raises(DeviceError) as told, memory_module.device_errors("cuda:0"):
        raise error
    assert (told.value.code, told.value.details["device"]) == (code, "cuda:0")
    assert "\n" not in told.value.message


def test_another_error_is_not_the_devices() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_module.device_errors("cuda:0"):
        raise RuntimeError("shapes do not fit")


def test_the_peak_of_a_stage_is_measured() -> None:
    with memory_module.measure_peak("cpu") as small:
        pass
    with memory_module.measure_peak("cpu") as large:
        block = bytearray(200_000_000)
        block[::4096] = b"x" * len(block[::4096])
        del block
    with memory_module.measure_peak("cpu") as after:
        pass
    assert large.memory_mb > small.memory_mb + 150
    assert large.gpu_memory_mb is None
    if Path("/proc/self/clear_refs").exists():
        assert after.memory_mb < large.memory_mb - 150


class Cuda:
    """As much of torch.cuda as measuring needs; like it, it knows no device before its start."""

    def __init__(self) -> None:
        self.started = False
        self.peak = 5_000_000_000

    def is_initialized(self) -> bool:
        return self.started

    def reset_peak_memory_stats(self, device: str) -> None:
        if not self.started:
            raise RuntimeError("Invalid device argument 0: did you call init?")
        self.peak = 0

    def max_memory_reserved(self, device: str) -> int:
        return self.peak if self.started else 0


def test_a_gpus_peak_is_measured_from_before_its_first_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = Cuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with memory_module.measure_peak("cuda:0") as unused:
        pass
    with memory_module.measure_peak("cuda:0") as first:
        cuda.started, cuda.peak = True, 3_000_000_000
    with memory_module.measure_peak("cuda:0") as second:
        cuda.peak = max(cuda.peak, 1_000_000_000)
    assert [peak.gpu_memory_mb for peak in (unused, first, second)] == [0.0, 3000.0, 1000.0]


# --- loading ahead --------------------------------------------------------------------------------


class Slow:
    """Weights that take a moment to read."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.loaded = threading.Event()
        self.released = False

    def load(self) -> None:
        time.sleep(0.02)
        if self.fails:
            raise SetupError("no such file")
        self.loaded.set()

    def release(self) -> None:
        self.released = True


def test_a_module_that_is_half_imported_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    half = SimpleNamespace(__spec__=SimpleNamespace(_initializing=True))
    monkeypatch.setitem(sys.modules, "torch", half)
    memory.free("cuda:0")
    assert memory.free_on_device("cuda:0") is None
    with memory.measure_peak("cuda:0") as peak:
        pass
    assert peak.gpu_memory_mb is None


@pytest.mark.gpu
def test_torch_is_made_ready_in_a_thread_of_its_own() -> None:
    pytest.importorskip("torch")
    prefetch.TorchAhead("cpu").load()
    for thread in threading.enumerate():
        if thread.name == "vidgen-torch":
            thread.join()
    assert "torch" in sys.modules


@pytest.mark.gpu
@pytest.mark.skipif(sys.platform != "linux", reason="looks at what Linux says is mapped")
def test_torchs_libraries_are_mapped_without_its_import() -> None:
    pytest.importorskip("torch")
    code = """
import sys
from pathlib import Path
from vidgen.device.device import map_torch
map_torch()
assert "torch" not in sys.modules
assert "libtorch_python" in Path("/proc/self/maps").read_text()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_networks_are_read_while_the_body_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "is_short", lambda _: False)
    broken, whole = Slow(fails=True), Slow()
    with prefetch.prefetch([broken, whole], "cpu"):
        assert whole.loaded.wait(5)


def test_nothing_is_read_ahead_when_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "is_short", lambda _: True)
    network = Slow()
    with prefetch.prefetch([network], "cpu"):
        assert not network.loaded.wait(0.1)


def test_an_early_end_stops_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "is_short", lambda _: False)
    networks = [Slow() for _ in range(50)]
    with prefetch.prefetch(networks, "cpu"):
        assert networks[0].loaded.wait(5)
    assert not networks[-1].loaded.is_set()


def test_after_a_signal_nobody_waits_for_a_network_that_is_being_read() -> None:
    class Endless(Slow):
        def load(self) -> None:
            self.loaded.set()
            may_end.wait()

    may_end, network = threading.Event(), Endless()

    def run() -> None:
        with graceful_interrupts(), prefetch.prefetch([network], "cpu"):
            assert network.loaded.wait(5)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run()
    may_end.set()  # reached only because nobody waited
    with graceful_interrupts():  # the next test has no signal behind it
        pass


@pytest.mark.parametrize("short", [True, False])
def test_a_network_is_let_go_only_when_memory_is_short(
    short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "is_short", lambda _: short)
    network = Slow()
    assert prefetch.release_if_short(network, "cpu") is short
    assert network.released is short


def test_memory_is_short_below_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    total = psutil.virtual_memory()
    for free, short in ((0.2, True), (0.3, False)):
        state = total._replace(available=int(free * total.total))
        monkeypatch.setattr(psutil, "virtual_memory", lambda state=state: state)
        assert memory.is_short("cpu") is short


def test_a_process_is_told_its_cores_and_openblas_only_one() -> None:
    assert device.thread_limits(6) == {
        "OMP_NUM_THREADS": "6",
        "MKL_NUM_THREADS": "6",
        "VIDGEN_CORES": "6",
        "OPENBLAS_NUM_THREADS": "1",
    }


@pytest.mark.parametrize(("told", "least"), [("1", True), ("0", True), ("many", False)])
def test_a_process_uses_no_more_cores_than_it_is_told(
    monkeypatch: pytest.MonkeyPatch, told: str, *, least: bool
) -> None:
    there = device.usable_cores()
    monkeypatch.setenv("VIDGEN_CORES", told)
    assert device.usable_cores() == (1 if least else there)
