"""The runs on disk in short: list them, find one by the first letters of its id, name them.

Knows no screen and no network.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from vidgen.errors import InputError
from vidgen.events import END_STATES, Envelope, State, timestamp
from vidgen.files import open_regular
from vidgen.paths import JOB_FILE, Home, TaskFolder
from vidgen.progress.store.privacy import not_ours
from vidgen.progress.store.reader import is_running, last_whole, percent

TAIL_BYTES: Final = 4096  # holds nearly every last event; a longer one costs a second read
_DESCRIPTOR: Final = re.compile(r"/dev/(fd/\d+|stdin)|/proc/\w+/fd/\d+")  # of a shell's `<(…)`
HEAD_BYTES: Final = 512  # holds the first event's time


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in short, from both ends of its log. Times are RFC 3339, UTC."""

    root: str  # the run's folder; 10,000 Paths would cost more than reading the logs
    state: State
    began: str
    last: Envelope

    @property
    def folder(self) -> TaskFolder:
        return TaskFolder(Path(self.root))

    @property
    def task_id(self) -> str:
        return os.path.basename(self.root)  # noqa: PTH119  # see above

    @property
    def stage(self) -> str:
        """The stage it is in, or ended in."""
        data = self.last.data
        return str(data.get("failed_stage") or data.get("cancelled_stage") or data.get("stage", ""))

    @property
    def progress(self) -> float:
        return percent(self.last)

    def request(self) -> Mapping[str, Any]:
        """What was asked (request.json); {} when it cannot be read."""
        try:
            with os.fdopen(open_regular(self.folder.request), "rb") as file:
                value = orjson.loads(file.read())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}


def list_runs(home: Home) -> list[Summary]:
    """Every run that has at least one event, newest first."""
    tasks = str(home.tasks)
    found = (_summary(f"{tasks}{os.sep}{name}") for name in task_names(home))
    return sorted((s for s in found if s), key=lambda s: (s.began, s.root), reverse=True)


def find_run(home: Home, prefix: str) -> TaskFolder:
    """The one run whose id begins with `prefix`; "last" is the newest.

    Raises InputError when there is none, or several.
    """
    if prefix == "last":
        newest = list_runs(home)
        # A clock that stood in the future once must not make its run the last one for ever.
        now = timestamp()
        past = [run for run in newest if run.began <= now] or newest
        names = [past[0].task_id] if past else []
    else:
        names = sorted(name for name in task_names(home) if prefix and name.startswith(prefix))
    if prefix in names:
        names = [prefix]
    if not names:
        raise InputError(
            "There is no run {task}.",
            hint="`vidgen history` lists the runs; the first letters of an id are enough.",
            code="history.unknown",
            task=prefix,
        )
    if len(names) > 1:
        listing = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        raise InputError(
            "{count} runs begin with {task}: {names}.",
            hint="Write more letters of the id.",
            code="history.ambiguous",
            count=len(names),
            task=prefix,
            names=listing,
        )
    return home.task(names[0])


def find_film(folder: TaskFolder) -> Path:
    """Where the run's film is. Raises InputError when there is none, or not any more."""
    summary = summarise(folder)
    if summary is None or summary.state != "complete":
        raise InputError(
            "The run {task} has no film yet.",
            hint="`vidgen history {task}` tells what is left to do.",
            code="history.no_film",
            task=folder.task_id[:8],
        )
    path = str(summary.last.data.get("video_path", ""))
    if not path:
        raise InputError(
            "The run {task} is of another program and made no film.",
            hint="`vidgen history {task}` tells what it did.",
            code="history.filmless",
            task=folder.task_id[:8],
        )
    film = Path(path)
    if not film.is_file():
        raise InputError(
            "The film of the run {task} is not at {path} any more.",
            hint="It was moved or removed; `vidgen run` makes it again.",
            code="history.film_gone",
            task=folder.task_id[:8],
            path=str(film),
        )
    return film


def summarise(folder: TaskFolder) -> Summary | None:
    """One run in short; None when its log holds no event."""
    return _summary(str(folder.root))


def _summary(root: str) -> Summary | None:
    try:
        fd = open_regular(f"{root}{os.sep}events.jsonl")
    except OSError:
        return None
    try:
        head = os.read(fd, HEAD_BYTES)
        _, last = last_whole(fd, TAIL_BYTES)
        state = END_STATES.get(last.event_type) if last else None
        if last and state is None:
            state = "running"
            if not is_running(TaskFolder(Path(root))):
                # It may have ended since the line above: nothing is written after a no.
                last = last_whole(fd, TAIL_BYTES)[1] or last
                state = END_STATES.get(last.event_type, "interrupted")
    finally:
        os.close(fd)
    if last is None or state is None:
        return None
    return Summary(root, state, _time_in(head) or last.timestamp, last)


def check_incomplete(folder: TaskFolder) -> None:
    """Raises InputError when its film is made; `details` has its path and seconds taken."""
    summary = summarise(folder)
    if summary is not None and summary.state == "complete":
        raise InputError(
            "The run {task} is complete: {path}",
            hint="Another film of the same inputs: vidgen run, with another --seed perhaps.",
            code="resume.complete",
            task=folder.task_id[:8],
            path=str(summary.last.data.get("video_path", "")),
            took=summary.last.data.get("duration_seconds", 0.0),
        )


def task_names(home: Home) -> list[str]:
    """The folders of the store; none when there is no store. Raises SetupError for another's."""
    try:
        return os.listdir(home.tasks)  # noqa: PTH208  # iterdir makes 10,000 Paths for it
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise not_ours(home, error) from error


def _time_in(head: bytes) -> str:
    """The first event's time, without parsing the whole of it."""
    _, found, rest = head.partition(b'"timestamp":"')
    return rest.partition(b'"')[0].decode("ascii", "replace") if found else ""


_TASK_ID: Final = re.compile(r"[A-Za-z0-9_-]([A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?")


def is_task_id(text: str) -> bool:
    """Whether a task can be called so: a UUID as vidgen makes it, or what a program chose.

    Nothing else names a folder of the store: no way leads out of it, and none is hidden.
    """
    return _TASK_ID.fullmatch(text) is not None and text != "last"  # the newest, for commands


def title(request: Mapping[str, Any]) -> str:
    """What the run is called, or the names of its photo and voice without their folders."""
    inputs = request.get("inputs")
    names = list(_file_names(inputs)) if isinstance(inputs, dict) else []
    return str(request.get("title", "")) or " + ".join(names)


def order_title(folder: TaskFolder) -> str:
    """What an order is called that waits for its run; "" when none does."""
    try:
        order = orjson.loads((folder.root / JOB_FILE).read_bytes())
        return title({"inputs": {key: {"path": order[key]} for key in ("photo", "voice")}})
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _file_names(inputs: dict[str, Any]) -> Iterator[str]:
    for key in ("photo", "voice"):
        value = inputs.get(key)
        if isinstance(value, dict) and isinstance(value.get("path"), str):
            yield file_title(value["path"])


def file_title(path: str) -> str:
    """How people know an input: its name without its folders, or where it came from."""
    if path == "-":
        return "stdin"
    return "pipe" if _DESCRIPTOR.match(path) else re.split(r"[/\\]", path)[-1]
