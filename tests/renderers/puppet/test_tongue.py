"""The tongue between the teeth: for th, and for nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.renderers.puppet import lighting, mouth_interior
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.geometry import FaceGeometry, measure
from vidgen.renderers.puppet.lip_edges import snap_lips
from vidgen.renderers.puppet.mouth_interior import Interior
from vidgen.renderers.puppet.tongue import tip_out
from vidgen.speech.coarticulation import coarticulation
from vidgen.speech.espeak import Phone
from vidgen.work import Subject


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path)


@pytest.fixture(scope="module")
def face(subject: Subject) -> FaceGeometry:
    return snap_lips(subject.frame, measure(subject.landmarks))


@pytest.fixture(scope="module")
def inside(subject: Subject, face: FaceGeometry) -> Interior:
    x, y, reach = round(face.axes.x), round(face.axes.y), round(0.3 * face.height)
    light = lighting.measure(subject.frame, face)
    box = x - reach, y - reach, x + reach, y + reach
    return mouth_interior.build(subject.frame, face, light, box)


def redness(inside: Interior, face: FaceGeometry, raised: float) -> float:
    """How much stronger red is than green in the middle of an open mouth, .014 Hf below the line
    between the lips, where the upper teeth end."""
    u = np.zeros((1, 1), np.float32)
    at = np.dstack(face.axes.xy(u, face.meeting_line(u) + 0.014 * face.height)).astype(np.float32)
    far = np.full((1, 1), -0.03 * face.height, np.float32)
    still = np.zeros(2, np.float32)
    out = float(tip_out(np.array(raised)))
    red, green, _ = inside.look(ONE_FRAME, at, still, still, far, far, raised, out)[0, 0]
    return float((red - green) / red)


def test_only_th_puts_the_tongue_before_the_teeth(inside: Interior, face: FaceGeometry) -> None:
    low, behind, between = (redness(inside, face, raised) for raised in (0.0, 0.59, 1.0))
    assert between > behind + 0.1
    assert behind == pytest.approx(low, abs=0.1)


@pytest.mark.parametrize(("ipa", "least", "most"), [("ð", 0.85, 1.2), ("l", 0.5, 0.62)])
def test_the_tongue_is_raised_for_the_sounds_it_makes(ipa: str, least: float, most: float) -> None:
    phones = [Phone(0.1, 0.25, "ɑ"), Phone(0.25, 0.33, ipa), Phone(0.33, 0.5, "ɑ")]
    tongue = coarticulation(phones, np.ones(60))["tongue"]
    assert least < tongue[25:33].max() <= most
    assert tongue[[15, 45]].max() < 0.2
