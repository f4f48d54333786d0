"""How long the fan-out waits and how much it keeps for a watcher. Numbers only."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one hub and all its subscribers; tests pass others."""

    heartbeat_seconds: int = 15
    silent_seconds: float = 3.0  # then the writer is looked for: a living run tells every 2 s
    idle_seconds: float = 60.0  # a log that nobody watches is closed after this
    open_logs: int = 256  # so is the one longest unused when there are more
    stall_seconds: float = 5.0  # a watcher whose socket took nothing for so long is cut
    backlog_bytes: int = 256 * 1024  # so is one further behind than this
    replay_bytes: int = 8 * 1024 * 1024  # more old events than this come as one snapshot


USUAL: Final = Limits()
