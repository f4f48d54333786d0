"""Where the films of a batch are made on this machine: its GPUs, or parts of its processor."""

import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

from vidgen.engines.local import Place
from vidgen.errors import DeviceError, InputError
from vidgen.files import make_private
from vidgen.progress.store.lock import Lock, LockHeld, is_held

SMI: Final = ("nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader")

Gpus = Callable[[], Mapping[int, str]]  # number, in the order of the PCI bus → UUID


def find_places(devices: str = "", jobs: int = 1, gpus: Gpus | None = None) -> list[Place]:
    """`devices` is `cuda:0,cuda:1`, `all` or empty; without any, `jobs` films at once.

    Raises InputError for what is no such list, DeviceError for a GPU that is not there.
    """
    if devices:
        return _gpu_places(devices, (gpus or list_gpus)())
    if jobs == 1:
        return [Place("1", overlaps=len(usable_cores()) != 1)]
    shares = share_cores(usable_cores(), jobs)
    # The first shares its turn with single runs, so that these need not wait for all.
    slots = ["", *(f"batch-{number}" for number in range(2, jobs + 1))]
    return [
        Place(str(number), slot=slot, cores=cores, overlaps=len(cores) > 1)
        for number, (slot, cores) in enumerate(zip(slots, shares, strict=True), 1)
    ]


def usable_cores() -> tuple[int, ...]:
    """The numbers of the cores that this process may use; () where the system does not tell."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def share_cores(cores: tuple[int, ...], jobs: int) -> list[tuple[int, ...]]:
    """Each job's own cores; () for each, when there are fewer than jobs."""
    if len(cores) < jobs:
        return [()] * jobs
    at = [len(cores) * number // jobs for number in range(jobs + 1)]
    return [cores[first:last] for first, last in pairwise(at)]


def claim_cores(
    folder: Path, count: int, cores: tuple[int, ...]
) -> tuple[tuple[int, ...], ExitStack]:
    """So many of `cores` that nobody else has claimed in `folder`, kept until the stack is closed
    or this process ends; () where there are not so many."""
    make_private(folder)
    mine, claims = list[int](), ExitStack()
    for core, path in ((core, folder / f"{core}.lock") for core in cores):
        if len(mine) < count and not is_held(path):
            with suppress(LockHeld):  # somebody was quicker
                claims.enter_context(Lock(path))
                mine.append(core)
    if len(mine) < count:
        claims.close()
        return (), claims
    return tuple(mine), claims


def _gpu_places(devices: str, known: Mapping[int, str]) -> list[Place]:
    wanted = sorted(known) if devices == "all" else [_number(name) for name in devices.split(",")]
    if len(set(wanted)) < len(wanted):
        raise _no_list(devices)
    missing = [f"cuda:{number}" for number in wanted if number not in known]
    if missing or not wanted:
        raise DeviceError(
            "There is no {device} on this machine.",
            hint="nvidia-smi lists the GPUs; without --devices, films are made one by one.",
            code="batch.no_device",
            device=", ".join(missing) or "NVIDIA GPU",
        )
    return [_gpu_place(number, known[number]) for number in wanted]


def _gpu_place(number: int, uuid: str) -> Place:
    """Inside, the GPU is the only one; its turn is that of its number outside."""
    seen = {"CUDA_VISIBLE_DEVICES": uuid, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return Place(f"cuda:{number}", "cuda:0", f"cuda:{number}", environment=seen)


def _number(name: str) -> int:
    kind, _, number = name.strip().partition(":")
    if kind != "cuda" or not number.isdigit():
        raise _no_list(name)
    return int(number)


def _no_list(text: str) -> InputError:
    return InputError(
        "--devices {text} is no list of devices.",
        hint="Write it like cuda:0,cuda:1 or all.",
        code="batch.devices",
        text=text,
    )


def list_gpus() -> Mapping[int, str]:
    """Number → UUID of each NVIDIA GPU, by nvidia-smi; {} without it."""
    try:
        done = subprocess.run(SMI, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603  # a fixed command
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = [line.split(",") for line in done.stdout.splitlines() if "," in line]
    return {int(number): uuid.strip() for number, uuid in rows}
