"""`vidgen batch` as a user types it, with the real models."""

import json
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.support.cli import command, environment, vidgen
from tests.support.warm import Warm
from vidgen import run
from vidgen.device.queue import Turn, device_slot
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.progress.store.runs import list_runs
from vidgen.request import Request, default_settings

pytestmark = pytest.mark.models


@pytest.fixture
def inputs(tmp_path: Path, demo_photo: Path) -> Path:
    """A folder with a face, a wall without one, and two voices."""
    shutil.copy(demo_photo, tmp_path / "face.png")
    Image.new("RGB", (300, 300), "grey").save(tmp_path / "wall.png")
    clock = np.arange(8000) / 16000
    for name, pitch in (("low", 120), ("high", 220)):
        wave = 0.3 * np.sin(2 * np.pi * pitch * clock) * np.sin(9 * clock)
        soundfile.write(tmp_path / f"{name}.wav", wave, 16000)
    (tmp_path / "jobs.csv").write_text(
        "photo,voice,output,height\nface.png,low.wav,,256\nwall.png,low.wav,w.mp4,256\n"
        "face.png,high.wav,films/h.webm,256\n"
    )
    (tmp_path / "films").mkdir()
    return tmp_path


def test_a_job_file_becomes_films(home_with_models: Home, inputs: Path, warm: Warm) -> None:
    dry = warm.run(home_with_models, "batch", "jobs.csv", "--dry-run", "--json", cwd=inputs)
    assert [film["action"] for film in dry.json["films"]] == ["make"] * 3
    assert list_runs(home_with_models) == []

    ran = vidgen(home_with_models, "batch", "jobs.csv", "--json", cwd=inputs)
    assert ran.code == 6, ran.err
    assert [film["state"] for film in ran.json["films"]] == ["complete", "failed", "complete"]
    assert ran.json["films"][1]["error_code"] == "detect.no_face"
    assert (inputs / "face-low.mp4").is_file()
    film = inputs / "films" / "h.webm"
    assert film.stat().st_mode == (inputs / "jobs.csv").stat().st_mode, "the user's own rights"
    rows = (inputs / "jobs.results.jsonl").read_text().splitlines()
    assert sorted(json.loads(row)["line"] for row in rows) == [2, 3, 4]
    assert {one.request()["batch_id"] for one in list_runs(home_with_models)} == {"jobs"}

    again = warm.run(home_with_models, "batch", "jobs.csv", "--progress", "plain", cwd=inputs)
    assert again.code == 6
    assert again.out.split() == [str(inputs / "face-low.mp4"), str(inputs / "films" / "h.webm")]
    assert "3 films, 2 there already, 1 to make" in again.err
    assert len(list_runs(home_with_models)) == 3


def test_a_part_has_its_films_and_a_results_file_of_its_own(
    home_with_models: Home, inputs: Path, warm: Warm
) -> None:
    ran = warm.run(home_with_models, "batch", "jobs.csv", "--part", "2/3", cwd=inputs)
    assert (ran.code, ran.out) == (6, "")
    rows = (inputs / "jobs.2-of-3.results.jsonl").read_text().splitlines()
    assert [json.loads(row)["line"] for row in rows] == [3]  # the wall
    assert not (inputs / "jobs.results.jsonl").exists()
    assert len(list_runs(home_with_models)) == 1


def test_a_film_of_a_batch_waits_only_to_be_drawn(home_with_models: Home, inputs: Path) -> None:
    heard: list[tuple[object, object]] = []
    waits = threading.Event()

    def hear(event: Envelope) -> None:
        if event.event_type == "stage_update" and event.data["status"] == "started":
            heard.append((event.data["stage"], event.data["message_code"]))
            if event.data["stage"] == "queued":
                waits.set()

    wanted = Request(
        inputs / "face.png", inputs / "low.wav", inputs / "low.mp4", default_settings(height=256)
    )
    making = threading.Thread(
        target=run.create,
        args=(home_with_models, wanted, [hear]),
        kwargs={"turn": Turn("mine", only_drawing=True)},
    )
    with device_slot(home_with_models, "mine", "another", lambda _: None):
        making.start()
        assert waits.wait(60)
    making.join(60)
    assert heard == [
        ("initialized", "stage.initialized"),
        ("yolo_detection", "stage.yolo_detection"),
        ("birefnet_removal", "stage.birefnet_removal"),
        ("prosody_adjustment", "stage.prosody_adjustment"),
        ("queued", "run.turn"),
        ("rendering", "stage.rendering"),
        ("finalizing", "stage.finalizing"),
    ]
    assert (inputs / "low.mp4").is_file()


def test_who_hears_enough_ends_no_film(home_with_models: Home, inputs: Path) -> None:
    """`--progress rawjson | head -1`, of the wall's film, which fails."""
    words = command("batch", "jobs.csv", "--part", "2/3", "--progress", "rawjson")
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=inputs,
        env=environment(home_with_models),
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 6


def test_mistakes_are_told_before_anything_is_made(
    home_with_models: Home, inputs: Path, warm: Warm
) -> None:
    (inputs / "bad.jsonl").write_text('{"photo": "face.png"}\n{"photo": "x.png", "voice": "y"}\n')
    ran = warm.run(home_with_models, "batch", "bad.jsonl", cwd=inputs)
    assert ran.code == 2
    assert ran.err.count("bad.jsonl:1: ") == 1
    assert ran.err.count("bad.jsonl:2: ") == 2
    assert list_runs(home_with_models) == []


def test_ctrl_c_leaves_a_batch_that_goes_on(
    home_with_models: Home, inputs: Path, warm: Warm
) -> None:
    with subprocess.Popen(
        command("batch", "jobs.csv", "--progress", "plain"),
        cwd=inputs,
        env=environment(home_with_models),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        heard = ""
        while "face-low.mp4: started" not in heard:
            heard += process.stderr.readline()
        while not list_runs(home_with_models):  # its run has begun
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        heard += process.stderr.read()
        assert process.wait(60) == 130
    assert "Go on with: vidgen batch jobs.csv" in heard
    ran = warm.run(home_with_models, "batch", "jobs.csv", "--json", cwd=inputs)
    assert [film["state"] for film in ran.json["films"]] == ["complete", "failed", "complete"]
    assert len(list_runs(home_with_models)) == 3
