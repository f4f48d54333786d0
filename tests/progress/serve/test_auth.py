"""Who may come in, and how many at once."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import httpx
import pytest

from tests.support.serving import (
    Run,
    Served,
    answers,
    raw,
    resident_mb,
    served,
    sse,
    stream,
    wait_until,
)
from vidgen.paths import Home
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.limits import Limits
from vidgen.progress.serve.auth import Auth
from vidgen.progress.serve.sessions import Sessions

TOKEN = "a-token-of-enough-letters-for-a-test"


@pytest.fixture
def run(home: Home) -> Run:
    return Run(home, request={"inputs": {"photo": {"path": "/home/x/anna.jpg"}}})


@pytest.fixture
def locked(home: Home) -> Any:
    with served(home, token=TOKEN) as server:
        yield server


def test_without_the_token_nothing_is_told(locked: Served) -> None:
    for path in ("/api/tasks", "/metrics", "/api/sse/progress"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = httpx.get(locked.url + path, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert httpx.get(f"{locked.url}/healthz").status_code == 200


def test_the_token_lets_in(locked: Served) -> None:
    answer = httpx.get(f"{locked.url}/api/tasks", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200


def test_a_token_in_the_address_is_changed_for_a_cookie_at_once(locked: Served) -> None:
    with httpx.Client(base_url=locked.url) as browser:
        answer = browser.get(f"/api/tasks?limit=5&token={TOKEN}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/api/tasks?limit=5")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert TOKEN not in cookie
        assert browser.get("/api/tasks").status_code == 200
        assert browser.get("/api/tasks?token=wrong-and-long-enough").status_code == 200


def test_a_wrong_token_in_the_address_is_refused(locked: Served) -> None:
    answer = httpx.get(f"{locked.url}/api/tasks?token=wrong-and-long-enough")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "wrong_token")


def test_the_page_changes_the_token_for_a_cookie(locked: Served) -> None:
    with httpx.Client(base_url=locked.url) as browser:
        assert browser.post("/api/session").status_code == 401
        answer = browser.post("/api/session", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 204
        assert browser.get("/api/tasks").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "localhost.evil.example"])
def test_another_host_name_is_refused(home: Home, host: str) -> None:
    with served(home) as server:
        answer = raw(server.port, "GET /api/tasks HTTP/1.1", host=host)
    assert b" 421 " in answer.split(b"\r\n")[0]


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:99", "[::1]:80", "192.168.1.7", "box.example"]
)
def test_own_names_and_addresses_are_answered(home: Home, host: str) -> None:
    with served(home, host_names=("box.example",)) as server:
        answer = raw(server.port, "GET /api/tasks HTTP/1.1", host=host)
    assert b" 200 " in answer.split(b"\r\n")[0]


def test_other_sites_are_refused_and_get_no_cors(home: Home) -> None:
    with served(home, origins=("https://app.example",)) as server:
        url = f"{server.url}/api/tasks"
        assert httpx.get(url, headers={"Origin": "https://evil.example"}).status_code == 403
        assert httpx.get(url, headers={"Origin": "null"}).status_code == 403
        own = httpx.get(url, headers={"Origin": server.url})
        asked = httpx.get(url, headers={"Origin": "https://app.example"})
    assert (own.status_code, asked.status_code) == (200, 200)
    assert "access-control-allow-origin" not in own.headers
    assert asked.headers["access-control-allow-origin"] == "https://app.example"


def test_answers_are_hardened(home: Home) -> None:
    with served(home) as server:
        for path in ("/", "/api/tasks", "/nothing"):
            headers = httpx.get(server.url + path).headers
            assert headers["content-security-policy"].startswith("default-src 'none'; ")
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert "server" not in headers


def test_a_bug_tells_no_path_and_no_trace(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("/secret/path")

    with served(home) as server:
        monkeypatch.setattr(server.app.listing, "page", broken)
        answer = httpx.get(f"{server.url}/api/tasks")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "bug")
    assert "secret" not in answer.text


def test_no_log_ever_holds_the_token(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with served(home, token=TOKEN) as server:
        for path in ("/", "/api/tasks", "/api/sse/progress/x", "/nothing"):
            httpx.get(f"{server.url}{path}?token={TOKEN}")
            httpx.get(f"{server.url}{path}", headers={"Authorization": f"Bearer {TOKEN}"[:-1]})
        raw(server.port, f"GET /?token={TOKEN}\x00 HTTP/1.1")
    server_said = [r.getMessage() for r in caplog.records if not r.name.startswith("http")]
    assert not any(TOKEN[:-1] in message for message in server_said)


@pytest.mark.parametrize("given", [TOKEN, ""])
def test_only_a_token_that_was_made_here_is_printed(home: Home, given: str) -> None:
    """What a service prints ends in a log."""
    command = [sys.executable, "-m", "vidgen", "serve-progress", "--host=0.0.0.0", "--port=0"]
    if given:
        (home.root / "token").write_text(f"{given}\n")
        command.append(f"--token-file={home.root / 'token'}")
    env = os.environ | {"VIDGEN_HOME": str(home.root)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr is not None
        port = int(process.stderr.readline().rstrip("/\n").rpartition(":")[2])
        wait_until(lambda: answers(port))
        key = {"Authorization": f"Bearer {given or 'none'}"}
        answered = [httpx.get(f"http://127.0.0.1:{port}/api/tasks", headers=h) for h in ({}, key)]
        process.terminate()
        rest = process.stderr.read()
    assert [answer.status_code for answer in answered] == [401, 200 if given else 401]
    assert re.fullmatch("" if given else r"Token [\w-]{43}\n", rest)


def test_too_many_streams_are_told_when_to_come_back(home: Home, run: Run) -> None:
    run.write("log")
    with served(home, max_watchers=3, per_address=2) as server, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(stream(sse(server, run))) for _ in range(2)]
        for events in streams:
            events.take(1)
        answer = httpx.get(sse(server, run))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    with served(home, max_watchers=1) as server, stream(sse(server, run)) as events:
        events.take(1)
        answer = httpx.get(sse(server, run))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_a_place_is_free_again_when_its_watcher_has_gone(home: Home, run: Run) -> None:
    run.write("log")
    with served(home, max_watchers=1) as server:
        for _ in range(3):
            wait_until(lambda: server.app.hub.watcher_count == 0)
            with stream(sse(server, run)) as events:
                assert events.take(1)[0][1]["seq"] == 1


def test_a_thousand_resets_leave_no_place_taken(home: Home, run: Run) -> None:
    run.write("log")
    request = f"GET /api/sse/progress/{run.id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with served(home, max_watchers=5, per_address=5) as server:
        for number in range(1000):
            with socket.create_connection(("127.0.0.1", server.port)) as peer:
                peer.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0])
                )
                peer.sendall(request)
                if number % 3 == 0:
                    peer.recv(10)
        wait_until(lambda: server.app.hub.watcher_count == 0)
        with stream(sse(server, run)) as events:
            assert events.take(1)[0][1]["seq"] == 1


def _one_byte_at_a_time(peer: socket.socket, stop: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not stop.wait(0.1) and peer.recv(1):
            pass


def test_a_reader_of_a_byte_at_a_time_is_cut_and_memory_stays(home: Home, run: Run) -> None:
    with served(home, hub=Hub(home, Limits(stall_seconds=0.5))) as server:
        before = resident_mb(os.getpid())
        slow = socket.create_connection(("127.0.0.1", server.port))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(f"GET /api/sse/progress/{run.id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        slow.recv(1)
        stop = threading.Event()
        reading = threading.Thread(target=_one_byte_at_a_time, args=(slow, stop))
        reading.start()
        with stream(sse(server, run)) as events:
            for _ in range(60):
                run.write("log", count=20, text="x" * 5000)  # 6 MB in all
                events.take(20)
            wait_until(lambda: server.app.hub.cuts == 1)
            assert server.app.hub.watcher_count == 1  # the other one is still here
        assert resident_mb(os.getpid()) - before < 40
        stop.set()
        reading.join()
        slow.close()


def test_a_slow_watcher_gets_the_newest_snapshots_and_every_other_event(
    home: Home, run: Run
) -> None:
    run.write("log")
    with served(home) as server:
        peer = socket.create_connection(("127.0.0.1", server.port))
        peer.sendall(f"GET /api/sse/progress/{run.id} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        wait_until(lambda: server.app.hub.watcher_count == 1)
        for _ in range(200):  # far more than the socket's buffers take, while nobody reads
            run.write("progress_update", count=19, filler="x" * 3000)
            run.write("log")
            time.sleep(0.002)
        run.write("complete")
        content = b""
        while chunk := peer.recv(1 << 16):
            content += chunk
        peer.close()
    events = [json.loads(line[6:]) for line in content.split(b"\n") if line.startswith(b"data: ")]
    seqs = [event["seq"] for event in events]
    kept = [event["seq"] for event in events if event["event_type"] != "progress_update"]
    assert seqs == sorted(set(seqs))
    assert kept == [1, *range(21, 4002, 20), 4002]
    assert len(seqs) < 3500


@pytest.mark.parametrize(("scheme", "is_secure"), [("http", False), ("https", True), ("wss", True)])
def test_over_tls_the_cookie_is_for_tls_only(scheme: str, is_secure: bool) -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "scheme": scheme,
             "query_string": f"token={TOKEN}".encode()}  # fmt: skip
    response = Sessions(Auth(TOKEN)).exchange(scope, is_in=False)
    assert ("Secure" in response.headers["set-cookie"].split("; ")) is is_secure
