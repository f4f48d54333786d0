"""Eyes seen closely, by the real nets: the demo photo's, and the same under glass, shut or tiny."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.puppet import cut, drawn, speaker
from vidgen.renderers.puppet import rig
from vidgen.vision.iris import EyePoints, IrisNet
from vidgen.vision.sight import MESH_LIDS, views
from vidgen.work import EyeView, Floats, Pixels, Subject

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def net(model_path: Callable[[str], Path]) -> IrisNet:
    return IrisNet(model_path("iris_landmark"))


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path, 384)


def seen(subject: Subject, net: IrisNet, frame: Pixels) -> tuple[str, ...]:
    return tuple(eye.problem for eye in views(frame, subject.landmarks, net))


def hull(eye: EyeView) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.concatenate([eye.upper, eye.lower[::-1]]).round().astype(np.int32)


def test_both_eyes_are_found_with_their_lids_and_irises(subject: Subject, net: IrisNet) -> None:
    for eye, corners in zip(
        views(subject.frame, subject.landmarks, net), ((33, 133), (362, 263)), strict=True
    ):
        width = float(np.hypot(*(eye.upper[-1] - eye.upper[0])))
        assert eye.problem == ""
        for end, corner in zip((0, -1), corners, strict=True):
            assert np.hypot(*(eye.upper[end] - subject.landmarks[corner, :2])) < 0.2 * width
        assert (eye.lower - eye.upper)[4, 1] > 0.15 * width
        assert 0.35 < 2 * eye.radius / width < 0.58
        assert cv2.pointPolygonTest(hull(eye).astype(np.float32), eye.centre.tolist(), True) > 0


def test_the_far_eye_is_found_where_the_mesh_is_off(subject: Subject, net: IrisNet) -> None:
    points = subject.landmarks.copy()
    points[133, :2] += 0.35 * (points[33, :2] - points[133, :2])
    right, _ = net.read(subject.frame, subject.landmarks)
    found, _ = net.read(subject.frame, points)
    width = float(np.hypot(*(right.upper[-1] - right.upper[0])))
    for one, other in ((right.upper, found.upper), (right.lower, found.lower)):
        assert np.hypot(*(one - other).T).max() < 0.08 * width


def test_a_mirrored_photo_has_the_same_eyes_on_the_other_side(
    subject: Subject, net: IrisNet
) -> None:
    wide = subject.frame.shape[1]
    first = net.read(subject.frame, subject.landmarks)
    points = subject.landmarks.copy()
    points[[33, 133, 362, 263]] = points[[263, 362, 133, 33]]
    points[:, 0] = wide - 1 - points[:, 0]
    flipped = net.read(np.ascontiguousarray(subject.frame[:, ::-1]), points)
    for eye, other in zip(first, flipped[::-1], strict=True):
        back = wide - 1 - other.centre[0], other.centre[1]
        assert np.hypot(*(eye.centre - back)) < 2.0
        assert abs(eye.radius - other.radius) < 1.0


def test_sunglasses_hide_both_eyes(subject: Subject, net: IrisNet) -> None:
    frame = subject.frame.copy()
    for eye in views(frame, subject.landmarks, net):
        half = float(np.hypot(*(eye.upper[-1] - eye.upper[0]))) / 2
        middle = eye.centre.round().astype(int)
        axes = round(1.9 * half), round(1.3 * half)
        cv2.ellipse(frame, middle.tolist(), axes, 0, 0, 360, (24, 22, 20), -1)
    assert all(seen(subject, net, frame))


def test_an_eye_under_skin_colour_is_no_eye_and_the_other_stays(
    subject: Subject, net: IrisNet
) -> None:
    frame = subject.frame.copy()
    left, _ = views(frame, subject.landmarks, net)
    half = float(np.hypot(*(left.upper[-1] - left.upper[0]))) / 2
    below = (left.lower[4] + (0, 0.7 * half)).round().astype(int)
    skin = frame[below[1] - 2 : below[1] + 3, below[0] - 2 : below[0] + 3].mean((0, 1))
    middle = left.centre.round().astype(int).tolist()
    cv2.ellipse(frame, middle, (round(1.5 * half), round(half)), 0, 0, 360, skin.tolist(), -1)
    problems = seen(subject, net, frame)
    assert problems[0] in ("shut", "unseen")
    assert problems[1] == ""


class Narrowed(IrisNet):
    """The net, with the lids nearer to each other by these shares."""

    def __init__(self, net: IrisNet, *shares: float) -> None:
        super().__init__(net.model)
        self.shares = shares

    def read(self, rgb: Pixels, points: Floats) -> tuple[EyePoints, EyePoints]:
        left, right = (
            replace(eye, upper=eye.upper + away, lower=eye.lower - away)
            for eye, share in zip(super().read(rgb, points), self.shares, strict=True)
            for away in [(1 - share) / 2 * (eye.lower - eye.upper)]
        )
        return left, right


@pytest.mark.parametrize(("right", "problems"), [(1.0, ("shut", "")), (0.6, ("unsure", "unsure"))])
def test_nobody_winks_whose_eyes_are_about_as_narrow(
    subject: Subject, net: IrisNet, right: float, problems: tuple[str, str]
) -> None:
    frame = subject.frame.copy()
    left, _ = views(frame, subject.landmarks, net)
    cv2.fillPoly(frame, [hull(left)], (150, 120, 110))
    narrowed = Narrowed(net, 0.6, right)
    assert seen(subject, narrowed, frame) == problems


def test_eyes_of_a_few_pixels_are_left_alone(
    demo_photo: Path, model_path: Callable[[str], Path], net: IrisNet
) -> None:
    small = speaker(demo_photo, model_path, 256, 0.12)
    assert seen(small, net, small.frame) == ("small", "small")


def test_an_eye_with_a_problem_is_the_photos_own_in_a_blink(subject: Subject, net: IrisNet) -> None:
    left, right = views(subject.frame, subject.landmarks, net)
    one_eyed = replace(subject, eyes=(replace(left, problem="unseen"), right))
    frame = drawn(rig.build(one_eyed, cut(one_eyed)), shut=1.0, look_x=0.2)
    mask = [
        cv2.fillPoly(np.zeros(frame.shape[:2], np.uint8), [hull(eye)], 1) for eye in (left, right)
    ]
    changed = (frame != subject.frame).any(-1)
    assert not changed[mask[0] > 0].any()
    assert changed[mask[1] > 0].mean() > 0.95


def test_a_shut_lid_differs_from_the_skin_below_as_real_ones_do(
    subject: Subject, net: IrisNet
) -> None:
    """They are ΔE 8.6 darker above their lashes, median of 77 eyes."""
    sighted = replace(subject, eyes=views(subject.frame, subject.landmarks, net))
    lab = cv2.cvtColor(drawn(rig.build(sighted, cut(sighted)), shut=1.0), cv2.COLOR_RGB2LAB)
    for eye in sighted.eyes:
        inner = cv2.fillPoly(np.zeros(lab.shape[:2], np.uint8), [hull(eye)], 1)
        width = float(np.hypot(*(eye.upper[-1] - eye.upper[0])))
        inner[round(float(eye.lower[4, 1] - 0.12 * width)) :] = 0  # there are its lashes
        inner = cv2.erode(inner, np.ones((3, 3), np.uint8)) > 0
        x, y = (eye.lower[4] + (0, 0.32 * width)).round().astype(int)
        below = lab[y - 2 : y + 3, x - 6 : x + 7].reshape(-1, 3)
        off = np.median(lab[inner], 0).astype(float) - np.median(below, 0)
        off[0] *= 100 / 255  # OpenCV's L runs to 255
        assert np.linalg.norm(off) < 13
        assert np.linalg.norm(off[1:]) < 5  # in hue


def with_iris(subject: Subject, net: IrisNet, luma: int, pupil: int) -> Pixels:
    """The frame with irises of these lumas on white eyes."""
    frame = subject.frame.copy()
    for eye in views(frame, subject.landmarks, net):
        inside = cv2.fillPoly(np.zeros(frame.shape[:2], np.uint8), [hull(eye)], 1) > 0
        drawing = np.full_like(frame, 200)
        middle = eye.centre.round().astype(int).tolist()
        cv2.circle(drawing, middle, round(eye.radius), [luma] * 3, -1)
        cv2.circle(drawing, middle, round(0.55 * eye.radius), [pupil] * 3, -1)
        frame[inside] = drawing[inside]
    return frame


def test_light_eyes_with_dark_pupils_are_eyes(subject: Subject, net: IrisNet) -> None:
    assert seen(subject, net, with_iris(subject, net, 165, 40)) == ("", "")
    assert all(seen(subject, net, with_iris(subject, net, 195, 190)))  # as statues' are


def test_an_eye_in_doubt_blinks_with_its_like(subject: Subject, net: IrisNet) -> None:
    """Its iris hardly darker than the white, as behind glasses or in haze."""
    pale = with_iris(subject, net, 165, 160)
    half = pale.shape[1] // 2
    frame = pale.copy()
    frame[:, half:] = with_iris(subject, net, 120, 100)[:, half:]
    assert seen(subject, net, frame) == ("", "")
    points = subject.landmarks.copy()
    for lid in MESH_LIDS[0]:
        points[list(lid[1:-1]), 1] += 20  # now the nets quarrel
    assert any(seen(replace(subject, landmarks=points), Shaky(net.model), frame))


def test_an_iris_as_light_as_the_white_is_told_by_its_pupil(subject: Subject, net: IrisNet) -> None:
    assert seen(subject, net, with_iris(subject, net, 205, 50)) == ("", "")


class Shaky(IrisNet):
    """The net before lenses: it sees lids elsewhere when its crop is moved."""

    def spread(self, rgb: Pixels, eye: EyePoints, side: int) -> tuple[float, float]:
        return 0.09, 0.02


@pytest.mark.parametrize(("down", "problem"), [(0.31, ""), (0.36, "unsure")])
def test_lids_that_two_nets_see_a_little_apart_still_blink(
    subject: Subject, net: IrisNet, down: float, problem: str
) -> None:
    far = quarrel(subject, down)
    assert seen(far, Shaky(net.model), subject.frame) == (problem, problem)
    assert seen(far, net, subject.frame) == ("", "")  # they stay where they are


def quarrel(subject: Subject, down: float) -> Subject:
    """The face mesh sees the left lids so far down, shares of the width."""
    points = subject.landmarks.copy()
    width = float(np.hypot(*(points[133, :2] - points[33, :2])))
    inner = [point for lid in MESH_LIDS[0] for point in lid[1:-1]]  # the corners place the crop
    points[inner, 1] += down * width
    return replace(subject, landmarks=points)


class Turned(IrisNet):
    """The net, steady, with a left eye narrower than the right one."""

    def read(self, rgb: Pixels, points: Floats) -> tuple[EyePoints, EyePoints]:
        left, right = super().read(rgb, points)
        upper, lower = (lid + 0.15 * (lid[4] - lid) for lid in (left.upper, left.lower))
        return replace(left, upper=upper, lower=lower), right

    def spread(self, rgb: Pixels, eye: EyePoints, side: int) -> tuple[float, float]:
        return 0.02, 0.01


def test_a_turned_eye_of_which_the_nets_quarrel_may_lie_behind_a_rim(
    subject: Subject, net: IrisNet
) -> None:
    turned = Turned(net.model)
    assert seen(subject, turned, subject.frame) == ("", "")
    assert seen(quarrel(subject, 0.36), turned, subject.frame) == ("unsure", "unsure")


def test_eyes_in_doubt_blink_where_the_net_finds_them_again(subject: Subject, net: IrisNet) -> None:
    """Irises hardly darker than the white, in both eyes."""
    frame = with_iris(subject, net, 165, 160)
    assert seen(subject, net, frame) == ("", "")
    assert seen(subject, Shaky(net.model), frame) == ("unsure", "unsure")


def test_eyes_in_doubt_that_are_hardly_open_may_be_shut(subject: Subject, net: IrisNet) -> None:
    frame = with_iris(subject, net, 165, 160)
    for share, problem in ((0.6, ""), (0.5, "unsure")):
        assert seen(subject, Narrowed(net, share, share), frame) == (problem, problem)


def test_an_eye_is_found_again_where_a_lens_is_not(subject: Subject, net: IrisNet) -> None:
    chance = np.random.default_rng(1).normal(60, 30, (24, 24, 3)).clip(0, 255).astype(np.uint8)
    lens = cv2.resize(chance, subject.frame.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    for frame, is_eye in ((subject.frame, True), (lens, False)):
        for side, eye in enumerate(net.read(frame, subject.landmarks)):
            lids, iris = net.spread(frame, eye, side)
            assert (lids < 0.05) == is_eye
            assert (iris < 0.04) == is_eye


def test_an_eye_in_the_shade_blinks_with_its_like(subject: Subject, net: IrisNet) -> None:
    frame = subject.frame.copy()
    _, right = views(frame, subject.landmarks, net)
    inside = cv2.fillPoly(np.zeros(frame.shape[:2], np.uint8), [hull(right)], 1) > 0
    frame[inside] = (0.42 * frame[inside]).astype(np.uint8)
    assert seen(subject, net, frame) == ("", "")


def test_the_far_eye_of_a_turned_head_does_not_keep_the_near_one_still(
    demo_photo: Path, model_path: Callable[[str], Path], net: IrisNet
) -> None:
    small = speaker(demo_photo, model_path, 256, 0.32)
    nose = float(small.landmarks[168, 0])
    points = small.landmarks.copy()
    points[:, 0] = np.where(points[:, 0] < nose, nose - 0.5 * (nose - points[:, 0]), points[:, 0])
    at = np.arange(small.frame.shape[1])
    columns = np.where(at < nose, nose - 2 * (nose - at), at).clip(0, None).astype(int)
    turned = replace(small, landmarks=points)
    assert seen(turned, net, small.frame[:, columns]) == ("small", "")
