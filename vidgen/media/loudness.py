"""How loud a voice is, and bringing it to a loudness without going over the peak limit.

LUFS as in ITU-R BS.1770 (by pyloudnorm), true peak by 4-fold oversampling as in its annex 2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite, log10
from typing import Final

import numpy as np

from vidgen.work import Floats

PEAK_LIMIT: Final = -1.0  # dBTP
MOST_LIMITING: Final = 6.0  # dB; more of it is heard as distortion
_OVERSAMPLING: Final = 4
_MARGIN: Final = 64  # samples on both sides of a block: more than resample_poly's filter reaches
_BLOCK_SECONDS: Final = 10
_LOOK_AHEAD_SECONDS: Final = 0.003


@dataclass(frozen=True, slots=True)
class Levels:
    """What a voice measures: LUFS and dBTP, -inf for silence."""

    lufs: float
    true_peak: float


def measure(samples: Floats, rate: int) -> Levels:
    return Levels(loudness(samples, rate), _decibels(true_peak(samples, rate)))


def loudness(samples: Floats, rate: int) -> float:
    """Integrated loudness, LUFS; -inf for silence and for less than a gating block (0.4 s)."""
    if len(samples) <= 0.4 * rate:
        return -inf
    lufs = _integrated(samples, rate)
    peak = float(np.abs(samples).max())
    if isfinite(lufs) or not peak:
        return lufs
    # All of it is under the absolute gate of -70 LUFS, as a voice in a float file may be.
    return _integrated(samples / np.float32(peak), rate) + _decibels(peak)


def _integrated(samples: Floats, rate: int) -> float:
    import pyloudnorm

    with np.errstate(divide="ignore", invalid="ignore"):
        lufs = float(pyloudnorm.Meter(rate).integrated_loudness(samples))
    return lufs if isfinite(lufs) else -inf


def true_peak(samples: Floats, rate: int) -> float:
    """The largest absolute value between samples too, full scale 1."""
    return max((float(block.max()) for _, block in _envelope(samples, rate)), default=0.0)


def to_loudness(samples: Floats, rate: int, target: float) -> Floats:
    """The samples brought to `target` LUFS, as near as the peak limit allows.

    Peaks over -1 dBTP go through a look-ahead limiter, 6 dB at most; a target that would need
    more is not reached. Silence and clips under 0.4 s have no loudness: only the limit is kept.
    """
    now = measure(samples, rate)
    if not isfinite(now.lufs):
        return limit(samples, rate)
    most = PEAK_LIMIT + MOST_LIMITING - now.true_peak
    gain = min(target - now.lufs, most)
    louder = limit(samples * _factor(gain), rate)
    # Limiting takes some loudness away; one correction brings it within 0.1 LU.
    lost = target - loudness(louder, rate)
    if lost > 0.05 and gain < most:
        louder = limit(samples * _factor(min(gain + lost, most)), rate)
    return louder


def limit(samples: Floats, rate: int) -> Floats:
    """The same array when nothing is over -1 dBTP, else with its peaks softly turned down.

    The gain is the least one needed within 3 ms, smoothed by a window of the same length: it is
    low enough before the peak comes, and never jumps.
    """
    ceiling = _factor(PEAK_LIMIT)
    peak = true_peak(samples, rate)
    if peak <= ceiling:
        return samples
    from scipy.ndimage import convolve1d, minimum_filter1d

    width = max(3, int(rate * _LOOK_AHEAD_SECONDS) | 1)
    window = np.hanning(width + 2)[1:-1]
    gain = np.ones(len(samples), np.float32)
    for start, block in _envelope(samples, rate):
        gain[start : start + len(block)] = np.minimum(1, ceiling / np.maximum(block, 1e-9))
    gain = minimum_filter1d(gain, width, mode="nearest")
    gain = convolve1d(gain, window / window.sum(), mode="nearest")
    quieter: Floats = samples * gain.astype(np.float32)
    # Changing the gain moves the peaks between samples by a hair: the rest is plain gain.
    over = true_peak(quieter, rate) / float(ceiling)
    return quieter / np.float32(over) if over > 1 else quieter


def _envelope(samples: Floats, rate: int) -> Iterator[tuple[int, Floats]]:
    """Start and, per sample, the largest absolute value up to the next: (n,), block by block."""
    from scipy.signal import resample_poly

    size = _BLOCK_SECONDS * rate
    for start in range(0, len(samples), size):
        before = min(_MARGIN, start)
        part = samples[start - before : start + size + _MARGIN]
        fine = np.abs(resample_poly(part, _OVERSAMPLING, 1)).astype(np.float32)
        peaks = fine.reshape(-1, _OVERSAMPLING).max(1)
        yield start, peaks[before : before + size]


def _factor(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 20))


def _decibels(amplitude: float) -> float:
    return 20 * log10(amplitude) if amplitude > 0 else -inf
