"""`watch` against real servers: cut lines, proxies that buffer, restarts, several hosts."""

import gzip
import http.server
import json
import os
import select
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.serving import Run, free_port, served, serving_process
from vidgen.errors import InputError, SetupError
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.limits import Limits
from vidgen.progress.serve.server import serve
from vidgen.progress.serve.settings import ServeSettings
from vidgen.progress.watch.authorities import trusted
from vidgen.progress.watch.client import ConnectionLost, RunClient, _is_event_stream
from vidgen.progress.watch.hosts import HostEvent, exit_code, watch
from vidgen.progress.watch.link import Link
from vidgen.progress.watch.timing import USUAL, Timing
from vidgen.remote import reason_of

TOKEN = "a-token-of-enough-letters-for-a-test"


@pytest.fixture
def run(home: Home) -> Run:
    return Run(home)


def nap(seconds: float) -> None:
    """Back-off as ever, only a hundred times faster."""
    time.sleep(seconds / 100)


def later(seconds: float, act: Any, *arguments: Any) -> threading.Timer:
    timer = threading.Timer(seconds, act, arguments)
    timer.start()
    return timer


def test_all_events_come_once_and_in_order(home: Home, run: Run) -> None:
    run.write("stage_update", "log")
    with served(home) as server:
        later(0.3, run.write, "log", "complete")
        told = list(watch([server.url], run.id))
    assert [t.envelope.seq for t in told] == [1, 2, 3, 4]
    assert {t.host for t in told} == {f"127.0.0.1:{server.port}"}
    assert exit_code(told[-1].envelope) == 0


def test_a_finished_run_is_told_too(home: Home, run: Run) -> None:
    run.write("log", "error")
    with served(home) as server:
        told = list(watch([server.url], run.id[:8]))
    assert [t.envelope.event_type for t in told] == ["log", "error"]
    assert exit_code(told[-1].envelope) == 4


def test_without_a_name_the_run_at_work_is_watched(home: Home, run: Run) -> None:
    done = Run(home)
    done.write("complete")
    run.write("log")
    with served(home) as server:
        watching = watch([server.url])
        told = [next(watching)]
        run.write("complete")
        told += watching
    assert [(t.envelope.task_id, t.envelope.seq) for t in told] == [(run.id, 1), (run.id, 2)]


def test_with_no_run_at_work_the_next_one_is_awaited(home: Home) -> None:
    states: list[str] = []

    def on_link(link: Link) -> None:
        states.append(link.state)
        if states == ["connected", "waiting"]:
            Run(home).write("log", "log")

    with served(home) as server:
        watching = watch([server.url], on_link=on_link, timing=Timing(waiting=0.05))
        assert next(watching).envelope.seq == 1
    assert states[:2] == ["connected", "waiting"]


def test_a_restarted_server_loses_and_repeats_nothing(home: Home, run: Run) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.005):
            run.write("log")
        run.write("complete")

    writer = threading.Thread(target=write)
    writer.start()
    links: list[Link] = []
    got = []
    kills, starting = 0, threading.Timer(0, print)
    with serving_process(home) as server:
        follower = RunClient(server.url, run.id, on_link=links.append, sleep=nap)
        for envelope in follower.events():
            got.append(envelope.seq)
            is_up = server.process.poll() is None
            if kills < 2 and is_up and len(got) >= 50 * (kills + 1):
                kills += 1
                server.kill()
                starting = later(0.2, server.start)
            if len(got) >= 200:
                stop.set()
        starting.join()
    writer.join()
    assert got == list(range(1, run.seq + 1))
    assert [link.state for link in links].count("lost") >= 2


@contextmanager
def silent_line(port: int, events: int, on_silence: Callable[[], object]) -> Iterator[int]:
    """A line that carries so many events and then nothing, without being closed; after that
    `on_silence` is called, and the next connection carries all."""

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server:
                server.sendall(self.request.recv(65536))
                carried, is_good = b"", has_fallen.is_set()
                while is_good or carried.count(b"data: ") < events:
                    if not (data := server.recv(65536)):
                        return
                    self.request.sendall(data)
                    carried += data
                has_fallen.set()
                on_silence()
                is_over.wait(60)

    has_fallen, is_over = threading.Event(), threading.Event()
    with relaying(Relay) as relay_port:
        yield relay_port
        is_over.set()


