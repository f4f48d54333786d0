"""Real files in real shells, through the installed program: each kind of fault of bug reports.

All inputs are made here. What each kind has of further cases is with its own module's tests.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.media.test_cicp import avif, pq
from tests.support.cli import command, environment, events, vidgen
from tests.support.heif import heic
from tests.support.voices import RATE, level, syllables, write_tracks
from vidgen.media.audio import load_speech
from vidgen.media.cicp import Cicp
from vidgen.paths import Home
from vidgen.work import Floats

pytestmark = [pytest.mark.models, pytest.mark.slow]

SMALL = ("--height", "256", "--progress", "plain")
VOICE = syllables(1.0)


@pytest.fixture
def place(home_with_models: Home, tmp_path: Path, demo_photo: Path) -> Path:
    """A folder with a photo and a voice."""
    Image.open(demo_photo).convert("RGB").save(tmp_path / "p.jpg", quality=92)
    soundfile.write(tmp_path / "v.wav", VOICE, RATE)
    return tmp_path


@pytest.fixture
def film(home_with_models: Home, place: Path) -> Callable[..., Path]:
    """Make a film in `place` and answer it."""

    def made(photo: str = "p.jpg", voice: str = "v.wav", *flags: str) -> Path:
        ran = vidgen(home_with_models, "run", photo, voice, *SMALL, *flags, cwd=place)
        assert ran.code == 0, ran.err
        assert "Traceback" not in ran.err
        return place / ran.out.strip()

    return made


def heard(film: Path) -> Floats:
    return load_speech(film, max_seconds=60).samples


def shell(home: Home, place: Path, line: str, arguments: Sequence[object]) -> int:
    """The exit code of the program behind a shell's `line`, in which it is "$@"."""
    return subprocess.run(
        ["bash", "-c", line, "bash", *command("run", *arguments)],
        cwd=place,
        env=environment(home),
        capture_output=True,
        timeout=300,
        check=False,
    ).returncode


def test_joined_recordings_are_heard_to_their_end(film: Callable[..., Path], place: Path) -> None:
    both = b""
    for seed in (0, 1):
        part = [syllables(1.0, 24000, seed=seed)]
        both += write_tracks(place / "part.mp3", part, "libmp3lame", rate=24000).read_bytes()
    (place / "j.mp3").write_bytes(both)
    assert len(heard(film("p.jpg", "j.mp3"))) / RATE == pytest.approx(2.0, abs=0.15)


def test_one_side_of_a_stereo_recording_keeps_its_level(
    film: Callable[..., Path], place: Path
) -> None:
    for name, other in (("left", np.zeros_like(VOICE)), ("inverted", -VOICE)):
        soundfile.write(place / f"{name}.wav", np.stack([VOICE, other], 1), RATE)
        assert level(heard(film("p.jpg", f"{name}.wav"))) == pytest.approx(level(VOICE), abs=0.5)


def test_a_pause_and_a_silent_first_track_are_what_they_are(
    film: Callable[..., Path], place: Path
) -> None:
    write_tracks(place / "w.webm", [VOICE], "libopus", starts=[(0, 0), (0.5, 1.5)])
    assert len(heard(film("p.jpg", "w.webm"))) / RATE == pytest.approx(2.0, abs=0.05)
    write_tracks(place / "t.mkv", [np.zeros_like(VOICE), VOICE], default=1)
    assert level(heard(film("p.jpg", "t.mkv"))) == pytest.approx(level(VOICE), abs=0.5)


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_a_phones_photo_is_no_grey_one(film: Callable[..., Path], place: Path, kind: str) -> None:
    rgb = np.asarray(Image.open(place / "p.jpg"), np.uint8)
    turned = np.ascontiguousarray(np.rot90(rgb, -1))
    content = heic(turned, turns=1) if kind == "heic" else avif(pq(rgb), Cicp(9, 16))
    (place / f"photo.{kind}").write_bytes(content)
    with av.open(str(film(f"photo.{kind}", "v.wav", "--framing", "keep"))) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    small = np.asarray(Image.fromarray(rgb).resize(first.shape[1::-1]), int)
    assert np.abs(first.astype(int) - small).mean() < 8


