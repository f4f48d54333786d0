"""The lips' inner sides in an open mouth."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.puppet import cut, drawn, speaker
from vidgen.media.colour import LUMA
from vidgen.renderers.puppet import inner_lips, rig
from vidgen.renderers.puppet.blendshapes import WEIGHTS
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.grid import Array
from vidgen.renderers.puppet.rig import Rig
from vidgen.work import Subject


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path)


@pytest.fixture(scope="module")
def made(subject: Subject) -> Rig:
    return rig.build(subject, cut(subject))


def cover(made: Rig, opening: float, across: float, way: float) -> float:
    """How much they cover, 0–1, in a mouth open by so much, Hf, at a place."""
    weights = np.zeros(len(WEIGHTS), np.float32)
    weights[0] = 1
    steps = np.zeros_like(made.mouth.inner.by)
    steps[0] = (opening - inner_lips.FIRST) / inner_lips.STEP
    asked = replace(made.mouth.inner, by=steps, start=np.zeros(1, np.float32))
    gap = 100.0
    ways = (np.full((1, 1), one, np.float32) for one in (across, -way * gap, (way - 1) * gap))
    return float(asked.look(ONE_FRAME, weights, *ways)[0, 0, 3]) / 255


@pytest.mark.parametrize("opening", [0.04, 0.06, 0.085])
def test_the_corners_are_lip_and_the_middle_is_open(made: Rig, opening: float) -> None:
    for side in (-0.97, 0.97):
        assert cover(made, opening, side, 0.5) > 0.9
    assert cover(made, opening, 0.0, 0.5) < 0.1


def test_an_opening_is_measured_as_it_is_drawn(made: Rig) -> None:
    """A smile that shuts is shut, and a jaw's whole drop opens it by about .082 Hf."""
    inside = made.mouth.inner

    def opening(**weights: float) -> float:
        row = np.array([weights.get(name, 0.0) for name in WEIGHTS], np.float32)
        return float((row @ inside.by + inside.start)[0]) * inner_lips.STEP + inner_lips.FIRST

    assert opening() == pytest.approx(made.face.gap / made.face.height, abs=0.012)
    assert opening(close=1) == pytest.approx(0, abs=0.004)
    assert 0.06 < opening(close=1, wide=1) < 0.10
    assert opening(close=1, press=1) < 0


def test_what_is_seen_has_the_colours_of_the_photos_own_lips(subject: Subject, made: Rig) -> None:
    def middle(frame: Array) -> Array:
        inside = inner_lips.build(frame.astype(np.uint8), made.face, made.bases)
        rows = inside.pictures[3, inner_lips.ROWS // 2]
        return np.asarray(rows[:8, :3].sum(0) / rows[:8, 3].sum())

    red, _, blue = middle(subject.frame)
    red_of_blue, _, blue_of_blue = middle(subject.frame[..., ::-1])
    assert red > 1.2 * blue
    assert (red_of_blue, blue_of_blue) == pytest.approx((blue, red), rel=0.1)


def test_less_of_a_wide_mouth_is_dark(made: Rig) -> None:
    asked = {"close": 1.0, "relax": 1.0, "wide": 1.0, "jaw": 1.0}
    own = made.mouth.inner
    bare = replace(made, mouth=replace(made.mouth, inner=replace(own, pictures=0 * own.pictures)))
    left, top, right, bottom = made.mouth.box

    def dark(figure: Rig) -> int:
        luma = drawn(figure, **asked)[top:bottom, left:right] @ LUMA
        return int((luma < 0.35 * float(made.light.skin @ LUMA)).sum())

    assert dark(made) < 0.9 * dark(bare)
