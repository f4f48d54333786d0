"""Worker processes that draw and encode the pieces of a film: started early, fed, joined.

Both sides are here. Knows no renderer, no codec and no stage: a task is anything that can be
pickled and called. A worker reads its orders from a pipe and ends with it, so it never outlives
this process, however that ends.
"""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar, cast

from vidgen.device.device import thread_limits
from vidgen.errors import DeviceError

Say = Callable[[Any], None]  # what a task tells while it runs; anything that can be pickled
OnLoss = Callable[[int], None]  # hears how many workers are left
T = TypeVar("T")

LOST: Final = (OSError, EOFError, ValueError, pickle.UnpicklingError)  # a worker is gone
ATTEMPTS: Final = 2  # of a task whose worker dies
LOOK_SECONDS: Final = 0.5  # on Windows a waiting thread hears no Ctrl-C
LIKELIER: Final = "500"  # of 1000: when memory is short, a worker and not the run is ended


class Task(Protocol):
    """A part of the work. Called with what all tasks share; may be called again if it is cut off,
    so it must leave nothing half done."""

    def __call__(self, shared: Any, say: Say, /) -> None: ...


class Workers:
    """A context manager with `count` processes; with one or none, tasks run in this process.

    `modules` are imported by each worker at once, while the run does other things.
    """

    def __init__(self, count: int = 1, modules: Sequence[str] = ()) -> None:
        self.count = count if count > 1 else 0
        self.modules = tuple(modules)
        self._living: list[_Worker] = []

    def __enter__(self) -> "Workers":
        with contextlib.suppress(OSError):  # no process to be had: this one does it all
            for _ in range(self.count):
                self._living.append(_Worker(self.modules))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End them at once: what they are at is either whole or not there."""
        for worker in self._living:
            worker.kill()
        self._living.clear()

    @property
    def alive(self) -> int:
        """How many processes there are now."""
        return len(self._living)

    def run(
        self, tasks: Sequence[Task], shared: Any, hear: Say, on_loss: OnLoss = lambda _: None
    ) -> None:
        """All tasks, begun in their order; `hear` is called in this thread with what they say.

        `shared` is sent to each worker once. A task whose worker dies is begun anew by another,
        after `on_loss`. Raises what a task raises, and DeviceError when a task costs two workers.
        """
        if not self._living or len(tasks) < 2:
            for task in tasks:
                task(shared, hear)
            return
        with _Round(self._living, _pack("share", shared)) as turn:
            for task in tasks:
                turn.give(task)
            self._hear_out(turn, len(tasks), hear, on_loss)

    def _hear_out(self, turn: "_Round", left: int, hear: Say, on_loss: OnLoss) -> None:
        lost: list[Task] = []
        while left:
            kind, value, worker = turn.next()
            if kind == "said":
                hear(value)
            elif kind == "done":
                left -= 1
            elif kind == "failed":
                raise value
            else:
                worker.kill()
                self._living.remove(worker)
                lost.append(value)
                if lost.count(value) == ATTEMPTS:
                    raise _lost_twice()
                on_loss(max(1, len(self._living)))
                if not self._living:
                    self._living.append(_Worker(self.modules))
                    turn.join(self._living[0])
                turn.give(value)


class SpareProcess:
    """A context manager with one more process, for one call; it imports `modules` until that comes.

    What the call imports and takes is gone with it.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._worker: _Worker | None = None
        with contextlib.suppress(OSError):  # no process to be had: this one does it
            self._worker = _Worker(modules)

    def __enter__(self) -> "SpareProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._worker is not None:
            self._worker.kill()

    def __call__(self, call: Callable[[Say], T], hear: Say) -> T:
        """What `call` answers; by this process where the other is used up or dies. `hear` is called
        with what it says. Raises what `call` does."""
        worker, self._worker = self._worker, None
        if worker is None:
            return call(hear)
        answer: T | None = None
        try:
            for kind, value in worker.answers(_Answer(call)):
                if kind == "failed":
                    raise value
                if kind == "said":
                    is_answer, told = value
                    if is_answer:
                        answer = told
                    else:
                        hear(told)
        except LOST:
            return call(hear)
        finally:
            worker.kill()
        return cast(T, answer)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A `Task` that says what a call says, and then what it answers."""

    call: Callable[[Say], Any]

    def __call__(self, shared: object, say: Say) -> None:  # noqa: ARG002  # Task's form
        say((True, self.call(lambda told: say((False, told)))))


def _pack(kind: str, value: Any) -> bytes:
    """An order for a worker."""
    return pickle.dumps((kind, value), pickle.HIGHEST_PROTOCOL)


def _lost_twice() -> DeviceError:
    return DeviceError(
        "A part of the film could not be drawn: the process that drew it was ended, twice.",
        hint="Most often memory ran out: close other programs, lower --height, or use --workers 1."
        " Then `vidgen resume`: what is finished is kept.",
        code="render.worker_lost_twice",
        is_retryable=True,
    )


class _Round:
    """Tasks on their way to workers, and what comes back; a thread for each worker."""

    def __init__(self, workers: Sequence["_Worker"], shared: bytes) -> None:
        self._shared = shared
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._heard: queue.SimpleQueue[tuple[str, Any, _Worker]] = queue.SimpleQueue()
        self._threads = 0
        self._workers = list(workers)

    def __enter__(self) -> "_Round":
        for worker in self._workers:
            self.join(worker)
        return self

    def __exit__(self, *exception: object) -> None:
        for _ in range(self._threads):
            self._tasks.put(None)

    def give(self, task: Task) -> None:
        self._tasks.put(task)

    def join(self, worker: "_Worker") -> None:
        """Let a worker take its share."""
        self._threads += 1
        name = f"worker {worker.process.pid}"
        threading.Thread(target=self._lead, args=(worker,), name=name, daemon=True).start()

    def next(self) -> tuple[str, Any, "_Worker"]:
        """What came next: said, done, failed or lost, its value, and who it is from."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._heard.get(timeout=LOOK_SECONDS)

    def _lead(self, worker: "_Worker") -> None:
        """One task after another, until there is none or the worker is gone."""
        unsent = self._shared
        while (task := self._tasks.get()) is not None:
            try:
                for kind, value in worker.answers(task, unsent):
                    self._heard.put((kind, value, worker))
            except LOST:
                self._heard.put(("lost", task, worker))
                return
            unsent = b""


