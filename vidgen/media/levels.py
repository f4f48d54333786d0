"""How loud a voice is from moment to moment, and when that is nobody speaking.

The one measure of silence. Loudness as people hear it (LUFS) and true peaks are `loudness`'s.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vidgen.work import Floats

WINDOW_SECONDS: Final = 0.05
AUDIBLE: Final = -60.0  # dB RMS of the loudest window: from here on nothing is called silent
NOTHING: Final = -84.0  # dB: below are only the roundings of 16 bits
STEADY: Final = 6.0  # dB between loud and quiet windows; speech has 20 and more, noise 1 or 2


def window_levels(samples: Floats, rate: int) -> Floats:
    """RMS of each whole window of 50 ms, the mean taken out (a recorder's DC is no voice)."""
    width = max(1, int(rate * WINDOW_SECONDS))
    windows = samples[: len(samples) // width * width].reshape(-1, width)
    mean = windows.mean(1)
    power = np.einsum("ij,ij->i", windows, windows) / np.float32(width) - mean * mean
    levels: Floats = np.sqrt(np.maximum(power, 0))
    return levels


def decibels(levels: Floats) -> NDArray[np.float64]:
    """Amplitudes as dB of full scale, -120 at least."""
    return np.asarray(20 * np.log10(np.maximum(levels, 1e-6)), np.float64)


def is_steady(levels: NDArray[Any]) -> bool:
    """Whether windows of these dB are all about as loud: a hum, a hiss, nothing; no speech."""
    if not len(levels):
        return True
    quiet, loud = np.percentile(levels, (10, 95))
    return bool(loud - quiet < STEADY)


def is_silent(levels: NDArray[Any]) -> bool:
    """Whether nobody speaks in windows of these dB.

    A quiet recording may be far below what is heard at once (floats keep a voice at -70 dB whole);
    it differs from a microphone's noise by going up and down.
    """
    loudest = float(levels.max()) if len(levels) else -np.inf
    if loudest >= AUDIBLE:
        return False
    return loudest < NOTHING or is_steady(levels)