def test_names_of_every_kind(film: Callable[..., Path], place: Path) -> None:
    for name in ("10:30 memo.wav", "caf\udce9.wav"):
        shutil.copy(place / "v.wav", place / name)
        made = film("p.jpg", name, "-o", f"{name[:3]}\udce9.mp4")
        assert made.name == f"{name[:3]}\udce9.mp4"
        assert level(heard(made)) == pytest.approx(level(VOICE), abs=0.5)


def test_the_store_tells_of_a_film_of_odd_bytes(
    film: Callable[..., Path], home_with_models: Home
) -> None:
    made = film("p.jpg", "v.wav", "-o", "\udcff.mp4")
    assert events(home_with_models)[-1].data["video_path"] == f"file://{made.parent}/%FF.mp4"
    assert "%FF.mp4" in vidgen(home_with_models, "history", "last", "--json").out


def test_pipes_are_read(home_with_models: Home, place: Path) -> None:
    line = '"$@" <v.wav && exec 3< <(cat v.wav) && "$1" "$2" "$3" "$4" p.jpg /dev/fd/3 -o 2.mp4'
    flags = [*SMALL, "p.jpg", "-", "-o", "1.mp4"]
    assert shell(home_with_models, place, f"{line} --height 256", flags) == 0
    assert level(heard(place / "1.mp4")) == pytest.approx(level(heard(place / "2.mp4")), abs=0.1)


def test_no_input_is_written_over(
    film: Callable[..., Path], home_with_models: Home, place: Path
) -> None:
    photo = place / "anna.poster.png"
    Image.open(place / "p.jpg").save(photo)
    before = photo.read_bytes()
    film("anna.poster.png", "v.wav", "-o", "anna.mp4", "--force")
    assert photo.read_bytes() == before
    shutil.move(place / "anna.mp4", place / "clip.mp4")
    before = (place / "clip.mp4").read_bytes()
    ran = vidgen(
        home_with_models, "run", "p.jpg", "clip.mp4", "-o", "clip.mp4", "--force", cwd=place
    )
    assert ran.code == 2
    assert (place / "clip.mp4").read_bytes() == before


@pytest.mark.parametrize(
    "line", ['"$@" 2>&-', '"$@" | true; exit ${PIPESTATUS[0]}', '"$@" >/dev/full']
)
def test_a_film_is_made_whatever_becomes_of_the_streams(
    home_with_models: Home, place: Path, line: str
) -> None:
    flags = ["--height", "256", "p.jpg", "v.wav", "-o", "made.mp4"]
    assert shell(home_with_models, place, line, flags) == 0
    assert (place / "made.mp4").is_file()


def test_a_run_under_nohup_outlives_its_terminal(home_with_models: Home, place: Path) -> None:
    process = subprocess.Popen(
        ["nohup", *command("run", "p.jpg", "v.wav", "-o", "n.mp4", "--height", "256")],
        cwd=place,
        env=environment(home_with_models),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while not list(home_with_models.tasks.glob("*/events.jsonl")) and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGHUP)
    assert process.wait(timeout=120) == 0
    assert (place / "n.mp4").is_file()


def test_two_homes_into_one_name_make_two_films(home_with_models: Home, place: Path) -> None:
    other = Home(place / "other")
    shutil.copytree(home_with_models.models, other.models, symlinks=True)
    runs = [
        subprocess.Popen(
            command("run", "p.jpg", "v.wav", "--height", "256", "--seed", str(seed)),
            cwd=place,
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for seed, home in ((1, home_with_models), (2, other))
    ]
    films = {run.communicate(timeout=300)[0].strip() for run in runs}
    assert len(films) == 2
    assert len(list(place.glob("p-v*.mp4"))) == 2
