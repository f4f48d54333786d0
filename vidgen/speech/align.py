"""Lay one voice beside another that says the same words: which moment of one is which of the other.

Time-synchronous dynamic programming: every frame of the real voice gets a frame of the
synthesized one, which never goes back. Two passes, at 20 Hz in a wide band and at 100 Hz close to
the first, so that time and memory grow with length only. Knows no phonemes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vidgen.speech.curves import RATE, Array
from vidgen.speech.features import SpeechFeatures

Frames = NDArray[np.float32]  # (N, D) features
Path = NDArray[np.intp]  # (N,) the other voice's frame for each of one's own

COARSE: Final = 5  # frames of 10 ms in one of the first pass
WIDE_BAND: Final = (0.15, 3.0)  # of the length, and seconds on top, to either side
FINE_BAND: Final = 0.30  # seconds to either side of the first pass
STAY, STAY_SILENT, SKIP = 0.30, 0.02, (0.0, 0.0, 0.15, 0.45)  # cost of advancing 0, 1, 2, 3
LEFT_OUT: Final = 0.30  # cost of each frame of the other voice left out at an end
CEPSTRA: Final = 13
BLOCK: Final = 1_000_000  # numbers worked on at once
ROUNDS: Final = 2  # of the fine pass; from the second on the voices are made alike first


@dataclass(frozen=True, slots=True)
class Alignment:
    """`path[k]` is the synthesized voice's frame for frame k of the real one, at 100 Hz.

    `cost` is the mean distance along the path divided by that of frames paired by chance:
    0.1–0.85 when the words fit, towards 1 when they do not.
    """

    path: Path
    cost: float


def align(real: SpeechFeatures, synthetic: SpeechFeatures) -> Alignment:
    """The best way to lay `synthetic` along `real`; both need at least 0.1 s."""
    ours, theirs = features(real), features(synthetic)
    silent = synthetic.loud <= 0.02
    coarse = _coarse_path(ours, theirs, real.loud, synthetic.loud)
    path = coarse
    for round_number in range(ROUNDS):
        likened = theirs if round_number == 0 else _normalise(ours, theirs, path, real.loud)
        path, costs = _refine_path(ours, likened, silent, path, int(FINE_BAND * RATE))
    return Alignment(path, _relative_cost(ours, likened, costs, real.loud))


def features(sound: SpeechFeatures) -> Frames:
    """(N, 2 * 13 + 1): cepstra of the mel bands and their slopes, scaled to one voice's spread,
    then loudness. Steady colour (microphone, speaker) is taken out."""
    from scipy.fft import dct
    from scipy.ndimage import gaussian_filter1d

    floored = np.maximum(sound.mels, np.percentile(sound.mels, 95) - 50)
    cepstra = dct(floored, axis=1, norm="ortho")[:, 1 : CEPSTRA + 1]
    spoken = sound.loud > 0.05
    chosen = cepstra[spoken] if spoken.sum() > 20 else cepstra
    cepstra = (cepstra - chosen.mean(axis=0)) / (chosen.std(axis=0) + 1e-3)
    slopes = gaussian_filter1d(cepstra, 2.0, axis=0, order=1, mode="nearest") * 3
    weights = np.linspace(1.0, 0.5, CEPSTRA)
    silent = (1 - np.clip(sound.loud * 4, 0, 1))[:, None]
    still = cepstra * weights * (1 - silent)  # silences are alike whatever hisses in them
    loud = 2.5 * np.sqrt(sound.loud)[:, None]
    return np.hstack([still, slopes * weights * 0.7, loud]).astype(np.float32)


def _coarse_path(ours: Frames, theirs: Frames, loud: Array, their_loud: Array) -> Path:
    """The path at 20 Hz, given back at 100 Hz: (N,)."""
    few, their_few = _thin(ours), _thin(theirs)
    silent = _thin((their_loud <= 0.02).astype(np.float32)[:, None])[:, 0] > 0.6
    expected = _by_speech(loud, their_loud)[::COARSE][: len(few)] // COARSE
    band = int(WIDE_BAND[0] * len(their_few) + WIDE_BAND[1] * RATE / COARSE)
    path, _ = _refine_path(few, their_few, silent, np.minimum(expected, len(their_few) - 1), band)
    times = np.arange(len(ours)) / COARSE
    fine = np.interp(times, np.arange(len(path)) + 0.5, path + 0.5) * COARSE
    return np.asarray(np.clip(np.round(fine), 0, len(theirs) - 1), np.intp)


def _thin(frames: Frames) -> Frames:
    """Means of 5 consecutive frames; the last ones may be fewer."""
    padded = np.pad(frames, ((0, -len(frames) % COARSE), (0, 0)), mode="edge")
    return np.asarray(padded.reshape(-1, COARSE, frames.shape[1]).mean(axis=1))


def _by_speech(loud: Array, their_loud: Array) -> Path:
    """A first guess: the same share of all speech has been said. (N,)"""
    ours = np.cumsum(loud > 0.05) + 1e-3 * np.arange(len(loud))
    theirs = np.cumsum(their_loud > 0.05) + 1e-3 * np.arange(len(their_loud))
    guess = np.interp(ours / ours[-1], theirs / theirs[-1], np.arange(len(theirs)))
    return np.asarray(guess, np.intp)


def _refine_path(
    ours: Frames, theirs: Frames, silent: NDArray[np.bool_], around: Path, band: int
) -> tuple[Path, Array]:
    """The cheapest path within `band` frames of `around`, and its cost frame by frame."""
    width = 2 * band + 1
    starts = np.maximum.accumulate(around) - band  # (N,) first state of each row, may be < 0
    steps = np.zeros((len(ours), width), np.int8)
    total = np.full(width, np.inf, np.float32)
    nowhere = np.full(3, np.inf, np.float32)
    for row, local, stay in _local_costs(ours, theirs, silent, starts, width):
        if row == 0:
            total = local + LEFT_OUT * np.maximum(starts[0] + np.arange(width), 0)
            continue
        shift = int(starts[row] - starts[row - 1])
        before = np.concatenate([nowhere, total, np.full(shift, np.inf, np.float32)])
        choices = np.empty((4, width), np.float32)
        for back in range(4):
            choices[back] = before[3 - back + shift : 3 - back + shift + width]
        choices[0] += stay
        choices[2] += SKIP[2]
        choices[3] += SKIP[3]
        steps[row] = choices.argmin(axis=0)
        total = choices.min(axis=0) + local
    return _trace_back(ours, theirs, starts, steps, total)


def _local_costs(
    ours: Frames, theirs: Frames, silent: NDArray[np.bool_], starts: Path, width: int
) -> Iterator[tuple[int, Frames, Frames]]:
    """For each row: its number, the distance at each of its states (inf where there is none),
    and what staying there costs. Worked out for many rows at once."""
    stay = np.where(silent, STAY_SILENT, STAY).astype(np.float32)
    block = max(1, BLOCK // (width * ours.shape[1]))
    for first in range(0, len(ours), block):
        states = starts[first : first + block, None] + np.arange(width)
        within = np.clip(states, 0, len(theirs) - 1)
        local = np.abs(theirs[within] - ours[first : first + block, None]).mean(axis=2)
        local[states != within] = np.inf
        yield from zip(range(first, len(ours)), local, stay[within], strict=False)


def _trace_back(
    ours: Frames, theirs: Frames, starts: Path, steps: NDArray[np.int8], total: Frames
) -> tuple[Path, Array]:
    """Back from the end: the states, and the distance at each."""
    count = len(ours)
    states = starts[-1] + np.arange(len(total))
    left = np.maximum(len(theirs) - 1 - states, 0)
    state = int(states[np.argmin(total + LEFT_OUT * left)])
    path = np.zeros(count, np.intp)
    for row in range(count - 1, -1, -1):
        path[row] = state
        place = state - starts[row]
        state -= int(steps[row, np.clip(place, 0, steps.shape[1] - 1)])
        state = max(state, 0)
    path = np.clip(path, 0, len(theirs) - 1)
    return path, np.abs(theirs[path] - ours).mean(axis=1)


def _normalise(ours: Frames, theirs: Frames, path: Path, loud: Array) -> Frames:
    """`theirs` with each feature shifted and scaled to meet `ours` along `path`."""
    spoken = loud > 0.05
    if spoken.sum() < 50:
        return theirs
    a, b = theirs[path[spoken]], ours[spoken]
    spread = a.std(axis=0) + 1e-3
    slope = ((a - a.mean(0)) * (b - b.mean(0))).mean(0) / spread**2
    slope = np.clip(slope, 0.4, 1.5)
    return np.asarray((theirs - a.mean(0)) * slope + b.mean(0), np.float32)


def _relative_cost(ours: Frames, theirs: Frames, costs: Array, loud: Array) -> float:
    spoken = np.flatnonzero(loud > 0.05)
    if len(spoken) < 5:
        return 1.0
    rng = np.random.default_rng(0)
    chance = theirs[rng.integers(0, len(theirs), len(spoken))]
    by_chance = float(np.abs(chance - ours[spoken]).mean())
    return float(costs[spoken].mean() / (by_chance + 1e-6))
