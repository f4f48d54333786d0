"""Find the phones of a voice with the recogniser: by its words where they fit, else as heard."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from vidgen.speech.curves import Array
from vidgen.speech.espeak import Phone
from vidgen.speech.features import SpeechFeatures, at_16k, find_formants, listen
from vidgen.speech.phonemes import PhonemeSource, TimedPhones, align_words
from vidgen.speech.recognizer import OnShare, open_recognizer
from vidgen.speech.spikes import hear_phones
from vidgen.work import Floats, Speech

LISTENING: Final = 0.2  # of the time that a voice takes: its pitch and loudness


@dataclass(frozen=True, slots=True)
class Hearing:
    """A `PhonemeSource` for any voice. Raises SetupError when `weights`, the recogniser's file, is
    another file. `on_share` hears how much of the voice is done, 0–1."""

    weights: Path
    on_share: OnShare = field(default=lambda _: None, compare=False)

    def __call__(
        self, voice: Floats, sound: SpeechFeatures, text: str, language: str
    ) -> TimedPhones:
        answers = open_recognizer(self.weights)(voice, self.on_share)
        words = TimedPhones(())
        if text.strip():
            words = align_words(answers, sound, text, language)
            if words.phones:
                return words
        return TimedPhones(hear_phones(answers, sound), note=words.note, source="recogniser")

    def phones(self, samples: Floats, rate: int) -> tuple[Phone, ...]:
        """The sounds of a voice at any rate whose words nobody knows."""
        sound = listen(samples, rate, tones=False)
        return self(at_16k(samples, rate), sound, "", "").phones


@dataclass(frozen=True, slots=True)
class HeardVoice:
    """All that a voice tells about the mouth that speaks it."""

    sound: SpeechFeatures
    words: TimedPhones
    formants: Array | None = None  # (N, 3) Hz, where there are no phones to go by


def hear_voice(
    speech: Speech,
    language: str,
    hearing: PhonemeSource | None,
    on_share: OnShare = lambda _: None,
) -> HeardVoice:
    """Its sound, and the phones that `hearing` finds, if any. Raises what `hearing` does.

    `on_share` hears how much of it is done, 0–1.
    """
    on_share(0.0)
    sound = listen(speech.samples, speech.rate)
    on_share(LISTENING)
    if isinstance(hearing, Hearing):
        hearing = replace(hearing, on_share=lambda share: on_share(_after_listening(share)))
    if hearing is None:  # words alone do not tell when they are said
        words = TimedPhones((), "puppet.text_unheard" * bool(speech.text.strip()))
    else:
        words = hearing(at_16k(speech.samples, speech.rate), sound, speech.text, language)
    if words.phones:
        return HeardVoice(sound, words)
    return HeardVoice(sound, words, find_formants(speech.samples, speech.rate, sound.f0))


def _after_listening(share: float) -> float:
    return LISTENING + (1 - LISTENING) * share


Caller = Callable[[Callable[[OnShare], HeardVoice], OnShare], HeardVoice]


class HearAhead:
    """`hear_voice` for one voice, begun before it is asked for: a `Network` to `prefetch`.

    Safe to call from several threads; another voice than `speech` is heard when it is asked for.
    `call` makes the calls that work it out, and hands on how much is done: in another process,
    perhaps. Who asks meanwhile hears the rest of that.
    """

    def __init__(
        self,
        speech: Speech,
        language: str,
        hearing: PhonemeSource | None,
        call: Caller = lambda work, on_share: work(on_share),
    ) -> None:
        self._asked = speech, language, hearing
        self._call = call
        self._heard: HeardVoice | None = None
        self._on_share: OnShare | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        self(*self._asked)

    def release(self) -> None:
        self._heard = None

    def __call__(
        self,
        speech: Speech,
        language: str,
        hearing: PhonemeSource | None,
        on_share: OnShare | None = None,
    ) -> HeardVoice:
        if speech is not self._asked[0]:
            return hear_voice(speech, language, hearing, on_share or self._tell)
        self._on_share = on_share or self._on_share
        with self._lock:
            if self._heard is None:
                work = partial(hear_voice, speech, language, hearing)
                self._heard = self._call(work, self._tell)
            return self._heard

    def _tell(self, share: float) -> None:
        if self._on_share:
            self._on_share(share)
