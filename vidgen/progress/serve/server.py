"""The server's process: `vidgen serve-progress`, and the child of `vidgen run --serve`.

Binds, runs uvicorn, ends within two seconds. What is answered is `app`'s business.
"""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import uvicorn

from vidgen import signals
from vidgen.errors import InputError, SetupError
from vidgen.paths import Home
from vidgen.progress.serve.app import App
from vidgen.progress.serve.auth import check_token, is_loopback, new_token
from vidgen.progress.serve.connections import Connections, limits_for, open_files_limit
from vidgen.progress.serve.errors import SHORTAGES
from vidgen.progress.serve.protocols import HttpProtocol
from vidgen.progress.serve.settings import USUAL, ServeSettings, Timing
from vidgen.progress.serve.sharing import claim_port
from vidgen.progress.serve.socket_protocol import SocketProtocol
from vidgen.progress.serve.tls import accept_tls
from vidgen.progress.sources.sources import OnLink, Sources
from vidgen.progress.store.privacy import secure_store

SHORTAGE_SECONDS: Final = 60.0
BACKLOG: Final = 2048
SPARE_FILES: Final = 2048  # beside the watchers: logs, short requests, half-open connections
SOCKET_MESSAGE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server can be reached, and the token when it was made here: a given one is known,
    and what is printed may end in a log. `taken` is the port that it was to have, and another
    program has."""

    url: str
    token: str
    taken: int = 0


OnListening = Callable[[Listening], None]
Until = Callable[[App], None]


def serve(
    home: Home,
    rules: ServeSettings,
    tls: tuple[Path | None, Path | None] = (None, None),
    *,
    told: OnListening = lambda _: None,
    on_link: OnLink = lambda *_: None,
    until: Until | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, or until `until`, in a thread of its own, returns.

    `tls` is a certificate and its key, PEM files. `told` hears where, once the port is open,
    `on_link` how the sources are. Beyond loopback a token is made when none is given. Raises
    InputError or SetupError.
    """
    _check_files(tls)
    _say_on_stderr(rules.log_level)
    given = rules.token
    rules = _secure(rules)
    _secure_store(home)
    _allow_files(rules.max_watchers + SPARE_FILES)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(bind(rules.host, rules.port))
        rules = replace(rules, port=listener.getsockname()[1])
        sources = Sources(home, rules.sources, on_link) if rules.sources else None
        app = App(home, rules, sources=sources)
        server = Server(app, *tls)
        _load_certificate(server)
        scheme = "https" if tls[0] else "http"
        stack.enter_context(claim_port(home, scheme, rules.port))
        made = "" if given else rules.token
        told(Listening(f"{scheme}://{_display_host(rules.host)}:{rules.port}/", made))
        if until:
            threading.Thread(target=_end_after, args=(until, app, server), daemon=True).start()
        gc.collect()
        gc.freeze()  # what is here now stays: no collection need look at it again
        with contextlib.suppress(KeyboardInterrupt):  # how a person ends a server
            server.run(sockets=[listener])


def _say_on_stderr(level: str) -> None:
    """Warnings come there by themselves."""
    if level == "debug":
        logging.basicConfig(format="%(asctime)s %(message)s")
        logging.getLogger("vidgen.progress").setLevel(logging.DEBUG)


def _secure_store(home: Home) -> None:
    """A store that may only be read is served as well."""
    try:
        secure_store(home)
    except SetupError:
        if not os.access(home.tasks, os.R_OK | os.X_OK):
            raise


def _end_after(until: Until, app: App, server: "Server") -> None:
    until(app)
    server.should_exit = True


def _check_files(files: Sequence[Path | None]) -> None:
    for file in files:
        if file is not None and not file.is_file():
            raise InputError(
                "There is no file {path}.",
                hint="Give PEM files to both --tls-cert and --tls-key.",
                code="page.no_certificate",
                path=str(file),
            )


def _load_certificate(server: "Server") -> None:
    try:
        server.config.load()
    except (OSError, ValueError, ssl.SSLError) as error:
        raise SetupError(
            "The TLS certificate or its key cannot be used: {reason}.",
            hint="Give PEM files to both --tls-cert and --tls-key.",
            code="page.bad_certificate",
            reason=error.strerror or str(error) if isinstance(error, OSError) else str(error),
        ) from error


