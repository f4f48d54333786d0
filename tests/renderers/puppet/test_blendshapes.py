"""Shutting a mouth that is open in the photo: by the lips, or by the jaw that hangs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.renderers.puppet import blendshapes, lip_edges
from vidgen.renderers.puppet.blendshapes import WEIGHTS
from vidgen.renderers.puppet.geometry import Curve, FaceGeometry, measure
from vidgen.renderers.puppet.grid import Array, Grid
from vidgen.work import Box, Subject


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path)


@pytest.fixture(scope="module")
def smiling(subject: Subject) -> FaceGeometry:
    return lip_edges.snap_lips(subject.frame, measure(subject.landmarks))


@pytest.fixture(scope="module")
def shouting(smiling: FaceGeometry) -> FaceGeometry:
    """The same face with a narrow mouth, .15 Hf open by a jaw that hangs."""
    squeeze, gap = 0.75, 0.15 * smiling.height
    u = squeeze * smiling.upper.u
    bow = gap * np.clip(1 - (u / (squeeze * smiling.right)) ** 2, 0, None)
    return replace(
        smiling,
        left=squeeze * smiling.left,
        right=squeeze * smiling.right,
        upper=Curve(u, smiling.upper.v),
        lower=Curve(u, smiling.upper.v + bow),
        gap=gap,
        chin=smiling.chin + 0.7 * gap,
    )


def closing(face: FaceGeometry, size: int = 256) -> tuple[Callable[[float], float], ...]:
    """How far down the upper and the lower layer go in the middle of the mouth, at a v."""
    box: Box = (0, 0, size, size)
    grid = Grid.over(box, 4)
    made = blendshapes.build(face, grid)
    u, v = face.axes.uv(*grid.nodes())

    def down(layer: Array) -> Callable[[float], float]:
        dx, dy = np.moveaxis(layer[WEIGHTS.index("close")], -1, 0)
        along = dy * face.axes.cos - dx * face.axes.sin

        def at(wanted: float) -> float:
            return float(along.ravel()[np.argmin(np.hypot(u - 0.0, v - wanted))])

        return at

    return down(made.upper), down(made.lower)


def test_a_jaw_that_hangs_goes_up_with_its_chin(shouting: FaceGeometry) -> None:
    upper, lower = closing(shouting)
    at = np.zeros(1, np.float32)
    assert lower(shouting.chin) < -0.4 * shouting.gap  # a lip drawn up alone makes a duck's pout
    assert upper(float(shouting.upper(at)[0])) < 0.3 * shouting.gap


def test_a_smile_shuts_half_way_and_keeps_its_chin(smiling: FaceGeometry) -> None:
    upper, lower = closing(smiling)
    at = np.zeros(1, np.float32)
    assert smiling.smile > 0.8
    assert upper(float(smiling.upper(at)[0])) > 0.35 * smiling.gap
    assert abs(lower(smiling.chin)) < 0.25 * smiling.gap
