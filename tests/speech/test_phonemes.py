"""From words to lips: how they are spoken, where another voice says them, what each does."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from tests.support.speakers import TEXTS, Voice, voice, with_noise, with_reverb
from vidgen.errors import InputError
from vidgen.speech.align import find_sounds, spell
from vidgen.speech.coarticulation import close_lips, coarticulation
from vidgen.speech.espeak import Phone, pieces, speak, speak_in_subprocess
from vidgen.speech.features import listen
from vidgen.speech.hearing import Hearing
from vidgen.speech.languages import LANGUAGES, praat_language
from vidgen.speech.phonemes import TimedPhones
from vidgen.speech.tokens import BLANK, TOKENS
from vidgen.speech.visemes import TABLE, is_open_vowel, kind, visemes
from vidgen.work import Floats

SHORT = " ".join(TEXTS["en-gb"].split()[:34])
known = cache(voice)


def starts(phones: tuple[Phone, ...], kinds: tuple[str, ...]) -> list[float]:
    return [phone.start for phone in phones if kind(phone.ipa) in kinds]


def words_in(hearing: Hearing, samples: Floats, text: str, language: str) -> TimedPhones:
    return hearing(samples, listen(samples, 16_000), text, language)


def errors(hearing: Hearing, made: Voice, samples: Floats) -> Floats:
    """How far each consonant's start is from where it really is, seconds."""
    words = words_in(hearing, samples, made.text, made.language)
    assert (words.note, words.source) == ("", "text")
    ours = starts(words.phones, ("bilabial", "labiodental", "hiss"))
    theirs = starts(made.phones, ("bilabial", "labiodental", "hiss"))
    nearest = np.abs(np.subtract.outer(theirs, ours)).min(axis=1)
    return np.asarray(nearest, np.float32)


@pytest.mark.models
@pytest.mark.parametrize(
    ("language", "speaker", "rate", "pitch"),
    [("en-gb", "Female1", 140, 1.3), ("en-gb", "Male3", 210, 0.8), ("de", "Annie", 175, 1.0)],
)
def test_words_are_found_in_another_speakers_voice(
    hearing: Hearing, language: str, speaker: str, rate: int, pitch: float
) -> None:
    text = SHORT if language == "en-gb" else ""
    made = known(language, speaker, text, rate, pitch)
    off = errors(hearing, made, made.speech.samples)
    assert np.median(off) <= 0.030
    assert np.percentile(off, 90) <= 0.080


@pytest.mark.models
def test_noise_and_a_room_do_not_lose_them(hearing: Hearing) -> None:
    made = known("en-gb", "Female1", SHORT)
    noisy = errors(hearing, made, with_noise(made.speech.samples, 15))
    roomy = errors(hearing, made, with_reverb(made.speech.samples))
    assert np.median(noisy) <= 0.030
    assert np.median(roomy) <= 0.050


@pytest.mark.models
def test_a_pause_between_words_is_not_filled(hearing: Hearing) -> None:
    made = known("en-gb", "Female1", SHORT)
    cut = next(p.end for p in made.phones if p.end > 2 and p.ipa == "")
    silence = np.zeros(16_000, np.float32)
    place = int((cut - 0.01) * 16_000)
    samples = made.speech.samples
    paused = np.concatenate([samples[:place], silence, samples[place:]])
    words = words_in(hearing, paused, SHORT, "en-gb")
    inside = [p.ipa for p in words.phones if p.start > cut + 0.08 and p.end < cut + 0.9]
    assert "".join(inside) == ""


@pytest.mark.models
def test_phones_and_words_cover_the_voice_in_order(hearing: Hearing) -> None:
    made = known("en-gb", "Female1", SHORT)
    found = words_in(hearing, made.speech.samples, SHORT, "en-gb")
    assert all(one.end <= two.start + 1e-9 for one, two in pairwise(found.phones))
    assert all(phone.start < phone.end for phone in found.phones)
    assert found.phones[-1].end <= made.speech.seconds + 1e-6
    assert [word.text for word in found.words] == SHORT.split()
    assert all(one.start < two.start for one, two in pairwise(found.words))


