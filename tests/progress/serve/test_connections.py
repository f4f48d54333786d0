"""Strangers without a token: what they hold is bounded, and nobody is shut out by them."""

import asyncio
import contextlib
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from tests.support.disk import open_files
from tests.support.serving import Run, Served, answers, free_port, served, sse, stream, wait_until
from vidgen.paths import Home
from vidgen.progress.serve.connections import (
    Connections,
    limits_for,
    open_files_limit,
    unsent_bytes,
)
from vidgen.progress.serve.protocols import HttpProtocol, Socket
from vidgen.progress.serve.settings import Timing

TOKEN = "a-token-of-enough-letters-for-a-test"
KEY = {"Authorization": f"Bearer {TOKEN}"}
QUICK = Timing(head=0.5, body=0.6, body_bytes=1000, refused_body=0.3, write=0.6, look=0.1)
GET = b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%b\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=x\r\nAuthorization: Bearer %b\r\n" % (
    TOKEN.encode()
)


@dataclass(eq=False)
class Peer:
    """A connection that only remembers what became of it."""

    is_open: bool = True
    looks: list[float] = field(default_factory=list)

    def abort(self) -> None:
        self.is_open = False

    def check(self, now: float) -> None:
        self.looks.append(now)


def admitted(connections: Connections, address: str, count: int) -> list[Peer]:
    peers = [Peer() for _ in range(count)]
    for peer in peers:
        connections.admit(peer, address)
    return peers


def open_count(peers: list[Peer]) -> int:
    return sum(peer.is_open for peer in peers)


def test_the_oldest_of_the_same_address_goes_first() -> None:
    connections = Connections(most=100, per_address=4)
    others = admitted(connections, "b", 3)
    peers = admitted(connections, "a", 6)
    assert [peer.is_open for peer in peers] == [False, False, True, True, True, True]
    assert open_count(others) == 3


def test_who_is_being_answered_stays() -> None:
    connections = Connections(most=100, per_address=2)
    used = admitted(connections, "a", 1)[0]
    connections.use(used)
    assert open_count(admitted(connections, "a", 5)) == 1
    assert used.is_open
    connections.rest(used)  # as new as the newest
    admitted(connections, "a", 1)
    assert used.is_open
    admitted(connections, "a", 1)
    assert not used.is_open


def test_all_that_are_in_use_leave_no_room_for_another() -> None:
    connections = Connections(most=100, per_address=2)
    for peer in admitted(connections, "a", 2):
        connections.use(peer)
    assert open_count(admitted(connections, "a", 1)) == 0


def test_when_all_is_full_the_address_with_most_gives_way() -> None:
    connections = Connections(most=10, per_address=0)
    few, many = admitted(connections, "few", 2), admitted(connections, "many", 8)
    late = admitted(connections, "late", 3)
    assert (open_count(few), open_count(many), open_count(late)) == (2, 5, 3)


def test_a_proxy_may_have_more_than_others_and_what_goes_is_forgotten() -> None:
    connections = Connections(most=100, per_address=2, proxies=("p",))
    peers = admitted(connections, "p", 50)
    assert open_count(peers) == 50
    for peer in peers:
        connections.release(peer)
        connections.release(peer)
    assert (connections._count, connections._idle, connections._address) == ({}, {}, {})


