"""Job files: every kind, every mistake at once, with its line."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from vidgen.errors import InputError
from vidgen.jobs.checker import Checker, FilmJob
from vidgen.jobs.rows import Mistake, pair_folders, pair_voices, read_rows
from vidgen.request import default_settings


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with face.png, one.wav and two.wav."""
    Image.new("RGB", (200, 240), "grey").save(tmp_path / "face.png")
    for name, seconds in (("one", 1), ("two", 2)):
        samples = np.sin(np.arange(16000 * seconds) / 10).astype(np.float32)
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
    return tmp_path


def check_file(file: Path, text: str) -> tuple[list[FilmJob], list[Mistake]]:
    file.write_text(text, "utf-8")
    rows, mistakes = read_rows(file)
    checker = Checker(file.parent, default_settings(), file.parent, "b")
    checker.mistakes += mistakes
    return checker.check(rows), checker.mistakes


def told(mistakes: list[Mistake]) -> list[tuple[int, str]]:
    return [(mistake.line, mistake.error.code) for mistake in mistakes]


CSV = "photo,voice,output,height,mouth\nface.png,one.wav,,512,0.5\nface.png,two.wav,b.mov,,\n"
JSONL = """{"photo": "face.png", "voice": "one.wav", "height": 512, "mouth": 0.5}

{"photo": "face.png", "voice": "two.wav", "output": "b.mov"}
"""
TOML = """photo = "face.png"
[[film]]
voice = "one.wav"
height = 512
mouth = 0.5
[[film]]
voice = "two.wav"
output = "b.mov"
"""


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("j.csv", CSV, [2, 3]),
        ("j.csv", CSV.replace(",", ";"), [2, 3]),
        ("j.csv", CSV.replace(",", "\t"), [2, 3]),
        ("j.csv", "\ufeff" + CSV, [2, 3]),
        ("j.csv", CSV.replace("photo,voice,output", "Photo, Voice,OUTPUT"), [2, 3]),
        ("j.jsonl", JSONL, [1, 3]),
        ("j.toml", TOML, [2, 6]),
    ],
)
def test_every_kind_of_file_says_the_same(
    inputs: Path, name: str, text: str, lines: list[int]
) -> None:
    jobs, mistakes = check_file(inputs / name, text)
    assert mistakes == []
    assert [job.line for job in jobs] == lines
    assert [job.request.output for job in jobs] == [inputs / "face-one.mp4", inputs / "b.mov"]
    options = [job.request.options for job in jobs]
    assert [(o.height, o.mouth, o.format) for o in options] == [(512, 0.5, "mp4"), (0, 1.0, "mov")]
    assert [job.seconds for job in jobs] == [1.0, 2.0]
    assert {job.request.batch_id for job in jobs} == {"b"}


def test_all_mistakes_are_told_at_once_with_their_lines(inputs: Path) -> None:
    text = (
        "photo,voice,output,height,muoth\n"
        "face.png,one.wav,,512,1\n"
        "nope.png,no.wav,b.mp4,x,\n"
        "face.png,,c.mp4,100,\n"
        "face.png,two.wav,d.mp4,,,7\n"
        "face.png,one.wav,d.mp4,,\n"
        "face.png,face.png,e.mp4,,\n"
    )
    jobs, mistakes = check_file(inputs / "j.csv", text)
    assert [job.line for job in jobs] == [5]
    assert told(mistakes) == [
        (2, "option.unknown"),
        (3, "option.number"),
        (3, "photo.missing"),
        (3, "voice.missing"),
        (4, "batch.no_input"),
        (5, "batch.surplus"),
        (6, "batch.same_output"),
        (7, "voice.no_track"),
    ]
    assert mistakes[0].error.details["near"] == "mouth"


def test_an_option_that_contradicts_is_a_mistake_of_its_line(inputs: Path) -> None:
    text = '{"photo": "face.png", "voice": "one.wav", "height": 100}\n{"broken\n'
    _, mistakes = check_file(inputs / "j.jsonl", text)
    assert told(mistakes) == [(1, "option.height"), (2, "batch.not_an_object")]


