"""The words of system 003, as its document has them."""

from tests.progress.serve.dialects.runs import BROKEN, TASK, WHOLE, snapshot, told
from vidgen.events import Event
from vidgen.progress.serve.dialects import projects
from vidgen.progress.serve.dialects.dialect import Before, Json


def words(*events: Event) -> list[Json]:
    stage = ""
    found: list[Json] = []
    for event in told(*events):
        found += projects.says(event, Before(stage), "")
        if event.event_type != "error":
            stage = str(event.data["stage"])
    return found


def test_a_run_is_a_row_of_changes_updates_and_logs() -> None:
    found = words(*WHOLE)
    assert [message["event"] for message in found] == [
        *("stage_change", "progress_update", "progress_update"),
        *("stage_change", "progress_update", "log", "progress_update"),
        *("progress_update", "complete"),
    ]
    progress = [m["data"]["progress"] for m in found if m["event"] == "progress_update"]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, 100)


def test_a_change_names_both_stages() -> None:
    changes = [m for m in words(*WHOLE) if m["event"] == "stage_change"]
    assert changes[0]["data"]["previous_stage"] == "INITIALIZED"
    assert changes[1] == {
        "event": "stage_change",
        "data": {
            "previous_stage": "LOAD",
            "current_stage": "RENDERING",
            "progress": 20,
            "timestamp": "2026-11-20T12:00:02.000Z",
        },
    }


def test_an_update_has_whole_numbers() -> None:
    (event,) = told(WHOLE[-2])
    timed = {**event.data, "eta_seconds": 599.6}
    object.__setattr__(event, "data", timed)
    assert list(projects.says(event, Before("rendering"), "")) == [
        {
            "event": "progress_update",
            "data": {
                "status": "RENDERING",
                "progress": 65,
                "current_stage": "Frame 1500 of 2000",
                "estimated_remaining": 600,
                "timestamp": "2026-11-20T12:00:00.000Z",
            },
        }
    ]


def test_a_log_and_an_end() -> None:
    found = words(*WHOLE)
    assert found[5] == {
        "event": "log",
        "data": {
            "level": "WARNING",
            "message": "The voice is quiet",
            "timestamp": "2026-11-20T12:00:03.000Z",
        },
    }
    assert found[-1]["data"] == {
        "status": "COMPLETED",
        "youtube_url": None,
        "video_url": f"/api/tasks/{TASK}/video",
        "project_id": TASK,
        "timestamp": "2026-11-20T12:00:07.000Z",
    }


def test_an_error_has_both_of_the_documents_forms() -> None:
    error = words(*BROKEN)[-1]
    moment = "2026-11-20T12:00:07.000Z"
    more = {
        "is_retryable": True,
        "details": {"free": 1},
        "solutions": ["Take a smaller film"],
        "trace_id": "t1",
        "timestamp": moment,
    }
    assert error["event"] == error["type"] == "error"
    assert error["project_id"] == TASK
    assert error["data"] == {
        "error_code": "device.memory",
        "message": "Out of memory",
        "stage": "RENDERING",
        "retry_count": 2,
        "max_retries": 3,
        **more,
    }
    assert error["error"] == {
        "code": "device.memory",
        "message": "Out of memory",
        "stage": "RENDERING",
        **more,
    }


def test_greeting_and_keeping_alive() -> None:
    assert projects.hello("1", "2025-10-19T10:40:00Z") == {
        "event": "connected",
        "data": {"project_id": "1", "timestamp": "2025-10-19T10:40:00Z"},
    }
    assert projects.ping("1", "2025-10-19T10:40:00Z") == {
        "event": "ping",
        "data": {"timestamp": "2025-10-19T10:40:00Z"},
    }


def test_who_is_told_only_where_it_stands() -> None:
    running = [m["event"] for m in projects.stands(snapshot(*WHOLE[:-1]), "")]
    ended = [m["event"] for m in projects.stands(snapshot(*WHOLE), "")]
    (killed,) = projects.stands(snapshot(*WHOLE[:-1], state="interrupted"), "")
    assert running == ["stage_change", "progress_update"]
    assert ended == ["progress_update", "complete"]
    assert killed["data"]["error_code"] == "INTERRUPTED"
