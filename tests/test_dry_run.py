"""A run looked at before it is made."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from vidgen import cli
from vidgen.dry_run import plan_film
from vidgen.errors import InputError
from vidgen.paths import Home
from vidgen.progress.store.runs import task_names
from vidgen.request import Request, build_request, default_settings


def ask(folder: Path, **options: object) -> Request:
    """A photo without a face, and two seconds of a tone."""
    Image.new("RGB", (320, 320), "teal").save(folder / "wall.png")
    time = np.arange(32000) / 16000
    soundfile.write(folder / "tone.wav", np.sin(2 * np.pi * 220 * time) * 0.3, 16000)
    settings = default_settings(**options)
    return build_request(folder / "wall.png", folder / "tone.wav", folder / "film.mp4", settings)


def test_a_plan_says_what_would_be_made_and_makes_nothing(home: Home, tmp_path: Path) -> None:
    plan = plan_film(home, ask(tmp_path, fps="30", trim="0.5-"))
    assert (plan.output, plan.seconds, plan.fps) == (tmp_path / "film.mp4", 1.5, 30.0)
    assert (plan.plan["renderer"], plan.expected_seconds) == ("puppet", None)
    assert (plan.size, plan.preview) == (None, None)  # the small models are not here
    assert task_names(home) == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["home", "tone.wav", "wall.png"]


def test_a_plan_refuses_what_the_run_would(home: Home, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").touch()
    with pytest.raises(InputError) as error:
        plan_film(home, ask(tmp_path))
    assert error.value.code.startswith("output.")


def test_the_command_prints_it(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ask(tmp_path)
    cli.main(["run", "wall.png", "tone.wav", "--dry-run"])
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"Film  {tmp_path / 'wall-tone.mp4'}"
    assert shown[1] == "2.0 s, 25 fps, puppet, cpu"


@pytest.mark.models
def test_with_the_models_the_face_is_looked_for(
    home_with_models: Home, tmp_path: Path, model_path: Callable[[str], Path]
) -> None:
    with pytest.raises(InputError) as error:
        plan_film(home_with_models, ask(tmp_path))
    assert error.value.code.startswith("detect.")


@pytest.mark.models
def test_with_a_face_one_frame_of_the_film_is_drawn(
    home_with_models: Home, tmp_path: Path, demo_photo: Path
) -> None:
    wall = ask(tmp_path, height=256, framing="keep", background="#00ff00")
    plan = plan_film(home_with_models, replace(wall, photo=demo_photo))
    assert plan.preview is not None
    assert plan.size == (256, 256)
    with Image.open(plan.preview) as drawn, Image.open(demo_photo) as photo:
        there, framed = np.asarray(drawn.convert("RGB")), photo.convert("RGB").resize((256, 256))
    plan.preview.unlink()
    changed = np.abs(there.astype(int) - np.asarray(framed)).sum(2) > 90
    assert there[4, 4].tolist() == pytest.approx([0, 255, 0], abs=3)  # behind her, what was asked
    assert changed[62:78, 102:128].mean() > 0.04  # her mouth is at something
    assert changed[150:200, 60:110].mean() < 0.02  # and she is the same
