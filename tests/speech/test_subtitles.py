"""Subtitles: what a reader of them needs, and what players need of the file."""

from itertools import pairwise

from vidgen.speech.phonemes import TimedWord
from vidgen.speech.subtitles import LINES, PACE, WIDEST, make_cues, restore_spelling, subtitles

TEXT = "“Hello,” she said. It costs $5.20 – today, not on any other day of this long and wet week!"


def timed(text: str, each: float = 0.4) -> list[TimedWord]:
    """The words as eSpeak takes them, one after another."""
    words = text.replace("$5.20", "$ 5 .20").replace("“", "").replace("”", "").split()
    words = [word for word in words if word != "–"]
    return [TimedWord(n * each, (n + 1) * each - 0.05, word) for n, word in enumerate(words)]


def test_the_texts_own_spelling_is_kept() -> None:
    words = restore_spelling(timed(TEXT), TEXT)
    assert "".join(word.text for word in words) == TEXT
    assert "".join(word.text for word in restore_spelling(timed("你 好，"), "你好，")) == "你好，"


def test_cues_are_short_and_in_order() -> None:
    cues = make_cues(restore_spelling(timed(TEXT), TEXT))
    assert " ".join(cue.text.replace("\n", " ") for cue in cues) == TEXT
    assert cues[0].text == "“Hello,” she said."  # a sentence ends there
    for cue in cues:
        lines = cue.text.split("\n")
        assert len(lines) <= LINES
        assert max(map(len, lines)) <= WIDEST
        assert len(cue.text) / (cue.end - cue.start) <= PACE + 0.01
    assert all(one.end <= two.start for one, two in pairwise(cues))


def test_a_pause_ends_a_cue() -> None:
    words = [TimedWord(0, 0.4, "one "), TimedWord(2, 2.4, "two")]
    assert [(cue.start, cue.end) for cue in make_cues(words)] == [(0, 0.4), (2, 2.4)]


def test_files_are_as_players_want_them() -> None:
    words = [TimedWord(3661.25, 3662, "Hello")]
    assert subtitles(words, "Hello!", "srt") == "1\n01:01:01,250 --> 01:01:02,000\nHello!\n"
    vtt = subtitles(words, "Hello!", "vtt")
    assert vtt == "WEBVTT\n\n01:01:01.250 --> 01:01:02.000\nHello!\n"
    assert subtitles([], "Hello", "srt") == ""
