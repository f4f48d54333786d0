"""The face kept while speaking: where corners, cheeks and brows go, and that neutral is nothing."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.puppet import cut, drawn, speaker
from vidgen.renderers.puppet import mood, motion, poses, rig
from vidgen.renderers.puppet.blendshapes import WEIGHTS
from vidgen.renderers.puppet.geometry import FaceGeometry, measure
from vidgen.renderers.puppet.grid import Array, Grid
from vidgen.renderers.puppet.lip_edges import snap_lips
from vidgen.settings import Options
from vidgen.speech.mouth_curves import MouthCurves
from vidgen.work import MotionOptions, Subject


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path)


@pytest.fixture(scope="module")
def face(subject: Subject) -> FaceGeometry:
    return snap_lips(subject.frame, measure(subject.landmarks, subject.eyes))


def moved(face: FaceGeometry, name: str, strength: float, u: float, v: float) -> Array:
    """Along and down, shares of the face's height, at a point of the face."""
    x, y = face.axes.xy(np.array(u), np.array(v))
    left, top = int(x), int(y)
    field = mood.build(face, Grid.over((left, top, left + 2, top + 2), 1), name, strength)
    assert field is not None
    return np.array(face.axes.turn(field[..., 0], -field[..., 1]))[:, 0, 0] * (1, -1) / face.height


@pytest.mark.parametrize(("name", "sign"), [("happy", -1), ("sad", 1)])
def test_the_corners_go_up_or_down_and_the_middle_stays(
    face: FaceGeometry, name: str, sign: int
) -> None:
    corner = moved(face, name, 1.0, -face.left, float(face.middle_line(np.array(-face.left))))
    centre = moved(face, name, 1.0, 0.0, float(face.middle_line(np.array(0.0))))
    assert sign * corner[1] > 0.01
    assert np.hypot(*centre) < 0.002


def test_brows_are_knit_or_lifted_where_they_meet(face: FaceGeometry) -> None:
    brow = face.brows[0]
    inner = float(brow.u[-1]), float(brow.v[-1])
    serious, sad = (moved(face, name, 1.0, *inner) for name in ("serious", "sad"))
    assert serious[0] > 0.003
    assert serious[1] > 0.005
    assert sad[1] < -0.005


def test_twice_the_expression_goes_twice_as_far(face: FaceGeometry) -> None:
    once, twice = (moved(face, "happy", size, -face.left, 0.0) for size in (1.0, 2.0))
    assert np.allclose(twice, 2 * once, atol=1e-5)


def test_neutral_or_no_expression_moves_nothing(face: FaceGeometry) -> None:
    grid = Grid.over((0, 0, 64, 64), 4)
    assert mood.build(face, grid, "neutral", 2.0) is None
    assert mood.build(face, grid, "sad", 0.0) is None


def test_a_happy_face_differs_from_the_photo_about_the_mouth_alone(subject: Subject) -> None:
    made = rig.build(subject, cut(subject), MotionOptions(mood="happy"))
    change = np.abs(drawn(made).astype(int) - subject.frame).max(-1)
    left, top, right, bottom = made.mouth.box
    assert (change[top:bottom, left:right] > 12).mean() > 0.05
    assert change[: subject.face[1] - 5].max() == 0


def test_every_mood_that_can_be_asked_for_is_known() -> None:
    choices = next(one.metadata["choices"] for one in fields(Options) if one.name == "mood")
    assert set(choices) == set(mood.MOODS)


def test_expression_scales_the_brows_and_a_happy_photo_keeps_its_smile(face: FaceGeometry) -> None:
    still = np.zeros(101, np.float32)
    rising = np.linspace(0, 6, 101, dtype=np.float32)
    names = ("jaw", "chin", "round", "spread", "press", "fricative", "tongue", "voiced")
    curves: dict[str, Any] = dict.fromkeys(names, still)
    mouth = MouthCurves(**curves, loud=still + 1, f0=rising, pauses=())
    smiles: dict[str, float] = {}
    brows: dict[str, float] = {}
    for look in (MotionOptions(), MotionOptions(mood="happy", expression=0.5)):
        head = motion.motion(mouth, look, 1.0)
        brows[look.mood] = float(head.brows.max())
        plan = poses.poses(face, mouth, head, look, 20)
        smiles[look.mood] = float(plan.weights[0][WEIGHTS.index("relax")])
    assert brows["happy"] == pytest.approx(0.5 * brows["neutral"], rel=0.01)
    assert smiles["neutral"] > 0.8
    assert smiles["happy"] == pytest.approx(0.5 * smiles["neutral"])
