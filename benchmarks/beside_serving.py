"""What else the server's speed hangs on: noticing, the list, a proxy, connections that idle.

Run it as `python -m benchmarks.beside_serving` on Linux; it takes about a minute. The proxy is
Debian's `nginx`, one line is `pip install watchfiles`; what is not installed is left out.
"""

import asyncio
import contextlib
import importlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import connect

from benchmarks.serving import compiled, event, measure, resident_kb, started, vidgen_server
from tests.support.serving import free_port
from vidgen.paths import Home
from vidgen.progress.fanout.inotify import Inotify, Notifier, Polling
from vidgen.progress.fanout.tail import Tail
from vidgen.progress.serve.index import RunIndex

EVENTS = 100
PAUSE_SECONDS = 0.0517  # no multiple of a polling step
LISTEN_SECONDS = 2 + EVENTS * (PAUSE_SECONDS + 0.002)
WRITER = """
import os, sys, time
from benchmarks.serving import event
time.sleep(1)
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for seq in range(1, int(sys.argv[2]) + 1):
    os.write(fd, event(seq)); time.sleep(float(sys.argv[3]))
"""
PROXY = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; user root;
events {{ }}
http {{
  access_log off; gzip on;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1; }}
  }}
}}
"""
Read = Callable[[], None]
Way = Callable[[Path, Read], Coroutine[Any, Any, None]]


def main() -> None:
    print("| | |\n|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        noticing(base)
        listing(base)
        behind_nginx(base)
        half_open(base)
        asyncio.run(idle(base))


def row(about: str, figures: str) -> None:
    print(f"| {about} | {figures} |", flush=True)


# Noticing


def noticing(base: Path) -> None:
    """From a writer's `write`, in a process of its own, until the event has been read here."""
    ways: dict[str, Way] = {"inotify": by_inotify, "polling": by_polling}
    if find_spec("watchfiles"):
        ways["watchfiles with its shortest steps"] = by_watchfiles
    for number, (name, way) in enumerate(ways.items()):
        late_ms, cpu_us = noticed(base / str(number), way)
        low, middle, high = (statistics.quantiles(late_ms, n=20)[n] for n in (0, 9, 18))
        row(
            f"From the writer's `write` to the server's reading, {name}",
            f"{middle:.2f} ms p50, {low:.2f} p5, {high:.2f} p95; {cpu_us:.0f} µs of CPU an event",
        )


def noticed(home: Path, way: Way) -> tuple[list[float], float]:
    """(how late each event was read, milliseconds; CPU an event, microseconds)."""
    task = Home(home).task(str(uuid.uuid4()))
    task.root.mkdir(parents=True)
    task.events.touch()
    tail = Tail(task)
    late_ms: list[float] = []

    def read() -> None:
        known = tail.count
        tail.poll()
        now = time.monotonic_ns()
        lines = tail.lines(range(known, tail.count), 1 << 20)
        late_ms.extend((now - orjson.loads(line)["data"]["sent_ns"]) / 1e6 for line in lines)

    command = [sys.executable, "-c", WRITER, str(task.events), str(EVENTS), str(PAUSE_SECONDS)]
    with subprocess.Popen(command):
        began = time.process_time()
        asyncio.run(way(task.root, read))
        spent = time.process_time() - began
    assert len(late_ms) == EVENTS
    return late_ms, spent / EVENTS * 1e6


async def by_inotify(folder: Path, read: Read) -> None:
    await _listening(Inotify(asyncio.get_running_loop()), folder, read)


async def by_polling(folder: Path, read: Read) -> None:
    await _listening(Polling(asyncio.get_running_loop()), folder, read)


async def _listening(notifier: Notifier, folder: Path, read: Read) -> None:
    notifier.listen(folder, read)
    await asyncio.sleep(LISTEN_SECONDS)
    notifier.close()


async def by_watchfiles(folder: Path, read: Read) -> None:
    awatch = importlib.import_module("watchfiles").awatch
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(LISTEN_SECONDS, stop.set)
    async for _ in awatch(folder, step=1, debounce=1, stop_event=stop):
        read()


