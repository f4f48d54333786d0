"""What is built of the project works without it: a wheel, and an sdist that makes the same."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow


def build(project: Path, target: str, folder: Path) -> Path:
    """Build a "wheel" or an "sdist" of a project without asking any package index."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (file,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(REPOSITORY, "wheel", tmp_path_factory.mktemp("wheel"))


def environment(folder: Path, wheel: Path) -> Path:
    """An environment with the wheel and, by a path file, what it depends on: not this project,
    whose editable install stands in a path file that only its own environment reads."""
    venv.create(folder, symlinks=True)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    python = str(binaries / "python")
    paths = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", vars=paths))
    command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    subprocess.run([*command, "install", "-q", "--no-deps", str(wheel)], check=True)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return binaries


def vidgen(binaries: Path, folder: Path, *arguments: str) -> str:
    left_out = ("PYTHONPATH", "VIDGEN_HOME")
    environ = {name: value for name, value in os.environ.items() if name not in left_out}
    done = subprocess.run(
        [str(binaries / "vidgen"), *arguments],
        cwd=folder,
        env=environ | {"VIDGEN_HOME": str(folder / "home"), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_works_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    binaries = environment(tmp_path / "venv", wheel)
    python = [str(binaries / "python"), "-I", "-c", "import vidgen; print(vidgen.__file__)"]
    where = subprocess.run(python, capture_output=True, text=True, check=True).stdout
    assert Path(where).is_relative_to(tmp_path)
    assert "serve-progress" in vidgen(binaries, tmp_path, "--help")
    assert "face_landmark" in vidgen(binaries, tmp_path, "models", "list")


def test_an_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build(REPOSITORY, "sdist", tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (project,) = (path for path in tmp_path.iterdir() if path.is_dir())
    again = build(project, "wheel", tmp_path / "again")
    assert names_in(again) == names_in(wheel)
    assert {"vidgen/models.toml", "vidgen/locale/ja.toml"} <= names_in(again)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_what_the_dockerfile_copies_is_there_and_let_through() -> None:
    said = (REPOSITORY / "Dockerfile").read_text("utf-8")
    let_through = (REPOSITORY / ".dockerignore").read_text("utf-8").split()
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", said, re.M) for word in line.split()]
    assert {"vidgen", "pyproject.toml", "constraints.txt", "models.toml"} <= set(copied)
    for name in copied:
        assert (REPOSITORY / name).exists(), name
        assert f"!{name}" in let_through, name
