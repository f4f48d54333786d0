"""How fast events reach many watchers, and what that costs: ours, sse-starlette, and nginx's nchan.

Run it as `python -m benchmarks.serving [--quick]` on Linux. The watchers are a C program
(`watchers.c`, compiled with the machine's `cc`); the server has core 0, writer and watchers core 1.
What is not installed is left out of the table, and named: `pip install sse-starlette`; Debian's
packages `nginx` and `libnginx-mod-nchan`. Takes about three minutes, a third with `--quick`.
"""

import argparse
import contextlib
import http.client
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.support.serving import free_port, wait_until
from vidgen.events import Envelope
from vidgen.paths import Home, TaskFolder
from vidgen.progress.store.log import TaskLog

HERE = Path(__file__).parent
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
Publish = Callable[[int, bytes], None]


@dataclass
class Subject:
    """A server under test."""

    name: str
    port: int
    path: str
    pids: list[int]
    publish: Publish


# The servers

# sse-starlette as its documentation shows it, over the same file and the same inotify
SSE_STARLETTE = """
import asyncio, contextlib, sys, uvicorn
from pathlib import Path
from inotify_simple import INotify, flags
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.routing import Route
queues = set()
async def stream(request):
    queue = asyncio.Queue(); queues.add(queue)
    async def events():
        try:
            yield ServerSentEvent(comment="hello")
            while True:
                number, line = await queue.get()
                yield ServerSentEvent(line, id=number)
        finally: queues.discard(queue)
    return EventSourceResponse(events())
async def follow():
    file, rest, number = open(sys.argv[1], "rb"), b"", 0
    notes = INotify(nonblocking=True); notes.add_watch(sys.argv[1], flags.MODIFY)
    def ready():
        nonlocal rest, number
        notes.read(timeout=0)
        *lines, rest = (rest + file.read()).split(b"\\n")
        for line in lines:
            number += 1
            for queue in queues: queue.put_nowait((str(number), line.decode()))
    asyncio.get_running_loop().add_reader(notes.fileno(), ready)
@contextlib.asynccontextmanager
async def lifespan(app):
    await follow(); yield
app = Starlette(routes=[Route("/stream", stream)], lifespan=lifespan)
uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
"""

NGINX = """
load_module {module};
daemon off; pid {folder}/pid; error_log {folder}/error.log; user root;
worker_processes 1; worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
  access_log off; nchan_max_reserved_memory 64M;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    location /publish {{ nchan_publisher; nchan_channel_id x; nchan_message_buffer_length 1000; }}
    location /stream {{ nchan_subscriber eventsource; nchan_channel_id x;
      nchan_eventsource_ping_comment hello; nchan_eventsource_ping_interval 1;
      nchan_subscriber_first_message newest; }}
  }}
}}
"""


