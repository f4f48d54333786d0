"""Server-sent events over HTTP: a raw ASGI endpoint, for one task, some, or all.

What is sent and when is the subscriber's; who may connect was decided before (`auth`).
"""

import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from vidgen.events import Envelope, timestamp
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.subscriber import (
    Batch,
    Connection,
    ConnectionCut,
    Message,
    Send,
    Subscriber,
)
from vidgen.progress.fanout.tail import Tail
from vidgen.progress.serve.limits import ConnectionLimit

Receive = Callable[[], Awaitable[Message]]
RETRY_MS: Final = (2000, 5000)  # spread, or all watchers of a restarted server come at once
STOPPING_RETRY_MS: Final = (1000, 10_000)
HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


def note_bytes(tail: Tail | None, event_type: str, data: Mapping[str, Any]) -> bytes:
    """The envelope of something that is not in the log; its `seq` is the last one that is."""
    base = {"stage": "", "progress": 0.0, "message": ""}
    task_id, seq = (tail.task_id, tail.last_seq) if tail else ("", 0)
    return Envelope(task_id, seq, event_type, timestamp(), base | dict(data)).to_wire()


def _body(content: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


class TaskStream(Subscriber):
    """The events of one task; ends with the task."""

    __slots__ = ()

    def messages(self, tail: Tail, lines: Sequence[bytes], seqs: Sequence[int]) -> Batch:
        epoch = tail.epoch.encode()
        frames = [
            sse_frame(line, b"%b-%d" % (epoch, seq)) for line, seq in zip(lines, seqs, strict=True)
        ]
        return [(_body(b"".join(frames)), seqs[-1])] if frames else []

    def note(self, tail: Tail | None, event_type: str, data: Mapping[str, Any]) -> Message:
        content = note_bytes(tail, event_type, data)
        if tail is None or event_type != "reset":
            return _body(sse_frame(content))
        return _body(sse_frame(content, self.event_id(tail, tail.last_seq)))

    def event_id(self, tail: Tail, seq: int) -> bytes:
        return f"{tail.epoch}-{seq}".encode() if tail.epoch else b""

    def is_over(self) -> bool:
        return self.has_all()

    async def finish(self, reason: str = "") -> None:
        last = b""
        if reason == "stopping":
            last = b"retry: %d\n\n" % random.randint(*STOPPING_RETRY_MS)  # noqa: S311  # no secret
        await self._send(_body(last, more=False))


class SeveralStream(TaskStream):
    """The events of some tasks, each with an id that says how far all of them have come."""

    __slots__ = ()
    shares: ClassVar = False

    def messages(self, tail: Tail, lines: Sequence[bytes], seqs: Sequence[int]) -> Batch:
        frames = [
            sse_frame(line, self.event_id(tail, seq)) for line, seq in zip(lines, seqs, strict=True)
        ]
        return [(_body(b"".join(frames)), seqs[-1])] if frames else []

    def event_id(self, tail: Tail, seq: int) -> bytes:
        places = {**self.positions, tail: seq}
        return ",".join(f"{t.epoch}-{s}" for t, s in places.items() if t.epoch).encode()


class AllStream(SeveralStream):
    """The events of every task that runs, and of those that come; never ends by itself."""

    __slots__ = ("_hub", "_newest")

    def __init__(
        self, send: Send, connection: Connection | None, hub: Hub, newest: str = ""
    ) -> None:
        super().__init__(send, connection, hub.limits)
        self._hub = hub
        self._newest = newest

    def event_id(self, tail: Tail, seq: int) -> bytes:
        self._newest = max(self._newest, tail.snapshot.began)
        return b",".join(filter(None, (super().event_id(tail, seq), b"~" + self._newest.encode())))

    def on_end(self, tail: Tail) -> None:
        self._hub.part(self, tail)

    def is_over(self) -> bool:
        return False


@dataclass(slots=True)
class Stream:
    """One SSE request that was let in. Keeps little: there may be thousands."""

    watcher: TaskStream
    places: Mapping[Tail, int | None]  # where each log begins
    hub: Hub
    slots: ConnectionLimit
    address: str
    origin: str = ""  # another site that may read it

    async def run(self, send: Send, receive: Receive) -> None:
        """Until the watcher goes, is cut, or has everything. Raises ApiError without a slot."""
        self.slots.take(self.address)
        self.hub.attend(self.watcher, wants_all=isinstance(self.watcher, AllStream))
        try:
            headers = [*HEADERS, (b"access-control-allow-origin", self.origin.encode())]
            headers = headers if self.origin else HEADERS
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send(_body(opening(random.randint(*RETRY_MS))))  # noqa: S311  # no secret
            for tail, after in self.places.items():
                self.hub.join(self.watcher, tail, after)
            self.places = {}
            with contextlib.suppress(
                ConnectionCut
            ):  # its socket is aborted; that is a disconnect too
                await self.watcher.catch_up()
            while (await receive())["type"] != "http.disconnect":
                pass  # a body that nobody asked for
        finally:
            self.hub.dismiss(self.watcher)
            self.slots.give_back(self.address)


def sse_frame(data: bytes, event_id: bytes = b"") -> bytes:
    """One event on the stream. `data` is JSON on one line; without an id the cursor stays.

    A bare CR in JSON can only be white space, but it would end the line here.
    """
    if b"\r" in data:
        data = data.replace(b"\r", b" ")
    if not event_id:
        return b"data: %b\n\n" % data
    return b"id: %b\ndata: %b\n\n" % (event_id, data)


def opening(retry_ms: int) -> bytes:
    """The first bytes of every stream: proxies hold a response back until there is one."""
    return b"retry: %d\n: vidgen\n\n" % retry_ms
