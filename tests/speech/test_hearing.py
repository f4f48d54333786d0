"""From the recogniser's answers to phones in time, without the recogniser."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidgen.errors import SetupError
from vidgen.speech.curves import limit_speed
from vidgen.speech.features import SpeechFeatures, listen, loudest_part
from vidgen.speech.hearing import LISTENING, HearAhead, HeardVoice, Hearing, hear_voice
from vidgen.speech.phonemes import TimedPhones
from vidgen.speech.recognizer import OnShare
from vidgen.speech.spikes import Spike, find_spikes, hear_phones
from vidgen.speech.tokens import BLANK, TOKENS
from vidgen.work import Floats, Speech

RATE = 16_000


def said(frames: int, *tokens: tuple[int, str, float]) -> Floats:
    """Answers of which `(frame, token, probability)` are no blanks."""
    shares = np.full((frames, len(TOKENS)), 1e-6, np.float32)
    shares[:, BLANK] = 1
    for frame, token, share in tokens:
        shares[frame, TOKENS.index(token)] = share
        shares[frame, BLANK] = max(1e-6, shares[frame, BLANK] - share)
    return np.log(shares)


@pytest.fixture(scope="module")
def humming() -> SpeechFeatures:
    """Two seconds of a steady sound."""
    time = np.arange(2 * RATE) / RATE
    return listen(np.asarray(0.3 * np.sin(2 * np.pi * 700 * time), np.float32), RATE)


def test_a_spike_is_told_once() -> None:
    heard = find_spikes(said(50, (10, "m", 0.9), (11, "m", 0.9), (20, "a", 0.8), (30, "a", 0.8)))
    assert heard == [Spike(10, "m"), Spike(20, "a"), Spike(30, "a")]


def test_what_looks_alike_is_heard_together() -> None:
    assert find_spikes(said(30, (9, "p", 0.3), (9, "b", 0.35))) == [Spike(9, "b")]
    assert find_spikes(said(30, (9, "k", 0.25), (9, "i", 0.28))) == []  # too unsure of either


def test_a_closure_swallows_a_doubtful_f_but_no_likely_one() -> None:
    assert find_spikes(said(30, (9, "p", 0.35), (9, "f", 0.45))) == [Spike(9, "p")]
    assert find_spikes(said(30, (9, "p", 0.35), (9, "f", 0.64))) == [Spike(9, "f")]


def test_a_vowel_that_is_spread_over_several_is_heard_once() -> None:
    spread = said(30, (9, "æ", 0.26), (9, "a", 0.2), (9, "ɑ", 0.2), (10, "a", 0.3), (10, "æ", 0.2))
    assert len(find_spikes(spread)) == 1
    assert find_spikes(said(30, (9, "æ", 0.26), (9, "u", 0.2))) == []  # these are not alike
    apart = find_spikes(said(30, (9, "a", 0.8), (10, "i", 0.8)))
    assert [spike.ipa for spike in apart] == ["a", "i"]


def test_tones_lengths_and_the_ends_of_words_are_not_seen() -> None:
    assert find_spikes(said(30, (5, "<wb>", 0.9), (9, "ː", 0.9), (12, "˥", 0.9))) == []


def test_a_sound_begins_before_its_spike_and_lasts_to_the_next(humming: SpeechFeatures) -> None:
    told = said(100, (30, "a", 0.9), (40, "m", 0.9), (46, "a", 0.9))
    silence, one, closure, two, rest = hear_phones(told, humming)
    assert [p.ipa for p in (silence, one, closure, two, rest)] == ["", "a", "m", "a", ""]
    assert one.start == pytest.approx(0.522, abs=0.02)
    assert closure.start == one.end == pytest.approx(0.72, abs=0.03)
    assert two.end - two.start == pytest.approx(0.45, abs=0.001)  # no vowel lasts for ever
    assert rest.end == humming.seconds


def test_a_pause_ends_a_sound(humming: SpeechFeatures) -> None:
    paused = replace(humming, pauses=((0.7, 1.2),))
    phones = hear_phones(said(100, (30, "a", 0.9), (80, "a", 0.9)), paused)
    assert phones[1].end == 0.7


def test_nothing_said_is_nothing_heard(humming: SpeechFeatures) -> None:
    assert hear_phones(said(100), humming) == ()


def test_weights_that_are_none_are_told(tmp_path: Path, humming: SpeechFeatures) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(SetupError):
        Hearing(file)(np.zeros(RATE, np.float32), humming, "", "en")


def test_a_limit_keeps_closures_and_lowers_what_is_short() -> None:
    curve = np.ones(60)
    curve[20:25] = 0  # shut
    curve[29:40] = 0  # open for 40 ms only
    slow = limit_speed(curve, 10.0)  # a tenth in 10 ms
    assert np.abs(np.diff(slow)).max() <= 0.1 + 1e-9
    assert slow[20:25].max() == 0
    assert 0.1 <= slow[26] <= 0.3
    assert (slow <= curve + 1e-12).all()
    assert slow[5] == 1


def test_a_voice_is_heard_once_whoever_asks_first() -> None:
    voice = Speech(np.zeros(RATE, np.float32), RATE, "")
    asked: list[str] = []

    def source(_: object, __: object, text: str, language: str) -> TimedPhones:
        asked.append(language)
        return TimedPhones((), note=text)

    ahead = HearAhead(voice, "de", source)
    ahead.load()
    first = ahead(voice, "de", source)
    assert ahead(voice, "de", source) is first
    assert asked == ["de"]
    other = replace(voice, text="Hello")  # the prosody's, for one
    assert ahead(other, "fr", source).words.note == "Hello"
    ahead.release()
    assert ahead(voice, "de", source) is not first
    assert asked == ["de", "fr", "de"]


def test_who_asks_for_a_voice_that_is_being_heard_learns_how_far_that_is() -> None:
    voice = Speech(np.zeros(RATE, np.float32), RATE, "")
    begun, told, asked = threading.Event(), list[float](), threading.Event()

    def source(*_: object) -> TimedPhones:
        return TimedPhones(())

    def elsewhere(work: Callable[[OnShare], HeardVoice], on_share: OnShare) -> HeardVoice:
        on_share(0.1)  # nobody listens yet
        begun.set()
        assert asked.wait(10)
        on_share(0.5)
        return work(on_share)

    ahead = HearAhead(voice, "", source, elsewhere)
    thread = threading.Thread(target=ahead.load)
    thread.start()
    assert begun.wait(10)

    def hear(share: float) -> None:
        told.append(share)

    threading.Timer(0.2, asked.set).start()
    ahead(voice, "", source, hear)
    thread.join()
    assert told == [0.5, 0.0, LISTENING]


@pytest.mark.models
def test_a_long_voice_is_heard_in_steps(model_path: Callable[[str], Path]) -> None:
    time = np.arange(60 * RATE) / RATE
    voice = np.asarray(0.3 * np.sin(2 * np.pi * 200 * time) * (time % 7 > 1), np.float32)
    told: list[float] = []
    source = Hearing(model_path("phone_recognizer"))
    hear_voice(Speech(voice, RATE, ""), "", source, told.append)
    assert told[:2] == [0.0, LISTENING]
    assert told == sorted(told)
    assert len(told) >= 5
    assert told[-1] == pytest.approx(1)


def test_a_voice_that_cannot_be_heard_ahead_fails_when_it_is_asked_for() -> None:
    voice = Speech(np.zeros(RATE, np.float32), RATE, "")

    def broken(*_: object) -> TimedPhones:
        raise SetupError("No weights.", hint="Fetch them.", code="speech.weights")

    ahead = HearAhead(voice, "", broken)
    for _ in range(2):
        with pytest.raises(SetupError):
            ahead(voice, "", broken)


def test_the_loudest_part_of_a_voice_lies_around_its_loudest_tenth() -> None:
    voice = np.zeros(5000, np.float32)
    voice[3950:3990] = 1.0
    assert loudest_part(voice, 1000).tolist() == voice[3450:4450].tolist()
    assert len(loudest_part(np.roll(voice, 1000), 1000)) == 1000  # at the end, too
    assert len(loudest_part(voice[:300], 1000)) == 300  # there is not more