@contextlib.contextmanager
def started(
    command: list[str], port: int, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on core 0, ended at the end."""
    process = subprocess.Popen(
        ["taskset", "-c", "0", *command],
        env=os.environ | (environ or {}),
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _listens(port))
        yield process
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse()
    except OSError:
        return False
    finally:
        connection.close()
    return True


@contextlib.contextmanager
def vidgen_server(folder: Path) -> Iterator[Subject]:
    home, port = Home(folder), free_port()
    task = home.task(str(uuid.uuid4()))
    task.root.mkdir(parents=True)
    command = [sys.executable, "-m", "vidgen", "serve-progress", f"--port={port}",
               "--max-watchers=0", "--per-ip=0"]  # fmt: skip
    with (
        started(command, port, {"VIDGEN_HOME": str(folder)}) as process,
        TaskLog(task) as log,
    ):
        path = f"/api/sse/progress/{task.task_id}"
        fd = os.open(log.folder.events, os.O_WRONLY | os.O_APPEND)
        yield Subject("vidgen", port, path, [process.pid], lambda _, line: _append(fd, line))
        os.close(fd)


@contextlib.contextmanager
def sse_starlette_server(folder: Path) -> Iterator[Subject]:
    log, port = folder / "events.jsonl", free_port()
    log.touch()
    command = [sys.executable, "-c", SSE_STARLETTE, str(log), str(port)]
    with started(command, port) as process:
        fd = os.open(log, os.O_WRONLY | os.O_APPEND)
        publish = lambda _, line: _append(fd, line)  # noqa: E731
        name = f"sse-starlette {version('sse-starlette')}"
        yield Subject(name, port, "/stream", [process.pid], publish)
        os.close(fd)


@contextlib.contextmanager
def nchan_server(folder: Path) -> Iterator[Subject]:
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, module=NCHAN_MODULE))
    with started(["nginx", "-c", str(config)], port) as process:
        connection = http.client.HTTPConnection("127.0.0.1", port)

        def publish(_: int, line: bytes) -> None:
            connection.request("POST", "/publish", line.strip())
            connection.getresponse().read()

        name = f"nchan (nginx {_nginx_version()})"
        yield Subject(name, port, "/stream", _children(process.pid), publish)
        connection.close()


def _nginx_version() -> str:
    said = subprocess.run(["nginx", "-v"], check=True, capture_output=True, text=True).stderr
    return said.rpartition("/")[2].split()[0]


def _append(fd: int, line: bytes) -> None:
    os.write(fd, line)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [pid, *map(int, text.split())]


# Measuring


def event(seq: int, task_id: str = "550e8400-e29b-41d4-a716-446655440000") -> bytes:
    """One progress event of the usual size (about 430 bytes), with the moment it was made."""
    data = {
        "stage": "rendering", "progress": round(60 + seq / 10_000, 4),
        "message": "Drawing the frames",
        "message_code": "stage.rendering", "metadata": {"backend": "puppet"}, "stage_progress": 0.5,
        "done": seq, "total": 250, "unit": "frames", "rate": 41.3, "eta_seconds": 12.4,
        "eta_upper_seconds": 15.0, "eta_basis": "history", "sent_ns": time.monotonic_ns(),
    }  # fmt: skip
    return (
        Envelope(task_id, seq, "progress_update", "2026-11-20T12:34:56.789Z", data).to_wire()
        + b"\n"
    )


def spent(pids: list[int]) -> float:
    """Seconds of CPU, user and system, of all their threads."""
    threads = [thread for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir()]
    # To the nanosecond; /proc/PID/stat counts in hundredths of a second.
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def resident_kb(pids: list[int]) -> int:
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(t.partition("VmRSS:")[2].split()[0]) for t in texts)


def measure(
    subject: Subject, watchers: Path, count: int, rate: float, seconds: float, burst: int = 1
) -> dict[str, Any]:
    """`count` watchers, `rate` events a second in bursts of `burst`, for `seconds`."""
    total = int(rate * seconds)
    before_kb = resident_kb(subject.pids)
    arguments = [subject.port, subject.path, count, total, int(seconds) + 15]
    client = subprocess.Popen([watchers, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "ready\n"
    time.sleep(0.5)
    connected_kb, began_cpu = resident_kb(subject.pids), spent(subject.pids)
    due = began = time.monotonic()
    for first in range(1, total + 1, burst):
        if burst == 1:
            subject.publish(first, event(first))
        else:
            last = min(first + burst, total + 1)
            subject.publish(first, b"".join(event(seq) for seq in range(first, last)))
        due += burst / rate
        time.sleep(max(0.0, due - time.monotonic()))
    wrote_for = time.monotonic() - began
    told: dict[str, Any] = json.loads(client.communicate()[0])
    deliveries = told["deliveries"]
    return told | {
        "server": subject.name,
        "watchers": count,
        "rate": round(total / wrote_for),
        "lost": total * count - deliveries,
        "cpu_us": (spent(subject.pids) - began_cpu) / max(1, deliveries) * 1e6,
        "kb_each": (connected_kb - before_kb) / count,
        "resident_mb": resident_kb(subject.pids) / 1024,
    }


def stored_per_second(folder: Path, batch: int = 500, seconds: float = 2.0) -> float:
    """How many events a second the store's writer keeps, in batches."""
    task = TaskFolder(folder / str(uuid.uuid4()))
    data = {"stage": "rendering", "progress": 61.5, "message": "Drawing the frames", "done": 1}
    with TaskLog(task) as log:
        seq, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            events = [
                Envelope(
                    task.task_id, seq + n + 1, "progress_update", "2026-11-20T12:34:56.789Z", data
                )
                for n in range(batch)
            ]
            log.write_all(events)
            seq += batch
        return seq / (time.monotonic() - began)


@contextlib.contextmanager
def busy_run() -> Iterator[None]:
    """A process that keeps core 1 and, by a second thread, as much of core 0 as it gets."""
    code = "import threading\ndef f():\n while True: sum(range(1000))\n" + (
        "threading.Thread(target=f, daemon=True).start()\nf()"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(0.3)
        yield
    finally:
        process.kill()
        process.wait()


# The table

HEAD = (
    "| server | watchers | events/s | mean ms | p50 | p95 | p99 | CPU µs/delivery | KB/connection "
    "| resident MB | lost | out of order |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def line(r: dict[str, Any], note: str = "") -> str:
    """A row. What says nothing is left out: with few deliveries a server's CPU is its
    housekeeping, and one connection's memory is lost in the noise."""
    cpu = f"{r['cpu_us']:.1f}" if r["watchers"] * r["rate"] > 1000 else "–"
    each = f"{r['kb_each']:.1f}" if r["watchers"] > 1 else "–"
    return (
        f"| {r['server']}{note} | {r['watchers']:,} | {r['rate']:,} | {r['mean_ms']:.2f} "
        f"| {r['p50_ms']:.2f} | {r['p95_ms']:.2f} | {r['p99_ms']:.2f} | {cpu} "
        f"| {each} | {r['resident_mb']:.0f} | {r['lost']:,} | {r['out_of_order']:,} |"
    )


def compiled(folder: Path) -> Path:
    program = folder / "watchers"
    subprocess.run(["cc", "-O2", "-o", program, HERE / "watchers.c"], check=True)
    return program


def servers() -> list[Callable[[Path], contextlib.AbstractContextManager[Subject]]]:
    """Those that are installed."""
    found: list[Callable[[Path], contextlib.AbstractContextManager[Subject]]] = [vidgen_server]
    if find_spec("sse_starlette") and find_spec("inotify_simple"):
        found.append(sse_starlette_server)
    else:
        print("sse-starlette is not installed.")
    if shutil.which("nginx") and NCHAN_MODULE.exists():
        found.append(nchan_server)
    else:
        print("nginx and libnginx-mod-nchan are not installed.")
    return found


def machine() -> str:
    """What the figures were measured on."""
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition(": ")[2]
    return (
        f"Linux {platform.release()}, {os.cpu_count()} × {cpu.partition(chr(10))[0]}, "
        f"Python {platform.python_version()}, uvicorn {version('uvicorn')}, "
        f"uvloop {version('uvloop')}; load of the machine before: {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 s instead of 10 s a line")
    seconds = 3.0 if parser.parse_args().quick else 10.0
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        watchers = compiled(base)
        compared = servers()
        print(f"{machine()}; {seconds:.0f} s a line\n\n{HEAD}", flush=True)
        for number, (count, rate) in enumerate(((1, 15), (100, 15), (1000, 15))):
            for start in compared:
                folder = base / f"{start.__name__}{number}"
                folder.mkdir()
                with start(folder) as subject:
                    print(line(measure(subject, watchers, count, rate, seconds)), flush=True)
        _more(base, watchers, seconds)


def _more(base: Path, watchers: Path, seconds: float) -> None:
    """What the issue asks of our own server alone."""
    with vidgen_server(base / "fast") as subject:
        told = measure(subject, watchers, 1, 15_000, min(5.0, seconds), burst=15)
        print(line(told, ", one task, bursts of 15"), flush=True)
    with vidgen_server(base / "busy") as subject, busy_run():
        print(line(measure(subject, watchers, 1, 15, seconds), ", beside a busy run"), flush=True)
    rate = stored_per_second(base / "store")
    print(f"\nThe store's writer, batches of 500: {rate:,.0f} events/s.")
    assert threading.active_count() < 5


if __name__ == "__main__":
    main()
