"""What happens in a run, as values, and their one form on the wire.

Stages make the small events (`StageStarted`, `StageProgress`, …) and hand them to an
`Emit`; the broadcast numbers them and turns each into an `Envelope`, the form of the
history file, `--progress rawjson`, SSE, WebSocket and polling. Imports nothing of vidgen.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final, Literal

import orjson

from vidgen.text import json_bytes

WIRE_VERSION: Final = 1
SEQ_LIMIT: Final = 10**15  # what a cursor can say
_NUMBER: Final = (int, float)
_NUMBER_OR_NONE: Final = (int, float, type(None))
# The types of the fields of `data` (DESIGN §3); a field that is not here may be anything.
_WIRE_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    **dict.fromkeys(
        ("progress", "stage_progress", "done", "total", "duration_seconds", "width", "height"),
        _NUMBER,
    ),
    **dict.fromkeys(
        ("rate", "eta_seconds", "eta_upper_seconds", "transfer_eta_seconds", "ready_seconds",
         "closing_seconds", "cpu_percent", "memory_mb", "gpu_percent", "gpu_memory_mb", "bytes",
         "retry_count", "max_retries"),
        _NUMBER_OR_NONE,
    ),
    **dict.fromkeys(
        ("stage", "message", "message_code", "unit", "status", "level", "name", "url", "path",
         "sha256", "video_path", "video_url", "hint", "error_code", "failed_stage", "trace_id",
         "cancelled_stage", "resume_command", "interrupted_stage"),
        (str,),
    ),
    "eta_basis": (str, type(None)),
    "metadata": (dict,),
    "details": (dict,),
    "solutions": (list,),
    "video_file": (list,),
    "is_retryable": (bool,),
}  # fmt: skip
LINE_LIMIT: Final = 64 * 1024  # bytes; one os.write of less is never torn by a kill (DESIGN §4)

# stage id -> (first, last) percent of the whole bar. Fixed, so that a percentage means
# the same in every run and for every client; how long it takes is the ETA's business.
SHARES: Final[Mapping[str, tuple[float, float]]] = {
    "initialized": (0.0, 0.0),
    "queued": (0.0, 0.0),
    "yolo_detection": (0.0, 20.0),
    "birefnet_removal": (20.0, 40.0),
    "prosody_adjustment": (40.0, 60.0),
    "rendering": (60.0, 80.0),
    "d_id_upload": (60.0, 70.0),
    "d_id_processing": (70.0, 80.0),
    "finalizing": (80.0, 99.0),
    "complete": (100.0, 100.0),
    "failed": (-1.0, -1.0),
    "cancelled": (0.0, 100.0),
}
LOCAL_PLAN: Final = (  # the stages of a run, in order
    "yolo_detection",
    "birefnet_removal",
    "prosody_adjustment",
    "rendering",
    "finalizing",
)
CLOUD_PLAN: Final = (*LOCAL_PLAN[:3], "d_id_upload", "d_id_processing", "finalizing")

State = Literal["running", "complete", "failed", "cancelled", "interrupted"]
END_STATES: Final[Mapping[str, State]] = {  # terminal event -> the state that a run is in then
    "complete": "complete",
    "error": "failed",
    "cancelled": "cancelled",
}
# A run whose writer is gone without a terminal event is interrupted: over as well.
OVER: Final[frozenset[str]] = frozenset({*END_STATES.values(), "interrupted"})
RESUMABLE: Final[frozenset[str]] = OVER - {"complete"}
TERMINAL: Final = frozenset(END_STATES)
DURABLE: Final = TERMINAL | {"stage_update"}  # on disk before the run goes on

Level = Literal["INFO", "WARNING", "ERROR"]
Status = Literal["started", "completed", "skipped", "reused"]


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage begins. `code` and `metadata` make the sentence shown for it."""

    stage: str
    code: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageProgress:
    """A snapshot inside a stage: `done` of `total` `unit`s, so a lost one does no harm."""

    stage: str
    done: float
    total: float
    unit: str
    code: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """How much of the stage is done, 0–1."""
        return min(1.0, max(0.0, self.done / self.total)) if self.total > 0 else 0.0


