"""Another machine's `vidgen serve-progress` as a source: its stream of all runs, its list, its
files. Goes on where it was after every cut, with the stream's own cursor.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import httpx
import orjson

from vidgen.events import Envelope
from vidgen.progress.fanout.tail import epoch_of
from vidgen.progress.sources.address import SourceAddress
from vidgen.progress.sources.source import LISTED, Desk, FileAnswer, Source, SourceDown, end_tasks
from vidgen.progress.store.runs import is_task_id
from vidgen.progress.watch.sse import SseDecoder
from vidgen.progress.watch.timing import USUAL, Timing

LIST_SECONDS: Final = 15.0  # between two looks at a list; what runs is told by the stream
PAGE: Final = 500
_NOTES: Final = frozenset({"interrupted", "deleted", "reset"})
_UNSTORED: Final = frozenset({"heartbeat", "connected", "subscribed"})
_PASSED: Final = ("content-type", "content-length", "content-range", "accept-ranges", "etag",
                  "last-modified")  # fmt: skip
_ASKED: Final = ("range", "if-range", "if-none-match", "if-modified-since")


class ServerSource(Source):
    """One server. `timing`, `every` (seconds between two lists) and `chance` are for tests."""

    def __init__(
        self,
        address: SourceAddress,
        desk: Desk,
        client: httpx.AsyncClient,
        *,
        timing: Timing = USUAL,
        every: float = LIST_SECONDS,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(address.host, desk)
        self._address = address
        self._client = client
        self._timing = timing
        self._every = every
        self._chance = chance
        self._cursor = ""  # of the stream of all runs
        self._filling = asyncio.Lock()
        self._headers = {"Accept-Encoding": "identity"}
        if address.token:
            self._headers["Authorization"] = f"Bearer {address.token}"

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                await self._list()
                failures = 0
                self.set_link("connected")
                await self._follow()
            except _TROUBLES as error:
                self.set_link("down", _plain(error))
            self.keep_alive()
            most = min(self._timing.longest_wait, self._timing.first_wait * 2 ** min(failures, 10))
            failures += 1
            await asyncio.sleep(most * self._chance())

    async def _follow(self) -> None:
        """The stream, and the list now and then, until one of them breaks."""
        listing = asyncio.create_task(self._list_always())
        streaming = asyncio.create_task(self._stream())
        try:
            done, _ = await asyncio.wait((listing, streaming), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end_tasks((listing, streaming))

    # The list

    async def _list_always(self) -> None:
        while True:
            await asyncio.sleep(self._every * (0.5 + self._chance()))  # never all at once
            await self._list()
            self.keep_alive()

    async def _list(self) -> None:
        """Every run in short; copies that fell behind go on, those of deleted runs go."""
        found: dict[str, Any] = {}
        is_all = False
        while len(found) < LISTED and not is_all:
            params = {"limit": str(PAGE), "offset": str(len(found))}
            page = await self._json("/api/tasks", params)
            tasks = [task for task in page["tasks"] if is_task_id(str(task["task_id"]))]
            is_all = len(page["tasks"]) < PAGE
            for task in tasks:
                if shown := self.know(str(task["task_id"])):
                    found[shown] = task
                    self.list_brief(shown, task)
        if is_all:
            for shown in self.briefs.keys() - found.keys():
                self.forget(shown)
        for shown, brief in found.items():
            copy = self.desk.copies.get(shown)
            if copy and brief["state"] != "running":  # what runs is told by the stream
                if (copy.began, copy.last_seq) != (brief["began"], brief["last_seq"]):
                    await self._fill(shown)
                if brief["state"] == "interrupted":
                    self.interrupt(shown)

    # The stream

    async def _stream(self) -> None:
        headers = {**self._headers, "Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._cursor:
            headers["Last-Event-ID"] = self._cursor
        url, decoder = f"{self._address.url}/api/sse/progress?v=1", SseDecoder()
        async with self._client.stream("GET", url, headers=headers) as answer:
            _check(answer)
            async for chunk in answer.aiter_raw():
                told = [(Envelope.from_wire(e.data), e.last_event_id) for e in decoder.feed(chunk)]
                for key, group in itertools.groupby(told, lambda pair: _kind(pair[0])):
                    events, cursors = zip(*group, strict=True)
                    await self._take(*key, events)
                    self._cursor = next(filter(None, reversed(cursors)), self._cursor)
        raise SourceDown("the stream ended")

    async def _take(self, task_id: str, kind: str, events: Sequence[Envelope]) -> None:
        """Events of one task and one kind, as they came one after another."""
        if kind in _UNSTORED or not is_task_id(task_id):
            return
        shown = self.know(task_id)
        if not shown:
            return
        if kind == "interrupted":
            self.interrupt(shown)
        elif kind == "deleted":
            self.forget(shown)
        elif kind == "reset" or not self.accept(shown, events):
            await self._fill(shown)

    # Whole logs

    async def fetch(self, task_id: str) -> None:
        shown = self.know(task_id)
        if shown and self.desk.copies.get(shown) is None:
            try:
                await self._fill(shown)
            except _TROUBLES as error:
                raise SourceDown(_plain(error)) from error

    async def _fill(self, shown: str) -> None:
        """Bring a copy up to its log, from wherever it is."""
        async with self._filling:
            own_id = self.own_ids[shown]
            while copy := self.desk.copies.get(shown):
                after = f"{epoch_of(own_id, copy.began)}-{copy.last_seq}"
                data = await self._json(f"/api/tasks/{own_id}/events", {"after": after})
                if data is None or data["reset"] is not None:
                    break
                if events := _envelopes(data["events"]):
                    self.accept(shown, events, is_whole=True)
                if not data["more"]:
                    return
            data = await self._json(f"/api/ws/progress/{own_id}/history")
            if data is None:
                self.forget(shown)
            elif events := _envelopes(data["events"]):
                self.replace(shown, events)

    async def _json(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """None for what is not there. Raises SourceDown, or one of httpx's errors."""
        url, body = self._address.url + path, bytearray()
        async with self._client.stream("GET", url, params=params, headers=self._headers) as answer:
            if answer.status_code == 404:
                return None
            _check(answer)
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > self._timing.most_bytes:
                    raise SourceDown("an answer is longer than any of vidgen's")
        return orjson.loads(bytes(body))

    async def batch(self, batch_id: str) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(self._timing.connect):
                data = await self._json(f"/api/batches/{batch_id}") or {}
            return {"eta_seconds": data.get("eta_seconds"), "tasks": [
                (shown, task) for task in data.get("tasks", ())
                if is_task_id(str(task["task_id"])) and (shown := self.know(str(task["task_id"])))
            ]}  # fmt: skip
        except (*_TROUBLES, TimeoutError):
            return {}

    # Files

    @contextlib.asynccontextmanager
    async def open_file(
        self, own_id: str, name: str, headers: Mapping[str, str]
    ) -> AsyncIterator[FileAnswer | None]:
        asked = {key: headers[key] for key in _ASKED if key in headers}
        url = f"{self._address.url}/api/tasks/{own_id}/{quote(name)}"
        try:
            async with self._client.stream(
                "GET", url, headers={**self._headers, **asked}
            ) as answer:
                if answer.status_code not in (200, 206, 304, 416):
                    yield None
                    return
                kept = {key: answer.headers[key] for key in _PASSED if key in answer.headers}
                yield FileAnswer(answer.status_code, kept, answer.aiter_raw())
        except httpx.TransportError as error:
            raise SourceDown(_plain(error)) from error


# What a broken line, or a server that is none of vidgen's, makes of an answer.
_TROUBLES: Final = (
    httpx.HTTPError,
    httpx.StreamError,
    SourceDown,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OSError,
)


def _kind(event: Envelope) -> tuple[str, str]:
    """The task, and what is not stored by name; "" is of the log."""
    is_stored = event.event_type not in _UNSTORED | _NOTES
    return event.task_id, "" if is_stored else event.event_type


def _check(answer: httpx.Response) -> None:
    if answer.status_code == 401:
        raise SourceDown("it asks for a token")
    if answer.status_code != 200:
        raise SourceDown(f"HTTP {answer.status_code}")


def _envelopes(values: Sequence[Any]) -> list[Envelope]:
    return [Envelope.from_wire(orjson.dumps(value)) for value in values]


def _plain(error: BaseException) -> str:
    """A line's trouble in some words."""
    if isinstance(error, SourceDown | httpx.TransportError) and str(error):
        return str(error)
    if isinstance(error, httpx.TransportError | OSError):
        return type(error).__name__
    return "it answers with what no server of vidgen says"
