"""How the fake D-ID answers, and every way in which it can fail to. Knows no talk."""

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal


@dataclass(frozen=True)
class Answer:
    """A status with a JSON value, text, bytes or nothing."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """An answer that is none. `accepts`: what was asked is done all the same."""

    answer: Answer = field(default_factory=lambda: Answer(200))
    accepts: bool = False
    act: Literal["answer", "reset", "close", "cut", "stall"] = "answer"


# method, path with query, headers, body -> what to send back
Answering = Callable[[str, str, Mapping[str, str], bytes], Answer | Fault]


def problem(status: int, kind: str, description: str, details: Any = None) -> Answer:
    """D-ID's JsonError."""
    more = {"details": details} if details is not None else {}
    return Answer(status, {"kind": kind, "description": description, **more})


_SLOW_DOWN: Final = {"message": "Too Many Requests"}
_TIMED_OUT: Final = {"message": "Endpoint request timed out"}

FAULTS: Final[Mapping[str, Fault]] = {
    "400-validation": Fault(
        problem(400, "ValidationError", "validation failed", {"body.script": {"message": "no"}})
    ),
    "400-bad-request": Fault(problem(400, "BadRequestError", "invalid actor url")),
    "400-size": Fault(problem(400, "InvalidFileSizeError", "file size exceeded 10 MB")),
    "400-resolution": Fault(problem(400, "InvalidImageResolutionError", "invalid resolution")),
    "400-duration": Fault(problem(400, "InvalidAudioDurationError", "invalid duration")),
    "401": Fault(problem(401, "AuthorizationError", "user unauthenticated")),
    "402": Fault(problem(402, "InsufficientCreditsError", "not enough credits")),
    "403-stitch": Fault(problem(403, "PermissionError", "user has no permission for stitch")),
    "403": Fault(problem(403, "PermissionError", "user has no permission for subtitles")),
    "404": Fault(problem(404, "NotFoundError", "not found")),
    "409": Fault(problem(409, "NotReadyError", "talk is in process, try again later")),
    "413": Fault(Answer(413, {"message": "Request Too Long"})),
    "415": Fault(problem(415, "UnsupportedMimeTypeError", "mime type is not supported")),
    "418": Fault(Answer(418, {"message": "I'm a teapot"})),
    "429": Fault(Answer(429, _SLOW_DOWN)),
    "429-wait": Fault(Answer(429, _SLOW_DOWN, {"Retry-After": "7"})),
    "429-long": Fault(Answer(429, _SLOW_DOWN, {"Retry-After": "86400"})),
    "451-image": Fault(problem(451, "ImageModerationError", "Automatic content moderation")),
    "451-celebrity": Fault(problem(451, "CelebrityRecognizedError", "celebrity recognized")),
    "451-audio": Fault(problem(451, "AudioModerationError", "Automatic audio moderation failed")),
    "451-text": Fault(problem(451, "TextModerationError", "Automatic text moderation failed")),
    "451": Fault(Answer(451, "")),
    "500": Fault(problem(500, "InternalServerError", "Internal Server Error")),
    "500-accepted": Fault(problem(500, "InternalServerError", "oops"), accepts=True),
    "502": Fault(Answer(502, "<html>Bad Gateway</html>")),
    "503": Fault(Answer(503, "")),
    "504": Fault(Answer(504, _TIMED_OUT)),
    "504-accepted": Fault(Answer(504, _TIMED_OUT), accepts=True),
    "reset": Fault(act="reset"),
    "reset-accepted": Fault(act="reset", accepts=True),
    "close": Fault(act="close"),
    "close-accepted": Fault(act="close", accepts=True),
    "cut": Fault(act="cut"),
    "cut-accepted": Fault(act="cut", accepts=True),
    "stall": Fault(act="stall"),
    "stall-accepted": Fault(act="stall", accepts=True),
    "html": Fault(Answer(200, "<html>hello</html>")),
    "html-accepted": Fault(Answer(201, "<html>hello</html>"), accepts=True),
    "empty": Fault(Answer(200, "")),
    "empty-accepted": Fault(Answer(201, ""), accepts=True),
    "list": Fault(Answer(200, [])),
    "list-accepted": Fault(Answer(201, []), accepts=True),
    "redirect": Fault(Answer(302, "", {"Location": "http://127.0.0.1:9/elsewhere"})),
    "echo-key": Fault(problem(400, "BadRequestError", "invalid key {authorization} of a@b.org")),
}
STALL_SECONDS: Final = 3.0  # longer than any test's timeout


def send(handler: BaseHTTPRequestHandler, answer: Answer | Fault) -> None:
    """Write the answer, or do what the fault says instead."""
    act = "answer"
    if isinstance(answer, Fault):
        act, answer = answer.act, answer.answer
    with contextlib.suppress(OSError):  # the other side may be dead
        if act == "stall":
            time.sleep(STALL_SECONDS)
        if act == "reset":
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if act in ("reset", "close", "stall"):
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_WR) if act == "close" else None
            handler.connection.close()
            return
        _write(handler, answer, is_cut=act == "cut")


def _write(handler: BaseHTTPRequestHandler, answer: Answer, is_cut: bool) -> None:
    content, kind = _encoded(answer.body)
    sent = handler.headers.get("Authorization") or ""
    content = content.replace(b"{authorization}", sent.encode())
    handler.send_response(answer.status)
    if "Content-Type" not in answer.headers:
        handler.send_header("Content-Type", kind)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if answer.status != 204:
        handler.send_header("Content-Length", str(len(content) + 1000 * is_cut))
    handler.end_headers()
    handler.wfile.write(content)
    handler.wfile.flush()
    if is_cut:
        handler.close_connection = True


def _encoded(body: Any) -> tuple[bytes, str]:
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/html"
    return (b"" if body is None else json.dumps(body).encode()), "application/json"


class Server(ThreadingHTTPServer):
    """Answers every request, each connection in a thread of its own."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], answer: Answering) -> None:
        self.answer = answer
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is the point of many tests; nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in one packet: the second of two waits 40 ms for the client's ACK.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: Server

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        headers = dict(self.headers.items())
        send(self, self.server.answer(self.command, self.path, headers, body))

    do_GET = do_POST = do_DELETE = do_HEAD = handle_one  # noqa: N815  # http.server's names

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the tests read `FakeDid.requests`."""
