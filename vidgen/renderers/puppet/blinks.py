"""When the eyes blink and how the lids go. Decides times and the 0..1 curve, draws nothing."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from vidgen.renderers.puppet.curves import RATE, Array
from vidgen.renderers.puppet.glances import Glance

CLOSE, SHUT, OPEN = 0.08, 0.08, 0.18  # seconds; 50 ms shut is missed by 25 frames a second
LENGTH: Final = CLOSE + SHUT + OPEN
FIRST: Final = 0.4  # no blink before: the film should begin with open eyes
MEDIAN, SIGMA, SHORTEST, LONGEST = 2.3, 0.45, 0.9, 8.0  # seconds between blinks, log-normal
DOUBLES, DOUBLE_GAP = 0.12, 0.38
TO_PAUSE, PAUSE_REACH = 0.4, 0.35  # share moved to a pause, and from how far (seconds)


def blink_times(
    seconds: float,
    pauses: Sequence[tuple[float, float]],
    glances: Sequence[Glance],
    seed: int,
    scale: float,
) -> tuple[float, ...]:
    """When each blink begins, seconds, ascending; `scale` is how often, 1 the usual, 0 never."""
    if scale <= 0:
        return ()
    rng = np.random.default_rng([seed, 2])
    wanted: list[float] = []
    now = rng.uniform(FIRST, 2.0)
    while now < seconds:
        wanted.append(_nudge(now, pauses, glances, rng))
        if rng.random() < DOUBLES:
            wanted.append(wanted[-1] + DOUBLE_GAP)
        now = max(now, wanted[-1]) + _wait(rng) / scale
    return _space_out(wanted, seconds)


def _wait(rng: np.random.Generator) -> float:
    return float(np.clip(MEDIAN * np.exp(SIGMA * rng.standard_normal()), SHORTEST, LONGEST))


def _nudge(
    time: float,
    pauses: Sequence[tuple[float, float]],
    glances: Sequence[Glance],
    rng: np.random.Generator,
) -> float:
    """`time`, or a large glance or (often) a pause near it: people blink there."""
    wants_pause = rng.random() < TO_PAUSE
    large = [glance.start - 0.04 for glance in glances if glance.is_large]
    starts = [start for start, _ in pauses] if wants_pause else []
    for places in (large, starts):
        near = [place for place in places if abs(place - time) < PAUSE_REACH]
        if near:
            return min(near, key=lambda place: abs(place - time))
    return time


def _space_out(wanted: list[float], seconds: float) -> tuple[float, ...]:
    """Those that fit: not too early, finished at the end, none inside another."""
    kept: list[float] = []
    for time in sorted(wanted):
        fits = time >= FIRST and time + LENGTH <= seconds
        if fits and (not kept or time - kept[-1] >= LENGTH + 0.02):
            kept.append(round(time, 3))
    return tuple(kept)


def lid_curve(blinks: Sequence[float], count: int, gaze_y: Array) -> Array:
    """Lids 0..1 at 100 Hz; between blinks they follow a lowered gaze a little."""
    lids = np.clip(0.25 * gaze_y, 0, 0.12)
    for start in blinks:
        low = max(0, int(start * RATE))
        high = min(count, int((start + LENGTH) * RATE) + 2)
        time = np.arange(low, high) / RATE - start
        lids[low:high] = np.maximum(lids[low:high], _blink(time))
    return lids


def _blink(time: Array) -> Array:
    """One blink from 0 s on: a quick ease in, shut, a slower ease out."""
    down = np.clip(time / CLOSE, 0, 1)
    up = np.clip((time - CLOSE - SHUT) / OPEN, 0, 1)
    return np.asarray(down**1.5 * (3 - down) / 2 * (1 - up) ** 2 * (1 + 2 * up))
