"""WebSockets of other systems' clients: one core behind all, the words of each in `dialects`.

A project's or a job's socket tells one task, also one that is still to come; a tracker's and a
SignalR hub's tell those that are asked for.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from vidgen.events import CLOUD_PLAN, LOCAL_PLAN, Envelope, timestamp
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.limits import Limits
from vidgen.progress.fanout.subscriber import Batch, Connection, ConnectionCut, Message, Send
from vidgen.progress.fanout.tail import Tail
from vidgen.progress.serve.dialects import signalr, tracker
from vidgen.progress.serve.dialects.dialect import Before, Dialect, Json
from vidgen.progress.serve.errors import ApiError
from vidgen.progress.serve.frames import frame
from vidgen.progress.serve.websocket import MOST_TASKS, SocketStream
from vidgen.progress.store.runs import is_task_id

SLACK_SECONDS: Final = 1.0  # a beat comes a little early or late
Receive = Callable[[], Awaitable[Message]]


class ForeignSocket(SocketStream):
    """A connection on which a dialect is spoken. `base` is our address as its client wrote it."""

    __slots__ = ("_base", "_dialect", "_has_joined", "_heard_at", "_task_id", "may_beat")

    def __init__(
        self,
        send: Send,
        connection: Connection | None,
        limits: Limits,
        dialect: Dialect,
        base: str = "",
        task_id: str = "",
    ) -> None:
        super().__init__(send, connection, limits, ends=bool(task_id))
        self._dialect = dialect
        self._base = base
        self._task_id = task_id
        self._has_joined = False
        self._heard_at = time.monotonic()
        self.may_beat = True

    @property
    def beat_seconds(self) -> int:  # type: ignore[override]  # this kind asks its dialect
        return self._dialect.ping_seconds

    def kind(self) -> tuple[object, ...]:
        return self._dialect.name, self._base

    def heard(self) -> None:
        """The peer has said something: it lives."""
        self._heard_at = time.monotonic()

    def begin(self, tail: Tail, after: int | None) -> None:
        self._has_joined = True
        super().begin(tail, after)

    def is_over(self) -> bool:
        return self._has_joined and super().is_over()

    def messages(self, tail: Tail, lines: Sequence[bytes], seqs: Sequence[int]) -> Batch:
        if not self._dialect.tells_events:
            said = self._dialect.stands(standing(tail), self._base)
            return [(self._frames(said), seqs[-1])] if seqs else []
        return [(self._event(tail, line), seq) for line, seq in zip(lines, seqs, strict=True)]

    def _event(self, tail: Tail, line: bytes) -> Message:
        event = Envelope.from_wire(line)
        before = Before(tail.stage_at(event.seq - 1), tail.percent_at(event.seq - 1))
        return self._frames(self._dialect.says(event, before, self._base))

    def note(self, tail: Tail | None, event_type: str, data: Mapping[str, Any]) -> Message:
        task_id = tail.task_id if tail else self._task_id
        match event_type:
            case "heartbeat":
                return self._frames([self._dialect.ping(task_id, timestamp())])
            case "connected" if self._dialect.hello:
                return self._frames([self._dialect.hello(task_id, timestamp())])
            case "reset" | "interrupted" if tail:
                return self._frames(self._dialect.stands(standing(tail), self._base))
            case "deleted" if tail:
                told = {**standing(tail), **data, "state": "failed", "end": None}
                return self._frames(self._dialect.stands(told, self._base))
            case _:
                return self._frames([])

    def beat(self) -> None:
        """A sign of life, unless the peer has given none for too long."""
        patience = self._dialect.silence_seconds
        if patience and time.monotonic() - self._heard_at > patience - SLACK_SECONDS:
            if not self.is_closed:
                self.is_closed = True
                self._pump = asyncio.get_running_loop().create_task(self.end("silent"))
            return
        if self.may_beat:
            super().beat()

    async def answer(self, message: Json) -> None:
        """Say something that is no event."""
        await self._patiently(self._frames([message]))

    def _frames(self, messages: Sequence[Json]) -> Message:
        end = self._dialect.separator.encode()
        return {
            "type": "websocket.send",
            "frames": b"".join([frame(_bytes(message) + end) for message in messages]),
        }

    async def finish(self, reason: str = "") -> None:
        if reason and self._dialect is signalr.DIALECT:
            said = "The client has been silent too long." if reason == "silent" else "stopping"
            await self._send(self._frames([signalr.closing(said, may_reconnect=True)]))
        await super().finish(reason)


def standing(tail: Tail) -> dict[str, Any]:
    """A run's snapshot with what the dialects ask besides: its plan, its template."""
    request, snapshot = tail.request, tail.snapshot
    return {
        **snapshot.to_wire(),
        **(snapshot.interruption() if snapshot.state == "interrupted" else {}),
        "plan": plan_of(request),
        "template_id": request.get("template_id", ""),
    }


