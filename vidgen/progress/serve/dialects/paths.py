"""The addresses of the other systems: which sockets there are, and the routes of their requests."""

import re
from dataclasses import dataclass
from typing import Final

from vidgen.progress.serve.dialects import jobs, projects, signalr, tracker
from vidgen.progress.serve.dialects.dialect import Dialect
from vidgen.progress.serve.routes import GONE, NAME, TASK, Parameter, Route
from vidgen.progress.serve.settings import DIALECTS

HUB: Final = "/hubs/video-generation"
VIDEOS: Final = "/v1/videos/generations"


@dataclass(frozen=True, slots=True)
class SocketPath:
    """Where a WebSocket of a dialect is; one with a place for an id tells that task."""

    dialect: Dialect
    pattern: re.Pattern[str]


SOCKETS: Final = (
    SocketPath(tracker.DIALECT, re.compile(r"/api/v1/progress/ws")),
    SocketPath(signalr.DIALECT, re.compile(HUB)),
    SocketPath(projects.DIALECT, re.compile(r"/api/v1/projects/([^/]+)/progress")),
    SocketPath(jobs.DIALECT, re.compile(r"/ws/jobs/([^/]+)")),
)
_LEVEL: Final = {"type": "string", "enum": ["info", "warning", "error", "INFO", "WARNING", "ERROR"]}
_ACCEPTED: Final = {202: "object", 400: "Refusal", 413: "Refusal", 415: "Refusal", 503: "Refusal"}
ROUTES: Final[dict[str, tuple[Route, ...]]] = {
    "000": (),
    "001": (
        Route("GET", "/api/v1/progress/tasks/{task_id}", "task_progress",
              "A task as TaskProgress (system 001).", {200: "object", **GONE}, (TASK,)),
        Route("GET", "/api/v1/progress/tasks/{task_id}/logs", "task_logs",
              "Its sentences (system 001).", {200: "object", **GONE},
              (TASK, Parameter("since", "Not before this time, ISO 8601.", {"type": "string"}),
               Parameter("level", "The least.", _LEVEL))),
        Route("GET", "/api/v1/progress/tasks/{task_id}/history", "task_history",
              "All its events (system 001).", {200: "History", **GONE}, (TASK,)),
        Route("GET", "/api/v1/progress/batch/{batch_id}", "batch_progress",
              "Several tasks as one (system 001).", {200: "object", **GONE},
              (Parameter("batch_id", "The batch.", NAME, "path"),
               Parameter("task_ids", "Ids with commas between.", {"type": "string"}))),
        Route("GET", "/api/v1/previews/{file}", "task_preview",
              "A picture, by task and name (system 001).", {200: "image/*", **GONE},
              (Parameter("file", "TASK_NAME.jpg", NAME, "path"),)),
    ),
    "002": (
        Route("POST", HUB + "/negotiate", "negotiate", "How to connect to the hub (system 002).",
              {200: "object"}, (Parameter("negotiateVersion", "0 or 1.", {"type": "string"}),)),
        Route("GET", VIDEOS + "/{task_id}", "video_status", "Where a task stands (system 002).",
              {200: "object", **GONE}, (TASK,)),
        Route("POST", VIDEOS + "/async", "generate_async", "Queue a run (system 002).",
              _ACCEPTED, (), "jobs"),
    ),
    "003": (),
    "004": (
        Route("GET", "/jobs/{task_id}", "job_status", "Where a job stands (system 004).",
              {200: "object", **GONE}, (TASK,)),
        Route("POST", "/jobs/create", "create_job", "Queue a run (system 004).",
              _ACCEPTED, (), "jobs"),
        Route("GET", "/health", "job_health", "Whether the server lives.", {200: "object"}, (),
              "open"),
    ),
}  # fmt: skip


def find_socket(path: str, names: tuple[str, ...]) -> tuple[Dialect, str] | None:
    """The dialect that is spoken at a path, and the task in it; None when none is."""
    for known in SOCKETS:
        found = known.pattern.fullmatch(path.rstrip("/"))
        if found and known.dialect.name in names:
            return known.dialect, found[1] if found.re.groups else ""
    return None


def routes(names: tuple[str, ...]) -> tuple[Route, ...]:
    return tuple(route for name in DIALECTS if name in names for route in ROUTES[name])
