"""The store is for its owner's eyes, whatever the umask; another user gets a sentence."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import environment, unwatched, vidgen
from tests.support.serving import Run, served
from vidgen.events import Completed
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.reporter import Reporter
from vidgen.progress.store.lock import is_held
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.privacy import secure_store

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")

# Once as ourselves, so that everything is loaded: the other user may not read our Python.
AS_NOBODY = """
import contextlib, io, os, sys
from vidgen.cli import main
with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
    main(sys.argv[2:])
os.environ["VIDGEN_HOME"] = sys.argv[1]
os.setgroups([]); os.setgid(65534); os.setuid(65534)
main(sys.argv[2:])
"""


def loose(root: Path) -> list[str]:
    """What others may do anything with."""
    paths = (root, *root.rglob("*"))
    return [str(path) for path in paths if path.lstat().st_mode & 0o077 and not path.is_symlink()]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_a_new_store_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    home = Home(tmp_path / "new")
    before = os.umask(umask)
    try:
        secure_store(home)
        with Reporter(home=home) as report:
            report.log("a word")
        with TaskLog(home.task("t")) as log:
            Broadcast("t", log=log)(Completed("x.mp4", 1.0))
    finally:
        os.umask(before)
    assert loose(home.root) == []
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700


def test_a_store_of_an_earlier_version_is_closed(home: Home, tmp_path: Path) -> None:
    run = Run(home)
    run.write("complete")
    run.end()
    mine = tmp_path / "portrait.jpg"
    mine.write_bytes(b"a photo")
    mine.chmod(0o644)
    (run.folder.work / "input").mkdir(parents=True)
    os.link(mine, run.folder.work / "input" / "photo.jpg")
    (run.folder.work / "link").symlink_to("/etc")
    for path in home.root.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)
    mine.chmod(0o644)
    for folder in (home.root, home.tasks, home.models):
        folder.chmod(0o777)
    before = Path("/etc").stat().st_mode
    secure_store(home)
    assert loose(home.root) == [str(run.folder.work / "input" / "photo.jpg")]
    assert stat.S_IMODE(mine.stat().st_mode) == 0o644, "the user's own photo keeps its rights"
    assert Path("/etc").stat().st_mode == before, "a link is not followed"


@pytest.mark.parametrize("what", ["somebody's things", "sticky"])
def test_a_folder_that_is_not_vidgens_alone_stays_open(home: Home, what: str) -> None:
    if what == "sticky":
        home.root.chmod(0o1777)
    else:
        (home.root / "Documents").mkdir()
        home.root.chmod(0o755)
    before = stat.S_IMODE(home.root.stat().st_mode)
    home.tasks.chmod(0o755)
    secure_store(home)
    assert stat.S_IMODE(home.root.stat().st_mode) == before
    assert stat.S_IMODE(home.tasks.stat().st_mode) == 0o700


def test_serving_closes_a_store(home: Home) -> None:
    """The server is a start of vidgen as well."""
    home.tasks.chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from vidgen.paths import Home;"
        "from vidgen.progress.serve.server import serve;"
        "from vidgen.progress.serve.settings import ServeSettings;"
        "serve(Home(Path(sys.argv[1])), ServeSettings(), until=lambda _: None)"
    )
    subprocess.run([sys.executable, "-c", code, str(home.root)], check=True, timeout=60)
    assert stat.S_IMODE(home.tasks.stat().st_mode) == 0o700


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs two users")
@pytest.mark.parametrize(
    "arguments",
    [("history",), ("history", "last"), ("clean",), ("stats",), ("resume", "last")],
)
def test_another_user_gets_a_sentence_and_changes_nothing(
    home: Home, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    tmp_path.chmod(0o755)
    run = Run(home)
    run.write("stage_update", status="started")
    secure_store(home)
    before = sorted((p, p.lstat().st_mtime_ns) for p in home.root.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(home.root), *arguments],
        env=unwatched(environment(Home(tmp_path / "empty"))),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (2, 3), done.stderr
    assert done.stderr.startswith("vidgen: ")
    assert sorted((p, p.lstat().st_mtime_ns) for p in home.root.rglob("*")) == before
    assert is_held(run.folder.lock)
    run.end()


def test_the_lists_of_a_read_only_store_tell_the_living_from_the_dead(home: Home) -> None:
    """Whether somebody holds a lock is seen without the right to write it."""
    living, dead = Run(home), Run(home)
    for run in (living, dead):
        run.write("stage_update", status="started")
        run.folder.lock.chmod(0o400)
    dead.end()
    for folder in (living.folder.root, dead.folder.root, home.tasks):
        folder.chmod(0o500)
    try:
        assert [is_held(run.folder.lock) for run in (living, dead)] == [True, False]
        with served(home):
            pass
    finally:
        for folder in (living.folder.root, dead.folder.root, home.tasks):
            folder.chmod(0o700)
        living.end()


def test_a_film_has_the_rights_that_its_user_gives(home: Home) -> None:
    """Only the store is private: what a command writes elsewhere keeps to the user's umask."""
    code = (
        "import os, subprocess, sys; from pathlib import Path;"
        "from vidgen.files import keep_private, users_umask;"
        "from vidgen.media.output import Output;"
        "os.umask(0o027); keep_private(); keep_private();"
        "a, b, c = (Path(sys.argv[1], name) for name in 'abc'); a.touch();\n"
        "with Output(b).writing() as file: file.touch()\n"
        "subprocess.run(['touch', c], umask=users_umask());"
        "print(*(oct(file.stat().st_mode & 0o777) for file in (a, b, c)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.root)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0o600", "0o640", "0o640"]
    assert vidgen(home, "history").code == 0
