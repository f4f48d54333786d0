"""The application: lets people in, sends each request where it belongs, and hardens the answers."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route as Path_
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from vidgen.paths import Home
from vidgen.progress.fanout.cursor import Cursor
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.tail import Tail
from vidgen.progress.serve import static
from vidgen.progress.serve.api import Api, answer, cursor_of
from vidgen.progress.serve.auth import AllowedHosts, Auth, without_token
from vidgen.progress.serve.errors import ApiError
from vidgen.progress.serve.index import RunIndex
from vidgen.progress.serve.jobs import Jobs
from vidgen.progress.serve.limits import ConnectionLimit, Drain
from vidgen.progress.serve.protocols import CONNECTION, Socket, forget_request
from vidgen.progress.serve.routes import ROUTES, Route
from vidgen.progress.serve.settings import ServeSettings
from vidgen.progress.serve.sse import AllStream, SeveralStream, Stream, TaskStream
from vidgen.progress.serve.websocket import Conversation, SocketStream, serve_websocket

SSE: Final = "/api/sse/progress"
WS: Final = "/api/ws/progress"
MOST_NAMED: Final = 64  # tasks in one request for several
HARDENED: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, last-event-id",
    "access-control-max-age": "600",
}


class App:
    """An ASGI application over one store. Tests pass a `hub` and `jobs` with other limits."""

    def __init__(
        self,
        home: Home,
        rules: ServeSettings,
        hub: Hub | None = None,
        jobs: Jobs | None = None,
    ) -> None:
        self.hub = hub or Hub(home)
        self.listing = RunIndex(home)
        self.rules = rules
        self.places = ConnectionLimit(rules.max_watchers, rules.per_address)
        self.visits = Drain()
        ordered = jobs or Jobs(home, most_seconds=rules.job_seconds)
        self.jobs = ordered if rules.accepts_jobs else None
        self._keys = Auth(rules.token, rules.port)
        self._names = AllowedHosts(rules.host, rules.host_names, rules.origins)
        self._api = Api(self.hub, self.listing, self.places, self.visits)
        self._began = time.time()
        self._starlette = Starlette(
            routes=[
                *(self._route(route) for route in ROUTES if self._serves(route)),
                *static.routes(),
            ],
            exception_handlers={
                HTTPException: _plain_refusal,
                ApiError: _refusal,
                Exception: _bug,
            },
            lifespan=self._lifespan,
        )
        self._open_paths = {r.path for r in ROUTES if r.access == "open"} | static.PATHS

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self.hub.running(), contextlib.AsyncExitStack() as stack:
            if self.jobs:
                await stack.enter_async_context(self.jobs.running())
            following = asyncio.create_task(self._follow_all())
            try:
                yield
            finally:
                following.cancel()

    def _serves(self, route: Route) -> bool:
        is_stream = route.handler.startswith("stream_")
        return not is_stream and (route.access != "jobs" or self.jobs is not None)

    def _route(self, route: Route) -> Path_:
        owner = next(o for o in (self, self._api, self.jobs) if hasattr(o, route.handler))
        return Path_(route.path, getattr(owner, route.handler), methods=[route.method])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._starlette(scope, receive, send)
            return
        self.visits.touch()
        try:
            stream = await self._respond(scope, receive, send)
            if stream is not None:
                forget_request(scope)
                await stream.run(send, receive)
        except ApiError as refusal:
            await _deny(refusal, scope, receive, send)
        finally:
            self.visits.touch()

    async def _respond(self, scope: Scope, receive: Receive, raw_send: Send) -> Stream | None:
        """Answer, or say what stream there is to run."""
        headers = Headers(scope=scope)
        self._names.check(headers)
        send = _harden(raw_send, self._names.cors_origin(headers))
        path = scope["path"]
        if scope.get("method") == "OPTIONS" and "origin" in headers:
            await Response(status_code=204, headers=PREFLIGHT)(scope, receive, send)
            return None
        if not self._keys.opens(headers) and self._needs_key(scope):
            await self._exchange_token(scope, receive, send)
            return None
        if connection := _extension(scope):
            connection.use()
        if scope["type"] == "websocket":
            await self._socket(path, scope, receive, raw_send)
        elif path == SSE or path.startswith(SSE + "/"):
            stream = await self._stream(path, headers, scope, raw_send)
            if stream is not None:
                return stream
            await Response(status_code=204)(scope, receive, send)
        else:
            await self._starlette(scope, receive, send)
        return None

    def _needs_key(self, scope: Scope) -> bool:
        return scope["path"] not in self._open_paths or b"token=" in scope["query_string"]

    async def _exchange_token(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Once, a token in the address is taken for a cookie and disappears from the address."""
        token, rest = without_token(scope["query_string"].decode("latin-1"))
        if not token or scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            raise ApiError(401, "no_token", "This server asks for its token.")
        if not self._keys.fits(token):
            raise ApiError(401, "wrong_token", "That is not this server's token.")
        path = "/" + scope["path"].lstrip("/")  # `//elsewhere` would be another site's address
        response = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        response.headers["set-cookie"] = self._cookie(scope)
        await response(scope, receive, send)

    def _cookie(self, scope: Scope) -> str:
        return self._keys.cookie(is_secure=scope.get("scheme") in ("https", "wss"))

    async def session(self, request: Request) -> Response:
        """Whoever came so far has the token."""
        return Response(status_code=204, headers={"set-cookie": self._cookie(request.scope)})

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
        below = _connection(scope)
        watcher: TaskStream
        if is_one:
            watcher = TaskStream(send, below, self.hub.limits)
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

    async def _socket(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if not path.startswith(WS):
            raise ApiError(404, "no_route", "There is nothing here.")
        query = {k: v[-1] for k, v in parse_qs(scope["query_string"].decode("latin-1")).items()}
        cursor = cursor_of(query)
        name = path.removeprefix(WS).strip("/")
        tail = await self._api.tail(name) if name else None
        self.places.take(_address(scope))
        try:
            below, limits = _connection(scope), self.hub.limits
            watcher = SocketStream(send, below, limits, ends=tail is not None)
            talk = Conversation(watcher, self.hub, self.listing, self._api.tail)
            await serve_websocket(watcher, tail, cursor, talk, send, receive)
        finally:
            self.places.give_back(_address(scope))

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

        return description(with_jobs=self.jobs is not None)


def _begin(tail: Tail, cursor: Cursor) -> int | None:
    """Where a log begins for somebody who watches all."""
    if tail.epoch in cursor.places:
        return cursor.place(tail)
    knew_its_end = bool(cursor.newest) and tail.snapshot.began <= cursor.newest
    return tail.resumed_after if knew_its_end else 0


def _address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _extension(scope: Scope) -> Socket | None:
    found: Socket | None = scope.get("extensions", {}).get(CONNECTION)
    return found


def _connection(scope: Scope) -> Socket | None:
    found = _extension(scope)
    if found:
        found.prepare()
    return found


def _harden(send: Send, origin: str = "") -> Send:
    """The same, with the headers that keep browsers from doing more than they should.

    `origin` is another site that was allowed to read.
    """

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HARDENED.items():
                headers.setdefault(name, value)
            if origin:
                headers["access-control-allow-origin"] = origin
                headers["vary"] = "Origin"
        await send(message)

    return sending


async def _bug(_: Request, error: Exception) -> Response:  # noqa: ARG001  # its trace goes to stderr
    return _response(ApiError(500, "bug", "Something went wrong inside the server."))


async def _plain_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "no_route", 405: "method"}
    sentences = {404: "There is nothing here.", 405: "Not with this method."}
    about = {
        "code": codes.get(error.status_code, "http"),
        "message": sentences.get(error.status_code, "The request was refused."),
    }
    response = answer({"error": about}, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _response(error)


def _response(refusal: ApiError) -> Response:
    response = answer({"error": {"code": refusal.code, "message": refusal.message}}, refusal.status)
    if refusal.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    if refusal.status == 405:
        response.headers["allow"] = "GET"
    if refusal.retry_after:
        response.headers["retry-after"] = str(refusal.retry_after)
    return response


async def _deny(refusal: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(_response(refusal))
    else:
        await _response(refusal)(scope, receive, _harden(send))
