"""`vidgen batch` before the first film: which films are wanted, planned, refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from vidgen import cli
from vidgen.paths import Home
from vidgen.progress.store.runs import list_runs


@pytest.fixture
def inputs(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: two faces, two voices, and both again in folders of their own."""
    for folder in ("faces", "voices"):
        (tmp_path / folder).mkdir()
    samples = np.sin(np.arange(16000) / 10).astype(np.float32)
    for name in ("low", "high"):
        Image.new("RGB", (200, 240), "grey").save(tmp_path / f"{name}.png")
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
        shutil.copy(tmp_path / f"{name}.png", tmp_path / "faces")
        shutil.copy(tmp_path / f"{name}.wav", tmp_path / "voices")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What would be made, as a program reads it."""
    cli.main(["batch", *words, "--dry-run", "--json"])
    return json.loads(capsys.readouterr().out)


def refuse(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What is said on stderr while the command ends with 2."""
    with pytest.raises(SystemExit) as end:
        cli.main(["batch", *words])
    assert end.value.code == 2
    return capsys.readouterr().err


def test_one_face_and_many_voices(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = plan(capsys, "--photo", "low.png", "low.wav", "high.wav", "--output-dir", "films")
    assert planned["batch_id"] == "low"
    assert [(film["line"], film["action"], Path(film["output"])) for film in planned["films"]] == [
        (1, "make", Path("films/low-low.mp4")), (2, "make", Path("films/low-high.mp4")),
    ]  # fmt: skip


def test_two_folders(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = plan(capsys, "--photos", "faces", "--voices", "voices", "--batch", "mine")
    assert planned["batch_id"] == "mine"
    pairs = [(Path(film["photo"]).name, Path(film["voice"]).name) for film in planned["films"]]
    assert sorted(pairs) == [("high.png", "high.wav"), ("low.png", "low.wav")]


def test_a_part_of_them_is_planned_alone(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--photo", "low.png", "low.wav", "high.wav"
    halves = [plan(capsys, *words, "--part", part)["films"] for part in ("1/2", "2/2")]
    assert [[film["line"] for film in half] for half in halves] == [[1], [2]]


def test_a_plan_is_read_by_people_too(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["batch", "--photo", "low.png", "low.wav", "high.wav", "--dry-run"])
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["1", "2"]
    assert "2 films" in said.err
    assert list_runs(Home.default()) == []


@pytest.mark.parametrize(
    "words",
    ["", "--photo low.png", "--photos faces", "--voices voices", "low.csv high.csv",
     "--photo low.png --photos faces low.wav", "--photos faces --voices voices low.wav"],
)  # fmt: skip
def test_films_that_are_not_clear_are_asked_for(
    words: str, inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not clear which films" in refuse(capsys, *words.split())


@pytest.mark.parametrize("part", ["0/2", "3/2", "2", "a/b", "/", "-1/2", "1/0"])
def test_what_is_no_part_is_refused(
    part: str, inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refuse(capsys, "--photo", "low.png", "low.wav", f"--part={part}", "--dry-run")
    assert f"--part {part} is no part." in said


def test_all_mistakes_are_told_at_once(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("jobs.csv").write_text("photo,voice\nnone.png,low.wav\nlow.png,low.wav\nlow.png,no.wav\n")
    said = refuse(capsys, "jobs.csv")
    assert "none.png" in said
    assert "no.wav" in said
    assert "2 lines are wrong; nothing was made." in said


def test_a_job_file_without_jobs_is_told(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("jobs.csv").write_text("photo,voice\n")
    assert "There is no film to make." in refuse(capsys, "jobs.csv")