# The list


def listing(base: Path, count: int = 10_000) -> None:
    home = Home(base / "many")
    first = home.task("00000000-0000-4000-8000-000000000000")
    first.root.mkdir(parents=True)
    first.events.write_bytes(event(1) + event(2).replace(b"progress_update", b"complete"))
    for number in range(1, count):
        folder = home.tasks / f"{number:08}-0000-4000-8000-000000000000"
        folder.mkdir()
        os.link(first.events, folder / "events.jsonl")
    tasks = RunIndex(home)
    took = []
    for _ in range(9):
        began = time.perf_counter()
        total, _page = tasks.page(0, 50)
        took.append((time.perf_counter() - began) * 1000)
        assert total == count
    row(
        f"The list of {count:,} tasks",
        f"{took[0]:.0f} ms the first time, {statistics.median(took[1:]):.0f} ms after",
    )


# Connections


def behind_nginx(base: Path) -> None:
    """One watcher, directly and through a proxy as it comes, with gzip."""
    if not shutil.which("nginx"):
        return
    watchers = compiled(base)
    p50_ms = {}
    for is_proxied in (False, True):
        folder = base / f"proxied-{is_proxied}"
        folder.mkdir()
        with vidgen_server(folder) as subject, proxy(folder, subject.port) as port:
            asked = replace(subject, port=port) if is_proxied else subject
            p50_ms[is_proxied] = measure(asked, watchers, 1, 15, 5.0)["p50_ms"]
    more = p50_ms[True] - p50_ms[False]
    row("Behind nginx with its default settings and gzip", f"{more:.2f} ms more, p50")


@contextlib.contextmanager
def proxy(folder: Path, behind: int) -> Iterator[int]:
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(PROXY.format(folder=folder, port=port, behind=behind))
    with started(["nginx", "-c", str(config)], port):
        yield port


def half_open(base: Path, count: int = 1000) -> None:
    folder = base / "half-open"
    folder.mkdir()
    with vidgen_server(folder) as subject, contextlib.ExitStack() as stack:
        subject.publish(1, event(1))
        before = resident_kb(subject.pids)
        for number in range(count):
            address = ("127.0.0.1", subject.port)
            peer = stack.enter_context(socket.create_connection(address))
            if number % 2:
                peer.sendall(b"GET / HTTP/1.1\r\nHo")
        began = time.perf_counter()
        url = f"http://127.0.0.1:{subject.port}{subject.path}"
        with httpx.stream("GET", url) as response:
            next(response.iter_raw())
            took = (time.perf_counter() - began) * 1000
        more_mb = (resident_kb(subject.pids) - before) / 1024
    row(
        f"{count:,} half-open connections",
        f"a new watcher has its first byte after {took:.0f} ms; {more_mb:.1f} MB",
    )


async def idle(base: Path, count: int = 500) -> None:
    """What a WebSocket that nothing is told costs the server: ours, and one of each system that
    listens to a run by its address alone."""
    paths = {
        "ours": "/api/ws/progress/{}?v=1",
        "of 000": "/api/ws/progress/{}",
        "of 003": "/api/v1/projects/{}/progress",
        "of 004": "/ws/jobs/{}",
    }
    for name, path in paths.items():
        folder = base / name
        folder.mkdir()
        with vidgen_server(folder) as subject:
            subject.publish(1, event(1))
            url = f"ws://127.0.0.1:{subject.port}" + path.format(subject.path.rpartition("/")[2])
            async with contextlib.AsyncExitStack() as stack:
                first = connect(url, compression=None)  # what the first of all brings is no cost
                await (await stack.enter_async_context(first)).recv()
                before = resident_kb(subject.pids)
                for _ in range(count):
                    peer = await stack.enter_async_context(connect(url, compression=None))
                    await peer.recv()
                each_kb = (resident_kb(subject.pids) - before) / count
        row(f"An idle WebSocket {name}, of {count}", f"{each_kb:.1f} KB")


if __name__ == "__main__":
    main()
