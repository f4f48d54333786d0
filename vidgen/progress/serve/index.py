"""The tasks of the store, newest first, without opening more of them than are asked for; batches.

Blocking work: call it in a thread. What a task's log says in detail is `tail`'s business.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from heapq import heappop, heapreplace
from operator import itemgetter
from typing import Any, Final, Protocol

from vidgen.events import OVER, seconds_of, timestamp
from vidgen.paths import Home
from vidgen.progress.fanout.tail import epoch_of
from vidgen.progress.forecast.batch import BatchForecast, FilmSize
from vidgen.progress.snapshot import brief_of
from vidgen.progress.store.batches import BatchFilm, batch_ids, load_batch
from vidgen.progress.store.runs import Summary, is_task_id, order_title, summarise, title

PICTURES: Final = {  # ending of a preview's file → media type
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
RECENT: Final = 200  # a living run writes every 2 s, so it is among these
MOST_BATCHES: Final = 100  # in their list
LOOK_BACK: Final = 2000  # tasks searched for an epoch


class Elsewhere(Protocol):
    """Runs of other machines in short: `brief_of`'s fields, `began`, `title`, `host` and
    `is_reachable`."""

    def brief(self, task_id: str) -> Mapping[str, Any] | None: ...

    def briefs(self) -> Sequence[Mapping[str, Any]]: ...


class RunIndex:
    """Remembers what it has read of a log until the log changes."""

    def __init__(self, home: Home, elsewhere: Elsewhere | None = None) -> None:
        self._home = home
        self._elsewhere = elsewhere
        self._known: dict[str, tuple[int, Summary | None]] = {}  # id → (mtime ns, summary)
        self._asked: dict[str, tuple[str, str]] = {}  # id → (title, batch id)
        self._pictures: dict[str, tuple[int, str]] = {}  # id → (mtime ns, newest preview)
        self._lock = threading.Lock()

    def newest(self) -> list[tuple[int, str]]:
        """(when last written, nanoseconds; task id) of every task, newest first."""
        try:
            names = os.listdir(self._home.tasks)  # noqa: PTH208  # ten times iterdir's speed
        except FileNotFoundError:
            names = []
        root = str(self._home.tasks)
        written = ((_write_time(f"{root}/{name}"), name) for name in names if is_task_id(name))
        found = [(at, name) for at, name in written if at]
        if self._elsewhere:
            found += [
                (int(seconds_of(str(brief["updated"])) * 1e9), str(brief["task_id"]))
                for brief in self._elsewhere.briefs()
            ]
        return sorted(found, reverse=True)

    def brief_elsewhere(self, task_id: str) -> Mapping[str, Any]:
        """A run of another machine in short; {} for all others."""
        return (self._elsewhere.brief(task_id) if self._elsewhere else None) or {}

    def page(
        self, offset: int, limit: int, search: str = "", states: Sequence[str] = ()
    ) -> tuple[int, list[dict[str, Any]]]:
        """How many tasks there are, and a page of them in short: those in one of the `states`, if
        any are named, that have every word of `search` in what is told of them."""
        newest, words = self.newest(), search.casefold().split()
        if words or states:
            briefs = [self._brief(task_id, written) for written, task_id in newest]
            found = [brief for brief in briefs if _matches(brief, words, states)]
            return len(found), found[offset : offset + limit]
        return len(newest), [
            self._brief(task_id, written) for written, task_id in newest[offset : offset + limit]
        ]

    def running(self) -> list[str]:
        """The tasks that are being worked on, oldest first."""
        recent = self.newest()[:RECENT]
        return [name for at, name in recent if self._standing(name, at)[0] == "running"][::-1]

    def tasks_since(self, moment: str) -> list[str]:
        """Recent tasks whose first event is later than `moment` (RFC 3339), oldest first."""
        recent = self.newest()[:RECENT]
        return [name for at, name in recent if self._standing(name, at)[1] > moment][::-1]

    def _standing(self, task_id: str, written: int) -> tuple[str, str]:
        """(state, time of the first event) of a task; empty while it has none."""
        if brief := self.brief_elsewhere(task_id):
            return str(brief["state"]), str(brief["began"])
        summary = self._summary(task_id, written)
        return (summary.state, summary.began) if summary else ("", "")

    def with_epochs(self, wanted: set[str]) -> dict[str, str]:
        """epoch → task id, as far as they are found."""
        found: dict[str, str] = {}
        for written, task_id in self.newest()[:LOOK_BACK]:
            if len(found) == len(wanted):
                break
            began = self._standing(task_id, written)[1]
            epoch = epoch_of(task_id, began) if began else ""
            if epoch in wanted:
                found[epoch] = task_id
        return found

    def title(self, task_id: str) -> str:
        """What the task is called; "" when nobody knows yet."""
        if brief := self.brief_elsewhere(task_id):
            return str(brief["title"])
        summary = summarise(self._home.task(task_id))
        return self._names(summary)[0] if summary else order_title(self._home.task(task_id))

    def batches(self) -> list[dict[str, Any]]:
        """Every batch of this machine without its films, the newest first."""
        labelled = self._labelled()
        found = []
        for name in dict.fromkeys([*batch_ids(self._home), *labelled]):
            films = self._films(name, labelled.get(name, {}))
            whole = aggregate(films) | {
                "updated": max((str(film["updated"]) for film in films), default="")
            }
            found.append({"batch_id": name, **{k: v for k, v in whole.items() if k != "tasks"}})
        return sorted(found, key=lambda batch: batch["updated"], reverse=True)[:MOST_BATCHES]

    def batch(self, batch_id: str) -> list[dict[str, Any]]:
        """The tasks of one batch in short, in the order in which they were asked for; those that
        nobody has begun are `queued`, or `interrupted` when nobody will."""
        return self._films(batch_id, self._labelled().get(batch_id, {}))

    def _films(self, batch_id: str, labelled: dict[str, int]) -> list[dict[str, Any]]:
        record = load_batch(self._home, batch_id)
        if record is None:
            return [self._brief(task_id, written) for task_id, written in labelled.items()]
        found = []
        for film in record.films:
            folder = str(self._home.task(film.task_id).root)
            written = labelled.pop(film.task_id, 0) or _write_time(folder)
            if written:
                found.append(self._brief(film.task_id, written))
            else:
                found.append(_unbegun(film, is_alive=record.is_alive))
        return [self._brief(task_id, written) for task_id, written in labelled.items()] + found

    def batch_eta(self, batch_id: str, tasks: Sequence[Mapping[str, Any]]) -> float | None:
        """Seconds until the last of the batch's `tasks` is there; None when nobody knows."""
        record = load_batch(self._home, batch_id)
        if record is None or not record.is_alive:
            return None
        sizes = [FilmSize(film.task_id, film.voice_seconds) for film in record.films]
        forecast = BatchForecast(sizes, (), record.places)
        known = {film.task_id for film in record.films}
        mine = [task for task in tasks if task["task_id"] in known]
        ends = [0.0] * record.places  # of each place's last film; the next may have begun before it
        over = sorted(_times(mine, "complete"), key=itemgetter(2))
        for number, (task_id, began, ended) in enumerate(over):
            is_first = number < record.places
            forecast.end(task_id, ended - max(began, heapreplace(ends, ended)), is_first=is_first)
        running = sorted(_times(mine, "running"), key=itemgetter(1))
        later = [task_id for task_id, *_ in running[record.places :]]
        now = time.time()
        since = {
            task_id: now - max(began, heappop(ends))
            for task_id, began, _ in running[: record.places]
        }
        waiting = later + [str(task["task_id"]) for task in mine if task["state"] == "queued"]
        told = forecast.remaining(waiting, since)
        planned = [film.seconds for film in record.films if film.task_id in waiting]
        if told is None and None not in planned:  # none is there yet: as it was planned
            return sum(seconds or 0.0 for seconds in planned) / record.places
        return told

    def _labelled(self) -> dict[str, dict[str, int]]:
        """batch → task id → when last written, of all tasks that say they belong to one, oldest
        first."""
        found: dict[str, dict[str, int]] = {}
        for written, task_id in reversed(self.newest()):
            summary = None if self.brief_elsewhere(task_id) else self._summary(task_id, written)
            if summary and (batch_id := self._names(summary)[1]):
                found.setdefault(batch_id, {})[task_id] = written
        return found

    def _brief(self, task_id: str, written: int) -> dict[str, Any]:
        if brief := self.brief_elsewhere(task_id):
            return dict(brief)
        summary = self._summary(task_id, written)
        if summary is None:
            return {"task_id": task_id, "state": "queued", "stage": "queued", "progress": 0.0,
                    "message": "", "message_code": "", "eta_seconds": None,
                    "time_progress": None, "began": "",
                    "updated": _moment(written), "last_seq": 0,
                    "title": order_title(self._home.task(task_id))}  # fmt: skip
        name, batch_id = self._names(summary)
        about = {"task_id": task_id, "began": summary.began, "title": name, "batch_id": batch_id}
        if picture := self._picture(task_id, written):
            about["preview"] = picture
        brief = about | brief_of(summary.last) | {"state": summary.state}
        is_failed = summary.state == "failed"
        return brief | {"metadata": summary.last.data.get("metadata") or {}} if is_failed else brief

    def _picture(self, task_id: str, written: int) -> str:
        """The name of the newest preview's file; "" while there is none."""
        known = self._pictures.get(task_id)
        if known is None or known[0] != written:
            known = written, _newest_picture(f"{self._home.tasks}/{task_id}/previews")
            self._pictures[task_id] = known
        return known[1]

    def _names(self, summary: Summary) -> tuple[str, str]:
        known = self._asked.get(summary.task_id)
        if known is None:
            request = summary.request()
            known = title(request), str(request.get("batch_id", ""))
            if request:  # it is written a moment after the first event, and never changed
                self._asked[summary.task_id] = known
        return known

    def _summary(self, task_id: str, written: int) -> Summary | None:
        known = self._known.get(task_id)
        if known and known[0] == written and (known[1] is None or known[1].state != "running"):
            return known[1]
        summary = summarise(self._home.task(task_id))
        with self._lock:
            self._known[task_id] = (written, summary)
        return summary


