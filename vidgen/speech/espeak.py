"""Words spoken by the eSpeak inside Praat: the sound and when each phoneme comes in it.

Only speaks; what a phoneme does to the mouth is `visemes`' business, where it falls in the real
voice that of `align`. eSpeak keeps a clock through a process: what it says again differs by a
millisecond or so. `speak_in_subprocess` therefore asks a process of its own, which always says
the same.
"""

import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vidgen.speech.features import SAMPLE_RATE
from vidgen.speech.languages import praat_language
from vidgen.work import Floats

STOPS: Final = frozenset("pbtdkgɡqcɟʈɖʔ")
AFFRICATES: Final = ("ts", "dz", "tʃ", "dʒ", "tɕ", "dʑ", "tʂ", "dʐ", "pf")
LONGEST_CLOSURE: Final = 0.14  # seconds
SILENT: Final = -32.0  # dB under the sentence's loud frames
LONGEST_PIECE: Final = 240  # characters spoken at once


@dataclass(frozen=True, slots=True)
class Phone:
    """One phoneme, or a silence with ipa "". A stop begins with its closure, not its burst."""

    start: float  # seconds
    end: float
    ipa: str


@dataclass(frozen=True, slots=True)
class EspeakWord:
    """What eSpeak takes for a word, as it is written, seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class EspeakSpeech:
    """A text as eSpeak says it, at 16 kHz; the phones cover it without gaps."""

    samples: Floats
    phones: tuple[Phone, ...]
    words: tuple[EspeakWord, ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def speak_in_subprocess(
    text: str,
    language: str,
    voice: str,
    words_per_minute: int,
    word_gap: float = 0.04,
    pitch: float = 1.0,
) -> EspeakSpeech:
    """`speak` in a process of its own: the same words are the same sound, run after run.

    A film that is taken up again must have the lips that it began with.
    """
    asked = json.dumps([text, language, voice, words_per_minute, word_gap, pitch]).encode()
    command = [sys.executable, "-m", "vidgen.speech.espeak"]
    done = subprocess.run(command, input=asked, stdout=subprocess.PIPE, check=True)  # noqa: S603  # ourselves
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as told:
        times, ipa = told["times"], told["ipa"]
        phones = tuple(
            Phone(float(start), float(end), str(sign))
            for (start, end), sign in zip(times, ipa, strict=True)
        )
        words = tuple(
            EspeakWord(float(start), float(end), str(text))
            for (start, end), text in zip(told["spans"], told["words"], strict=True)
        )
        return EspeakSpeech(told["samples"], phones, words)


def _answer() -> None:
    """What the process of `speak_in_subprocess` does."""
    made = speak(*json.load(sys.stdin))
    times = np.array([(phone.start, phone.end) for phone in made.phones]).reshape(-1, 2)
    ipa = np.array([phone.ipa for phone in made.phones], dtype=np.str_)
    spans = np.array([(word.start, word.end) for word in made.words]).reshape(-1, 2)
    words = np.array([word.text for word in made.words], dtype=np.str_)
    np.savez(
        sys.stdout.buffer, samples=made.samples, times=times, ipa=ipa, spans=spans, words=words
    )


def speak(
    text: str,
    language: str,
    voice: str = "Male1",
    words_per_minute: int = 175,
    word_gap: float = 0.04,
    pitch: float = 1.0,
) -> EspeakSpeech:
    """`text` spoken in pieces of a sentence or so. `pitch` 0.5–2. Raises InputError for an
    unknown language; what eSpeak cannot read is left out."""
    name = praat_language(language)
    samples: list[Floats] = []
    phones: list[Phone] = []
    words: list[EspeakWord] = []
    offset = 0.0
    for piece in pieces(text):
        sound, labels, found = _speak_piece(piece, name, voice, words_per_minute, word_gap, pitch)
        samples.append(sound)
        phones += [Phone(p.start + offset, p.end + offset, p.ipa) for p in labels]
        words += [EspeakWord(w.start + offset, w.end + offset, w.text) for w in found]
        offset += len(sound) / SAMPLE_RATE
    whole = np.concatenate(samples) if samples else np.zeros(0, np.float32)
    return EspeakSpeech(whole, tuple(phones), tuple(words))


def pieces(text: str) -> list[str]:
    """`text` cut after sentences, long ones also after commas or words."""
    plain = " ".join(re.sub(r"[^\w\s.,;:!?'’\-…。、，！？；：]", " ", text).split())
    sentences = re.split(r"(?<=[.!?;:…])\s+|(?<=[。！？；：])", plain)
    found: list[str] = []
    for sentence in sentences:
        while len(sentence) > LONGEST_PIECE:
            cut = max(sentence.rfind(mark, 0, LONGEST_PIECE) for mark in (",", "、", "，", " "))
            cut = cut + 1 if cut > 0 else LONGEST_PIECE
            found.append(sentence[:cut])
            sentence = sentence[cut:].strip()  # noqa: PLW2901  # the rest is cut again
        found.append(sentence)
    return [piece for piece in found if re.search(r"\w", piece)]


def _speak_piece(
    text: str, name: str, voice: str, words_per_minute: int, word_gap: float, pitch: float
) -> tuple[Floats, list[Phone], list[EspeakWord]]:
    """One piece: samples at 16 kHz, its phones from 0 s to its end, and its words."""
    from parselmouth import PraatError
    from parselmouth.praat import call

    synthesizer = call("Create SpeechSynthesizer", name, voice)
    call(
        synthesizer,
        "Speech output settings",
        SAMPLE_RATE,
        word_gap,
        pitch,
        1.0,
        words_per_minute,
        "IPA",
    )
    try:
        grid, sound = call(synthesizer, "To Sound", text, "yes")
    except PraatError:  # nothing to say in it, such as a lone sign
        return np.zeros(0, np.float32), [], []
    samples = sound.values[0].astype(np.float32)
    return samples, _with_closures(_labels(grid, len(samples) / SAMPLE_RATE), samples), _words(grid)


def _labels(grid: Any, seconds: float) -> list[Phone]:
    """The intervals of the last tier; Praat's gaps in it become silences."""
    from parselmouth.praat import call

    tier = call(grid, "Get number of tiers")
    phones: list[Phone] = []
    for index in range(1, call(grid, "Get number of intervals", tier) + 1):
        label = call(grid, "Get label of interval", tier, index)
        start = call(grid, "Get start time of interval", tier, index)
        end = min(seconds, call(grid, "Get end time of interval", tier, index))
        if end > start:
            phones.append(Phone(start, end, "" if label.startswith("(") else label.strip()))
    return phones


