"""Every path the server answers, in one table: the application and its OpenAPI are made from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Access = Literal["open", "token", "jobs"]  # to anybody, with the token, or only if jobs are taken
Schema = Mapping[str, Any]


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


UUID: Final[Schema] = {
    "type": "string",
    "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    "examples": ["550e8400-e29b-41d4-a716-446655440000"],
}
NAME: Final[Schema] = {"type": "string", "pattern": "^[^/]{1,128}$"}
CURSOR: Final[Schema] = {"type": "string", "pattern": "^([0-9]{1,15}|[0-9a-f]{8}-[0-9]{1,15})$"}

TASK: Final = Parameter("task_id", "The task.", UUID, "path")
AFTER: Final = Parameter("after", "Go on behind this: a number, or the id of an event.", CURSOR)
LAST_ID: Final = Parameter("Last-Event-ID", "What a browser sends.", CURSOR, "header")


def whole(name: str, about: str, least: int, most: int, default: int) -> Parameter:
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return Parameter(name, about, schema)


GONE: Final = {400: "Refusal", 404: "Refusal"}
FULL: Final = {429: "Refusal", 503: "Refusal"}

ROUTES: Final = (
    Route("GET", "/api/tasks", "tasks", "The tasks, newest first.",
          {200: "TaskList", 400: "Refusal"},
          (whole("offset", "How many to pass over.", 0, 1_000_000, 0),
           whole("limit", "How many at most.", 1, 500, 50))),
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
          {200: "Event", **GONE}, (TASK,)),
    Route("GET", "/api/ws/progress/{task_id}/history", "history", "All events.",
          {200: "History", **GONE}, (TASK,)),
    Route("GET", "/api/batches/{batch_id}", "batch", "Several runs as one.",
          {200: "Batch", 404: "Refusal"}, (Parameter("batch_id", "The batch.", NAME, "path"),)),
    Route("GET", "/api/sse/progress", "stream_several",
          "Server-sent events of all tasks, or of those named.",
          {200: "text/event-stream", 204: "", **GONE, **FULL},
          (Parameter("task_id", "May be given several times.",
                     {"type": "array", "items": UUID, "maxItems": 64}), LAST_ID)),
    Route("GET", "/api/sse/progress/{task_id}", "stream_task", "Server-sent events of one task.",
          {200: "text/event-stream", 204: "", **GONE, **FULL}, (TASK, AFTER, LAST_ID)),
    Route("POST", "/api/session", "session", "Exchange the token for a cookie.",
          {204: "", 401: "Refusal"}),
    Route("GET", "/healthz", "health", "Whether the server lives.", {200: "Health"}, (), "open"),
    Route("GET", "/metrics", "metrics", "Figures for Prometheus.", {200: "text/plain"}),
    Route("GET", "/openapi.json", "openapi", "This description.", {200: "object"}, (), "open"),
    Route("POST", "/api/video-generation/generate", "generate", "Queue a run on this machine.",
          {202: "Accepted", 400: "Refusal", 413: "Refusal", 415: "Refusal", 503: "Refusal"},
          (), "jobs"),
    Route("POST", "/api/tasks/{task_id}/cancel", "cancel", "End a run.",
          {202: "Cancelling", 409: "Refusal", **GONE}, (TASK,), "jobs"),
)  # fmt: skip
