"""Let any Python program be watched: its stages and progress, told into the store.

    with Reporter(["download", "train", "upload"], title="nightly") as report:
        with report.stage("download"):
            report.progress(3, 10, "files")

What watches it is the same as for a run of vidgen: the server, the page, `vidgen watch`.
"""

import contextlib
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import orjson

from vidgen.errors import VidgenError
from vidgen.events import (
    Completed,
    Failed,
    Level,
    Log,
    RunCancelled,
    Sink,
    StageEnded,
    StageProgress,
    StageStarted,
    Status,
)
from vidgen.files import atomic_write, make_private
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.snapshot import Snapshot
from vidgen.progress.store.log import TaskLog

LAST: Final = 99.0  # percent when all stages are done; the last one is the end's


class Reporter:
    """A context manager that writes one run's log.

    `stages` are names in order, or name → weight: how much of the bar each fills. Leaving the
    `with` completes the run; an exception fails it, a Ctrl-C cancels it, and both go on.
    Runs of one `batch_id` are told together.
    `views` hear every event too, `vidgen.progress.views.choose` for example.
    """

    def __init__(
        self,
        stages: Sequence[str] | Mapping[str, float] = ("work",),
        *,
        title: str = "",
        task_id: str = "",
        batch_id: str = "",
        home: Home | None = None,
        views: Sequence[Sink] = (),
    ) -> None:
        self.task_id = task_id or str(uuid.uuid4())
        self._folder = (home or Home.default()).task(self.task_id)
        self._shares = shares(stages)
        self._title = title
        self._batch_id = batch_id
        self._views = views
        self._snapshot = Snapshot(self.task_id)
        self._stage = ""
        self._began = datetime.now(UTC)
        self._stack = contextlib.ExitStack()
        self._emit: Broadcast

    def __enter__(self) -> "Reporter":
        make_private(self._folder.previews)
        said = {
            "task_id": self.task_id,
            "title": self._title,
            "batch_id": self._batch_id,
            "stages": list(self._shares),
        }
        atomic_write(self._folder.request, orjson.dumps(said))
        log = self._stack.enter_context(TaskLog(self._folder))
        views = [self._snapshot.take, *self._views]
        self._emit = Broadcast(self.task_id, views, log=log, shares=self._shares)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if self._snapshot.end:
                return
            if error is None:
                self.complete()
            elif isinstance(error, KeyboardInterrupt):
                self._emit(RunCancelled())
            else:
                self._emit(_failure(error))

    @contextlib.contextmanager
    def stage(self, name: str, message: str = "") -> Iterator[None]:
        """A stage lasts as long as its `with`. `message` is what watchers read."""
        began = datetime.now(UTC)
        self._stage = name
        self._emit(StageStarted(name, **_free_text(message or name)))
        yield
        self._end_stage(name, began, "completed")

    def _end_stage(self, name: str, began: datetime, status: Status) -> None:
        seconds = (datetime.now(UTC) - began).total_seconds()
        self._emit(StageEnded(name, seconds, status, **_free_text(name)))

    def progress(self, done: float, total: float, unit: str = "", message: str = "") -> None:
        """How far the stage is. As often as you like: ten a second reach the watchers."""
        self._emit(
            StageProgress(self._stage, done, total, unit, **_free_text(message or self._stage))
        )

    def log(self, message: str, level: Level = "INFO") -> None:
        """A sentence that a person should read."""
        self._emit(Log(level, **_free_text(message)))

    def error(self, message: str, *, code: str = "error", hint: str = "") -> None:
        """The run has failed; nothing more can be told."""
        self._emit(Failed(message, code, hint))

    def complete(self, result: str = "", **metadata: Any) -> None:
        """The run is done; `result` may be the path of a film that watchers can play."""
        seconds = (datetime.now(UTC) - self._began).total_seconds()
        self._emit(Completed(result, seconds, metadata))

    def get_status(self) -> dict[str, Any]:
        """What a watcher would see now (`GET /api/tasks/{id}`)."""
        return self._snapshot.to_wire()


def shares(stages: Sequence[str] | Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """stage → (first, last) percent of the bar. Raises ValueError for weights that are none."""
    weights = dict(stages) if isinstance(stages, Mapping) else dict.fromkeys(stages, 1.0)
    total = sum(weights.values())
    if not weights or total <= 0 or min(weights.values()) < 0:
        raise ValueError("stages need weights that are positive together")
    found, at = {}, 0.0
    for name, weight in weights.items():
        until = at + LAST * weight / total
        found[name] = (round(at, 3), round(until, 3))
        at = until
    return found


def _free_text(message: str) -> dict[str, Any]:
    """A program's own words go through the catalogue's one sentence with nothing but a place."""
    return {"code": "page.said", "metadata": {"text": message}}


def _failure(error: BaseException) -> Failed:
    if isinstance(error, VidgenError):
        return Failed(error.message, error.code, error.hint, error.is_retryable)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f"{last[0].name}:{last[0].lineno}" if last else ""
    name = type(error).__name__
    text = str(error).splitlines()[0][:500] if str(error) else ""
    return Failed(f"{name}: {text}" if text else name, "bug", details={"where": where})
