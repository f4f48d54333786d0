"""Where skin goes: shutting a photo's open mouth, a chin over a still neck, unequal halves."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.renderers.puppet import blendshapes, lip_edges
from vidgen.renderers.puppet.blendshapes import WEIGHTS, WIDEST
from vidgen.renderers.puppet.geometry import Curve, FaceGeometry, measure
from vidgen.renderers.puppet.grid import Array, Grid
from vidgen.work import Subject


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
        jawline=replace(smiling.jawline, v=smiling.jawline.v + 0.7 * gap),
    )


class Moved:
    """Where the blendshapes of `face` put its skin, pixels of the face's own axes."""

    def __init__(self, face: FaceGeometry, lean: float = 0.0, blur: float = 0.0) -> None:
        grid = Grid.over((0, 0, 256, 256), 4)
        self.made = blendshapes.build(face, grid, lean=lean, blur=blur)
        self.u, self.v = face.axes.uv(*grid.nodes())
        self.face = face

    def __call__(self, layer: Array, name: str, v: float, u: float = 0.0) -> tuple[float, float]:
        """Along and down, by the weight `name` of 1, at (u, v)."""
        dx, dy = np.moveaxis(layer[WEIGHTS.index(name)], -1, 0)
        nearest = int(np.argmin(np.hypot(self.u - u, self.v - v)))
        cos, sin = self.face.axes.cos, self.face.axes.sin
        x, y = float(dx.flat[nearest]), float(dy.flat[nearest])
        return x * cos + y * sin, y * cos - x * sin


def closing(face: FaceGeometry) -> tuple[Callable[[float], float], ...]:
    """How far down the upper and the lower layer go in the middle of the mouth, at a v."""
    moved = Moved(face)

    def down(layer: Array) -> Callable[[float], float]:
        return lambda v: moved(layer, "close", v)[1]

    return down(moved.made.upper), down(moved.made.lower)


def test_a_jaw_that_hangs_goes_up_with_its_chin(shouting: FaceGeometry) -> None:
    upper, lower = closing(shouting)
    at = np.zeros(1, np.float32)
    assert lower(shouting.chin) < -0.4 * shouting.gap  # a lip drawn up alone makes a duck's pout
    assert upper(float(shouting.upper(at)[0])) < 0.3 * shouting.gap


def test_a_smile_shuts_from_below_and_keeps_its_chin(smiling: FaceGeometry) -> None:
    upper, lower = closing(smiling)
    at = np.zeros(1, np.float32)
    assert smiling.smile > 0.8
    assert 0.25 * smiling.gap < upper(float(smiling.upper(at)[0])) < 0.42 * smiling.gap
    assert abs(lower(smiling.chin)) < 0.25 * smiling.gap


def test_a_smile_bares_its_teeth_as_it_opens(smiling: FaceGeometry) -> None:
    shown, rest = Moved(smiling), Moved(replace(smiling, left=0.5 * smiling.left))
    assert smiling.smile - rest.face.smile > 0.3, "the second is no smile, or less of one"
    lip = smiling.upper(np.zeros(1))[0], smiling.lower(np.zeros(1))[0]
    up = [moved(moved.made.upper, "wide", lip[0])[1] for moved in (shown, rest)]
    down = [moved(moved.made.lower, "wide", lip[1])[1] for moved in (shown, rest)]
    assert up[0] < up[1] - 0.05 * smiling.gap
    assert down[0] < down[1] - 0.05 * smiling.gap


def test_rounded_lips_cover_a_smiles_teeth(smiling: FaceGeometry) -> None:
    moved, edge = Moved(smiling), float(smiling.upper(np.zeros(1))[0])
    bared, covered = (moved(moved.made.upper, name, edge)[1] for name in ("wide", "round"))
    assert covered > 0.1 * smiling.gap
    assert bared + covered > -0.02 * smiling.height  # a full row in an o is a sneer


def test_a_chin_drops_over_a_still_neck(smiling: FaceGeometry) -> None:
    moved, h = Moved(smiling), smiling.height
    chin, neck = (moved(moved.made.lower, "jaw", smiling.chin + way * h)[1] for way in (0, 0.21))
    assert chin > 0.045 * h
    assert abs(neck) < 0.003 * h


def test_spread_lips_lift_the_cheeks(smiling: FaceGeometry) -> None:
    moved, h = Moved(smiling), smiling.height
    eye = smiling.eyes[0].axes
    u, v = smiling.axes.uv(np.array(eye.x), np.array(eye.y))
    _, down = moved(moved.made.upper, "spread", float(v) + 0.14 * h, float(u))
    assert down < -0.004 * h


