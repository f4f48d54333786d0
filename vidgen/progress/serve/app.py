"""The application: lets people in, sends each request where it belongs, and hardens the answers."""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cached_property, partial
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path_
from starlette.types import Receive, Scope, Send

from vidgen.errors import VidgenError
from vidgen.paths import Home
from vidgen.progress.fanout.cursor import Cursor
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.limits import Limits
from vidgen.progress.fanout.tail import Tail
from vidgen.progress.serve import static
from vidgen.progress.serve.api import Api, answer, cursor_of
from vidgen.progress.serve.auth import TOKENS, Access, AllowedHosts, Auth, concerns
from vidgen.progress.serve.dialects import paths, pipeline, signalr
from vidgen.progress.serve.dialects.dialect import Dialect
from vidgen.progress.serve.errors import ApiError
from vidgen.progress.serve.foreign import ForeignSocket, OneTask, SignalHub, Talk, Tracker
from vidgen.progress.serve.foreign_api import ForeignApi
from vidgen.progress.serve.index import RunIndex
from vidgen.progress.serve.jobs import Jobs
from vidgen.progress.serve.limits import ConnectionLimit, Drain, RequestLimit
from vidgen.progress.serve.page_api import PageApi
from vidgen.progress.serve.pipeline_streams import PipelineSocket, PipelineStream
from vidgen.progress.serve.protocols import forget_request, socket_of, stream_socket
from vidgen.progress.serve.responses import (
    deny,
    harden,
    refuse_order,
    tell_bug,
    tell_http_error,
    tell_refusal,
    tell_setup,
    tell_storage,
)
from vidgen.progress.serve.routes import ROUTES, Route
from vidgen.progress.serve.sessions import PAGE, Sessions
from vidgen.progress.serve.settings import ServeSettings
from vidgen.progress.serve.sse import AllStream, SeveralStream, Stream, TaskStream
from vidgen.progress.serve.upkeep import clean_forever
from vidgen.progress.serve.websocket import Conversation, SocketStream, serve_websocket
from vidgen.progress.sources.sources import Sources

logger = logging.getLogger(__name__)
SSE: Final = "/api/sse/progress"
WS: Final = "/api/ws/progress"
MOST_NAMED: Final = 64  # tasks in one request for several
PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, POST, DELETE",
    "access-control-allow-headers": "authorization, last-event-id, content-type, "
    "x-requested-with, x-signalr-user-agent",
    "access-control-max-age": "600",
}


