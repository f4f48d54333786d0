"""Run a client of another system in Node, with the packages that its document names."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import platformdirs
import pytest

HERE = Path(__file__).parent
SECONDS = 120.0


@cache
def packages() -> Path:
    """The folder of the installed packages: fetched once a machine; skips without Node."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node and npm are not installed")
    wanted = (HERE / "package.json").read_bytes()
    name = "clients-" + hashlib.sha256(wanted).hexdigest()[:12]
    folder = platformdirs.user_cache_path("vidgen-tests") / name
    if not (folder / "whole").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_bytes(wanted)
        command = [npm, "install", "--no-fund", "--no-audit", "--ignore-scripts"]
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if found.returncode:
            pytest.skip(f"the packages cannot be had here: {found.stderr[-200:]}")
        (folder / "whole").touch()
    return folder / "node_modules"


class Client:
    """A client that runs: `heard` is what it has said, `wait` waits for its end."""

    def __init__(self, name: str, *arguments: str, folder: Path = HERE) -> None:
        environment = {**os.environ, "NODE_PATH": str(packages())}
        file = next(folder.glob(f"{name}.[cm]js"))
        self.process = subprocess.Popen(
            ["node", str(file), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """What it says, line by line, as it says it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def until(self, what: str) -> dict[str, Any]:
        """The next thing of this kind."""
        for said in self:
            if said["what"] == what:
                return said
        raise AssertionError(f"the client ended without saying {what!r}")

    def wait(self) -> list[dict[str, Any]]:
        """What it still says until it ends. Fails when it takes too long or complains."""
        output, trouble = self.process.communicate(timeout=SECONDS)
        assert not trouble, trouble
        assert self.process.returncode == 0
        return [json.loads(line) for line in output.splitlines()]


@contextlib.contextmanager
def client(name: str, *arguments: str, folder: Path = HERE) -> Iterator[Client]:
    """A client of these modules' names; ended with the `with`, if it has not ended by itself."""
    started = Client(name, *arguments, folder=folder)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()
        for pipe in (started.process.stdin, started.process.stdout, started.process.stderr):
            if pipe:
                pipe.close()


def page_folder(folder: Path) -> Path:
    """A folder as a page's source would be: our modules, a client, and the packages."""
    for name in ("progress.js", "useProgressTracking.js"):
        content = resources.files("vidgen.progress.serve").joinpath("web", name).read_bytes()
        (folder / name).write_bytes(content)
    (folder / "package.json").write_text('{"type": "module"}')
    for file in HERE.glob("*.mjs"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "node_modules").symlink_to(packages())
    return folder


def of(said: Sequence[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    return [one for one in said if one["what"] == what]
