"""Runs that strangers with the token ask for: queued, started one after the other, cancelled.

Each is a `vidgen run` of its own, which outlives this server; what is queued is found again in
the store by the next server. What may be uploaded is `uploads`' business.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from vidgen.config import in_force
from vidgen.errors import InputError
from vidgen.events import Event, Failed, RunCancelled, StageStarted
from vidgen.files import atomic_write, size_of
from vidgen.paths import JOB_FILE, UPLOAD_FOLDER, Home, TaskFolder
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.serve.errors import SHORTAGES, ApiError, storage_refusal
from vidgen.progress.serve.index import RunIndex
from vidgen.progress.serve.uploads import UPLOAD_BYTES, Order, receive_upload
from vidgen.progress.store.cancel import request_cancel
from vidgen.progress.store.cleanup import remove_runs
from vidgen.progress.store.lock import is_held
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.reader import has_ended
from vidgen.progress.store.runs import is_task_id, summarise
from vidgen.settings import FREE_RENDERERS, PAID_RENDERERS

MOST_QUEUED: Final = 20
MOST_ARRIVING: Final = 4  # uploads that are received at the same time; the others wait
POLL_SECONDS: Final = 0.2
JOB: Final = JOB_FILE
UPLOAD: Final = UPLOAD_FOLDER
WAITS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds before a start is tried again
# Nothing of these reaches a job: who pays, whose account, the token of this server.
PRIVATE: Final = frozenset(
    {"DID_API_KEY", "VIDGEN_DID_KEY_FILE", "VIDGEN_RENDERER", "VIDGEN_TOKEN", "VIDGEN_SERVE"}
)

Command = Callable[[str, Order, Path], Sequence[str]]
Sleep = Callable[[float], Awaitable[None]]


def run_command(task_id: str, order: Order, output: Path) -> list[str]:
    """The command line of one run; its renderer is never one that costs money."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in order.options.items()]
    return [sys.executable, "-m", "vidgen", "run", str(order.photo), str(order.voice),
            f"--output={output}", f"--task-id={task_id}", "--progress=quiet",
            f"--renderer={_free_renderer()}", *flags]  # fmt: skip


def _free_renderer() -> str:
    """The one that this machine's settings name, unless it would send somebody a bill."""
    try:
        named = str(in_force()["renderer"].value)
    except InputError:  # the run itself says what is wrong with the settings
        return "auto"
    return named if named in FREE_RENDERERS else "auto"


