"""The main job on real input: one command, the embedded models, a film that is measured."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.support.cli import environment, events, vidgen
from tests.support.warm import Warm
from tests.test_imports import GPU_EXTRA
from vidgen import demo
from vidgen.media.audio import load_speech
from vidgen.paths import Home
from vidgen.quality.correlation import envelope
from vidgen.vision.faces import LandmarkNet, Landmarks

pytestmark = [pytest.mark.models, pytest.mark.slow]

UPPER_LIP, LOWER_LIP, BROW, CHIN = 13, 14, 10, 152


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.demo_voice(tmp_path_factory.mktemp("voice") / "voice.wav", "Mama may buy a map.")


def openings(film: Path, net: LandmarkNet, start: tuple[int, int, int, int]) -> list[float]:
    """The mouth's gap in each decoded frame, in heights of the face."""
    found, face = [], None
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            face = net.track(rgb, face) if isinstance(face, Landmarks) else net.find(rgb, start)
            assert face is not None
            points = face.points
            gap = np.linalg.norm(points[UPPER_LIP] - points[LOWER_LIP])
            found.append(float(gap / np.linalg.norm(points[BROW] - points[CHIN])))
    return found


def boxes(film: Path) -> list[str]:
    """The names of an mp4's outermost boxes, in the file's order."""
    names, data, at = [], film.read_bytes(), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        names.append(data[at + 4 : at + 8].decode("ascii"))
        at += size or len(data)
    return names


