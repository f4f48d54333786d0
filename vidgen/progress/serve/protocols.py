"""uvicorn's HTTP and WebSocket protocols with what a server on the open network needs besides.

Heads and bodies that never end are cut, and so is who never reads the answers; a stream can see
and abort its socket (`subscriber.Connection`). Who may connect how often: `connections`.
"""

import asyncio
import contextlib
import socket
from collections.abc import MutableMapping
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vidgen.progress.serve.connections import Connections, unsent_bytes
from vidgen.progress.serve.settings import Timing
from vidgen.progress.serve.socket_protocol import SocketProtocol

HEAD_BYTES: Final = 32 * 1024
DISCARDED_BYTES: Final = 1024 * 1024  # of a body whose request was refused; then no more is read
SEND_BUFFER: Final = 128 * 1024  # bytes the kernel may hold for a stream; the log has the rest
UNANSWERED_MS: Final = 30_000  # a peer that confirms nothing for so long has gone
CONNECTION: Final = "vidgen.connection"  # its name among the scope's extensions
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


def forget_request(scope: MutableMapping[str, Any]) -> None:
    """Let go of what only the beginning of a request needs: 2 KB of each stream's memory."""
    kept = {name: scope[name] for name in ("type", "method", "http_version", "path")}
    scope["headers"].clear()
    scope.clear()
    scope.update(kept)


class Socket:
    """The connection under a stream."""

    __slots__ = ("_protocol", "_transport")

    def __init__(
        self, transport: asyncio.Transport, protocol: "HttpProtocol | None" = None
    ) -> None:
        self._transport = transport
        self._protocol = protocol

    def use(self) -> None:
        """Whoever asks may: the connection is not one of those that go first."""
        if self._protocol is not None:
            self._protocol.connections_of_server.use(self._protocol)

    def waiting_bytes(self) -> int:
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def abort(self) -> None:
        (self._protocol or self._transport).abort()

    def prepare(self) -> None:
        """Make the kernel hold little, and notice a peer that has gone without a word."""
        raw = self._transport.get_extra_info("socket")
        if raw is None:
            return
        with contextlib.suppress(OSError, ValueError):  # of uvloop, when the peer has just gone
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)


def socket_of(scope: MutableMapping[str, Any]) -> Socket | None:
    """The connection under a request."""
    found: Socket | None = scope.get("extensions", {}).get(CONNECTION)
    return found


def stream_socket(scope: MutableMapping[str, Any]) -> Socket | None:
    """The same, made ready for a stream."""
    found = socket_of(scope)
    if found:
        found.prepare()
    return found


