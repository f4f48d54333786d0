"""What a user can cause: a clear error, the right exit code, nothing lost, nothing half made."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from tests.cli import Ran, command, environment, events, vidgen
from vidgen import demo
from vidgen.paths import Home
from vidgen.progress.store import list_tasks, summarise

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.voice(tmp_path_factory.mktemp("voice") / "voice.wav", "Mama may buy a map.")


@pytest.fixture
def photo(demo_photo: Path) -> Path:
    return demo_photo


Samples = NDArray[np.float64]


def sound(folder: Path, samples: Samples) -> Path:
    file = folder / "sound.wav"
    soundfile.write(file, samples, 16000)
    return file


def tone(seconds: float) -> Samples:
    return np.asarray(0.3 * np.sin(np.arange(int(16000 * seconds)) * 0.1), np.float64)


def grey(folder: Path, width: int, height: int) -> Path:
    file = folder / "grey.png"
    Image.new("RGB", (width, height), "grey").save(file)
    return file


def text(folder: Path, name: str) -> Path:
    file = folder / name
    file.write_text("this is neither a photo nor a voice\n" * 20)
    return file


def cut(folder: Path, photo: Path) -> Path:
    file = folder / "cut.jpg"
    Image.open(photo).convert("RGB").save(file)
    file.write_bytes(file.read_bytes()[:9000])
    return file


Made = tuple[object, ...]
CASES: dict[str, tuple[Callable[[Path, Path, Path], Made], str]] = {
    "no face": (lambda d, p, v: (grey(d, 400, 400), v), "face"),
    "nobody of that number": (lambda d, p, v: (p, v, "--person", 7), "7"),
    "a tiny photo": (lambda d, p, v: (grey(d, 100, 100), v), "too small"),
    "a cut JPEG": (lambda d, p, v: (cut(d, p), v), "damaged|cut off"),
    "a fake JPEG": (lambda d, p, v: (text(d, "fake.jpg"), v), "photo"),
    "no photo": (lambda d, p, v: (d / "none.jpg", v), "no file"),
    "a folder": (lambda d, p, v: (d, v), "folder"),
    "text called wav": (lambda d, p, v: (p, text(d, "text.wav")), "voice|sound|audio"),
    "no voice": (lambda d, p, v: (p, d / "none.wav"), "no file"),
    "a silent voice": (lambda d, p, v: (p, sound(d, 0 * tone(2))), "silent"),
    "a short voice": (lambda d, p, v: (p, sound(d, tone(0.2))), "0.3|short"),
    "a long voice": (lambda d, p, v: (p, sound(d, tone(5)), "--max-seconds", 4), "4|long"),
    "no output folder": (lambda d, p, v: (p, v, "-o", d / "none" / "film.mp4"), "does not exist"),
    "an unknown ending": (lambda d, p, v: (p, v, "-o", d / "film.avi"), "avi"),
    "a bad colour": (lambda d, p, v: (p, v, "--background", "#12"), "colour"),
    "a missing background": (lambda d, p, v: (p, v, "--background", d / "no.png"), "no.png"),
    "transparent mp4": (lambda d, p, v: (p, v, "--background", "transparent"), "transparent"),
    "an unknown device": (lambda d, p, v: (p, v, "--device", "tpu"), "tpu"),
}


def assert_plain(ran: Ran, says: str) -> None:
    """Two plain lines, in words, and not one of a traceback."""
    assert "Traceback" not in ran.err
    assert re.search(rf"^vidgen: .*({says})", ran.err, re.MULTILINE), ran.err
    lines = ran.err.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("vidgen: "))
    assert lines[at + 1].startswith("        "), "no word on what to do"
    assert ran.out == ""


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_told_and_leaves_nothing(
    home_with_models: Home, tmp_path: Path, photo: Path, voice: Path, name: str
) -> None:
    make, says = CASES[name]
    inputs, here = tmp_path / "inputs", tmp_path / "here"
    inputs.mkdir()
    here.mkdir()
    ran = vidgen(home_with_models, "run", *make(inputs, photo, voice), "--height", 256, cwd=here)
    assert ran.code == 2, ran.err
    assert_plain(ran, says)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("place", ["/sys/kernel", "/proc/self"])  # root may not write there either
def test_an_output_folder_that_cannot_be_written(
    home_with_models: Home, photo: Path, voice: Path, place: str
) -> None:
    folder = Path(place)
    ran = vidgen(home_with_models, "run", photo, voice, "-o", folder / "film.mp4")
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err


def test_an_existing_output_is_left_alone_unless_forced(
    home_with_models: Home, tmp_path: Path, photo: Path, voice: Path
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"mine")
    arguments = ("run", photo, voice, "-o", film, "--height", 256)
    ran = vidgen(home_with_models, *arguments)
    assert (ran.code, film.read_bytes()) == (0, b"mine")
    assert ran.out == f"{tmp_path / 'film-2.mp4'}\n"
    forced = vidgen(home_with_models, *arguments, "--force")
    assert forced.code == 0
    assert film.stat().st_size > 1000


def wait_for(home: Home, stage: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for task in list_tasks(home):
            if any(event.data.get("stage") == stage for event in events(home, 0)) and task:
                return
        time.sleep(0.02)
    raise AssertionError(f"the run never came to {stage}")


def started(home: Home, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(home),
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", ["initialized", "birefnet_removal", "rendering"])
def test_a_cancelled_run_says_so_and_can_be_taken_up(
    home_with_models: Home,
    tmp_path: Path,
    photo: Path,
    voice: Path,
    number: signal.Signals,
    stage: str,
) -> None:
    film = tmp_path / "out" / "film.mp4"
    film.parent.mkdir()
    with started(home_with_models, "run", photo, voice, "-o", film, "--height", 512) as process:
        wait_for(home_with_models, stage, process)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert list(film.parent.iterdir()) == []
    last = events(home_with_models)[-1]
    assert last.event_type == "cancelled"
    command = str(last.data["resume_command"])
    assert command or stage == "initialized"  # before request.json there is nothing to take up
    if not command:
        return
    resumed = vidgen(home_with_models, *command.split()[1:])
    assert resumed.code == 0, resumed.err
    assert film.stat().st_size > 10_000
    seqs = [event.seq for event in events(home_with_models)]
    assert seqs == list(range(1, len(seqs) + 1))


def test_two_runs_at_once_wait_for_one_another(
    home_with_models: Home, tmp_path: Path, photo: Path, voice: Path
) -> None:
    arguments = ("run", photo, voice, "--height", 512, "--fresh")
    first = started(home_with_models, *arguments, "-o", tmp_path / "a.mp4")
    with first:
        wait_for(home_with_models, "rendering", first)
        holder = list_tasks(home_with_models)[0].task_id
        second = vidgen(home_with_models, *arguments, "-o", tmp_path / "b.mp4")
        assert first.wait(60) == 0
    assert second.code == 0, second.err
    queued = [event for event in events(home_with_models) if event.data["stage"] == "queued"]
    assert queued[0].data["metadata"] == {"behind": holder[:8]}
    assert (tmp_path / "a.mp4").is_file()
    assert (tmp_path / "b.mp4").is_file()


def test_a_killed_run_is_interrupted_and_says_how_to_go_on(
    home_with_models: Home, tmp_path: Path, photo: Path, voice: Path
) -> None:
    with started(
        home_with_models, "run", photo, voice, "-o", tmp_path / "film.mp4", "--height", 512
    ) as process:
        wait_for(home_with_models, "rendering", process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)
    (task,) = list_tasks(home_with_models)
    summary = summarise(task.folder)
    assert summary is not None
    assert summary.state == "interrupted"
    told = vidgen(home_with_models, "history", task.task_id[:8])
    assert f"vidgen resume {task.task_id[:8]}" in told.out
    assert vidgen(home_with_models, "resume", task.task_id[:8]).code == 0
    assert (tmp_path / "film.mp4").is_file()
