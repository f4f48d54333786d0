"""The shade of folds: grows with the mouth's opening, and only where folds are."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.renderers.puppet import folds
from vidgen.renderers.puppet.blendshapes import WEIGHTS
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.folds import Folds
from vidgen.renderers.puppet.geometry import FaceGeometry, measure
from vidgen.renderers.puppet.grid import Array, Grid
from vidgen.work import Pixels

SIZE = 256
GRID = Grid.over((0, 0, SIZE, SIZE), 2)


SOLID = np.full((SIZE, SIZE), 255, np.uint8)


@pytest.fixture(scope="module")
def face(demo_photo: Path, model_path: Callable[[str], Path]) -> FaceGeometry:
    return measure(speaker(demo_photo, model_path, SIZE).landmarks)


def skin(face: FaceGeometry, *creased: int) -> Pixels:
    """Even skin with a dark line where a fold of these sides is."""
    picture = np.full((SIZE, SIZE, 3), (200, 160, 130), np.uint8)
    for side in creased:
        line = np.stack(face.axes.xy(*face.folds[side].T), 1).round().astype(np.int32)
        cv2.polylines(picture, [line], False, (120, 90, 70), 3)
    return picture


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
    made = folds.build(skin(face, 0, 1), face, GRID, SOLID)
    assert shade(made, close=1.0, press=1.0, brows=1.0) is None


def test_an_open_mouth_has_shade_beside_and_below_it_but_none_inside(face: FaceGeometry) -> None:
    made = folds.build(skin(face, 0, 1), face, GRID, SOLID)
    taken = shade(made, wide=1.0, jaw=1.0)
    assert taken is not None
    hollow = float(face.outer_lower(np.zeros(1))[0]) + 0.022 * face.height
    fold, neck = face.folds[0][2], float(face.jawline(np.zeros(1))[0]) + 0.05 * face.height
    assert taken[at(face, 0.0, hollow)] > 0.06
    assert taken[at(face, *fold)] > 0.03
    assert taken[at(face, 0.0, neck)] > 0.08
    assert taken[at(face, 0.0, float(face.middle_line(np.zeros(1))[0]))] < 0.004


def test_only_a_fold_of_the_photos_own_is_shaded_in_full(face: FaceGeometry) -> None:
    taken = shade(folds.build(skin(face, 1), face, GRID, SOLID), wide=1.0)
    assert taken is not None
    smooth, creased = (taken[at(face, *fold[2])] for fold in face.folds)
    assert creased > 0.04
    assert 0.01 < smooth < 0.4 * creased


def test_no_shade_falls_on_what_is_behind_the_speaker(face: FaceGeometry) -> None:
    alpha = SOLID.copy()
    row, _ = at(face, 0.0, face.chin)
    alpha[row:] = 0
    taken = shade(folds.build(skin(face), face, GRID, alpha), jaw=1.0)
    assert taken is not None
    assert not taken[row + 4 :].any()
