"""`ProgressTracker` as its document uses it."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image

from vidgen.paths import Home
from vidgen.progress.fronts.tracker import (
    ProgressContext,
    ProgressTracker,
    Stage,
    StageManager,
    StageStatus,
)
from vidgen.progress.store.reader import iter_events


@pytest.fixture
def tracker(home: Home) -> ProgressTracker:
    return ProgressTracker(home=home)


def test_a_context_tracks_a_task(tracker: ProgressTracker, tmp_path: Path) -> None:
    picture = tmp_path / "preview.png"
    Image.new("RGB", (64, 32)).save(picture)

    async def work() -> None:
        task = ProgressContext(
            tracker,
            task_id="task-123",
            template_id="stable-diffusion-xl",
            template_category="image_generation",
        )
        async with task as ctx:
            callback = ctx.get_callback()
            await callback(
                "execution_progress",
                {"step": 15, "total_steps": 30, "preview_path": str(picture)},
            )
            await callback("nonsense", {"step": None})
            middle = await tracker.get_task_progress("task-123")
            assert middle is not None
            assert (middle["status"], middle["total_stages"]) == ("executing", 4)
            assert (middle["current_stage"], middle["stages"]["2"]["progress"]) == (2, 0.5)
            assert middle["overall_progress"] == pytest.approx(54.45)
            assert middle["preview_url"] == "/api/v1/previews/task-123_50.png"

    asyncio.run(work())
    done = asyncio.run(tracker.get_task_progress("task-123"))
    assert done is not None
    assert (done["status"], done["overall_progress"]) == ("completed", 100.0)


def test_a_context_fails_with_its_work(tracker: ProgressTracker) -> None:
    async def work() -> None:
        async with ProgressContext(tracker, "t", "x"):
            raise RuntimeError("no model")

    with pytest.raises(RuntimeError):
        asyncio.run(work())
    failed = asyncio.run(tracker.get_task_progress("t"))
    assert failed is not None
    assert (failed["status"], failed["error"]) == ("failed", "no model")


def test_stages_are_updated_by_number(tracker: ProgressTracker) -> None:
    StageManager.register_template_stages(
        "my-custom-template",
        [
            Stage("preprocessing", "Preparing data", weight=0.2),
            Stage("analysis", "Analyzing content", weight=0.3),
            Stage("synthesis", "Synthesizing output", weight=0.4),
            Stage("validation", "Validating results", weight=0.1),
        ],
    )

    async def work() -> None:
        await tracker.create_task_progress("task-456", "my-custom-template")
        await tracker.update_stage("task-456", 0, StageStatus.COMPLETED)
        found = await tracker.update_stage(
            task_id="task-456",
            stage=2,
            status=StageStatus.IN_PROGRESS,
            progress=0.5,
            message="Generating frame 15/30",
        )
        assert found is not None
        assert (found["current_stage"], found["message"]) == (2, "Generating frame 15/30")
        assert found["overall_progress"] == pytest.approx(69.3)
        assert [stage["name"] for stage in found["stages"].values()] == [
            "preprocessing",
            "analysis",
            "synthesis",
            "validation",
        ]
        assert await tracker.update_stage("task-456", 9) is None
        assert await tracker.update_stage("nobody", 0) is None
        await tracker.close()

    asyncio.run(work())


def test_times_are_learnt(tracker: ProgressTracker, home: Home) -> None:
    async def work() -> None:
        for number in range(4):
            await tracker.predictor.record_completion(
                task_id=f"old-{number}",
                template_id="image",
                quality="high",
                stage_durations={0: 5.0, 1: 15.0, 2: 120.0, 3: 10.0},
                total_duration=150.0,
                resource_config={"gpu": "A100"},
            )
        begun = await tracker.create_task_progress("new", "image", "image_generation")
        await tracker.close()
        first = next(iter(iter_events(home.task("new").events)))
        ready = datetime.fromisoformat(begun["eta"])
        left = (ready - datetime.fromisoformat(first.timestamp)).total_seconds()
        assert 148 <= left <= 151

    asyncio.run(work())
