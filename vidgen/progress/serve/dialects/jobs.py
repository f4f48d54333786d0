"""The words of system 004: one WebSocket a job, `processing` until `completed` or `failed`.

/ws/jobs/{job_id}   connected, processing, completed, failed, ping
/jobs/{job_id}      the same message, polled
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vidgen.events import Envelope
from vidgen.progress.serve.dialects.dialect import (
    Before,
    Dialect,
    Json,
    own_metadata,
    percent,
    result_of,
    unfinished,
)

PING_SECONDS: Final = 30
_TOLD: Final = frozenset({"stage_update", "progress_update"})


def says(event: Envelope, before: Before, base: str) -> Sequence[Json]:
    """One message for a stage, progress or the end; logs, pictures and readings are not theirs."""
    data = event.data
    if event.event_type in _TOLD:
        return [_processing(event.task_id, event.timestamp, data)]
    if event.event_type == "complete":
        return [_completed(event.task_id, event.timestamp, data, base)]
    if event.event_type in ("error", "cancelled"):
        return [_failed(event.task_id, event.timestamp, data, before.progress)]
    return []


def stands(snapshot: Mapping[str, Any], base: str) -> Sequence[Json]:
    """Where the job stands now: also the answer to whoever polls."""
    job_id, moment, end = snapshot["task_id"], snapshot["updated"], snapshot.get("end")
    match snapshot["state"]:
        case "complete":
            return [_completed(job_id, moment, end or snapshot, base)]
        case "failed" | "cancelled" | "interrupted":
            return [_failed(job_id, moment, end or snapshot, snapshot["reached"])]
        case _:
            return [_processing(job_id, moment, snapshot)]


def hello(job_id: str, moment: str) -> Json:
    return {
        "type": "connected",
        "job_id": job_id,
        "message": "Connected to job progress stream",
        "timestamp": moment,
    }


def ping(job_id: str, moment: str) -> Json:
    return {"type": "ping", "message": "keepalive", "job_id": job_id, "timestamp": moment}


def _processing(job_id: str, moment: str, data: Mapping[str, Any]) -> Json:
    metadata = own_metadata(data)
    if data.get("unit") == "frames":
        metadata = {"current_frame": data.get("done"), "total_frames": data.get("total")} | metadata
    return _message(job_id, "processing", data, percent(data), moment) | {"metadata": metadata}


def _completed(job_id: str, moment: str, data: Mapping[str, Any], base: str) -> Json:
    said = {**data, "stage": "complete"}
    result = {"result": result_of(data, base)}
    return _message(job_id, "completed", said, 100.0, moment) | result


def _failed(job_id: str, moment: str, data: Mapping[str, Any], reached: float) -> Json:
    stage, sentence = unfinished(data)
    said = {"stage": stage, "message": f"Error: {sentence}"}
    return _message(job_id, "failed", said, reached, moment) | {"error": sentence}


def _message(
    job_id: str, status: str, data: Mapping[str, Any], reached: float, moment: str
) -> Json:
    return {
        "job_id": job_id,
        "status": status,
        "stage": str(data.get("stage", "")),
        "progress": round(reached / 100.0, 4),
        "message": str(data.get("message", "")),
        "timestamp": moment,
    }


DIALECT: Final = Dialect(
    "004", says=says, stands=stands, hello=hello, ping=ping, ping_seconds=PING_SECONDS
)
