"""A host that is none of vidgen's, or hostile: a sentence, little memory, nothing obeyed."""

import gzip
import http.server
import io
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from vidgen.errors import InputError
from vidgen.messages import say
from vidgen.progress.watch.hosts import watch
from vidgen.progress.watch.show import show
from vidgen.progress.watch.timing import Timing

TASK = "11111111-1111-1111-1111-111111111111"
ESCAPES = "\x1b]0;PWN\x07\x1b[2J\u202eabc\x9b31m\r\nINJECTED"
Answer = Callable[[str], tuple[bytes, dict[str, str]]]


@contextmanager
def hostile(answer: Answer) -> Iterator[str]:
    """A server that says to every path what `answer` says; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, headers = answer(self.path)
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                return

        def log_message(self, *_: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def listing(body: object, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _: (content, headers)


@pytest.mark.parametrize(
    "answer",
    [
        listing([]),
        listing(None),
        listing({}),
        listing({"tasks": [1, 2, 3]}),
        listing({"tasks": {"a": 1}}),
        listing({"tasks": [{"task_id": "../../../../x/y?z=", "state": "running"}]}),
        listing({"tasks": [{"task_id": 7, "state": "running"}]}),
        listing({"tasks": []}, **{"Content-Encoding": "gzip"}),
        listing(gzip.compress(bytes(64 << 20)), **{"Content-Encoding": "gzip"}),
        listing({"tasks": [{"task_id": TASK}]}),
    ],
)
def test_what_is_no_answer_of_vidgens_is_refused_with_a_sentence(answer: Answer) -> None:
    with hostile(answer) as url, pytest.raises(InputError) as refused:
        list(watch([url]))
    assert refused.value.code == "page.watch_strange"


def test_an_answer_without_an_end_takes_little_memory() -> None:
    limits = Timing(most_bytes=1 << 20)
    with hostile(listing(b" " * (64 << 20))) as url:
        tracemalloc.start()
        with pytest.raises(InputError):
            list(watch([url], timing=limits))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 200 << 20  # the server's own 64 MB are here, too


def told(*events: tuple[str, dict[str, Any]]) -> Answer:
    """A stream of these events."""
    frames = [
        b"id: abcdef01-%d\ndata: %b\n\n" % (seq, json.dumps(
            {"v": 1, "task_id": TASK, "seq": seq, "event_type": kind,
             "timestamp": "2026-11-26T19:00:00.000Z", "data": data}).encode())
        for seq, (kind, data) in enumerate(events, 1)
    ]  # fmt: skip

    def answer(path: str) -> tuple[bytes, dict[str, str]]:
        if path.startswith("/api/sse"):
            return b"".join(frames), {"Content-Type": "text/event-stream"}
        return json.dumps({"title": ESCAPES, "events": []}).encode(), {}

    return answer


@pytest.mark.parametrize("mode", ["plain", "quiet"])
@pytest.mark.parametrize(
    "data",
    [
        {"message": "", "message_code": "{x:>2000000000}", "metadata": {"x": "a"}},
        {"message": ESCAPES, "message_code": ESCAPES, "stage": ESCAPES, "level": ESCAPES},
        {"message": 5, "stage": {"a": 1}, "metadata": "x", "progress": "NaN", "level": None},
        {"message": "x" * 60_000, "message_code": "live.unit_{0.__class__}"},
    ],
)
def test_a_hostile_event_is_shown_and_not_obeyed(mode: str, data: dict[str, Any]) -> None:
    end = ("error", {"stage": "failed", "progress": -1.0, "message": ESCAPES, "hint": ESCAPES})
    stderr = io.StringIO()
    tracemalloc.start()
    with hostile(told(("log", data), ("stage_update", data), end)) as url:
        assert show([url], TASK, mode=mode, stderr=stderr) == 4
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 << 20
    shown = stderr.getvalue()
    assert not any(sign in shown for sign in ("\x1b", "\x07", "\x9b", "\u202e", "\nINJECTED"))


@pytest.mark.parametrize(
    "code", ["{x:>2000000000}", "{x.__class__.__mro__}", "{x!r:>99999999}", "{", "{}", "no.code"]
)
@pytest.mark.parametrize("language", ["en", "ja", "zh"])
def test_no_word_from_outside_is_a_template(code: str, language: str) -> None:
    assert say(code, {"x": "a"}, language) == code
    assert say("no.such", {"x": "a"}, language, otherwise=code) == code