@pytest.mark.parametrize(
    ("files", "found"), [(128, (64, 32)), (1024, (960, 264)), (1 << 20, (3024, 264)), (10, (16, 8))]
)
def test_the_limits_fit_the_files_that_may_be_open(files: int, found: tuple[int, int]) -> None:
    assert limits_for(files, 2000, 200) == found
    assert limits_for(files, 2000, 0)[1] == max(8, found[0] // 2)


def test_a_connection_that_speaks_another_protocol_counts_once() -> None:
    connections = Connections(most=3, per_address=2)
    first, second = admitted(connections, "a", 2)
    upgraded = Peer()
    connections.replace(first, upgraded)
    assert (connections._count["a"], first in connections._address) == (2, False)
    late = admitted(connections, "a", 1)[0]  # the new one is in use: the other waiting one goes
    assert [peer.is_open for peer in (first, second, upgraded, late)] == [True, False, True, True]
    for peer in (upgraded, late):
        connections.release(peer)
    assert (connections._count, connections._idle, connections._address) == ({}, {}, {})


def test_who_has_gone_is_not_let_in_again_by_resting() -> None:
    connections = Connections(most=2, per_address=0)
    gone = admitted(connections, "a", 1)[0]
    connections.release(gone)
    connections.rest(gone)
    connections.use(gone)
    assert open_count(admitted(connections, "b", 3)) == 2
    assert gone.is_open


def test_everybody_is_looked_at_again_and_again() -> None:
    connections = Connections(most=10, per_address=0)
    peers = admitted(connections, "a", 3)

    async def watch() -> None:
        task = asyncio.ensure_future(connections.watch(0.001))
        while len(peers[0].looks) < 2:
            await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(watch())
    assert all(len(peer.looks) >= 2 for peer in peers)
    assert peers[0].looks == sorted(peers[0].looks)


def test_as_many_as_files_may_be_open_are_let_in() -> None:
    assert [limits_for(files, 0, 0) for files in (80, 81, 1000)] == [(16, 8), (17, 8), (936, 468)]
    assert limits_for(1 << 20, 10, 5) == (1034, 69)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
    try:
        assert open_files_limit() == min(512, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_waits_for_the_other_side_is_counted_with_the_kernels_share() -> None:
    class Transport:
        """As much of one as is looked at."""

        def __init__(self, here: int, raw: socket.socket | None) -> None:
            self.here, self.raw = here, raw

        def get_write_buffer_size(self) -> int:
            if self.here < 0:
                raise OSError("closing")
            return self.here

        def get_extra_info(self, name: str) -> socket.socket | None:
            assert name == "socket"
            return self.raw

    near, far = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    peer = socket.create_connection(listener.getsockname())
    taken, _ = listener.accept()
    peer.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            peer.send(bytes(65536))
    for here, raw, least in ((0, peer, 0), (-1, peer, 0), (5, None, 5), (5, peer, 10_000)):
        found = unsent_bytes(Transport(here, raw))  # type: ignore[arg-type]
        assert found >= least
        assert least or not found
    for one in (near, far, listener, peer, taken):
        one.close()


# Against a server


@pytest.fixture
def server(home: Home) -> Iterator[Served]:
    with served(home, token=TOKEN, accepts_jobs=True, timing=QUICK) as server:
        yield server


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.bind((source, 0))
    peer.settimeout(5)
    peer.connect(("127.0.0.1", port))
    return peer


def is_cut(peer: socket.socket) -> bool:
    """Whether the server has closed it, once everything that it sent is read."""
    peer.setblocking(False)
    try:
        while peer.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ",
        POST % (b"/healthz", 1_000_000, b""),
        POST % (b"/healthz", 1_000_000, b"") + b"x",
        POST % (b"/api/video-generation/generate", 1_000_000, b""),
        POST % (b"/api/video-generation/generate", 1_000_000, FORM),
        POST % (b"/api/video-generation/generate", 1_000_000, FORM) + b"--x\r\nContent-Disp",
        POST % (b"/", 10, b"Transfer-Encoding: chunked\r\n") + b"ffffff\r\nabc",
    ],
)
def test_what_is_never_sent_is_not_waited_for(server: Served, sent: bytes) -> None:
    with connect(server.port) as peer:
        peer.sendall(sent)
        wait_until(lambda: is_cut(peer), 10)


@pytest.mark.parametrize("path", [b"/healthz", b"/api/video-generation/generate"])
def test_a_body_of_single_bytes_is_cut(server: Served, path: bytes) -> None:
    with connect(server.port) as peer:
        peer.sendall(POST % (path, 1_000_000, FORM))

        def is_cut_by_a_byte() -> bool:
            with contextlib.suppress(OSError):
                peer.send(b"x")
            return is_cut(peer)

        wait_until(is_cut_by_a_byte)


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads the body and answers with four megabytes."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": bytes(4 << 20)})