def _allow_files(wanted: int) -> None:
    """Raise this process's limit of open files (often 1,024) as far as it is allowed to."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _secure(rules: ServeSettings) -> ServeSettings:
    token = check_token(rules.token)
    if rules.accepts_jobs or not is_loopback(rules.host):
        token = token or new_token()
    return replace(rules, token=token)


def _display_host(host: str) -> str:
    """The host in an address: one that others can type."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  # shown as a name, bound because asked for
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _strange_host(host: str) -> InputError:
    return InputError(
        "The address {host} is not one of this machine's.",
        hint="Use 127.0.0.1 for this machine only, or 0.0.0.0 for all its networks.",
        code="page.bad_host",
        host=host,
    )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SetupError when the port is taken, InputError for a bad host."""
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, OverflowError) as error:
        raise _strange_host(host) from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)  # from here on nobody is turned away
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise _strange_host(host) from error
        raise SetupError(
            "Port {port} of {host} cannot be opened: {reason}.",
            hint="Another server may be there already; choose another --port.",
            code="page.port_taken",
            port=port,
            host=host,
            reason=error.strerror or str(error),
        ) from error
    return listener


class _ShortageFilter:
    """Says once a minute, not for every connection, that no more can be let in."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in SHORTAGES:
            if self._clock() - self._said_at < SHORTAGE_SECONDS:
                return
            self._said_at = self._clock()
        loop.default_exception_handler(context)


class Server(uvicorn.Server):
    """uvicorn with our protocols, silent, and with a farewell to the watchers."""

    def __init__(
        self,
        app: App,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
        timing: Timing = USUAL,
    ) -> None:
        self._app = app
        self._timing = timing
        self._entrances: list[asyncio.Task[None]] = []
        rules = app.rules
        limits = limits_for(open_files_limit(), rules.max_watchers, rules.per_address)
        self._connections = Connections(*limits, rules.proxies)
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # strangers' garbage is no news
        super().__init__(
            uvicorn.Config(
                app,
                http=cast(
                    type[HttpProtocol],
                    partial(HttpProtocol, connections=self._connections, timing=timing),
                ),
                ws=SocketProtocol,  # taken by `HttpProtocol` at the upgrade
                backlog=BACKLOG,
                log_config=None,  # an access log would hold addresses, and a token given in one
                access_log=False,
                proxy_headers=bool(rules.proxies),
                forwarded_allow_ips=list(rules.proxies),
                server_header=False,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=15,
                ws_ping_interval=timing.ping,
                ws_ping_timeout=timing.pong,
                ws_max_size=SOCKET_MESSAGE_BYTES,
                ws_per_message_deflate=False,
                ssl_certfile=tls_cert,
                ssl_keyfile=str(tls_key) if tls_key else None,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_ShortageFilter())
        self._watching = loop.create_task(self._connections.watch(self._timing.look))
        context, self.config.ssl = self.config.ssl, None
        if context is None or sockets is None:
            await super().startup(sockets)
            return
        await super().startup([])  # uvicorn's own part, which then listens nowhere
        for listener in sockets:
            entrance = accept_tls(
                listener, self._protocol, context, self._connections, self._timing.head
            )
            self._entrances.append(loop.create_task(entrance))

    def _protocol(self) -> asyncio.Protocol:
        """What uvicorn makes for each connection."""
        make = cast(Callable[..., asyncio.Protocol], self.config.http_protocol_class)
        state = {"server_state": self.server_state, "app_state": self.lifespan.state}
        return make(config=self.config, **state)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does, but what was ignored at the start (`nohup`, a script's `&`) stays so."""
        is_main = threading.current_thread() is threading.main_thread()  # others may set none
        ignored = [n for n in signals.SIGNALS if is_main and signals.is_ignored(n)]
        with super().capture_signals():
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)
            yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for entrance in self._entrances:
            entrance.cancel()
        await self._app.hub.close()
        await super().shutdown(sockets)
        self._watching.cancel()
