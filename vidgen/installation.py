"""How this very installation was made, so that a hint to install more fits it. Knows no package.

Every process of vidgen imports this, few ask: what reads packages and addresses is imported then.
"""

import json
import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

DISTRIBUTION: Final = "vidgen-portrait"  # `vidgen` is somebody else's on the package index


def install_command(extra: str) -> str:
    """The shell command that adds an extra to this installation, from where that came from."""
    origin = _origin()
    options = ["-e"] if origin.get("dir_info", {}).get("editable") else []
    return _quote([*_installer(), *options, _requirement(origin, extra)])


def _origin() -> dict[str, Any]:
    """PEP 610: where the installer took it from; {} for the package index or for no installer."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:  # run from its folder
        return {"url": Path(__file__).parents[1].as_uri(), "dir_info": {"editable": True}}
    return json.loads(text) if text else {}


def _requirement(origin: dict[str, Any], extra: str) -> str:
    url = str(origin.get("url", ""))
    if url.startswith("file:"):
        from urllib.request import url2pathname

        return f"{url2pathname(unquote(urlsplit(url).path))}[{extra}]"
    named = f"{DISTRIBUTION}[{extra}]"
    if not url:
        return named
    kind = origin.get("vcs_info", {}).get("vcs")
    return f"{named} @ {kind}+{url}" if kind else f"{named} @ {url}"


def _installer() -> list[str]:
    """The tool that made the environment: pipx and uv leave a note in it."""
    environment = Path(sys.prefix)
    if (environment / "uv-receipt.toml").exists():
        return ["uv", "tool", "install", "--force"]
    if (environment / "pipx_metadata.json").exists():
        return ["pipx", "install", "--force"]
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"]
    return ["uv", "pip", "install", "--python", sys.executable]


def _quote(words: list[str]) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
