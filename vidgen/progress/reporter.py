"""Let any Python program be watched: its stages and progress, told into the store.

    with Reporter(["download", "train", "upload"], title="nightly") as report:
        with report.stage("download"):
            report.progress(3, 10, "files")

What watches it is the same as for a run of vidgen: the server, the page, `vidgen watch`.
"""

import contextlib
import hashlib
import os
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import orjson

from vidgen.errors import InputError, VidgenError
from vidgen.events import (
    Completed,
    Envelope,
    Failed,
    Level,
    Log,
    Preview,
    RunCancelled,
    Sink,
    StageEnded,
    StageProgress,
    StageStarted,
    Status,
)
from vidgen.files import atomic_write, identity, make_private
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.publisher import publish_run
from vidgen.progress.sampler import Sampler
from vidgen.progress.snapshot import Snapshot
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.reader import iter_events
from vidgen.progress.store.runs import is_task_id
from vidgen.progress.wire import Estimate

LAST: Final = 99.0  # percent when all stages are done; the last one is the end's
WHOLE: Final = (0.0, 100.0)


class Reporter:
    """A context manager that writes one run's log.

    `stages` are names in order, or name → weight: how much of the bar each fills; without any,
    each stage's own share is the whole run's. Leaving the `with` completes the run; an exception
    fails it, a Ctrl-C cancels it, and both go on. With `is_part` another process goes on behind
    this one, and leaving the `with` ends nothing. Runs of one `batch_id` are told together.
    `estimate` foretells the time that is left.
    `resources` are seconds between two looks at what this process uses; 0 is none. `about` is
    kept in request.json.
    `publish` is the address of a Redis or Valkey that is told of the run, else VIDGEN_PUBLISH's.
    `views` hear every event too, `vidgen.progress.views.choose` for example.

    Raises InputError for an id that cannot be one (`check_id`), and when it is entered for a run
    that is complete already. A run that failed or was left is taken up where it was.
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
        resources: float = 0.0,
        is_part: bool = False,
        estimate: Estimate | None = None,
        about: Mapping[str, Any] | None = None,
        publish: str | None = None,
    ) -> None:
        self.task_id = check_id(task_id) if task_id else str(uuid.uuid4())
        self._home = home or Home.default()
        self._folder = self._home.task(self.task_id)
        self._publish = os.environ.get("VIDGEN_PUBLISH", "") if publish is None else publish
        self._shares = shares(stages) if stages else {}
        self._is_free = not stages
        names = {"title": title, "batch_id": batch_id, "stages": list(self._shares)}
        self._about = {**(about or {}), **names, "task_id": self.task_id}
        self._views = views
        self._samples = resources
        self._is_part = is_part
        self._estimate = estimate
        self._snapshot = Snapshot(self.task_id)
        self._stage = ""
        self._share = 0.0
        self._is_over = False
        self._began = self._stage_began = datetime.now(UTC)
        self._stack = contextlib.ExitStack()
        self._emit: Broadcast

    def __enter__(self) -> "Reporter":
        make_private(self._folder.previews)
        with self._stack:
            publishing = publish_run(self._publish, self._home)
            self._views = [*self._views, *self._stack.enter_context(publishing)]
            log = self._stack.enter_context(TaskLog(self._folder))
            if log.last and log.last.event_type == "complete":
                raise _already_complete(self.task_id)
            self._begin(log)
            if self._samples:
                self._stack.enter_context(Sampler(self._emit, every=self._samples))
            self._stack = self._stack.pop_all()
        return self

    def _begin(self, log: TaskLog) -> None:
        for event in iter_events(self._folder.events):
            self._snapshot.take(event)
        if log.last is None or not self._folder.request.exists():
            atomic_write(self._folder.request, orjson.dumps(self._about))
        self._folder.between.unlink(missing_ok=True)
        if self._snapshot.state == "running":
            self._stage = self._snapshot.stage
        self._emit = Broadcast(
            self.task_id,
            [self._hear, *self._views],
            log=log,
            floor=self._snapshot.most,
            stage=self._stage,
            shares=self._shares,
            estimate=self._estimate,
        )

    def _hear(self, event: Envelope) -> None:
        self._snapshot.take(event)
        self._is_over = event.is_terminal

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if self._is_over:
                return
            if error is None:
                self._leave()
            elif isinstance(error, KeyboardInterrupt):
                self._emit(RunCancelled())
            else:
                self._emit(_failure(error))

    def _leave(self) -> None:
        if self._is_part:
            self._emit.flush()
            self._folder.between.touch()
        else:
            self.complete()

    @property
    def is_over(self) -> bool:
        """Whether its end was told."""
        return self._is_over

    @contextlib.contextmanager
    def stage(self, name: str, message: str = "") -> Iterator[None]:
        """A stage lasts as long as its `with`. `message` is what watchers read."""
        self._start(name, message)
        yield
        self.end_stage()

    def begin(
        self, name: str, message: str = "", metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Begin a stage, unless it is the one that is on already; the one before it ends."""
        if name != self._stage:
            self.end_stage()
            self._start(name, message, metadata)

    def _start(self, name: str, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        self._stage, self._share = name, 0.0
        self._stage_began = datetime.now(UTC)
        if self._is_free:
            self._shares[name] = WHOLE
        self._emit(StageStarted(name, **_free_text(message or name, metadata)))

    def end_stage(
        self,
        status: Status = "completed",
        message: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """End the stage that is on, if one is."""
        if not self._stage:
            return
        name, self._stage = self._stage, ""
        if self._is_free:  # it ends where it is: only `complete` is the end of the bar
            self._shares[name] = (100.0 * self._share, 100.0 * self._share)
        seconds = (datetime.now(UTC) - self._stage_began).total_seconds()
        said = _free_text(message or name, metadata)
        self._emit(StageEnded(name, seconds, status, **said))

    def progress(
        self,
        done: float,
        total: float,
        unit: str = "",
        message: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """How far the stage is. As often as you like: ten a second reach the watchers."""
        stage = self._stage or "work"
        if self._is_free:
            self._shares.setdefault(stage, WHOLE)
        event = StageProgress(stage, done, total, unit, **_free_text(message or stage, metadata))
        self._share = event.share
        self._emit(event)

    def log(self, message: str, level: Level = "INFO") -> None:
        """A sentence that a person should read."""
        self._emit(Log(level, **_free_text(message)))

    def preview(self, file: Path, name: str) -> None:
        """A picture of what is being made: a JPEG, PNG or WebP file, which is copied."""
        from PIL import Image

        with Image.open(file) as picture:
            width, height = picture.size
        kept = self._folder.previews / f"{name.replace('_', '-')}{file.suffix.lower()}"
        content = file.read_bytes()
        atomic_write(kept, content)
        digest = hashlib.sha256(content).hexdigest()
        self._emit(Preview(kept.stem, str(kept), width, height, digest, len(content)))

    def error(
        self,
        message: str,
        *,
        code: str = "error",
        hint: str = "",
        is_retryable: bool = False,
        retry_count: int = 0,
        max_retries: int = 0,
        details: Mapping[str, Any] | None = None,
        stage: str = "",
    ) -> None:
        """The run has failed; nothing more can be told, unless it is tried again."""
        retries = is_retryable, retry_count, max_retries
        self._emit(Failed(message, code, hint, *retries, details or {}, stage=stage))

    def complete(
        self,
        result: str | Mapping[str, Any] = "",
        message: str = "",
        **metadata: Any,
    ) -> None:
        """The run is done. `result` is the path of a film that watchers can play, or a dictionary
        of what was made: its `video_url` is told as it is. The second time it does nothing."""
        if self._is_over and self._snapshot.state == "complete":
            return
        seconds = (datetime.now(UTC) - self._began).total_seconds()
        path, made = ("", result) if isinstance(result, Mapping) else (result, {})
        file = identity(Path(path)) if path else []
        said = _free_text(message, metadata) if message else {"metadata": metadata}
        self._emit(Completed(path, seconds, result=dict(made), video_file=file, **said))

    def get_status(self) -> dict[str, Any]:
        """What a watcher would see now (`GET /api/tasks/{id}`)."""
        return self._snapshot.to_wire()


def check_id(task_id: str) -> str:
    """The id, if a task can be called so. Raises InputError."""
    if is_task_id(task_id):
        return task_id
    raise InputError(
        "{task} cannot be the id of a task.",
        hint="Use up to 128 letters, digits, dots, - and _, without a dot at either end.",
        code="report.bad_id",
        task=repr(task_id)[:80],
    )


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


def _free_text(message: str, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A program's own words go through the catalogue's one sentence with nothing but a place."""
    return {"code": "page.said", "metadata": {**(metadata or {}), "text": message}}


def _already_complete(task_id: str) -> InputError:
    return InputError(
        "The task {task} is complete already.",
        hint="Report another run under an id of its own.",
        code="report.complete",
        task=task_id,
    )


def _failure(error: BaseException) -> Failed:
    if isinstance(error, VidgenError):
        retries = error.retry_count, error.max_retries
        return Failed(error.message, error.code, error.hint, error.is_retryable, *retries)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f"{last[0].name}:{last[0].lineno}" if last else ""
    name = type(error).__name__
    text = str(error).splitlines()[0][:500] if str(error) else ""
    return Failed(f"{name}: {text}" if text else name, "bug", details={"where": where})