class Jobs:
    """The queue of one server. `command` and the limits are seams for tests."""

    def __init__(
        self,
        home: Home,
        command: Command = run_command,
        *,
        most_queued: int = MOST_QUEUED,
        upload_bytes: int = UPLOAD_BYTES,
        most_seconds: float = 0,
        allows_paid: bool = False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`most_seconds` is the longest that a job may take, 0 for any time; `allows_paid` lets an
        order choose a renderer that sends a bill."""
        self._allows_paid = allows_paid
        self._most_queued = most_queued
        self.upload_bytes = upload_bytes
        self._home = home
        self._command = command
        self._most_seconds = most_seconds
        self._sleep = sleep
        self._arriving = 0
        self._gate = asyncio.Semaphore(MOST_ARRIVING)
        self._queue: deque[str] = deque()
        self._wanted = asyncio.Event()
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._cancelled: set[str] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work the queue off, beginning with what is left of an earlier server."""
        self._queue.extend(await asyncio.to_thread(self._pending))
        working = asyncio.create_task(self._work())
        try:
            yield
        finally:
            working.cancel()

    def _pending(self) -> list[str]:
        """Jobs that nobody has begun; those that ended while no server was here are tidied."""
        tasks = [self._home.task(name) for _, name in reversed(RunIndex(self._home).newest())]
        jobs = [task for task in tasks if (task.root / JOB).is_file()]
        for task in jobs:
            if _has_begun(task) and not is_held(task.lock):
                _clear(task)
        return [task.task_id for task in jobs if not _has_begun(task) and not is_held(task.lock)]

    async def order(self, request: Request) -> str:
        """Take an order and queue it; the id of its task."""
        with self._place():
            async with self._gate:
                task = await self._receive(request)
            self._queue.append(task.task_id)
        self._wanted.set()
        return task.task_id

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """A place in the queue, taken before the first byte is read: many may come at once."""
        if len(self._queue) + self._arriving >= self._most_queued:
            raise ApiError(503, "queue_full", "Too many runs are waiting already.", 60)
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1

    async def _receive(self, request: Request) -> TaskFolder:
        """Keep what was uploaded. Raises ApiError; nothing is left then."""
        task = self._home.task(str(uuid.uuid4()))
        try:
            order = await receive_upload(
                request, task.root / UPLOAD, self.upload_bytes, allows_paid=self._allows_paid
            )
            self._record(task, order)
        except BaseException as error:
            shutil.rmtree(task.root, ignore_errors=True)
            if isinstance(error, OSError):
                raise storage_refusal(error) from error
            raise
        return task

    def _record(self, task: TaskFolder, order: Order) -> None:
        said = {"photo": str(order.photo), "voice": str(order.voice), "options": order.options}
        atomic_write(task.root / JOB, orjson.dumps(said))

    async def cancel(self, request: Request) -> Response:
        """End a run wherever it is: in the queue, just started, or at work."""
        task = self._task(request)
        task_id = task.task_id
        if task_id in self._queue:
            self._queue.remove(task_id)
            await asyncio.to_thread(self._conclude, task, RunCancelled())
        elif not await asyncio.to_thread(request_cancel, task):
            self._end_own(task)
        said = {"task_id": task_id, "status": "cancelling"}
        return Response(orjson.dumps(said), 202, media_type="application/json")

    def standing(self) -> dict[str, Any]:
        """Who waits, the next one first; whose run this server has started; how many may wait."""
        return {"waiting": list(self._queue), "running": list(self._started),
                "most": self._most_queued}  # fmt: skip

    async def delete(self, request: Request) -> Response:
        """Remove a run that is over, with all that was kept of it."""
        task = self._task(request)
        refusal = ApiError(409, "not_over", "That run is not over: cancel it first.")
        is_at_work = task.task_id in self._started and not await asyncio.to_thread(has_ended, task)
        if task.task_id in self._queue or is_at_work:
            raise refusal
        try:
            await asyncio.to_thread(remove_runs, [task])
        except InputError as error:
            raise refusal from error
        return Response(status_code=204)

    def _task(self, request: Request) -> TaskFolder:
        """The task of a request. Raises ApiError."""
        task_id = request.path_params["task_id"]
        if not is_task_id(task_id):
            raise ApiError(400, "bad_task_id", "That cannot be the id of a task.")
        task = self._home.task(task_id)
        if not task.root.is_dir():
            raise ApiError(404, "unknown_task", "There is no such task.")
        return task

    def _end_own(self, task: TaskFolder) -> None:
        """End a job that does not listen yet: our own child. Any other process is a stranger."""
        child = self._started.get(task.task_id)
        if has_ended(task):
            raise ApiError(409, "not_running", "That run is not running.")
        if child is not None:
            if task.task_id not in self._cancelled:  # a second signal would cut its last words
                self._cancelled.add(task.task_id)
                child.terminate()
            return
        if is_held(task.lock):
            raise ApiError(409, "not_cancellable", "That run belongs to a program of its own.")
        raise ApiError(409, "not_running", "That run is not running.")

    async def _work(self) -> None:
        while True:
            while self._queue:
                await self._run_next(self._home.task(self._queue.popleft()))
            self._wanted.clear()
            await self._wanted.wait()

    async def _run_next(self, task: TaskFolder) -> None:
        """One job, whatever becomes of it: the queue goes on."""
        try:
            await self._run(task)
        except Exception as error:
            logging.getLogger("vidgen").error("job %s: %r", task.task_id, error)
            if (task.root / JOB).is_file() and not _has_begun(task):
                self._queue.append(task.task_id)
                await self._sleep(WAITS[-1])
        self._cancelled.discard(task.task_id)

    async def _run(self, task: TaskFolder) -> None:
        try:
            child = await self._begin(task)
        except Exception as error:
            await asyncio.to_thread(self._conclude, task, _start_failure(type(error).__name__))
            return
        if child is None:
            return
        self._started[task.task_id] = child
        try:
            code = await self._await_end(child)
        finally:
            del self._started[task.task_id]
        await asyncio.to_thread(self._close, task, code)

    async def _begin(self, task: TaskFolder) -> "subprocess.Popen[bytes] | None":
        """Start the job, as soon as the machine has room for it; None when it was cancelled."""
        for wait in (*WAITS, None):
            try:
                return self._start(task, self._permitted(_load_order(task)))
            except OSError as error:
                if error.errno not in SHORTAGES or wait is None:
                    raise
            self._queue.appendleft(task.task_id)  # meanwhile it waits, and can be cancelled
            await self._sleep(wait)
            if task.task_id not in self._queue:
                return None
            self._queue.remove(task.task_id)
        return None

    def _permitted(self, order: Order) -> Order:
        """The order, unless it was taken by a server that allowed more than this one."""
        if order.options.get("renderer") in PAID_RENDERERS and not self._allows_paid:
            raise PermissionError("a renderer that sends a bill")
        return order

    async def _await_end(self, child: "subprocess.Popen[bytes]") -> int | None:
        """The exit code; None when the job was ended because it took too long."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while (code := child.poll()) is None:  # a waiting thread would hold up our own end
            if self._most_seconds and clock() - began > self._most_seconds:
                _kill(child)
                return None
            await asyncio.sleep(POLL_SECONDS)
        return code

    def _close(self, task: TaskFolder, code: int | None) -> None:
        """Say what the job could not say itself, and let its upload go."""
        if is_held(task.lock):  # another process works on it
            return
        if code is None:
            if not _has_ended(task):
                self._conclude(task, _too_long(self._most_seconds))
        elif not _has_begun(task):  # it died before it could say anything itself
            was_cancelled = task.task_id in self._cancelled
            self._conclude(
                task, RunCancelled() if was_cancelled else _start_failure(f"exit code {code}")
            )
        _clear(task)

    def _start(self, task: TaskFolder, order: Order) -> subprocess.Popen[bytes]:
        ending = order.options.get("format", "mp4")
        return subprocess.Popen(  # noqa: S603  # our own command; the values are checked
            self._command(task.task_id, order, task.root / f"video.{ending}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(self._home),
            start_new_session=True,  # the run outlives this server
        )

    def _conclude(self, task: TaskFolder, event: Event) -> None:
        """Tell the log of a run that could not do it itself."""
        with TaskLog(task) as log:
            emit = Broadcast(task.task_id, log=log)
            emit(StageStarted("queued"))
            emit(event)
        _clear(task)


def _load_order(task: TaskFolder) -> Order:
    said = orjson.loads((task.root / JOB).read_bytes())
    return Order(Path(said["photo"]), Path(said["voice"]), said["options"])


def _start_failure(reason: str) -> Failed:
    return Failed(
        message="The run could not be started.",
        error_code="page.not_started",
        hint="Start it with `vidgen run` on that machine to see why.",
        details={"reason": reason},
    )


def _clear(task: TaskFolder) -> None:
    """The run has copies of its own."""
    shutil.rmtree(task.root / UPLOAD, ignore_errors=True)
    (task.root / JOB).unlink(missing_ok=True)


def _environment(home: Home) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in PRIVATE}
    return kept | {"VIDGEN_HOME": str(home.root)}


def _has_begun(task: TaskFolder) -> bool:
    """Whether the run has said anything; a lock file alone says nothing."""
    return size_of(task.events) > 0


def _has_ended(task: TaskFolder) -> bool:
    summary = summarise(task)
    return summary is not None and summary.last.is_terminal


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """A job and what it started; we have not let go of its number yet, so it is nobody else's."""
    if sys.platform == "win32":
        child.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _too_long(seconds: float) -> Failed:
    return Failed(
        message=f"The run took longer than {seconds / 3600:g} hours and was ended.",
        error_code="page.job_too_long",
        hint="Take it up with `vidgen resume` on that machine, or serve with a larger --job-hours.",
        details={"hours": round(seconds / 3600, 3)},
    )
