"""Find the phones of a voice with the recogniser: by its words where they fit, else as heard."""

from dataclasses import dataclass
from pathlib import Path

from vidgen.speech.features import SpeechFeatures
from vidgen.speech.phonemes import TimedPhones, align_words
from vidgen.speech.recognizer import open_recognizer
from vidgen.speech.spikes import hear_phones
from vidgen.work import Floats


@dataclass(frozen=True, slots=True)
class Hearing:
    """A `PhonemeSource` for any voice. Raises SetupError when `weights`, the recogniser's file, is
    another file."""

    weights: Path

    def __call__(
        self, voice: Floats, sound: SpeechFeatures, text: str, language: str
    ) -> TimedPhones:
        answers = open_recognizer(self.weights)(voice)
        words = TimedPhones(())
        if text.strip():
            words = align_words(answers, sound, text, language)
            if words.phones:
                return words
        return TimedPhones(hear_phones(answers, sound), note=words.note, source="recogniser")