def aggregate(tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts by state, the mean progress (an ended run counts as done), and the tasks.

    `tasks` are briefs (`Snapshot.brief`). `state` is running while any of them is, else the
    worst of their ends.
    """
    states = Counter(str(task["state"]) for task in tasks)
    done = [100.0 if task["state"] in OVER else float(task["progress"]) for task in tasks]
    return {
        "total": len(tasks),
        "states": dict(states),
        "state": _state(states),
        "progress": round(sum(done) / len(done), 2) if done else 0.0,
        "tasks": list(tasks),
    }


def _matches(brief: Mapping[str, Any], words: Sequence[str], states: Sequence[str]) -> bool:
    told = (str(brief.get(key, "")) for key in ("title", "message", "batch_id", "host"))
    text, name = "\n".join(told).casefold(), str(brief["task_id"]).casefold()
    is_in_state = not states or brief["state"] in states
    return is_in_state and all(word in text or name.startswith(word) for word in words)


def _newest_picture(folder: str) -> str:
    try:
        with os.scandir(folder) as entries:
            found = [
                (entry.stat(follow_symlinks=False).st_mtime_ns, entry.name)
                for entry in entries
                if os.path.splitext(entry.name)[1].lower() in PICTURES  # noqa: PTH122  # 500 at once
            ]
    except OSError:
        return ""
    return max(found, default=(0, ""))[1]


def _write_time(folder: str) -> int:
    """When the log, or without one the folder, was last written; 0 when there is no folder."""
    try:
        return os.stat(folder + "/events.jsonl").st_mtime_ns  # noqa: PTH116  # 10,000 Paths cost 60 ms
    except OSError:
        try:
            return os.stat(folder + "/.").st_mtime_ns  # noqa: PTH116  # no file that lies about
        except OSError:
            return 0


def _times(tasks: Sequence[Mapping[str, Any]], state: str) -> list[tuple[str, float, float]]:
    """Id, begin and last event, in seconds, of the tasks in that state."""
    return [
        (str(task["task_id"]), seconds_of(str(task["began"])), seconds_of(str(task["updated"])))
        for task in tasks
        if task["state"] == state
    ]


def _unbegun(film: BatchFilm, *, is_alive: bool) -> dict[str, Any]:
    """A brief of a film that has no folder yet."""
    state = "queued" if is_alive else "interrupted"
    return {"task_id": film.task_id, "state": state, "stage": "queued", "progress": 0.0,
            "message": "", "message_code": "", "eta_seconds": film.seconds, "began": "",
            "updated": "", "last_seq": 0, "title": film.title}  # fmt: skip


def _moment(nanoseconds: int) -> str:
    return timestamp(datetime.fromtimestamp(nanoseconds / 1e9, UTC))


def _state(states: Mapping[str, int]) -> str:
    for state in ("running", "queued", "failed", "interrupted", "cancelled", "complete"):
        if states.get(state):
            return state
    return "queued"
