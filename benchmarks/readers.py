"""Real readers' sounds in time, by a recogniser that the lips know nothing of.

    python -m benchmarks.readers FOLDER RECORDING WORDS.txt [RECORDING WORDS.txt …]

writes each recording as NAME.wav, NAME.json and NAME.txt, which `benchmarks.lips FOLDER --voices
NAME --ways sound,words` films and judges. The words are aligned by the package `pocketsphinx`
(English; its model comes in its wheel), not by vidgen's recogniser, which moves the lips.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.natural import Voice
from vidgen.media.audio import load_speech
from vidgen.speech.espeak import Phone
from vidgen.speech.features import at_16k
from vidgen.speech.synthesis import join_silences
from vidgen.work import Floats

STEP: Final = 0.01  # seconds of a frame of pocketsphinx
ARPABET: Final = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "B": "b", "CH": "tʃ",
    "D": "d", "DH": "ð", "EH": "ɛ", "ER": "ɝ", "EY": "eɪ", "F": "f", "G": "ɡ", "HH": "h",
    "IH": "ɪ", "IY": "i", "JH": "dʒ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ",
    "OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ",
    "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip


def read(recording: Path, words: str) -> Voice:
    """The recording with its phones; what pocketsphinx cannot align ends the program."""
    speech = load_speech(recording, max_seconds=120)
    phones = list(_align(at_16k(speech.samples, speech.rate), words))
    phones.append(Phone(phones[-1].end, speech.seconds, ""))
    return Voice(recording.stem, speech.samples, speech.rate, tuple(join_silences(phones)), words)


def _align(voice: Floats, words: str) -> Iterator[Phone]:
    """The phones of `words` in `voice`, mono at 16 kHz, silences between them."""
    from pocketsphinx import Decoder

    decoder = Decoder(lm=None, loglevel="FATAL")
    plain = "".join(sign for sign in words.replace("-", " ") if sign.isalpha() or sign in " '")
    decoder.set_align_text(plain.lower())
    _hear(decoder, voice)
    if decoder.hyp() is None:
        sys.exit("These words are not what the recording says.")
    decoder.set_alignment()  # from words to phones
    _hear(decoder, voice)
    for word in decoder.get_alignment():
        for phone in word:
            end = phone.start + phone.duration
            yield Phone(phone.start * STEP, end * STEP, ARPABET.get(phone.name, ""))


def _hear(decoder: Any, voice: Floats) -> None:
    decoder.start_utt()
    decoder.process_raw((np.clip(voice, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
    try:
        decoder.end_utt()
    except RuntimeError:
        sys.exit("pocketsphinx finds no way through this recording with these words.")


def main(folder: str, *pairs: str) -> None:
    for recording, words in zip(pairs[::2], pairs[1::2], strict=True):
        read(Path(recording), Path(words).read_text("utf-8")).write(Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
