"""`ProgressTracker` of system 001 over our own `Reporter`: tasks made of a template's stages.

    tracker = await get_progress_tracker()
    async with ProgressContext(tracker, "task-123", "stable-diffusion-xl", "image_generation") as c:
        callback = c.get_callback()
        await callback("execution_progress", {"step": 15, "total_steps": 30})

What watches it is the same as for a run of vidgen; the times come from `predictor`.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final

from vidgen.events import Event, Status
from vidgen.paths import Home
from vidgen.progress.fronts.predictor import EtaPredictor
from vidgen.progress.reporter import Reporter, check_id
from vidgen.progress.serve.dialects import tracker
from vidgen.progress.snapshot import Snapshot
from vidgen.progress.store.reader import iter_events
from vidgen.progress.wire import Eta

Callback = Callable[[str, Mapping[str, Any]], Awaitable[None]]
PREVIEW_AT: Final = (25, 50, 75)  # percent of a stage
log = logging.getLogger(__name__)


class StageStatus(StrEnum):
    """How a stage is."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a template; `weight` is how much of the bar it fills."""

    name: str
    label: str
    weight: float = 1.0


class StageManager:
    """Which stages a template has: its own, those of its category, or one."""

    _templates: ClassVar[dict[str, tuple[Stage, ...]]] = {}
    _categories: ClassVar[Mapping[str, tuple[Stage, ...]]] = {
        "image_generation": (
            Stage("queue", "Waiting in queue", weight=0.05),
            Stage("model_loading", "Loading models", weight=0.15),
            Stage("generation", "Generating image", weight=0.70),
            Stage("post_processing", "Post-processing", weight=0.10),
        ),
        "video_generation": (
            Stage("queue", "Waiting in queue", weight=0.02),
            Stage("model_loading", "Loading models", weight=0.08),
            Stage("frame_generation", "Generating frames", weight=0.80),
            Stage("video_encoding", "Encoding video", weight=0.10),
        ),
    }

    @classmethod
    def register_template_stages(cls, template_id: str, stages: Sequence[Stage]) -> None:
        """Give a template stages of its own. Raises ValueError for names that repeat."""
        if not stages or len({stage.name for stage in stages}) < len(stages):
            raise ValueError("a template needs stages of different names")
        cls._templates[template_id] = tuple(stages)

    @classmethod
    def stages(cls, template_id: str, category: str = "") -> tuple[Stage, ...]:
        one = (Stage("execution", "Working"),)
        return cls._templates.get(template_id) or cls._categories.get(category) or one


