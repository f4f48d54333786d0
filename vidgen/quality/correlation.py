"""How well an opening mouth follows a sound: the loudness curve, correlation and lag.

Pure numbers: where the opening was measured is `tracking`'s business, what is good enough
`judge`'s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vidgen.work import Floats

Array = NDArray[np.float64]
STEP: Final = 0.005  # seconds between the envelope's samples
WINDOW: Final = 0.025  # seconds
BAND: Final = (60.0, 8000.0)  # Hz
RANGE: Final = 32.0  # dB below the loud moments at which speech ends
LAGS: Final = 0.25  # seconds searched to either side


@dataclass(frozen=True, slots=True)
class LoudnessEnvelope:
    """Loudness in dB every 5 ms, clipped `RANGE` below its 95th percentile."""

    decibels: Array  # (N,)
    start: float = 0.0  # seconds of the first

    def at(self, times: Array) -> Array:
        """The loudness at `times`, seconds."""
        return np.interp(times - self.start, np.arange(len(self.decibels)) * STEP, self.decibels)

    def backwards(self) -> "LoudnessEnvelope":
        return LoudnessEnvelope(self.decibels[::-1], self.start)

    def shift(self, seconds: float) -> "LoudnessEnvelope":
        """The same loudness, `seconds` later."""
        return LoudnessEnvelope(self.decibels, self.start + seconds)

    @property
    def deviation(self) -> float:
        """Standard deviation, dB: near 0 nothing can be followed."""
        return float(self.decibels.std())

    def pauses(self, least: float) -> list[tuple[float, float]]:
        """Start and end in seconds of each silence of at least `least` seconds."""
        quiet = self.decibels <= self.decibels.min() + 0.5
        edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
        spans = [(self.start + a * STEP, self.start + b * STEP) for a, b in edges.reshape(-1, 2)]
        return [(start, end) for start, end in spans if end - start >= least]


def envelope(samples: Floats, rate: int) -> LoudnessEnvelope:
    """The loudness of 60–8000 Hz in windows of 25 ms every 5 ms."""
    if len(samples) < 0.05 * rate:
        return LoudnessEnvelope(np.full(2, -90.0))
    filtered = _band(samples, rate, BAND[0], min(BAND[1], 0.45 * rate))
    power = np.concatenate([[0.0], np.cumsum(np.square(filtered))])
    centres = np.arange(int(len(samples) / rate / STEP) + 1) * STEP * rate
    low = np.clip(centres - WINDOW / 2 * rate, 0, len(samples)).astype(int)
    high = np.clip(centres + WINDOW / 2 * rate, 0, len(samples)).astype(int)
    mean = (power[high] - power[low]) / np.maximum(high - low, 1)
    decibels = 10 * np.log10(np.maximum(mean, 0) + 1e-9)
    return LoudnessEnvelope(np.maximum(decibels, np.percentile(decibels, 95) - RANGE))


def _band(samples: Floats, rate: int, low: float, high: float) -> Array:
    """`samples` (N,) through a Butterworth band-pass of second order, forwards and backwards.

    By its squared magnitude over the spectrum, for SciPy's filters cost half a second to import.
    """
    size = len(samples) + rate // 10  # silence behind: a spectrum's end meets its beginning
    hertz = np.fft.rfftfreq(size, 1 / rate)
    off = (hertz**2 - low * high) / np.maximum(hertz, 1e-9) / (high - low)
    passed = np.fft.rfft(samples, size) / (1 + off**4)
    return np.fft.irfft(passed, size)[: len(samples)]


def correlation(opening: Array, times: Array, voice: LoudnessEnvelope, lag: float = 0.0) -> float:
    """Pearson's r of the opening with the loudness `lag` seconds before; 0 when one is flat."""
    loudness = voice.at(times - lag)
    if opening.std() < 1e-9 or loudness.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(opening, loudness)[0, 1])


def correlate(opening: Array, times: Array, voice: LoudnessEnvelope) -> tuple[float, float]:
    """r at zero lag, and the lag in seconds of the best r (positive: the mouth is late)."""
    lag = best_lag(lambda lag: correlation(opening, times, voice, lag))
    return correlation(opening, times, voice), lag


def best_lag(at: Callable[[float], float]) -> float:
    """The lag in seconds, within ±0.25, at which `at(lag)` is highest: steps of 5 ms, then the
    top of the parabola through three of them."""
    lags = np.arange(-LAGS, LAGS + STEP / 2, STEP)
    found = np.array([at(float(lag)) for lag in lags])
    best = int(found.argmax())
    if not 0 < best < len(lags) - 1:
        return float(lags[best])
    left, middle, right = found[best - 1 : best + 2]
    bend = left - 2 * middle + right
    return float(lags[best]) + (STEP * 0.5 * float((left - right) / bend) if bend < 0 else 0.0)