def test_a_line_that_falls_silent_is_left(home: Home, run: Run) -> None:
    run.write("log", count=3)
    links: list[str] = []
    with (
        served(home) as server,
        silent_line(server.port, 3, lambda: run.write("log", "complete")) as port,
    ):
        follower = RunClient(
            f"http://127.0.0.1:{port}",
            run.id,
            on_link=lambda k: links.append(k.state),
            timing=Timing(silence=1.0),  # 45 in earnest
            sleep=nap,
        )
        assert [e.seq for e in follower.events()] == [1, 2, 3, 4, 5]
    assert links[:2] == ["connected", "lost"]
    assert links[-1] == "connected"


@contextmanager
def cut_line(port: int, most: int = 1500) -> Iterator[int]:
    """A proxy that resets each connection after `most` bytes of the answer."""

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server:
                left = most
                while left > 0:
                    ready, _, _ = select.select([self.request, server], [], [])
                    if self.request in ready:
                        if not (data := self.request.recv(65536)):
                            return
                        server.sendall(data)
                    if server in ready:
                        if not (data := server.recv(min(left, 700))):
                            return
                        left -= len(data)
                        self.request.sendall(data)
                self.request.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0])
                )

    with relaying(Relay) as relay_port:
        yield relay_port


@contextmanager
def relaying(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass  # the line is cut on purpose

    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_line_that_is_cut_in_the_middle_of_events(home: Home, run: Run) -> None:
    run.write("log", count=60, text="é" * 20)
    run.write("complete")
    with served(home) as server, cut_line(server.port) as port:
        follower = RunClient(f"http://127.0.0.1:{port}", run.id, sleep=nap)
        assert [e.seq for e in follower.events()] == list(range(1, 62))


class Buffering(http.server.BaseHTTPRequestHandler):
    """A proxy that swallows streams, as some do, and lets plain answers through."""

    upstream = 0

    def do_GET(self) -> None:
        if "/api/sse/" in self.path:
            self.close_connection = True
            return
        import httpx

        answer = httpx.get(f"http://127.0.0.1:{self.upstream}{self.path}")
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: object) -> None:
        pass


