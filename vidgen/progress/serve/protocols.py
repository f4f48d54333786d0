"""uvicorn's HTTP and WebSocket protocols with what a server on the open network needs besides.

Heads that never end are cut, and a stream can see and abort its socket (`subscriber.Connection`).
"""

import asyncio
import contextlib
import socket
from collections.abc import MutableMapping
from typing import Any, Final, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

HEAD_BYTES: Final = 32 * 1024
HEAD_SECONDS: Final = 10.0
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

    __slots__ = ("_transport",)

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def waiting_bytes(self) -> int:
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def abort(self) -> None:
        self._transport.abort()

    def prepare(self) -> None:
        """Make the kernel hold little, and notice a peer that has gone without a word."""
        raw = self._transport.get_extra_info("socket")
        if raw is None:
            return
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)


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
    """HTTP/1.1 with a limit to the size of a request's head and to the time it takes."""

    _head_bytes = 0  # received since the last request
    _header_bytes = 0  # of the headers found in them
    _head_timer: asyncio.TimerHandle | None = None

    def __init__(self, *uvicorns: Any, head_seconds: float = HEAD_SECONDS, **named: Any) -> None:
        super().__init__(*uvicorns, **named)
        self._head_seconds = head_seconds

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.access_log = False  # whatever logging is set up around us: addresses are private
        self.flow = Flow(transport)
        self.pipeline = Pipeline()  # type: ignore[assignment]  # only these methods are used
        self._await_head()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_seconds, self.transport.abort)

    def _stop_awaiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
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
        cast(dict[str, Any], self.scope)["extensions"] = {CONNECTION: Socket(self.transport)}
        self._header_bytes = 0
        self._await_head()

    def on_headers_complete(self) -> None:
        self._stop_awaiting()
        self._head_bytes = -(1 << 62)  # what follows is a body, and has limits of its own
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting()
        super().connection_lost(exc)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets whose streams can see and abort their socket."""

    async def run_asgi(self) -> None:
        extensions = cast(dict[str, Any], self.scope["extensions"])
        extensions[CONNECTION] = Socket(self.transport)
        await super().run_asgi()
