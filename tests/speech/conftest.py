"""What the tests of speech share."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vidgen.speech import hearing as hearing_module
from vidgen.speech import phonemes
from vidgen.speech.espeak import speak_in_subprocess
from vidgen.speech.hearing import Hearing
from vidgen.speech.recognizer import open_recognizer
from vidgen.work import Floats

speak_once = cache(speak_in_subprocess)


@cache
def _answers(file: Path, voice: bytes) -> Floats:
    answers = open_recognizer(file)(np.frombuffer(voice, np.float32))
    answers.setflags(write=False)
    return answers


@pytest.fixture
def hearing(model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Hearing:
    """The real one, which listens to each voice, and asks eSpeak for each text, only once in all
    tests: their answers are always the same, and judged elsewhere."""

    def open_kept(file: Path) -> Callable[..., Floats]:
        return lambda voice, _: _answers(file, voice.astype(np.float32).tobytes())

    monkeypatch.setattr(hearing_module, "open_recognizer", open_kept)
    monkeypatch.setattr(phonemes, "speak_in_subprocess", speak_once)
    return Hearing(model_path("phone_recognizer"))
