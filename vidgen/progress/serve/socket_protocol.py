"""The server's side of a WebSocket connection, as lean as an open stream.

Takes over a connection from the HTTP protocol at its upgrade, speaks ASGI to the application and
RFC 6455 to the peer. An ASGI `websocket.send` may carry `frames`: bytes made once for everybody.
"""

import asyncio
import base64
import binascii
import hashlib
import logging
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState

from vidgen.progress.serve.connections import Connections, unsent_bytes
from vidgen.progress.serve.frames import (
    Frame,
    Opcode,
    ProtocolError,
    close_code,
    close_frame,
    frame,
    read_frame,
)

Message = MutableMapping[str, Any]
BACKLOG_BYTES: Final = 384 * 1024  # that may wait, here and in the kernel
CLOSE_SECONDS: Final = 10.0  # for a peer to answer a close frame
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONNECT: Final[Message] = {"type": "websocket.connect"}
log = logging.getLogger("uvicorn.error")


class SocketProtocol(asyncio.Protocol):
    """One connection. Reads no further while the application has not taken what came."""

    __slots__ = (
        *("loop", "transport", "_connections", "_app", "_server", "_most_bytes", "_ping_seconds"),
        *("_inbox", "_reader", "_room", "_timer", "_buffer", "_fragments", "_denial", "_key"),
        *("_is_text", "_is_accepted", "_is_closing", "_is_full", "_is_lost", "_pong_is_due"),
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002  # uvicorn's form
        _loop: asyncio.AbstractEventLoop | None = None,
        connections: Connections | None = None,
    ) -> None:
        self._connections = connections
        self.loop = _loop or asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self._app = config.loaded_app
        self._server = server_state
        self._most_bytes: int = config.ws_max_size
        self._ping_seconds = config.ws_ping_interval
        self._inbox: Message | None = None
        self._reader: asyncio.Future[None] | None = None  # the application waits for a message
        self._room: asyncio.Future[None] | None = None  # … and for the socket to have room
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = b""
        self._fragments: list[bytes] | None = None
        self._denial: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._key = b""
        self._is_text = self._is_accepted = self._is_closing = False
        self._is_full = self._is_lost = self._pong_is_due = False

    def begin(self, transport: asyncio.Transport, scope: Message) -> None:
        """Take the connection over with the scope of the request that asked for it."""
        self.transport = transport
        self._server.connections.add(self)  # type: ignore[arg-type]  # only `shutdown` is used
        headers = dict(scope["headers"])
        self._key = headers.get(b"sec-websocket-key", b"")
        if (fault := _fault(scope, headers, self._key)) is not None:
            self._refuse(*fault)
            return
        names = headers.get(b"sec-websocket-protocol", b"").decode("latin-1")
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if scope.get("scheme") == "https" else "ws"
        scope["subprotocols"] = [name.strip() for name in names.split(",") if name.strip()]
        scope["extensions"]["websocket.http.response"] = {}
        self._inbox = _CONNECT
        task = self.loop.create_task(self._run(scope))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    async def _run(self, scope: Message) -> None:
        try:
            await self._app(scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            log.exception("Exception in ASGI application\n")
            self._give_up()
        if not self._is_closing or not self._is_accepted:
            self.transport.close()

    def _give_up(self) -> None:
        if self._is_accepted:
            self._say_close(1011, "")
        elif not self._is_closing:
            self._refuse(500, "")

    # What the transport says

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the base's form
        self._server.connections.discard(self)
        if self._connections is not None:
            self._connections.release(self)
        self._stop_timer()
        self._is_lost = True
        self._put({"type": "websocket.disconnect", "code": 1005 if self._is_accepted else 1006})
        self.resume_writing()

    def eof_received(self) -> None:
        pass

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    def shutdown(self) -> None:
        """The server ends."""
        if self._is_accepted:
            self._say_close(1012, "")
            self._put({"type": "websocket.disconnect", "code": 1012})
        elif not self._is_closing:
            self._refuse(503, "")
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        self._read()

    def _read(self) -> None:
        came, place = memoryview(self._buffer), 0  # small frames are many: none is cut off alone
        try:
            # Behind our own close only the peer's is of interest, whatever nobody has read yet.
            while (self._inbox is None or self._is_closing) and not self._is_lost:
                taken = sum(map(len, self._fragments or ()))
                found = read_frame(came[place:], self._most_bytes - taken)
                if found is None:
                    break
                one, size = found
                place += size
                self._take(one)
            self._buffer = bytes(came[place:])
        except ProtocolError as error:
            self._buffer = b""
            self._say_close(error.code, error.reason)
            self._put({"type": "websocket.disconnect", "code": error.code})
            self.transport.close()

    def _take(self, one: Frame) -> None:
        match one.opcode:
            case Opcode.CLOSE:
                self._answer_close(close_code(one.payload))
            case Opcode.PING:
                if not self._is_full:  # a peer that reads nothing is owed nothing
                    self.transport.write(frame(one.payload, Opcode.PONG))
            case Opcode.PONG:
                self._pong_is_due = False
            case _:
                self._gather(one)

    def _gather(self, one: Frame) -> None:
        is_first = one.opcode is not Opcode.CONTINUATION
        if is_first == (self._fragments is not None):
            raise ProtocolError(1002, "pieces of a message out of order")
        if is_first:
            self._is_text, self._fragments = one.opcode is Opcode.TEXT, []
        assert self._fragments is not None
        self._fragments.append(one.payload)
        if not one.is_final:
            return
        content, self._fragments = b"".join(self._fragments), None
        if self._is_closing:
            return  # the application has ended; only the peer's close is of interest
        if not self._is_text:
            self._put({"type": "websocket.receive", "bytes": content})
            return
        try:
            self._put({"type": "websocket.receive", "text": content.decode()})
        except UnicodeDecodeError:
            raise ProtocolError(1007, "a text that is no UTF-8") from None

    def _answer_close(self, code: int) -> None:
        self._say_close(code if code != 1005 else 1000, "")
        self._put({"type": "websocket.disconnect", "code": code})
        self.transport.close()

    def _put(self, message: Message) -> None:
        """Bring the application its next message; the end goes before what it has not read."""
        if self._inbox is None or message["type"] == "websocket.disconnect":
            self._inbox = message
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        elif message["type"] == "websocket.receive" and not self.transport.is_closing():
            self.transport.pause_reading()

    def abort(self) -> None:
        self.transport.abort()

    def check(self, now: float) -> None:  # noqa: ARG002  # a Connection's form
        """Cut it when too much waits that nobody reads; slow streams have limits of their own."""
        if not self.transport.is_closing() and unsent_bytes(self.transport) > BACKLOG_BYTES:
            self.abort()

    # What the application says

    async def receive(self) -> Message:
        while self._inbox is None:
            self._reader = self.loop.create_future()
            await self._reader
        self._reader = None
        message = self._inbox
        if message["type"] != "websocket.disconnect":  # that one is the answer from now on
            self._inbox = None
            if not self.transport.is_closing():
                self.transport.resume_reading()
            self._read()
        return message

    async def send(self, message: Message) -> None:
        while self._is_full:
            if self._room is None:
                self._room = self.loop.create_future()
            await asyncio.shield(self._room)
        is_over = self._is_lost or self.transport.is_closing()
        if is_over or (self._is_closing and self._is_accepted):
            raise ClientDisconnected
        frames = message.get("frames")
        if frames is None:
            self._send(message)
        else:
            self.transport.write(frames)

    def _send(self, message: Message) -> None:
        match message["type"]:
            case "websocket.send":
                text = message.get("text")
                if text is None:
                    self.transport.write(frame(message["bytes"], Opcode.BINARY))
                else:
                    self.transport.write(frame(text.encode()))
            case "websocket.accept":
                self._accept(message)
            case "websocket.close" if self._is_accepted:
                self._close(message.get("code", 1000), message.get("reason") or "")
            case "websocket.close":
                self._refuse(403, "")
            case "websocket.http.response.start":
                self._denial = message["status"], [*message.get("headers", [])]
            case "websocket.http.response.body" if self._denial:
                self._deny(message.get("body", b""))
            case other:
                raise RuntimeError(f"no ASGI message for a WebSocket: {other}")

    def _accept(self, message: Message) -> None:
        digest = hashlib.sha1(self._key + _MAGIC, usedforsecurity=False).digest()
        head = [
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade",
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest),
        ]
        if name := message.get("subprotocol"):
            head.append(b"Sec-WebSocket-Protocol: " + name.encode("latin-1"))
        head += [name + b": " + value for name, value in message.get("headers", [])]
        self._key, self._is_accepted = b"", True
        self.transport.write(b"\r\n".join([*head, b"", b""]))
        if self._ping_seconds:
            self._timer = self.loop.call_later(self._ping_seconds, self._ping)

    def _ping(self) -> None:
        """Ask whether the peer still lives; end it when it did not answer the last time."""
        if self.transport.is_closing():
            return
        if self._pong_is_due:
            self._say_close(1011, "keepalive ping timeout")
            self._put({"type": "websocket.disconnect", "code": 1011})
            self.transport.close()
            return
        self._pong_is_due = True
        self.transport.write(frame(b"", Opcode.PING))
        self._timer = self.loop.call_later(cast(float, self._ping_seconds), self._ping)

    def _close(self, code: int, reason: str) -> None:
        self._say_close(code, reason)
        self._put({"type": "websocket.disconnect", "code": code})
        self.transport.resume_reading()
        self._stop_timer()
        self._timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def _say_close(self, code: int, reason: str) -> None:
        if not self._is_closing and not self.transport.is_closing():
            self.transport.write(close_frame(code, reason))
        self._is_closing = True

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, reason: str) -> None:
        more = [(b"sec-websocket-version", b"13")] if status == 426 else []
        self._denial = status, [(b"content-type", b"text/plain; charset=utf-8"), *more]
        self._deny(reason.encode())

    def _deny(self, body: bytes) -> None:
        assert self._denial is not None
        status, headers = self._denial
        kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
        size = str(len(body)).encode()
        head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
        head += [name + b": " + value for name, value in kept]
        head += [b"content-length: " + size, b"connection: close", b"", body]
        self._is_closing = True
        self.transport.write(b"\r\n".join(head))
        self.transport.close()


def _fault(scope: Message, headers: dict[bytes, bytes], key: bytes) -> tuple[int, str] | None:
    """Why this is no opening handshake: a status and a sentence."""
    if scope.get("method") != "GET":
        return 405, "A WebSocket is opened with GET."
    if headers.get(b"sec-websocket-version") != b"13":
        return 426, "Only version 13 of the protocol is spoken here."
    try:
        is_key = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        is_key = False
    return None if is_key else (400, "Sec-WebSocket-Key is missing or none.")
