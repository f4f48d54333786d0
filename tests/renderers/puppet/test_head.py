"""How a head moves that the frame's edge cuts off."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.renderers.puppet import head
from vidgen.renderers.puppet.geometry import FaceGeometry, measure
from vidgen.renderers.puppet.grid import Array, Grid

SIZE = 256
GRID = Grid.over((0, 0, SIZE, SIZE), 4)
TOP, LEFT, RIGHT, DOWN = 1, 1, -2, -2  # the first nodes inside the frame


@pytest.fixture(scope="module")
def face(demo_photo: Path, model_path: Callable[[str], Path]) -> FaceGeometry:
    return measure(speaker(demo_photo, model_path, SIZE).landmarks)


def moves(face: FaceGeometry, top: int, left: int) -> Array:
    """The basis (6, rows, columns, 2) of a speaker whose matte begins at this row and column."""
    alpha = np.zeros((SIZE, SIZE), np.uint8)
    alpha[top:, left : SIZE - 10] = 255
    return head.build(face, GRID, alpha).basis


def test_a_head_within_the_frame_moves_wherever_it_is(face: FaceGeometry) -> None:
    free = moves(face, 10, 10)
    assert np.abs(free[:, TOP, :, 1]).max() > 0.5
    assert np.abs(free[:, :, LEFT, 0]).max() > 0.5


def test_a_head_that_is_cut_off_does_not_move_across_the_edge(face: FaceGeometry) -> None:
    free, cut = moves(face, 10, 10), moves(face, 0, 0)
    assert np.abs(cut[:, TOP, :, 1]).max() < 0.12 * np.abs(free[:, TOP, :, 1]).max()
    assert np.abs(cut[:, :, LEFT, 0]).max() < 0.12 * np.abs(free[:, :, LEFT, 0]).max()
    np.testing.assert_array_equal(cut[:, :, RIGHT, 0], free[:, :, RIGHT, 0])
    np.testing.assert_allclose(cut[:, DOWN, :, 1], free[:, DOWN, :, 1], atol=0.01)


def test_nothing_is_folded_by_it(face: FaceGeometry) -> None:
    cut = moves(face, 0, 0)
    turned = np.tensordot(np.array([6.0, 4.5, 3.0, 0.01, 0.006, 1.0]), cut, 1)  # the most there is
    sources = np.stack(GRID.nodes(), -1) + turned
    assert np.diff(sources[..., 0], axis=1).min() > 0
    assert np.diff(sources[..., 1], axis=0).min() > 0
