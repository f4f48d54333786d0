"""The films of a batch on this machine: a process for each place, kept from film to film.

What a process loaded for one film, it has for the next. One that dies costs its film the piece it
was at: another goes on with it. Where a place `overlaps`, a second process begins the next film
while one is drawn, and draws it while that one is finished: no core waits at either end.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from vidgen.device.device import thread_limits
from vidgen.device.memory import is_short
from vidgen.engines.base import Began, Ended, EngineEvent, Lost, Order, Outcome, Room, Told
from vidgen.errors import DeviceError
from vidgen.events import Envelope
from vidgen.files import users_umask

ATTEMPTS: Final = 3  # of a film whose worker dies
LOOK_SECONDS: Final = 0.5  # on Windows a waiting thread hears no Ctrl-C
CANCEL_SECONDS: Final = 1.5  # for what is being made to end in order
LEAVE_SECONDS: Final = 0.3  # for an idle worker to end
MAKER: Final = "vidgen.engines.worker:make_film"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker computes. `device` is its name in there; `slot` is what it queues for. With
    `overlaps` the next film begins there while one on the processor is drawn."""

    name: str
    device: str = ""
    slot: str = ""
    cores: tuple[int, ...] = ()  # the only ones it may use; empty: any
    environment: Mapping[str, str] = field(default_factory=dict)
    overlaps: bool = False


class LocalEngine:
    """A worker for each place, or two; `maker` (module:function) makes a film, `log` takes what
    workers print."""

    def __init__(self, places: Sequence[Place], *, maker: str = MAKER, log: Path | None = None):
        self.places = tuple(places)
        self._maker = maker
        self._log = log
        self._heard: queue.SimpleQueue[tuple[_Worker, str, Any]] = queue.SimpleQueue()
        self._workers: list[_Worker] = []

    def __enter__(self) -> "LocalEngine":
        """Raises OSError when no process can be started."""
        self._workers = [self._start(place) for place in self.places]
        return self

    def __exit__(self, *exception: object) -> None:
        busy = [worker for worker in self._workers if worker.order]
        for worker in self._workers:
            worker.dismiss()
        until = time.monotonic() + (CANCEL_SECONDS if busy else LEAVE_SECONDS)
        for worker in self._workers:
            worker.wait(until)
        for worker in self._workers:
            worker.kill()

    def films(self, orders: "deque[Order]") -> Iterator[EngineEvent]:
        while True:
            if orders and not self._workers:
                self._workers.append(self._start(self.places[0]))
            for place in self.places:
                if orders and (worker := self._free_worker(place)):
                    worker.give(orders[0])
                    yield Began(orders.popleft(), place.name)
            if not any(worker.order for worker in self._workers):
                return
            worker, kind, value = self._next()
            order = worker.order
            if kind == "told":
                event = Envelope.from_wire(value)
                worker.room.note(event)
                yield Told(event)
            elif kind == "ended" and order:
                worker.order = None
                yield Ended(order, value)
            elif kind == "lost":
                yield from self._replace(worker, orders)

    def _free_worker(self, place: Place) -> "_Worker | None":
        """Who may take the next film there: nobody until the present one leaves room for it, then
        perhaps a second process."""
        mates = [worker for worker in self._workers if worker.place == place]
        if any(worker.order and not worker.room.is_left for worker in mates):
            return None
        free = next((worker for worker in mates if not worker.order), None)
        if free is None and place.overlaps and len(mates) < 2 and not is_short("cpu"):
            self._workers.append(free := self._start(place))
        return free

    def _replace(self, worker: "_Worker", orders: "deque[Order]") -> Iterator[EngineEvent]:
        """A worker is gone: another takes its place, and its film is next in the line."""
        worker.kill()
        self._workers.remove(worker)
        if (order := worker.order) is None:
            return
        self._workers.append(self._start(worker.place))
        yield Lost(order, worker.place.name)
        if order.losses + 1 >= ATTEMPTS:
            yield Ended(order, Outcome.of_error(worker_lost(ATTEMPTS)))
        else:
            orders.appendleft(replace(order, is_resume=True, losses=order.losses + 1))

    def _start(self, place: Place) -> "_Worker":
        return _Worker(place, self._maker, self._log, self._heard)

    def _next(self) -> "tuple[_Worker, str, Any]":
        while True:
            with contextlib.suppress(queue.Empty):
                return self._heard.get(timeout=LOOK_SECONDS)


def worker_lost(times: int) -> DeviceError:
    return DeviceError(
        "The process that made this film was ended {times} times.",
        hint="Most often memory ran out: close other programs, lower --height, or use --jobs 1."
        " What is finished is kept.",
        code="batch.worker_lost",
        times=times,
    )


class _Worker:
    """One process, seen from here, and a thread that hears it."""

    def __init__(
        self, place: Place, maker: str, log: Path | None, heard: "queue.SimpleQueue[Any]"
    ) -> None:
        self.place = place
        self.order: Order | None = None
        self.room = Room()
        errors = log.open("ab") if log else None
        self._process = subprocess.Popen(  # noqa: S603  # ourselves
            # -P: a file beside the user's photo must not be taken for a module.
            [sys.executable, "-P", "-m", "vidgen.engines.worker", maker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors or subprocess.DEVNULL,
            env=_environment(place),
            umask=users_umask(),
            start_new_session=True,  # a Ctrl-C is for the batch, and that ends its workers
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # on Windows
        )
        if errors:
            errors.close()
        self._send(place)
        self._thread = threading.Thread(target=self._hear, args=(heard,), daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def give(self, order: Order) -> None:
        self.order, self.room = order, Room()
        self._send(order)

    def _send(self, value: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it is gone: its thread says so
            pickle.dump(value, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()

    def _hear(self, heard: "queue.SimpleQueue[Any]") -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            try:
                while True:
                    kind, value = pickle.load(answers)  # noqa: S301  # our own child's
                    heard.put((self, kind, value))
            except (OSError, EOFError, ValueError, pickle.UnpicklingError):
                heard.put((self, "lost", None))

    def dismiss(self) -> None:
        """Ask it to end: what it is at is cancelled."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()

    def wait(self, until: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, until - time.monotonic()))

    def kill(self) -> None:
        """End it now, and what it started."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self.dismiss()
        self._thread.join(LEAVE_SECONDS)  # a grandchild may hold the other end a little longer


def _environment(place: Place) -> dict[str, str]:
    threads = thread_limits(len(place.cores)) if place.cores else {}
    # It looks for modules where we do.
    path = os.pathsep.join(filter(None, sys.path))
    return {**os.environ, **threads, "PYTHONPATH": path, **place.environment}
