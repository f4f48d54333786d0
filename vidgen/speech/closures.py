"""Hear when the lips are pressed together (p, b, m): a small trained classifier, no rules.

81 features (8 broad bands and voicing at 9 moments within ±120 ms, free of the speaker's and the
microphone's colour), 8 hidden units, one output: 665 coefficients in `closures.json`. They were
trained by `benchmarks/train_closures.py` on eSpeak voices of six languages only, so on no
recording of anybody; held-out speakers and languages, and what it reaches there, stand in
`docs/performance.md`. The cues it is left to find: silence and a burst without much above 3 kHz,
the murmur's missing middle, second formants that fall towards the closure.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Final

import numpy as np

from vidgen.speech.curves import Array, smooth
from vidgen.speech.features import SpeechFeatures
from vidgen.work import Floats

OFFSETS: Final = (-12, -8, -5, -3, 0, 3, 5, 8, 12)  # frames of 10 ms
EDGES: Final = (0, 4, 8, 12, 16, 20, 24, 30, 40)  # of the 40 mel bands, joined to 8
DEEPEST: Final = -65.0  # dB under the loud frames
NEAR: Final = 0.02  # of smoothed speech: where somebody speaks at all
SURE: Final = (0.4, 2.0)  # log odds from which on the lips begin to close, and are closed


@dataclass(frozen=True, slots=True)
class ClosureNetwork:
    """One hidden layer of tanh units on standardised features."""

    mean: Array  # (81,)
    scale: Array  # (81,)
    hidden: Array  # (81, H)
    hidden_bias: Array  # (H,)
    output: Array  # (H,)
    output_bias: float

    def log_odds(self, features: Floats) -> Array:
        """(N, 81) → (N,)"""
        standard = (features - self.mean) / self.scale
        units = np.tanh(standard @ self.hidden + self.hidden_bias)  # (N, H)
        return np.asarray(units @ self.output + self.output_bias)


@cache
def network() -> ClosureNetwork:
    """The committed coefficients."""
    text = resources.files("vidgen.speech").joinpath("closures.json").read_text("utf-8")
    values = json.loads(text)
    bias = float(values.pop("output_bias"))
    return ClosureNetwork(
        **{name: np.array(value) for name, value in values.items()}, output_bias=bias
    )


def lip_press(sound: SpeechFeatures) -> Array:
    """How far the lips are pressed together, (N,) at 100 Hz, 0..1."""
    odds = smooth(network().log_odds(features(sound)), 1.0)
    low, high = SURE
    return np.asarray(np.clip((odds - low) / (high - low), 0, 1) * near_speech(sound))


def near_speech(sound: SpeechFeatures) -> Array:
    """1 within about 0.2 s of speech, else 0: (N,)."""
    return (smooth((sound.loud > 0.05).astype(np.float64), 10.0) > NEAR).astype(np.float64)


def features(sound: SpeechFeatures) -> Floats:
    """(N, 81) float32: for each moment of OFFSETS the 8 bands in units of 20 dB, and voicing."""
    bands = np.stack([sound.mels[:, a:b].mean(axis=1) for a, b in pairwise(EDGES)], axis=1)
    level = np.maximum(bands - np.percentile(sound.speech, 95), DEEPEST) / 20
    spoken = sound.loud > 0.05
    colour = level[spoken].mean(axis=0) if spoken.sum() > 20 else level.mean(axis=0)
    now = np.hstack([np.clip(level - colour, -2.2, 2.0), sound.voicing[:, None]])  # (N, 9)
    reach = max(OFFSETS)
    padded = np.pad(now, ((reach, reach), (0, 0)), mode="edge")
    moments = [padded[reach + offset : reach + offset + len(now)] for offset in OFFSETS]
    return np.hstack(moments).astype(np.float32)
