"""Where a value comes from, and which values are refused."""

from pathlib import Path

import pytest

from tests.support.cli import vidgen
from vidgen.config import WRONG as WRONG_VALUES
from vidgen.config import in_force, load_config
from vidgen.errors import InputError
from vidgen.messages import LANGUAGES, say
from vidgen.paths import Home
from vidgen.settings import Options, Setting, check, words


def test_without_a_file_there_are_no_values(tmp_path: Path) -> None:
    assert load_config(tmp_path / "none.toml") == {}


def test_the_config_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('height = 512\nkeep_history_days = 3\nperson = "left"\n')
    assert load_config(file) == {"height": 512, "keep_history_days": 3, "person": "left"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("height = ", "config.unreadable"),
        ("hieght = 512", "config.misspelt"),
        ("zzz = 512", "config.unknown"),
        ("\xff", "config.unreadable"),
    ],
)
def test_a_damaged_or_misspelt_config_is_refused(tmp_path: Path, text: str, code: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as raised:
        load_config(file)
    assert raised.value.code == code
    assert str(file) in raised.value.message


WRONG = [
    ('height = "big"', "config.number", "Write a number."),
    ("height = 512.5", "config.number", "Write a number."),
    ("height = 9000", "config.range", "Write a number from 0 to 2160."),
    ("height = [1]", "config.number", "Write a number."),
    ("seed = -2", "config.range", "Write a number from -1 to 9223372036854775807."),
    ("max_seconds = nan", "config.least", "Write a number not below 1."),
    ('format = "avi"', "config.choice", "Choose one of: mp4, webm, mov, gif, webp."),
    ('force = "yes"', "config.switch", "Write true or false."),
    ("text_file = 3", "config.text", "Write it in quotes."),
    ("text = true", "config.text", "Write it in quotes."),
    ('keep_history_days = "x"', "config.number", "Write a number."),
]


@pytest.mark.parametrize(("line", "code", "hint"), WRONG)
def test_a_value_that_its_option_cannot_have_is_refused_in_plain_words(
    tmp_path: Path, line: str, code: str, hint: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(line)
    name = line.split()[0]
    with pytest.raises(InputError, match=f"{file} cannot set {name} to ") as raised:
        load_config(file)
    assert (raised.value.code, raised.value.hint) == (code, hint)


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_wrong_value_can_be_told_in_every_language(language: str) -> None:
    for code in (code for *codes, _ in WRONG_VALUES.values() for code in codes):
        for key in (code, f"{code}_hint"):
            assert say(key, {}, language, otherwise="missing") != "missing"


def test_numbers_will_do_where_text_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('fps = 25\nloudness = -16\nprogress = "plain"\nnotify = true\n')
    assert len(load_config(file)) == 4


def test_each_setting_tells_where_it_is_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("height = 512\nseed = 3\n")
    monkeypatch.setenv("VIDGEN_CONFIG", str(file))
    found = in_force({"VIDGEN_SEED": "4", "VIDGEN_KEEP_HISTORY_DAYS": "9"})
    assert found["height"] == Setting(512, "config")
    assert found["seed"] == Setting("4", "environment")
    assert found["keep_history_days"] == Setting("9", "environment")
    assert found["fps"] == Setting("25", "default")


def test_words_come_from_the_option_or_its_file(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("Grüß Gott\n", "utf-8")
    assert words(Options(text="hello")) == "hello"
    assert words(Options(text_file=file)) == "Grüß Gott"


def test_words_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes(b"\xff\xfe\x00")
    for path in (file, tmp_path / "none.txt"):
        with pytest.raises(InputError) as raised:
            words(Options(text_file=path))
        assert raised.value.code == "config.text_file"


def test_a_wrong_value_is_told_by_the_command_with_the_file_it_is_in(
    home: Home, tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('format = "avi"\n')
    done = vidgen(home, "run", "a.png", "a.wav", VIDGEN_CONFIG=str(file))
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        f"vidgen: The settings file {file} cannot set format to avi.",
        "        Choose one of: mp4, webm, mov, gif, webp.",
    ]


def test_the_doctor_tells_each_setting_with_its_source(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("height = 512\n")
    found = vidgen(home, "doctor", "--json", VIDGEN_CONFIG=str(file), VIDGEN_SEED="4").json
    (told,) = [
        finding["text"].splitlines() for finding in found if finding["subject"] == "settings"
    ]
    assert told[:3] == [str(file), "seed = 4 (VIDGEN_SEED)", "height = 512 (config.toml)"]
    assert told[3].endswith(" with their defaults")


def test_a_language_that_is_not_spoken_is_refused(home: Home) -> None:
    done = vidgen(home, "--lang", "fr", "history")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("vidgen: vidgen does not speak fr.")
    assert vidgen(home, "--lang", "zh-TW", "history").out.startswith("还没有运行")


@pytest.mark.parametrize(
    "background", ["#", "#12", "#1234", "#12345", "#1234567", "#ggg", "#12345g"]
)
def test_a_background_that_begins_like_a_colour_must_be_one(background: str) -> None:
    with pytest.raises(InputError) as raised:
        check(Options(background=background))
    assert raised.value.code == "option.colour"
