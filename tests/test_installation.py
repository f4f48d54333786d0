"""Hints to install more name what this installation was made from, whatever made it."""

import importlib.metadata
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from vidgen import installation
from vidgen.installation import DISTRIBUTION, install_command

PIP = [sys.executable, "-m", "pip", "install"]
COMMIT = {"vcs": "git", "commit_id": "0123abc"}


class Distribution:
    """One that was installed from `origin`; None is the package index."""

    def __init__(self, origin: dict[str, Any] | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return json.dumps(self.origin) if self.origin else None


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ({"url": "file:///a%20b/c", "dir_info": {"editable": True}}, ["-e", "/a b/c[gpu]"]),
        ({"url": "file:///a/c", "dir_info": {}}, ["/a/c[gpu]"]),
        ({"url": "file:///a/c-1-py3.whl", "archive_info": {}}, ["/a/c-1-py3.whl[gpu]"]),
        (
            {"url": "https://example.org/c.git", "vcs_info": COMMIT},
            [f"{DISTRIBUTION}[gpu] @ git+https://example.org/c.git"],
        ),
        (
            {"url": "https://example.org/c.whl", "archive_info": {}},
            [f"{DISTRIBUTION}[gpu] @ https://example.org/c.whl"],
        ),
        (None, [f"{DISTRIBUTION}[gpu]"]),
    ],
)
def test_the_command_names_where_this_came_from(
    origin: dict[str, Any] | None, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Distribution(origin))
    assert shlex.split(install_command("gpu")) == [*PIP, *words]


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("uv-receipt.toml", ["uv", "tool", "install", "--force"]),
        ("pipx_metadata.json", ["pipx", "install", "--force"]),
    ],
)
def test_tools_that_made_the_environment_are_asked(
    note: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / note).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Distribution(None))
    assert shlex.split(install_command("gpu")) == [*words, f"{DISTRIBUTION}[gpu]"]


def test_an_environment_without_pip_is_filled_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda _: None)
    assert shlex.split(install_command("plot"))[:3] == ["uv", "pip", "install"]