def _words(grid: Any) -> list[EspeakWord]:
    """The intervals of the tier above the last: words, and signs read as words."""
    from parselmouth.praat import call

    tier = call(grid, "Get number of tiers") - 1
    words: list[EspeakWord] = []
    for index in range(1, call(grid, "Get number of intervals", tier) + 1):
        text = call(grid, "Get label of interval", tier, index).strip()
        if text:
            start = call(grid, "Get start time of interval", tier, index)
            end = call(grid, "Get end time of interval", tier, index)
            words.append(EspeakWord(start, end, text))
    return words


def _with_closures(phones: list[Phone], samples: Floats) -> list[Phone]:
    """Stops moved to begin with their closure: eSpeak dates them at the burst, and leaves the
    silence before it to the phoneme before."""
    level = _level(samples)
    moved: list[Phone] = []
    for phone in phones:
        if is_stop(phone.ipa) and moved:
            start = _closure(level, phone.start, max(moved[-1].start + 0.02, 0))
            before = moved.pop()
            moved += [Phone(before.start, start, before.ipa), Phone(start, phone.end, phone.ipa)]
        else:
            moved.append(phone)
    return [phone for phone in moved if phone.end > phone.start + 1e-6]


def is_stop(ipa: str) -> bool:
    return ipa[:1] in STOPS or ipa.startswith(AFFRICATES)


def _level(samples: Floats) -> Floats:
    """dB of 5 ms steps, relative to the loud ones."""
    step = SAMPLE_RATE // 200
    framed = samples[: len(samples) // step * step].reshape(-1, step)
    level = 10 * np.log10((framed**2).mean(axis=1) + 1e-9)
    return np.asarray(level - np.percentile(level, 95) if len(level) else level, np.float32)


def _closure(level: Floats, burst: float, earliest: float) -> float:
    """Where the silence that ends at `burst` begins; `burst` itself when there is none."""
    last = min(int(burst * 200), len(level)) - 1
    first = max(int(earliest * 200), last - int(LONGEST_CLOSURE * 200))
    index = last
    while index > first and (level[index] < SILENT or index == last):
        index -= 1
    begin = (index + 1) / 200
    return begin if burst - begin >= 0.015 else burst


if __name__ == "__main__":
    _answer()
