"""Small things done with curves sampled at a fixed rate: smoothing, easing, reading at frames."""

from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vidgen.work import Floats

Array = NDArray[np.float64]
RATE: Final = 100  # samples per second of every curve


def smooth(curve: Array, sigma: float) -> Array:
    """`curve` (N,) under a Gaussian of `sigma` samples, its ends held."""
    reach = max(1, int(np.ceil(3 * sigma)))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / max(sigma, 1e-6)) ** 2)
    held = np.pad(curve, reach, mode="edge")
    return np.convolve(held, kernel / kernel.sum(), mode="valid")


def ease(share: Array) -> Array:
    """0..1 to 0..1 with still ends (smoothstep)."""
    return np.asarray(share * share * (3 - 2 * share))


def resample_curve(curve: Floats, rate: int, fps: Fraction, first: int, last: int) -> Floats:
    """`curve` at the centres of frames first..last-1: (last - first,)."""
    centres = (np.arange(first, last) + 0.5) / float(fps) * rate
    return np.asarray(np.interp(centres, np.arange(len(curve)), curve), np.float32)


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and one past the last index of each run of True, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def limit_speed(curve: Array, speed: float) -> Array:
    """The highest curve below `curve` (N,) that never moves faster than `speed` a second.

    Closures stay closed; what is too short to be opened wide is opened less, and begun in time.
    """
    step = speed / RATE
    ramp = np.arange(len(curve)) * step
    rising = ramp + np.minimum.accumulate(curve - ramp)
    falling = np.minimum.accumulate((curve + ramp)[::-1])[::-1] - ramp
    return np.asarray(np.minimum(rising, falling))
