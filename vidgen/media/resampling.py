"""Sound at another rate, by FFmpeg's resampler. SciPy's costs half a second to import."""

from typing import Any, Final

import numpy as np

from vidgen.work import Floats

BLOCK: Final = 1 << 20  # samples given at a time


def resample(samples: Floats, rate: int, wanted: int) -> Floats:
    """`samples` (N,) of `rate` Hz at `wanted` Hz: (ceil(N × wanted / rate),), in time with them."""
    import av

    if rate == wanted or not len(samples):
        return samples
    resampler = av.AudioResampler(format="flt", layout="mono", rate=wanted)
    parts: list[Any] = []
    for first in range(0, len(samples), BLOCK):
        block = np.ascontiguousarray(samples[first : first + BLOCK], np.float32)[None]
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout="mono")
        frame.sample_rate = rate
        parts += resampler.resample(frame)
    parts += resampler.resample(None)
    made = np.concatenate([part.to_ndarray().reshape(-1) for part in parts])
    count = -(-len(samples) * wanted // rate)
    return np.asarray(np.pad(made[:count], (0, max(0, count - len(made)))), np.float32)
