"""Two hundred requests that no good client would send, as the bytes that go over the line."""

import struct
from collections.abc import Iterator
from typing import Final

TOKEN: Final = "a-token-of-enough-letters-for-strangers"


def requests(task: str) -> Iterator[bytes]:
    """Written by hand; half of them with the token, so that they come past the door."""
    paths = [
        "/",
        "/../../../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/x",
        "/a%00b",
        "//x.y/z",
        "/?token=" + "x" * 4000,
        "/api/tasks?limit=-1",
        "/api/tasks?limit=1e99",
        "/api/tasks?offset=NaN",
        "/api/tasks?search=" + "%25" * 999,
        f"/api/tasks/{task}/events?after=9223372036854775808",
        f"/api/tasks/{task}/events?after=-1&wait=1e308",
        f"/api/tasks/{task}/previews/..%2frequest.json",
        f"/api/tasks/{task}/previews/%2e%2e",
        f"/api/tasks/{task}/video",
        "/api/tasks/..%2f..%2fx",
        "/api/tasks/" + "a" * 5000,
        "/api/tasks/\x1b]0;x\x07",
        "/api/tasks/{0.__class__}",
        "/api/batches/%00",
        f"/api/tasks/{task}/logs?since=x&level=%1b[2J",
        f"/api/sse/progress/{task}?after=zz-zz",
        "/api/sse/progress?" + "task_id=x&" * 900,
        "/api/stats?days=1e400",
        "/healthz%0d%0aX: y",
        "*",
        "http://evil.example/",
        "/api/ws/progress/x/latest",
        "/metrics?x[]=1&x[]=2",
    ]
    for number, path in enumerate(paths):
        yield _head("GET", path, _KEY if number % 2 else b"")
        yield _head("GET", path, _KEY, host=b"evil.example")
    for method in (
        "PUT",
        "PATCH",
        "TRACE",
        "CONNECT",
        "OPTIONS",
        "HEAD",
        "DELETE",
        "X" * 2000,
        "get",
    ):
        yield _head(method, f"/api/tasks/{task}", _KEY)
        yield _head(method, "/", b"")
    for name, value in (
        (b"Origin", b"http://evil.example"),
        (b"Origin", b"null"),
        (b"Range", b"bytes=0-,0-" * 900),
        (b"Range", b"bytes=99999999999999999999-"),
        (b"Last-Event-ID", b"\xff\xfe"),
        (b"Cookie", b"vidgen=" * 900),
        (b"Authorization", b"Bearer \xff"),
        (b"Authorization", b"Basic " + b"A" * 9000),
        (b"X" * 9000, b"y"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Transfer-Encoding", b"gzip, chunked"),
        (b"Content-Length", b"-5"),
        (b"Content-Length", b"99999999999999999999999"),
        (b"Expect", b"100-continue"),
        (b"Upgrade", b"h2c"),
        (b"X-Forwarded-For", b"1.2.3.4, " * 900),
        (b"X-HTTP-Method-Override", b"DELETE"),
        (b"Host", b"a\0b"),
    ):
        yield _head("GET", f"/api/tasks/{task}/video", _KEY + name + b": " + value + b"\r\n")
        yield _head("POST", "/api/video-generation/generate", _KEY + name + b": " + value + b"\r\n")
    for body in _BODIES:
        yield _post(body, b"multipart/form-data; boundary=x")
        yield _post(body, b"application/json")
    yield _post(_form(photo=b"x", audio=b"y", seed=b"1.5"), b"multipart/form-data; boundary=x")
    for field_name in ("height", "seed", "renderer", "person", "title", "background", "language"):
        for value in (b"nan", b"-1", b"\x1b]0;x\x07", b"{0.__class__}", b"../../x", b"9" * 999):
            yield _post(
                _form(photo=b"x", audio=b"y", **{field_name: value}),
                b"multipart/form-data; boundary=x",
            )
    yield from _JUNK
    for sent in _FRAMES:
        yield _UPGRADE + sent


_KEY: Final = f"Authorization: Bearer {TOKEN}\r\n".encode()
_UPGRADE: Final = (
    b"GET /api/ws/progress HTTP/1.1\r\nHost: localhost\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + _KEY + b"\r\n"
)


def _frame(first: int, text: bytes) -> bytes:
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + struct.pack(">H", len(text))
    return bytes([first]) + size + bytes(4) + text


_FRAMES: Final = (
    b"\x81\x05hello",
    b"\xff" * 99,
    _frame(0x80, b"x"),
    _frame(0x81, b"\xff\xfe"),
    _frame(0x83, b""),
    b"\x81\xff" + b"\x7f" * 8,
    _frame(0x89, b"x" * 125) * 9000,
    _frame(0x09, b"x"),
    _frame(0x01, b"{") * 3,
    *(
        _frame(0x81, text)
        for text in (
            b"[" * 9000,
            b"null",
            b'{"type":[]}',
            b'{"type":"subscribe","task_ids":{}}',
            b'{"type":"subscribe","task_id":"../.."}',
            b'{"type":"get_batch_progress","batch_id":"\\u0000"}',
            b'{"type":"subscribe","task_id":"x","after":{}}',
            b'{"type":1e400}',
        )
    ),
)
_JUNK: Final = (
    b"",
    b"\0" * 5000,
    b"\x16\x03\x01\x02\0\x01",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /\r\n\r\n",
)
_BODIES: Final = (
    b"",
    b"{",
    b"[" * 100_000,
    b"null",
    b'"\\ud800"',
    b"--x\r\n",
    b"--x--\r\n",
    b"--x\r\n\r\n\r\n--x--\r\n",
    b'--x\r\nContent-Disposition: form-data; name="photo"; filename="../../../x.jpg"'
    b"\r\n\r\nx\r\n--x--\r\n",
    b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 3000 + b"--x--\r\n",
    b"--x\r\n" + b"X-A: y\r\n" * 5000 + b"\r\nx\r\n--x--\r\n",
    b'{"photo":"/etc/passwd","audio":"/etc/shadow"}',
    b'{"photo":{"$ne":1}}',
)


def _head(method: str, path: str, more: bytes, host: bytes = b"localhost") -> bytes:
    first = f"{method} {path} HTTP/1.1\r\n".encode("utf-8", "surrogateescape")
    return first + b"Host: " + host + b"\r\nConnection: close\r\n" + more + b"\r\n"


def _post(body: bytes, kind: bytes) -> bytes:
    about = b"Content-Type: %b\r\nContent-Length: %d\r\n" % (kind, len(body))
    return _head("POST", "/api/video-generation/generate", _KEY + about) + body


def _form(**parts: bytes) -> bytes:
    lines = []
    for name, value in parts.items():
        file = f'; filename="{name}.jpg"' if name in ("photo", "audio") else ""
        lines.append(
            f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value
        )
    return b"\r\n".join([*lines, b"--x--\r\n"])