def test_a_file_of_another_kind_is_refused(inputs: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_rows(inputs / "face.png")
    assert caught.value.code == "batch.not_a_job_file"


@pytest.mark.parametrize("content", [b"[[film]\n", b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_refused(inputs: Path, content: bytes) -> None:
    (inputs / "j.toml").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_rows(inputs / "j.toml")
    assert caught.value.code == "batch.unreadable"


def test_where_a_file_is_not_in_utf_8_is_told(inputs: Path) -> None:
    (inputs / "j.csv").write_bytes("photo,voice\nface.png,caf\xe9.wav\n".encode("cp1252"))
    with pytest.raises(InputError, match="line 2 is not in UTF-8"):
        read_rows(inputs / "j.csv")


def test_excels_unicode_text_is_read(inputs: Path) -> None:
    (inputs / "j.csv").write_bytes("photo\tvoice\nface.png\tcafé.wav\n".encode("utf-16"))
    assert read_rows(inputs / "j.csv")[0][0].values == {"photo": "face.png", "voice": "café.wav"}


def test_a_first_line_without_names_is_told(inputs: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_file(inputs / "j.csv", "face.png,one.wav\n")
    assert (caught.value.code, caught.value.details["head"]) == (
        "batch.no_head",
        "face.png,one.wav",
    )


def test_no_job_file_is_told(inputs: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_rows(inputs / "none.csv")
    assert caught.value.code == "batch.missing"


def test_one_face_and_many_voices(inputs: Path) -> None:
    rows = pair_voices(inputs / "face.png", [inputs / "one.wav", inputs / "two.wav"])
    checker = Checker(Path(), default_settings(), inputs / "out", "b", name="{line}-{voice}")
    outputs = [job.request.output for job in checker.check(rows)]
    assert outputs == [inputs / "out" / "1-one.mp4", inputs / "out" / "2-two.mp4"]
    assert not (inputs / "out").exists()  # checking makes nothing


def test_a_folder_that_cannot_be_made_is_told(inputs: Path) -> None:
    rows = pair_voices(inputs / "face.png", [inputs / "one.wav"])
    checker = Checker(Path(), default_settings(), inputs / "two.wav" / "out", "b")
    assert checker.check(rows) == []
    assert told(checker.mistakes) == [(1, "output.folder_missing")]


def test_two_folders_are_matched_by_name(inputs: Path) -> None:
    faces, sounds = inputs / "faces", inputs / "sounds"
    faces.mkdir()
    sounds.mkdir()
    for name in ("anna", "ben"):
        (faces / f"{name}.png").write_bytes((inputs / "face.png").read_bytes())
    for name in ("anna", "cleo"):
        (sounds / f"{name}.wav").write_bytes((inputs / "one.wav").read_bytes())
    rows, mistakes = pair_folders(faces, sounds)
    assert [row.values["photo"].name for row in rows] == ["anna.png"]
    assert [Path(m.error.details["path"]).name for m in mistakes] == ["ben.png", "cleo.wav"]


def test_photos_and_voices_of_one_folder_are_matched(inputs: Path) -> None:
    for name in ("anna.png", "anna.aac", "jobs.csv", "notes.txt", "jobs.toml", "Thumbs.db"):
        (inputs / name).touch()
    for voice in ("one.wav", "two.wav", "face.png"):
        (inputs / voice).unlink()
    rows, mistakes = pair_folders(inputs, inputs)
    assert [dict(row.values) for row in rows] == [
        {"photo": inputs / "anna.png", "voice": inputs / "anna.aac"}
    ]
    assert mistakes == []


def test_the_same_film_has_the_same_ingredients(inputs: Path) -> None:
    line = '{"photo": "face.png", "voice": "one.wav", "output": "a.mp4"'
    plain, again, other = (
        check_file(inputs / "j.jsonl", line + more + "}\n")[0][0].ingredients
        for more in ("", ', "force": true', ', "seed": 3')
    )
    assert plain == again
    assert plain != other
    assert json.dumps(plain)
