"""Where a server listens, and what it allows. Loads nothing of the server."""

from dataclasses import dataclass
from typing import Final

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 55433


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What a server allows. A `token` of "" lets everybody in; a `port` of 0 takes a free one, any
    other 0 is no limit."""

    host: str = DEFAULT_HOST
    port: int = 0
    token: str = ""
    accepts_jobs: bool = False
    max_watchers: int = 2000
    per_address: int = 200
    host_names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    job_seconds: float = 6 * 3600.0  # the longest that an ordered run may take
