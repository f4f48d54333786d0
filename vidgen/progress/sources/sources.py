"""All sources of a server as one: every run once, under an id that no other has."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from vidgen.paths import Home, TaskFolder
from vidgen.progress.fanout.hub import OutOfReach
from vidgen.progress.sources import redis_keys
from vidgen.progress.sources.address import SourceAddress
from vidgen.progress.sources.copies import Copies, open_copies
from vidgen.progress.sources.redis import RedisSource
from vidgen.progress.sources.source import (
    Desk,
    FileAnswer,
    Source,
    SourceDown,
    end_tasks,
    is_unique,
    label_of,
    shown_id,
)
from vidgen.progress.watch.timing import USUAL, Timing

if TYPE_CHECKING:  # a server without sources does not load it
    import httpx

FIRST_SECONDS: Final = 3.0  # a question about an unknown run waits so long for the first lists

OnTask = Callable[[str], None]
OnLink = Callable[[str, str, str], None]  # host, link, detail


class OnReach(Protocol):
    """Hears that a run's machine is out of reach, or there again."""

    def __call__(self, task_id: str, /, *, is_reachable: bool) -> None: ...


class Sources:
    """What the server asks about runs of other machines. `timing` is for tests."""

    def __init__(
        self,
        home: Home,
        addresses: Sequence[SourceAddress],
        on_link: OnLink = lambda *_: None,
        timing: Timing = USUAL,
        every: float = 15.0,
    ) -> None:
        self._home = home
        self._addresses = addresses
        self._on_link = on_link
        self._timing = timing
        self._every = every
        self._owners: dict[str, Source] = {}
        self._labels: dict[Source, str] = {}
        self._on_reach: OnReach = lambda _, *, is_reachable: None  # noqa: ARG005
        self._copies: Copies
        self.all: list[Source] = []

    @contextlib.asynccontextmanager
    async def running(self, on_task: OnTask, on_reach: OnReach) -> AsyncIterator[None]:
        """Follow all; `on_task` hears of runs that are new, or run again, `on_reach` of each run
        whose machine goes out of reach or comes back."""
        self._on_reach = on_reach
        async with contextlib.AsyncExitStack() as stack:
            self._copies = stack.enter_context(open_copies(self._home))
            if self._addresses:
                client = await stack.enter_async_context(_open_client(self._timing))
                desk = Desk(self._copies, self._claim, on_task, self._tell_link)
                for address in self._addresses:
                    source = self._make(address, desk, client)
                    self._labels[source] = self._label(source.host)
                    self.all.append(source)
            working = [asyncio.create_task(_keep_running(source)) for source in self.all]
            try:
                yield
            finally:
                await end_tasks(working)

    def _make(self, address: SourceAddress, desk: Desk, client: "httpx.AsyncClient") -> Source:
        from vidgen.progress.sources.server import ServerSource

        if redis_keys.is_redis(address.url):
            return RedisSource(address, desk, timing=self._timing, every=self._every)
        return ServerSource(address, desk, client, timing=self._timing, every=self._every)

    def _tell_link(self, source: Source) -> None:
        self._on_link(source.host, source.link, source.detail)
        for task_id in source.briefs:
            self._on_reach(task_id, is_reachable=source.link == "connected")

    def _label(self, host: str) -> str:
        label = label_of(host)
        return label if label not in self._labels.values() else f"{label}-{len(self._labels)}"

    def _claim(self, source: Source, own_id: str) -> str:
        """A UUID is its run's everywhere; any other id may be several's, and gets its host's name.

        A run that several sources tell of is the one's that told first.
        """
        shown = own_id if is_unique(own_id) else shown_id(self._labels[source], own_id)
        owner = self._owners.get(shown)
        if owner is None and not self._home.task(shown).root.is_dir():
            owner = self._owners[shown] = source
        return shown if owner is source else ""  # else our own store's, or another source's

    # What the server asks

    def brief(self, task_id: str) -> Mapping[str, Any] | None:
        """A run in short; from any thread."""
        owner = self._owners.get(task_id)
        return owner.briefs.get(task_id) if owner else None

    def briefs(self) -> list[Mapping[str, Any]]:
        """All runs in short; from any thread."""
        return [brief for source in self.all for brief in tuple(source.briefs.values())]

    def is_reachable(self, task_id: str) -> bool | None:
        """Whether the run's machine is there now; None for this machine's."""
        brief = self.brief(task_id)
        return bool(brief["is_reachable"]) if brief else None

    def about(self) -> list[dict[str, Any]]:
        return [source.about() for source in self.all]

    async def find(self, task_id: str) -> TaskFolder | None:
        """The copy of a run, made now if need be; None when no source has it.

        Raises OutOfReach when its source, or one that may have it, is not there.
        """
        owner = self._owners.get(task_id) or await self._wait_for_lists(task_id)
        if owner is None or task_id not in owner.own_ids:
            return None
        if self._copies.get(task_id) is None:
            try:
                await owner.fetch(owner.own_ids[task_id])
            except SourceDown as down:
                raise OutOfReach(f"{owner.host}, {down}") from down
        copy = self._copies.get(task_id)
        return copy.folder if copy else None

    async def _wait_for_lists(self, task_id: str) -> Source | None:
        deadline = asyncio.get_running_loop().time() + FIRST_SECONDS
        while any(source.link == "connecting" for source in self.all):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.02)
        owner = self._owners.get(task_id)
        away = [source.host for source in self.all if source.link != "connected"]
        if owner is None and away:
            raise OutOfReach(", ".join(away))
        return owner

    @contextlib.asynccontextmanager
    async def open_file(
        self, task_id: str, name: str, headers: Mapping[str, str]
    ) -> AsyncIterator[FileAnswer | None]:
        """A run's film or picture at its source. Raises SourceDown."""
        owner = self._owners[task_id]
        async with owner.open_file(owner.own_ids[task_id], name, headers) as answer:
            yield answer

    async def batch(self, batch_id: str) -> tuple[list[Mapping[str, Any]], list[float]]:
        """Films of a batch at all sources, and the seconds that each says are left."""
        found: list[Mapping[str, Any]] = []
        left: list[float] = []
        connected = [source for source in self.all if source.link == "connected"]
        for source, told in zip(
            connected, await asyncio.gather(*(s.batch(batch_id) for s in connected)), strict=True
        ):
            for shown, task in told.get("tasks", ()):
                source.list_brief(shown, task)
                found.append(source.briefs[shown])
            if isinstance(told.get("eta_seconds"), int | float):
                left.append(float(told["eta_seconds"]))
        return found, left


def _open_client(timing: Timing) -> "httpx.AsyncClient":
    import httpx

    timeout = httpx.Timeout(timing.connect, read=timing.silence)
    # Anew each time: on a dead line the connections kept for later are dead, too.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(timeout=timeout, limits=limits)


async def _keep_running(source: Source) -> None:
    """A bug in one source must not end the server."""
    while True:
        try:
            await source.run()
        except Exception:
            logging.getLogger("vidgen").exception("source %s", source.host)
            source.set_link("down", "a bug")
            await asyncio.sleep(1.0)
