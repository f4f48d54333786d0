"""What other systems' sockets have beside their words: signs of life, silence, limits."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.serving import Run, Served, answers, free_port, served, wait_until
from vidgen.command_options import ServerOptions
from vidgen.errors import InputError
from vidgen.paths import Home
from vidgen.progress.serve import foreign
from vidgen.progress.serve.auth import task_token, token_for
from vidgen.progress.serve.dialects import jobs, projects, signalr, tracker
from vidgen.progress.serve.errors import ApiError
from vidgen.progress.serve.limits import RequestLimit
from vidgen.progress.serve.settings import ServeSettings


@pytest.fixture
def server(home: Home) -> Iterator[Served]:
    with served(home) as server:
        yield server


def socket(server: Served, path: str) -> ClientConnection:
    made: ClientConnection = connect(f"ws://127.0.0.1:{server.port}{path}")
    return made


def age(server: Served, seconds: float) -> None:
    """Let every foreign peer have been silent for so long, and the next beat come."""
    for watcher in tuple(server.app.hub.watchers()):
        assert isinstance(watcher, foreign.ForeignSocket)
        watcher._heard_at = time.monotonic() - seconds
        server.app.hub.loop.call_soon_threadsafe(watcher.beat)


def test_the_periods_are_those_of_the_documents() -> None:
    periods = {
        words.DIALECT.name: (words.DIALECT.ping_seconds, words.DIALECT.silence_seconds)
        for words in (tracker, signalr, projects, jobs)
    }
    assert periods == {"001": (30, 0), "002": (15, 30), "003": (30, 60), "004": (30, 0)}


def test_a_project_that_does_not_answer_is_cut(server: Served, home: Home) -> None:
    Run(home, "1")
    with socket(server, "/api/v1/projects/1/progress") as ws:
        ws.recv(timeout=10)
        age(server, 29)
        while (ping := json.loads(ws.recv(timeout=10)))["event"] != "ping":
            pass
        assert set(ping["data"]) == {"timestamp"}
        age(server, 60)
        left = list(ws)  # ends with the connection
    assert [message for message in left if "ping" in str(message)] == []


def test_a_pong_keeps_a_project_open(server: Served, home: Home) -> None:
    run = Run(home, "1")
    with socket(server, "/api/v1/projects/1/progress") as ws:
        ws.recv(timeout=10)
        age(server, 45)
        ws.send(json.dumps({"event": "pong"}))
        run.write("complete")
        seen = [json.loads(message)["event"] for message in ws]
    assert seen[-1] == "complete"


def test_a_project_that_comes_back_is_told_again(server: Served, home: Home) -> None:
    run = Run(home, "1")
    run.write("progress_update", progress=50)
    seen = []
    for _ in range(2):
        with socket(server, "/api/v1/projects/1/progress") as ws:
            seen.append([json.loads(ws.recv(timeout=10)) for _ in range(2)])
            run.write("progress_update", progress=75)
            seen.append([json.loads(ws.recv(timeout=10))])
        wait_until(lambda: not server.app.hub.watcher_count)  # nothing of it is left
    told = [[(one["event"], one["data"].get("progress")) for one in part] for part in seen]
    half, more = ("progress_update", 50), ("progress_update", 75)
    assert told == [[("connected", None), half], [more], [("connected", None), half], [more]]


def test_a_job_is_kept_alive(server: Served) -> None:
    with socket(server, "/ws/jobs/job_1") as ws:
        ws.recv(timeout=10)
        age(server, 1000)
        ping = json.loads(ws.recv(timeout=10))
    assert (ping["type"], ping["message"], ping["job_id"]) == ("ping", "keepalive", "job_1")


def test_a_signalr_client_hears_nothing_before_the_handshake(server: Served) -> None:
    """The beat of all connections may come between the acceptance and the first word."""
    with socket(server, "/hubs/video-generation") as ws:
        wait_until(lambda: len(tuple(server.app.hub.watchers())) == 1)
        age(server, 1)
        ws.send('{"protocol":"json","version":1}\x1e')
        assert ws.recv(timeout=10) == "{}\x1e"
        age(server, 1)
        assert json.loads(str(ws.recv(timeout=10)).rstrip("\x1e")) == {"type": 6}


def test_a_silent_signalr_client_is_told_and_closed(server: Served) -> None:
    with socket(server, "/hubs/video-generation") as ws:
        ws.send('{"protocol":"json","version":1}\x1e')
        assert ws.recv(timeout=10) == "{}\x1e"
        age(server, 31)
        said = str(ws.recv(timeout=10))
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=10)
    closing = json.loads(said.rstrip("\x1e"))
    assert (closing["type"], closing["allowReconnect"]) == (7, True)


@pytest.mark.parametrize(
    "message", ["no separator", "[]\x1e", "x" * 40_000 + "\x1e", '{"protocol":"x","version":1}\x1e']
)
def test_nonsense_ends_a_signalr_connection(server: Served, message: str) -> None:
    with socket(server, "/hubs/video-generation") as ws:
        if "protocol" not in message:
            ws.send('{"protocol":"json","version":1}\x1e')
            ws.recv(timeout=10)
        ws.send(message)
        assert "error" in json.loads(str(ws.recv(timeout=10)).rstrip("\x1e"))
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=10)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no json", "not_json"),
        ('{"type":"dance"}', "unknown_command"),
        ('{"type":"subscribe","task_ids":[]}', "bad_task_id"),
        ('{"type":"subscribe","task_ids":["../x"]}', "bad_task_id"),
        ('{"type":"subscribe","task_ids":["nobody"]}', "unknown_task"),
    ],
)
def test_a_tracker_says_what_it_cannot_do(server: Served, message: str, code: str) -> None:
    with socket(server, "/api/v1/progress/ws?client_id=x") as ws:
        ws.send(message)
        answer = json.loads(ws.recv(timeout=10))
        ws.send('{"type":"ping"}')
        assert json.loads(ws.recv(timeout=10)) == {"type": "pong"}
    assert (answer["type"], answer["code"]) == ("error", code)


# Requests


def test_requests_are_limited_by_address() -> None:
    now = 0.0
    limit = RequestLimit(2, clock=lambda: now)
    for _ in range(20):  # ten seconds' worth at once
        limit.take("a")
    with pytest.raises(ApiError) as refused:
        limit.take("a")
    limit.take("b")
    now += 0.5
    limit.take("a")
    assert (refused.value.status, refused.value.retry_after > 0) == (429, True)


def test_too_many_requests_are_told_on_every_path(home: Home) -> None:
    paths = ("/healthz", "/", "/api/tasks", "/jobs/x", "/api/sse/progress/x", "/v1/videos/x")
    with served(home, requests_per_second=0.001) as server:  # so that none is left ever
        answers = [httpx.get(server.url + path) for path in paths]
        with pytest.raises(InvalidStatus) as refused:
            socket(server, "/ws/jobs/x")
    answered = [(answer.status_code, answer.headers["retry-after"]) for answer in answers]
    response = refused.value.response
    assert answered == [(429, "5")] * len(paths)
    assert (response.status_code, response.headers["retry-after"]) == (429, "5")


def test_a_token_for_one_task_is_made_of_the_servers() -> None:
    assert token_for("a" * 16, "x") == task_token("a" * 16, "x") != task_token("a" * 16, "y")
    with pytest.raises(InputError, match="not known"):
        token_for("", "x")


# Other sites


def test_refusals_can_be_read_by_sites_that_may_ask(home: Home) -> None:
    site, token = "https://site.example", "a-token-of-enough-letters-for-a-test"
    Run(home, "1").write("complete")
    with served(home, token=token, origins=(site,)) as server:
        url, headers = f"{server.url}/api/sse/progress/1", {"Origin": site}
        refused = httpx.get(url, headers=headers)
        told = httpx.get(f"{url}?token={token}", headers=headers)
        polled = httpx.get(f"{server.url}/api/tasks/1?token={token}", headers=headers)
        asked = httpx.options(
            url, headers={**headers, "Access-Control-Request-Headers": "authorization"}
        )
    for answer in (refused, told, polled, asked):
        assert answer.headers["access-control-allow-origin"] == site
    assert [answer.status_code for answer in (refused, told, polled, asked)] == [401, 200, 200, 204]
    assert "authorization" in asked.headers["access-control-allow-headers"]


# Settings


def chosen(**options: Any) -> ServeSettings:
    return ServeSettings.chosen(ServerOptions(**options))


def test_settings_come_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen().dialects == ("000", "001", "002", "003", "004")
    assert chosen(dialects="none").dialects == ()
    assert chosen(dialects="000, 004").dialects == ("000", "004")
    assert chosen(heartbeat=30).heartbeat_seconds == 30
    monkeypatch.setenv("BASE_URL", "http://localhost:55433")
    assert chosen().public_url == "http://localhost:55433"
    assert chosen(public_url="https://a").public_url == "https://a"
    with pytest.raises(InputError, match="names no system"):
        chosen(dialects="005")


def test_a_server_says_what_happens_when_asked(home: Home, tmp_path: Path) -> None:
    run = Run(home)
    run.write("progress_update")
    port, token = free_port(), "a-token-of-enough-letters-for-a-test"
    command = [sys.executable, "-m", "vidgen", "serve-progress", "--log-level", "debug"]
    environment = {**os.environ, "VIDGEN_HOME": str(home.root), "VIDGEN_TOKEN": token}
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stdout=said, stderr=said
        )
    try:
        wait_until(lambda: answers(port))
        with connect(f"ws://127.0.0.1:{port}/api/ws/progress/{run.id}?token={token}") as ws:
            run.write("complete")
            assert len(list(ws)) == 3  # connected, and two events
        httpx.get(f"http://127.0.0.1:{port}/api/tasks?token=wrong")
    finally:
        process.terminate()
        process.wait(10)
    text = (tmp_path / "said").read_text()
    assert f"WebSocket '/api/ws/progress/{run.id}'" in text
    assert f"{run.id}: watched from 0 on by a PipelineSocket" in text
    assert f"{run.id}: grew up to event 2, 'complete' 'complete' at 100.0 %, for 1 watchers" in text
    assert "a PipelineSocket has gone" in text
    assert "GET '/api/tasks' refused: wrong_token" in text
    assert token not in text
