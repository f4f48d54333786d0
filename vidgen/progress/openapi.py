"""The API's description (OpenAPI 3.1), made from the table of routes."""

from collections.abc import Mapping
from typing import Any, Final

from vidgen import __version__
from vidgen.progress.routes import ROUTES, UUID, Parameter, Route
from vidgen.progress.uploads import FREE

Schema = dict[str, Any]


def _object(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
    }


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _one_of(*names: str) -> Schema:
    return {"type": "string", "enum": list(names)}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
ANY: Final[Schema] = {"type": "object"}
STATE: Final = _one_of("queued", "running", "complete", "failed", "cancelled", "interrupted")
BRIEF: Final[dict[str, Schema]] = {
    "task_id": dict(UUID),
    "state": STATE,
    "stage": TEXT,
    "progress": {"type": "number", "minimum": -1, "maximum": 100},
    "message": TEXT,
    "message_code": TEXT,
    "eta_seconds": _or_null(NUMBER),
    "began": TEXT,
    "updated": TEXT,
    "last_seq": COUNT,
}
EVENT: Final = _object(
    {
        "v": {"const": 1},
        "task_id": TEXT,
        "seq": COUNT,
        "event_type": TEXT,
        "timestamp": TEXT,
        "data": ANY,
    }
)
TASKS: Final[dict[str, Schema]] = {
    "total": COUNT,
    "tasks": _list(_object(BRIEF, title=TEXT)),
}
SCHEMAS: Final[dict[str, Schema]] = {
    "Refusal": _object({"error": _object({"code": TEXT, "message": TEXT})}),
    "Health": _object({"status": {"const": "ok"}}),
    "Event": EVENT,
    "TaskList": _object({**TASKS, "offset": COUNT}),
    "Snapshot": _object(
        {
            **BRIEF,
            "epoch": TEXT,
            "title": TEXT,
            "event_count": COUNT,
            "metadata": ANY,
            "stages": _list(ANY),
            "resource": _or_null(ANY),
            "resources": _list(ANY),
            "previews": _list(ANY),
            "warnings": COUNT,
            "end": _or_null(ANY),
        }
    ),
    "History": _object({"task_id": dict(UUID), "event_count": COUNT, "events": _list(EVENT)}),
    "Logs": _object({"task_id": dict(UUID), "log_count": COUNT, "logs": _list(EVENT)}),
    "Poll": _object(
        {
            "task_id": dict(UUID),
            "cursor": TEXT,
            "state": STATE,
            "ended": FLAG,
            "more": FLAG,
            "reset": _or_null(ANY),
            "events": _list(EVENT),
        }
    ),
    "Batch": _object(
        {**TASKS, "batch_id": TEXT, "states": ANY, "state": STATE, "progress": NUMBER}
    ),
    "Accepted": _object(
        {
            "task_id": dict(UUID),
            "status": {"const": "queued"},
            "sse_url": TEXT,
            "websocket_url": TEXT,
            "polling_url": TEXT,
            "status_url": TEXT,
            "cancel_url": TEXT,
        }
    ),
    "Cancelling": _object({"task_id": dict(UUID), "status": {"const": "cancelling"}}),
}
ORDER: Final = _object(
    {
        "photo": {"type": "string", "contentMediaType": "application/octet-stream"},
        "voice": {"type": "string", "contentMediaType": "application/octet-stream"},
    },
    **dict.fromkeys(sorted(FREE), TEXT),
) | {"additionalProperties": False}


def description(*, with_jobs: bool) -> dict[str, Any]:
    """The whole document. Paths for jobs are in it when this server takes them."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        if with_jobs or route.access != "jobs":
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vidgen progress",
            "version": __version__,
            "description": "How far the runs on a machine are. WebSockets (`/api/ws/progress`, "
            "`/api/ws/progress/{task_id}`) carry the same events; docs/serving.md tells of them.",
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    answers = {str(status): _answer(status, name) for status, name in route.answers.items()}
    operation: dict[str, Any] = {
        "operationId": route.handler,
        "summary": route.about,
        "parameters": [_parameter(parameter) for parameter in route.parameters],
        "responses": answers,
    }
    if route.access != "open":
        operation["security"] = [{"token": []}]
        answers.setdefault("401", _answer(401, "Refusal"))
    if route.handler == "generate":
        content = {"multipart/form-data": {"schema": ORDER}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.about,
        "required": parameter.where == "path",
        "schema": parameter.schema,
    }


def _answer(status: int, name: str) -> dict[str, Any]:
    about = {"description": "Refused." if status >= 400 else "As asked."}
    if not name:
        return {"description": "Nothing more to come." if status == 204 else "As asked."}
    if "/" in name:
        return about | {"content": {name: {"schema": {}}}}
    schema = ANY if name == "object" else {"$ref": f"#/components/schemas/{name}"}
    return about | {"content": {"application/json": {"schema": schema}}}
