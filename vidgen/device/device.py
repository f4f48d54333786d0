"""The machine: which device computes, and whether a GPU stands idle.

Imports torch only when somebody asks for more than the CPU. One run at a time on a device is
`queue`'s business, memory `memory`'s, and loading ahead `prefetch`'s.
"""

import os
import shutil
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from vidgen.errors import DeviceError, InputError, SetupError
from vidgen.installation import install_command

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


def _best() -> str:
    torch = _torch()
    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check(kind: str, number: int) -> str:
    torch = _torch()
    there = (
        torch.cuda.device_count() > number if kind == "cuda" else torch.backends.mps.is_available()
    )
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
