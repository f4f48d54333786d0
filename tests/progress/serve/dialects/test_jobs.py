"""The words of system 004, as its document has them."""

from tests.progress.serve.dialects.runs import BROKEN, TASK, WHOLE, snapshot, told
from vidgen.events import Event
from vidgen.progress.serve.dialects import jobs
from vidgen.progress.serve.dialects.dialect import Before, Json

BASE = "http://box:55433"


def words(*events: Event) -> list[Json]:
    before = Before("rendering", 65.0)
    found: list[Json] = []
    for event in told(*events):
        found += jobs.says(event, before, BASE)
    return found


def test_a_job_is_processing_frame_by_frame() -> None:
    assert words(*WHOLE)[-2] == {
        "job_id": TASK,
        "status": "processing",
        "stage": "rendering",
        "progress": 0.65,
        "message": "Frame 1500 of 2000",
        "timestamp": "2026-11-20T12:00:06.000Z",
        "metadata": {"current_frame": 1500, "total_frames": 2000, "fps": 25},
    }


def test_a_job_is_completed_with_its_result() -> None:
    completed = words(*WHOLE)[-1]
    result = completed.pop("result")
    assert completed == {
        "job_id": TASK,
        "status": "completed",
        "stage": "complete",
        "progress": 1.0,
        "message": "Done",
        "timestamp": "2026-11-20T12:00:07.000Z",
    }
    assert result["video_url"] == f"{BASE}/api/tasks/{TASK}/video"
    assert (result["duration"], result["frames"]) == (66.67, 2000)


def test_a_job_fails_where_it_was() -> None:
    assert words(*BROKEN)[-1] == {
        "job_id": TASK,
        "status": "failed",
        "stage": "rendering",
        "progress": 0.65,
        "message": "Error: Out of memory",
        "error": "Out of memory",
        "timestamp": "2026-11-20T12:00:07.000Z",
    }


def test_who_comes_late_or_polls_is_told_the_same() -> None:
    assert list(jobs.stands(snapshot(*WHOLE), BASE)) == words(*WHOLE)[-1:]
    assert list(jobs.stands(snapshot(*BROKEN), BASE)) == words(*BROKEN)[-1:]
    assert list(jobs.stands(snapshot(*WHOLE[:-1]), BASE)) == words(*WHOLE[:-1])[-1:]


def test_a_killed_job_has_failed() -> None:
    killed = snapshot(
        *WHOLE[:-1],
        state="interrupted",
        interrupted_stage="rendering",
        message="The run ended without a word.",
    )
    (message,) = jobs.stands(killed, BASE)
    assert (message["status"], message["stage"], message["progress"]) == (
        "failed",
        "rendering",
        0.65,
    )
    assert message["error"] == "The run ended without a word."


def test_greeting_and_keeping_alive() -> None:
    assert jobs.hello("job_12345", "2024-01-01T00:00:00Z") == {
        "type": "connected",
        "job_id": "job_12345",
        "message": "Connected to job progress stream",
        "timestamp": "2024-01-01T00:00:00Z",
    }
    assert jobs.ping("job_12345", "2024-01-01T00:00:00Z") == {
        "type": "ping",
        "message": "keepalive",
        "job_id": "job_12345",
        "timestamp": "2024-01-01T00:00:00Z",
    }
