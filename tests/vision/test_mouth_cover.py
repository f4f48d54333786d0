"""Covered mouths are told from free ones: things drawn over the demo photo's lips."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.media.colour import LUMA
from vidgen.vision.faces import LandmarkNet, Landmarks
from vidgen.vision.mouth_cover import MouthLine, is_covered, mouth_line
from vidgen.work import Pixels, Subject

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def net(model_path: Callable[[str], Path]) -> LandmarkNet:
    return LandmarkNet(model_path("face_landmark"))


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path, 384)


def judged(frame: Pixels, subject: Subject, net: LandmarkNet) -> bool:
    found = net.track(frame, Landmarks(subject.landmarks, 1.0))
    assert found is not None
    return is_covered(mouth_line(frame, found), net.doubt(frame, found))


def spot(subject: Subject) -> tuple[int, int, float]:
    """The middle of the mouth, and Hf."""
    x, y = subject.landmarks[[13, 14], :2].mean(0)
    return int(x), int(y), Landmarks(subject.landmarks, 1.0).height


def microphone(subject: Subject) -> Pixels:
    x, y, h = spot(subject)
    frame = subject.frame.copy()
    ball = np.zeros(frame.shape[:2], np.uint8)
    cv2.circle(ball, (x, y + int(0.03 * h)), int(0.16 * h), 1, -1)
    rough = 60 + 40 * np.random.default_rng(1).random(frame.shape[:2])
    frame[ball > 0] = rough[ball > 0][:, None].astype(np.uint8)
    return frame


def finger(subject: Subject) -> Pixels:
    x, y, h = spot(subject)
    frame, wide = subject.frame.copy(), int(0.055 * h)
    skin = np.median(frame[int(y - 0.25 * h) : int(y - 0.2 * h), x - 8 : x + 9], (0, 1))
    top, bottom = (x - wide, int(y - 0.13 * h)), (x + wide, int(y + 0.5 * h))
    cv2.rectangle(frame, top, bottom, skin.tolist(), -1)
    return frame


def mask(subject: Subject) -> Pixels:
    x, y, h = spot(subject)
    frame = subject.frame.copy()
    corners = [(-0.38, -0.16), (0.38, -0.16), (0.3, 0.2), (0.0, 0.36), (-0.3, 0.2)]
    shape = np.array([(x + a * h, y + b * h) for a, b in corners]).round().astype(np.int32)
    cv2.fillPoly(frame, [shape], (150, 190, 215))
    return frame


def black_mask(subject: Subject) -> Pixels:
    frame = mask(subject)
    frame[(frame == (150, 190, 215)).all(-1)] = 0
    return frame


def folded_mask(subject: Subject) -> Pixels:
    """With a fold that looks like the line of shut lips."""
    x, y, h = spot(subject)
    frame = mask(subject)
    cv2.line(frame, (x - int(0.15 * h), y), (x + int(0.15 * h), y), (70, 90, 100), 3)
    return frame


@pytest.mark.parametrize("cover", [microphone, finger, mask, black_mask, folded_mask])
def test_what_lies_over_the_lips_is_noticed(
    cover: Callable[[Subject], Pixels], subject: Subject, net: LandmarkNet
) -> None:
    assert judged(cover(subject), subject, net)


def test_red_lips_are_seen_and_a_masks_are_not(subject: Subject, net: LandmarkNet) -> None:
    face = Landmarks(subject.landmarks, 1.0)
    free, covered = mouth_line(subject.frame, face), mouth_line(folded_mask(subject), face)
    assert free.red > 5
    assert abs(covered.red) < 1
    assert free.colour > 10
    assert is_covered(covered, 0.013)
    assert not is_covered(replace(covered, colour=0.0, usual=0.4, faintest=0.3), 0.013)  # grey
    assert is_covered(replace(free, faintest=0.0), 0.005)  # a finger
    assert not is_covered(replace(free, faintest=-0.2), 0.005)  # lips in a black beard
    assert not is_covered(replace(free, usual=0.1), 0.011)  # a faint line between red lips


def test_where_all_is_black_no_line_is_seen(subject: Subject) -> None:
    found = mouth_line(black_mask(subject), Landmarks(subject.landmarks, 1.0))
    assert found.usual == found.faintest == 0


def dimmed(frame: Pixels) -> Pixels:
    return (frame * 0.25).astype(np.uint8)


def pale(frame: Pixels) -> Pixels:
    return (150 + 0.08 * frame).astype(np.uint8)


def grey(frame: Pixels) -> Pixels:
    return np.repeat(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)


def soft(frame: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), 3.0), np.uint8)


@pytest.mark.parametrize("change", [np.copy, dimmed, pale, grey, soft])
def test_a_free_mouth_is_free_in_any_light(
    change: Callable[[Pixels], Pixels], subject: Subject, net: LandmarkNet
) -> None:
    frame = change(subject.frame)
    face = Landmarks(subject.landmarks, 1.0)
    assert not is_covered(mouth_line(frame, face), net.doubt(frame, face))


def test_a_face_out_of_the_picture_is_answered(subject: Subject) -> None:
    away = Landmarks(subject.landmarks + np.array([9000, 0, 0], np.float32), 1.0)
    assert mouth_line(subject.frame, away).contrast == 0.0


def test_dark_lips_with_a_line_between_them_are_free() -> None:
    """Of a passport's photo: they were hardly redder than the skin, and refused."""
    line = MouthLine(0.196, 0.128, height=138, contrast=0.6, red=1.1, colour=34.5)
    assert not is_covered(line, 0.0122)
    assert is_covered(line, 0.0130)  # as behind a mask


