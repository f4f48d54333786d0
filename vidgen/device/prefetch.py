"""Load the next stage's networks while the present stage computes."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from vidgen.device.device import map_torch
from vidgen.device.memory import is_short
from vidgen.signals import has_signal


class Network(Protocol):
    """Weights that can be read ahead of their use and let go after it.

    `load` does nothing when they are there, and waits when another thread is at it.
    """

    def load(self) -> None: ...

    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class TorchAhead:
    """A `Network` of none: torch and its device, both of which take seconds to be ready."""

    device: str

    def load(self) -> None:
        """Begins it, and leaves it to itself: whoever needs torch waits for the same import."""
        threading.Thread(target=self._prepare, name="vidgen-torch", daemon=True).start()

    def release(self) -> None:
        pass

    def _prepare(self) -> None:
        with suppress(Exception):  # who draws with it fails the same way, and says so
            map_torch()
            import torch

            torch.zeros(1, device=self.device)


@contextmanager
def prefetch(networks: Sequence[Network], device: str) -> Iterator[None]:
    """Read the networks in the order of their use, in a thread, while the body runs.

    Stops reading ahead while memory is short. What fails here is told by the stage itself,
    when it loads its network and fails the same way. After a signal nobody waits for the network
    that is just being read, which may take seconds: the program leaves.
    """
    ended = threading.Event()

    def load() -> None:
        for network in networks:
            if ended.is_set() or is_short(device):
                return
            with suppress(Exception):
                network.load()

    thread = threading.Thread(target=load, name="vidgen-load", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        if not has_signal():
            thread.join()


def release_if_short(network: Network, device: str) -> bool:
    """A stage has ended: let its network go if memory is short, else keep it. Was it let go?"""
    if not is_short(device):
        return False
    network.release()
    return True
