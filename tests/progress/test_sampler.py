"""What the run uses is told regularly, at next to no cost, and never stops a run."""

import subprocess
import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import pytest

from vidgen.errors import SetupError
from vidgen.events import Event, Resource
from vidgen.progress.sampler import Sampler, machine_reader


def test_the_sampler_tells_until_it_is_stopped() -> None:
    told: list[Event] = []
    enough = threading.Event()

    def emit(event: Event) -> None:
        told.append(event)
        if len(told) == 3:
            enough.set()

    with Sampler(emit, every=0.01, read=lambda: Resource(1.0, 2.0)):
        assert enough.wait(5)
    count = len(told)
    assert "resources" not in [thread.name for thread in threading.enumerate()]
    assert told == [Resource(1.0, 2.0)] * count


def test_the_machine_is_read_for_real() -> None:
    read = machine_reader()
    began = sum(range(2_000_000))
    used = read()
    assert began > 0
    assert used.cpu_percent > 0
    assert 10 < used.memory_mb < 20_000


def test_a_full_disk_ends_the_sampling_quietly() -> None:
    told = threading.Event()

    def emit(_: Event) -> None:
        told.set()
        raise SetupError("The disk is full.")

    with Sampler(emit, every=0.01, read=lambda: Resource(1.0, 2.0)):
        assert told.wait(30)


def nvml(*, broken: bool = False) -> ModuleType:
    """The NVIDIA library as it answers on a machine with two GPUs."""
    module = ModuleType("pynvml")

    class NVMLError(Exception):
        pass

    def utilisation(handle: int) -> SimpleNamespace:
        if broken:
            raise NVMLError
        return SimpleNamespace(gpu=40 + handle)

    module.__dict__.update(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUtilizationRates=utilisation,
        nvmlDeviceGetComputeRunningProcesses=lambda _: [],
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=(handle + 1) * 1_000_000_000),
    )
    return module


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("cuda:0", "", (40.0, 1000.0)),
        ("cuda:1", "", (41.0, 2000.0)),
        ("cuda:0", "1", (41.0, 2000.0)),  # the process's first is the machine's second
        ("cpu", "", (40.0, 1000.0)),
    ],
)
def test_the_gpu_of_the_run_is_read(
    monkeypatch: pytest.MonkeyPatch, device: str, visible: str, expected: tuple[float, float]
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    used = machine_reader(device)()
    assert (used.gpu_percent, used.gpu_memory_mb) == expected


def test_a_gpu_that_stops_answering_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(broken=True))
    used = machine_reader()()
    assert (used.gpu_percent, used.gpu_memory_mb) == (None, None)


def test_a_sample_costs_less_than_a_hundredth_of_a_core() -> None:
    read = machine_reader()
    read()
    began = time.thread_time()
    for _ in range(20):
        read()
    assert (time.thread_time() - began) / 20 < 0.01 * 2.0


def test_what_children_use_is_counted() -> None:
    read = machine_reader()
    alone = read().memory_mb
    child = "x = bytearray(80_000_000); print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        together = read().memory_mb
        process.communicate(b"\n")
    assert together > alone + 75
    assert read().memory_mb < together - 60
