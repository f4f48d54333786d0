"""Every path of the server, and their OpenAPI description."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from vidgen.progress.serve.uploads import FREE
from vidgen.version import __version__

Access = Literal["open", "token", "jobs"]  # to anybody, with the token, or only if jobs are taken
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A place in a path, or a name in a query."""

    name: str
    about: str
    schema: Schema
    where: Literal["path", "query", "header"] = "query"


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. `handler` names a method of `api.Api` or of the application."""

    method: str
    path: str
    handler: str
    about: str
    answers: Mapping[int, str] = field(
        default_factory=dict
    )  # status → schema's or media type's name
    parameters: tuple[Parameter, ...] = ()
    access: Access = "token"


def whole(name: str, about: str, least: int, most: int, default: int) -> Parameter:
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return Parameter(name, about, schema)


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


UUID: Final[Schema] = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_-]([A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?$",
    "examples": ["550e8400-e29b-41d4-a716-446655440000"],
}
NAME: Final[Schema] = {"type": "string", "pattern": "^[^/]{1,128}$"}
CURSOR: Final[Schema] = {"type": "string", "pattern": "^([0-9]{1,15}|[0-9a-f]{8}-[0-9]{1,15})$"}
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
    "time_progress": _or_null(NUMBER),
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
WHERE: Final[dict[str, Schema]] = {"host": TEXT, "is_reachable": FLAG}  # runs of other machines
TASKS: Final[dict[str, Schema]] = {
    "total": COUNT,
    "tasks": _list(_object(BRIEF, title=TEXT, batch_id=TEXT, preview=TEXT, metadata=ANY, **WHERE)),
}
TASK: Final = Parameter("task_id", "The task.", UUID, "path")
AFTER: Final = Parameter("after", "Go on behind this: a number, or the id of an event.", CURSOR)
LAST_ID: Final = Parameter("Last-Event-ID", "What a browser sends.", CURSOR, "header")
GONE: Final = {400: "Refusal", 404: "Refusal", 503: "Refusal"}
FULL: Final = {429: "Refusal", 503: "Refusal"}
ROUTES: Final = (
    Route("GET", "/api/tasks", "tasks", "The tasks, newest first.",
          {200: "TaskList", 400: "Refusal"},
          (whole("offset", "How many to pass over.", 0, 1_000_000, 0),
           whole("limit", "How many at most.", 1, 500, 50),
           Parameter("search", "Words that title, id, message or batch have.",
                     {"type": "string", "maxLength": 200}),
           Parameter("state", "May be given several times.",
                     {"type": "array", "items": STATE, "maxItems": 6}))),
    Route("GET", "/api/tasks/{task_id}", "task", "Where a task stands.",
          {200: "Snapshot", **GONE}, (TASK,)),
    Route("GET", "/api/tasks/{task_id}/events", "events", "A long poll with the streams' cursor.",
          {200: "Poll", **GONE, **FULL},
          (TASK, AFTER, whole("wait", "Wait for news, seconds.", 0, 60, 0))),
    Route("GET", "/api/tasks/{task_id}/logs", "logs", "The sentences meant for people.",
          {200: "Logs", **GONE},
          (TASK, whole("since", "Only behind this seq.", 0, 1 << 50, 0),
           Parameter("level", "The least.",
                     {"type": "string", "enum": ["INFO", "WARNING", "ERROR"]}))),
    Route("GET", "/api/tasks/{task_id}/previews/{name}", "preview", "A picture, with ranges.",
          {200: "image/*", **GONE}, (TASK, Parameter("name", "Its name.", NAME, "path"))),
    Route("GET", "/api/tasks/{task_id}/video", "video", "The finished film, with ranges.",
          {200: "video/*", **GONE}, (TASK,)),
    Route("GET", "/api/ws/progress/{task_id}/latest", "latest", "The last event.",
          {200: "Latest", **GONE}, (TASK,)),
    Route("GET", "/api/ws/progress/{task_id}/history", "history", "All events.",
          {200: "History", **GONE}, (TASK,)),
    Route("GET", "/api/batches", "batches", "The batches, the newest first, without their runs.",
          {200: "Batches"}),
    Route("GET", "/api/stats", "stats", "What many runs say together, as `vidgen stats` tells it.",
          {200: "object"}),
    Route("GET", "/api/batches/{batch_id}", "batch", "Several runs as one.",
          {200: "Batch", 404: "Refusal"}, (Parameter("batch_id", "The batch.", NAME, "path"),)),
    Route("GET", "/api/sse/progress", "stream_several",
          "Server-sent events of all tasks, or of those named.",
          {200: "text/event-stream", 204: "", **GONE, **FULL},
          (Parameter("task_id", "May be given several times.",
                     {"type": "array", "items": UUID, "maxItems": 64}), LAST_ID)),
    Route("GET", "/api/sse/progress/{task_id}", "stream_task", "Server-sent events of one task.",
          {200: "text/event-stream", 204: "", **GONE, **FULL}, (TASK, AFTER, LAST_ID)),
    Route("GET", "/api/session", "about", "What may be done here.", {200: "About"}),
    Route("GET", "/api/queue", "queue", "The ordered runs that wait or run.",
          {200: "Queue"}, (), "jobs"),
    Route("POST", "/api/session", "session", "Exchange the token for a cookie.",
          {204: "", 401: "Refusal"}),
    Route("GET", "/healthz", "health", "Whether the server lives.", {200: "Health"}, (), "open"),
    Route("GET", "/metrics", "metrics", "Figures for Prometheus.", {200: "text/plain"}),
    Route("GET", "/openapi.json", "openapi", "This description.", {200: "object"}, (), "open"),
    Route("GET", "/docs", "docs", "The same to read.", {200: "text/html"}, (), "open"),
    Route("POST", "/api/video-generation/generate", "generate", "Queue a run on this machine.",
          {202: "Accepted", 400: "Refusal", 413: "Refusal", 415: "Refusal", 503: "Refusal"},
          (), "jobs"),
    Route("POST", "/api/tasks/{task_id}/cancel", "cancel", "End a run.",
          {202: "Cancelling", 409: "Refusal", **GONE}, (TASK,), "jobs"),
    Route("DELETE", "/api/tasks/{task_id}", "delete", "Remove a run that is over.",
          {204: "", 409: "Refusal", **GONE}, (TASK,), "jobs"),
)  # fmt: skip
SCHEMAS: Final[dict[str, Schema]] = {
    "Refusal": _object({"error": _object({"code": TEXT, "message": TEXT})}),
    "Health": _object({"status": {"const": "ok"}}),
    "About": _object({"accepts_jobs": FLAG, "upload_bytes": COUNT, "options": _list(ANY)}),
    "Queue": _object({"waiting": _list(UUID), "running": _list(UUID), "most": COUNT}),
    "Event": EVENT,
    "TaskList": _object({**TASKS, "offset": COUNT}, sources=_list(ANY)),
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
        },
        **WHERE,
    ),
    "Latest": _object({"task_id": dict(UUID), "event": EVENT}),
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
        },
        is_reachable=FLAG,
    ),
    "Batches": _object(
        {
            "batches": _list(
                _object(
                    {
                        "batch_id": TEXT,
                        "total": COUNT,
                        "states": ANY,
                        "progress": NUMBER,
                        "updated": TEXT,
                    }
                )
            )
        }
    ),
    "Batch": _object(
        {
            **TASKS,
            "batch_id": TEXT,
            "states": ANY,
            "state": STATE,
            "progress": NUMBER,
            "eta_seconds": _or_null(NUMBER),
        }
    ),
    "Accepted": _object(
        {
            "task_id": dict(UUID),
            "status": {"const": "queued"},
            "message": TEXT,
            "token": TEXT,
            "sse_url": TEXT,
            "websocket_url": TEXT,
            "polling_url": TEXT,
            "events_url": TEXT,
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


def description(routes: Sequence[Route] = ROUTES, *, with_jobs: bool) -> dict[str, Any]:
    """The whole document. Paths for jobs are in it when this server takes them."""
    paths: dict[str, Any] = {}
    for route in routes:
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
