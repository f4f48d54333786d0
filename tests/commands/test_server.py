"""`vidgen serve-progress` in this process: it serves, says what it finds, and ends by a signal."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.serving import answers, free_port, served, wait_until
from vidgen import cli
from vidgen.paths import Home
from vidgen.progress.serve.sharing import claim_port


@contextmanager
def ctrl_c_after(what: Callable[[], object]) -> Iterator[list[object]]:
    """Meanwhile `what` is done in a thread, and its result kept; then comes a Ctrl-C."""
    found: list[object] = []

    def do() -> None:
        try:
            found.append(what())
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=do)
    thread.start()
    yield found
    thread.join()


def get_when_served(port: int, path: str, token: str = "") -> int:
    """The status of the answer, once the server is there."""
    wait_until(lambda: answers(port))
    head = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(f"http://127.0.0.1:{port}{path}", headers=head).status_code


def test_it_says_where_serves_and_ends_by_ctrl_c(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with ctrl_c_after(lambda: get_when_served(port, "/api/tasks")) as statuses:
        cli.main(["serve-progress", "--port", str(port)])
    assert statuses == [200]
    assert f"http://127.0.0.1:{port}/" in capsys.readouterr().err


def test_a_typed_token_is_asked_for_and_warned_of(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    port, token = free_port(), "0123456789abcdef0123456789abcdef"

    def ask() -> tuple[int, int]:
        return (
            get_when_served(port, "/api/tasks"),
            get_when_served(port, "/api/tasks", token),
        )

    with ctrl_c_after(ask) as statuses:
        cli.main(["serve-progress", "--port", str(port), "--token", token])
    assert statuses == [(401, 200)]
    assert "--token-file" in capsys.readouterr().err


def test_a_source_that_is_there_or_not_is_said(
    home: Home, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    port, nowhere = free_port(), free_port()
    said: list[str] = []

    def both_said() -> bool:
        said.append(capsys.readouterr().err)
        text = "".join(said)
        return "Showing the runs of" in text and "out of reach" in text

    with served(home) as other, ctrl_c_after(lambda: wait_until(both_said)):
        urls = f"{other.url},http://127.0.0.1:{nowhere}"
        cli.main(["serve-progress", "--port", str(port), "--from", urls])
    assert f"127.0.0.1:{nowhere} is out of reach" in "".join(said)


def test_a_server_of_this_store_at_the_port_is_shown_and_no_other_begun(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(home) as there, claim_port(home, "http", there.port):
        cli.main(["serve-progress", "--port", str(there.port)])
        assert f"http://127.0.0.1:{there.port}/" in capsys.readouterr().err
        with pytest.raises(SystemExit) as end:  # that one takes no orders
            cli.main(["serve-progress", "--port", str(there.port), "--accept-jobs"])
    assert end.value.code == 3


def test_a_strangers_port_is_refused(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with served(Home(home.root / "other")) as there, pytest.raises(SystemExit) as end:
        cli.main(["serve-progress", "--port", str(there.port)])
    assert end.value.code == 3
    assert f"Port {there.port}" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1"])
def test_an_address_of_another_machine_is_refused(
    home: Home, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["serve-progress", "--host", host, "--port", "0"])
    assert end.value.code == 2
    assert "is not one of this machine's" in capsys.readouterr().err


def test_a_certificate_that_is_not_there_is_named(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["serve-progress", "--tls-cert", "no.pem", "--port", "0"])
    assert end.value.code == 2
    assert "There is no file no.pem." in capsys.readouterr().err