def test_long_polls_take_over_where_streams_do_not_come_through(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write("log", count=3)
    states: list[str] = []

    def note(link: Link) -> None:
        states.append(link.state)
        if states.count("polling") == 2 and run.seq == 3:
            run.write("log", "complete")

    with served(home) as server:
        monkeypatch.setattr(Buffering, "upstream", server.port)
        with relaying(Buffering) as port:
            url = f"http://127.0.0.1:{port}"
            follower = RunClient(
                url,
                run.id,
                on_link=note,
                timing=Timing(poll_wait=1, polls_before_return=1),
                sleep=nap,
            )
            assert [e.seq for e in follower.events()] == [1, 2, 3, 4, 5]
    assert states[:3] == ["lost", "lost", "polling"]
    assert states.count("polling") >= 2  # it went back to streams in between


class Zipping(Buffering):
    """A proxy that packs whatever the other side would unpack."""

    def do_GET(self) -> None:
        import httpx

        url = f"http://127.0.0.1:{self.upstream}{self.path}"
        answer = httpx.get(url, headers={"Accept-Encoding": "identity"})
        content, kind = answer.content, answer.headers.get("content-type", "")
        self.send_response(answer.status_code)
        self.send_header("Content-Type", kind)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            content = gzip.compress(content)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Away(Zipping):
    """A proxy whose server is away for a while: it says 502 for it."""

    left = 0

    def do_GET(self) -> None:
        if Away.left == 0:
            super().do_GET()
            return
        Away.left -= 1
        self.send_response(502)
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_a_server_behind_a_proxy_that_is_away_says_nothing_of_streams(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write("log", "complete")
    links: list[str] = []
    with served(home) as server:
        monkeypatch.setattr(Buffering, "upstream", server.port)
        monkeypatch.setattr(Away, "left", 2 * USUAL.stream_tries)
        with relaying(Away) as port:
            url, note = f"http://127.0.0.1:{port}", lambda link: links.append(link.state)
            follower = RunClient(url, run.id, on_link=note, sleep=nap)
            assert [envelope.seq for envelope in follower.events()] == [1, 2]
    assert links == [*["lost"] * 2 * USUAL.stream_tries, "connected"]


def test_a_proxy_that_packs_streams_is_kept_from_it(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write("log", "complete")
    links: list[str] = []
    with served(home) as server:
        monkeypatch.setattr(Buffering, "upstream", server.port)
        with relaying(Zipping) as port:
            url = f"http://127.0.0.1:{port}"
            follower = RunClient(url, run.id, on_link=lambda k: links.append(k.state), sleep=nap)
            assert [e.seq for e in follower.events()] == [1, 2]
    assert links == ["connected"]


def test_a_replaced_log_is_told_as_a_whole(home: Home, run: Run) -> None:
    run.write("log", count=3)
    with served(home) as server:
        events = RunClient(server.url, run.id, sleep=nap).events()
        assert [next(events).seq for _ in range(3)] == [1, 2, 3]
        run.folder.events.unlink()
        run.seq = 0
        again = run.line(1, "log").replace(b"2026-11-20", b"2026-11-21")
        run.raw(again + run.line(2, "complete"))
        assert [e.seq for e in events] == [1, 2]


def test_a_history_too_long_to_replay_is_fetched(home: Home, run: Run) -> None:
    run.write("log", count=40)
    run.write("complete")
    with served(home, hub=Hub(home, Limits(replay_bytes=2000))) as server:
        assert [t.envelope.seq for t in watch([server.url], run.id)] == list(range(1, 42))


def test_an_interrupted_run_ends_the_watch(home: Home, run: Run) -> None:
    run.write("stage_update")
    run.end()
    with served(home) as server:
        told = list(watch([server.url], run.id))
    assert [t.envelope.event_type for t in told] == ["stage_update", "interrupted"]
    assert exit_code(told[-1].envelope) == 4


def test_several_hosts_at_once(tmp_path: Any) -> None:
    homes = [Home(tmp_path / name) for name in ("a", "b")]
    runs = [Run(home) for home in homes]
    for run in runs:
        run.write("log", "complete")
    with served(homes[0]) as first, served(homes[1]) as second:
        told = list(watch([first.url, second.url], "last"))
    assert sorted((t.host, t.envelope.task_id, t.envelope.seq) for t in told) == sorted(
        (f"127.0.0.1:{server.port}", run.id, seq)
        for server, run in zip((first, second), runs, strict=True)
        for seq in (1, 2)
    )


@pytest.mark.parametrize(
    ("until", "seqs"),
    [("complete", [1, 2, 3, 4]), ("rendering", [1, 2]), ("60.02%", [1, 2]), ("99%", [1, 2, 3, 4])],
)
def test_watching_until_something(home: Home, run: Run, until: str, seqs: list[int]) -> None:
    run.write("stage_update", status="started")
    run.write("stage_update", status="completed")
    run.write("log", "complete")
    with served(home) as server:
        told = list(watch([server.url], run.id, until=until))
    assert [t.envelope.seq for t in told] == seqs


def test_an_identical_snapshot_is_shown_once(home: Home, run: Run) -> None:
    run.write("progress_update", count=3, progress=61.0)
    run.write("progress_update", progress=62.0)
    run.write("complete")
    with served(home) as server:
        told = list(watch([server.url], run.id))
    assert [t.envelope.seq for t in told] == [1, 4, 5]


def test_the_token_is_used_and_its_lack_is_said(home: Home, run: Run) -> None:
    run.write("complete")
    with served(home, token=TOKEN) as server:
        assert len(list(watch([server.url], run.id, token=TOKEN))) == 1
        with pytest.raises(InputError, match="asks for a token"):
            list(watch([server.url], run.id))
        with pytest.raises(InputError, match="does not take this token"):
            list(watch([server.url], run.id, token="another-token-of-enough-letters"))


def test_a_run_is_watched_by_https(home: Home, run: Run, pem: tuple[Path, Path]) -> None:
    run.write("log", "complete")
    cert, key = pem
    with served(home, tls=pem) as server:
        url = server.url.replace("http:", "https:")
        assert len(list(watch([url], run.id, certificate=cert))) == 2
        with pytest.raises(InputError, match="is not trusted here"):
            list(watch([url], run.id))
    for unusable in (key, cert.parent / "nothing.pem"):
        with pytest.raises(InputError, match="cannot be used as a certificate"):
            list(watch([url], run.id, certificate=unusable))


def test_a_certificate_without_its_key_is_told(home: Home, pem: tuple[Path, Path]) -> None:
    for cert, key in ((pem[0], None), (pem[1], pem[0])):
        with pytest.raises(SetupError, match="The TLS certificate or its key cannot be used"):
            serve(home, ServeSettings(), (cert, key))
    with pytest.raises(InputError, match=r"There is no file .*nothing\.pem"):
        serve(home, ServeSettings(), (pem[0].parent / "nothing.pem", pem[1]))


def test_what_will_never_work_is_said_at_once(home: Home) -> None:
    with served(home) as server:
        with pytest.raises(InputError, match="has no single run abc"):
            list(watch([server.url], "abc"))
        with pytest.raises(InputError, match="has no single run"):
            list(watch([server.url], "550e8400-e29b-41d4-a716-446655440000"))
    for address in ("ftp://host", "http://", "http://host:x"):
        with pytest.raises(InputError, match="no address"):
            list(watch([address]))


def test_a_server_of_another_kind_is_told_from_a_run_that_is_not_there() -> None:
    other = relaying(http.server.SimpleHTTPRequestHandler)
    with other as port, pytest.raises(InputError, match="no server of vidgen"):
        list(watch([f"http://127.0.0.1:{port}"], "last"))


def test_a_server_that_is_away_for_long_is_not_said_to_hold_streams_back(
    home: Home, run: Run
) -> None:
    run.write("log")
    links: list[Link] = []

    def sleep(seconds: float) -> None:
        if [link.state for link in links].count("lost") == 5:
            server.start()
            run.write("complete")

    with serving_process(home) as server:
        follower = RunClient(server.url, run.id, on_link=links.append, sleep=sleep)
        events = follower.events()
        got = [next(events).seq]
        server.kill()
        got += [envelope.seq for envelope in events]
    assert got == [1, 2]
    assert [link.state for link in links] == ["connected", *["lost"] * 5, "connected"]


def test_what_breaks_a_line_is_said_in_words() -> None:
    errors = {
        "the other side hung up": httpx.RemoteProtocolError(
            "peer closed (incomplete chunked read)"
        ),
        "Connection refused": httpx.ConnectError("[Errno 111] Connection refused"),
        "it does not speak https": httpx.ConnectError(
            "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"
        ),
        "HTTP 502": ConnectionLost("HTTP 502"),
        "no answer in time": httpx.ReadTimeout(""),
    }
    assert [reason_of(error) for error in errors.values()] == list(errors)


def test_the_authorities_are_read_once(pem: tuple[Path, Path]) -> None:
    assert trusted(None) is trusted(None)
    assert trusted(pem[0]) is trusted(pem[0]) is not trusted(None)


def test_a_server_that_was_never_there_is_given_up() -> None:
    timing = Timing(first_contact=0.05)
    with pytest.raises(SetupError, match="cannot be reached"):
        list(RunClient(f"127.0.0.1:{free_port()}", "last", timing=timing, sleep=nap).events())


def test_back_off_has_full_jitter_and_a_cap() -> None:
    slept: list[float] = []
    follower = RunClient("host", sleep=slept.append, chance=lambda: 0.5)
    for _ in range(8):
        follower._back_off(ConnectionLost("x"), 0.0)
    follower._back_off(ConnectionLost("x", retry_after=60.0), 0.0)
    assert slept == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 60.0]


@pytest.mark.parametrize(
    ("pasted", "base"),
    [
        ("box:55433", "http://box:55433"),
        ("https://box/#550e8400", "https://box"),
        ("http://[::1]:80/api/tasks", "http://[::1]:80"),
    ],
)
def test_any_address_of_the_server_will_do(pasted: str, base: str) -> None:
    assert RunClient(pasted).base == base


def test_how_a_watch_ends() -> None:
    def end(event_type: str) -> Envelope:
        return Envelope("t", 1, event_type, "", {})

    codes = {
        name: exit_code(end(name)) for name in ("complete", "error", "cancelled", "interrupted")
    }
    assert codes == {"complete": 0, "error": 4, "cancelled": 130, "interrupted": 4}
    assert exit_code(None) == 4
    assert HostEvent("h", end("x")).host == "h"


@pytest.mark.parametrize(
    ("content_type", "is_taken"),  # web-platform-tests eventsource/format-mime-*
    [
        ("text/event-stream", True),
        ("text/event-stream;", True),
        ("text/event-stream;bogus", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/x-bogus", False),
        ("text/event-streamx", False),
        ("x bogus", False),
        ("", False),
    ],
)
def test_only_an_event_stream_is_read_as_one(content_type: str, is_taken: bool) -> None:
    assert _is_event_stream(content_type) is is_taken


def test_the_title_is_told_and_its_lack_loses_nothing(home: Home) -> None:
    run = Run(home, request={"title": "nightly"})
    run.write("log", "complete")
    with served(home) as server:
        assert {t.title for t in watch([server.url], run.id)} == {"nightly"}
        with cut_line(server.port, most=700) as port:  # too few bytes for the snapshot
            follower = RunClient(f"http://127.0.0.1:{port}", run.id, sleep=nap)
            assert [e.seq for e in follower.events()] == [1, 2]
            assert follower.title == ""


def test_the_client_loads_no_server(home: Home) -> None:
    import sys

    code = (
        "import sys, vidgen.progress.watch.hosts\n"
        "print(sorted({'uvicorn', 'starlette', 'numpy', 'cv2'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert json.loads(told.stdout.replace("'", '"')) == []