class ProgressTracker:
    """Tracks any number of tasks of this process. Raises InputError for a wrong id."""

    def __init__(self, *, home: Home | None = None, preview_at: Sequence[int] = PREVIEW_AT) -> None:
        self.home = home or Home.default()
        self.predictor = EtaPredictor(self.home)
        self._preview_at = preview_at
        self._tasks: dict[str, _Task] = {}

    async def create_task_progress(
        self, task_id: str, template_id: str, template_category: str = "", *, title: str = ""
    ) -> dict[str, Any]:
        """Begin a task; its `TaskProgress`."""
        task = _Task(self, task_id, template_id, template_category, title or template_id)
        self._tasks[task_id] = task
        return task.progress()

    async def update_stage(
        self,
        task_id: str,
        stage: int,
        status: StageStatus = StageStatus.IN_PROGRESS,
        progress: float = 0.0,
        message: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """How far a stage, counted from 0, is: `progress` 0–1. What is invalid is logged and
        passed over, and answered by None."""
        task = self._tasks.get(task_id)
        if task is None or not 0 <= stage < len(task.stages):
            log.warning("no task %s with a stage %s", task_id, stage)
            return None
        task.update(stage, StageStatus(status), progress, message, metadata)
        return task.progress()

    async def add_preview(self, task_id: str, path: str | Path, percent: int) -> None:
        """Show a picture; the task goes on without it when that fails."""
        if task := self._tasks.get(task_id):
            task.show(Path(path), percent)

    async def complete_task(
        self, task_id: str, result: Mapping[str, Any] | None = None, message: str = ""
    ) -> None:
        if task := self._tasks.pop(task_id, None):
            task.complete(result or {}, message)

    async def fail_task(self, task_id: str, error: str) -> None:
        if task := self._tasks.pop(task_id, None):
            task.fail(error)

    async def get_task_progress(self, task_id: str) -> dict[str, Any] | None:
        """The `TaskProgress` of a task of this process or another; None when there is none."""
        if task_id in self._tasks:
            return self._tasks[task_id].progress()
        snapshot = Snapshot(check_id(task_id))
        for event in iter_events(self.home.task(task_id).events):
            snapshot.take(event)
        return tracker.task_progress(snapshot.to_wire()) if snapshot.last_seq else None

    async def close(self) -> None:
        """Let go of tasks that have not ended; another process may go on with them."""
        for task_id in tuple(self._tasks):
            self._tasks.pop(task_id).leave()

    def task(self, task_id: str) -> "_Task":
        return self._tasks[task_id]

    def previews_at(self) -> Sequence[int]:
        return self._preview_at


class ProgressContext:
    """A task for as long as an `async with`: completed at its end, failed by an exception."""

    def __init__(
        self,
        tracker: ProgressTracker,
        task_id: str,
        template_id: str,
        template_category: str = "",
    ) -> None:
        self._tracker = tracker
        self._task_id = task_id
        self._template = template_id, template_category

    async def __aenter__(self) -> "ProgressContext":
        await self._tracker.create_task_progress(self._task_id, *self._template)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self._tracker.complete_task(self._task_id)
        else:
            await self._tracker.fail_task(self._task_id, str(error) or type(error).__name__)

    def get_callback(self) -> Callback:
        """For whoever does the work: `execution_progress` is about the heaviest stage, a stage's
        own name about that one; anything else is logged and passed over."""
        task = self._tracker.task(self._task_id)

        async def callback(kind: str, data: Mapping[str, Any]) -> None:
            task.hear(kind, data, self._tracker.previews_at())

        return callback


class _Task:
    """One task that is open in this process."""

    def __init__(
        self,
        owner: ProgressTracker,
        task_id: str,
        template_id: str,
        category: str,
        title: str,
    ) -> None:
        self.stages = StageManager.stages(template_id, category)
        self._template_id = template_id
        self._predictor = owner.predictor
        self._shown: set[int] = set()
        self._stage = -1
        self._report = Reporter(
            {stage.name: stage.weight for stage in self.stages},
            title=title,
            task_id=task_id,
            home=owner.home,
            is_part=True,
            estimate=self._estimate,
            about={"template_id": template_id, "template_category": category},
        )
        self._report.__enter__()
        self.update(0, StageStatus.IN_PROGRESS, 0.0, "", None)

    def progress(self) -> dict[str, Any]:
        plan = {"plan": [stage.name for stage in self.stages], "template_id": self._template_id}
        return tracker.task_progress({**self._report.get_status(), **plan})

    def update(
        self,
        number: int,
        status: StageStatus,
        share: float,
        message: str,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        stage = self.stages[number]
        if status is StageStatus.PENDING:
            return
        if number != self._stage:
            self._stage = number
            self._report.begin(stage.name, stage.label)
        if status is StageStatus.IN_PROGRESS:
            if share or message:
                self._report.progress(share, 1.0, "", message or stage.label, metadata)
        elif status is StageStatus.FAILED:
            self._report.error(message or f"{stage.label} failed", code="task.failed")
        else:
            how: Status = "skipped" if status is StageStatus.SKIPPED else "completed"
            self._report.end_stage(how, message or stage.label, metadata)

    def hear(self, kind: str, data: Mapping[str, Any], preview_at: Sequence[int]) -> None:
        names = [stage.name for stage in self.stages]
        heaviest = max(range(len(names)), key=lambda number: self.stages[number].weight)
        number = names.index(kind) if kind in names else heaviest
        step, total = data.get("step"), data.get("total_steps")
        if kind not in (*names, "execution_progress") or not isinstance(step, int | float):
            log.warning("a task's callback was told something unknown: %s", kind)
            return
        share = step / total if isinstance(total, int | float) and total > 0 else 0.0
        message = str(data.get("message", "")) or f"Step {step}/{total}"
        self.update(number, StageStatus.IN_PROGRESS, share, message, None)
        due = [percent for percent in preview_at if percent <= 100 * share]
        if data.get("preview_path") and due:
            self.show(Path(str(data["preview_path"])), due[-1])

    def show(self, file: Path, percent: int) -> None:
        if percent in self._shown:
            return
        self._shown.add(percent)
        try:
            self._report.preview(file, str(percent))
        except (OSError, ValueError) as error:  # a watcher's picture is never worth a task
            log.warning("no preview of %s: %s", self._report.task_id, error)

    def complete(self, result: Mapping[str, Any], message: str) -> None:
        self._report.end_stage()
        self._report.complete(result, message)
        self._predictor.learn(self._template_id, self._report.get_status())
        self.leave()

    def fail(self, error: str) -> None:
        if not self._report.is_over:
            self._report.error(error, code="task.failed")
        self.leave()

    def leave(self) -> None:
        self._report.__exit__(None, None, None)

    def _estimate(self, event: Event) -> Eta | None:
        names = [stage.name for stage in self.stages]
        return self._predictor.estimate(self._template_id, names, event)


_tracker: ProgressTracker | None = None


async def get_progress_tracker() -> ProgressTracker:
    """The process's one tracker, over the user's store."""
    global _tracker  # noqa: PLW0603  # that system's applications ask for it anywhere
    if _tracker is None:
        _tracker = ProgressTracker()
    return _tracker
