"""Photos whose tones hide the mouth are told apart; the demo photo is changed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.vision.exposure import fault_of
from vidgen.vision.faces import Landmarks
from vidgen.work import Pixels, Subject

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path, 384)


def brighter(frame: Pixels) -> Pixels:
    return np.asarray(np.clip(frame * 3.2, 0, 255), np.uint8)


def two_tones(frame: Pixels) -> Pixels:
    return np.asarray(
        np.repeat(np.where(frame.mean(-1, keepdims=True) > 128, 255, 0), 3, 2), np.uint8
    )


def negative(frame: Pixels) -> Pixels:
    return np.asarray(255 - frame, np.uint8)


def darker(frame: Pixels) -> Pixels:
    return np.asarray(frame * 0.05, np.uint8)


def test_a_black_mask_makes_no_negative(subject: Subject) -> None:
    frame = subject.frame.copy()
    cheek, bridge = subject.landmarks[[50, 197], :2]
    assert cheek[1] > bridge[1] - 5
    frame[int(cheek[1]) - 5 :] = 12
    assert fault_of(frame, Landmarks(subject.landmarks, 1.0)) == ""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (brighter, "burnt"),
        (two_tones, "two_tones"),
        (negative, "negative"),
        (darker, ""),
        (np.copy, ""),
    ],
)
def test_what_is_wrong_with_the_tones(
    change: Callable[[Pixels], Pixels], fault: str, subject: Subject
) -> None:
    assert fault_of(change(subject.frame), Landmarks(subject.landmarks, 1.0)) == fault


def test_a_face_out_of_the_picture_has_no_fault(subject: Subject) -> None:
    away = Landmarks(subject.landmarks + np.array([9000, 0, 0], np.float32), 1.0)
    assert fault_of(subject.frame, away) == ""
