"""How many connections there may be, and whose: one address must not shut out the others.

Streams have a limit of their own (`limits`). A connection that is just being answered is in use;
of those that are not, the oldest goes first when there are too many.
"""

import asyncio
import contextlib
import sys
from collections import Counter
from typing import Final, Protocol

if sys.platform == "linux":
    import fcntl
    import termios

BESIDE_STREAMS: Final = 64  # connections of one address besides its streams
RESERVE: Final = 64  # descriptors for logs, files and whoever is let in to be sent away


class Connection(Protocol):
    """One connection, as far as its place is concerned."""

    def abort(self) -> None: ...

    def check(self, now: float) -> None:
        """End it if nothing has moved for too long."""
        ...


class Connections:
    """All of one server's. `most` in all, `per_address` for one; 0 is no limit."""

    def __init__(self, most: int, per_address: int, proxies: tuple[str, ...] = ()) -> None:
        self.most = most
        self.per_address = per_address
        self._proxies = frozenset(proxies)
        self._address: dict[Connection, str] = {}
        self._count: Counter[str] = Counter()
        self._idle: dict[str, dict[Connection, None]] = {}  # by address, in the order they came

    def admit(self, connection: Connection, address: str) -> None:
        """Let it in; somebody has to go when there are too many."""
        self._address[connection] = address
        self._count[address] += 1
        self.rest(connection)
        is_many = self.per_address and self._count[address] > self.per_address
        if is_many and address not in self._proxies:
            self._let_go(address)
        elif self.most and len(self._address) > self.most:
            self._let_go(max(self._idle, key=lambda name: len(self._idle[name])))

    def use(self, connection: Connection) -> None:
        """It is being answered, by right."""
        idle = self._idle.get(self._address.get(connection, ""), {})
        idle.pop(connection, None)

    def rest(self, connection: Connection) -> None:
        """It waits for its next request."""
        address = self._address.get(connection)
        if address is not None:
            self._idle.setdefault(address, {})[connection] = None

    def release(self, connection: Connection) -> None:
        """It is gone."""
        self.use(connection)
        address = self._address.pop(connection, None)
        if address is None:
            return
        self._count[address] -= 1
        if not self._count[address]:
            del self._count[address]
            self._idle.pop(address, None)

    def replace(self, old: Connection, new: Connection) -> None:
        """The same connection speaks another protocol from now on; it is in use."""
        address = self._address.get(old, "")
        self.release(old)
        self._address[new] = address
        self._count[address] += 1

    def _let_go(self, address: str) -> None:
        oldest = next(iter(self._idle[address]))
        self.release(oldest)
        oldest.abort()

    async def watch(self, seconds: float) -> None:
        """Look at all of them every few seconds, for ever."""
        while True:
            await asyncio.sleep(seconds)
            now = asyncio.get_running_loop().time()
            for connection in tuple(self._address):
                connection.check(now)


def open_files_limit() -> int:
    """How many files this process may have open."""
    if sys.platform == "win32":
        return 8192  # sockets are no files there
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def limits_for(files: int, max_watchers: int, per_address: int) -> tuple[int, int]:
    """(`most`, `per_address`) for a process that may have so many files open."""
    most = max(16, files - RESERVE)
    if max_watchers:
        most = min(most, max_watchers + 1024)
    wanted = per_address + BESIDE_STREAMS if per_address else most
    return most, max(8, min(wanted, most // 2))


def unsent_bytes(transport: asyncio.Transport) -> int:
    """What waits for the other side, here and in the kernel; 0 when nothing waits here."""
    waiting = 0
    with contextlib.suppress(Exception):  # a transport that is just closing
        waiting = transport.get_write_buffer_size()
    raw = transport.get_extra_info("socket") if waiting else None
    if raw is None or sys.platform != "linux":
        return waiting
    with contextlib.suppress(OSError):
        queued = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, bytes(4))
        waiting += int.from_bytes(queued, sys.byteorder)
    return waiting
