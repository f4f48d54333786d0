"""A warm process that starts one run of the D-ID stages after another, each in a child to kill.

Importing costs most of a second, a fork some milliseconds. Lines in: JSON of a `Run`; lines
out: the child's pid, then its exit status (negative: the signal that ended it).
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.did import account, film_by, shelf
from vidgen.did.timing import Timing
from vidgen.work import Film

AUDITED = {"open", "os.rename", "os.remove"}  # of files in the run's folder


@dataclass(frozen=True)
class Run:
    """One run: both stages against `url`, in `folder`; dies before its n-th file operation."""

    url: str
    folder: str
    dies_at: int = 0
    counts: str = ""  # a file to write the number of file operations to


class Driver:
    """The warm process, seen from the test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.did_driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )

    def start(self, run: Run) -> int:
        """The child's pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(run)) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def ended(self) -> int:
        """Its exit status, once it is over."""
        return self._answer()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


def serve() -> None:
    """Fork a child for every line until the input ends."""
    for line in sys.stdin:
        run = Run(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            _film(run)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _film(run: Run) -> None:
    """Never returns."""
    patience = Timing(
        timeout=5,
        first_wait=0.01,
        first_poll=0.01,
        longest_poll=0.02,
        tick=0.01,
        settle=0.1,
        first_look=0.02,
    )
    seen = _watched(run)
    status = 1
    try:
        work = film_by(account(run.url), shelf(Path(run.folder)), lambda _: None, patience)
        assert work.get(Film).frame_count == 40
        if run.counts:
            Path(run.counts).write_text(str(len(seen)))
        status = 0
    finally:
        os._exit(status)


def _watched(run: Run) -> list[str]:
    """Every file operation of ours, as it happens; the `dies_at`-th does not happen any more."""
    seen: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in AUDITED and str(arguments[0]).startswith(run.folder):
            seen.append(event)
            if len(seen) == run.dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


if __name__ == "__main__":
    serve()
