"""What every kind of source has: its runs in short, their copies here, and whether it is there.

How the events come is the kinds' business (`server`, `redis`).
"""

import asyncio
import hashlib
import re
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from vidgen.events import Envelope
from vidgen.progress.snapshot import brief_of, number
from vidgen.progress.sources.copies import Copies

Brief = Mapping[str, Any]
Link = Literal["connecting", "connected", "down"]
LONGEST_ID: Final = 128
LISTED: Final = 2000  # of a source's runs, the newest
_TEXTS: Final = (
    *("state", "stage", "message", "message_code", "began", "updated", "title"),
    *("preview", "batch_id"),
)
_NUMBERS: Final = ("eta_seconds", "time_progress")


class SourceDown(Exception):  # noqa: N818  # what happened to it; mended by trying again
    """The source cannot answer now."""


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """A film or a picture on its way from its source: HTTP's status, headers, and the bytes."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Desk:
    """What a source has of the server: the copies, names that no two runs share, and who hears.

    `claim` gives a run's id here, "" when another source has told of it first.
    """

    copies: Copies
    claim: Callable[["Source", str], str]
    on_task: Callable[[str], None]  # a run is new here, or runs again
    on_link: Callable[["Source"], None]


class Source(ABC):
    """One place that tells of runs. Everything runs in the server's event loop; `briefs` may be
    read from any thread."""

    def __init__(self, host: str, desk: Desk) -> None:
        self.host = host
        self.desk = desk
        self.briefs: dict[str, Brief] = {}  # id here → as in a list of tasks
        self.own_ids: dict[str, str] = {}  # id here → id at home
        self.link: Link = "connecting"
        self.detail = ""
        self.since = time.time()

    @abstractmethod
    async def run(self) -> None:
        """Take in what it tells, for ever; a source that is down is tried again."""

    @abstractmethod
    async def fetch(self, task_id: str) -> None:
        """Copy a run of an own id, if there is one. Raises SourceDown."""

    @abstractmethod
    def open_file(
        self, own_id: str, name: str, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[FileAnswer | None]:
        """A run's `video` or `previews/NAME`; None without one. Raises SourceDown."""

    async def batch(self, batch_id: str) -> Mapping[str, Any]:  # noqa: ARG002  # most know none
        """Its films of a batch, and the seconds left, as its server tells them."""
        return {}

    def about(self) -> dict[str, Any]:
        """How it is, for the API."""
        return {
            "host": self.host,
            "state": self.link,
            "detail": self.detail,
            "since": self.since,
            "tasks": len(self.briefs),
        }

    def set_link(self, link: Link, detail: str = "") -> None:
        if link == "connecting" or (link == self.link and detail == self.detail):
            return
        is_news = link != self.link
        self.link, self.detail = link, detail
        if is_news:
            self.since = time.time()
            for task_id, brief in tuple(self.briefs.items()):
                self.briefs[task_id] = self._sign(brief)
            self.desk.on_link(self)

    def keep_alive(self) -> None:
        """Runs that nobody has seen ending are not over."""
        for task_id in self.briefs:
            self.desk.copies.keep_alive(task_id)

    # Runs

    def know(self, own_id: str) -> str:
        """The id here of a run of this source; "" when it is another's."""
        shown = self.desk.claim(self, own_id)
        if shown:
            self.own_ids[shown] = own_id
        return shown

    def list_brief(self, shown: str, told: Brief) -> None:
        """A line of the source's list."""
        brief: dict[str, Any] = {name: _text(told.get(name)) for name in _TEXTS}
        brief |= {name: number(told.get(name)) for name in _NUMBERS}
        brief["progress"] = number(told.get("progress")) or 0.0
        brief["last_seq"] = int(number(told.get("last_seq")) or 0)
        brief["host"] = _text(told.get("host")) or self.host
        self._keep(shown, brief)

    def forget(self, shown: str) -> None:
        """The run was deleted there."""
        self.desk.copies.remove(shown)
        self.briefs.pop(shown, None)
        self.own_ids.pop(shown, None)

    def accept(self, shown: str, events: Sequence[Envelope], *, is_whole: bool = False) -> bool:
        """Copy what is new of these events of an own run; False when some before are missing."""
        renamed = [_rename(event, shown) for event in events]
        copy = self.desk.copies.get(shown)
        seen = copy.last_seq if copy else 0
        is_at_work = self.briefs.get(shown, {}).get("state") == "running"
        if not self.desk.copies.append(shown, renamed, is_whole=is_whole):
            return False
        last = renamed[-1]
        self._advance(shown, last)
        if last.is_terminal and last.seq > seen and not is_at_work:
            self.desk.on_task(shown)  # it began and ended in one go
        return True

    def replace(self, shown: str, events: Sequence[Envelope]) -> None:
        """Copy a whole log anew."""
        self.desk.copies.replace(shown, [_rename(event, shown) for event in events])
        self._advance(shown, events[-1])

    def interrupt(self, shown: str) -> None:
        self.desk.copies.leave(shown)
        if brief := self.briefs.get(shown):
            self.briefs[shown] = {**brief, "state": "interrupted"}

    def _advance(self, shown: str, last: Envelope) -> None:
        before = self.briefs.get(shown, {})
        if last.seq >= before.get("last_seq", 0):
            copy = self.desk.copies.get(shown)
            began = copy.began if copy else last.timestamp
            base = {"title": "", "host": self.host, **before, "began": began}
            self._keep(shown, base | brief_of(last))

    def _keep(self, shown: str, brief: Brief) -> None:
        before = self.briefs.get(shown, {}).get("state")
        self.briefs[shown] = self._sign({**brief, "task_id": shown})
        if brief["state"] == "running" and before != "running":
            self.desk.on_task(shown)

    def _sign(self, brief: Brief) -> Brief:
        return {**brief, "is_reachable": self.link == "connected"}


async def end_tasks(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel them until they end: a client that is just timing out may swallow it once."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=0.2)
        for task in done:
            if not task.cancelled():
                task.exception()  # whoever ends them knows


def label_of(host: str) -> str:
    """What stands before an id that somebody else may have, too."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", host).strip("-")[:40] or "source"


def shown_id(label: str, own_id: str) -> str:
    """A task's id here when somebody else may have the same one."""
    shown = f"{label}.{own_id}"
    if len(shown) <= LONGEST_ID:
        return shown
    return f"{label}.{hashlib.sha256(own_id.encode()).hexdigest()}"


def is_unique(task_id: str) -> bool:
    """Whether no other run anywhere can have this id."""
    try:
        return str(uuid.UUID(task_id)) == task_id
    except ValueError:
        return False


def _rename(event: Envelope, shown: str) -> Envelope:
    """The event under the id that the run has here, with the addresses of its files."""
    if event.task_id == shown:
        return event
    before, now = f"/api/tasks/{event.task_id}/", f"/api/tasks/{shown}/"
    urls = {
        name: value.replace(before, now, 1)
        for name in ("url", "video_url")
        if isinstance(value := event.data.get(name), str) and value.startswith(before)
    }
    return replace(event, task_id=shown, data={**event.data, **urls})


def _text(value: object) -> str:
    return value[:4096] if isinstance(value, str) else ""
