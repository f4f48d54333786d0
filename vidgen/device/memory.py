"""What a computation may use and did use: peaks, what to do when it is too much, making room.

Nothing here imports torch unless somebody else has: without it there is no GPU memory to count.
"""

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from vidgen.errors import DeviceError

T = TypeVar("T")
Way = TypeVar("Way")
SHORT_SHARE: Final = 0.25  # less of the memory free than this is short
CGROUP: Final = Path("/sys/fs/cgroup")  # a container's own
OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(slots=True)
class MemoryPeak:
    """The most memory in use at once, megabytes; filled in at the end of `measure_peak`."""

    memory_mb: float = 0.0
    gpu_memory_mb: float | None = None  # what torch held of the GPU; None without one


@contextmanager
def measure_peak(device: str) -> Iterator[MemoryPeak]:
    """Measure the peak while a stage runs: the process's memory, and the GPU's that torch holds."""
    peak = MemoryPeak()
    torch = _torch_with_gpu(device)
    if torch is not None and torch.cuda.is_initialized():  # before that there is no peak to forget
        torch.cuda.reset_peak_memory_stats(device)
    _forget_process_peak()
    try:
        yield peak
    finally:
        peak.memory_mb = _process_peak_mb()
        torch = _torch_with_gpu(device)  # it may have been imported meanwhile
        if torch is not None:
            peak.gpu_memory_mb = round(torch.cuda.max_memory_reserved(device) / 1e6, 1)


def first_that_fits(
    ways: Sequence[Way], attempt: Callable[[Way], T], told: Callable[[Way], None], device: str
) -> T:
    """Try the ways in order, each smaller than the one before, until one fits into memory.

    `told(way)` is called before each but the first. Raises DeviceError when none fits.
    """
    for number, way in enumerate(ways):
        if number:
            told(way)
        try:
            return attempt(way)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        free(device)  # here and not above: the error's traceback holds the tensors
    raise out_of_memory(device)


@contextmanager
def device_errors(device: str) -> Iterator[None]:
    """What the device does to the body, as a DeviceError: no memory left, or it is gone."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(device) from error
        if type(error).__name__ == "AcceleratorError":  # torch's, from 2.8 on
            raise _device_lost(device, str(error).partition("\n")[0]) from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in OUT_OF_MEMORY)


def out_of_memory(device: str) -> DeviceError:
    return DeviceError(
        "The device {device} ran out of memory, even with the smallest batch and model.",
        hint="Close other programs that use it, lower --height, or use --device cpu.",
        code="device.out_of_memory",
        device=device,
    )


def _device_lost(device: str, reason: str) -> DeviceError:
    return DeviceError(
        "The device {device} failed: {reason}.",
        hint="Look at it with: nvidia-smi. Then take the run up again; what is finished is kept.",
        code="device.lost",
        is_retryable=True,
        device=device,
        reason=reason,
    )


def free(device: str) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    torch = _find_torch()
    if torch is not None and device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif torch is not None and device == "mps":
        torch.mps.empty_cache()


def is_short(device: str) -> bool:
    """Whether so little memory is free that a stage should let its model go at its end."""
    torch = _torch_with_gpu(device)
    if torch is not None:
        free, total = torch.cuda.mem_get_info(device)
        return bool(free < SHORT_SHARE * total)
    import psutil

    memory = psutil.virtual_memory()
    return bool(memory.available < SHORT_SHARE * memory.total)


def give_back() -> None:
    """Hand memory that was freed back to the system: glibc keeps it for the process otherwise."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # musl has no such function
            ctypes.CDLL(None).malloc_trim(0)


def free_on_device(device: str) -> float | None:
    """Bytes that a GPU still has for this process; None for what is no GPU of torch's."""
    torch = _torch_with_gpu(device)
    if torch is None:
        return None
    torch.cuda.empty_cache()  # not counted instead: a recorded graph's is kept for its own use
    return float(torch.cuda.mem_get_info(device)[0])


def free_mb() -> float:
    """What this process and its children may still take, a container's limit included."""
    import psutil

    free = float(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # "max" is no number: no limit
        limit = int((CGROUP / "memory.max").read_text("ascii"))
        free = min(free, limit - int((CGROUP / "memory.current").read_text("ascii")))
    return max(0.0, free / 1e6)


def _torch_with_gpu(device: str) -> Any:
    return _find_torch() if device.startswith("cuda") else None


def _find_torch() -> Any:
    """None while another thread is still at it, too: then half of it is missing."""
    torch = sys.modules.get("torch")
    return None if getattr(getattr(torch, "__spec__", None), "_initializing", False) else torch


def _forget_process_peak() -> None:
    """Linux lets a process begin its peak anew; elsewhere it is that since the start."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def _process_peak_mb() -> float:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return round(float(psutil.Process().memory_info().peak_wset) / 1e6, 1)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
