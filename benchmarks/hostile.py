"""Strangers' requests and files, one after another: what do they break, leave behind or cost?

    python -m benchmarks.hostile --models ~/.local/share/vidgen/models

Some 200 requests go to a server with a token, written by hand and byte by byte; some 150 files
are given to `vidgen run` as photo or voice; then 1,000 connections without a token from one
address, which stay open. Counted are tracebacks, programs that are left or that have gone, files
beside the home that changed, and the most memory of one process. Everything stays on this machine.
"""

import argparse
import contextlib
import hashlib
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import soundfile

from benchmarks import hostile_files
from benchmarks.hostile_requests import TOKEN, requests
from tests.support.cli import environment
from tests.support.serving import Run, answers, free_port, wait_until
from tests.support.voices import RATE, syllables
from tests.support.warm import obey, warm_up
from vidgen.paths import Home

SECONDS: Final = 120  # for one command; then it counts as hanging
STRANGERS: Final = 1000


@dataclass
class Harm:
    """What was counted of one kind of attack."""

    tried: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    tracebacks: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # processes and files
    memory_mb: float = 0.0

    def row(self, name: str) -> str:
        ends = ", ".join(f"{count} × {end}" for end, count in sorted(self.ends.items()))
        return (
            f"| {name} | {self.tried} | {ends} | {len(self.tracebacks)} | {len(self.left)} "
            f"| {self.memory_mb:.0f} MB |"
        )


class Neighbours:
    """Files and a program of somebody else, which nothing here may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(["sleep", "1000000"])
        self.before: dict[str, str] = {}

    def remember(self) -> None:
        self.before = self._look()

    def changed(self) -> list[str]:
        now = self._look()
        names = {
            name
            for name in now.keys() | self.before.keys()
            if now.get(name) != self.before.get(name)
        }
        gone = [] if self.process.poll() is None else ["a stranger's process"]
        return [*sorted(names), *gone]

    def _look(self) -> dict[str, str]:
        return {str(path): _state(path) for path in self.folder.rglob("*")}


def _state(path: Path) -> str:
    about = path.lstat()
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return f"{about.st_mode} {about.st_mtime_ns} {content}"


# Files


def try_files(home: Home, folder: Path, photo: Path, voice: Path) -> dict[str, Harm]:
    dice = random.Random(20261127)
    harms = {}
    for kind, makes in (("photos", hostile_files.photos), ("voices", hostile_files.voices)):
        place = folder / kind
        place.mkdir()

        def put(name: str, content: bytes, place: Path = place) -> Path:
            (place / name).write_bytes(content)
            return place / name

        files = list(makes(put, photo if kind == "photos" else voice, dice))
        neighbours = Neighbours(place)
        neighbours.remember()
        harm = harms[kind] = Harm()
        for number, file in enumerate(files):
            pair = (file, voice) if kind == "photos" else (photo, file)
            film = folder / "films" / f"{kind}-{number}.mp4"
            _try(
                harm, home, (*pair, "-o", film, "--height", 256), folder, is_quick=kind == "voices"
            )
            for name in neighbours.changed():
                harm.left.append(f"{file.name!r}: {name}")
                neighbours.remember()
        neighbours.process.kill()
        neighbours.process.wait()
    return harms


def _try(harm: Harm, home: Home, run: tuple[object, ...], folder: Path, *, is_quick: bool) -> None:
    out, err = folder / "films" / "out", folder / "films" / "err"
    harm.tried += 1
    pid = os.fork()
    if pid == 0:
        signal.alarm(SECONDS)
        obey({
            "arguments": [str(word) for word in ("run", *run, "--progress", "quiet")],
            "environment": environment(home), "cwd": str(folder / "films"), "ignores": [],
            "streams": [os.devnull, str(out), str(err)], "is_quick": is_quick,
        })  # fmt: skip
    _, status, used = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    harm.ends[{0: "a film", 2: "refused", 3: "refused"}.get(code, f"code {code}")] += 1
    harm.memory_mb = max(harm.memory_mb, used.ru_maxrss / 1024)
    said = err.read_text("utf-8", "replace")
    is_clean = not any(word in said for word in ("Traceback", "Warning:", "\x1b]"))
    if code not in (0, 2, 3) or not is_clean:
        harm.tracebacks.append(f"{run[:2]}: {code} {said[-300:]}")
    harm.left += [f"{run[:2]}: process {name}" for name in _of_session(pid)]


def _of_session(leader: int) -> list[str]:
    """The processes that `leader` has started and that are still there."""
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/stat") if _sid(path) == leader]


def _sid(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[3])
    except OSError:
        return 0


# Requests


class Server:
    """A server in a process of its own; its words are kept."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.port = free_port()
        self.words = folder / "server"
        (folder / "token").write_text(TOKEN)
        command = ["serve-progress", "--port", str(self.port), "--accept-jobs"]
        command += ["--token-file", str(folder / "token"), "--per-second", "0"]
        with self.words.open("wb") as words:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vidgen", *command], stdout=words, stderr=words,
                env=environment(home), start_new_session=True,
            )  # fmt: skip
        wait_until(lambda: answers(self.port), 60)

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def try_requests(home: Home, folder: Path) -> tuple[Harm, list[float]]:
    harm, place = Harm(), folder / "requests"
    place.mkdir()
    (place / "request.json").write_text("a neighbour's")
    neighbours = Neighbours(place)
    neighbours.remember()
    run = Run(home)
    run.write("stage_update", status="started")
    server = Server(home, folder)
    for content in requests(run.id):
        harm.tried += 1
        harm.ends[_end_of(server.port, content)] += 1
        if not answers(server.port):
            harm.tracebacks.append(f"no answer any more after {content[:80]!r}")
    seconds = crowd(server.port)
    harm.memory_mb = server.memory_mb()
    harm.left += neighbours.changed()
    server.close()
    run.end()
    words = server.words.read_text("utf-8", "replace")
    harm.tracebacks += [part[:300] for part in words.split("Traceback")[1:]]
    harm.left += _of_session(server.process.pid)
    neighbours.process.kill()
    neighbours.process.wait()
    return harm, seconds


