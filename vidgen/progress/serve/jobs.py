"""Runs that strangers with the token ask for: queued, started one after the other, cancelled.

Each is a `vidgen run` of its own, which outlives this server; what is queued is found again in
the store by the next server. What may be uploaded is `uploads`' business.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from vidgen.events import Event, Failed, RunCancelled, StageStarted
from vidgen.files import atomic_write
from vidgen.paths import Home, TaskFolder
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.serve.errors import ApiError
from vidgen.progress.serve.index import RunIndex
from vidgen.progress.serve.uploads import UPLOAD_BYTES, Order, receive_upload
from vidgen.progress.store.lock import is_held
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.runs import is_task_id

MOST_QUEUED: Final = 20
LOOK_BACK: Final = 200  # tasks searched for jobs that an earlier server left
POLL_SECONDS: Final = 0.2
JOB: Final = "job.json"
UPLOAD: Final = "upload"

Command = Callable[[str, Order, Path], Sequence[str]]


def run_command(task_id: str, order: Order, output: Path) -> list[str]:
    """The command line of one run."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in order.options.items()]
    return [sys.executable, "-m", "vidgen", "run", str(order.photo), str(order.voice),
            f"--output={output}", f"--task-id={task_id}", "--progress=quiet", *flags]  # fmt: skip


class Jobs:
    """The queue of one server. `command` and the limits are seams for tests."""

    def __init__(
        self,
        home: Home,
        command: Command = run_command,
        *,
        most_queued: int = MOST_QUEUED,
        upload_bytes: int = UPLOAD_BYTES,
    ) -> None:
        self._most_queued = most_queued
        self._upload_bytes = upload_bytes
        self._home = home
        self._command = command
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
        newest = [self._home.task(name) for _, name in RunIndex(self._home).newest()[:LOOK_BACK]]
        jobs = [task for task in reversed(newest) if (task.root / JOB).is_file()]
        begun = [task for task in jobs if task.lock.exists()]
        for task in begun:
            if not is_held(task.lock):
                _clear(task)
        return [task.task_id for task in jobs if task not in begun]

    async def generate(self, request: Request) -> Response:
        """Take an order, queue it, and say where to watch it."""
        if len(self._queue) >= self._most_queued:
            raise ApiError(503, "queue_full", "Too many runs are waiting already.", 60)
        task = self._home.task(str(uuid.uuid4()))
        try:
            order = await receive_upload(request, task.root / UPLOAD, self._upload_bytes)
            self._record(task, order)
        except BaseException:
            shutil.rmtree(task.root, ignore_errors=True)
            raise
        self._queue.append(task.task_id)
        self._wanted.set()
        return Response(orjson.dumps(_job_links(task.task_id)), 202, media_type="application/json")

    def _record(self, task: TaskFolder, order: Order) -> None:
        said = {"photo": str(order.photo), "voice": str(order.voice), "options": order.options}
        atomic_write(task.root / JOB, orjson.dumps(said))

    async def cancel(self, request: Request) -> Response:
        """End a run wherever it is: in the queue, just started, or at work."""
        task_id = request.path_params["task_id"]
        if not is_task_id(task_id):
            raise ApiError(400, "bad_task_id", "A task id is a UUID in small letters.")
        task = self._home.task(task_id)
        if not task.root.is_dir():
            raise ApiError(404, "unknown_task", "There is no such task.")
        if task_id in self._queue:
            self._queue.remove(task_id)
            await asyncio.to_thread(self._conclude, task, RunCancelled())
        elif is_held(task.lock):
            _signal(task)
        elif task_id in self._started:
            self._cancelled.add(task_id)
            self._started[task_id].terminate()
        else:
            raise ApiError(409, "not_running", "That run is not running.")
        said = {"task_id": task_id, "status": "cancelling"}
        return Response(orjson.dumps(said), 202, media_type="application/json")

    async def _work(self) -> None:
        while True:
            while self._queue:
                await self._run(self._home.task(self._queue.popleft()))
            self._wanted.clear()
            await self._wanted.wait()

    async def _run(self, task: TaskFolder) -> None:
        try:
            order = _load_order(task)
            child = self._start(task, order)
        except (OSError, ValueError, KeyError) as error:
            await asyncio.to_thread(self._conclude, task, _start_failure(type(error).__name__))
            return
        self._started[task.task_id] = child
        try:
            while (code := child.poll()) is None:  # a waiting thread would hold up our own end
                await asyncio.sleep(POLL_SECONDS)
        finally:
            del self._started[task.task_id]
        if not task.events.exists():  # it died before it could say anything itself
            was_cancelled = task.task_id in self._cancelled
            event = RunCancelled() if was_cancelled else _start_failure(f"exit code {code}")
            await asyncio.to_thread(self._conclude, task, event)
        self._cancelled.discard(task.task_id)
        _clear(task)

    def _start(self, task: TaskFolder, order: Order) -> subprocess.Popen[bytes]:
        ending = order.options.get("format", "mp4")
        return subprocess.Popen(  # noqa: S603  # our own command; the values are checked
            self._command(task.task_id, order, task.root / f"video.{ending}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "VIDGEN_HOME": str(self._home.root)},
            start_new_session=True,  # the run outlives this server
        )

    def _conclude(self, task: TaskFolder, event: Event) -> None:
        """Tell the log of a run that could not do it itself."""
        with TaskLog(task) as log:
            emit = Broadcast(task.task_id, log=log)
            emit(StageStarted("queued"))
            emit(event)
        _clear(task)


def _job_links(task_id: str) -> dict[str, str]:
    return {
        "task_id": task_id,
        "status": "queued",
        "sse_url": f"/api/sse/progress/{task_id}",
        "websocket_url": f"/api/ws/progress/{task_id}",
        "polling_url": f"/api/tasks/{task_id}/events",
        "status_url": f"/api/tasks/{task_id}",
        "cancel_url": f"/api/tasks/{task_id}/cancel",
    }


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


def _signal(task: TaskFolder) -> None:
    """Ask the process that holds the lock to end; it wrote its number there."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(task.lock.read_text("ascii"))
        if pid > 1:
            os.kill(pid, signal.SIGTERM)
            return
    raise ApiError(409, "not_running", "That run cannot be reached.")
