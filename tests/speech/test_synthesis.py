"""A voice for words: who may ask for it, and what its phones promise."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vidgen.errors import InputError, SetupError
from vidgen.request import choose_voice
from vidgen.settings import Setting
from vidgen.speech.espeak import Phone
from vidgen.speech.synthesis import BEHIND, RATE, earlier, join_silences, say, with_output
from vidgen.speech.visemes import kind

TEXT = "My mother bought a map, but Bob may be happy."


def settings(**given: str) -> dict[str, Setting]:
    return {name: Setting(given.get(name, ""), "default") for name in ("text", "text_file")}


def test_words_to_say_stand_for_the_voice() -> None:
    voice, known = choose_voice(None, TEXT, settings())
    assert voice.suffix == ".wav"
    assert known["text"] == Setting(TEXT, "flag")
    assert choose_voice(Path("a.wav"), "", settings()) == (Path("a.wav"), settings())


@pytest.mark.parametrize(
    ("voice", "words", "text", "code"),
    [
        (None, "", "", "say.no_voice"),
        (None, "  ", "", "say.no_voice"),
        (Path("a.wav"), TEXT, "", "say.both"),
        (None, TEXT, "other words", "say.text"),
    ],
)
def test_one_voice_is_wanted(voice: Path | None, words: str, text: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        choose_voice(voice, words, settings(text=text))
    assert caught.value.code == code


def test_another_language_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        say("Guten Tag.", "de")
    assert caught.value.code == "say.language"


def test_without_the_extra_the_command_for_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)  # as if it were not installed
    with pytest.raises(SetupError) as caught:
        say(TEXT)
    assert caught.value.code == "say.no_extra"
    assert "[say]" in caught.value.hint


def test_what_is_said_is_the_same_each_time_and_covered_by_its_phones() -> None:
    pytest.importorskip("hibari")
    one, two = say(TEXT, "en-GB"), say(TEXT)
    assert np.array_equal(one.samples, two.samples)
    assert one.phones == two.phones
    assert one.phones[-1].end == pytest.approx(len(one.samples) / RATE, abs=1e-6)
    assert all(a.end == pytest.approx(b.start) for a, b in pairwise(one.phones))
    said = [phone.ipa for phone in one.phones if kind(phone.ipa) == "bilabial"]
    assert said == ["m", "m", "b", "m", "p", "b", "b", "b", "m", "b", "p"]


def test_a_closure_is_quiet_when_it_is_told_to_be() -> None:
    pytest.importorskip("hibari")
    made = say("A papa, a papa, a papa, a papa.")
    level = np.square(made.samples)

    def loudness(shift: float) -> float:
        parts = [
            level[int((p.start + shift) * RATE) : int((p.end + shift) * RATE)].mean()
            for p in made.phones
            if p.ipa == "p"
        ]
        return float(np.mean(parts))

    assert loudness(0) < 0.5 * loudness(BEHIND)  # the network's own times are late


def test_nothing_to_say_is_told() -> None:
    pytest.importorskip("hibari")
    with pytest.raises(InputError) as caught:
        say("…")
    assert caught.value.code == "say.nothing"


def test_phones_are_moved_but_not_before_the_beginning() -> None:
    phones = [Phone(1.0, 1.2, ""), Phone(1.2, 1.3, "a"), Phone(1.3, 1.4, "")]
    moved = earlier(phones, 0.05, 1.0)
    assert [(round(p.start, 3), round(p.end, 3)) for p in moved] == [
        (1.0, 1.15), (1.15, 1.25), (1.25, 1.35),
    ]  # fmt: skip
    assert list(join_silences([Phone(0, 1, ""), Phone(1, 2, "")])) == [Phone(0, 2, "")]


def test_a_graph_with_one_more_output_keeps_what_it_was() -> None:
    assert with_output(b"model", b"/x").startswith(b"model")
