"""What the tests of the server share: a writer of logs, servers, open streams."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from vidgen.paths import Home, TaskFolder
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.serve.app import App
from vidgen.progress.serve.jobs import Jobs
from vidgen.progress.serve.server import Server, bind
from vidgen.progress.serve.settings import USUAL, ServeSettings, Timing
from vidgen.progress.sources.sources import Sources
from vidgen.progress.store.lock import Lock
from vidgen.progress.watch.sse import SseDecoder


class Run:
    """A writer of one log, as simple as the format allows; holds the lock while it lives."""

    def __init__(
        self, home: Home, task_id: str = "", request: Mapping[str, Any] | None = None
    ) -> None:
        self.id = task_id or str(uuid.uuid4())
        self.folder: TaskFolder = home.task(self.id)
        self.folder.root.mkdir(parents=True, exist_ok=True)
        self.folder.previews.mkdir(exist_ok=True)
        if request is not None:
            self.folder.request.write_text(json.dumps(request))
        self._lock = Lock(self.folder.lock)
        self._lock.__enter__()
        self.seq = 0

    def write(self, *event_types: str, count: int = 1, **data: Any) -> None:
        """Each event type `count` times, in one write."""
        lines = []
        for _ in range(count):
            for event_type in event_types:
                self.seq += 1
                lines.append(self.line(self.seq, event_type, **data))
        self.raw(b"".join(lines))

    def raw(self, content: bytes) -> None:
        fd = os.open(self.folder.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, content)
        os.close(fd)

    def line(self, seq: int, event_type: str, **data: Any) -> bytes:
        base = {"stage": "rendering", "progress": min(60 + seq / 100, 79.0), "message": "Drawing"}
        if event_type == "complete":
            base = {"stage": "complete", "progress": 100.0, "message": "Done"}
        elif event_type == "error":
            base = {"stage": "failed", "progress": -1.0, "message": "No face was found."}
        event = {
            "v": 1,
            "task_id": self.id,
            "seq": seq,
            "event_type": event_type,
            "timestamp": f"2026-11-20T12:{seq // 60 % 60:02}:{seq % 60:02}.000Z",
            "data": base | data,
        }
        return json.dumps(event, separators=(",", ":")).encode() + b"\n"

    def end(self) -> None:
        """Let the lock go, as a writer that is dead."""
        self._lock.__exit__(None, None, None)


class Served:
    """A server that runs, and how to reach it."""

    def __init__(self, port: int, app: App | None = None) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._app = app

    @property
    def app(self) -> App:
        assert self._app is not None
        return self._app


@contextlib.contextmanager
def served(
    home: Home,
    *,
    tls: tuple[Path | None, Path | None] = (None, None),
    hub: Hub | None = None,
    jobs: Jobs | None = None,
    timing: Timing = USUAL,
    other_machines: Sources | None = None,
    **rules: Any,
) -> Iterator[Served]:
    """A real uvicorn in a thread, on a free port of loopback. `tls`: a certificate, its key.

    `hub`, `jobs` and `timing` are other ones than a server makes itself, mostly more impatient.
    """
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    settings = ServeSettings(port=port, **rules)
    sources = Sources(home, settings.sources) if settings.sources else other_machines
    app = App(home, settings, hub, jobs, sources)
    server = Server(app, *tls, timing)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield Served(port, app)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


SERVE = """
import sys
from pathlib import Path
from vidgen.paths import Home
from vidgen.progress.serve.server import serve
from vidgen.progress.serve.settings import ServeSettings
serve(Home(Path(sys.argv[1])), ServeSettings(port=int(sys.argv[2]), token=sys.argv[3]))
"""


@contextlib.contextmanager
def serving_process(home: Home, port: int = 0, token: str = "") -> Iterator["ServingProcess"]:
    """The server in a process of its own, to be killed."""
    process = ServingProcess(home, port or free_port(), token)
    try:
        yield process
    finally:
        process.stop()


class ServingProcess(Served):
    def __init__(self, home: Home, port: int, token: str) -> None:
        super().__init__(port)
        self._arguments = [sys.executable, "-c", SERVE, str(home.root), str(port), token]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._arguments)
        wait_until(lambda: answers(self.port), 60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listed(server: Served) -> dict[str, dict[str, Any]]:
    """The server's list of tasks, by their ids."""
    tasks = httpx.get(f"{server.url}/api/tasks").json()["tasks"]
    return {task["task_id"]: task for task in tasks}


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


@contextlib.contextmanager
def stream(
    url: str, headers: Mapping[str, str] | None = None, timeout: float = 10.0
) -> Iterator["Streamed"]:
    """An open SSE stream. Its events come out as (id, envelope), without the heartbeats."""
    with httpx.stream("GET", url, headers=headers, timeout=timeout) as response:
        yield Streamed(response)


class Streamed:
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.decoder = SseDecoder()
        self.has_beats = False
        self._chunks = response.iter_raw()
        self._ready: list[tuple[str, dict[str, Any]]] = []

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        while True:
            while self._ready:
                yield self._ready.pop(0)
            try:
                chunk = next(self._chunks)
            except StopIteration:
                return
            for event in self.decoder.feed(chunk):
                envelope = json.loads(event.data)
                if self.has_beats or envelope["event_type"] != "heartbeat":
                    self._ready.append((event.last_event_id, envelope))

    def take(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        """The next `count` events."""
        taken = []
        for event in self:
            taken.append(event)
            if len(taken) == count:
                break
        return taken

    def seqs(self) -> list[int]:
        """The numbers of all events until the stream ends."""
        return [e["seq"] for _, e in self]


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(x for x in status.splitlines() if x.startswith("VmRSS")).split()[1]) / 1024


def sse(server: Served, run: Run, query: str = "") -> str:
    return f"{server.url}/api/sse/progress/{run.id}{query}"


def raw(port: int, line: str, host: str = "localhost", extra: bytes = b"") -> bytes:
    """What comes back for a request written by hand."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        head = f"{line}\r\nHost: {host}\r\nConnection: close\r\n"
        peer.sendall(head.encode() + extra + b"\r\n")
        answer = b""
        while chunk := peer.recv(65536):
            answer += chunk
        return answer
