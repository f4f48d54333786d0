"""Where a server listens, and what it allows. Loads nothing of the server."""

from dataclasses import dataclass
from typing import Final

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 55433


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient a server is with a connection, in seconds."""

    head: float = 10.0  # for the whole head of a request
    body: float = 20.0  # in which `body_bytes` of a body must come
    body_bytes: int = 10_000
    refused_body: float = 3.0  # for the rest of a body that is answered already
    write: float = 30.0  # in which the other side must take something of what waits for it
    look: float = 5.0  # between two looks at all connections
    ping: float = 30.0  # between the pings of a WebSocket
    pong: float = 30.0  # after a ping: a peer is cut 60 s after its last pong


USUAL: Final = Timing()


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
    proxies: tuple[str, ...] = ()  # addresses whose X-Forwarded-For is believed
