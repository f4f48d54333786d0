"""The shade of folds: grows with the mouth's opening, and only where folds are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.renderers.puppet import folds
from vidgen.renderers.puppet.blendshapes import WEIGHTS
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.folds import Folds
from vidgen.renderers.puppet.geometry import FaceGeometry, measure
from vidgen.renderers.puppet.grid import Array, Grid

SIZE = 256
GRID = Grid.over((0, 0, SIZE, SIZE), 2)


@pytest.fixture(scope="module")
def face(demo_photo: Path, model_path: Callable[[str], Path]) -> FaceGeometry:
    return measure(speaker(demo_photo, model_path, SIZE).landmarks)


def shade(made: Folds, **weights: float) -> Array | None:
    """Light taken from a whole frame with the head at rest, (SIZE, SIZE); None for none."""
    row = np.array([weights.get(name, 0.0) for name in WEIGHTS], np.float32)
    taken = made.shade(ONE_FRAME, row, np.stack(made.grid.nodes(), -1))
    if taken is None:
        return None
    left, top, right, bottom = made.box
    whole = np.zeros((SIZE, SIZE), np.float32)
    whole[top:bottom, left:right] = taken
    return whole


def at(face: FaceGeometry, u: float, v: float) -> tuple[int, int]:
    """Row and column of a place of the face."""
    x, y = face.axes.xy(np.array(u), np.array(v))
    return round(float(y)), round(float(x))


def test_a_mouth_at_rest_has_no_shade(face: FaceGeometry) -> None:
    made = folds.build(face, GRID, np.full((SIZE, SIZE), 255, np.uint8))
    assert shade(made, close=1.0, press=1.0, brows=1.0) is None


def test_an_open_mouth_has_shade_beside_and_below_it_but_none_inside(face: FaceGeometry) -> None:
    made = folds.build(face, GRID, np.full((SIZE, SIZE), 255, np.uint8))
    taken = shade(made, wide=1.0, jaw=1.0)
    assert taken is not None
    hollow = float(face.outer_lower(np.zeros(1))[0]) + 0.022 * face.height
    fold, neck = face.folds[0][2], float(face.jawline(np.zeros(1))[0]) + 0.05 * face.height
    assert taken[at(face, 0.0, hollow)] > 0.06
    assert taken[at(face, *fold)] > 0.03
    assert taken[at(face, 0.0, neck)] > 0.08
    assert taken[at(face, 0.0, float(face.middle_line(np.zeros(1))[0]))] < 0.004


def test_no_shade_falls_on_what_is_behind_the_speaker(face: FaceGeometry) -> None:
    alpha = np.full((SIZE, SIZE), 255, np.uint8)
    row, _ = at(face, 0.0, face.chin)
    alpha[row:] = 0
    taken = shade(folds.build(face, GRID, alpha), jaw=1.0)
    assert taken is not None
    assert not taken[row + 4 :].any()
