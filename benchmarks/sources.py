"""What it costs to have the runs of many machines on one server.

Run it as `python -m benchmarks.sources [--sources 50] [--runs 20] [--events 200]`. The sources are
real servers in a process of their own; half of their runs are at work and write on.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from tests.support.serving import Run, free_port, resident_mb, served, wait_until
from vidgen.paths import Home


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=50)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.child:
        serve_sources(Path(wanted.child), wanted.sources, wanted.runs, wanted.events)
    else:
        measure(wanted.sources, wanted.runs, wanted.events)


def serve_sources(root: Path, sources: int, runs: int, events: int) -> None:
    """Print the addresses, then write on, a line for each run a second, until stdin ends."""
    with contextlib.ExitStack() as stack:
        urls, working = [], []
        for number in range(sources):
            home = Home(root / str(number))
            for index in range(runs):
                run = Run(home)
                run.write("stage_update", "progress_update", count=events // 2)
                if index % 2:
                    run.write("complete")
                else:
                    working.append(run)
            urls.append(stack.enter_context(served(home)).url)
        print(",".join(urls), flush=True)
        os.set_blocking(0, False)
        while sys.stdin.buffer.read() is None:  # None: nothing yet; b"": the end
            for run in working:
                run.write("progress_update")
            time.sleep(1.0)


def measure(sources: int, runs: int, events: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--sources", sources, "--runs", runs, "--events", events, "--child", folder]
        command = [sys.executable, "-m", "benchmarks.sources", *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as child:  # type: ignore[call-overload]
            urls = child.stdout.readline().strip()
            _serve(Home(Path(folder) / "here"), urls, sources * runs)
            child.stdin.close()


def _serve(home: Home, urls: str, total: int) -> None:
    port = free_port()
    command = [sys.executable, "-m", "vidgen", "serve-progress", "--port", str(port)]
    environment = os.environ | {"VIDGEN_HOME": str(home.root)}
    began = time.monotonic()
    with subprocess.Popen([*command, "--from", urls], env=environment) as server:
        try:
            wait_until(lambda: _total(port) == total, 120)
            print(f"{total} runs there after {time.monotonic() - began:.1f} s")
            time.sleep(25.0)  # until what was told before is taken in
            _report(port, server.pid)
        finally:
            server.terminate()


def _report(port: int, pid: int) -> None:
    before, began = _processor(pid), time.monotonic()
    times = []
    with httpx.Client() as client:
        for _ in range(20):
            asked = time.monotonic()
            client.get(f"http://127.0.0.1:{port}/api/tasks?limit=500").raise_for_status()
            times.append(time.monotonic() - asked)
            time.sleep(0.5)
    share = (_processor(pid) - before) / (time.monotonic() - began)
    times.sort()
    p50, p95, most = (times[place] * 1e3 for place in (10, 18, 19))
    print(f"list of 500: {p50:.0f} ms p50, {p95:.0f} ms p95, {most:.0f} ms at most")
    print(f"resident {resident_mb(pid):.0f} MB, {share:.0%} of a core")


def _total(port: int) -> int:
    try:
        found = httpx.get(f"http://127.0.0.1:{port}/api/tasks?limit=1").json()
    except httpx.HTTPError:
        return 0
    return int(found["total"])


def _processor(pid: int) -> float:
    spent = psutil.Process(pid).cpu_times()
    return float(spent.user + spent.system)


if __name__ == "__main__":
    main()
