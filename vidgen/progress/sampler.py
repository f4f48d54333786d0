"""What the run uses of the machine, told every two seconds.

Own process, its children (workers) and, where the NVIDIA library is there, its GPU; anything that
cannot be read is left out. Adds no load worth naming: one sample costs well under a millisecond.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from vidgen.errors import VidgenError
from vidgen.events import Emit, Resource

EVERY_SECONDS: Final = 2.0
MEGABYTE: Final = 1e6

Reader = Callable[[], Resource]


class Sampler:
    """A context manager: emits a `Resource` every `every` seconds from a thread of its own.

    `device` is the run's ("cuda:1"): which GPU to read. `sample` replaces the reading.
    """

    def __init__(
        self, emit: Emit, device: str = "", every: float = EVERY_SECONDS, read: Reader | None = None
    ) -> None:
        self._emit = emit
        self._device = device
        self._every = every
        self._read = read
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, name="resources", daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _go(self) -> None:
        read = self._read or machine_reader(self._device)
        # A log that no longer takes events is told to the run by its own next event.
        with contextlib.suppress(VidgenError):
            while not self._stop.wait(self._every):
                self._emit(read())


def machine_reader(device: str = "") -> Reader:
    """A function that answers what this process and its children used since it was last asked."""
    import psutil

    known = {os.getpid(): psutil.Process()}
    known[os.getpid()].cpu_percent()  # the first answer means nothing; this asks for it
    gpu = _gpu_reader(int(device.partition(":")[2] or 0))

    def use() -> Iterator[tuple[float, int]]:
        for process in (known[os.getpid()], *known[os.getpid()].children()):
            # The same object each time: it remembers when it was last asked.
            one = known.setdefault(process.pid, process)
            with contextlib.suppress(psutil.Error), one.oneshot():
                yield one.cpu_percent(), one.memory_info().rss

    def sample() -> Resource:
        cpu, memory = (sum(values) for values in zip(*use(), strict=True))
        load, used = gpu()
        return Resource(round(cpu, 1), round(memory / MEGABYTE, 1), load, used)

    return sample


def _gpu_reader(index: int) -> Callable[[], tuple[float | None, float | None]]:
    """Load of the whole GPU in percent and what this process holds of its memory, megabytes."""
    try:
        import pynvml as nvml

        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByIndex(_physical(index))
    except Exception:  # no library, no driver, no GPU: then there is nothing to read
        return lambda: (None, None)

    def sample() -> tuple[float | None, float | None]:
        with contextlib.suppress(nvml.NVMLError):
            load = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
            return load, _own_memory(nvml, handle)
        return None, None

    return sample


def _physical(index: int) -> int:
    """The driver's number of the process's device: CUDA_VISIBLE_DEVICES renames them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    named = visible[index].strip() if index < len(visible) else ""
    return int(named) if named.isdigit() else index


def _own_memory(nvml: Any, handle: Any) -> float | None:
    used = [
        float(process.usedGpuMemory)
        for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        if process.pid == os.getpid() and process.usedGpuMemory
    ]
    if used:
        return round(sum(used) / MEGABYTE, 1)
    # In a container the driver knows us under another number; then the whole GPU's use is told.
    return round(float(nvml.nvmlDeviceGetMemoryInfo(handle).used) / MEGABYTE, 1)
