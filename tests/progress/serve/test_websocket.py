"""The WebSocket over real sockets: the same events, commands, and endings."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Iterator
from socket import create_connection
from typing import Any

import pytest
from starlette.types import Message
from uvicorn.protocols.utils import ClientDisconnected
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.serving import Run, Served, served, wait_until
from vidgen.paths import Home
from vidgen.progress.fanout.limits import Limits
from vidgen.progress.serve.settings import Timing
from vidgen.progress.serve.websocket import SocketStream

NOBODY = str(uuid.UUID(int=1))
TOKEN = "a-token-of-enough-letters-for-a-test"


@pytest.fixture
def run(home: Home) -> Run:
    return Run(home)


@pytest.fixture
def server(home: Home) -> Iterator[Served]:
    with served(home) as server:
        yield server


def socket(server: Served, path: str = "", **more: Any) -> ClientConnection:
    made: ClientConnection = connect(f"ws://127.0.0.1:{server.port}/api/ws/progress{path}", **more)
    return made


def received(ws: ClientConnection) -> dict[str, Any]:
    """The next message that is no heartbeat."""
    while True:
        message: dict[str, Any] = json.loads(ws.recv(timeout=10))
        if message["event_type"] != "heartbeat":
            return message


def drained(ws: ClientConnection) -> None:
    while True:
        ws.recv(timeout=10)


def asked(ws: ClientConnection, **command: Any) -> dict[str, Any]:
    ws.send(json.dumps(command))
    return received(ws)


def test_a_task_is_told_from_its_begin_to_its_end(server: Served, run: Run) -> None:
    run.write("stage_update", "log")
    with socket(server, f"/{run.id}") as ws:
        hello = received(ws)
        assert (hello["event_type"], hello["data"]["last_seq"]) == ("connected", 2)
        first = [received(ws) for _ in range(2)]
        run.write("complete")
        last = received(ws)
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=10)
    written = [json.loads(line) for line in run.folder.events.read_text().splitlines()]
    assert [*first, last] == written
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


@pytest.mark.parametrize("after", ["2", "{epoch}-2"])
def test_a_watcher_goes_on_where_it_was(server: Served, run: Run, after: str) -> None:
    run.write("log", count=3)
    with socket(server, f"/{run.id}") as ws:
        epoch = received(ws)["data"]["epoch"]
    with socket(server, f"/{run.id}?after={after.format(epoch=epoch)}") as ws:
        assert received(ws)["event_type"] == "connected"
        assert received(ws)["seq"] == 3


def test_a_cursor_of_another_log_gets_a_snapshot(server: Served, run: Run) -> None:
    run.write("log", count=3)
    with socket(server, f"/{run.id}?after=00000000-2") as ws:
        received(ws)
        reset = received(ws)
        run.write("log")
        assert (reset["event_type"], reset["data"]["event_count"]) == ("reset", 3)
        assert received(ws)["seq"] == 4


def test_subscribing_and_unsubscribing(server: Served, home: Home, run: Run) -> None:
    other = Run(home)
    run.write("log")
    other.write("log")
    with socket(server) as ws:
        assert received(ws)["event_type"] == "connected"
        told = asked(ws, type="subscribe", task_ids=[run.id, other.id])
        assert (told["event_type"], told["task_id"]) == ("subscribed", run.id)
        got = [received(ws) for _ in range(3)]
        assert sorted((e["event_type"], e["task_id"]) for e in got) == sorted(
            [("log", run.id), ("subscribed", other.id), ("log", other.id)]
        )
        assert asked(ws, action="unsubscribe", task_id=other.id)["event_type"] == "unsubscribed"
        other.write("log")
        run.write("complete")
        assert (received(ws)["task_id"], asked(ws, type="ping")["event_type"]) == (run.id, "pong")


def test_asking_for_progress(server: Served, home: Home, run: Run) -> None:
    done = Run(home, request={"batch_id": "b"})
    done.write("complete")
    run.write("progress_update")
    with socket(server) as ws:
        received(ws)
        one = asked(ws, type="get_progress", task_id=run.id)
        assert (one["event_type"], one["data"]["state"]) == ("snapshot", "running")
        several = asked(ws, type="get_batch_progress", task_ids=[run.id, done.id])
        assert several["data"]["states"] == {"running": 1, "complete": 1}
        batch = asked(ws, type="get_batch_progress", batch_id="b")
        assert (batch["data"]["total"], batch["data"]["progress"]) == (1, 100.0)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no json", "not_json"),
        ("[]", "not_json"),
        ('{"type":"dance"}', "unknown_command"),
        ('{"type":"subscribe"}', "bad_task_id"),
        ('{"type":"subscribe","task_id":"../x"}', "bad_task_id"),
        ('{"type":"subscribe","task_ids":[1]}', "bad_task_id"),
        ('{"type":"subscribe","task_id":"' + NOBODY + '"}', "unknown_task"),
        ('{"type":"subscribe","task_id":"' + NOBODY + '","after":"x y"}', "bad_cursor"),
    ],
)
def test_what_cannot_be_done_is_said(server: Served, message: str, code: str) -> None:
    with socket(server) as ws:
        received(ws)
        ws.send(message)
        refused = received(ws)
    assert (refused["event_type"], refused["data"]["code"]) == ("refused", code)


def test_an_unknown_task_is_refused_before_the_handshake(server: Served) -> None:
    with pytest.raises(InvalidStatus) as refused, socket(server, f"/{uuid.uuid4()}"):
        pass
    assert refused.value.response.status_code == 404


def test_other_sites_and_strangers_are_refused(home: Home, run: Run) -> None:
    run.write("log")
    with served(home, token=TOKEN) as server:
        for headers, status in (({}, 401), ({"Authorization": "Bearer no"}, 401)):
            with (
                pytest.raises(InvalidStatus) as refused,
                socket(server, f"/{run.id}", additional_headers=headers),
            ):
                pass
            assert refused.value.response.status_code == status
        key = {"Authorization": f"Bearer {TOKEN}"}
        evil = "https://evil.example"
        with (
            pytest.raises(InvalidStatus) as refused,
            socket(server, f"/{run.id}", additional_headers=key, origin=evil),
        ):
            pass
        assert refused.value.response.status_code == 403
        with socket(server, f"/{run.id}", additional_headers=key, origin=server.url) as ws:
            assert received(ws)["event_type"] == "connected"


def test_places_are_limited_and_freed(home: Home, run: Run) -> None:
    run.write("log")
    with served(home, per_address=1) as server:
        with socket(server, f"/{run.id}"):
            with pytest.raises(InvalidStatus) as refused, socket(server, f"/{run.id}"):
                pass
            assert refused.value.response.status_code == 429
        wait_until(lambda: server.app.hub.watcher_count == 0)
        with socket(server, f"/{run.id}") as ws:
            assert received(ws)["event_type"] == "connected"


def test_a_message_too_large_ends_the_connection(server: Served) -> None:
    with socket(server) as ws:
        received(ws)
        ws.send("x" * 100_000)
        with pytest.raises(ConnectionClosed):
            drained(ws)


def test_a_peer_without_pong_is_cut(home: Home, run: Run) -> None:
    """30 and 60 seconds in earnest; here 0.3 and 0.6."""
    assert (Timing().ping, Timing().pong) == (30.0, 30.0)
    run.write("log")
    with (
        served(home, timing=Timing(ping=0.3, pong=0.3)) as server,
        create_connection(("127.0.0.1", server.port), 5) as peer,
    ):
        peer.sendall(
            f"GET /api/ws/progress/{run.id} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        content = b""
        while chunk := peer.recv(65536):  # and no pong ever
            content += chunk
        assert b"connected" in content
        assert b"keepalive ping timeout" in content
        wait_until(lambda: server.app.hub.watcher_count == 0)


def test_the_end_of_the_server_is_said(home: Home, run: Run) -> None:
    run.write("log")
    with contextlib.ExitStack() as stack:
        with served(home) as server:
            ws = stack.enter_context(socket(server, f"/{run.id}"))
            received(ws)
        with pytest.raises(ConnectionClosed) as closed:
            drained(ws)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


def test_a_watcher_that_goes_first_stops_no_server() -> None:
    async def go_first(message: Message) -> None:
        raise ClientDisconnected

    watcher = SocketStream(go_first, None, Limits(), ends=True)
    asyncio.run(watcher.end("stopping"))
    assert watcher.is_closed
