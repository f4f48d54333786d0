"""Where a value comes from, and which values are refused."""

from pathlib import Path

import pytest

from vidgen.errors import InputError
from vidgen.settings import Options, read_config, words


def test_without_a_file_there_are_no_values(tmp_path: Path) -> None:
    assert read_config(tmp_path / "none.toml") == {}


def test_the_config_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('height = 512\nkeep_history_days = 3\nperson = "left"\n')
    assert read_config(file) == {"height": 512, "keep_history_days": 3, "person": "left"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("height = ", "config.unreadable"),
        ("hieght = 512", "config.unknown"),
        ("\xff", "config.unreadable"),
    ],
)
def test_a_damaged_or_misspelt_config_is_refused(tmp_path: Path, text: str, code: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as raised:
        read_config(file)
    assert raised.value.code == code
    assert str(file) in raised.value.message


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
