"""Run `vidgen` as a user does: its own process, its own home."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.progress.store.reader import iter_events
from vidgen.progress.store.runs import list_runs


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(home: Home, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIDGEN_")}
    return kept | {"VIDGEN_HOME": str(home.root), "VIDGEN_CONFIG": "/nonexistent.toml", **more}


def unwatched(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what has a child's lines counted: for children whose imports or files are judged."""
    return {name: value for name, value in environ.items() if not name.startswith("COVERAGE_")}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "vidgen", *map(str, arguments)]


def vidgen(home: Home, *arguments: object, cwd: Path | None = None, **more: Any) -> Ran:
    """Run one command to its end; `more` is added to its environment."""
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        errors="surrogateescape",  # a path's own bytes come out as they are
        cwd=cwd,
        env=environment(home, **more),
        timeout=300,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def events(home: Home, which: int = 0) -> list[Envelope]:
    """The events of the newest run, or an older one."""
    return list(iter_events(list_runs(home)[which].folder.events))
