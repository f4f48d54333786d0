"""The words of system 001, as its document has them."""

import pytest

from tests.progress.serve.dialects.runs import BEGUN, BROKEN, TASK, WHOLE, snapshot, told
from vidgen.progress.serve.dialects import tracker


def test_a_task_in_the_middle() -> None:
    found = tracker.task_progress(
        snapshot(*BEGUN, template_id="stable-diffusion-xl", eta_seconds=24)
    )
    stages = found.pop("stages")
    assert found == {
        "task_id": TASK,
        "template_id": "stable-diffusion-xl",
        "status": "executing",
        "current_stage": 1,
        "total_stages": 3,
        "overall_progress": 65.0,
        "message": "Frame 1500 of 2000",
        "eta": "2026-11-20T12:00:30Z",
        "preview_url": f"/api/v1/previews/{TASK}_rendering-25.jpg",
        "resource_usage": {
            "cpu_percent": 45.2,
            "memory_mb": 2048.0,
            "gpu_percent": 87.5,
            "gpu_memory_mb": 6144.0,
        },
        "error": None,
        "updated_at": "2026-11-20T12:00:06.000Z",
    }
    assert stages["0"] == {
        "name": "load",
        "status": "completed",
        "progress": 1.0,
        "duration": 5.2,
        "message": "Loaded",
        "metadata": {},
    }
    assert (stages["1"]["status"], stages["1"]["progress"]) == ("in_progress", 0.75)
    assert stages["1"]["message"] == "Frame 1500 of 2000"
    assert stages["2"] == {"name": "save", "status": "pending", "progress": 0.0}


def test_every_field_is_there_before_anything_happens() -> None:
    found = tracker.task_progress(snapshot())
    assert (found["status"], found["eta"], found["preview_url"]) == ("queued", None, None)
    assert set(found["resource_usage"].values()) == {None}
    assert list(found["stages"]) == ["0", "1", "2"]


def test_a_task_that_failed_and_one_that_is_done() -> None:
    failed, done = (tracker.task_progress(snapshot(*events)) for events in (BROKEN, WHOLE))
    assert (failed["status"], failed["overall_progress"]) == ("failed", 65.0)
    assert (failed["stages"]["1"]["status"], failed["error"]) == ("failed", "Out of memory")
    assert (done["status"], done["overall_progress"], done["eta"]) == ("completed", 100.0, None)


def test_an_update_is_a_whole_state() -> None:
    (message,) = tracker.stands(snapshot(*BEGUN), "")
    assert (message["type"], message["task_id"]) == ("progress.update", TASK)
    assert message["data"]["overall_progress"] == 65.0


def test_several_tasks_are_one() -> None:
    one = snapshot(*WHOLE)
    other = {**snapshot(*BEGUN), "task_id": "task-2"}
    found = tracker.batch_progress("batch-001", [one, other])
    assert (found["status"], found["total_tasks"], found["completed_tasks"]) == ("executing", 2, 1)
    assert found["overall_progress"] == 82.5
    assert found["tasks"]["task-2"]["overall_progress"] == 65.0


def test_a_line_of_the_log() -> None:
    (event,) = told(BEGUN[3])
    assert tracker.log_line(event) == {
        "timestamp": "2026-11-20T12:00:00.000Z",
        "level": "warning",
        "message": "The voice is quiet",
        "stage": "initialized",
        "seq": 1,
    }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-01-01", 1704067200.0),
        ("2024-01-01T01:00:00Z", 1704070800.0),
        ("2024-01-01T01:00:00 01:00", 1704067200.0),
    ],
)
def test_moments(text: str, seconds: float) -> None:
    assert tracker.moment(text).timestamp() == seconds


def test_names_of_previews() -> None:
    assert tracker.preview_name("task_1_rendering-50.jpg") == ("task_1", "rendering-50")
    for wrong in ("", "x", "_x.png", "x_.png"):
        with pytest.raises(ValueError, match="preview"):
            tracker.preview_name(wrong)
