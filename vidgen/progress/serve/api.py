"""What the server answers to plain requests: lists, snapshots, history, files, long polls.

Streams are `sse` and `websocket`; who may ask was decided by the application (`app`).
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from vidgen.events import LINE_LIMIT, OVER
from vidgen.files import open_regular
from vidgen.progress.fanout.cursor import Cursor
from vidgen.progress.fanout.hub import Hub, OutOfReach, UnknownTask
from vidgen.progress.fanout.tail import Tail
from vidgen.progress.serve.dialects import pipeline
from vidgen.progress.serve.errors import ApiError, source_refusal, storage_refusal
from vidgen.progress.serve.index import PICTURES, RunIndex, aggregate
from vidgen.progress.serve.limits import ConnectionLimit, Drain
from vidgen.progress.serve.sse import note_bytes
from vidgen.progress.sources.source import FileAnswer, SourceDown
from vidgen.progress.sources.sources import Sources
from vidgen.progress.store.runs import is_task_id
from vidgen.text import text_path

PIECE_BYTES: Final = 256 * 1024  # of a long history at a time
POLL_BYTES: Final = 1024 * 1024  # of events in one answer to a long poll
SEARCH_MOST: Final = 200  # characters
LOGS_MOST: Final = 1000
LOGS_AT_ONCE: Final = 128  # 64 KB each at most, so that one reading holds them
LEVELS: Final = {"INFO": 0, "WARNING": 1, "ERROR": 2}
FRESH: Final = {"cache-control": "private, no-cache"}  # kept, but asked about each time
FILMS: Final = {".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime"}


def answer(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


class Api:
    """The handlers. All raise ApiError for what cannot be answered."""

    def __init__(
        self,
        hub: Hub,
        listing: RunIndex,
        places: ConnectionLimit,
        visits: Drain,
        knows_all_ends: Callable[[Mapping[str, str]], bool],
        sources: Sources | None = None,
    ) -> None:
        self._hub = hub
        self._knows_all_ends = knows_all_ends  # a client, by its query
        self._listing = listing
        self._places = places
        self._visits = visits
        self._sources = sources

    async def tail(self, task_id: str) -> Tail:
        """The task's open log."""
        if not is_task_id(task_id):
            raise ApiError(400, "bad_task_id", "That cannot be the id of a task.")
        try:
            return await self._hub.open(task_id)
        except OutOfReach as away:
            raise source_refusal(away) from away
        except UnknownTask:
            raise ApiError(404, "unknown_task", "There is no such task.") from None
        except OSError as error:
            raise storage_refusal(error) from error

    async def _tail_of(self, request: Request) -> Tail:
        return await self.tail(request.path_params["task_id"])

    async def tasks(self, request: Request) -> Response:
        """A page of the list of tasks, newest first; `search` and `state` leave some out."""
        offset = _number(request, "offset", 0, least=0, most=1_000_000)
        limit = _number(request, "limit", 50, least=1, most=500)
        search, states = _wanted(request)
        total, page = await asyncio.to_thread(self._listing.page, offset, limit, search, states)
        about = {"sources": self._sources.about()} if self._sources else {}
        return answer({"total": total, "offset": offset, "tasks": page} | about)

    async def task(self, request: Request) -> Response:
        """One task: its state, stages, ETA, resources, previews, and how it ended."""
        tail = await self._tail_of(request)
        title = await asyncio.to_thread(self._listing.title, tail.task_id)
        brief = self._listing.brief_elsewhere(tail.task_id)
        where = {name: brief[name] for name in ("host", "is_reachable") if name in brief}
        return answer(tail.snapshot.to_wire() | {"epoch": tail.epoch, "title": title} | where)

    async def latest(self, request: Request) -> Response:
        """The last event. Clients that know no other end are told every bad one as an `error`."""
        tail = await self._tail_of(request)
        event = self._latest(tail, is_own=self._knows_all_ends(request.query_params))
        return _json(b'{"task_id":"%b","event":%b}' % (tail.task_id.encode(), event))

    def _latest(self, tail: Tail, *, is_own: bool) -> bytes:
        snapshot = tail.snapshot
        if not tail.count:
            return note_bytes(tail, "stage_update", snapshot.pulse())
        if snapshot.state == "interrupted":
            data = snapshot.interruption()
        elif snapshot.state == "cancelled" and not is_own:
            data = dict(snapshot.end)
        else:
            return _lines(tail, [tail.count - 1])[0]
        if is_own:
            return note_bytes(tail, "interrupted", data)
        return note_bytes(tail, "error", pipeline.ending(data, snapshot.state))

    async def history(self, request: Request) -> Response:
        """Every event, as one JSON object, sent in pieces."""
        tail = await self._tail_of(request)
        head = b'{"task_id":"%b","event_count":%d,"events":[' % (tail.task_id.encode(), tail.count)
        body = _history(tail, head)
        return StreamingResponse(body, media_type="application/json")

    async def events(self, request: Request) -> Response:
        """A long poll: the events behind `after`, waiting for one up to `wait` seconds."""
        cursor = cursor_of(request.query_params)
        wait = _number(request, "wait", 0, least=0, most=60)
        tail = await self._tail_of(request)
        place = cursor.place(tail) if cursor else 0
        if place is None or tail.size(tail.after(place)) > self._hub.limits.replay_bytes:
            return _json(_poll(tail, tail.last_seq, [], reset=tail.snapshot.to_wire()))
        if wait and tail.last_seq <= place:
            address = request.client.host if request.client else ""
            self._places.take(address)
            try:
                await self._wait(tail, place, wait, request)
            finally:
                self._places.give_back(address)
        places = tail.after(place)
        lines = _lines(tail, places, POLL_BYTES) if places else []
        last = tail.seq(places[len(lines) - 1]) if lines else place
        return _json(_poll(tail, last, lines))

    async def _wait(self, tail: Tail, place: int, seconds: float, request: Request) -> None:
        """For news, unless the other side goes first."""
        news = asyncio.ensure_future(self._hub.news(tail, place, seconds))
        gone = asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait((news, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone.done() and gone.result()["type"] == "http.request":
                await news  # that was only the end of the request's empty body
        finally:
            for waiting in (news, gone):
                waiting.cancel()

    async def logs(self, request: Request) -> Response:
        """The sentences meant for people, oldest first; the newest of too many."""
        level = request.query_params.get("level", "INFO").upper()
        if level not in LEVELS:
            raise ApiError(400, "bad_level", "`level` is INFO, WARNING or ERROR.")
        since = _number(request, "since", 0, least=0, most=1 << 50)
        tail = await self._tail_of(request)
        found = await self.log_lines(tail, since, level)
        about = {"task_id": tail.task_id, "log_count": len(found)}
        return _json(orjson.dumps(about)[:-1] + b',"logs":[' + b",".join(found) + b"]}")

    async def log_lines(self, tail: Tail, since: int, level: str) -> list[bytes]:
        """The log events behind `since`, of at least `level`; the newest of too many."""
        least, epoch = LEVELS[level], tail.epoch
        found = []
        places = tail.logs(since)[-LOGS_MOST * 10 :]
        for begin in range(0, len(places), LOGS_AT_ONCE):
            for line in _lines(
                tail, places[begin : begin + LOGS_AT_ONCE], LOGS_AT_ONCE * LINE_LIMIT
            ):
                event = orjson.loads(line)
                if LEVELS.get(str(event["data"].get("level", "INFO")), 0) >= least:
                    found.append(line)
            await asyncio.sleep(0)  # a long log must not hold up the watchers
            if tail.epoch != epoch:
                raise ApiError(404, "log_lost", "The task's log was replaced or deleted.")
        return found[-LOGS_MOST:]

    async def batch(self, request: Request) -> Response:
        """Several runs as one."""
        batch_id = request.path_params["batch_id"]
        tasks = await asyncio.to_thread(self._listing.batch, batch_id)
        others, left = await self._sources.batch(batch_id) if self._sources else ([], [])
        if not tasks and not others:
            raise ApiError(404, "unknown_batch", "There is no such batch.")
        own = await asyncio.to_thread(self._listing.batch_eta, batch_id, tasks) if tasks else None
        longest = max([*left, *([own] if own is not None else [])], default=None)
        whole = aggregate([*tasks, *others])
        return answer({"batch_id": batch_id, "eta_seconds": longest} | whole)

    async def preview(self, request: Request) -> Response:
        """A picture of what is being made."""
        tail = await self._tail_of(request)
        name = request.path_params["name"]  # as the event says it: mostly without an ending
        if self._listing.brief_elsewhere(tail.task_id) and name not in (".", ".."):
            return await self._pass(tail, f"previews/{name}", request, PICTURES.values())
        candidates = (_within(tail.folder.previews, name + end) for end in ("", *PICTURES))
        file = next(filter(None, candidates), None)
        kind = PICTURES.get(file.suffix.lower()) if file else None
        if file is None or kind is None:
            raise ApiError(404, "unknown_preview", "There is no such preview.")
        return FileResponse(file, media_type=kind, headers=FRESH)

    async def video(self, request: Request) -> Response:
        """The finished film, in ranges if asked for."""
        tail = await self._tail_of(request)
        if self._listing.brief_elsewhere(tail.task_id):
            return await self._pass(tail, "video", request, FILMS.values())
        end = tail.snapshot.end
        file = (
            text_path(str(end.get("video_path", ""))) if tail.snapshot.state == "complete" else None
        )
        kind = FILMS.get(file.suffix.lower()) if file else None
        if file is None or kind is None:
            raise ApiError(404, "no_video", "There is no finished film.")
        fd = await asyncio.to_thread(_open_film, file, end.get("video_file") or [])
        return _FilmResponse(fd, file, kind, self._visits)

    async def _pass(
        self, tail: Tail, name: str, request: Request, kinds: Iterable[str]
    ) -> Response:
        """A file of another machine, as it comes from there."""
        assert self._sources is not None
        stack = contextlib.AsyncExitStack()
        asking = self._sources.open_file(tail.task_id, name, request.headers)
        try:
            found = await stack.enter_async_context(asking)
        except SourceDown as down:
            raise source_refusal(down) from down
        kind = found.headers.get("content-type", "") if found else ""
        if found is None or (found.status in (200, 206) and kind not in kinds):
            await stack.aclose()
            raise ApiError(404, "no_file", "There is no such file.")
        headers = {**found.headers, **FRESH}
        return StreamingResponse(_chunks(found, stack), found.status, headers)


async def _chunks(found: FileAnswer, stack: contextlib.AsyncExitStack) -> AsyncIterator[bytes]:
    async with stack:
        async for chunk in found.chunks:
            yield chunk


def _open_film(file: Path, identity: Sequence[int]) -> int:
    """A descriptor of the very file that the run wrote. Raises ApiError for any other."""
    try:
        if not identity and file.is_symlink():  # a log of an earlier version
            raise ApiError(404, "no_video", "There is no finished film.")
        fd = open_regular(file)
    except (OSError, ValueError):
        raise ApiError(404, "no_video", "There is no finished film.") from None
    found = os.fstat(fd)
    if identity and [found.st_dev, found.st_ino] != list(identity):
        os.close(fd)
        raise ApiError(404, "other_video", "Another file is where the run's film was.")
    return fd


class _FilmResponse(FileResponse):
    """An open file that a server may wait for before it ends."""

    def __init__(self, fd: int, file: Path, kind: str, visits: Drain) -> None:
        # By the descriptor, where there is a name for it: the path may lead elsewhere by now.
        where = f"/proc/self/fd/{fd}" if sys.platform == "linux" else file
        super().__init__(where, media_type=kind, headers=FRESH, stat_result=os.fstat(fd))
        self._fd = fd
        self._visits = visits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._visits.fetching():
                await super().__call__(scope, receive, send)
        finally:
            os.close(self._fd)


def cursor_of(query: Mapping[str, str], last_event_id: str = "") -> Cursor | None:
    """Where to go on: the header of a reconnection before `?after=`. None: from the beginning.

    Raises ApiError for an `after` that no stream gave; a header that is none means a snapshot.
    """
    if last_event_id:
        try:
            return Cursor.parse(last_event_id)
        except ValueError:
            return Cursor()
    after = query.get("after") or query.get("last_event_id") or ""
    if not after:
        return None
    try:
        return Cursor.parse(after)
    except ValueError:
        raise ApiError(400, "bad_cursor", "`after` is not a cursor of a stream.") from None


def _wanted(request: Request) -> tuple[str, list[str]]:
    """(what to search for, the states that are wanted; none: all)."""
    search = request.query_params.get("search", "")
    states = request.query_params.getlist("state")
    if len(search) > SEARCH_MOST:
        raise ApiError(400, "bad_search", f"`search` has at most {SEARCH_MOST} characters.")
    if unknown := set(states) - {"queued", "running", *OVER}:
        raise ApiError(400, "bad_state", f"There is no state {min(unknown)[:40]!r}.")
    return search, states


def _number(request: Request, name: str, otherwise: int, *, least: int, most: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return otherwise
    is_whole = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not (is_whole and least <= int(text) <= most):
        raise ApiError(400, f"bad_{name}", f"`{name}` is a number from {least} to {most}.")
    return int(text)


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _lines(tail: Tail, places: Any, most_bytes: int = PIECE_BYTES) -> list[bytes]:
    try:
        return tail.lines(places, most_bytes)
    except OSError:
        raise ApiError(404, "log_lost", "The task's log was replaced or deleted.") from None


def _poll(tail: Tail, last: int, lines: list[bytes], reset: Any = None) -> bytes:
    about = {
        "task_id": tail.task_id,
        "cursor": f"{tail.epoch}-{last}" if tail.epoch else "",
        "state": tail.snapshot.state,
        "ended": tail.is_over and last >= tail.last_seq,
        "more": last < tail.last_seq,
        "reset": reset,
        **({} if tail.is_reachable is None else {"is_reachable": tail.is_reachable}),
    }
    return orjson.dumps(about)[:-1] + b',"events":[' + b",".join(lines) + b"]}"


async def _history(tail: Tail, head: bytes) -> AsyncIterator[bytes]:
    yield head
    at, count, epoch = 0, tail.count, tail.epoch
    while at < count and tail.epoch == epoch:
        lines = _lines(tail, range(at, count), PIECE_BYTES)
        yield (b"," if at else b"") + b",".join(lines)
        at += len(lines)
    yield b"]}"


def _within(folder: Path, name: str) -> Path | None:
    """The file of that name in the folder itself; nothing that a link or a name leads out to."""
    file = folder / name
    if file.name != name or name.startswith("."):
        return None
    try:
        real = file.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # a NUL in the name; links that lead in a circle
        return None
    return real if real.parent == folder.resolve() and real.is_file() else None