class App:
    """An ASGI application over one store, and over the runs of `sources`. Tests pass a `hub` and
    `jobs` with other limits."""

    def __init__(
        self,
        home: Home,
        rules: ServeSettings,
        hub: Hub | None = None,
        jobs: Jobs | None = None,
        sources: Sources | None = None,
    ) -> None:
        self.hub = hub or Hub(home, Limits(heartbeat_seconds=rules.heartbeat_seconds))
        self.hub.elsewhere = self.sources = sources
        self.listing = RunIndex(home, self.sources)
        self.rules = rules
        self.places = ConnectionLimit(rules.max_watchers, rules.per_address)
        self.requests = RequestLimit(rules.requests_per_second)
        self.visits = Drain()
        ordered = jobs or Jobs(home, most_seconds=rules.job_seconds, allows_paid=rules.allows_paid)
        self.jobs = ordered if rules.accepts_jobs else None
        self._keys = Auth(rules.token, rules.port)
        self._sessions = Sessions(self._keys)
        self._names = AllowedHosts(rules.host, rules.host_names, rules.origins, rules.public_url)
        self._rules = rules
        self._api = Api(
            self.hub, self.listing, self.places, self.visits, self._knows_all_ends, self.sources
        )
        self._page = PageApi(home, self.listing, self.jobs)
        self._foreign = ForeignApi(self.hub, self.listing, self._api, self._base, self._order)
        self._routes = (*ROUTES, *paths.routes(rules.dialects))
        self._began = time.time()
        self._starlette = Starlette(
            routes=[
                *(self._route(route) for route in self._routes if self._serves(route)),
                *(self._refuse(route) for route in self._routes if route.access == "jobs"),
                *static.routes(),
            ],
            exception_handlers={
                HTTPException: tell_http_error,
                ApiError: tell_refusal,
                VidgenError: tell_setup,
                OSError: tell_storage,
                Exception: tell_bug,
            },
            lifespan=self._lifespan,
        )
        self._open_paths = {r.path for r in self._routes if r.access == "open"} | static.PATHS

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self.hub.running(), contextlib.AsyncExitStack() as stack:
            if self.sources:
                await stack.enter_async_context(
                    self.sources.running(self.hub.greet, self.hub.reach)
                )
            if self.jobs:
                await stack.enter_async_context(self.jobs.running())
            working = [asyncio.create_task(self._follow_all())]
            if self._rules.clean_seconds:
                cleaning = clean_forever(self.hub.home, self._rules.clean_seconds)
                working.append(asyncio.create_task(cleaning))
            try:
                yield
            finally:
                for task in working:
                    task.cancel()

    def _serves(self, route: Route) -> bool:
        is_stream = route.handler.startswith("stream_")
        return not is_stream and (route.access != "jobs" or self.jobs is not None)

    def _route(self, route: Route) -> Path_:
        owners = (self, self._page, self._api, self._foreign)
        owner = next(o for o in owners if hasattr(o, route.handler))
        return Path_(route.path, getattr(owner, route.handler), methods=[route.method])

    def _refuse(self, route: Route) -> Path_:
        """Behind the routes that are served: what is answered where no orders are taken."""
        return Path_(route.path, refuse_order, methods=[route.method])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._starlette(scope, receive, send)
            return
        self.visits.touch()
        origin = self._names.cors_origin(Headers(scope=scope))
        request = _name_of(scope)
        logger.debug("%s", request)
        try:
            self.requests.take(_address(scope))
            stream = await self._respond(scope, receive, send)
            if stream is not None:
                forget_request(scope)
                await stream.run(send, receive)
        except ApiError as refusal:
            logger.debug("%s refused: %s", request, refusal.code)
            await deny(refusal, scope, receive, send, origin)
        finally:
            logger.debug("%s over", request)
            self.visits.touch()

    async def _respond(self, scope: Scope, receive: Receive, raw_send: Send) -> Stream | None:
        """Answer, or say what stream there is to run."""
        headers = Headers(scope=scope)
        self._names.check(headers)
        send = harden(raw_send, self._names.cors_origin(headers))
        path = scope["path"]
        if scope.get("method") == "OPTIONS" and "origin" in headers:
            await Response(status_code=204, headers=PREFLIGHT)(scope, receive, send)
            return None
        access = self._access(headers, scope)
        if self._must_exchange(scope, access):
            response = self._sessions.exchange(scope, is_in=access is not None)
            await response(scope, receive, send)
            return None
        if access and access.task_id and not concerns(scope, access.task_id):
            raise ApiError(403, "other_task", "The token is another task's.")
        if connection := socket_of(scope):
            connection.use()
        if scope["type"] == "websocket":
            await self._socket(path, scope, receive, raw_send, access or Access())
        elif path == SSE or path.startswith(SSE + "/"):
            stream = await self._stream(path, headers, scope, raw_send)
            if stream is not None:
                return stream
            await Response(status_code=204)(scope, receive, send)
        else:
            await self._starlette(scope, receive, send)
        return None

    def _access(self, headers: Headers, scope: Scope) -> Access | None:
        """What the request may see. A token in the address counts where no header can be given,
        on streams, and for pages of other sites, to which our cookie is not sent."""
        is_stream = scope["type"] == "websocket" or scope["path"].startswith(SSE)
        asked = ""
        if is_stream or self._names.cors_origin(headers):
            query = parse_qs(scope["query_string"].decode("latin-1"))
            asked = next((query[name][-1] for name in TOKENS if name in query), "")
        return self._keys.access(headers, asked)

    def _must_exchange(self, scope: Scope, access: Access | None) -> bool:
        has_token = self._sessions.has_token(scope)
        if scope["path"] == PAGE and has_token:
            return True  # in no case does the token stay in the address of the page
        return access is None and (scope["path"] not in self._open_paths or has_token)

    async def session(self, request: Request) -> Response:
        return await self._sessions.begin(request)

    # Streams

    async def _stream(self, path: str, headers: Headers, scope: Scope, send: Send) -> Stream | None:
        """The stream that is asked for; None when the watcher has everything already."""
        if scope["method"] != "GET":
            raise ApiError(405, "method", "Streams are read with GET.")
        query = parse_qs(scope["query_string"].decode("latin-1"))
        is_one = path != SSE and path != SSE + "/"
        names = [path.removeprefix(SSE + "/")] if is_one else query.get("task_id", [])
        if len(names) > MOST_NAMED:
            raise ApiError(400, "too_many_tasks", f"At most {MOST_NAMED} tasks in one request.")
        flat = {name: values[-1] for name, values in query.items()}
        cursor = cursor_of(flat, headers.get("last-event-id", ""))
        places = await self._start(names, cursor)
        if names and cursor and all(t.is_over and p == t.last_seq for t, p in places.items()):
            return None
        below = stream_socket(scope)
        watcher: TaskStream
        if is_one:
            kind = TaskStream if self._knows_all_ends(flat) else PipelineStream
            watcher = kind(send, below, self.hub.limits)
        elif names:
            watcher = SeveralStream(send, below, self.hub.limits)
        else:
            watcher = AllStream(send, below, self.hub, cursor.newest if cursor else "")
        origin = self._names.cors_origin(headers)
        return Stream(watcher, places, self.hub, self.places, _address(scope), origin)

    async def _start(self, names: list[str], cursor: Cursor | None) -> dict[Tail, int | None]:
        """The logs to watch, each with where to begin."""
        if names:
            tails = [await self._api.tail(name) for name in dict.fromkeys(names)]
            return {tail: cursor.place(tail) if cursor else 0 for tail in tails}
        return await self._start_all(cursor or Cursor())

    async def _start_all(self, cursor: Cursor) -> dict[Tail, int | None]:
        """What runs, what the watcher was in the middle of, and what began since it left."""
        listing = self.listing
        known = await asyncio.to_thread(listing.with_epochs, set(cursor.places))
        running = await asyncio.to_thread(listing.running)
        missed = (
            await asyncio.to_thread(listing.tasks_since, cursor.newest) if cursor.newest else []
        )
        places: dict[Tail, int | None] = {}
        for task_id in dict.fromkeys([*known.values(), *running, *missed]):
            with contextlib.suppress(ApiError):
                tail = await self._api.tail(task_id)
                places[tail] = _begin(tail, cursor)
        return places

    async def _follow_all(self) -> None:
        """Notice old tasks that run again, for those who watch all."""
        pause = 5.0
        while True:
            await asyncio.sleep(pause)
            if self.hub.is_asked_for_all:
                began = time.monotonic()
                for task_id in await asyncio.to_thread(self.listing.running):
                    await self.hub.welcome(task_id)
                pause = max(5.0, 50 * (time.monotonic() - began))

    async def _socket(
        self, path: str, scope: Scope, receive: Receive, send: Send, access: Access
    ) -> None:
        address = _address(scope)
        running: Callable[[Send, Receive], Awaitable[None]]
        foreign = paths.find_socket(path, self._rules.dialects)
        if foreign:
            running = self._talk(*foreign, scope, send, access).run
        elif path.startswith(WS):
            running = await self._own_socket(path, scope, send)
        else:
            raise ApiError(404, "no_route", "There is nothing here.")
        self.places.take(address)
        try:
            forget_request(scope)
            await running(send, receive)
        finally:
            self.places.give_back(address)

    def _talk(
        self, dialect: Dialect, task_id: str, scope: Scope, send: Send, access: Access
    ) -> Talk:
        base = sys.intern(self._address(scope))
        socket = ForeignSocket(send, stream_socket(scope), self.hub.limits, dialect, base, task_id)
        if task_id:
            replays = dialect.replays
            return OneTask(socket, self.hub, access.may_see, task_id, replays=replays)
        kind = SignalHub if dialect is signalr.DIALECT else Tracker
        return kind(socket, self.hub, access.may_see)

    async def _own_socket(
        self, path: str, scope: Scope, send: Send
    ) -> Callable[[Send, Receive], Awaitable[None]]:
        query = {k: v[-1] for k, v in parse_qs(scope["query_string"].decode("latin-1")).items()}
        cursor = cursor_of(query)
        name = path.removeprefix(WS).strip("/")
        tail = await self._api.tail(name) if name else None
        kind = SocketStream if not name or self._knows_all_ends(query) else PipelineSocket
        watcher = kind(send, stream_socket(scope), self.hub.limits, ends=tail is not None)
        talk = Conversation(watcher, self.hub, self.listing, self._api.tail)
        return partial(serve_websocket, watcher, tail, cursor, talk)

    def _knows_all_ends(self, query: Mapping[str, str]) -> bool:
        """Whether the client asks as our own do: it knows `cancelled` and `interrupted`."""
        return "v" in query or "000" not in self._rules.dialects

    def _base(self, request: Request) -> str:
        return self._address(request.scope)

    def _address(self, scope: Scope) -> str:
        """Our address as the client wrote it, or as it is known outside."""
        if self._rules.public_url:
            return self._rules.public_url.rstrip("/")
        scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
        return f"{scheme}://{Headers(scope=scope).get('host', '')}"

    # Orders

    async def _order(self, request: Request) -> dict[str, Any]:
        """Queue a run; our answer: where to watch it, and with which token."""
        assert self.jobs is not None
        task_id = await self.jobs.order(request)
        token = self._keys.task_token(task_id)
        return pipeline.accepted(task_id, self._base(request)) | {"token": token}

    async def generate(self, request: Request) -> Response:
        return answer(await self._order(request), 202)

    # Small answers

    async def health(self, _: Request) -> Response:
        return answer({"status": "ok"})

    async def metrics(self, _: Request) -> Response:
        from vidgen.progress.serve.metrics import CONTENT_TYPE, exposition

        text = exposition(self.hub, self.places, self._began)
        return Response(text, headers={"content-type": CONTENT_TYPE})

    async def openapi(self, _: Request) -> Response:
        return answer(self._description)

    @cached_property
    def _description(self) -> dict[str, Any]:
        from vidgen.progress.serve.routes import description

        return description(self._routes, with_jobs=self.jobs is not None)


def _begin(tail: Tail, cursor: Cursor) -> int | None:
    """Where a log begins for somebody who watches all."""
    if tail.epoch in cursor.places:
        return cursor.place(tail)
    knew_its_end = bool(cursor.newest) and tail.snapshot.began <= cursor.newest
    return tail.resumed_after if knew_its_end else 0


def _name_of(scope: Scope) -> str:
    """A request in the log; without its query, in which a token may stand."""
    if not logger.isEnabledFor(logging.DEBUG):
        return ""
    kind = "WebSocket" if scope["type"] == "websocket" else scope["method"]
    return f"{_address(scope)} {kind} {scope['path']!r}"


def _address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""
