"""Bring every new event to every watcher: one reading of each log, one cursor for each watcher.

A watcher has no queue: what it has not got yet is in the log. How an event looks on a
connection is the business of the watcher's own class (`streams.py`, `ws.py`).
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from typing import Any, Final, Protocol

from vidgen.events import Envelope
from vidgen.progress.tail import Change, Tail

HEARTBEAT_SECONDS: Final = 15
CHUNK_BYTES: Final = 64 * 1024  # handed to the socket at once
BACKLOG_BYTES: Final = 256 * 1024  # a watcher further behind than this is cut
STALL_SECONDS: Final = 5.0  # so is one whose socket took nothing for so long
REPLAY_BYTES: Final = 8 * 1024 * 1024  # older events than these come as one snapshot

Message = MutableMapping[str, Any]
Send = Callable[[Message], Coroutine[Any, Any, None]]


class Connection(Protocol):
    """The socket below a stream, as far as a slow watcher is concerned."""

    def waiting_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        ...

    def abort(self) -> None: ...


class Watcher:
    """One stream of events: what it has got of each log, and how to bring it the rest.

    Caught up, it is pushed to directly, without a task of its own. While its socket is full, or
    while it replays, it reads the log at its own pace. One that fell behind gets the newest
    `progress_update` and `resource` instead of all, and every other event.
    """

    def __init__(self, hub: "Hub", send: Send, connection: Connection | None) -> None:
        self.positions: dict[Tail, int] = {}
        self.is_closed = False
        self._hub = hub
        self._send = send
        self._connection = connection
        self._is_busy = True  # until the first replay is over
        self._target: dict[Tail, int] = {}  # what was there when it came; replayed in full
        self._pump: asyncio.Task[None] | None = None

    # What a kind of stream says in its own way

    def messages(self, tail: Tail, lines: list[bytes], seqs: list[int]) -> Iterable[Message]:
        """The ASGI messages for these events."""
        raise NotImplementedError

    def note(self, tail: Tail, event_type: str, data: dict[str, Any]) -> Message:
        """The ASGI message for something that is not in the log."""
        raise NotImplementedError

    async def finish(self) -> None:
        """End the stream in good order."""
        raise NotImplementedError

    def is_over(self) -> bool:
        """Whether nothing more can come."""
        return False

    def cursor(self, tail: Tail) -> tuple[str, int]:
        return tail.epoch, self.positions[tail]

    # What the hub calls

    def follow(self, tail: Tail, after: int) -> None:
        """Watch this log too, from behind event `after`."""
        self.positions[tail] = after
        self._target[tail] = tail.last_seq
        self._hub.join(tail, self)

    def leave(self, tail: Tail) -> None:
        self.positions.pop(tail, None)
        self._hub.part(tail, self)

    def push(self, tail: Tail, shared: "Shared") -> None:
        """New events are in the log. Called for each watcher, 15,000 times a second."""
        if self._is_busy or self.is_closed:
            return
        position = self.positions[tail]
        messages = shared.get(self, position)
        for message in messages:
            if not self._send_now(message):
                self.resume()
                return
        self.positions[tail] = tail.last_seq
        if tail.has_ended and self.is_over():
            self.resume()

    def tell(self, tail: Tail, event_type: str, data: dict[str, Any]) -> None:
        """Say something that is not in the log, if the socket has room."""
        if not self._is_busy and not self.is_closed:
            self._send_now(self.note(tail, event_type, data))

    def resume(self) -> None:
        """Go on at the watcher's own pace until it has caught up."""
        if not self._is_busy:
            self._is_busy = True
            self._pump = asyncio.get_running_loop().create_task(self._catch_up_or_cut())

    def _send_now(self, message: Message) -> bool:
        """Send without waiting; False when the socket is full, and nothing was sent.

        uvicorn's `send` waits, if at all, before it writes, so a send that does not end at the
        first step has not begun. This spares a task switch for each watcher and event.
        """
        sending = self._send(message)
        try:
            sending.send(None)
        except StopIteration:
            return True
        except Exception:  # the connection has just gone
            self.is_closed = True
            return True
        sending.close()
        return False

    async def _catch_up_or_cut(self) -> None:
        with contextlib.suppress(Cut):
            await self.catch_up()

    async def catch_up(self) -> None:
        """Bring everything that is still missing. Raises Cut when the watcher is too slow."""
        self._is_busy = True
        try:
            while not self.is_closed and (tail := self._behind()):
                await self._bring(tail)
                await asyncio.sleep(0)
        except OSError:  # the log was replaced or deleted; the hub will say so
            pass
        except Cut:
            self._hub.cuts += 1
            self.cut()
            raise
        self._is_busy = False
        if not self.is_closed and self.is_over():
            self.is_closed = True
            await self._patiently(self.finish)

    def _behind(self) -> Tail | None:
        return next((tail for tail, seq in self.positions.items() if tail.last_seq > seq), None)

    async def _bring(self, tail: Tail) -> None:
        places = self._due(tail)
        lines = tail.lines(places, CHUNK_BYTES)
        seqs = [tail.seq(place) for place in places[: len(lines)]]
        for message in self.messages(tail, lines, seqs):
            await self._patiently(lambda message=message: self._send(message))
        if tail in self.positions:
            is_all = len(lines) == len(places)
            self.positions[tail] = max(seqs[-1], tail.seq(places[-1]) if is_all else 0)

    def _due(self, tail: Tail) -> range | list[int]:
        """What to bring next. Raises Cut when it is too much."""
        position, target = self.positions[tail], self._target[tail]
        places = tail.after(position)
        if position < target:
            return range(places.start, tail.after(target).start)
        fresh = tail.without_stale(places)
        if tail.size(fresh) > BACKLOG_BYTES:
            raise Cut
        return fresh

    async def _patiently(self, act: Callable[[], Awaitable[None]]) -> None:
        """Wait for the socket as long as it takes anything. Raises Cut when it does not."""
        while True:
            before = self._connection.waiting_bytes() if self._connection else 0
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await act()
                return
            except TimeoutError:
                now = self._connection.waiting_bytes() if self._connection else before
                if now >= before:
                    raise Cut from None

    def restart(self, tail: Tail) -> None:
        """The log is another one: whoever watched the old one is told where the new one stands."""
        if tail not in self.positions:
            return
        self.positions[tail] = self._target[tail] = tail.last_seq
        self.tell(tail, "reset", tail.snapshot.to_wire())

    def cut(self) -> None:
        """End the connection now, whatever is still on its way."""
        self.is_closed = True
        if self._connection:
            self._connection.abort()

    def release(self) -> None:
        """The connection has gone: leave nothing behind."""
        self.is_closed = True
        for tail in tuple(self.positions):
            self.leave(tail)
        if self._pump:
            self._pump.cancel()


class Cut(Exception):  # noqa: N818  # an order, no error
    """The watcher is too slow; it may come back with its cursor."""


class Shared:
    """The messages for a batch of new events, made once for all watchers at the same place."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._made: dict[tuple[type[Watcher], int], list[Message]] = {}

    def get(self, watcher: Watcher, position: int) -> list[Message]:
        key = (type(watcher), position)
        made = self._made.get(key)
        if made is None:
            made = self._make(watcher, position)
            if len(watcher.positions) == 1:
                self._made[key] = made
        return made

    def _make(self, watcher: Watcher, position: int) -> list[Message]:
        tail = self._tail
        places = tail.after(position)
        try:
            lines = tail.lines(places, 1 << 62)
        except OSError:
            return []
        return list(watcher.messages(tail, lines, [tail.seq(place) for place in places]))
