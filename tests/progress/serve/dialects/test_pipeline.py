"""The words of system 000 that are not our own already."""

from vidgen.progress.serve.dialects import pipeline

TASK = "550e8400-e29b-41d4-a716-446655440000"


def test_an_order_is_answered_with_whole_addresses() -> None:
    found = pipeline.accepted(TASK, "https://box:55433")
    assert found["task_id"] == TASK
    assert found["message"] == "Pipeline started, use provided URLs to track progress"
    assert found["websocket_url"] == f"wss://box:55433/api/ws/progress/{TASK}"
    assert found["sse_url"] == f"https://box:55433/api/sse/progress/{TASK}"
    assert found["polling_url"] == f"https://box:55433/api/ws/progress/{TASK}/latest"


def test_a_killed_run_ends_with_an_error() -> None:
    data = {
        "stage": "interrupted",
        "interrupted_stage": "rendering",
        "progress": 64.0,
        "message": "The run ended without a word.",
        "resume_command": "vidgen resume 550e8400",
    }
    assert pipeline.ending(data, "interrupted") == {
        "stage": "failed",
        "failed_stage": "rendering",
        "progress": -1.0,
        "message": "The run ended without a word.",
        "message_code": "",
        "metadata": {},
        "error": "The run ended without a word.",
        "error_code": "interrupted",
        "is_retryable": True,
        "resume_command": "vidgen resume 550e8400",
    }