class _Worker:
    """One process, seen from here."""

    def __init__(self, modules: Sequence[str]) -> None:
        """Raises OSError when no process can be started."""
        self.process = subprocess.Popen(  # noqa: S603  # ourselves
            # -P: a file beside the user's photo must not be taken for a module.
            [sys.executable, "-P", "-m", __name__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # It looks for modules where we do.
            env={
                **os.environ,
                **thread_limits(1),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            start_new_session=True,  # a Ctrl-C is for the run, and that ends its workers
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # on Windows
        )

    def answers(self, task: Task, before: bytes = b"") -> Iterator[tuple[str, Any]]:
        """Give it a task, after an order for `before` it, and hear it out. Raises one of LOST when
        it is gone."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(before)
        self.process.stdin.write(_pack("do", task))
        self.process.stdin.flush()
        kind = ""
        while kind not in ("done", "failed"):
            kind, value = pickle.load(self.process.stdout)  # noqa: S301  # our own child's
            yield kind, value

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError, ValueError):  # what was unsent goes with it
                pipe.close()


# The worker's side


def main(modules: Sequence[str]) -> None:
    """Do what stdin says, one task after another, until it ends."""
    orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(LIKELIER, "ascii")
    inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(orders, inbox), daemon=True).start()
    _prepare(modules)
    lock, shared = threading.Lock(), None

    def answer(kind: str, value: Any) -> None:
        with lock:
            pickle.dump((kind, value), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()

    while True:
        kind, value = inbox.get()
        if kind == "share":
            shared = value
            continue
        try:
            value(shared, lambda said: answer("said", said))
        except Exception as error:
            answer("failed", _portable(error))
        else:
            answer("done", None)


def _read(orders: Any, inbox: "queue.SimpleQueue[tuple[str, Any]]") -> None:
    """Orders as they come; their end is the parent's, and ours at once."""
    try:
        while True:
            inbox.put(pickle.load(orders))  # noqa: S301  # our own parent's
    except BaseException:
        os._exit(0)


def _prepare(modules: Sequence[str]) -> None:
    """Import ahead, and keep to one core: the others have workers of their own."""
    from importlib import import_module

    for module in modules:
        import_module(module)
    cv2 = sys.modules.get("cv2")
    if cv2 is not None:
        cv2.setNumThreads(1)


def _portable(error: Exception) -> Exception:
    """The error as it can be sent, with the place where it came from."""
    error.add_note("In a worker:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # what we have just made
    except Exception:
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.add_note(error.__notes__[-1])
        return plain
    return error


if __name__ == "__main__":
    main(sys.argv[1:])
