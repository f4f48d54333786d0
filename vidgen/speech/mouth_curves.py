"""What the mouth should do, 100 times a second, from the voice: one curve per movement.

The front door of the listening side: by the words when they are known and fit the voice
(`phonemes`), by the sound alone otherwise (`from_audio`). Knows nothing of pixels; the puppet's
`motion` moves the rest of the head.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np

from vidgen.speech import from_audio
from vidgen.speech.coarticulation import coarticulation
from vidgen.speech.curves import RATE, Array, resample_curve, smooth
from vidgen.speech.features import SpeechFeatures
from vidgen.speech.hearing import HeardVoice, hear_voice
from vidgen.speech.phonemes import PhonemeSource, Source, TimedPhones
from vidgen.work import Floats, MotionOptions, Speech

MOUTH: Final = ("jaw", "chin", "round", "spread", "press", "fricative", "tongue")
CURVES: Final = (*MOUTH, "loud", "voiced", "f0")


@dataclass(frozen=True, slots=True)
class MouthCurves:
    """Curves at 100 Hz, each (N,) float32, N = ceil(seconds * 100) + 1, sample k at k / 100 s.

    All 0..1 but `f0`; no NaN ever. `jaw` is the opening of the lips and already 0 where they are
    pressed. `note` is the code of a sentence that a person should read, or "".
    """

    jaw: Floats  # 0 closed – 1 as wide as this speaker opens
    chin: Floats  # how far the jaw hangs, behind lips that may be shut over it
    round: Floats  # lips rounded, as in "o"
    spread: Floats  # lips spread, as in "ee"
    press: Floats  # lips pressed shut: p, b, m
    fricative: Floats  # teeth close, lips apart: f, s, sh
    tongue: Floats  # tongue up behind the teeth: l, n, t, d; 1: between them, th
    loud: Floats  # smoothed loudness
    voiced: Floats
    f0: Floats  # semitones around the speaker's median, 0 where unvoiced
    pauses: tuple[tuple[float, float], ...]  # seconds
    source: Source = "sound"
    note: str = ""


def mouth_curves(
    speech: Speech, look: MotionOptions, hearing: PhonemeSource | None = None
) -> MouthCurves:
    """The mouth for `speech`; `look.mouth` scales how far it moves (0: it stays shut).

    By the phones that `hearing` finds, or by the sound alone when it finds none. Raises what
    `hearing` does.
    """
    return curves_of(hear_voice(speech, look.language, hearing), look)


def curves_of(heard: HeardVoice, look: MotionOptions) -> MouthCurves:
    """`mouth_curves` of a voice that is heard already."""
    made = _assemble(_mouth(heard), heard.sound, heard.words)
    return made if look.mouth == 1.0 else _scale(made, look.mouth)


def _mouth(heard: HeardVoice) -> dict[str, Array]:
    if heard.formants is None:
        return coarticulation(heard.words.phones, smooth(heard.sound.loud, 3.0))
    return from_audio.mouth_from_audio(heard.sound, heard.formants)


def sample_curves(controls: MouthCurves, fps: Fraction, first: int, last: int) -> dict[str, Floats]:
    """The curves at the centres of frames first..last-1, each (last - first,).

    No closure falls between two frames: each is fully shut for 50 ms at least (`coarticulation`),
    longer than a frame at 24 per second. The highest of each frame, tried first, shuts the mouth
    half a frame too early and opens it too late: r with the loudness fell by .08.
    """
    return {
        name: resample_curve(getattr(controls, name), RATE, fps, first, last) for name in CURVES
    }


def _assemble(mouth: dict[str, Array], sound: SpeechFeatures, words: TimedPhones) -> MouthCurves:
    return MouthCurves(
        **{name: _curve(mouth[name]) for name in MOUTH},
        loud=_curve(smooth(sound.loud, 3.0)),
        voiced=_curve(smooth(sound.voicing, 1.0)),
        f0=_semitones(sound.f0),
        pauses=sound.pauses,
        source=words.source if words.phones else "sound",
        note=words.note,
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