def plan_of(request: Mapping[str, Any]) -> Sequence[str]:
    """The stages of a run in order, by its request.json."""
    names = request.get("stages")
    if isinstance(names, list):
        return [name for name in names if isinstance(name, str)]
    options = request.get("options")
    renderer = options.get("renderer") if isinstance(options, Mapping) else None
    chosen = renderer.get("value") if isinstance(renderer, Mapping) else None
    return CLOUD_PLAN if chosen == "d-id" else LOCAL_PLAN


def _bytes(message: Json) -> bytes:
    return orjson.dumps(message, default=str)


class Talk:
    """One connection from its acceptance to its end; what the other side says only shows that it
    lives."""

    def __init__(self, socket: ForeignSocket, hub: Hub, opens: Callable[[str], bool]) -> None:
        self.socket = socket
        self.hub = hub
        self._opens = opens  # whether this connection may see a task

    async def run(self, send: Send, receive: Receive) -> None:
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        self.hub.attend(self.socket)
        try:
            await self.begin(receive)
            await self.hold(receive)
        except ConnectionCut:
            self.socket.abort()
        finally:
            self.hub.dismiss(self.socket)

    async def begin(self, receive: Receive) -> None:  # noqa: ARG002  # a hub shakes hands here
        await self.socket.catch_up()

    async def hold(self, receive: Receive) -> None:
        """Until the connection ends."""
        while (message := await receive())["type"] != "websocket.disconnect":
            self.socket.heard()
            text = message.get("text") or message.get("bytes") or ""
            try:
                await self.obey(text if isinstance(text, str) else text.decode("utf-8", "replace"))
            except ApiError as refusal:
                await self.refuse(refusal)

    async def obey(self, text: str) -> None:
        """What the other side wants."""

    async def refuse(self, refusal: ApiError) -> None:
        """Say why it gets nothing."""

    async def open(self, task_id: object) -> Tail:
        """A task's log. Raises ApiError for an id that is none, and for one that is not allowed."""
        return await self.hub.arrival(self.check(task_id))

    def check(self, task_id: object) -> str:
        if not isinstance(task_id, str | int) or not is_task_id(str(task_id)):
            raise ApiError(400, "bad_task_id", "That cannot be the id of a task.")
        if not self._opens(str(task_id)):
            raise ApiError(403, "other_task", "The token is another task's.")
        return str(task_id)


class OneTask(Talk):
    """A project's or a job's socket: one task, now or as soon as it is there."""

    def __init__(
        self,
        socket: ForeignSocket,
        hub: Hub,
        opens: Callable[[str], bool],
        task_id: str,
        *,
        replays: bool,
    ) -> None:
        super().__init__(socket, hub, opens)
        self._task_id = self.check(task_id)
        self._replays = replays

    async def run(self, send: Send, receive: Receive) -> None:
        joining = asyncio.create_task(self._join())
        try:
            await super().run(send, receive)
        finally:
            joining.cancel()

    async def begin(self, receive: Receive) -> None:
        await self.socket.say(None, "connected", {})
        await super().begin(receive)

    async def _join(self) -> None:
        tail = await self.hub.arrival(self._task_id)
        self.hub.join(self.socket, tail, 0 if self._replays else None)
        self.socket.resume()


