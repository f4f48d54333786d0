"""A part of a recording, and presets: what is meant by what was written."""

from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from vidgen.errors import InputError
from vidgen.media.audio import identify_voice, load_speech
from vidgen.presets import VALUES
from vidgen.request import build_request, default_settings
from vidgen.settings import Options, Setting, check
from vidgen.trim import Trim, parse_trim

RATE = 8000


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [("0:03-0:12", 3, 12), ("3-12.5", 3, 12.5), ("1:02:03-", 3723, inf), ("-0:10", 0, 10),
     ("", 0, inf), (" 1 - 2 ", 1, 2), ("90-2:00", 90, 120)],
)  # fmt: skip
def test_a_part_is_read_as_people_write_it(text: str, start: float, end: float) -> None:
    assert parse_trim(text) == Trim(start, end)


@pytest.mark.parametrize("text", ["3", "a-b", "5-3", "3-3", "1:2:3:4-", "-0", "0:03–0:12"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(InputError) as error:
        check(Options(trim=text))
    assert error.value.code == "option.trim"


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """Four seconds; each is a tone of its own loudness: 0.1, 0.2, 0.3, 0.4."""
    time = np.arange(4 * RATE) / RATE
    samples = np.sin(2 * np.pi * 200 * time) * (1 + np.floor(time)) / 10
    soundfile.write(tmp_path / "voice.wav", samples, RATE)
    return tmp_path / "voice.wav"


def test_only_the_part_is_kept_and_the_limit_is_for_it(voice: Path) -> None:
    speech = load_speech(voice, max_seconds=2, trim=Trim(1, 3))
    assert len(speech.samples) == 2 * RATE
    first, second = speech.samples[:RATE], speech.samples[RATE:]
    assert [round(float(abs(part).max()), 1) for part in (first, second)] == [0.2, 0.3]
    assert speech.samples[0] == speech.samples[-1] == 0  # no click
    assert identify_voice(voice, 2, Trim(1, 3))[1] == 2
    rest = load_speech(voice, max_seconds=2, trim=Trim(2.5))
    assert len(rest.samples) == 1.5 * RATE


@pytest.mark.parametrize("trim", [Trim(0, 1), Trim(1, 3), Trim(3), Trim(0, 9)])
def test_a_part_of_a_whole_recording_lacks_no_end(voice: Path, trim: Trim) -> None:
    said: list[Any] = []
    load_speech(voice, max_seconds=9, trim=trim, emit=said.append)
    assert "voice.truncated" not in [event.code for event in said]


def test_a_part_that_is_too_long_or_not_there_is_refused(voice: Path) -> None:
    for trim, code in [(Trim(1), "voice.too_long"), (Trim(9), "voice.trimmed_away")]:
        with pytest.raises(InputError) as error:
            load_speech(voice, max_seconds=2, trim=trim)
        assert error.value.code == code
        with pytest.raises(InputError) as error:
            identify_voice(voice, 2, trim)
        assert error.value.code == code


def test_a_preset_gives_way_to_what_is_said_beside_it() -> None:
    settings = default_settings(preset="story", height=640)
    settings["framing"] = Setting("keep", "config")
    options = build_request(Path("a.jpg"), Path("b.wav"), None, settings).options
    assert (options.aspect, options.height, options.framing) == ("9:16", 640, "head")
    settings = default_settings(height=640) | {"preset": Setting("call", "config")}
    settings["aspect"] = Setting("1:1", "environment")
    options = build_request(Path("a.jpg"), Path("b.wav"), None, settings).options
    assert (options.aspect, options.height, options.background) == ("1:1", 640, "blur")


@pytest.mark.parametrize("name", sorted(VALUES))
def test_each_preset_sets_what_options_can_be(name: str) -> None:
    from vidgen.config import check_option

    for option, value in VALUES[name].items():
        check_option(option, value)
