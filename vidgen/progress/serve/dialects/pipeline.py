"""The words of system 000, whose addresses are our own: only what its clients need besides.

    POST /api/video-generation/generate     whole addresses; `image` and `audio`
    /api/ws/progress/{id}, /api/sse/…       `complete` or `error` ends a run, and nothing else
    GET  /api/ws/progress/{id}/latest       {task_id, event}

Our own clients ask with `?v=1` and are told `interrupted` and `cancelled` as such.
"""

from collections.abc import Mapping
from typing import Any, Final

from vidgen.progress.serve.dialects.dialect import Json, unfinished

FIELDS: Final[Mapping[str, str]] = {"image": "photo", "audio": "voice"}  # theirs → ours
_SMOOTHING: Final[Mapping[str, str]] = {"true": "1", "1": "1", "false": "0", "0": "0"}


def accepted(task_id: str, base: str) -> Json:
    """The answer to an order; `base` is the server's address as the client wrote it."""
    socket = "ws" + base.removeprefix("http")
    return {
        "task_id": task_id,
        "message": "Pipeline started, use provided URLs to track progress",
        "status": "queued",
        "websocket_url": f"{socket}/api/ws/progress/{task_id}",
        "sse_url": f"{base}/api/sse/progress/{task_id}",
        "polling_url": f"{base}/api/ws/progress/{task_id}/latest",
        "events_url": f"{base}/api/tasks/{task_id}/events",
        "status_url": f"{base}/api/tasks/{task_id}",
        "cancel_url": f"{base}/api/tasks/{task_id}/cancel",
    }


def translate(name: str, value: str) -> tuple[str, str]:
    """A field of an order in our words; what is ours already stays."""
    if name == "apply_smoothing":
        return "smoothing", _SMOOTHING.get(value.lower(), value)
    return name, value


def ending(data: Mapping[str, Any], reason: str) -> Json:
    """The `error` that ends a stream for a run that was killed or cancelled: data of its event.

    `data` is of the `interrupted` or `cancelled` event; `reason` its type.
    """
    stage, sentence = unfinished(data)
    return {
        "stage": "failed",
        "failed_stage": stage,
        "progress": -1.0,
        "message": sentence,
        "message_code": str(data.get("message_code", "")),
        "metadata": data.get("metadata") or {},
        "error": sentence,
        "error_code": reason,
        "is_retryable": True,
        "resume_command": str(data.get("resume_command", "")),
    }
