"""The words of system 002: a SignalR hub, JSON over WebSocket, one group a task.

    POST /hubs/video-generation/negotiate    where and how to connect
    WS   /hubs/video-generation              SubscribeToTask(id), UnsubscribeFromTask(id);
                                             VideoGenerationStarted, …Progress, …Completed, …Failed
    POST /v1/videos/generations/async        {taskId, status}; GET …/{taskId} polls

The frames are those of Microsoft's Hub Protocol: JSON objects, each with a record separator
behind it; the handshake comes first.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from vidgen.events import Envelope
from vidgen.progress.serve.dialects.dialect import (
    Before,
    Dialect,
    Json,
    absolute,
    film_seconds,
    number,
    own_metadata,
    percent,
    unfinished,
)

SEPARATOR: Final = "\x1e"
KEEP_ALIVE_SECONDS: Final = 15
SILENCE_SECONDS: Final = 30
MESSAGE_BYTES: Final = 32 * 1024  # that a client may send
INVOCATION, COMPLETION, CANCEL, PING, CLOSE = 1, 3, 5, 6, 7
SUBSCRIBE: Final = frozenset({"subscribe", "subscribetotask"})  # a hub's methods know no case
UNSUBSCRIBE: Final = frozenset({"unsubscribe", "unsubscribefromtask"})
_STATUS: Final[Mapping[str, str]] = {
    "queued": "pending",
    "running": "processing",
    "complete": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "interrupted": "failed",
}


def says(event: Envelope, before: Before, base: str) -> Sequence[Json]:
    """The first event is the start, the last one the end, what lies between is progress."""
    data, task_id, moment = event.data, event.task_id, event.timestamp
    match event.event_type:
        case "stage_update" | "progress_update":
            progress = _progress(task_id, moment, data)
            return [progress] if before.stage else [_started(task_id, moment, data), progress]
        case "complete":
            return [_completed(task_id, moment, data, base)]
        case "error" | "cancelled":
            return [_failed(task_id, moment, data)]
        case _:
            return []


def stands(snapshot: Mapping[str, Any], base: str) -> Sequence[Json]:
    """What a subscriber who comes late hears first."""
    task_id, moment, end = snapshot["task_id"], snapshot["updated"], snapshot.get("end")
    match snapshot["state"]:
        case "complete":
            return [_completed(task_id, moment, end or snapshot, base)]
        case "failed" | "cancelled" | "interrupted":
            return [_failed(task_id, moment, end or snapshot)]
        case _:
            return [_progress(task_id, moment, snapshot)]


def status(snapshot: Mapping[str, Any], base: str) -> Json:
    """The answer to whoever polls."""
    end = snapshot.get("end") or {}
    state = str(snapshot["state"])
    film = absolute(end.get("video_url"), base) if state == "complete" else None
    gone_wrong = state in ("failed", "cancelled", "interrupted")
    failure = end or snapshot
    return {
        "taskId": snapshot["task_id"],
        "status": _STATUS.get(state, "processing"),
        "progress": 100.0 if state == "complete" else number(snapshot.get("reached")) or 0.0,
        "message": str(snapshot.get("message", "")),
        "videoUrl": film,
        "error": str(failure.get("message", "")) if gone_wrong else None,
        "isRetryable": _is_retryable(state, failure) if gone_wrong else False,
        "estimatedTimeToCompletion": number(snapshot.get("eta_seconds")),
        "timestamp": snapshot.get("updated", ""),
    }


def ping(task_id: str, moment: str) -> Json:  # noqa: ARG001  # every dialect's form
    return {"type": PING}


def negotiated(connection_id: str, token: str, version: int) -> Json:
    """The answer to `negotiate`: WebSockets only, so a client without them polls."""
    ways = [{"transport": "WebSockets", "transferFormats": ["Text"]}]
    about: Json = {"connectionId": connection_id, "availableTransports": ways}
    if version < 1:
        return about | {"negotiateVersion": 0}
    return about | {"negotiateVersion": 1, "connectionToken": token}


def completion(invocation_id: str, error: str = "") -> Json:
    """The answer to a call that wants one."""
    answer: Json = {"type": COMPLETION, "invocationId": invocation_id}
    return answer | ({"error": error} if error else {"result": None})


def closing(error: str = "", *, may_reconnect: bool = False) -> Json:
    about: Json = {"type": CLOSE}
    if error:
        about["error"] = error
    return about | ({"allowReconnect": True} if may_reconnect else {})


def records(text: str) -> list[Json]:
    """The messages in what a client sent. Raises ValueError for what is none."""
    if not text.endswith(SEPARATOR):
        raise ValueError("a message has no record separator behind it")
    found = [orjson.loads(part) for part in text.split(SEPARATOR) if part]
    if not all(isinstance(record, dict) for record in found):
        raise ValueError("a message is no JSON object")
    return found


def shake(record: Mapping[str, Any]) -> str:
    """Why the handshake is refused; "" when it is a good one."""
    if record.get("protocol") != "json":
        return f"The protocol '{str(record.get('protocol'))[:40]}' is not supported."
    if record.get("version") not in (1, 2):
        return "The server does not support this version of the 'json' protocol."
    return ""


def _started(task_id: str, moment: str, data: Mapping[str, Any]) -> Json:
    left = number(data.get("eta_seconds"))
    return _invoke(
        "VideoGenerationStarted",
        task_id,
        moment,
        {} if left is None else {"estimatedTimeToCompletion": left},
    )


def _progress(task_id: str, moment: str, data: Mapping[str, Any]) -> Json:
    frames: Json = {}
    if data.get("unit") == "frames":
        frames = {"currentFrame": data.get("done"), "totalFrames": data.get("total")}
    about = {"progress": percent(data), "message": str(data.get("message", ""))}
    stage = {"stage": str(data.get("stage", ""))}
    return _invoke("VideoGenerationProgress", task_id, moment, about | frames | stage)


def _completed(task_id: str, moment: str, data: Mapping[str, Any], base: str) -> Json:
    result = data.get("result")
    own = result if isinstance(result, Mapping) else {}
    about = {
        "videoUrl": str(own.get("video_url") or absolute(data.get("video_url"), base)),
        "duration": number(own.get("duration")) or film_seconds(data),
        "metadata": {**own_metadata(data), **own},
    }
    return _invoke("VideoGenerationCompleted", task_id, moment, about)


def _failed(task_id: str, moment: str, data: Mapping[str, Any]) -> Json:
    _, sentence = unfinished(data)
    about = {"error": sentence, "isRetryable": _is_retryable(str(data.get("stage")), data)}
    return _invoke("VideoGenerationFailed", task_id, moment, about)


def _is_retryable(how: str, data: Mapping[str, Any]) -> bool:
    return bool(data.get("is_retryable", how in ("interrupted", "cancelled")))


def _invoke(target: str, task_id: str, moment: str, about: Json) -> Json:
    said = {"eventType": target, "taskId": task_id, **about, "timestamp": moment}
    return {"type": INVOCATION, "target": target, "arguments": [said]}


DIALECT: Final = Dialect(
    "002",
    says=says,
    stands=stands,
    ping=ping,
    ping_seconds=KEEP_ALIVE_SECONDS,
    silence_seconds=SILENCE_SECONDS,
    separator=SEPARATOR,
)