@asynccontextmanager
async def spoken() -> AsyncIterator[tuple[socket.socket, HttpProtocol]]:
    """A connection, and the server's side of it; only the test says when it is looked at."""
    made: asyncio.Future[HttpProtocol] = asyncio.get_running_loop().create_future()
    connections = Connections(most=10, per_address=0)
    config = Config(answer, lifespan="off", ws="none")
    config.load()

    def protocol() -> HttpProtocol:
        made.set_result(
            HttpProtocol(config, ServerState(), {}, connections=connections, timing=QUICK)
        )
        return made.result()

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        with connect(server.sockets[0].getsockname()[1]) as peer:
            peer.setblocking(False)
            yield peer, await made


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("bytes_each", "stays"), [(1000, True), (999, False)])
def test_a_slow_body_that_moves_is_read(bytes_each: int, *, stays: bool) -> None:
    """Slower than the limit at no time, though the whole takes several periods."""

    async def scenario() -> bool:
        async with spoken() as (peer, protocol):
            peer.send(POST % (b"/", 6 * bytes_each, b""))
            await until(lambda: protocol._is_in_body)
            for period in range(5):
                wanted = protocol._received + bytes_each
                with contextlib.suppress(OSError):
                    peer.send(b"y" * bytes_each)
                while protocol._received < wanted and not protocol.transport.is_closing():
                    await asyncio.sleep(0.001)
                protocol.check(100.0 + period * 1.01 * QUICK.body)
            return not protocol.transport.is_closing()

    assert asyncio.run(scenario()) is stays


@pytest.mark.parametrize("reads", [True, False])
def test_a_slow_reader_keeps_its_connection(*, reads: bool) -> None:
    """Who takes something in each period gets all, however long that takes."""

    async def scenario() -> bool:
        async with spoken() as (peer, protocol):
            peer.send(GET)
            await until(lambda: unsent_bytes(protocol.transport) > 0)
            for period in range(6):
                protocol.check(100.0 + period * 0.9 * QUICK.write)
                left = unsent_bytes(protocol.transport)
                while reads and unsent_bytes(protocol.transport) >= left:
                    with contextlib.suppress(BlockingIOError):
                        peer.recv(65536)
                    await asyncio.sleep(0)
            return not protocol.transport.is_closing()

    assert asyncio.run(scenario()) is reads


def test_gigabytes_behind_a_refusal_are_not_read(server: Served) -> None:
    sent = 0
    with connect(server.port) as peer, contextlib.suppress(OSError):
        peer.sendall(POST % (b"/api/video-generation/generate", 4 << 30, b""))
        while sent < 64 << 20:
            sent += peer.send(bytes(1 << 20))
    assert sent < 16 << 20


def flood(peer: socket.socket) -> None:
    """Ask for much, all at once."""
    peer.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(3000):
            peer.send(GET)


def test_answers_that_are_never_read_are_not_kept(server: Served) -> None:
    with connect(server.port) as peer:
        flood(peer)

        def is_given_up() -> bool:  # without reading anything
            try:
                peer.send(b"G")
            except BlockingIOError:
                return False
            except OSError:
                return True
            return False

        wait_until(is_given_up)


