"""What must not bring the server down, and what nobody may lose by it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from tests.support.serving import (
    Run,
    free_port,
    raw,
    resident_mb,
    served,
    serving_process,
    sse,
    stream,
)
from vidgen.paths import Home
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.inotify import Polling
from vidgen.progress.serve.settings import Timing

TOKEN = "a-token-of-enough-letters-for-a-test"


@pytest.fixture
def run(home: Home) -> Run:
    return Run(home, request={"inputs": {"photo": {"path": "/home/x/anna.jpg"}}})


def test_a_huge_head_is_refused(home: Home) -> None:
    with served(home) as server:
        answer = raw(server.port, "GET / HTTP/1.1", extra=b"X: " + b"a" * 65536 + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_head_that_never_ends_is_cut(home: Home) -> None:
    with (
        served(home, timing=Timing(head=0.3)) as server,
        socket.create_connection(("127.0.0.1", server.port), 5) as peer,
    ):
        peer.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(100) == b""


@pytest.mark.parametrize(
    "content", [b"\x16\x03\x01\x02\x00", b"\0" * 100, b"GET\r\n\r\n", b"\xff\xfe", os.urandom(4096)]
)
def test_garbage_on_the_socket_does_no_harm(home: Home, content: bytes) -> None:
    with served(home) as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as peer:
            peer.sendall(content)
            peer.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while peer.recv(65536):
                    pass
        assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_thousand_half_open_connections(home: Home, run: Run) -> None:
    run.write("log")
    with serving_process(home) as server:
        before = resident_mb(server.process.pid)
        peers = []
        for number in range(1000):
            peer = socket.create_connection(("127.0.0.1", server.port))
            if number % 2:
                peer.sendall(b"GET / HTTP/1.1\r\nHo")
            peers.append(peer)
        with stream(sse(server, run)) as events:
            assert events.take(1)[0][1]["seq"] == 1
        assert resident_mb(server.process.pid) - before < 20
        for peer in peers:
            peer.close()


def test_a_killed_server_loses_and_repeats_nothing(home: Home, run: Run) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.005):
            run.write("progress_update")
        run.write("complete")

    writer = threading.Thread(target=write)
    writer.start()
    got: list[int] = []
    last_id = ""
    with serving_process(home) as server:
        for _ in range(3):
            with (
                contextlib.suppress(httpx.HTTPError),
                stream(sse(server, run), {"Last-Event-ID": last_id} if last_id else {}) as events,
            ):
                for event_id, event in events:
                    last_id = event_id
                    got.append(event["seq"])
                    if len(got) % 60 == 0:
                        server.kill()
            server.start()
        stop.set()
        writer.join()
        with stream(sse(server, run), {"Last-Event-ID": last_id}) as events:
            got += events.seqs()
    assert got == list(range(1, run.seq + 1))


def test_the_server_ends_soon_and_says_when_to_come_back(home: Home, run: Run) -> None:
    run.write("log")
    with serving_process(home) as server, stream(sse(server, run)) as events:
        events.take(1)
        server.process.send_signal(signal.SIGTERM)
        assert list(events) == []
        assert 1000 <= (events.decoder.retry_ms or 0) <= 10_000
        server.process.wait(10)


def test_a_truncated_log_is_told_by_a_reset_and_goes_on(home: Home, run: Run) -> None:
    run.write("log", count=5)
    with served(home) as server, stream(sse(server, run)) as events:
        events.take(5)
        whole = b"".join(run.folder.events.read_bytes().splitlines(keepends=True)[:3])
        os.truncate(run.folder.events, len(whole) + 40)  # in the middle of the fourth
        _, reset = events.take(1)[0]
        assert (reset["event_type"], reset["seq"], reset["data"]["event_count"]) == ("reset", 3, 3)
        os.truncate(run.folder.events, len(whole))  # as the next writer does
        run.seq = 3
        run.write("log", "complete")
        assert events.seqs() == [4, 5]


def test_a_torn_last_line_is_told_when_it_is_whole(home: Home, run: Run) -> None:
    run.write("log")
    line = run.line(2, "complete")
    run.raw(line[:50])
    with served(home) as server, stream(sse(server, run)) as events:
        assert events.take(1)[0][1]["seq"] == 1
        assert httpx.get(f"{server.url}/api/tasks/{run.id}").json()["last_seq"] == 1
        run.raw(line[50:])
        assert events.seqs() == [2]


def test_a_clock_that_goes_back_changes_nothing(home: Home, run: Run) -> None:
    late = run.line(1, "log").replace(b"2026-11-20", b"2031-01-01")
    run.raw(late + run.line(2, "complete"))
    with served(home) as server, stream(sse(server, run)) as events:
        assert events.seqs() == [1, 2]


def test_a_taken_port_is_told(home: Home) -> None:
    from vidgen.errors import SetupError
    from vidgen.progress.serve.server import serve
    from vidgen.progress.serve.settings import ServeSettings

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SetupError, match=f"Port {port} of 127.0.0.1 cannot be opened"):
            serve(home, ServeSettings(port=port))


def test_the_server_loads_nothing_of_the_pipeline(home: Home) -> None:
    code = (
        "import sys\n"
        "from vidgen.progress.serve.app import App\n"
        "from vidgen.progress.serve.settings import ServeSettings\n"
        "import vidgen.progress.serve.server\n"
        "heavy = {'torch', 'cv2', 'av', 'numpy', 'scipy', 'parselmouth', 'PIL', 'rich', 'typer'}\n"
        "stages = {n for n in sys.modules if n.startswith(('vidgen.stages', 'vidgen.renderers'))}\n"
        "print(sorted((heavy & set(sys.modules)) | stages))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_no_more_than_one_reading_for_many_watchers(home: Home, run: Run) -> None:
    """Each event is read and parsed once, whoever watches."""
    run.write("log")
    with served(home) as server, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(stream(sse(server, run))) for _ in range(10)]
        run.write("log", count=50)
        run.write("complete")
        for events in streams:
            assert events.seqs() == list(range(1, 53))
        assert server.app.hub.events_read == 52


def test_polling_serves_as_well_as_inotify(home: Home, run: Run) -> None:
    hub = Hub(home, notify=lambda _, loop: Polling(loop))
    with served(home, hub=hub) as server, stream(sse(server, run)) as events:
        threading.Timer(0.2, run.write, ["log", "complete"]).start()
        assert events.seqs() == [1, 2]


def test_a_free_port_is_found() -> None:
    assert asyncio.run(_can_listen(free_port()))


async def _can_listen(port: int) -> bool:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    server.close()
    await server.wait_closed()
    return True
