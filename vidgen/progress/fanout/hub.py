"""Bring every new event to every watcher: one reading of each log, shared by all who watch it.

Owns the open logs, the heartbeat and the clean-up. How events look on a connection is the
watchers' business (`subscriber`, `serve.sse`, `serve.websocket`).
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from vidgen.files import make_private
from vidgen.paths import Home, TaskFolder
from vidgen.progress.fanout.inotify import Notifier, notifier
from vidgen.progress.fanout.limits import USUAL, Limits
from vidgen.progress.fanout.subscriber import SharedBatch, Subscriber
from vidgen.progress.fanout.tail import Change, Tail
from vidgen.progress.store.reader import is_running

logger = logging.getLogger(__name__)
AT_ONCE: Final = 32  # watchers that are written to before anything else has its turn


NotifierFactory = Callable[[Path, asyncio.AbstractEventLoop], Notifier]


class UnknownTask(LookupError):  # noqa: N818  # an answer to a question
    """There is no task of this id in the store."""


class OutOfReach(UnknownTask):
    """The task may be at a source that is not there now."""


class Elsewhere(Protocol):
    """Runs whose logs are not in the store but can be brought here."""

    async def find(self, task_id: str) -> TaskFolder | None:
        """The folder with the run's log; None when there is no such run. Raises OutOfReach."""
        ...

    def is_reachable(self, task_id: str) -> bool | None:
        """Whether the run's machine is there now; None when it is this one."""
        ...


@dataclass(slots=True)
class _Log:
    """An open log and who is interested in it."""

    tail: Tail
    stop_listening: Callable[[], None]
    watchers: dict[Subscriber, None] = field(default_factory=dict)  # in the order they came
    waiting: set[asyncio.Future[None]] = field(default_factory=set)
    grew_at: float = 0.0
    used_at: float = 0.0


