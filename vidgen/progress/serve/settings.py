"""What a server allows and how long it waits. Loads nothing of the server."""

import os
from dataclasses import dataclass
from typing import Final

from vidgen.command_options import ServerOptions
from vidgen.errors import InputError
from vidgen.progress.sources.address import SourceAddress, parse_sources

DIALECTS: Final = ("000", "001", "002", "003", "004")
CLEAN_SECONDS: Final = 3600.0


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
_TYPED: Final = ServerOptions()  # the defaults stand there


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What a server allows. A `token` of "" lets everybody in; a `port` of 0 takes a free one, any
    other 0 is no limit."""

    host: str = _TYPED.host
    port: int = 0
    token: str = ""
    accepts_jobs: bool = False
    max_watchers: int = _TYPED.max_watchers
    per_address: int = _TYPED.per_ip
    host_names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    job_seconds: float = _TYPED.job_hours * 3600  # the longest that an ordered run may take
    proxies: tuple[str, ...] = ()  # addresses whose X-Forwarded-For is believed
    dialects: tuple[str, ...] = DIALECTS  # the other systems whose clients are answered
    heartbeat_seconds: int = _TYPED.heartbeat
    allows_paid: bool = False  # orders may choose a renderer that sends a bill
    requests_per_second: float = 100  # of one address, on every path, on average
    sources: tuple[SourceAddress, ...] = ()  # whose runs are served, too
    clean_seconds: float = 0.0  # between two looks for what is old enough to go; 0: none
    log_level: str = _TYPED.log_level
    public_url: str = ""  # how clients write our address, where a proxy stands before us

    @classmethod
    def chosen(cls, options: ServerOptions, token: str = "") -> "ServeSettings":
        """What the command line says. Raises InputError."""
        return cls(
            host=options.host,
            port=options.port,
            token=token,
            accepts_jobs=options.accept_jobs,
            max_watchers=options.max_watchers,
            per_address=options.per_ip,
            host_names=tuple(options.allow_host or ()),
            origins=tuple(options.allow_origin or ()),
            job_seconds=options.job_hours * 3600,
            proxies=tuple(options.trust_proxy or ()),
            dialects=_dialects(options.dialects),
            heartbeat_seconds=options.heartbeat,
            allows_paid=options.allow_paid,
            requests_per_second=options.per_second,
            sources=parse_sources(options.sources, options.from_token_file),
            clean_seconds=CLEAN_SECONDS,
            log_level=options.log_level,
            public_url=options.public_url or os.environ.get("BASE_URL", ""),
        )


def _dialects(text: str) -> tuple[str, ...]:
    """`all`, `none`, or numbers with commas between."""
    if text in ("all", "none"):
        return DIALECTS if text == "all" else ()
    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= set(DIALECTS):
        raise InputError(
            "--dialects {value} names no system.",
            hint="Use all, none, or some of {known}, with commas between.",
            code="option.dialects",
            value=text,
            known=", ".join(DIALECTS),
        )
    return names
