"""A Redis or Valkey as a source: the runs that `publisher`s have told it of. Has events, no films.

One connection waits for news; what is new is then read from the run's own stream, behind the
last event that is here. What the stream has lost comes as a whole anew, and watchers get a reset.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from vidgen.events import Envelope
from vidgen.progress.snapshot import brief_of
from vidgen.progress.sources import redis_keys as keys
from vidgen.progress.sources.address import SourceAddress
from vidgen.progress.sources.source import LISTED, Desk, FileAnswer, Source, SourceDown
from vidgen.progress.store.runs import is_task_id
from vidgen.progress.watch.timing import USUAL, Timing

LIST_SECONDS: Final = 10.0
BLOCK_MS: Final = 5000
SOCKET_SECONDS: Final = 10.0  # longer than BLOCK_MS, or every quiet stream would be a dead one
AT_ONCE: Final = 500  # events in one answer


class RedisSource(Source):
    """One Redis. `timing`, `every` (seconds between two lists) and `chance` are for tests."""

    def __init__(
        self,
        address: SourceAddress,
        desk: Desk,
        *,
        timing: Timing = USUAL,
        every: float = LIST_SECONDS,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(address.host, desk)
        self._client = keys.connect(_Client, address.url)
        self._timing = timing
        self._every = every
        self._chance = chance
        self._filling = asyncio.Lock()
        self._listed: dict[str, float] = {}  # own id → when it was last in the list
        self._news = ""  # the last entry that was read

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                await self._begin()
                failures = 0
                self.set_link("connected")
                await self._follow()
            except (*self._client.errors, ValueError, KeyError) as error:
                self.set_link("down", str(error) or type(error).__name__)
            finally:
                # A connection that was left in a blocking read answers the next question wrongly.
                await self._client.redis.aclose()
            self.keep_alive()
            most = min(self._timing.longest_wait, self._timing.first_wait * 2 ** min(failures, 10))
            failures += 1
            await asyncio.sleep(most * self._chance())

    async def _begin(self) -> None:
        """Where news begins, then all that is there: in this order nothing falls between."""
        last = await self._client.redis.xrevrange(keys.NEWS, count=1)
        self._news = last[0][0].decode() if last else "0-0"
        await self._list()

    async def _follow(self) -> None:
        listed = time.monotonic()
        while True:
            block = max(1, min(BLOCK_MS, int(self._every * 1000)))
            found = await self._client.redis.xread({keys.NEWS: self._news}, AT_ONCE, block)
            for _, entries in found or ():
                self._news = entries[-1][0].decode()
                for own_id in dict.fromkeys(entry[b"id"].decode() for _, entry in entries):
                    await self._hear(own_id)
            if time.monotonic() - listed > self._every:
                listed = time.monotonic()
                await self._list()

    async def _hear(self, own_id: str) -> None:
        if not is_task_id(own_id) or not (shown := self.know(own_id)):
            return
        if shown not in self.briefs:
            await self._describe(shown, own_id)
        await self._fill(shown)

    # The list

    async def _list(self) -> None:
        names = await self._client.redis.zrevrange(keys.RUNS, 0, LISTED - 1)
        own_ids = [name.decode() for name in names if is_task_id(name.decode("utf-8", "replace"))]
        for own_id in own_ids:
            if shown := self.know(own_id):
                await self._describe(shown, own_id)
                if self.desk.copies.get(shown):
                    await self._fill(shown)
        self._listed |= dict.fromkeys(own_ids, time.monotonic())
        self._forget_old(time.monotonic() - keys.KEEP_SECONDS)
        self.keep_alive()

    def _forget_old(self, too_old: float) -> None:
        """A Redis that has lost what it had gets it again: only what is old is gone for good."""
        for shown, own_id in tuple(self.own_ids.items()):
            if self._listed.setdefault(own_id, time.monotonic()) < too_old:
                del self._listed[own_id]
                self.forget(shown)

    async def _describe(self, shown: str, own_id: str) -> None:
        """The run in short, by its last event and what its publisher says of it."""
        pipe = self._client.redis.pipeline(transaction=False)
        pipe.xrevrange(keys.stream_key(own_id), count=1)
        pipe.hgetall(keys.about_key(own_id))
        pipe.exists(keys.alive_key(own_id))
        last, about, is_alive = await pipe.execute()
        if not last or b"first" not in about:
            return
        said = {name.decode(): value.decode("utf-8", "replace") for name, value in about.items()}
        brief = brief_of(Envelope.from_wire(last[0][1][b"event"]))
        if brief["state"] == "running" and not is_alive:
            brief["state"] = "interrupted"
            self.desk.copies.leave(shown)
        began = Envelope.from_wire(about[b"first"]).timestamp
        self.list_brief(shown, brief | {name: said.get(name) for name in ("title", "host")}
                        | {"began": began})  # fmt: skip

    # Logs

    async def fetch(self, task_id: str) -> None:
        shown = self.know(task_id)
        if shown and self.desk.copies.get(shown) is None:
            try:
                await self._fill(shown)
            except self._client.errors as error:
                raise SourceDown(str(error)) from error

    async def _fill(self, shown: str) -> None:
        """Bring a copy up to its stream; what the stream has lost in between is lost here, too."""
        async with self._filling:
            key = keys.stream_key(self.own_ids[shown])
            while True:
                copy = self.desk.copies.get(shown)
                begin = f"({copy.last_seq}-0" if copy else "-"
                found = await self._client.redis.xrange(key, begin, count=AT_ONCE)
                events = [Envelope.from_wire(entry[b"event"]) for _, entry in found]
                if events and not self.accept(shown, events):
                    await self._replace(shown, key)
                    return
                if len(found) < AT_ONCE:
                    break
            if copy and not events:
                await self._check_log(shown, key)

    async def _check_log(self, shown: str, key: str) -> None:
        """Another log of this name may be in the stream, shorter than ours."""
        copy = self.desk.copies.get(shown)
        first = await self._first(shown)
        if first and copy and first.timestamp != copy.began:
            await self._replace(shown, key)

    async def _replace(self, shown: str, key: str) -> None:
        """All that the stream has, behind the log's first event, which names it."""
        first = await self._first(shown)
        found = await self._client.redis.xrange(key)
        events = [Envelope.from_wire(entry[b"event"]) for _, entry in found]
        if first and events:
            self.replace(shown, [first, *(event for event in events if event.seq > first.seq)])

    async def _first(self, shown: str) -> Envelope | None:
        line = await self._client.redis.hget(keys.about_key(self.own_ids[shown]), "first")
        return Envelope.from_wire(line) if line else None

    @contextlib.asynccontextmanager
    async def open_file(
        self,
        own_id: str,  # noqa: ARG002  # a Redis has none
        name: str,  # noqa: ARG002
        headers: Mapping[str, str],  # noqa: ARG002
    ) -> AsyncIterator[FileAnswer | None]:
        yield None


class _Client:
    """The client of `redis`; a new connection after each trouble."""

    def __init__(self, url: str) -> None:
        import redis
        from redis import asyncio as redis_asyncio
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self.errors = (redis.RedisError, OSError)
        self.redis: Any = redis_asyncio.Redis.from_url(
            url,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=3.0,
            health_check_interval=15,
            retry=Retry(NoBackoff(), 0),
        )