def test_a_line_that_is_cut_in_the_middle_of_answers_is_no_bug(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    httpx.get(f"{server.url}/page.js")
    before = open_files()
    with connect(server.port) as peer:
        flood(peer)
        wait_until(lambda: open_files() <= before + 1)  # ours is left; the server's side is closed
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    assert [record.getMessage() for record in caplog.records if "uvicorn" in record.name] == []


def sent(opcode: int, text: bytes) -> bytes:
    """A whole frame of a client, masked by zeros."""
    return bytes([0x80 | opcode, 0x80 | len(text)]) + bytes(4) + text


@pytest.mark.parametrize(
    "asked",
    [
        sent(9, bytes(125)),
        sent(9, b""),
        sent(1, b'{"type":"ping"}'),
        sent(1, b"no JSON"),
        sent(1, b'{"type":"get_progress","task_id":"../x"}'),
        sent(9, bytes(125)) + sent(1, b'{"type":"ping"}'),
    ],
    ids=["ping", "empty ping", "ping in words", "nonsense", "an unknown run", "both"],
)
def test_answers_to_a_socket_that_reads_none_are_bounded(server: Served, asked: bytes) -> None:
    upgrade = (
        b"GET /api/ws/progress HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer %b\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" % TOKEN.encode()
    )
    with connect(server.port) as peer:
        peer.sendall(upgrade)
        wait_until(lambda: server.app.hub.watcher_count == 1)
        peer.settimeout(0.3)
        with contextlib.suppress(OSError):  # nothing more is taken, or the line is cut
            for _ in range(100):
                peer.sendall(asked * 1000)
        kept = [watcher._waiting_bytes() for watcher in server.app.hub.watchers()]
        assert sum(kept) < 1 << 20
        assert httpx.get(f"{server.url}/healthz", timeout=5).status_code == 200


def test_a_thousand_strangers_leave_the_page_to_others(home: Home) -> None:
    """From one address, all at once, and again and again; with few files, too."""
    with served(home, token=TOKEN, max_watchers=100, per_address=20) as server:
        over = threading.Event()

        def crowd() -> None:
            peers: list[socket.socket] = []
            while not over.is_set():
                with contextlib.suppress(OSError):
                    peers.append(connect(server.port))
                    peers[-1].sendall(POST % (b"/healthz", 1000, b""))
                if len(peers) > 1000:
                    peers.pop(0).close()
                time.sleep(0.002)  # they share this interpreter with the others
            for peer in peers:
                peer.close()

        strangers = [threading.Thread(target=crowd) for _ in range(2)]
        for stranger in strangers:
            stranger.start()
        try:
            run = Run(home)
            run.write("stage_update")
            with stream(sse(server, run), KEY, timeout=60) as watched:
                watched.take(1)
                transport = httpx.HTTPTransport(local_address="127.0.0.2")
                with httpx.Client(transport=transport, timeout=60) as client:
                    for _ in range(5):
                        assert client.get(f"{server.url}/").status_code == 200
                    answer = client.get(f"{server.url}/api/tasks", headers=KEY)
                assert answer.json()["total"] == 1
                run.write("complete")
                assert watched.seqs() == [2], "a stream that has begun is not cut for strangers"
            run.end()
        finally:
            over.set()
            for stranger in strangers:
                stranger.join()


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors of /proc")
def test_few_descriptors_are_survived_quietly(home: Home, tmp_path: Path) -> None:
    port = free_port()
    code = (
        "import resource, sys; from pathlib import Path;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128));"
        "from vidgen.paths import Home; from vidgen.progress.serve.server import serve;"
        "from vidgen.progress.serve.settings import ServeSettings;"
        "serve(Home(Path(sys.argv[1])), ServeSettings(port=int(sys.argv[2])))"
    )
    with (tmp_path / "stderr").open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-c", code, str(home.root), str(port)],
                                   stderr=stderr)  # fmt: skip
    try:
        wait_until(lambda: answers(port))
        peers = []
        for _ in range(300):
            with contextlib.suppress(OSError):
                peers.append(connect(port))
                peers[-1].sendall(POST % (b"/healthz", 1000, b""))
        assert sum(1 for _ in Path(f"/proc/{process.pid}/fd").iterdir()) < 120
        assert answers(port)
        for peer in peers:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
    finally:
        process.terminate()
        process.wait(10)
    assert len((tmp_path / "stderr").read_bytes().splitlines()) < 5


# Who somebody is


def streams_of(server: Served, address: str) -> int:
    return server.app.places._taken[address]


@pytest.mark.parametrize(
    ("proxies", "address"),
    [((), "127.0.0.1"), (("10.0.0.1",), "127.0.0.1"), (("127.0.0.1",), "203.0.113.7")],
)
def test_a_forwarded_address_is_believed_from_named_proxies_only(
    home: Home, proxies: tuple[str, ...], address: str
) -> None:
    run = Run(home)
    run.write("stage_update")
    headers = {"X-Forwarded-For": "203.0.113.7"}
    with served(home, proxies=proxies) as server, stream(sse(server, run), headers) as watched:
        watched.take(1)
        assert streams_of(server, address) == 1
    run.end()


@pytest.mark.parametrize("path", ["//evil.example", "///evil.example", "//evil.example/%2f..", "/"])
def test_a_token_in_the_address_never_leads_elsewhere(home: Home, path: str) -> None:
    with served(home, token=TOKEN) as server, connect(server.port) as peer:
        request = f"GET {path}?token={TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        peer.sendall(request.encode())
        head = peer.recv(65536).decode()
    assert head.startswith("HTTP/1.1 303")
    location = next(line for line in head.splitlines() if line.lower().startswith("location:"))
    assert location.split(": ", 1)[1].startswith("/")
    assert not location.split(": ", 1)[1].startswith(("//", "/\\"))


def test_a_peer_that_has_just_gone_is_no_error() -> None:
    """Its socket has no descriptor any more: uvloop says so by a ValueError."""

    class Gone(asyncio.Transport):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return self

        def setsockopt(self, *option: int) -> None:
            socket.socket(fileno=-1)

    with pytest.raises(ValueError, match="negative"):
        Gone().setsockopt(1, 9, 1)
    Socket(Gone()).prepare()
