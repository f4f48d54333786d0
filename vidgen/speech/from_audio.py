"""The mouth by what is heard alone, when nobody knows the words (PUPPET (b)10).

Opening by loudness and the first formant, rounding and spreading by the second, closures by the
trained classifier. Everything is scaled by the speaker's own percentiles.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vidgen.speech.closures import lip_press
from vidgen.speech.coarticulation import close_lips
from vidgen.speech.curves import RATE, Array, runs, smooth
from vidgen.speech.features import SpeechFeatures

ATTACK, RELEASE = 25.0, 50.0  # milliseconds in which the jaw goes 63 % of its way
AHEAD: Final = 0.030  # seconds by which that would make the mouth late
CLOSED: Final = (0.02, 0.30)  # seconds: shorter and longer closures are none


def mouth_from_audio(sound: SpeechFeatures, formants: Array) -> dict[str, Array]:
    """The curves jaw, round, spread, press, fricative, tongue, each (N,) and 0..1, by a voice and
    its formants (N, 3), Hz."""
    voiced = smooth(sound.voicing, 1.0) * sound.loud
    f2 = formants[:, 1]
    sure = (sound.f0 > 0) & (sound.loud > 0.3)
    low2, middle2, high2 = _percentiles(f2, sure, (8, 45, 92))
    rounded = np.clip((middle2 - f2) / (middle2 - low2 + 1), 0, 1)
    spread = np.clip((f2 - middle2) / (high2 - middle2 + 1), 0, 1)
    press, opened = _closures(sound), opening(sound, formants[:, 0])
    return {
        "jaw": opened * (1 - press),
        "chin": opened,
        "round": smooth(rounded * voiced, 3.0),
        "spread": smooth(spread * voiced, 3.0),
        "press": press,
        "fricative": smooth(_hiss(sound), 1.5) * (1 - press),
        "tongue": np.zeros(len(f2)),
    }


def opening(sound: SpeechFeatures, f1: Array) -> Array:
    """How far the jaw is open, 0..1, by loudness and the first formant in Hz; no closures. (N,)"""
    voiced = sound.f0 > 0
    low, high = _percentiles(f1, voiced & (sound.loud > 0.3), (10, 90))
    share = np.clip((f1 - low) / (high - low + 1), 0, 1)
    return _to_own_range(_jaw_motion(sound.loud * np.where(voiced, 0.38 + 0.62 * share, 0.18)))


def _percentiles(values: Array, where: NDArray[np.bool_], shares: tuple[int, ...]) -> list[float]:
    chosen = values[where] if where.sum() > 10 else values
    return [float(value) for value in np.percentile(chosen, shares)]


def _closures(sound: SpeechFeatures) -> Array:
    """What the classifier hears, as whole movements of the lips."""
    heard = lip_press(sound)
    press = np.zeros(len(heard))
    for first, last in runs(heard > 0.35):
        seconds = (last - first) / RATE
        if CLOSED[0] <= seconds <= CLOSED[1]:
            sure = min(1.0, 1.15 * float(heard[first:last].max()))
            close_lips(press, first / RATE, last / RATE, sure)
    return press


def _hiss(sound: SpeechFeatures) -> Array:
    """s, sh, f and the like: more above 3 kHz than below 400 Hz."""
    more = np.clip((sound.high - sound.low - 1.5) / 3, 0, 1)
    strong = sound.high > max(-60.0, float(np.percentile(sound.high, 95)) - 30)
    return np.asarray(more * strong * (sound.centroid > 2500) * (sound.loud > 0))


def _jaw_motion(jaw: Array) -> Array:
    """As a jaw moves: quickly open, slowly closed, and not late for that."""
    target = smooth(jaw, 1.5)
    up, down = 1 - np.exp(-10 / ATTACK), 1 - np.exp(-10 / RELEASE)
    now, slow = 0.0, []
    for value in target.tolist():
        now += (up if value > now else down) * (value - now)
        slow.append(now)
    steps = min(round(AHEAD * RATE), len(slow) - 1)
    return np.array(slow[steps:] + slow[-1:] * steps)


def _to_own_range(jaw: Array) -> Array:
    """0..1, 1 being as wide as this speaker opens in his widest twentieth of the time."""
    top = float(np.percentile(jaw[jaw > 0.05], 93)) if (jaw > 0.05).any() else 0.0
    return np.asarray(np.clip(jaw / top, 0, 1)) if top > 0.02 else np.zeros(len(jaw))