@dataclass(frozen=True, slots=True)
class StageEnded:
    """A stage is over: completed, skipped (nothing to do) or reused (made before)."""

    stage: str
    duration_seconds: float
    status: Status = "completed"
    code: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Log:
    """A sentence that a person should read; `code` names it in the catalogue."""

    level: Level
    code: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of what is being made. `path` is a file in the task's `previews` folder."""

    name: str
    path: str
    width: int
    height: int
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Resource:
    """What the run uses now: percent of one core, megabytes."""

    cpu_percent: float
    memory_mb: float
    gpu_percent: float | None = None
    gpu_memory_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The run ended with an error; the last event of its log."""

    message: str
    error_code: str
    hint: str = ""
    is_retryable: bool = False
    retry_count: int = 0
    max_retries: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str = ""
    stage: str = ""  # where, if not in the stage that is on


@dataclass(frozen=True, slots=True)
class Completed:
    """The film is in place; the last event of its log."""

    video_path: str
    duration_seconds: float
    metadata: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)  # what a program of somebody made
    code: str = ""
    video_file: Sequence[int] = ()  # device and inode: nothing else is served in its place


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """Somebody ended the run; the last event of its log."""

    resume_command: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


Event = (
    StageStarted
    | StageProgress
    | StageEnded
    | Log
    | Preview
    | Resource
    | Failed
    | Completed
    | RunCancelled
)
Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event as everybody outside the run sees it.

    `seq` counts from 1 without gaps; `timestamp` is UTC, RFC 3339 with milliseconds and `Z`;
    `data` holds at least `stage`, `progress` and `message`. Unknown fields are kept, not used.
    """

    task_id: str
    seq: int
    event_type: str
    timestamp: str
    data: Mapping[str, Any]

    @property
    def is_terminal(self) -> bool:
        return self.event_type in TERMINAL

    def to_wire(self) -> bytes:
        """One JSON object, UTF-8, without a line end."""
        return json_bytes(
            {
                "v": WIRE_VERSION,
                "task_id": self.task_id,
                "seq": self.seq,
                "event_type": self.event_type,
                "timestamp": self.timestamp,
                "data": self.data,
            },
        )

    @classmethod
    def from_wire(cls, line: bytes | str) -> "Envelope":
        """The envelope in one JSON line. Raises ValueError for anything else.

        A field of `data` that is not of the wire's type is left out: whoever reads an event may
        rely on the types, wherever it came from.
        """
        try:
            value = orjson.loads(line)
            seq, data = value["seq"], value["data"]
            if type(seq) is not int or not 0 <= seq < SEQ_LIMIT or not isinstance(data, dict):
                raise ValueError("seq must be a number and data an object")
            wrong = [name for name, field in data.items() if not _is_of_wire(name, field)]
            if wrong:
                data = {name: field for name, field in data.items() if name not in wrong}
            return cls(
                str(value["task_id"]), seq, str(value["event_type"]), str(value["timestamp"]), data
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an event: {error}") from error


def _is_of_wire(name: str, value: object) -> bool:
    kinds = _WIRE_TYPES.get(name)
    if kinds is None:  # a field of a later version
        return True
    if isinstance(value, float) and not isfinite(value):
        return False
    return isinstance(value, kinds) and (type(value) is not bool or bool in kinds)


Sink = Callable[[Envelope], None]


def is_start(event: Envelope) -> bool:
    """Whether a run, or the resuming of one, begins with this event."""
    return event.data.get("stage") == "initialized" and event.data.get("status") == "started"


def lost_ends(begun: Iterable[str], event: Envelope) -> list[str]:
    """Which of the stages that have `begun` must be over by this event, though their end was never
    told: a later one of the plan begins, or the run is complete."""
    if event.event_type == "complete":
        return [*begun]
    stage = event.data.get("stage")
    if event.event_type != "stage_update" or stage not in SHARES:
        return []
    places = [*SHARES]
    return [name for name in begun if name in places[: places.index(str(stage))]]


def stages_of(renderer: object) -> tuple[str, ...]:
    """The stages, in order, of a run that this renderer draws."""
    return CLOUD_PLAN if renderer == "d-id" else LOCAL_PLAN


def utc_now() -> datetime:
    return datetime.now(UTC)


def timestamp(moment: datetime | None = None) -> str:
    """A moment of UTC, else now, as the wire has it: RFC 3339 with milliseconds and `Z`."""
    return (moment or utc_now()).isoformat(timespec="milliseconds")[:23] + "Z"


def seconds_of(timestamp: str) -> float:
    """RFC 3339 → seconds since 1970; 0 for what is no time."""
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0
