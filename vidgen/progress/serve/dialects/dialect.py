"""What every dialect is made of: how another system's clients are told of a run.

A dialect is words, pure functions from our events and snapshots to that system's messages. Who
is sent what, and when, is the core's business (`fanout`, `serve.foreign`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from vidgen.events import Envelope

Json = dict[str, Any]
QUIET: Final = frozenset({"initialized", "queued", "complete", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Before:
    """Where the run was just before an event: its stage, and percent (never below 0)."""

    stage: str = ""
    progress: float = 0.0


# An event → that system's messages; the text is our own address, "" for relative ones.
Says = Callable[[Envelope, Before, str], Sequence[Json]]
# A snapshot (`Snapshot.to_wire`) → what somebody who comes late is told.
Stands = Callable[[Mapping[str, Any], str], Sequence[Json]]
# (task id, RFC 3339 now) → one message.
Note = Callable[[str, str], Json]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One system's words on a socket."""

    name: str  # as `--dialects` has it
    says: Says
    stands: Stands
    ping: Note
    ping_seconds: int
    hello: Note | None = None
    silence_seconds: int = 0  # a peer that says nothing for so long is cut; 0: never
    tells_events: bool = True  # False: each message tells where the run stands
    replays: bool = False  # who comes late is told every event, not only where it stands
    separator: str = ""  # behind each message


def now() -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def number(value: object) -> float | None:
    """The value if it is a number."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def percent(data: Mapping[str, Any]) -> float:
    """The percentage in an event's data, 0–100."""
    return min(100.0, max(0.0, number(data.get("progress")) or 0.0))


def own_metadata(data: Mapping[str, Any]) -> Json:
    """The metadata without the sentence that a `Reporter` puts in it."""
    found = data.get("metadata")
    values = dict(found) if isinstance(found, Mapping) else {}
    if data.get("message_code") == "page.said":
        values.pop("text", None)
    return values


def absolute(url: object, base: str) -> str:
    """An address of ours with `base` before it; a foreign one as it is."""
    text = url if isinstance(url, str) else ""
    return base + text if text.startswith("/") else text


def film_seconds(data: Mapping[str, Any]) -> float:
    """How long the finished film plays; how long the run took when nothing says so."""
    metadata = own_metadata(data)
    for found in (metadata.get("seconds"), metadata.get("duration"), data.get("duration_seconds")):
        if (seconds := number(found)) is not None:
            return seconds
    return 0.0


def result_of(data: Mapping[str, Any], base: str) -> Json:
    """What a finished run made: a Reporter's own `result` as it is, else film, seconds, frames."""
    result = data.get("result")
    if isinstance(result, Mapping):
        return dict(result)
    metadata = own_metadata(data)
    for name in ("path", "poster"):  # files of the machine that made it
        metadata.pop(name, None)
    made = {"video_url": absolute(data.get("video_url"), base), "duration": film_seconds(data)}
    return {**metadata, **made}


def unfinished(data: Mapping[str, Any]) -> tuple[str, str]:
    """(stage, sentence) of an event that ends a run without a result."""
    stage = data.get("failed_stage") or data.get("cancelled_stage") or data.get("interrupted_stage")
    return str(stage or data.get("stage", "")), str(data.get("message", ""))