def test_teeth_with_braces_are_no_finger() -> None:
    """Of a smile that was refused: between the lips it is nearly as light as on them."""
    line = MouthLine(0.181, 0.0232, height=251, contrast=2.0, red=11.0, colour=34.3)
    assert not is_covered(line, 0.007)
    assert is_covered(replace(line, faintest=0.01), 0.007)


def test_a_mouth_wide_open_is_free_though_its_lips_are_like_the_skin() -> None:
    """Of a scream that was refused: the landmarks scatter where the jaw is far down."""
    line = MouthLine(0.907, 0.605, height=311, contrast=1.8, red=-0.8, colour=26.4, apart=0.142)
    assert not is_covered(line, 0.0162)
    assert is_covered(replace(line, apart=0.05), 0.0162)  # a dark fold of a mask
    assert is_covered(replace(line, faintest=0.42), 0.0162)
    assert is_covered(line, 0.03)  # so much in doubt, it is a guess


def test_a_head_turned_aside_is_doubted_more_before_its_mouth_is() -> None:
    """Of a woman who was refused: the landmarks of free mouths scatter more from the side."""
    line = MouthLine(0.46, 0.157, height=303, contrast=1.5, red=0.5, colour=16.0, yaw=-23.1)
    assert not is_covered(line, 0.0159)
    assert is_covered(replace(line, yaw=0.0), 0.0159)
    assert is_covered(replace(line, yaw=-29.2), 0.031)  # a mask seen from the side
    assert is_covered(replace(line, usual=0.07, faintest=0.01), 0.0131)  # a microphone


def test_lips_hardly_red_are_none_where_the_landmarks_are_lost() -> None:
    """Of a hand before a mouth that was accepted: between its fingers it is dark."""
    line = MouthLine(0.335, 0.082, height=145, contrast=1.9, red=3.5, colour=21.4)
    assert is_covered(line, 0.0176)
    assert not is_covered(line, 0.0150)
    assert not is_covered(replace(line, red=4.5), 0.0176)


def test_a_grey_smile_is_no_finger() -> None:
    """Of a film star who was refused: teeth are nearly as light as lips in a grey photo."""
    line = MouthLine(0.171, 0.019, height=570, contrast=1.2, red=0.0, colour=0.0)
    assert not is_covered(line, 0.0065)
    assert is_covered(replace(line, faintest=0.01), 0.0065)


def test_a_toned_photo_counts_as_one_without_colours(subject: Subject) -> None:
    face = Landmarks(subject.landmarks, 1.0)
    grey = (subject.frame.astype(np.float32) @ LUMA)[..., None] / 255
    sepia = np.clip(grey ** np.array([0.75, 1.0, 1.35], np.float32) * 255, 0, 255).astype(np.uint8)
    assert mouth_line(subject.frame, face).colour > 10
    assert mouth_line(sepia, face).colour == 0