@pytest.mark.models
@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("Only three words.", "puppet.text_misfit"),
        ("word " * 2000, "puppet.text_misfit"),
        ("?!… — ()", "puppet.text_unspoken"),
        (TEXTS["it"][:170], "puppet.text_misfit"),
    ],
)
def test_words_that_do_not_fit_are_left_aside_with_the_reason(
    hearing: Hearing, text: str, note: str
) -> None:
    words = words_in(hearing, known("en-gb", "Female1", SHORT).speech.samples, text, "en")
    assert (words.source, words.note, words.words) == ("recogniser", note, ())
    assert words.phones


@pytest.mark.models
def test_a_silent_voice_has_no_words(hearing: Hearing) -> None:
    assert words_in(hearing, np.zeros(32_000, np.float32), "Hello", "en").phones == ()


@pytest.mark.parametrize(
    ("ipa", "tokens"),
    [
        ("aɪ", ["aɪ"]),
        ("tʃ", ["t͡ʃ"]),
        ("iː", ["i"]),
        ("əʊ", ["oʊ"]),
        ("ɪɹ", ["ɪ", "ɹ"]),
        ("ɡ", ["ɡ"]),
        ("ɑ̃", ["ɑ"]),
        ("", []),
        ("7", []),
    ],
)
def test_phonemes_are_spelled_in_the_recognisers_tokens(ipa: str, tokens: list[str]) -> None:
    assert [TOKENS[number] for number in spell(ipa)] == tokens


def test_a_stop_begins_with_its_closure() -> None:
    made = speak("A papa.", "en-gb", "Male1")
    inner = [phone for phone in made.phones if phone.ipa == "p"][1]
    level = np.square(made.samples)
    silent = level[int((inner.start + 0.01) * 16_000) : int((inner.start + 0.03) * 16_000)]
    assert silent.mean() < 1e-4 * np.percentile(level, 95)
    assert 0.05 <= inner.end - inner.start <= 0.15


def test_long_texts_are_spoken_in_pieces() -> None:
    text = "One sentence. Another, longer one! " + "and on " * 60
    found = pieces(text)
    assert found[:2] == ["One sentence.", "Another, longer one!"]
    assert max(map(len, found)) <= 240
    assert " ".join(found).split() == text.split()
    assert pieces("  \n\t ") == []
    assert pieces("今日は。元気？") == ["今日は。", "元気？"]


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_of_the_table_is_spoken_by_praat(language: str) -> None:
    from parselmouth.praat import call

    assert call("Create SpeechSynthesizer", praat_language(language), "Male1") is not None


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("de", "German"),
        ("DE", "German"),
        ("de-AT", "German"),
        ("pt_BR", "Portuguese (Brazil)"),
        ("zh", "Chinese (Mandarin)"),
        ("cmn", "Chinese (Mandarin)"),
        ("en-GB", "English (Great Britain)"),
        ("French (France)", "French (France)"),
    ],
)
def test_languages_are_known_by_their_codes(code: str, name: str) -> None:
    assert praat_language(code) == name


@pytest.mark.parametrize("code", ["", "xx", "klingon", "-"])
def test_an_unknown_language_is_told_with_the_known_ones(code: str) -> None:
    with pytest.raises(InputError) as caught:
        praat_language(code)
    assert caught.value.code == "puppet.language"
    assert " ja," in caught.value.hint


def test_every_phoneme_that_espeak_says_here_is_in_the_table() -> None:
    signs = {
        sign
        for language in TEXTS
        for phone in known(language, "Male1").phones
        for sign in phone.ipa
        if sign.isalpha() and not 0x2B0 <= ord(sign) <= 0x2FF
    }
    assert signs - set(TABLE) <= {"ᵊ", "ᵝ"}


