"""The server as a child of `vidgen run --serve`: started, told what to serve, ended with the run.

This is the parent's side and loads nothing of the server; the child's is `__main__`. The
settings, with the token, go through a pipe and not through the command line, which everybody on
the machine can read.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from vidgen.errors import InputError, SetupError
from vidgen.paths import Home
from vidgen.settings import DEFAULT_HOST, DEFAULT_PORT

CHILD: Final = "vidgen.progress.serve"
READY_SECONDS: Final = 15.0
END_SECONDS: Final = 11.0  # `Drain` waits 8 s at most, the server's end takes 2


@dataclass(frozen=True, slots=True)
class Subprocess:
    """A server that runs beside us, and its token when it was made for it.

    `taken` is the port that was asked for, where another program has it.
    """

    url: str
    token: str
    taken: int = 0


@contextlib.contextmanager
def start_subprocess(home: Home, address: str = "", token: str = "") -> Iterator[Subprocess]:
    """Serve this home until the `with` ends, or this process does; a page that is open then gets
    the film first.

    `address` is HOST, :PORT or HOST:PORT; "" is loopback at the usual port. Where this store's own
    server is there already, that one is used; where another program is, a free port is taken.
    `token` is VIDGEN_TOKEN's when none is given, as for `serve-progress`.
    Raises InputError or SetupError when it cannot be served there.
    """
    host, port = parse_address(address)
    token = token or os.environ.get("VIDGEN_TOKEN", "")
    wanted = {"home": str(home.root), "host": host, "port": port, "token": token}
    process = subprocess.Popen(  # noqa: S603  # ourselves
        [sys.executable, "-m", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is for the run; watchers must hear how it ended
    )
    try:
        yield _introduce(process, wanted)
    finally:
        _end(process)


@contextlib.contextmanager
def serve_meanwhile(
    home: Home, address: str | None, on_address: Callable[[Subprocess], None]
) -> Iterator[None]:
    """Serve this home when an address is given; `on_address` hears where it can be reached."""
    if address is None:
        yield
        return
    with start_subprocess(home, address) as child:
        on_address(child)
        yield


def parse_address(address: str) -> tuple[str, int]:
    """HOST, :PORT, HOST:PORT or [IPV6]:PORT. Raises InputError."""
    host, _, port = address.rpartition(":") if ":" in address else (address, "", "")
    if address.endswith("]") or (address.count(":") > 1 and not address.startswith("[")):
        host, port = address, ""
    host = host.removeprefix("[").removesuffix("]")
    if port and not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise InputError(
            "{address} is not a host and a port.",
            hint="Write it like 127.0.0.1:55433.",
            code="page.bad_address",
            address=address,
        )
    return host or DEFAULT_HOST, int(port) if port else DEFAULT_PORT


def _introduce(process: "subprocess.Popen[bytes]", wanted: dict[str, Any]) -> Subprocess:
    """Tell the child what to do and hear from it."""
    assert process.stdin is not None
    assert process.stdout is not None
    patience = threading.Timer(READY_SECONDS, process.kill)
    patience.start()
    try:
        with contextlib.suppress(BrokenPipeError):  # it says why, or is dead
            process.stdin.write(json.dumps(wanted).encode() + b"\n")
            process.stdin.flush()
        line = process.stdout.readline()
    finally:
        patience.cancel()
    answer = json.loads(line) if line else {"reason": "it ended at once"}
    if "url" in answer:
        return Subprocess(**answer)
    raise SetupError(
        "The progress server could not be started: {reason}.",
        hint="Run without --serve, or give another address.",
        code="page.not_ready",
        reason=answer["reason"].rstrip("."),
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()  # the child takes this as its end
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
