"""The machine: which device computes, and whether a GPU stands idle.

Imports torch only when somebody asks for more than the CPU and NVIDIA's driver cannot tell. One
run at a time on a device is `queue`'s business, memory `memory`'s, and loading ahead `prefetch`'s.
"""

import ctypes
import os
import re
import shutil
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from vidgen.errors import DeviceError, InputError, SetupError
from vidgen.installation import install_command

NO_GPU: Final = 100  # CUDA_ERROR_NO_DEVICE
SHARE: Final = "VIDGEN_CORES"  # how many cores a process may use, where it is not tied to them


def has_gpu_extra() -> bool:
    """Whether torch is installed, told without importing it."""
    return has_package("torch")


def has_package(package: str) -> bool:
    """Whether a package is installed, told without importing it."""
    return find_spec(package) is not None


@cache
def gpu_present() -> bool:
    """Whether this machine seems to have an NVIDIA GPU, told without torch."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi") is not None


def resolve_device(wanted: str) -> str:
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps` → the device to use, as torch names it.

    Raises InputError for a word that is none of them, SetupError without the extra,
    DeviceError when the device does not answer.
    """
    if wanted == "cpu":
        return "cpu"
    if wanted == "auto":
        return _best() if has_gpu_extra() and (gpu_present() or sys.platform == "darwin") else "cpu"
    kind, _, number = wanted.partition(":")
    if kind not in ("cuda", "mps") or (number and not number.isdigit()):
        raise InputError(
            "There is no device called {device}.",
            hint="Use auto, cpu, cuda, cuda:N or mps.",
            code="device.unknown",
            device=wanted,
        )
    if not has_gpu_extra():
        raise SetupError(
            "The device {device} needs the GPU extra, which is not installed.",
            hint="Install it: {command}",
            code="device.no_extra",
            device=wanted,
            command=install_command("gpu"),
        )
    return _check(kind, int(number or 0))


def _torch() -> Any:
    # Before its import: what has no kernel for Apple's GPU is then computed on the CPU.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    import torch

    return torch


def map_torch() -> None:
    """Map torch's libraries before its import, in a thread: there it takes seconds in which Python
    can do nothing else, not even hear a Ctrl-C (2.0 s on two busy cores)."""
    spec = None if "torch" in sys.modules else find_spec("torch")
    if spec is None or spec.origin is None or sys.platform not in ("linux", "darwin"):
        return
    suffix = ".so" if sys.platform == "linux" else ".dylib"
    library = Path(spec.origin).parent / "lib" / f"libtorch_python{suffix}"
    # A call of a library's function lets go of Python's lock, which ctypes' own loading does not.
    ctypes.CDLL(None).dlopen(os.fsencode(library), ctypes.c_int(os.RTLD_NOW))


def _best() -> str:
    if _cuda_count():
        return "cuda:0"
    return "mps" if _has_mps() else "cpu"


def _has_mps() -> bool:
    return sys.platform == "darwin" and bool(_torch().backends.mps.is_available())


def _cuda_count() -> int:
    """How many GPUs torch can use; asked of the driver, which takes a moment, where that can tell:
    torch's import takes seconds, which pass beside the first stages."""
    found = None if "torch" in sys.modules else count_by_driver(_load_driver(), _toolkit())
    return int(_torch().cuda.device_count()) if found is None else found


def count_by_driver(driver: Any, toolkit: int) -> int | None:
    """How many GPUs NVIDIA's driver has for programs built with this version of CUDA (13); None
    where it cannot tell: no driver, one that is too old, or a torch without CUDA, 0."""
    version, count = ctypes.c_int(), ctypes.c_int()
    if driver is None or not toolkit:
        return None
    if error := driver.cuInit(0):
        return 0 if error == NO_GPU else None
    driver.cuDriverGetVersion(ctypes.byref(version))  # 13010 is 13.1
    if version.value < 1000 * toolkit or driver.cuDeviceGetCount(ctypes.byref(count)):
        return None
    return count.value


def _load_driver() -> Any:
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None


def _toolkit() -> int:
    """The version of CUDA that the installed torch was built with; 0 for none."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return 0
    try:
        text = Path(spec.origin).with_name("version.py").read_text("utf-8")
    except OSError:
        return 0
    found = re.search(r"^cuda\b.*=\s*['\"](\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _check(kind: str, number: int) -> str:
    there = _cuda_count() > number if kind == "cuda" else _has_mps()
    if not there:
        raise DeviceError(
            "The device {device} does not answer.",
            hint="See what there is with: vidgen doctor. Or use --device cpu.",
            code="device.absent",
            device=f"{kind}:{number}" if kind == "cuda" else kind,
        )
    return f"cuda:{number}" if kind == "cuda" else "mps"


def device_name(device: str) -> str:
    """What a person calls it: "NVIDIA H200", or the processor's name for the CPU."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    return "Apple GPU" if device == "mps" else cpu_name()


@cache
def cpu_name() -> str:
    """The processor's model name and how many cores this process may use."""
    model = ""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        import platform

        model = platform.processor()
    return f"{model or 'CPU'} ({usable_cores()} cores)"


def thread_limits(cores: int) -> dict[str, str]:
    """The environment of a process that may use so many cores. OpenBLAS gets one, whatever it is:
    its threads mostly wait in turns, and the recogniser takes three times the processor."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", SHARE)
    return dict.fromkeys(names, str(cores)) | {"OPENBLAS_NUM_THREADS": "1"}


def usable_cores() -> int:
    """Cores that this process may use: in a container fewer than the machine has, in a batch fewer
    than the container."""
    if hasattr(os, "sched_getaffinity"):
        there = len(os.sched_getaffinity(0))
    else:
        there = os.cpu_count() or 1
    share = os.environ.get(SHARE, "")
    return min(there, max(1, int(share))) if share.isdecimal() else there
