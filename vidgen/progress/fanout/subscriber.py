"""One stream of events to one watcher: a cursor into each log, and no queue.

How an event looks on a connection is the business of the kinds of watcher (`serve.sse`,
`serve.websocket`);
when there is something new, the hub says.
"""

import asyncio
import contextlib
import logging
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    MutableMapping,
    Sequence,
)
from typing import Any, ClassVar, Final, Protocol, cast

from vidgen.progress.fanout.limits import USUAL, Limits
from vidgen.progress.fanout.tail import Tail

logger = logging.getLogger(__name__)
CHUNK_BYTES: Final = 64 * 1024  # handed to the socket at once

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
# One for all: most watchers never need their own, and there may be thousands.
_NOTHING: Final[Mapping[Tail, int]] = {}
_NOBODY: Final[Mapping[Tail, Mapping[str, Any]]] = {}
Batch = Sequence[tuple[Message, int]]  # each with the `seq` that is reached when it is sent


class Connection(Protocol):
    """The socket below a stream, as far as a slow watcher is concerned."""

    def waiting_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        ...

    def abort(self) -> None: ...


class ConnectionCut(Exception):  # noqa: N818  # an order, no error
    """The watcher is too slow; it may come back with its cursor."""


class Subscriber:
    """What one stream has got of each log, and how to bring it the rest.

    Caught up, it is pushed to directly, without a task of its own. While its socket is full, or
    while it replays, it reads the log at its own pace. One that fell behind gets the newest
    `progress_update` and `resource` instead of all of them, and every other event.
    """

    __slots__ = ("_connection", "_gone", "_is_busy", "_is_slow", "_limits", "_pump", "_send",
                 "_targets", "_told", "_voided", "is_closed", "positions", "was_cut")  # fmt: skip
    shares: ClassVar = True  # watchers of this kind at the same place get the same bytes
    beat_seconds: int = 0  # between two signs of life; 0: what the hub takes

    def __init__(self, send: Send, connection: Connection | None, limits: Limits = USUAL) -> None:
        self._limits = limits
        self.positions: dict[Tail, int] = {}
        self.is_closed = False
        self.was_cut = False
        self._send = send
        self._connection = connection
        self._is_busy = True  # until the first replay is over
        self._is_slow = False  # its socket was full since it last had everything
        # What was there when it came is replayed in full: up to these events.
        self._targets: Mapping[Tail, int] = _NOTHING
        self._voided: frozenset[Tail] = frozenset()  # logs whose position is void: a reset is due
        self._gone: Mapping[Tail, Mapping[str, Any]] = (
            _NOBODY  # deleted runs, and what to say of them
        )
        self._told: Mapping[Tail, int] = _NOTHING  # interrupted runs it knows of, and at what seq
        self._pump: asyncio.Task[None] | None = None

    # What a kind of stream says in its own way

    def messages(self, tail: Tail, lines: Sequence[bytes], seqs: Sequence[int]) -> Batch:
        """The ASGI messages for these events, in order."""
        raise NotImplementedError

    def note(self, tail: Tail | None, event_type: str, data: Mapping[str, Any]) -> Message:
        """The ASGI message for something that is not in the log."""
        raise NotImplementedError

    async def finish(self, reason: str = "") -> None:
        """End the stream in good order; `reason` is "" or "stopping"."""
        raise NotImplementedError

    def on_end(self, tail: Tail) -> None:
        """The run has ended, and the watcher knows."""

    def is_over(self) -> bool:
        """Whether nothing more can come."""
        return False

    def has_all(self) -> bool:
        """Whether every run it watches has ended, and it knows all of them to the end."""
        return not (self._voided or self._gone) and all(
            tail.is_over and seq >= tail.last_seq for tail, seq in self.positions.items()
        )

    def kind(self) -> tuple[object, ...]:
        """Watchers of one kind get the same bytes for the same events."""
        return (type(self),)

    def knows_interruption(self) -> bool:
        """Whether every run it watches was left by its writer, and it was told so."""
        return bool(self.positions) and all(
            tail.snapshot.state == "interrupted" and self._told.get(tail) == tail.last_seq
            for tail in self.positions
        )

    # What the hub calls

    def begin(self, tail: Tail, after: int | None) -> None:
        """Watch this log from behind event `after`; None: from a snapshot of now."""
        self.positions[tail] = tail.last_seq if after is None else after
        self._targets = {**self._targets, tail: tail.last_seq}
        if after is None or tail.size(tail.after(after)) > self._limits.replay_bytes:
            self._voided |= {tail}

    def forget(self, tail: Tail) -> None:
        self.positions.pop(tail, None)
        self._voided -= {tail}

    def bury(self, tail: Tail, data: Mapping[str, Any]) -> None:
        """The task was deleted: say so, also when something else is just being said."""
        self.forget(tail)
        self._gone = {**self._gone, tail: data}
        self.resume()

    def push(self, tail: Tail, shared: "SharedBatch") -> None:
        """New events are in the log. Called for each watcher, 15,000 times a second."""
        if self._is_busy or self.is_closed or tail not in self.positions:
            return
        batch = shared.batch(self, self.positions[tail])
        if batch is None:
            self.resume()
            return
        for message, seq in batch:
            if not self._send_now(message):
                self._is_slow = True
                self.resume()
                return
            self.positions[tail] = seq
        if tail.is_over:
            self.on_end(tail)
            if self.is_over():
                self.resume()

    def beat(self) -> None:
        """A sign of life."""
        tail = next(iter(self.positions)) if len(self.positions) == 1 else None
        self.tell(tail, "heartbeat", tail.pulse() if tail else {})

    def void(self, tail: Tail) -> None:
        """The log is another one than it was."""
        self._voided |= {tail}
        self.resume()

    def tell(self, tail: Tail | None, event_type: str, data: Mapping[str, Any]) -> None:
        """Say something that is not in the log, if the socket has room."""
        if not self._is_busy and not self.is_closed:
            self._send_now(self.note(tail, event_type, data))

    def resume(self) -> None:
        """Go on at the watcher's own pace until it has caught up."""
        if not self._is_busy and not self.is_closed:
            self._is_busy = True
            self._pump = asyncio.get_running_loop().create_task(self._run_pump())

    async def _run_pump(self) -> None:
        with contextlib.suppress(ConnectionCut):
            await self.catch_up()
        self._pump = None

    def _send_now(self, message: Message) -> bool:
        """Send without waiting; False when the socket is full, and then nothing was sent.

        uvicorn's `send` waits, if at all, before it writes, so one that does not end at its
        first step has not begun. This spares a task switch for each watcher and event.
        """
        sending = cast(Coroutine[Any, Any, None], self._send(message))
        try:
            sending.send(None)
        except StopIteration:
            return True
        except Exception:  # the connection has just gone; its owner is being told
            self.is_closed = True
            return True
        sending.close()
        return False

    async def catch_up(self) -> None:
        """Bring everything that is missing. Raises ConnectionCut when the watcher is too slow."""
        self._is_busy = True
        try:
            while not self.is_closed and await self._step():
                await asyncio.sleep(0)
        except ConnectionCut:
            self.abort()
            raise
        except Exception:  # the connection has just gone
            self.is_closed = True
        self._is_busy, self._is_slow, self._targets = False, False, _NOTHING
        for tail in tuple(self.positions):
            if tail.is_over:
                self.on_end(tail)
            elif tail.is_reachable is False:
                self.tell(tail, "heartbeat", tail.pulse())
        if not self.is_closed and self.is_over():
            await self.end()

    async def _step(self) -> bool:
        """Bring the next piece; False when there is none."""
        for tail, data in self._gone.items():
            self._gone = {other: words for other, words in self._gone.items() if other is not tail}
            await self.say(tail, "deleted", data)
            return True
        for tail in tuple(self._voided):
            self._voided -= {tail}
            self.positions[tail] = tail.last_seq
            await self.say(tail, "reset", tail.snapshot.to_wire() | {"epoch": tail.epoch})
            return True
        for tail, seq in self.positions.items():
            if tail.last_seq > seq:
                await self._bring(tail)
                return True
        for tail in self.positions:
            snapshot = tail.snapshot
            if snapshot.state == "interrupted" and self._told.get(tail) != snapshot.last_seq:
                self._told = {**self._told, tail: snapshot.last_seq}
                await self.say(tail, "interrupted", snapshot.interruption())
                return True
        return False

    async def _bring(self, tail: Tail) -> None:
        places = self._due(tail)
        try:
            lines = tail.lines(places, CHUNK_BYTES)
        except OSError:
            self._voided |= {tail}
            return
        seqs = [tail.seq(place) for place in places[: len(lines)]]
        for message, seq in self.messages(tail, lines, seqs):
            await self._patiently(message)
            if tail in self.positions:
                self.positions[tail] = seq

    def _due(self, tail: Tail) -> Sequence[int]:
        """Which events to bring next. Raises ConnectionCut when they are too many."""
        position, target = self.positions[tail], self._targets.get(tail, 0)
        places = tail.after(position)
        if position < target:
            return range(places.start, tail.after(target).start)
        if not self._is_slow:
            return places
        fresh = tail.without_stale(places)
        dropped = len(places) - len(fresh)
        logger.debug("%s: %d snapshots dropped, a watcher is slow", tail.task_id, dropped)
        if tail.size(fresh) > self._limits.backlog_bytes:
            raise ConnectionCut
        return fresh

    async def say(self, tail: Tail | None, event_type: str, data: Mapping[str, Any]) -> None:
        """Say something that is not in the log, and wait until the socket has it."""
        await self._patiently(self.note(tail, event_type, data))

    async def _patiently(self, message: Message) -> None:
        if not self._send_now(message):
            self._is_slow = True
            await self._wait_for(lambda: self._send(message))

    async def _wait_for(self, act: Callable[[], Awaitable[None]]) -> None:
        """Wait for the socket as long as it takes anything, else raise ConnectionCut."""
        while True:
            before = self._waiting_bytes()
            try:
                async with asyncio.timeout(self._limits.stall_seconds):
                    return await act()
            except TimeoutError:
                if self._waiting_bytes() >= before:
                    raise ConnectionCut from None

    def _waiting_bytes(self) -> int:
        return self._connection.waiting_bytes() if self._connection else 0

    async def end(self, reason: str = "") -> None:
        """End the stream in good order, or cut it when it takes too long."""
        self.is_closed = True
        try:
            await self._wait_for(lambda: self.finish(reason))
        except ConnectionCut:
            self.abort()
        except OSError:
            logger.debug("a watcher went before its stream was ended")

    def abort(self) -> None:
        """End the connection now, whatever is still on its way."""
        self.is_closed = self.was_cut = True
        if self._connection:
            self._connection.abort()

    def release(self) -> None:
        """The connection has gone."""
        self.is_closed = True
        if self._pump:
            self._pump.cancel()


class SharedBatch:
    """The messages for a batch of new events, made once for all watchers at the same place."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._made: dict[tuple[tuple[object, ...], int], Batch | None] = {}

    def batch(self, watcher: Subscriber, position: int) -> Batch | None:
        """What is behind `position`; None when that is too much to send at once."""
        if not watcher.shares:
            return self._make(watcher, position)
        key = (watcher.kind(), position)
        if key not in self._made:
            self._made[key] = self._make(watcher, position)
        return self._made[key]

    def _make(self, watcher: Subscriber, position: int) -> Batch | None:
        tail = self._tail
        places = tail.after(position)
        if tail.size(places) > CHUNK_BYTES:
            return None
        try:
            lines = tail.lines(places, CHUNK_BYTES)
        except OSError:
            return None
        return watcher.messages(tail, lines, [tail.seq(place) for place in places])
