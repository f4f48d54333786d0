"""Whatever ends a run, it is said, nothing half made is taken for whole, and a resume makes the
same film."""

import hashlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.support.cli import Ran, command, environment, events
from tests.support.serving import wait_until
from tests.support.warm import Child, Warm
from vidgen import demo
from vidgen.paths import Home
from vidgen.progress.store.runs import list_runs

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and limits are POSIX's"),
]
OPTIONS = ("--height", 256, "--seed", 3)


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.demo_voice(tmp_path_factory.mktemp("voice") / "voice.wav", "Mama may buy a map.")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory, demo_photo: Path) -> Path:
    """A JPEG, whose copy is small."""
    photo = tmp_path_factory.mktemp("photo") / "ann.jpg"
    Image.open(demo_photo).convert("RGB").save(photo, quality=80)
    return photo


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory,
    give_models: Callable[[Home], Home],
    photo: Path,
    voice: Path,
    warm: Warm,
) -> Path:
    """The film of `photo` and `voice` that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    home, film = give_models(Home(folder / "home")), folder / "whole.mp4"
    ran = warm.run(home, "run", photo, voice, *OPTIONS, "-o", film)
    assert ran.code == 0, ran.err
    return film


def pictures(film: Path) -> str:
    """One hash of every decoded frame."""
    digest = hashlib.sha256()
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            digest.update(np.ascontiguousarray(frame.to_ndarray(format="rgb24")).tobytes())
    return digest.hexdigest()


def without_room(home: Home, kilobytes: int, *arguments: object) -> Ran:
    """Run one command that can write no larger file: to a program, a disk that is full."""
    words = shlex.join(command(*arguments))
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f {kilobytes}; exec {words}"],
        capture_output=True,
        text=True,
        env=environment(home),
        timeout=300,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def begun_to_draw(warm: Warm, home: Home, *arguments: object, cwd: Path) -> Child:
    """A run whose first frames are being encoded."""
    child = warm.start(home, *arguments, cwd=cwd)
    wait_until(lambda: any(home.tasks.glob("*/work/render/.piece-*.part")), 60)
    return child


def killed_while_drawing(warm: Warm, home: Home, *arguments: object, cwd: Path) -> None:
    """Start a run and kill it when its first frames are being encoded."""
    child = begun_to_draw(warm, home, *arguments, cwd=cwd)
    child.kill()
    assert child.wait().code == -signal.SIGKILL


# What is larger: the copy of the voice, what detection keeps, what the matte stage keeps.
@pytest.mark.parametrize("kilobytes", [100, 180, 500])
def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(
    home_with_models: Home,
    tmp_path: Path,
    photo: Path,
    voice: Path,
    whole: Path,
    warm: Warm,
    kilobytes: int,
) -> None:
    home, film = home_with_models, tmp_path / "film.mp4"
    full = without_room(home, kilobytes, "run", photo, voice, *OPTIONS, "-o", film)
    assert (full.code, full.out) == (3, ""), full.err
    assert "Traceback" not in full.err
    assert events(home)[-1].data["error_code"] in ("output.disk_full", "history.disk_full")
    assert not film.exists()
    if not list_runs(home)[0].folder.request.exists():
        assert kilobytes == 100  # not even the voice could be copied: nothing to resume
        return
    assert f"vidgen resume {list_runs(home)[0].task_id[:8]}" in full.err
    resumed = warm.run(home, "resume", "last")
    assert resumed.code == 0, resumed.err
    assert pictures(film) == pictures(whole)


def test_a_run_is_resumed_from_elsewhere_without_its_inputs(
    home_with_models: Home, tmp_path: Path, demo_photo: Path, voice: Path, warm: Warm
) -> None:
    here, home = tmp_path / "here", home_with_models
    here.mkdir()
    for name, source in (("ann.png", demo_photo), ("hello.wav", voice), ("behind.png", demo_photo)):
        (here / name).write_bytes(source.read_bytes())
    (here / "words.txt").write_text("Mama may buy a map.")
    given = ("--background", "behind.png", "--text-file", "words.txt")
    run = ("run", "ann.png", "hello.wav", *given, *OPTIONS, "-o")
    whole = warm.run(home, *run, "whole.mp4", cwd=here)
    assert whole.code == 0, whole.err
    killed_while_drawing(warm, home, *run, "film.mp4", "--fresh", cwd=here)
    assert not (here / "film.mp4").exists()
    for name in ("ann.png", "hello.wav", "behind.png", "words.txt"):
        (here / name).unlink()
    resumed = warm.run(home, "resume", "last", "--json", cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    assert resumed.json["video"] == str(here / "film.mp4")
    assert pictures(here / "film.mp4") == pictures(here / "whole.mp4")
    ended = {e.data["stage"]: e.data.get("status") for e in events(home)}
    assert (ended["yolo_detection"], ended["birefnet_removal"]) == ("reused", "reused")
    said = [e.data["message_code"] for e in events(home) if e.event_type == "log"]
    assert said.count("run.input_gone") == 3


def test_another_version_makes_its_own_work_and_says_so(
    home_with_models: Home, tmp_path: Path, demo_photo: Path, voice: Path, warm: Warm
) -> None:
    home, film = home_with_models, tmp_path / "film.mp4"
    killed_while_drawing(warm, home, "run", demo_photo, voice, *OPTIONS, "-o", film, cwd=tmp_path)
    request = list_runs(home)[0].folder.request
    before = request.read_text()
    request.write_text(before.replace('"vidgen": "', '"vidgen": "0.0.0-'))
    assert request.read_text() != before
    resumed = warm.run(home, "resume", "last")
    assert resumed.code == 0, resumed.err
    assert "run.version_changed" in [e.data.get("message_code") for e in events(home)]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_cancels_and_leaves_nothing_at_the_outputs_name(
    home_with_models: Home, tmp_path: Path, demo_photo: Path, voice: Path, warm: Warm, name: str
) -> None:
    home, film = home_with_models, tmp_path / "film.mp4"
    run = ("run", demo_photo, voice, *OPTIONS, "-o", film)
    child = begun_to_draw(warm, home, *run, cwd=tmp_path)
    child.kill(getattr(signal, name))
    ended = child.wait()
    task = list_runs(home)[0].task_id[:8]
    assert (ended.code, ended.out) == (130, "")
    assert f"Go on with: vidgen resume {task}" in ended.err
    assert events(home)[-1].event_type == "cancelled"
    assert os.listdir(tmp_path) == ["home"]  # noqa: PTH208  # nothing but the home itself


def test_workers_that_lose_their_run_make_the_same_film(
    home_with_models: Home, tmp_path: Path, demo_photo: Path, warm: Warm
) -> None:
    home, film = home_with_models, tmp_path / "film.mp4"
    voice = demo.demo_voice(tmp_path / "long.wav", "Mama may buy a map. " * 3)
    run = ("run", demo_photo, voice, *OPTIONS, "-o")
    whole = warm.run(home, *run, tmp_path / "whole.mp4", "--workers", 1)
    assert whole.code == 0, whole.err
    killed_while_drawing(warm, home, *run, film, "--fresh", "--workers", 2, cwd=tmp_path)
    resumed = warm.run(home, "resume", "last")
    assert resumed.code == 0, resumed.err
    assert pictures(film) == pictures(tmp_path / "whole.mp4")
