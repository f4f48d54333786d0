"""The face that a speaker keeps while speaking: one displacement field, the same in every frame.

Lips, cheeks and brows only; both lips take it alike, so the mouth opens and closes as without it.
Sizes are those of FACS units 6, 12 (happy), 1, 15 (sad) and 4 (serious) at a third of their
strength: more bends a photo's teeth and folds. Draws nothing.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.renderers.puppet.blendshapes import cheeks
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, Grid


@dataclass(frozen=True, slots=True)
class Mood:
    """How far things go at strength 1, of the face's height; widths of the mouth's own."""

    corners: float = 0.0  # up
    width: float = 0.0  # of the half mouth, outwards
    cheeks: float = 0.0  # up
    inner_brows: float = 0.0  # up
    outer_brows: float = 0.0
    together: float = 0.0  # brows towards each other


MOODS: Final = {
    "neutral": Mood(),
    "happy": Mood(corners=0.022, width=0.07, cheeks=0.011, inner_brows=0.003, outer_brows=0.006),
    "serious": Mood(corners=-0.004, width=-0.02, inner_brows=-0.015, outer_brows=-0.004,
                    together=0.007),
    "sad": Mood(corners=-0.016, width=-0.03, cheeks=-0.003, inner_brows=0.016, outer_brows=-0.006,
                together=0.003),
}  # fmt: skip


def build(
    face: FaceGeometry, grid: Grid, mood: str, strength: float, calm_brows: float = 1.0
) -> Array | None:
    """(rows, columns, 2) forward displacement in frame pixels; None where nothing moves.

    `calm_brows` < 1 keeps glasses' frames in place.
    """
    wanted = MOODS[mood]
    if wanted == Mood() or strength <= 0:
        return None
    u, v = grid.nodes()
    u, v = face.axes.uv(u, v)
    skin = _lips(face, u, v, wanted) + _cheeks(face, u, v, wanted)
    along, down = strength * (skin + calm_brows * _brows(face, u, v, wanted))
    return np.stack(face.axes.turn(along, down), -1).astype(np.float32)


def _lips(face: FaceGeometry, u: Array, v: Array, mood: Mood) -> Array:
    """(2, rows, columns) along and down: most in the corners, nothing in the middle."""
    share = face.across(u)
    over = (v - face.middle_line(u)) / (0.15 * face.height)
    near = np.exp(-((share / 1.5) ** 4) - over**2)
    curved = np.minimum(1.3, share**2)
    return np.stack([mood.width * u * near, -mood.corners * face.height * curved * near])


def _cheeks(face: FaceGeometry, u: Array, v: Array, mood: Mood) -> Array:
    return np.stack([np.zeros_like(u), -mood.cheeks * face.height * cheeks(face, u, v)])


def _brows(face: FaceGeometry, u: Array, v: Array, mood: Mood) -> Array:
    moved = np.zeros((2, *u.shape), np.float32)
    for brow, inwards in zip(face.brows, (1, -1), strict=True):
        first, last = float(brow.u[0]), float(brow.u[-1])
        outer = np.clip((u - first) / max(1.0, last - first), 0, 1)
        outer = 1 - outer if inwards > 0 else outer
        aside = np.maximum(0, np.maximum(first - u, u - last)) / (0.05 * face.height)
        near = np.exp(-(((v - brow(u)) / (0.075 * face.height)) ** 2) - aside**2)
        up = mood.inner_brows * (1 - outer) + mood.outer_brows * outer
        moved[0] += face.height * mood.together * inwards * (1 - outer) * near
        moved[1] -= face.height * up * near
    return moved
