"""Films made from Python."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import vidgen
from vidgen.errors import InputError
from vidgen.events import Envelope
from vidgen.film import EMBEDDED_BYTES, Film
from vidgen.paths import Home


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """A second of a tone that comes and goes, as syllables do."""
    time = np.arange(16_000) / 16_000
    file = tmp_path / "tone.wav"
    soundfile.write(file, 0.4 * np.sin(2800 * time) * np.abs(np.sin(9 * time)), 16_000)
    return file


@pytest.mark.models
@pytest.mark.slow
def test_a_film_is_made_in_a_thread_and_its_events_are_heard(
    home_with_models: Home, demo_photo: Path, voice: Path, tmp_path: Path
) -> None:
    events: list[Envelope] = []
    films: list[Film] = []

    def work() -> None:
        options: dict[str, Any] = {"height": 256, "fps": 24, "seed": 3, "background": "blur"}
        where = {"output": tmp_path / "film.mp4", "home": home_with_models.root}
        films.append(vidgen.make(demo_photo, voice, on_event=events.append, **where, **options))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (film,) = films
    assert film.path == tmp_path / "film.mp4"
    assert film.poster is not None
    assert film.poster.is_file()
    assert film.seconds == pytest.approx(1.0, abs=0.1)
    assert film.metadata["seed"] == 3
    assert film.metadata["fps"] == 24
    assert [event.event_type for event in events][-1] == "complete"
    assert {event.task_id for event in events} == {film.task_id}
    assert film._repr_html_().startswith('<video controls width="480" src="data:video/mp4;base64,')


def test_a_large_film_is_linked_in_a_notebook(tmp_path: Path) -> None:
    file = tmp_path / 'a "large" one.mp4'
    with file.open("wb") as stream:
        stream.truncate(EMBEDDED_BYTES + 1)
    shown = Film(file, None, 1.0)._repr_html_()
    assert shown.startswith('<a href="file://')
    assert "&quot;large&quot;" in shown


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"heigth": 720}, "option.unknown", "height"),
        ({"height": "tall"}, "option.number", "number"),
        ({"mouth": 3.0}, "option.range", "from 0 to 2"),
        ({"max_seconds": 0}, "option.least", "below"),
        ({"format": "avi"}, "option.choice", "mp4"),
        ({"force": 1}, "option.switch", "true or false"),
        ({"background": ["blur"]}, "option.text", "quotes"),
        ({"person": "nobody"}, "option.person", "left"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(
    options: dict[str, Any], code: str, words: str, home: Home
) -> None:
    with pytest.raises(InputError) as caught:
        vidgen.make("photo.jpg", "voice.wav", home=home.root, **options)
    assert caught.value.code == code
    assert words in caught.value.hint
    assert list(home.tasks.iterdir()) == []


def test_importing_vidgen_imports_nothing_else() -> None:
    code = "import sys, vidgen; print([n for n in sys.modules if n.startswith('vidgen.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['vidgen.version']"


def test_what_is_offered_can_be_had() -> None:
    assert all(getattr(vidgen, name) for name in vidgen.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        vidgen.nothing  # noqa: B018  # asking is the test
