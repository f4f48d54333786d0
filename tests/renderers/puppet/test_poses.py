"""What frames ask of a mouth: no more than it can do, shut or open in the photo."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.renderers.puppet.blendshapes import WEIGHTS, WIDEST
from vidgen.renderers.puppet.geometry import FaceGeometry, measure
from vidgen.renderers.puppet.lip_edges import snap_lips
from vidgen.renderers.puppet.motion import motion
from vidgen.renderers.puppet.poses import PARTED, Poses, poses
from vidgen.speech.coarticulation import coarticulation
from vidgen.speech.espeak import Phone
from vidgen.speech.mouth_curves import MouthCurves
from vidgen.work import MotionOptions

FPS = 25
PRESSED = 0.014 / WIDEST  # how far pressed lips lie over each other, in openings of the jaw


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


@pytest.mark.parametrize("sounds", ["apapa", "sasasa", "fɑsɑfɑ", "mamsas", "pupɑwɑ"])
def test_no_sounds_move_the_lips_faster_than_people_can(sounds: str, face: FaceGeometry) -> None:
    phones = [Phone(0.3 + 0.06 * n, 0.36 + 0.06 * n, ipa) for n, ipa in enumerate(sounds)]
    still = np.zeros(101, np.float32)
    made: dict[str, Any] = {
        name: curve.astype(np.float32)
        for name, curve in coarticulation(phones, np.ones(101)).items()
    }
    mouth = MouthCurves(**made, loud=still, voiced=still, f0=still, pauses=())
    look = MotionOptions(fps=Fraction(FPS))
    plan = poses(face, mouth, motion(mouth, look, 1.0), look, FPS)
    parts = dict(zip(WEIGHTS, plan.weights.T, strict=True))
    lips = parts["wide"] + parts["narrow"] + PARTED * parts["apart"] - PRESSED * parts["press"]
    lips = np.maximum(0, lips)  # pressed lips lie over each other, which nobody sees
    millimetres = WIDEST * face.height * 63 / face.pupils
    assert np.abs(np.diff(lips)).max() * millimetres * FPS < 162
    assert lips.max() * millimetres > 3  # and yet they open


def test_a_frame_of_a_long_film_is_read_like_that_of_a_short_one() -> None:
    """Nothing is worked out for the other frames: of those a view is taken, no copy."""
    drawn = np.random.default_rng(0).random((40, 21), np.float32)
    plan = Poses(drawn[:, :10], drawn[:, 10:16], drawn[:, 16:18], drawn[:, 18:20], drawn[:, 20])
    part = plan.part(30, 33)
    assert len(part) == 3
    assert all(np.shares_memory(one, drawn) for one in (part.weights, part.turns, part.tongue))
    pose = plan.pose(31)
    whole = (plan.looks, plan.drop, plan.lift, plan.tip, plan.speaks)
    assert (pose.looks, pose.drop, pose.lift, pose.tip, pose.speaks) == tuple(x[31] for x in whole)
    assert np.array_equal(pose.weights, plan.weights[31])
