"""The same events over a WebSocket: one task's, or those a watcher subscribes to.

A raw ASGI endpoint; pings and closing are uvicorn's (every 30 s; 60 s without a pong end it).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from vidgen.messages import say
from vidgen.progress.fanout.cursor import Cursor
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.limits import Limits
from vidgen.progress.fanout.subscriber import (
    Batch,
    Connection,
    ConnectionCut,
    Message,
    Send,
    Subscriber,
)
from vidgen.progress.fanout.tail import Tail
from vidgen.progress.serve.errors import ApiError
from vidgen.progress.serve.frames import frame
from vidgen.progress.serve.index import RunIndex, aggregate
from vidgen.progress.serve.sse import note_bytes
from vidgen.progress.store.runs import is_task_id

MOST_TASKS: Final = 100  # that one connection may subscribe to
CONNECTED: Final = {"message": say("page.connected"), "message_code": "page.connected"}
Receive = Callable[[], Awaitable[Message]]
Open = Callable[[str], Awaitable[Tail]]  # raises ApiError


class SocketStream(Subscriber):
    """One event is one text message."""

    __slots__ = ("ends",)

    def __init__(
        self, send: Send, connection: Connection | None, limits: Limits, *, ends: bool
    ) -> None:
        super().__init__(send, connection, limits)
        self.ends = ends

    def messages(self, tail: Tail, lines: Sequence[bytes], seqs: Sequence[int]) -> Batch:  # noqa: ARG002  # Subscriber's form
        return [(_text(line), seq) for line, seq in zip(lines, seqs, strict=True)]

    def note(self, tail: Tail | None, event_type: str, data: Mapping[str, Any]) -> Message:
        return _text(note_bytes(tail, event_type, data))

    def is_over(self) -> bool:
        return self.ends and self.has_all()

    async def finish(self, reason: str = "") -> None:
        code = 1012 if reason == "stopping" else 1000
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


def _text(line: bytes) -> Message:
    return {"type": "websocket.send", "frames": frame(line)}


async def serve_websocket(
    watcher: SocketStream,
    tail: Tail | None,
    cursor: Cursor | None,
    conversation: "Conversation",
    send: Send,
    receive: Receive,
) -> None:
    """Until the other side goes; with a `tail`, until that task has ended (closed with 1000)."""
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    hub = conversation.hub
    hub.attend(watcher)
    try:
        after = cursor.place(tail) if tail and cursor else 0
        await watcher.say(tail, "connected", _about(tail, after) if tail else CONNECTED)
        if tail:
            hub.join(watcher, tail, after)
        await watcher.catch_up()
        await conversation.hold(receive)
    except ConnectionCut:
        watcher.abort()
    finally:
        hub.dismiss(watcher)


def _about(tail: Tail, after: int | None) -> dict[str, Any]:
    """Where the watcher is, not where the run is: what lies between is told next."""
    place = tail.last_seq if after is None else after
    here = {"stage": tail.stage_at(place), "progress": tail.percent_at(place)}
    return CONNECTED | here | {"epoch": tail.epoch, "last_seq": tail.last_seq}


class Conversation:
    """What the other side says: JSON objects whose `type` (or `action`) names a command."""

    def __init__(self, watcher: SocketStream, hub: Hub, listing: RunIndex, open_: Open) -> None:
        self.hub = hub
        self._watcher = watcher
        self._listing = listing
        self._open = open_
        self._commands = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "get_progress": self._get_progress,
            "get_batch_progress": self._get_batch_progress,
            "ping": self._ping,
        }

    async def hold(self, receive: Receive) -> None:
        """Until the connection ends."""
        while (message := await receive())["type"] != "websocket.disconnect":
            try:
                await self._obey(message.get("text") or message.get("bytes") or "")
            except ApiError as refusal:
                data = {"code": refusal.code, "message": refusal.message}
                await self._watcher.say(None, "refused", data)

    async def _obey(self, text: str | bytes) -> None:
        try:
            data = orjson.loads(text)
        except ValueError:
            raise ApiError(400, "not_json", "A message must be a JSON object.") from None
        if not isinstance(data, dict):
            raise ApiError(400, "not_json", "A message must be a JSON object.")
        command = self._commands.get(str(data.get("type") or data.get("action") or ""))
        if command is None:
            raise ApiError(400, "unknown_command", f"Commands: {', '.join(self._commands)}.")
        await command(data)

    async def _subscribe(self, data: dict[str, Any]) -> None:
        cursor = _cursor(data.get("after"))
        for task_id in _task_ids(data):
            if len(self._watcher.positions) >= MOST_TASKS:
                raise ApiError(429, "too_many", f"At most {MOST_TASKS} tasks on one connection.")
            tail = await self._open(task_id)
            if tail not in self._watcher.positions:
                after = cursor.place(tail) if cursor else 0
                await self._watcher.say(tail, "subscribed", _about(tail, after))
                self.hub.join(self._watcher, tail, after)
        self._watcher.resume()

    async def _unsubscribe(self, data: dict[str, Any]) -> None:
        for task_id in _task_ids(data):
            tail = await self._open(task_id)
            self.hub.part(self._watcher, tail)
            await self._watcher.say(tail, "unsubscribed", tail.snapshot.pulse())

    async def _get_progress(self, data: dict[str, Any]) -> None:
        for task_id in _task_ids(data, otherwise=[t.task_id for t in self._watcher.positions]):
            tail = await self._open(task_id)
            await self._watcher.say(tail, "snapshot", tail.snapshot.to_wire())

    async def _get_batch_progress(self, data: dict[str, Any]) -> None:
        batch_id = data.get("batch_id")
        if isinstance(batch_id, str):
            tasks = await asyncio.to_thread(self._listing.batch, batch_id)
        else:
            tasks = [(await self._open(name)).snapshot.brief() for name in _task_ids(data)]
        about = {"batch_id": batch_id} | aggregate(tasks)
        await self._watcher.say(None, "batch_progress", about)

    async def _ping(self, data: dict[str, Any]) -> None:  # noqa: ARG002  # the commands' form
        await self._watcher.say(None, "pong", {})


def _task_ids(data: dict[str, Any], otherwise: Sequence[str] = ()) -> list[str]:
    named = data.get("task_ids", data.get("task_id", otherwise))
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list | tuple) or len(names) > MOST_TASKS:
        raise ApiError(400, "bad_task_id", f"task_ids must be a list of at most {MOST_TASKS}.")
    if not names or not all(isinstance(name, str) and is_task_id(name) for name in names):
        raise ApiError(400, "bad_task_id", "That cannot be the id of a task.")
    return list(names)


def _cursor(after: Any) -> Cursor | None:
    if after is None:
        return None
    try:
        return Cursor.parse(str(after))
    except ValueError:
        raise ApiError(400, "bad_cursor", "`after` is not a cursor of a stream.") from None
