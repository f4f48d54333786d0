"""One server for one store on one port: who starts a second one is shown the first.

A lock in the store says that its own server is at a port; it ends with the server, however that
ends, and needs no question over the network.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from vidgen.files import make_private
from vidgen.paths import Home
from vidgen.progress.store.lock import Lock, LockHeld, is_held
from vidgen.settings import DEFAULT_HOST


@contextmanager
def claim_port(home: Home, scheme: str, port: int) -> Iterator[None]:
    """Say, as long as the `with` lasts, that this store's server is there; best effort."""
    with ExitStack() as stack:
        with suppress(LockHeld, OSError):  # at another address of the port; a store only read
            lock = _lock(home, scheme, port)
            make_private(lock.parent)
            stack.enter_context(Lock(lock))
        yield


def find_server(home: Home, port: int) -> str:
    """The address of this store's own server at the port; "" when what is there is not ours."""
    for scheme in ("http", "https"):
        if is_held(_lock(home, scheme, port)):
            return f"{scheme}://{DEFAULT_HOST}:{port}/"
    return ""


def _lock(home: Home, scheme: str, port: int) -> Path:
    return home.root / "servers" / f"{scheme}-{port}.lock"