def test_visemes_of_simple_and_compound_phonemes() -> None:
    assert [(v.kind, share) for v, share in visemes("aɪ")] == [("vowel", 0.6), ("vowel", 0.4)]
    assert [v.kind for v, _ in visemes("tʃ")] == ["tongue", "hiss"]
    assert visemes("m")[0][0].press == 1.0
    assert visemes("")[0][0].kind == "silence"
    assert visemes("?")[0][0].jaw == 0.5  # unknown: half open
    assert visemes("kʷ")[0][0].round == 0.6
    assert [is_open_vowel(ipa) for ipa in ("ɑː", "aʊ", "ə", "ɐ", "i", "m", "")] == [
        True, True, False, False, False, False, False,
    ]  # fmt: skip


def test_neighbours_give_way_but_closures_are_whole() -> None:
    phones = [Phone(0.2, 0.4, "a"), Phone(0.4, 0.47, "m"), Phone(0.47, 0.7, "uː")]
    mouth = coarticulation(phones, np.ones(100))
    assert mouth["jaw"][30] > 0.85
    assert mouth["jaw"][43] < 0.01
    assert mouth["press"][43] == 1.0
    assert mouth["press"][30] == mouth["press"][60] == 0.0
    assert mouth["round"][44] > 0.15  # already on its way to "oo"
    assert mouth["round"][60] > 0.9
    assert mouth["jaw"][90] < 0.1


def test_teeth_are_near_each_other_in_a_short_s_between_wide_vowels() -> None:
    phones = [Phone(0.2, 0.4, "a"), Phone(0.4, 0.46, "s"), Phone(0.46, 0.7, "a")]
    mouth = coarticulation(phones, np.ones(100))
    assert mouth["jaw"][43] < 0.1
    assert mouth["fricative"][43] > 0.6
    assert mouth["jaw"][33] > 0.85
    assert mouth["fricative"][33] < 0.1


def test_a_closure_that_is_too_short_takes_its_time_from_the_silence_behind() -> None:
    phones = [Phone(0.2, 0.28, "a"), Phone(0.28, 0.31, "p"), Phone(0.31, 0.9, "")]
    press = coarticulation(phones, np.ones(100))["press"]
    assert press[25] < 0.01
    assert (press[29:33] > 0.99).all()


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.05, 0.1])
def test_a_closure_is_long_enough_for_a_frame(seconds: float) -> None:
    press = np.zeros(100)
    close_lips(press, 0.5, 0.5 + seconds)
    assert (press > 0.999).sum() >= 4
    beyond = np.zeros(10)
    close_lips(beyond, 0.5, 0.6)
    assert not beyond[:4].any()


def test_known_sounds_are_found_in_their_order() -> None:
    sounds = [TOKENS.index(token) for token in ("m", "a", "p", "a")]
    answers = np.full((60, len(TOKENS)), -9.0, np.float32)
    answers[:, BLANK] = 0
    for frame, token in ((10, "m"), (20, "a"), (30, "b"), (31, "b"), (45, "a")):
        answers[frame] = -9
        answers[frame, TOKENS.index(token)] = 0
    found = find_sounds(answers, sounds)
    assert found.frames.tolist() == [10, 20, 30, 45]
    assert found.share == 1.0  # b is heard for p
    assert find_sounds(answers[:, ::-1].copy(), sounds).share < 0.5


def test_the_same_words_are_the_same_sound_however_much_was_said_before() -> None:
    first = speak_in_subprocess("Mama may buy a map.", "en-gb", "Male1", 175)
    again = speak_in_subprocess("Mama may buy a map.", "en-gb", "Male1", 175)
    assert first.phones == again.phones
    assert (first.samples == again.samples).all()
    assert "".join(phone.ipa for phone in first.phones if phone.ipa).startswith("m")