def test_the_demo_becomes_a_film_whose_mouth_follows_the_voice(
    home_with_models: Home, tmp_path: Path, model_path: Callable[[str], Path]
) -> None:
    film = tmp_path / "demo.mp4"
    ran = vidgen(home_with_models, "demo", "-o", film, "--height", 512, "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.json["video"] == str(film)
    assert Path(ran.json["poster"]).is_file()
    quality = ran.json["metadata"]["quality"]
    assert not ran.json.keys() & ran.json["metadata"].keys()  # nothing is told twice
    assert ran.json["took_seconds"] == round(ran.json["took_seconds"], 2)
    assert quality["follows_voice"] is True
    assert abs(quality["offset_ms"]) <= 40

    speech = load_speech(home_with_models.models / "demo_photo" / "voice.wav", max_seconds=60)
    with av.open(str(film)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        count = sum(1 for _ in container.decode(video=0))
        assert (video.codec.name, video.pix_fmt, audio.codec.name) == ("h264", "yuv420p", "aac")
        assert (video.width, video.height) == (512, 512)
        assert video.average_rate == Fraction(25)
        assert count == -(-len(speech.samples) * 25 // speech.rate)
        assert container.metadata["title"] == "demo"
    with av.open(str(film)) as container:
        heard = sum(frame.samples for frame in container.decode(audio=0)) / audio.rate
    assert abs(heard - count / 25) <= 1 / 25 + 1024 / audio.rate
    assert boxes(film).index("moov") < boxes(film).index("mdat")

    net = LandmarkNet(model_path("face_landmark"))
    with av.open(str(film)) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    gaps = np.array(openings(film, net, (100, 60, 400, 400)))
    assert first.shape == (512, 512, 3)
    times = (np.arange(len(gaps)) + 0.5) / 25
    loudness = envelope(speech.samples, speech.rate).at(times)
    assert np.corrcoef(gaps, loudness)[0, 1] > 0.5
    assert 0.03 < np.percentile(gaps, 95) < 0.10


def test_the_log_of_a_run_is_whole(
    home_with_models: Home, tmp_path: Path, voice: Path, warm: Warm
) -> None:
    photo = home_with_models.models / "demo_photo" / "astronaut.png"
    ran = warm.run(home_with_models, "run", photo, voice, "--height", 256, cwd=tmp_path)
    assert ran.code == 0, ran.err
    film = tmp_path / "astronaut-voice.mp4"
    assert ran.out == f"{film.relative_to(tmp_path)}\n" or ran.out == f"{film}\n"
    said = events(home_with_models)
    assert [event.seq for event in said] == list(range(1, len(said) + 1))
    progress = [event.data["progress"] for event in said]
    assert all(before <= after for before, after in itertools.pairwise(progress))
    assert progress[-1] == 100.0
    ended = [
        event.data["stage"]
        for event in said
        if event.data.get("status") in ("completed", "skipped")
    ]
    assert ended == [
        "initialized",
        "yolo_detection",
        "birefnet_removal",
        "prosody_adjustment",
        "rendering",
        "finalizing",
    ]
    assert [event.event_type for event in said if event.is_terminal] == ["complete"]
    assert said[-1].data["video_path"] == str(film)


def test_the_same_photo_is_not_cut_out_twice(
    home_with_models: Home, tmp_path: Path, voice: Path, warm: Warm
) -> None:
    photo = home_with_models.models / "demo_photo" / "astronaut.png"
    arguments = ("run", photo, voice, "--height", 256, "--progress", "rawjson")
    assert warm.run(home_with_models, *arguments, cwd=tmp_path).code == 0
    assert warm.run(home_with_models, *arguments, "--seed", 7, cwd=tmp_path).code == 0
    status = {e.data["stage"]: e.data.get("status") for e in events(home_with_models)}
    assert status["yolo_detection"] == "reused"
    assert status["birefnet_removal"] == "reused"
    assert status["rendering"] == "completed"
    (plan,) = (e for e in events(home_with_models) if e.data.get("message_code") == "run.planned")
    assert plan.data["metadata"]["kept"] == ["yolo_detection", "birefnet_removal"]
    assert warm.run(home_with_models, *arguments, "--fresh", cwd=tmp_path).code == 0
    status = {e.data["stage"]: e.data.get("status") for e in events(home_with_models)}
    assert status["yolo_detection"] == "completed"


WITHOUT = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from vidgen.cli import main
main({arguments})
"""


def test_the_embedded_run_needs_nothing_of_the_gpu_extra(
    home_with_models: Home, tmp_path: Path, voice: Path
) -> None:
    photo = home_with_models.models / "demo_photo" / "astronaut.png"
    arguments = ["run", str(photo), str(voice), "-o", str(tmp_path / "film.mp4"), "--height", "256"]
    script = WITHOUT.format(names=set(GPU_EXTRA), arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment(home_with_models),
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "film.mp4").stat().st_size > 10_000


@pytest.mark.parametrize("kind", ["mp3", "m4a", "opus"])
def test_voices_of_other_kinds(
    home_with_models: Home, tmp_path: Path, voice: Path, warm: Warm, kind: str
) -> None:
    photo = home_with_models.models / "demo_photo" / "astronaut.png"
    other = tmp_path / f"voice.{kind}"
    codec = {"mp3": "libmp3lame", "m4a": "aac", "opus": "libopus"}[kind]
    with av.open(str(voice)) as source, av.open(str(other), "w") as target:
        stream: Any = target.add_stream(codec, rate=48000 if kind == "opus" else 44100)
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    ran = warm.run(home_with_models, "run", photo, other, "--height", 256, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert (tmp_path / "astronaut-voice.mp4").is_file()


def test_each_of_two_men_can_be_chosen(
    home_with_models: Home, tmp_path: Path, voice: Path, zidane: Path, warm: Warm
) -> None:
    right = warm.run(home_with_models, "run", zidane, voice, "--person", "right", "--height", 256,
                     "-o", tmp_path / "right.mp4")  # fmt: skip
    assert right.code == 0, right.err
    left = warm.run(home_with_models, "run", zidane, voice, "--person", "left", "--height", 256,
                    "-o", tmp_path / "left.mp4")  # fmt: skip
    # He shouts in profile: a film, or a refusal that says so.
    assert left.code == 0 or (left.code == 2 and "turned too far" in left.err), left.err
    assert (tmp_path / "left.mp4").exists() == (left.code == 0)
