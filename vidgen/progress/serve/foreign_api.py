"""What is answered to plain requests of other systems' clients. The words are `dialects`'."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vidgen.events import Envelope
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.tail import Tail
from vidgen.progress.serve.api import LEVELS, Api, answer
from vidgen.progress.serve.dialects import jobs, paths, signalr, tracker
from vidgen.progress.serve.dialects.dialect import Json
from vidgen.progress.serve.docs_page import docs_page
from vidgen.progress.serve.errors import ApiError
from vidgen.progress.serve.foreign import standing
from vidgen.progress.serve.index import RunIndex
from vidgen.progress.serve.routes import ROUTES, description
from vidgen.progress.serve.settings import DIALECTS

MOST_IN_BATCH: Final = 500
Base = Callable[[Request], str]  # our address as the client wrote it
Order = Callable[[Request], Awaitable[Json]]  # takes an order; our own answer to it


class ForeignApi:
    """The handlers. All raise ApiError for what cannot be answered."""

    def __init__(self, hub: Hub, index: RunIndex, api: Api, base: Base, order: Order) -> None:
        self._hub = hub
        self._index = index
        self._api = api
        self._base = base
        self._order = order

    async def _tail(self, request: Request) -> Tail:
        return await self._api.tail(request.path_params["task_id"])

    # 001

    async def task_progress(self, request: Request) -> Response:
        return answer(tracker.task_progress(standing(await self._tail(request))))

    async def task_logs(self, request: Request) -> Response:
        """`since` is a time, `level` the least that is told, in either case of letters."""
        level = request.query_params.get("level", "info").upper()
        if level not in LEVELS:
            raise ApiError(400, "bad_level", "`level` is info, warning or error.")
        since = request.query_params.get("since", "")
        try:
            earliest = tracker.moment(since).timestamp() if since else 0.0
        except (ValueError, OverflowError):
            raise ApiError(400, "bad_since", "`since` is a date or a time, ISO 8601.") from None
        tail = await self._tail(request)
        lines = await self._api.log_lines(tail, 0, level)
        events = map(Envelope.from_wire, lines)
        found = [tracker.log_line(event) for event in events if _seconds(event) >= earliest]
        return answer({"task_id": tail.task_id, "log_count": len(found), "logs": found})

    async def task_history(self, request: Request) -> Response:
        return await self._api.history(request)

    async def batch_progress(self, request: Request) -> Response:
        """The tasks that are named, else those that belong to the batch."""
        batch_id = request.path_params["batch_id"]
        names = [name for name in request.query_params.get("task_ids", "").split(",") if name]
        if len(names) > MOST_IN_BATCH:
            raise ApiError(400, "too_many_tasks", f"At most {MOST_IN_BATCH} tasks.")
        if names:
            tasks = [(await self._api.tail(name)).snapshot.to_wire() for name in names]
        else:
            tasks = await asyncio.to_thread(self._index.batch, batch_id)
        if not tasks:
            raise ApiError(404, "unknown_batch", "There is no such batch.")
        return answer(tracker.batch_progress(batch_id, tasks))

    async def task_preview(self, request: Request) -> Response:
        try:
            task_id, name = tracker.preview_name(request.path_params["file"])
        except ValueError:
            raise ApiError(404, "unknown_preview", "There is no such preview.") from None
        request.path_params.update(task_id=task_id, name=name)
        return await self._api.preview(request)

    # 002

    async def negotiate(self, request: Request) -> Response:
        version = request.query_params.get("negotiateVersion", "0")
        made = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        return answer(signalr.negotiated(*made, 1 if version == "1" else 0))

    async def video_status(self, request: Request) -> Response:
        told = standing(await self._tail(request))
        return answer(signalr.status(told, self._base(request)))

    async def generate_async(self, request: Request) -> Response:
        own = await self._order(request)
        return answer({**own, "taskId": own["task_id"], "status": "pending"}, 202)

    # 004

    async def job_status(self, request: Request) -> Response:
        (message,) = jobs.stands(standing(await self._tail(request)), self._base(request))
        return answer(message)

    async def create_job(self, request: Request) -> Response:
        own = await self._order(request)
        about = {"job_id": own["task_id"], "websocket_url": f"/ws/jobs/{own['task_id']}"}
        return answer({**own, **about, "status": "queued"}, 202)

    async def docs(self, _: Request) -> Response:
        """Every path, ours and theirs."""
        everything = description((*ROUTES, *paths.routes(DIALECTS)), with_jobs=True)
        return Response(docs_page(everything), media_type="text/html")

    async def job_health(self, _: Request) -> Response:
        return answer({"status": "healthy"})


def _seconds(event: Envelope) -> float:
    with contextlib.suppress(ValueError, OverflowError):
        return tracker.moment(event.timestamp).timestamp()
    return 0.0
