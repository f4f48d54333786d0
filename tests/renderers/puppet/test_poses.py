"""What frames ask of a face whose mouth is open in the photo."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.renderers.puppet.blendshapes import WEIGHTS
from vidgen.renderers.puppet.geometry import FaceGeometry, measure
from vidgen.renderers.puppet.lip_edges import snap_lips
from vidgen.renderers.puppet.motion import motion
from vidgen.renderers.puppet.poses import poses
from vidgen.speech.mouth_curves import MouthCurves
from vidgen.work import MotionOptions


@pytest.fixture(scope="module")
def face(demo_photo: Path, model_path: Callable[[str], Path]) -> FaceGeometry:
    subject = speaker(demo_photo, model_path)
    return snap_lips(subject.frame, measure(subject.landmarks))


def asked(face: FaceGeometry, name: str, press: float = 0.0) -> float:
    """The weight `name` in the middle of two seconds of silence, lips pressed or not."""
    still = np.zeros(201, np.float32)
    names = ("jaw", "chin", "round", "spread", "fricative", "tongue", "loud", "voiced", "f0")
    flat: dict[str, Any] = dict.fromkeys(names, still)
    curves = MouthCurves(**flat, press=still + np.float32(press), pauses=())
    look = MotionOptions()
    plan = poses(face, curves, motion(curves, look, 2.0), look, 50)
    return float(plan.weights[25, WEIGHTS.index(name)])


def test_a_mouth_too_wide_to_be_shut_well_stays_a_little_open(face: FaceGeometry) -> None:
    wide = replace(face, gap=0.17 * face.height)
    assert asked(face, "close") == 1.0
    assert 0.6 < asked(wide, "close") < 0.8
    assert asked(wide, "close", press=1.0) > 0.85  # p, b and m still nearly meet


def test_parted_lips_that_do_not_smile_are_not_drawn_together(face: FaceGeometry) -> None:
    calm = replace(face, left=0.75 * face.left, right=0.75 * face.right)
    assert asked(face, "relax") > 0.8
    assert asked(calm, "relax") == 0.0
