"""What the mouth should do, 100 times a second, from the voice: one curve per movement.

The front door of the listening side: by the words when they are known and fit the voice
(`phonemes`), by the sound alone otherwise (`heard`). Knows nothing of pixels; `motion` moves the
rest of the head.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

import numpy as np

from vidgen.speech import from_audio
from vidgen.speech.coarticulation import coarticulation
from vidgen.speech.curves import RATE, Array, resample_curve, smooth
from vidgen.speech.features import SpeechFeatures, listen
from vidgen.speech.phonemes import PhonemeSource, TimedPhones, from_words
from vidgen.work import Floats, MotionOptions, Speech

Source = Literal["sound", "text", "recogniser"]
MOUTH: Final = ("jaw", "round", "spread", "press", "fricative", "tongue")
HEARD: Final = 0.5  # how much of the opening that is heard is added to the one that is said
CURVES: Final = (*MOUTH, "loud", "voiced", "f0")


@dataclass(frozen=True, slots=True)
class MouthCurves:
    """Curves at 100 Hz, each (N,) float32, N = ceil(seconds * 100) + 1, sample k at k / 100 s.

    All 0..1 but `f0`; no NaN ever. `jaw` is the opening of the lips and already 0 where they are
    pressed. `note` is the code of a sentence that a person should read, or "".
    """

    jaw: Floats  # 0 closed – 1 as wide as this speaker opens
    round: Floats  # lips rounded, as in "o"
    spread: Floats  # lips spread, as in "ee"
    press: Floats  # lips pressed shut: p, b, m
    fricative: Floats  # teeth close, lips apart: f, s, sh
    tongue: Floats  # tongue up behind the teeth: l, n, t, d, th; only when the words are known
    loud: Floats  # smoothed loudness
    voiced: Floats
    f0: Floats  # semitones around the speaker's median, 0 where unvoiced
    pauses: tuple[tuple[float, float], ...]  # seconds
    source: Source = "sound"
    note: str = ""


def mouth_curves(
    speech: Speech, look: MotionOptions, recogniser: PhonemeSource | None = None
) -> MouthCurves:
    """The mouth for `speech`; `look.mouth` scales how far it moves (0: it stays shut).

    Words in `speech.text` go before a `recogniser`, both before the sound alone. Raises
    InputError when the words' language is one that nobody here speaks.
    """
    sound = listen(speech.samples, speech.rate)
    words, source = _words(sound, speech.text, look.language, recogniser)
    if words.phones:
        made = _assemble(_from_words(words, sound), sound, source, "")
    else:
        made = _assemble(from_audio.mouth_from_audio(sound), sound, "sound", words.note)
    return made if look.mouth == 1.0 else _scale(made, look.mouth)


def sample_curves(controls: MouthCurves, fps: Fraction, first: int, last: int) -> dict[str, Floats]:
    """The curves at the centres of frames first..last-1, each (last - first,).

    No closure falls between two frames: each is fully shut for 46 ms at least (`coarticulation`),
    longer than a frame at 24 per second. The highest of each frame, tried first, shuts the mouth
    half a frame too early and opens it too late: r with the loudness fell by .08.
    """
    return {
        name: resample_curve(getattr(controls, name), RATE, fps, first, last) for name in CURVES
    }


def _words(
    sound: SpeechFeatures, text: str, language: str, recogniser: PhonemeSource | None
) -> tuple[TimedPhones, Source]:
    """The phones and who knows them; no phones when nobody does."""
    words = from_words(sound, text, language) if text.strip() else TimedPhones(())
    if not words.phones and recogniser is not None:
        recognised = recogniser(sound)
        if recognised.phones:
            return replace(recognised, note=words.note), "recogniser"
    return words, "text"


def _from_words(words: TimedPhones, sound: SpeechFeatures) -> dict[str, Array]:
    """The mouth by what is said, wider where it is said louder, shut where nothing is heard."""
    mouth = coarticulation(words.phones, len(sound.loud))
    energy = smooth(sound.loud, 3.0)
    said = mouth["jaw"] * (0.25 + 0.85 * energy) * np.clip(energy * 6, 0, 1)
    opened = _to_top(said) + HEARD * from_audio.opening(sound) * (1 - mouth["press"])
    return mouth | {"jaw": _to_top(opened)}


def _to_top(curve: Array) -> Array:
    """`curve` over its 95th percentile, or as it is when nothing moves."""
    top = float(np.percentile(curve, 95)) if len(curve) else 0.0
    return curve / top if top > 0.02 else curve


def _assemble(
    mouth: dict[str, Array], sound: SpeechFeatures, source: Source, note: str
) -> MouthCurves:
    return MouthCurves(
        **{name: _curve(mouth[name]) for name in MOUTH},
        loud=_curve(smooth(sound.loud, 3.0)),
        voiced=_curve(smooth(sound.voicing, 1.0)),
        f0=_semitones(sound.f0),
        pauses=sound.pauses,
        source=source,
        note=note,
    )


def _semitones(f0: Array) -> Floats:
    spoken = f0 > 0
    values = np.zeros(len(f0), np.float32)
    if spoken.any():
        values[spoken] = 12 * np.log2(f0[spoken] / np.median(f0[spoken]))
    return np.clip(values, -12, 12)


def _curve(values: Array) -> Floats:
    return np.clip(np.nan_to_num(values), 0, 1).astype(np.float32)


def _scale(controls: MouthCurves, mouth: float) -> MouthCurves:
    """`mouth_curves` with every movement of the mouth scaled; the voice's own curves stay."""
    changed = {name: np.clip(getattr(controls, name) * mouth, 0, 1) for name in MOUTH}
    return replace(controls, **{name: curve.astype(np.float32) for name, curve in changed.items()})
