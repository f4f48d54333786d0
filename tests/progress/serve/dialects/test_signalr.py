"""The words of system 002, as its document and Microsoft's Hub Protocol have them."""

import pytest

from tests.progress.serve.dialects.runs import BROKEN, TASK, WHOLE, snapshot, told
from vidgen.events import Event
from vidgen.progress.serve.dialects import signalr
from vidgen.progress.serve.dialects.dialect import Before, Json


def words(*events: Event) -> list[Json]:
    stage, found = "", []
    for event in told(*events):
        for message in signalr.says(event, Before(stage), "http://box"):
            assert message["type"] == signalr.INVOCATION
            assert message["target"] == message["arguments"][0]["eventType"]
            found += message["arguments"]
        stage = str(event.data["stage"])
    return found


def test_a_run_starts_goes_on_and_is_completed() -> None:
    found = words(*WHOLE)
    kinds = [event["eventType"].removeprefix("VideoGeneration") for event in found]
    assert kinds == ["Started", *["Progress"] * 4, "Completed"]
    assert found[0] == {
        "eventType": "VideoGenerationStarted",
        "taskId": TASK,
        "timestamp": "2026-11-20T12:00:00.000Z",
    }
    assert found[-2] == {
        "eventType": "VideoGenerationProgress",
        "taskId": TASK,
        "progress": 65.0,
        "currentFrame": 1500,
        "totalFrames": 2000,
        "message": "Frame 1500 of 2000",
        "stage": "rendering",
        "timestamp": "2026-11-20T12:00:06.000Z",
    }
    completed = found[-1]
    assert completed.pop("metadata")["frames"] == 2000
    assert completed == {
        "eventType": "VideoGenerationCompleted",
        "taskId": TASK,
        "videoUrl": f"http://box/api/tasks/{TASK}/video",
        "duration": 66.67,
        "timestamp": "2026-11-20T12:00:07.000Z",
    }


def test_a_run_fails() -> None:
    assert words(*BROKEN)[-1] == {
        "eventType": "VideoGenerationFailed",
        "taskId": TASK,
        "error": "Out of memory",
        "isRetryable": True,
        "timestamp": "2026-11-20T12:00:07.000Z",
    }


def test_polling_says_the_same() -> None:
    done = signalr.status(snapshot(*WHOLE), "http://box")
    assert (done["taskId"], done["status"], done["progress"]) == (TASK, "completed", 100.0)
    assert done["videoUrl"] == f"http://box/api/tasks/{TASK}/video"
    failed = signalr.status(snapshot(*BROKEN), "")
    assert (failed["status"], failed["error"], failed["isRetryable"]) == (
        "failed",
        "Out of memory",
        True,
    )


def test_the_handshake() -> None:
    assert signalr.records('{"protocol":"json","version":1}\x1e{"type":6}\x1e') == [
        {"protocol": "json", "version": 1},
        {"type": 6},
    ]
    assert signalr.shake({"protocol": "json", "version": 1}) == ""
    assert "messagepack" in signalr.shake({"protocol": "messagepack", "version": 1})
    assert "version" in signalr.shake({"protocol": "json", "version": 9})
    for wrong in ("{}", "[]\x1e", "x\x1e", ""):
        with pytest.raises(ValueError, match=r"."):
            signalr.records(wrong)


def test_negotiation() -> None:
    ways = [{"transport": "WebSockets", "transferFormats": ["Text"]}]
    assert signalr.negotiated("a", "b", 1) == {
        "connectionId": "a",
        "connectionToken": "b",
        "negotiateVersion": 1,
        "availableTransports": ways,
    }
    assert "connectionToken" not in signalr.negotiated("a", "b", 0)


def test_answers_to_calls() -> None:
    assert signalr.completion("1") == {"type": 3, "invocationId": "1", "result": None}
    assert signalr.completion("1", "no") == {"type": 3, "invocationId": "1", "error": "no"}
    assert signalr.closing("late", may_reconnect=True) == {
        "type": 7,
        "error": "late",
        "allowReconnect": True,
    }
