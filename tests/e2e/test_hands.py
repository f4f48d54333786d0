"""Real files in real shells: each kind of fault of bug reports, through the command line.

All inputs are made here. What each kind has of further cases is with its own module's tests.
Where nothing is looked at in the picture, gradients are drawn (`support.warm`).
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.media.test_cicp import avif, pq
from tests.support.cli import Ran, command, environment, events
from tests.support.heif import heic
from tests.support.serving import wait_until
from tests.support.voices import RATE, level, syllables, write_tracks
from tests.support.warm import Warm
from vidgen.media.audio import load_speech
from vidgen.media.cicp import Cicp
from vidgen.media.loudness import measure
from vidgen.paths import Home
from vidgen.work import Floats

pytestmark = [pytest.mark.models, pytest.mark.slow]

VOICE = syllables(1.0)
Film = Callable[..., Path]


@pytest.fixture
def place(tmp_path: Path, demo_photo: Path) -> Path:
    """A folder with a photo and a voice."""
    Image.open(demo_photo).convert("RGB").save(tmp_path / "p.jpg", quality=92)
    soundfile.write(tmp_path / "v.wav", VOICE, RATE)
    return tmp_path


@pytest.fixture
def run(home_with_models: Home, place: Path, warm: Warm) -> Callable[..., Ran]:
    """A run in `place`, of gradients."""

    def ran(*arguments: str, **how: object) -> Ran:
        made = warm.run(home_with_models, "run", *arguments, cwd=place, is_quick=True, **how)
        assert "Traceback" not in made.err
        return made

    return ran


@pytest.fixture
def film(run: Callable[..., Ran], place: Path) -> Film:
    """Make a film in `place` and answer it."""

    def made(photo: str = "p.jpg", voice: str = "v.wav", *flags: str, **how: object) -> Path:
        ran = run(photo, voice, *flags, **how)
        assert ran.code == 0, ran.err
        return place / ran.out.strip()

    return made


def heard(film: Path) -> Floats:
    return load_speech(film, max_seconds=60).samples


def test_joined_and_damaged_recordings_are_heard_to_their_end(film: Film, place: Path) -> None:
    """F1"""
    both = b""
    for seed in (0, 1):
        part = [syllables(1.0, 24000, seed=seed)]
        both += write_tracks(place / "part.mp3", part, "libmp3lame", rate=24000).read_bytes()
    (place / "j.mp3").write_bytes(both)
    middle = len(both) // 2
    (place / "d.mp3").write_bytes(both[:middle] + bytes(800) + both[middle + 800 :])
    for name in ("j.mp3", "d.mp3"):
        assert len(heard(film("p.jpg", name))) / RATE == pytest.approx(2.0, abs=0.15)


def test_one_side_of_a_stereo_recording_keeps_its_level(film: Film, place: Path) -> None:
    """F5"""
    for name, other in (("left", np.zeros_like(VOICE)), ("inverted", -VOICE)):
        soundfile.write(place / f"{name}.wav", np.stack([VOICE, other], 1), RATE)
        assert level(heard(film("p.jpg", f"{name}.wav"))) == pytest.approx(level(VOICE), abs=0.5)


def test_a_pause_and_a_silent_first_track_are_what_they_are(film: Film, place: Path) -> None:
    """F7, F6"""
    write_tracks(place / "w.webm", [VOICE], "libopus", starts=[(0, 0), (0.5, 1.5)])
    assert len(heard(film("p.jpg", "w.webm"))) / RATE == pytest.approx(2.0, abs=0.05)
    write_tracks(place / "t.mkv", [np.zeros_like(VOICE), VOICE], default=1)
    assert level(heard(film("p.jpg", "t.mkv"))) == pytest.approx(level(VOICE), abs=0.5)


def test_a_quiet_float_recording_is_brought_to_its_loudness(film: Film, place: Path) -> None:
    """F18"""
    soundfile.write(place / "quiet.wav", VOICE * np.float32(10**-2.2), RATE, "FLOAT")
    made = heard(film("p.jpg", "quiet.wav", "--loudness", "-20"))
    assert measure(made, RATE).lufs == pytest.approx(-20, abs=1.0)


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_a_phones_photo_is_no_grey_one(
    home_with_models: Home, place: Path, warm: Warm, kind: str
) -> None:
    """F20, drawn for real"""
    rgb = np.asarray(Image.open(place / "p.jpg"), np.uint8)
    turned = np.ascontiguousarray(np.rot90(rgb, -1))
    content = heic(turned, turns=1) if kind == "heic" else avif(pq(rgb), Cicp(9, 16))
    (place / f"photo.{kind}").write_bytes(content)
    soundfile.write(place / "short.wav", VOICE[: RATE // 2], RATE)
    look = ("--framing", "keep", "--height", "256")
    ran = warm.run(home_with_models, "run", f"photo.{kind}", "short.wav", *look, cwd=place)
    assert ran.code == 0, ran.err
    with av.open(str(place / ran.out.strip())) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    small = np.asarray(Image.fromarray(rgb).resize(first.shape[1::-1]), int)
    assert np.abs(first.astype(int) - small).mean() < 8


def test_names_of_every_kind(film: Film, place: Path) -> None:
    """F11, F12"""
    for name in ("10:30 memo.wav", "caf\udce9.wav"):
        shutil.copy(place / "v.wav", place / name)
        made = film("p.jpg", name, "-o", f"{name[:3]}\udce9.mp4")
        assert made.name == f"{name[:3]}\udce9.mp4"
        assert level(heard(made)) == pytest.approx(level(VOICE), abs=0.5)


def test_the_store_tells_of_a_film_of_odd_bytes(
    film: Film, home_with_models: Home, warm: Warm
) -> None:
    """F11"""
    made = film("p.jpg", "v.wav", "-o", "\udcff.mp4")
    assert events(home_with_models)[-1].data["video_path"] == f"file://{made.parent}/%FF.mp4"
    assert "%FF.mp4" in warm.run(home_with_models, "history", "last", "--json").out


def test_stdin_is_read(film: Film, place: Path) -> None:
    """F13; pipes are in test_inputs"""
    made = film("p.jpg", "-", "-o", "1.mp4", streams={0: str(place / "v.wav")})
    assert level(heard(made)) == pytest.approx(level(VOICE), abs=0.5)


def test_no_input_is_written_over(film: Film, run: Callable[..., Ran], place: Path) -> None:
    """F8"""
    photo = place / "anna.poster.png"
    Image.open(place / "p.jpg").save(photo)
    before = photo.read_bytes()
    film("anna.poster.png", "v.wav", "-o", "anna.mp4", "--force")
    assert photo.read_bytes() == before
    shutil.move(place / "anna.mp4", place / "clip.mp4")
    before = (place / "clip.mp4").read_bytes()
    assert run("p.jpg", "clip.mp4", "-o", "clip.mp4", "--force").code == 2
    assert (place / "clip.mp4").read_bytes() == before


def test_odd_outputs_are_meant_or_told(run: Callable[..., Ran], place: Path) -> None:
    """F21"""
    (place / "folder").mkdir()
    assert run("p.jpg", "v.wav", "-o", "folder/").code == 0
    assert [file.name for file in (place / "folder").glob("*.mp4")] == ["p-v.mp4"]
    for output in ("new/", "-", "/dev/null"):
        refused = run("p.jpg", "v.wav", "-o", output)
        assert (refused.code, refused.err.count("vidgen: ")) == (2, 1)


@pytest.mark.parametrize(
    "streams", [{2: ""}, {1: "/dev/full"}, {1: "", 2: ""}, {0: "", 1: "/dev/full", 2: "/dev/full"}]
)
def test_a_film_is_made_whatever_becomes_of_the_streams(
    run: Callable[..., Ran], place: Path, streams: dict[int, str]
) -> None:
    """F15"""
    assert run("p.jpg", "v.wav", "-o", "made.mp4", streams=streams).code == 0
    assert (place / "made.mp4").is_file()


def test_a_run_under_nohup_outlives_its_terminal(
    home_with_models: Home, place: Path, warm: Warm
) -> None:
    """F4"""
    arguments = ("run", "p.jpg", "v.wav", "-o", "n.mp4")
    child = warm.start(
        home_with_models, *arguments, cwd=place, is_quick=True, ignores=[signal.SIGHUP]
    )
    wait_until(lambda: bool(list(home_with_models.tasks.glob("*/events.jsonl"))), 60)
    os.kill(child.pid, signal.SIGHUP)
    assert child.wait().code == 0
    assert (place / "n.mp4").is_file()


def test_two_homes_into_one_name_make_two_films(
    home_with_models: Home, place: Path, warm: Warm
) -> None:
    """F17"""
    other = Home(place / "other")
    shutil.copytree(home_with_models.models, other.models, symlinks=True)
    children = [
        warm.start(home, "run", "p.jpg", "v.wav", cwd=place, is_quick=True)
        for home in (home_with_models, other)
    ]
    films = {child.wait().out.strip() for child in children}
    assert len(films) == 2
    assert len(list(place.glob("p-v*.mp4"))) == 2


def test_the_installed_program_in_a_real_shell(home_with_models: Home, place: Path) -> None:
    """Closed, full and deserted streams at once, a pipe as voice, and a signal that nohup hides."""
    line = 'cat v.wav | nohup "$@" 2>&- >/dev/full; exit ${PIPESTATUS[1]}'
    arguments = command("run", "p.jpg", "-", "-o", "1.mp4", "--height", "256")
    done = subprocess.run(
        ["bash", "-c", line, "bash", *arguments],
        cwd=place,
        env=environment(home_with_models),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0
    assert level(heard(place / "1.mp4")) == pytest.approx(level(VOICE), abs=0.5)
