"""A TCP line between two programs that can be cut, and be dead for a while."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Final

RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing cuts


class Line:
    """Carries bytes from its own port to another. `count` is how many connections there were."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.is_dead = False
        self.count = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.count += 1
                if self.is_dead:
                    _reset(near)
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                with self._lock:
                    self._open |= {near, far}
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
            return
        self._drop(source, target)

    def _drop(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with self._lock:
                self._open.discard(one)
            _reset(one)

    def cut(self) -> None:
        """Reset whatever is open."""
        with self._lock:
            sockets = tuple(self._open)
        self._drop(*sockets)

    def wait_for(self, count: int, seconds: float = 10.0) -> None:
        """Until there were so many connections."""
        deadline = time.monotonic() + seconds
        while self.count < count:
            assert time.monotonic() < deadline, "nobody came back"
            time.sleep(0.005)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._thread.join()


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextlib.contextmanager
def line_to(port: int) -> Iterator[Line]:
    line = Line(port)
    try:
        yield line
    finally:
        line.close()