class Hub:
    """One for a server. Everything runs in its event loop."""

    def __init__(
        self, home: Home, limits: Limits = USUAL, notify: NotifierFactory = notifier
    ) -> None:
        self.home = home
        self.limits = limits
        self.elsewhere: Elsewhere | None = None
        self._notify = notify
        self.cuts = 0  # watchers that were too slow; for the metrics, like the next
        self.events_read = 0
        self._logs: dict[str, _Log] = {}
        self._opening: dict[str, asyncio.Task[_Log]] = {}
        self._everything: set[Subscriber] = set()  # those who want each new task too
        # Seconds between two beats → who is due in which of them: never all at once.
        self._beats: dict[int, list[dict[Subscriber, None]]] = {}
        self._expected: dict[str, set[asyncio.Future[None]]] = {}  # tasks that are not there yet
        self._names: set[str] = set()
        self._notifier: Notifier
        self.loop: asyncio.AbstractEventLoop  # from `running` on
        self._is_closing = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the store, and let all go at the end."""
        loop = asyncio.get_running_loop()
        make_private(self.home.tasks)
        self._notifier = self._notify(self.home.tasks, loop)
        self._names = set(os.listdir(self.home.tasks))  # noqa: PTH208  # ten times iterdir's speed
        self._notifier.listen(self.home.tasks, self._look_for_tasks)
        ticking = loop.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()
            self._notifier.close()
            for log in self._logs.values():
                log.tail.close()

    # Logs

    async def open(self, task_id: str) -> Tail:
        """The log of a task, read to its end. Raises UnknownTask, or OutOfReach, which is one."""
        log = self._logs.get(task_id)
        if log is None:
            opening = self._opening.get(task_id)
            if opening is None:
                opening = asyncio.create_task(self._open(task_id))
                self._opening[task_id] = opening
                opening.add_done_callback(lambda _: self._opening.pop(task_id, None))
            log = await asyncio.shield(opening)
        log.used_at = time.monotonic()
        return log.tail

    async def arrival(self, task_id: str) -> Tail:
        """The log of a task, as soon as there is one."""
        while True:
            with contextlib.suppress(UnknownTask):
                return await self.open(task_id)
            future = asyncio.get_running_loop().create_future()
            waiting = self._expected.setdefault(task_id, set())
            waiting.add(future)
            try:
                await future
            finally:
                waiting.discard(future)
                if not waiting:
                    self._expected.pop(task_id, None)

    async def _open(self, task_id: str) -> _Log:
        folder = await self._find(task_id)
        tail = Tail(folder)
        if self.elsewhere:
            tail.is_reachable = self.elsewhere.is_reachable(task_id)
        try:
            stop = self._notifier.listen(folder.root, lambda: self._on_change(task_id))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UnknownTask(task_id) from error
        try:
            while (change := tail.poll()) is Change.MORE:
                await asyncio.sleep(0)
        except OSError as error:
            change = Change.GONE
            raise UnknownTask(task_id) from error
        finally:
            if change is Change.GONE:
                stop()
        if change is Change.GONE:
            raise UnknownTask(task_id)
        self.events_read += tail.count
        now = time.monotonic()
        log = _Log(tail, stop, grew_at=now, used_at=now)
        self._logs[task_id] = log
        self._check_writer(log)
        return log

    async def _find(self, task_id: str) -> TaskFolder:
        own = self.home.task(task_id)
        if self.elsewhere is None or own.root.is_dir():
            return own
        return await self.elsewhere.find(task_id) or own

    def tails(self) -> list[Tail]:
        return [log.tail for log in self._logs.values()]

    def _on_change(self, task_id: str) -> None:
        log = self._logs.get(task_id)
        if log is None:
            return
        before = log.tail.count
        try:
            change = log.tail.poll()
        except OSError:
            change = Change.NOTHING  # unreadable for now; the tick tries again
        self.events_read += max(0, log.tail.count - before)
        if change is Change.NOTHING:
            return
        log.grew_at = time.monotonic()
        _say_change(log.tail, change, len(log.watchers))
        if change is Change.GONE:
            self._drop(task_id)
        elif change is Change.REPLACED:
            for watcher in tuple(log.watchers):
                watcher.void(log.tail)
        else:
            self._publish(log)
        if change in (Change.MORE, Change.REPLACED):
            asyncio.get_running_loop().call_soon(self._on_change, task_id)
        self._wake(log)

    def _publish(self, log: _Log) -> None:
        self._fan_out(log.tail, SharedBatch(log.tail), tuple(log.watchers), 0)

    def _fan_out(
        self, tail: Tail, shared: SharedBatch, watchers: tuple[Subscriber, ...], begin: int
    ) -> None:
        """Push to some, then let the loop turn: uvloop before 0.23 sends only then."""
        for watcher in watchers[begin : begin + AT_ONCE]:
            watcher.push(tail, shared)
        if begin + AT_ONCE < len(watchers):
            loop = asyncio.get_running_loop()
            loop.call_soon(self._fan_out, tail, shared, watchers, begin + AT_ONCE)

    def _wake(self, log: _Log) -> None:
        for future in log.waiting:
            if not future.done():
                future.set_result(None)
        log.waiting.clear()

    def _drop(self, task_id: str) -> None:
        """The task was deleted."""
        log = self._logs.pop(task_id)
        log.stop_listening()
        for watcher in tuple(log.watchers):
            watcher.bury(log.tail, log.tail.snapshot.deletion())  # it ends, if this was its last
        log.tail.close()

    def _check_writer(self, log: _Log) -> None:
        """Tell a run whose writer is gone without a terminal event."""
        snapshot = log.tail.snapshot
        if not snapshot.last_seq or log.tail.is_over or snapshot.state == "interrupted":
            return
        if is_running(log.tail.folder):
            return
        self._on_change(log.tail.task_id)  # its last words may have come just before it let go
        if log.tail.snapshot is snapshot and not log.tail.is_over:
            snapshot.interrupt()
            for watcher in tuple(log.watchers):
                watcher.resume()
            self._wake(log)

    # Watchers

    def join(self, watcher: Subscriber, tail: Tail, after: int | None) -> None:
        """Let it watch this log from behind event `after` (None: from a snapshot of now)."""
        log = self._logs.get(tail.task_id)
        if log is None or log.tail is not tail:  # deleted since it was opened
            watcher.bury(tail, tail.snapshot.deletion())
            return
        watcher.begin(tail, after)
        log.watchers[watcher] = None
        logger.debug("%s: watched from %s on by a %s", tail.task_id, after, type(watcher).__name__)

    def part(self, watcher: Subscriber, tail: Tail) -> None:
        watcher.forget(tail)
        if log := self._logs.get(tail.task_id):
            log.watchers.pop(watcher, None)
            log.used_at = time.monotonic()

    def attend(self, watcher: Subscriber, *, wants_all: bool = False) -> None:
        """Heartbeats from now on, until it is dismissed in a `finally`."""
        every = watcher.beat_seconds or self.limits.heartbeat_seconds
        beats = self._beats.setdefault(every, [{} for _ in range(every)])
        min(beats, key=len)[watcher] = None
        if wants_all:
            self._everything.add(watcher)

    def dismiss(self, watcher: Subscriber) -> None:
        """Leave nothing of it behind."""
        for beat in self._beats.get(watcher.beat_seconds or self.limits.heartbeat_seconds, ()):
            beat.pop(watcher, None)
        self._everything.discard(watcher)
        for tail in tuple(watcher.positions):
            self.part(watcher, tail)
        watcher.release()
        self.cuts += watcher.was_cut
        logger.debug(
            "a %s has %s", type(watcher).__name__, "been cut" if watcher.was_cut else "gone"
        )

    @property
    def watcher_count(self) -> int:
        return sum(1 for _ in self.watchers())

    def watchers(self) -> Iterator[Subscriber]:
        """Everybody who is here."""
        return (watcher for beats in self._beats.values() for beat in beats for watcher in beat)

    async def news(self, tail: Tail, after: int, seconds: float) -> None:
        """Wait until the log has something behind `after`, or its run has ended."""
        log = self._logs.get(tail.task_id)
        if log is None or self._is_closing or tail.last_seq > after or tail.is_over:
            return
        future = asyncio.get_running_loop().create_future()
        log.waiting.add(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            pass
        finally:
            log.waiting.discard(future)

    def _look_for_tasks(self) -> None:
        """A folder came or went."""
        for task_id in [name for name in self._expected if self.home.task(name).root.is_dir()]:
            self._arrive(task_id)
        if not self._everything:
            return
        names = set(os.listdir(self.home.tasks))  # noqa: PTH208  # ten times iterdir's speed
        for name in names - self._names:
            asyncio.get_running_loop().create_task(self.welcome(name, is_news=True))
        self._names = names

    def _arrive(self, task_id: str) -> None:
        for future in self._expected.get(task_id, ()):
            if not future.done():
                future.set_result(None)

    def greet(self, task_id: str) -> None:
        """A task of elsewhere is new, or runs again."""
        self._arrive(task_id)
        if self._everything:
            asyncio.get_running_loop().create_task(self.welcome(task_id, is_news=True))

    def reach(self, task_id: str, *, is_reachable: bool) -> None:
        """The machine of a task of elsewhere has gone out of reach, or is back."""
        if log := self._logs.get(task_id):
            log.tail.is_reachable = is_reachable
            for watcher in log.watchers:
                watcher.tell(log.tail, "heartbeat", log.tail.pulse())
            self._wake(log)

    async def welcome(self, task_id: str, *, is_news: bool = False) -> None:
        """Show a task that is new, or runs again, to those who want all; with `is_news` also when
        it has ended meanwhile."""
        with contextlib.suppress(UnknownTask):
            tail = await self.open(task_id)
            if tail.is_over and not is_news:
                return
            for watcher in tuple(self._everything):
                if tail not in watcher.positions:
                    self.join(watcher, tail, tail.resumed_after)
                    watcher.resume()

    @property
    def is_asked_for_all(self) -> bool:
        return bool(self._everything)

    # Time

    async def _tick(self) -> None:
        self.loop = asyncio.get_running_loop()
        second = 0
        while True:
            await asyncio.sleep(1.0)
            for every, beats in self._beats.items():
                for watcher in tuple(beats[second % every]):
                    watcher.beat()
            second += 1
            self._tidy(time.monotonic())

    def _tidy(self, now: float) -> None:
        unused = sorted(
            (log.used_at, task_id)
            for task_id, log in self._logs.items()
            if not log.watchers and not log.waiting
        )
        crowd = len(self._logs) - self.limits.open_logs
        for place, (used_at, task_id) in enumerate(unused):
            if now - used_at > self.limits.idle_seconds or place < crowd:
                log = self._logs.pop(task_id)
                log.stop_listening()
                log.tail.close()
        for task_id, log in tuple(self._logs.items()):
            self._on_change(task_id)  # should a notice have been lost
            if now - log.grew_at > self.limits.silent_seconds:
                self._check_writer(log)

    async def close(self) -> None:
        """Send everybody home, with a hint when to come back."""
        self._is_closing = True
        for log in self._logs.values():
            self._wake(log)
        leaving = [watcher for watcher in self.watchers() if not watcher.is_closed]
        await asyncio.gather(*(watcher.end("stopping") for watcher in leaving))


def _say_change(tail: Tail, change: Change, watchers: int) -> None:
    last = tail.snapshot
    logger.debug(
        "%s: %s up to event %d, %r %r at %.1f %%, for %d watchers",
        *(tail.task_id, change.name.lower(), last.last_seq, last.last_type, last.stage),
        *(last.most, watchers),
    )
