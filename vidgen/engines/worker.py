"""A batch's worker process: makes one film after another, as its stdin says, until that ends.

What it says goes to stdout, pickled: ("told", an event's bytes), ("ended", an Outcome).
"""

import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from vidgen.device.device import usable_cores
from vidgen.device.queue import Turn
from vidgen.engines.base import Order, Outcome
from vidgen.engines.local import Place
from vidgen.errors import Cancelled, InputError, VidgenError
from vidgen.events import Envelope, Sink
from vidgen.files import keep_private
from vidgen.signals import graceful_interrupts

AHEAD: Final = ("vidgen.run", "cv2", "av", "parselmouth", "PIL.Image", "vidgen.speech.hearing")
END_SECONDS: Final = 1.5  # after the batch is gone, for a run to end in order
HANDOVER_SECONDS: Final = 10.0  # for that of an earlier batch, on a busy machine
LOOK_SECONDS: Final = 0.1

Maker = Callable[[Order, Place, Sink], Outcome]


def make_film(
    order: Order, place: Place, tell: Sink, *, patience: float = HANDOVER_SECONDS
) -> Outcome:
    """One run, on this worker's device. Raises VidgenError; Cancelled when somebody ended it.

    A worker of a batch that was killed may still be at this film: what it ends in order, or ends,
    is taken over. `patience` is how many seconds that may take.
    """
    until = time.monotonic() + patience
    while True:
        try:
            return _make_film(order, place, tell)
        except InputError as error:
            if error.code == "resume.complete":
                video, took = Path(error.details["path"]), error.details["took"]
                return Outcome("complete", video, took_seconds=took)
            if error.code != "history.busy" or time.monotonic() > until:
                raise
        time.sleep(LOOK_SECONDS)


def _make_film(order: Order, place: Place, tell: Sink) -> Outcome:
    from vidgen import run
    from vidgen.paths import Home

    home, turn = Home.default(), Turn(place.slot, place.overlaps, goes_on=True)
    task = home.task(order.task_id)
    if order.is_resume and task.request.is_file():
        result = run.resume(home, task, [tell], turn=turn)
    else:
        wanted = _at(order, place)
        result = run.create(home, wanted, [tell], order.task_id, turn=turn)
    return Outcome("complete", result.video, result.seconds, result.took_seconds)


def _at(order: Order, place: Place) -> Any:
    """What is wanted, on the place's device unless the CPU was named."""
    request = order.request
    named = request.settings["device"]
    if not place.device or named.value == "cpu":
        return request
    return replace(request, settings={**request.settings,
                                      "device": replace(named, value=place.device)})  # fmt: skip


def main(maker: str) -> None:
    """Do what stdin says until it ends."""
    keep_private()
    orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    place: Place = pickle.load(orders)  # noqa: S301  # our own parent's
    if place.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, place.cores)
    inbox: queue.SimpleQueue[Order] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(orders, inbox), daemon=True).start()
    make = _load(maker)
    lock = threading.Lock()

    def answer(kind: str, value: Any) -> None:
        with lock, contextlib.suppress(OSError):  # the batch is gone: our end comes by `_read`
            pickle.dump((kind, value), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()

    def tell(envelope: Envelope) -> None:
        answer("told", envelope.to_wire())

    while True:
        answer("ended", _outcome(make, inbox.get(), place, tell))


def _load(maker: str) -> Maker:
    module, _, name = maker.partition(":")
    make: Maker = getattr(import_module(module), name)
    if make is make_film:
        for ahead in AHEAD:
            with contextlib.suppress(ImportError):
                import_module(ahead)
        with contextlib.suppress(ImportError):
            import cv2

            cv2.setNumThreads(usable_cores())
    return make


def _read(orders: Any, inbox: "queue.SimpleQueue[Order]") -> None:
    """Orders as they come; their end is the batch's, and ours."""
    with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            inbox.put(pickle.load(orders))  # noqa: S301  # our own parent's
    if os.name != "nt":  # there this would end us at once
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(END_SECONDS)
    os._exit(0)


def _outcome(make: Maker, order: Order, place: Place, tell: Sink) -> Outcome:
    try:
        with graceful_interrupts():
            return make(order, place, tell)
    except Cancelled:
        return Outcome("cancelled", error_code="cancelled")
    except VidgenError as error:
        return Outcome.of_error(error)
    except Exception as error:
        traceback.print_exc()
        return Outcome(
            "failed",
            error_code="bug",
            message=f"Something went wrong inside vidgen ({type(error).__name__}).",
            hint="This is a bug in vidgen, not your doing: please report it.",
        )


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1])
    os._exit(0)
