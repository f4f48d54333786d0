"""How long the stages of a template took before, and so how long a task still takes.

One JSON line a finished task, in `templates.jsonl` of the home. The time foretold is the one that
three of four tasks kept.
"""

import contextlib
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any, Final

import orjson

from vidgen.events import Event, StageEnded, StageProgress, StageStarted
from vidgen.paths import Home
from vidgen.progress.wire import Eta

MOST: Final = 200  # the newest tasks of a template that count


class EtaPredictor:
    """Learns from finished tasks; foretells from the third on."""

    def __init__(self, home: Home) -> None:
        self._file = home.root / "templates.jsonl"
        self._known: dict[str, list[Mapping[str, float]]] | None = None

    async def record_completion(
        self,
        task_id: str,
        template_id: str,
        quality: str = "",
        stage_durations: Mapping[int | str, float] | None = None,
        total_duration: float = 0.0,
        resource_config: Mapping[str, Any] | None = None,
    ) -> None:
        """Remember how long a task's stages (numbers or names) took, seconds."""
        self._record(
            {
                "task_id": task_id,
                "template_id": template_id,
                "quality": quality,
                "stages": {str(name): seconds for name, seconds in (stage_durations or {}).items()},
                "seconds": total_duration,
                "resources": dict(resource_config or {}),
            }
        )

    def learn(self, template_id: str, status: Mapping[str, Any]) -> None:
        """Remember a finished task by its snapshot."""
        took = {
            str(stage["stage"]): stage["duration_seconds"]
            for stage in status["stages"]
            if stage.get("status") == "completed" and "duration_seconds" in stage
        }
        about = {"task_id": status["task_id"], "template_id": template_id, "stages": took}
        self._record({**about, "seconds": sum(took.values())})

    def estimate(self, template_id: str, stages: Sequence[str], event: Event) -> Eta | None:
        """What is left after `event`; None when too few tasks are known."""
        if not isinstance(event, StageStarted | StageProgress | StageEnded):
            return None
        past = self._past(template_id)
        if event.stage not in stages or len(past) < 3:
            return None
        number = stages.index(event.stage)
        share = {StageStarted: 0.0, StageEnded: 1.0}.get(type(event), getattr(event, "share", 0.0))
        left = [
            self._took(took, number, stages[number]) * (1.0 - share)
            + sum(self._took(took, n, stages[n]) for n in range(number + 1, len(stages)))
            for took in past
        ]
        _, _, upper = quantiles(left, n=4, method="inclusive")
        return Eta(upper, max(left), "history")

    @staticmethod
    def _took(took: Mapping[str, float], number: int, name: str) -> float:
        return float(took.get(name, took.get(str(number), 0.0)))

    def _past(self, template_id: str) -> list[Mapping[str, float]]:
        if self._known is None:
            self._known = {}
            for line in self._lines():
                with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                    task = orjson.loads(line)
                    stages = {str(n): float(seconds) for n, seconds in task["stages"].items()}
                    self._known.setdefault(str(task["template_id"]), []).append(stages)
        return self._known.get(template_id, [])[-MOST:]

    def _lines(self) -> list[bytes]:
        try:
            return self._file.read_bytes().splitlines()
        except OSError:
            return []

    def _record(self, task: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):  # a forecast is a convenience, the task is the work
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                file.write(orjson.dumps(task) + b"\n")
        self._known = None
