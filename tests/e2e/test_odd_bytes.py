"""A home whose own path is not UTF-8: every command works in it, and the server serves it."""

import json
import os
from pathlib import Path

import httpx
import pytest
import soundfile

from tests.support.voices import RATE, syllables
from tests.support.warm import Warm
from vidgen.paths import Home
from vidgen.progress.serve.subprocess import start_subprocess
from vidgen.progress.store.runs import find_run

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture
def odd(home_with_models: Home, tmp_path: Path) -> Home:
    """With models of its own: links would lead the libraries that read them elsewhere."""
    home = Home(tmp_path / os.fsdecode(b"h\xff\xe9me"))
    home.tasks.mkdir(parents=True)
    for source in home_with_models.models.glob("*/*"):
        folder = home.models / source.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / source.name).write_bytes(source.read_bytes())
    return home


def test_a_film_is_made_told_and_served(
    odd: Home, tmp_path: Path, demo_photo: Path, warm: Warm
) -> None:
    voice, film = tmp_path / "v.wav", odd.root / os.fsdecode(b"f\xfflm.mp4")
    soundfile.write(voice, syllables(0.5), RATE)
    ran = warm.run(odd, "run", demo_photo, voice, "--height", 256, "-o", film)
    assert (ran.code, ran.out) == (0, f"{film}\n"), ran.err

    for command in (
        ["history"],
        ["history", "last"],
        ["history", "--json"],
        ["history", "last", "--json"],
        ["replay", "last", "--speed", "0", "--progress", "rawjson"],
        ["stats"],
        ["doctor"],
        ["models", "list"],
        ["clean"],
    ):
        ran = warm.run(odd, *command)
        assert ran.code == 0, ran.err
        assert "Traceback" not in ran.err
        if "--json" in command:
            assert json.loads(ran.out)

    task = find_run(odd, "last").task_id
    with start_subprocess(odd, "127.0.0.1:0") as server:
        answers = [
            httpx.get(f"{server.url}api/tasks{path}")
            for path in ("", f"/{task}", f"/{task}/video", f"/{task}/previews/cutout")
        ]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert answers[2].content == film.read_bytes()


@pytest.mark.parametrize(
    "command", [["run", "no.jpg", "no.wav"], ["resume", "x"], ["history", "x"]]
)
def test_a_mistake_is_a_sentence_there_too(odd: Home, warm: Warm, command: list[str]) -> None:
    ran = warm.run(odd, *command)
    assert ran.code == 2
    assert ran.err.count("vidgen: ") == 1
    assert "Traceback" not in ran.err
