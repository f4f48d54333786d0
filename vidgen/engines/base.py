"""What a batch and its engines say to one another. Knows no engine."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from vidgen.errors import VidgenError
from vidgen.events import Envelope
from vidgen.request import Request

End = Literal["complete", "failed", "cancelled"]
LATE_STAGES: Final = ("rendering", "finalizing")  # in these a film leaves room for the next


@dataclass(frozen=True, slots=True)
class Order:
    """One film to be made, or to be taken up again."""

    task_id: str
    request: Request
    is_resume: bool = False
    losses: int = 0  # workers that have died over it


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the making of a film ended. The texts are those of its error."""

    state: End
    video: Path | None = None
    seconds: float = 0.0  # of the film
    took_seconds: float = 0.0
    error_code: str = ""
    message: str = ""
    hint: str = ""
    is_retryable: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_error(cls, error: VidgenError) -> "Outcome":
        """A failure's."""
        return cls(
            "failed",
            error_code=error.code,
            message=error.message,
            hint=error.hint,
            is_retryable=error.is_retryable,
            details=error.details,
        )


@dataclass(frozen=True, slots=True)
class Began:
    """A worker has taken a film on."""

    order: Order
    worker: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a film's run says of itself."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker died over a film; another goes on with it."""

    order: Order
    worker: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A film is over."""

    order: Order
    outcome: Outcome


class Room:
    """What a film under way leaves to the next at its place, by what it says."""

    def __init__(self) -> None:
        self._stage, self._device = "", ""

    def note(self, event: Envelope) -> None:
        if event.event_type == "stage_update":
            self._stage = str(event.data.get("stage"))
            if self._stage == "initialized":
                self._device = (event.data.get("metadata") or {}).get("device", "")

    @property
    def is_left(self) -> bool:
        """Whether another may begin beside it: not on a GPU, whose memory is for one."""
        return self._device == "cpu" and self._stage in LATE_STAGES

    @property
    def is_near(self) -> bool:
        """Whether it is about to end."""
        return self._stage == LATE_STAGES[-1]


EngineEvent = Began | Told | Lost | Ended


class Engine(Protocol):
    """Makes films somewhere. A context manager: on the way out, what is being made is cancelled."""

    def __enter__(self) -> "Engine": ...

    def __exit__(self, *exception: object) -> None: ...

    def films(self, orders: "deque[Order]") -> Iterator[EngineEvent]:
        """Take orders from the left until there are none and all have ended.

        Orders may be added while the events are read.
        """
        ...
