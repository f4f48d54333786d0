"""Which phoneme is said when in the real voice, from its words: speak them, lay them alongside.

Answers None with the reason when the words and the voice do not belong together. A recogniser that
finds phonemes without words would stand beside `from_words` as another `PhonemeSource`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from vidgen.speech.align import Alignment, Path, align
from vidgen.speech.curves import RATE
from vidgen.speech.espeak import EspeakSpeech, Phone, speak_in_subprocess
from vidgen.speech.features import SAMPLE_RATE, SpeechFeatures, listen
from vidgen.speech.languages import praat_language
from vidgen.work import Floats

MOST_PER_SECOND: Final = 45  # characters; more cannot be said
WORST_COST: Final = 0.865  # of Alignment.cost: measured right words .12–.84, other words .88–.94
SLOWEST, FASTEST = 0.4, 2.5  # speech in the voice against eSpeak's
USUAL_RATE: Final = 175  # words per minute
LIKE: Final = 0.10  # difference of the durations from which on eSpeak speaks again, at their rate
FEMALE: Final = 165.0  # Hz: speakers above are laid beside eSpeak's female voice


Source = Literal["sound", "text", "recogniser"]


@dataclass(frozen=True, slots=True)
class TimedPhones:
    """The phones in the real voice's time, and who knew them. `note` is the code of a sentence
    that a person should read, or "": why the words were not used."""

    phones: tuple[Phone, ...]
    cost: float = 1.0
    note: str = ""
    source: Source = "text"


# Finds the phones of a voice, by its words or without: from the voice (mono, 16 kHz), what is heard
# in it, its words (may be ""), and their language. Raises InputError for a language unknown here.
PhonemeSource = Callable[[Floats, SpeechFeatures, str, str], TimedPhones]


def from_words(sound: SpeechFeatures, text: str, language: str) -> TimedPhones:
    """The phones of `text` where `sound` says them, by a voice that says them too."""
    praat_language(language)  # an unknown language is the person's mistake, whatever else is wrong
    said = _talk(sound)
    if said < 0.15 or len(text) > MOST_PER_SECOND * sound.seconds + 20:
        return TimedPhones((), note="puppet.text_misfit")
    synthetic = speak_in_subprocess(text, language, _voice(sound), USUAL_RATE)
    if synthetic.seconds < 0.15:
        return TimedPhones((), note="puppet.text_unspoken")
    heard = listen(synthetic.samples, SAMPLE_RATE, tones=False)
    ratio = _talk(heard) / said
    if not SLOWEST < ratio < FASTEST:
        return TimedPhones((), note="puppet.text_misfit")
    if abs(ratio - 1) > LIKE:
        synthetic = speak_in_subprocess(text, language, _voice(sound), _rate(ratio))
        heard = listen(synthetic.samples, SAMPLE_RATE, tones=False)
    alignment = align(sound, heard)
    if alignment.cost > WORST_COST:
        return TimedPhones((), alignment.cost, "puppet.text_misfit")
    return TimedPhones(_place(synthetic, alignment, sound), alignment.cost)


def _talk(sound: SpeechFeatures) -> float:
    """Seconds in which something is said."""
    return float((sound.loud > 0.05).sum()) / RATE


def _rate(ratio: float) -> int:
    """Words a minute at which eSpeak, `ratio` times as long at its usual rate, takes as long."""
    return round(min(350.0, max(80.0, USUAL_RATE * ratio)))


def _voice(sound: SpeechFeatures) -> str:
    spoken_f0 = sound.f0[sound.f0 > 0]
    return "Female1" if len(spoken_f0) and np.median(spoken_f0) > FEMALE else "Male1"


def _place(
    synthetic: EspeakSpeech, alignment: Alignment, sound: SpeechFeatures
) -> tuple[Phone, ...]:
    """The phones at the real voice's times, in order, without overlaps."""
    bounds = np.array([phone.start for phone in synthetic.phones] + [synthetic.seconds])
    times = _arrivals(alignment.path, bounds)
    times[-1] = min(max(times[-1], times[-2]), sound.seconds)
    return tuple(
        Phone(float(start), float(end), phone.ipa)
        for phone, start, end in zip(synthetic.phones, times, times[1:], strict=False)
        if end > start
    )


def _arrivals(
    path: Path, bounds: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """When `path` reaches each of `bounds` (seconds of the other voice, ascending): seconds."""
    frames = bounds * RATE
    after = np.searchsorted(path, frames, side="left")
    before = np.clip(after - 1, 0, len(path) - 1)
    within = np.clip(after, 0, len(path) - 1)
    low, high = path[before], path[within]
    share = np.clip((frames - low) / np.maximum(high - low, 1), 0, 1)
    return np.asarray(np.minimum(before + share * (within - before), len(path)) / RATE)
