"""Where the eyes look: mostly at the viewer, with quick small moves away and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.renderers.puppet.curves import RATE, Array, ease

AT_VIEWER: Final = 0.68  # share of the moves that come back to the viewer
LARGE: Final = 0.14  # of the eye's half width; from here on a blink goes well with it


@dataclass(frozen=True, slots=True)
class Glance:
    """The eyes go to (x, y), of the eye's half width and half height, and stay there."""

    start: float  # seconds
    takes: float  # seconds
    x: float
    y: float
    is_large: bool


def glances(seconds: float, seed: int) -> tuple[Glance, ...]:
    """Moves every 0.5–4 s; the last of them is back at the viewer before the end."""
    rng = np.random.default_rng([seed, 5])
    plan: list[Glance] = []
    x = y = 0.0
    now = float(rng.uniform(0.6, 1.6))
    while now < seconds - 0.6:
        to_x, to_y, holds = _target(rng)
        takes = 0.04 + 0.02 * min(1.0, abs(to_x - x) / 0.3)
        large = abs(to_x - x) >= LARGE
        plan.append(Glance(round(now, 3), round(takes, 3), to_x, to_y, large))
        x, y = to_x, to_y
        now += holds
    if abs(x) + abs(y) > 0.04 and seconds > 1.2:
        plan.append(Glance(round(seconds - 0.5, 3), 0.05, 0.0, 0.0, False))
    return tuple(plan)


def _target(rng: np.random.Generator) -> tuple[float, float, float]:
    """x, y and how long to stay, seconds: long on the viewer, short elsewhere."""
    tremor = rng.normal(0, 0.015, 2)
    side, height = rng.choice([-1.0, 1.0]) * rng.uniform(0.08, 0.24), rng.uniform(-0.12, 0.10)
    hold = float(np.clip(1.1 * np.exp(0.6 * rng.standard_normal()), 0.5, 4.0))
    if rng.random() < AT_VIEWER:
        return float(tremor[0]), float(tremor[1]), hold
    return float(side + tremor[0]), float(height + tremor[1]), min(hold, 1.2)


def gaze_curves(plan: Sequence[Glance], count: int) -> tuple[Array, Array]:
    """x and y at 100 Hz, each (count,)."""
    time = np.arange(count) / RATE
    x, y = np.zeros(count), np.zeros(count)
    at_x = at_y = 0.0
    for glance in plan:
        share = ease(np.clip((time - glance.start) / glance.takes, 0, 1))
        x += (glance.x - at_x) * share
        y += (glance.y - at_y) * share
        at_x, at_y = glance.x, glance.y
    return x, y
