"""Let https connections in: each counts before its handshake is done, and has not for ever for it.

The event loop's own server tells nobody of a connection that never shakes hands.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

from vidgen.progress.serve.connections import Connections

SHORTAGE_SECONDS: Final = 1.0  # without descriptors, until the next look


class Handshake:
    """A connection that has said nothing yet; the first to go when its address has too many."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def when_over(self, call: "Callable[[Handshake], None]") -> None:
        self._task.add_done_callback(lambda _: call(self))

    def abort(self) -> None:
        self._task.cancel()

    def check(self, now: float) -> None:
        """Its time is measured where it is awaited."""


async def accept_tls(
    listener: socket.socket,
    make: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext,
    connections: Connections,
    seconds: float,
) -> None:
    """Accept for ever; each connection gets a protocol of `make` after a handshake of at most so
    many `seconds`."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        try:
            peer, address = await loop.sock_accept(listener)
        except OSError as error:
            loop.call_exception_handler({"message": "accept failed", "exception": error})
            await asyncio.sleep(SHORTAGE_SECONDS)
            continue
        handshake = Handshake(loop.create_task(_shake(peer, make, context, seconds)))
        connections.admit(handshake, str(address[0]))
        handshake.when_over(connections.release)


async def _shake(
    peer: socket.socket,
    make: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext,
    seconds: float,
) -> None:
    """Garbage, or a peer that is gone or too slow: strangers' trouble, and no news."""
    loop = asyncio.get_running_loop()
    try:
        with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
            await loop.connect_accepted_socket(
                make, peer, ssl=context, ssl_handshake_timeout=seconds
            )
            return
    except asyncio.CancelledError:
        pass
    peer.close()
