"""A small web server that gives files away well or badly, for the tests of downloads.

It speaks enough of a hub's manners (`/owner/name/resolve/revision/path`, X-Repo-Commit, ETag)
for huggingface_hub, and enough HTTP (ranges, If-Range, redirects) for everybody else.
"""

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Mirror:
    """The files by path, how to misbehave, and what was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)  # sent first, one per GET
    cuts: list[int] = field(default_factory=list)  # body bytes sent before a cut, one per GET
    redirects: dict[str, str] = field(default_factory=dict)  # path → where it went
    hold: float = 0.0  # seconds between the head and the first piece
    pause: float = 0.0  # seconds between pieces of 16 KiB
    ranges: bool = True  # else every answer is the whole file
    validators: bool = True  # else no ETag with a body, as some stores behind a hub
    lengths: bool = True  # else no Content-Length: the end of the connection is the end
    asked: list[tuple[str, str]] = field(default_factory=list)  # GETs: path, Range
    tokens: list[str] = field(default_factory=list)  # GETs: Authorization
    url: str = ""

    def etag(self, path: str) -> str:
        return f'"{hashlib.sha256(self.files[path]).hexdigest()}"'


@contextmanager
def serving(mirror: Mirror) -> Iterator[Mirror]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def do_HEAD(self) -> None:  # http.server's name
            path = self.path.partition("?")[0]
            if path in mirror.files:
                self._head(200, path, len(mirror.files[path]))
            else:
                self._refuse(404)

        def do_GET(self) -> None:  # http.server's name
            path = self.path.partition("?")[0]
            mirror.asked.append((path, self.headers.get("Range", "")))
            mirror.tokens.append(self.headers.get("Authorization", ""))
            if mirror.statuses:
                self._refuse(mirror.statuses.pop(0))
            elif path in mirror.redirects:
                self.send_response(302)
                self.send_header("Location", mirror.redirects[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif path in mirror.files:
                self._give(path)
            else:
                self._refuse(404)

        def _give(self, path: str) -> None:
            body, first = mirror.files[path], 0
            wanted = self.headers.get("Range", "")
            same = self.headers.get("If-Range", mirror.etag(path)) == mirror.etag(path)
            if wanted and mirror.ranges and same:
                first = int(wanted.removeprefix("bytes=").partition("-")[0])
                if first >= len(body):
                    self._refuse(416, f"bytes */{len(body)}")
                    return
            self._head(206 if first else 200, path, len(body) - first, first)
            end = first + mirror.cuts.pop(0) if mirror.cuts else len(body)
            time.sleep(mirror.hold)
            with suppress(ConnectionError):  # the other side had enough
                self._send(body, first, end)
            if end < len(body):
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

        def _send(self, body: bytes, first: int, end: int) -> None:
            for start in range(first, min(end, len(body)), 16 * 1024):
                self.wfile.write(body[start : min(start + 16 * 1024, end)])
                time.sleep(mirror.pause)
            self.wfile.flush()

        def _head(self, status: int, path: str, length: int, first: int = 0) -> None:
            size = len(mirror.files[path])
            self.send_response(status)
            if mirror.validators or self.command == "HEAD":
                self.send_header("ETag", mirror.etag(path))
            self.send_header("X-Repo-Commit", "0" * 40)
            if status == 206:
                self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
            if mirror.lengths:
                self.send_header("Content-Length", str(length))
            else:
                self.send_header("Connection", "close")
            self.end_headers()

        def _refuse(self, status: int, content_range: str = "") -> None:
            self.send_response(status)
            if content_range:
                self.send_header("Content-Range", content_range)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        mirror.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield mirror
        finally:
            server.shutdown()
            thread.join()