class Flow(FlowControl):
    """uvicorn's, without the event (0.8 KB) that only a connection with a full socket needs."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = False
        self.write_paused = False
        self._room: asyncio.Future[None] | None = None

    async def drain(self) -> None:
        while self.write_paused:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._room is not None:
            self._room.set_result(None)
            self._room = None


class Pipeline(list[Any]):
    """What uvicorn asks of its deque of pipelined requests, without the deque's 0.7 KB."""

    __slots__ = ()

    def appendleft(self, request: Any) -> None:
        self.insert(0, request)


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits to a request's head and body, and to the time until answers are read."""

    # On the class: most connections need none of their own, and there may be thousands.
    _head_bytes = 0  # received since the last request
    _header_bytes = 0  # of the headers found in them
    _head_timer: asyncio.TimerHandle | None = None
    _is_in_body = False
    _received = 0  # bytes since the beginning
    _discarded = 0  # bytes of bodies whose requests were answered already
    _body_since = 0.0  # when the look at the body began, seconds of the loop's clock; 0 is not yet
    _body_mark = 0  # bytes that had been received then
    _still_since = 0.0  # since when nothing was taken of what waits; 0 is not at all
    _unsent = 0
    _answering: Any = None  # the request whose answer is on its way, when others wait behind it

    def __init__(
        self, *uvicorns: Any, connections: Connections, timing: Timing, **named: Any
    ) -> None:
        super().__init__(*uvicorns, **named)
        self.connections_of_server = connections
        self._timing = timing

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.connections_of_server.admit(self, self.client[0] if self.client else "")
        self.access_log = False  # whatever logging is set up around us: addresses are private
        self.flow = Flow(transport)
        self.pipeline = Pipeline()  # type: ignore[assignment]  # only these methods are used
        self._await_head()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._timing.head, self.abort)

    def _stop_awaiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        self._received += len(data)
        if self._is_in_body and self.cycle.response_complete:
            self._discarded += len(data)
            if self._discarded > DISCARDED_BYTES:
                self.abort()
                return
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("")  # a head still unfinished after so much

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEAD_BYTES:
            raise ValueError("the head is too large")  # uvicorn then sends its 400
        super().on_header(name, value)

    def send_400_response(self, msg: str) -> None:
        if max(self._head_bytes, self._header_bytes) > HEAD_BYTES:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(dict[str, Any], self.scope)["extensions"] = {CONNECTION: Socket(self.transport, self)}
        self._header_bytes = 0
        self._await_head()

    def on_headers_complete(self) -> None:
        self._stop_awaiting()
        self._head_bytes = -(1 << 62)  # what follows is a body, and has limits of its own
        self._is_in_body, self._body_since, self._body_mark = True, 0.0, 0
        before = self.cycle
        super().on_headers_complete()
        if self.pipeline and self._answering is None:
            self._answering = before

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        self._is_in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.connections_of_server.rest(self)
        if self._answering is not None:
            self._answering = self.pipeline[-1][0] if self.pipeline else None  # taken from there
        super().on_response_complete()

    def resume_writing(self) -> None:
        self._still_since = 0.0  # something was taken
        super().resume_writing()

    def handle_websocket_upgrade(self) -> None:
        self._stop_awaiting()
        self.connections.discard(self)
        url, scope = httptools.parse_url(self.url), cast(dict[str, Any], self.scope)
        scope["raw_path"] = self.root_path.encode() + url.path
        scope["path"] = self.root_path + unquote(url.path.decode("latin-1"))
        scope["query_string"] = url.query or b""
        upgraded = SocketProtocol(
            self.config, self.server_state, self.app_state, self.loop, self.connections_of_server
        )
        self.connections_of_server.replace(self, upgraded)
        scope["extensions"] = {CONNECTION: Socket(self.transport)}
        self.transport.set_protocol(upgraded)
        upgraded.begin(self.transport, scope)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting()
        self.connections_of_server.release(self)
        self._let_go()
        super().connection_lost(exc)

    def abort(self) -> None:
        self._let_go()
        self.transport.abort()

    def _let_go(self) -> None:
        """Nothing more is written: uvloop takes that for a mistake on a line that was cut."""
        for cycle in (self.cycle, self._answering):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()

    def check(self, now: float) -> None:
        """End the connection if nothing moves on it that should."""
        if self._is_unread(now) or self._is_unsent(now):
            self.abort()

    def _is_unread(self, now: float) -> bool:
        """Whether the other side leaves what was written for it."""
        waiting = unsent_bytes(self.transport)
        if not waiting or waiting < self._unsent or not self._still_since:
            self._still_since = now if waiting else 0.0
        self._unsent = waiting
        return bool(waiting) and now - self._still_since > self._timing.write

    def _is_unsent(self, now: float) -> bool:
        """Whether the other side owes the rest of a request's body."""
        if not self._is_in_body or self.flow.read_paused or self.cycle is None:
            self._body_since = 0.0
            return False
        if not self._body_since:
            self._body_since, self._body_mark = now, self._received
        waited = now - self._body_since
        if self.cycle.response_complete:
            return waited > self._timing.refused_body
        if waited <= self._timing.body:
            return False
        is_slow = self._received - self._body_mark < self._timing.body_bytes
        self._body_since, self._body_mark = now, self._received
        return is_slow