class Tracker(Talk):
    """The tracker's socket: tasks that are subscribed to, and questions."""

    async def obey(self, text: str) -> None:
        said = _object(text)
        match said.get("type"):
            case "subscribe":
                for task_id in self._named(said):
                    await self._subscribe(task_id)
            case "unsubscribe":
                for task_id in self._named(said):
                    await self._unsubscribe(task_id)
            case "get_progress":
                for task_id in self._named(said):
                    tail = await self._known(task_id)
                    await self.socket.answer(tracker.update(standing(tail)))
            case "get_batch_progress":
                await self._tell_batch(said)
            case "ping":
                await self.socket.answer({"type": "pong"})
            case "pong":
                pass
            case _:
                raise ApiError(400, "unknown_command", "There is no such message type.")

    async def refuse(self, refusal: ApiError) -> None:
        said = {"type": "error", "code": refusal.code, "message": refusal.message}
        await self.socket.answer(said)

    async def _subscribe(self, task_id: str) -> None:
        if len(self.socket.positions) >= MOST_TASKS:
            raise ApiError(429, "too_many", f"At most {MOST_TASKS} tasks on one connection.")
        tail = await self._known(task_id)
        if tail not in self.socket.positions:
            self.hub.join(self.socket, tail, None)
            self.socket.resume()

    async def _unsubscribe(self, task_id: str) -> None:
        for tail in [tail for tail in self.socket.positions if tail.task_id == task_id]:
            self.hub.part(self.socket, tail)

    async def _tell_batch(self, said: Json) -> None:
        tails = [await self._known(task_id) for task_id in self._named(said)]
        batch = str(said.get("batch_id", ""))
        told = tracker.batch_progress(batch, [standing(tail) for tail in tails])
        await self.socket.answer({"type": "batch.progress", "batch_id": batch, "data": told})

    async def _known(self, task_id: str) -> Tail:
        with contextlib.suppress(LookupError):
            return await self.hub.open(task_id)
        raise ApiError(404, "unknown_task", "There is no such task.")

    def _named(self, said: Json) -> list[str]:
        named = said.get("task_ids", said.get("task_id", []))
        names = named if isinstance(named, list) else [named]
        if not 0 < len(names) <= MOST_TASKS:
            raise ApiError(400, "bad_task_id", f"Name 1 to {MOST_TASKS} tasks.")
        return [self.check(name) for name in names]


class SignalHub(Talk):
    """A SignalR hub: a handshake, then calls."""

    async def begin(self, receive: Receive) -> None:
        self.socket.may_beat = False  # the first that a client hears must be our hand
        await super().begin(receive)
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            first, *more = signalr.records(_text(message))
            fault = signalr.shake(first)
        except ValueError:
            first, more, fault = {}, [], "The handshake is none."
        await self.socket.answer({"error": fault} if fault else {})
        self.socket.may_beat = True
        if fault:
            await self.socket.end()
        for record in more:
            await self._call(record)

    async def obey(self, text: str) -> None:
        if len(text.encode()) > signalr.MESSAGE_BYTES:
            await self._close("The message is too large.")
            return
        try:
            records = signalr.records(text)
        except ValueError:
            await self._close("A message cannot be read.")
            return
        for record in records:
            await self._call(record)

    async def _close(self, why: str) -> None:
        await self.socket.answer(signalr.closing(why))
        await self.socket.end()

    async def _call(self, record: Json) -> None:
        if record.get("type") != signalr.INVOCATION:
            return  # a ping, an answer, or the peer's own close, which the socket's follows
        call, error = str(record.get("invocationId") or ""), ""
        try:
            await self._invoke(str(record.get("target", "")).lower(), record.get("arguments"))
        except ApiError as refusal:
            error = refusal.message
        if call:
            await self.socket.answer(signalr.completion(call, error))

    async def _invoke(self, target: str, arguments: object) -> None:
        names = arguments if isinstance(arguments, list) else []
        task_id = self.check(names[0] if names else None)
        if target in signalr.SUBSCRIBE:
            await self._subscribe(task_id)
        elif target in signalr.UNSUBSCRIBE:
            for tail in [tail for tail in self.socket.positions if tail.task_id == task_id]:
                self.hub.part(self.socket, tail)
        else:
            raise ApiError(400, "unknown_method", "The hub has no such method.")

    async def _subscribe(self, task_id: str) -> None:
        if len(self.socket.positions) >= MOST_TASKS:
            raise ApiError(429, "too_many", f"At most {MOST_TASKS} tasks on one connection.")
        try:
            tail = await self.hub.open(task_id)
        except LookupError:
            raise ApiError(404, "unknown_task", "There is no such task.") from None
        if tail not in self.socket.positions:
            fresh = tail.stage_at(tail.last_seq) in ("", "initialized", "queued")
            self.hub.join(self.socket, tail, 0 if fresh and not tail.is_over else None)
            self.socket.resume()


def _text(message: Message) -> str:
    text = message.get("text") or message.get("bytes") or ""
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def _object(text: str) -> Json:
    try:
        said = orjson.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ApiError(400, "not_json", "A message must be a JSON object.")
    return said
