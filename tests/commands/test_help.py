"""Help in the user's language."""

import pytest
import typer

from vidgen import cli
from vidgen.commands.help import help_words, parts
from vidgen.messages import LANGUAGES

NEW = 0.05  # a new option's English may come before its translation


def english() -> set[str]:
    command = typer.main.get_command(cli.app)
    return {text for part, name in parts(command) for text in getattr(part, name).split("\n\n")}


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_help_is_told_in_every_language(language: str) -> None:
    said = english()
    assert len(said) > 120
    missing = said - set(help_words(language))
    assert len(missing) <= NEW * len(said), missing


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_what_is_typed_stands_in_every_language(language: str) -> None:
    """Names of options and places to fill are no words to translate."""
    for text, said in help_words(language).items():
        for word in ("--photo", "--voices", "{line}", "HOST TOKEN", "auto", "#1e90ff", "d-id"):
            assert (word in text) == (word in said), (text, word)


@pytest.mark.parametrize("words", ["--lang ja run --help", "run --lang ja --help"])
def test_the_language_of_help_may_be_said_anywhere(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDGEN_LANG", "en")
    cli.main(words.split())
    shown = capsys.readouterr().out
    assert "PHOTO が VOICE を話す動画を作ります。" in shown
    assert "--language" in shown
    assert "-h" in shown
    assert "…" not in shown.replace("PNG …", "")  # nothing is cut