def test_a_face_that_leans_moves_one_side_farther_but_shuts_evenly(smiling: FaceGeometry) -> None:
    even, leaning = Moved(smiling), Moved(smiling, lean=1.0)
    place = {"v": 0.0, "u": 0.8 * smiling.right}
    plain, more = (abs(made(made.made.lower, "spread", **place)[0]) for made in (even, leaning))
    assert 1.01 * plain < more < 1.10 * plain
    assert even(even.made.lower, "close", 4.0) == leaning(leaning.made.lower, "close", 4.0)


def test_a_pout_draws_the_skin_beside_the_mouth_along(smiling: FaceGeometry) -> None:
    moved, h = Moved(smiling), smiling.height
    ways = [-moved(moved.made.lower, "round", 0.0, at * smiling.right)[0] for at in (1.0, 1.6)]
    assert 0.12 * smiling.right < ways[0] < 0.28 * smiling.right  # more is a fish's mouth
    assert ways[1] > 0.8 * ways[0]  # else a fold of the photo's mouth is left beside it
    tall = moved(moved.made.lower, "round", 0.06 * h)[1]
    assert tall < 0.12 * 0.06 * h


def test_an_opening_mouth_is_wide_below(smiling: FaceGeometry) -> None:
    moved = Moved(smiling)

    def ways(layer: Array, edge: Curve, share: float) -> tuple[float, float]:
        u = share * smiling.right
        return moved(layer, "wide", float(edge(np.array([u]))[0]), u)

    lower = [ways(moved.made.lower, smiling.lower, at)[1] for at in (0.0, 0.55)]
    assert lower[1] > 0.75 * lower[0]  # no V
    assert ways(moved.made.upper, smiling.upper, 0.0)[1] < 0  # its middle rises
    along = ways(moved.made.lower, smiling.lower, 1.0)[0]
    assert -0.17 * smiling.right < along < -0.06 * smiling.right  # wider, its corners stay dark


def test_corners_sink_with_an_opening_mouth(shouting: FaceGeometry) -> None:
    assert (shouting.smile, shouting.hung) == (0, 1)
    drop, at = WIDEST * shouting.height, shouting.right
    moved, v = Moved(shouting), float(shouting.upper(np.array([at]))[0])
    layers = moved.made.upper, moved.made.lower
    upper, lower = (moved(layer, "wide", v, 1.1 * at)[1] for layer in layers)
    assert 0.08 * drop < upper < 0.16 * drop  # else the opening is a grin's wedge
    assert lower == pytest.approx(upper, abs=0.03 * drop)  # the corners hold together


@pytest.mark.parametrize(("name", "least"), [("round", 0.7), ("wide", 0.6)])
def test_a_smile_is_less_bowed_in_an_o_and_an_a(
    smiling: FaceGeometry, name: str, least: float
) -> None:
    moved, at = Moved(smiling), np.array([0.0, 0.95 * smiling.right])
    line = smiling.meeting_line(at)
    bow = float(line[0] - line[1])
    assert bow > 0.02 * smiling.height, "no smile"
    for layer in (moved.made.upper, moved.made.lower):
        sunk = moved(layer, name, float(line[1]), float(at[1]))[1]
        assert least * bow < sunk < 1.1 * bow  # both layers, or the corners come apart


def test_an_opening_has_soft_ends_in_a_blurred_photo(smiling: FaceGeometry) -> None:
    def down(blur: float) -> float:
        moved = Moved(smiling, blur=blur)
        corner = smiling.right
        return moved(moved.made.lower, "wide", float(smiling.lower(np.array([corner]))[0]), corner)[
            1
        ]

    assert down(0.15 * smiling.right) > down(0.0) + 0.003 * smiling.height


def test_pressed_lips_keep_the_line_between_them_and_get_thinner(smiling: FaceGeometry) -> None:
    moved = Moved(smiling)
    at = np.zeros(1, np.float32)
    edges = [
        (moved.made.upper, smiling.upper, smiling.outer_upper),
        (moved.made.lower, smiling.lower, smiling.outer_lower),
    ]
    for layer, inner, outer in edges:
        inside, outside = float(inner(at)[0]), float(outer(at)[0])
        line, rim = moved(layer, "press", inside)[1], moved(layer, "press", outside)[1]
        assert abs(line) < 0.002 * smiling.height  # moved over each other they hid it
        assert np.sign(rim) == np.sign(inside - outside)
        assert abs(rim) > 0.003 * smiling.height
