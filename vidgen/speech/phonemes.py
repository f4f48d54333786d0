"""Which phoneme of known words is said when: spelled by eSpeak, found in the recogniser's answers.

Answers no phones, and the reason, when the words and the voice do not belong together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from vidgen.speech.align import find_sounds, spell
from vidgen.speech.espeak import EspeakSpeech, EspeakWord, Phone, speak_in_subprocess
from vidgen.speech.features import SpeechFeatures
from vidgen.speech.languages import praat_language
from vidgen.speech.spikes import Spike, find_spikes, time_phones
from vidgen.speech.tokens import TOKENS
from vidgen.work import Floats

MOST_PER_SECOND: Final = 45  # characters; more cannot be said
# Of the words' sounds that must be heard where they are put: right words .85-1.0 (clean, 5 dB of
# noise, readers; eSpeak in nine languages from .61, which is Mandarin, on), other words .16-.55
LEAST_FOUND: Final = 0.58
MOST_HEARD: Final = 1.4  # sounds heard for each that the words have: else they are but a part
USUAL_RATE: Final = 175  # words per minute

Source = Literal["sound", "text", "recogniser"]


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word as it is written, in the voice's time, seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class TimedPhones:
    """The phones in the voice's time, and who knew them.

    `words` are the words they belong to, when those are known. `note` is the code of a sentence
    that a person should read, or "": why the words were not used.
    """

    phones: tuple[Phone, ...]
    note: str = ""
    source: Source = "text"
    words: tuple[TimedWord, ...] = ()


# Finds the phones of a voice, by its words or without: from the voice (mono, 16 kHz), what is heard
# in it, its words (may be ""), and their language. Raises InputError for a language unknown here.
PhonemeSource = Callable[[Floats, SpeechFeatures, str, str], TimedPhones]


def align_words(answers: Floats, sound: SpeechFeatures, text: str, language: str) -> TimedPhones:
    """The phones of `text` where the voice says them, by `answers` (T, 191), log probabilities.

    Raises InputError for an unknown language.
    """
    praat_language(language)  # an unknown language is the person's mistake, whatever else is wrong
    if len(text) > MOST_PER_SECOND * sound.seconds + 20:
        return TimedPhones((), "puppet.text_misfit")
    spoken = speak_in_subprocess(text, language, "Female1", USUAL_RATE)
    said = [(token, phone) for phone in spoken.phones for token in spell(phone.ipa)]
    if not said:
        return TimedPhones((), "puppet.text_unspoken")
    sounds = [token for token, _ in said]
    if len(sounds) >= len(answers) or len(find_spikes(answers)) > MOST_HEARD * len(sounds):
        return TimedPhones((), "puppet.text_misfit")
    found = find_sounds(answers, sounds)
    if found.share < LEAST_FOUND:
        return TimedPhones((), "puppet.text_misfit")
    spikes = [Spike(int(f), TOKENS[token]) for f, token in zip(found.frames, sounds, strict=True)]
    phones = time_phones(spikes, sound)
    return TimedPhones(phones, words=tuple(_words(spoken, [phone for _, phone in said], phones)))


def _words(
    spoken: EspeakSpeech, said: Sequence[Phone], phones: Sequence[Phone]
) -> Iterator[TimedWord]:
    """The words in the real voice's time: `said` are eSpeak's phones, one for each of `phones`
    that is no silence."""
    placed = [phone for phone in phones if phone.ipa]
    for word in spoken.words:
        inside = [real for own, real in zip(said, placed, strict=True) if _holds(word, own)]
        if inside:
            yield TimedWord(inside[0].start, inside[-1].end, word.text)


def _holds(word: EspeakWord, phone: Phone) -> bool:
    """By the phone's end: a stop begins with its closure, which may lie before the word."""
    return word.start < phone.end <= word.end + 1e-3