def _end_of(port: int, content: bytes) -> str:
    """The status, or what else became of a request."""
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.settimeout(1)
        answer = b""
        with contextlib.suppress(OSError):
            peer.sendall(content)
        try:
            answer = peer.recv(65536)
        except TimeoutError:
            return "left waiting"
        except OSError:
            return "cut"
    words = answer.split(b" ", 2)
    return words[1].decode("latin-1")[:3] if len(words) > 2 else "cut"


def crowd(port: int) -> list[float]:
    """How long others wait for the page while strangers of one address come in crowds."""
    peers = []
    for _ in range(STRANGERS):
        with contextlib.suppress(OSError):
            peers.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            peers[-1].sendall(
                b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"
            )
    waited = []
    for _ in range(30):
        began = time.monotonic()
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(transport=transport, timeout=30) as client:
            assert client.get(f"http://127.0.0.1:{port}/").status_code == 200
        waited.append(time.monotonic() - began)
    for peer in peers:
        peer.close()
    return waited


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Home.default().models)
    wanted = parser.parse_args()
    warm_up()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "films").mkdir()
        home = Home(folder / "home")
        home.tasks.mkdir(parents=True)
        home.models.symlink_to(wanted.models)
        photo = next((wanted.models / "demo_photo").glob("[!.]*"))
        soundfile.write(folder / "voice.wav", syllables(1.2), RATE)
        requested, seconds = try_requests(home, folder)
        harms = {"requests": requested} | try_files(home, folder, photo, folder / "voice.wav")
    print(
        "| | tried | ends | tracebacks | left or changed | most memory |\n|---|---|---|---|---|---|"
    )
    for kind, harm in harms.items():
        print(harm.row(kind))
    half, most = statistics.median(seconds) * 1000, max(seconds) * 1000
    print(f"\nThe page, behind {STRANGERS} strangers: {half:.0f} ms p50, {most:.0f} ms at most")
    for harm in harms.values():
        print(*harm.tracebacks, *harm.left, sep="\n")


if __name__ == "__main__":
    main()
