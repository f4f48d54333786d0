"""The words of system 003: one WebSocket a project, told stage by stage.

    /api/v1/projects/{id}/progress   connected, stage_change, progress_update, log, error,
                                     complete, ping; `pong` is awaited

Its stages have names of their own; ours are said in the same capitals (`RENDERING`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vidgen.events import Envelope
from vidgen.progress.serve.dialects.dialect import (
    Before,
    Dialect,
    Json,
    absolute,
    number,
    own_metadata,
    percent,
    unfinished,
)

PING_SECONDS: Final = 30
SILENCE_SECONDS: Final = 60
FIRST: Final = "INITIALIZED"  # what a project's first change comes from


def says(event: Envelope, before: Before, base: str) -> Sequence[Json]:
    """A stage that begins is a change, everything else of a stage an update."""
    data, moment = event.data, event.timestamp
    match event.event_type:
        case "stage_update":
            change = _change(before.stage, data, moment)
            return [*change, _update(data, moment)]
        case "progress_update":
            return [_update(data, moment)]
        case "log":
            return [_log(data, moment)]
        case "error" | "cancelled":
            return [_error(event.task_id, data, moment, event.event_type)]
        case "complete":
            return [_update(data, moment), _complete(event.task_id, data, moment, base)]
        case _:
            return []


def stands(snapshot: Mapping[str, Any], base: str) -> Sequence[Json]:
    """The stage, how far it is, and the end if there is one."""
    task_id, moment, end = snapshot["task_id"], snapshot["updated"], snapshot.get("end")
    match snapshot["state"]:
        case "complete":
            end = end or snapshot
            return [_update(end, moment), _complete(task_id, end, moment, base)]
        case "failed" | "cancelled" | "interrupted":
            return [_error(task_id, end or snapshot, moment, snapshot["state"])]
        case _:
            return [*_change("", snapshot, moment), _update(snapshot, moment)]


def hello(project_id: str, moment: str) -> Json:
    return _message("connected", {"project_id": project_id, "timestamp": moment})


def ping(project_id: str, moment: str) -> Json:  # noqa: ARG001  # every dialect's form
    return _message("ping", {"timestamp": moment})


def capitals(stage: object) -> str:
    """A stage's name as this system writes them."""
    return str(stage or "").upper().replace("-", "_") or FIRST


def _change(previous: str, data: Mapping[str, Any], moment: str) -> Sequence[Json]:
    if capitals(previous) == capitals(data.get("stage")) and previous:
        return []
    return [
        _message(
            "stage_change",
            {
                "previous_stage": capitals(previous),
                "current_stage": capitals(data.get("stage")),
                "progress": int(percent(data)),
                "timestamp": moment,
            },
        )
    ]


def _update(data: Mapping[str, Any], moment: str) -> Json:
    left = number(data.get("eta_seconds", own_metadata(data).get("estimated_remaining")))
    return _message(
        "progress_update",
        {
            "status": capitals(data.get("stage")),
            "progress": int(percent(data)),
            "current_stage": str(data.get("message", "")),
            "estimated_remaining": None if left is None else round(left),
            "timestamp": moment,
        },
    )


def _log(data: Mapping[str, Any], moment: str) -> Json:
    said = {"level": str(data.get("level", "INFO")), "message": str(data.get("message", ""))}
    return _message("log", {**said, "timestamp": moment})


def _error(project_id: str, data: Mapping[str, Any], moment: str, how: str) -> Json:
    stage, sentence = unfinished(data)
    code = str(data.get("error_code") or how.upper())
    more = {
        "is_retryable": bool(data.get("is_retryable", how in ("interrupted", "cancelled"))),
        "details": data.get("details") or {},
        "solutions": list(data.get("solutions") or []),
        "trace_id": str(data.get("trace_id", "")),
        "timestamp": moment,
    }
    told = {
        "error_code": code,
        "message": sentence,
        "stage": capitals(stage),
        "retry_count": data.get("retry_count") or 0,
        "max_retries": data.get("max_retries") or 0,
    }
    nested = {"code": code, "message": sentence, "stage": capitals(stage), **more}
    about = {"type": "error", "project_id": project_id, "error": nested}
    return _message("error", {**told, **more}) | about


def _complete(project_id: str, data: Mapping[str, Any], moment: str, base: str) -> Json:
    result = data.get("result")
    own = result if isinstance(result, Mapping) else {}
    film = own.get("video_url") or absolute(data.get("video_url"), base)
    told = {"status": "COMPLETED", "youtube_url": own.get("youtube_url"), "video_url": film}
    return _message("complete", {**told, "project_id": project_id, "timestamp": moment})


def _message(event: str, data: Json) -> Json:
    return {"event": event, "data": data}


DIALECT: Final = Dialect(
    "003",
    says=says,
    stands=stands,
    hello=hello,
    ping=ping,
    ping_seconds=PING_SECONDS,
    silence_seconds=SILENCE_SECONDS,
    replays=True,
)
