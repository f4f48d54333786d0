"""Over https strangers hold no more than over http, and cookies stay in it."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.serving import Served, served, wait_until
from vidgen.paths import Home
from vidgen.progress.serve.settings import Timing

TOKEN = "a-token-of-enough-letters-for-a-test"
QUICK = Timing(head=0.3, look=0.1)
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # how a handshake begins


@pytest.fixture
def server(home: Home, pem: tuple[Path, Path]) -> Iterator[Served]:
    with served(home, tls=pem, timing=QUICK, token=TOKEN, per_address=1) as server:
        yield server


def connect(server: Served, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 5, (source, 0))


def is_cut(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        return not peer.recv(65536)
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize(
    "sent", [b"", HELLO, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03", b"\0" * 999]
)
def test_a_handshake_that_does_not_end_is_not_waited_for(server: Served, sent: bytes) -> None:
    with connect(server) as peer:
        peer.sendall(sent)
        wait_until(lambda: is_cut(peer))


def test_connections_without_a_handshake_count(home: Home, pem: tuple[Path, Path]) -> None:
    """One address has 65 places here, and the oldest that wait go first."""
    with (
        served(home, tls=pem, timing=Timing(head=60), per_address=1) as server,
        contextlib.ExitStack() as stack,
    ):
        peers = [stack.enter_context(connect(server)) for _ in range(80)]
        wait_until(lambda: sum(map(is_cut, peers)) == 15)
        assert all(map(is_cut, peers[:15]))
        context = ssl.create_default_context(cafile=str(pem[0]))
        with connect(server, "127.0.0.2") as other:
            context.wrap_socket(other, server_hostname="127.0.0.1").close()


def test_a_cookie_made_over_tls_stays_in_it(server: Served, pem: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(cafile=str(pem[0]))
    url = f"https://127.0.0.1:{server.port}"
    with httpx.Client(verify=context) as client:
        answer = client.get(f"{url}/?token={TOKEN}")
        assert "Secure" in answer.headers["set-cookie"].split("; ")
        assert client.get(f"{url}/api/tasks").status_code == 200
