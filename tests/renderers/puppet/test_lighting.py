"""What is read off a photo's light and lens: its sharpness, and whether it has colours."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.media.colour import LUMA
from vidgen.renderers.puppet import lighting, mouth_interior, teeth
from vidgen.renderers.puppet.geometry import FaceGeometry, measure
from vidgen.work import Pixels


@pytest.fixture(scope="module")
def frame(demo_photo: Path, model_path: Callable[[str], Path]) -> Pixels:
    return speaker(demo_photo, model_path, 512).frame


@pytest.fixture(scope="module")
def face(demo_photo: Path, model_path: Callable[[str], Path]) -> FaceGeometry:
    return measure(speaker(demo_photo, model_path, 512).landmarks)


@pytest.mark.parametrize("sigma", [3.0, 5.0])
def test_the_edges_of_a_photo_out_of_focus_are_as_wide_as_its_blur(
    frame: Pixels, face: FaceGeometry, sigma: float
) -> None:
    assert lighting.measure(frame, face).blur < mouth_interior.SHARP
    soft = cv2.GaussianBlur(frame, (0, 0), sigma)
    assert 0.8 * sigma < lighting.measure(soft, face).blur / lighting.WIDTH < 1.25 * sigma


def test_teeth_are_no_sharper_than_the_photo(frame: Pixels, face: FaceGeometry) -> None:
    box = (150, 200, 350, 400)
    shut = replace(face, upper=face.upper, lower=face.upper, gap=0.0)
    light = lighting.measure(frame, face)

    def steepest(blur: float) -> float:
        painted = mouth_interior.build(frame, shut, replace(light, blur=blur), box).upper
        return float(np.abs(np.diff(painted[..., 3], axis=0)).max())

    assert steepest(6.0) < 0.35 * steepest(1.4)


def test_a_marble_bust_in_coloured_light_has_no_red_mouth(
    frame: Pixels, face: FaceGeometry
) -> None:
    light = 10 * np.sin(np.arange(frame.shape[1]) / 9)[:, None] * (1, 0, -1)
    marble = (frame @ LUMA)[..., None] + light
    assert lighting.measure(marble.clip(0, 255).astype(np.uint8), face).toned is not None
    assert lighting.measure(frame, face).toned is None


def test_teeth_are_dim_in_a_dark_photo_and_yellow_in_yellow_light(
    frame: Pixels, face: FaceGeometry
) -> None:
    plain, dark, yellow = (
        teeth.enamel(lighting.measure((frame * np.array(light)).astype(np.uint8), face))
        for light in ((1, 1, 1), (0.3, 0.3, 0.3), (1, 0.75, 0.3))
    )
    assert dark @ LUMA < 0.4 * (plain @ LUMA)
    assert 0.88 < plain[2] / (plain @ LUMA) < 0.96  # of real ones .86 to .94
    assert yellow[2] / yellow[0] < 0.8 * plain[2] / plain[0]


@pytest.mark.parametrize("colour", [(60, 50, 45), (250, 245, 235)])
def test_a_wire_across_the_nose_is_noticed(
    frame: Pixels, face: FaceGeometry, colour: tuple[int, int, int]
) -> None:
    left, right = ((eye.axes.x, eye.axes.y) for eye in face.eyes)
    dim = (0.7 * frame).astype(np.uint8)
    wired = dim.copy()
    start, end = ((round(x), round(y) + 4) for x, y in (left, right))
    cv2.line(wired, start, end, color=colour, thickness=2, lineType=cv2.LINE_AA)
    assert lighting.measure(wired, face).wire
    assert not lighting.measure(dim, face).wire


def test_a_shaded_nose_is_no_bridge_of_spectacles(frame: Pixels, face: FaceGeometry) -> None:
    left, right = (np.array([eye.axes.x, eye.axes.y]) for eye in face.eyes)
    apart, middle = np.hypot(*(right - left)), (left + right) / 2
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    off = np.hypot(x - middle[0], y - middle[1] + 0.3 * apart) / (0.4 * apart)
    shaded = frame * (1 - 0.75 * np.exp(-(off**2)))[..., None]
    assert not lighting.measure(shaded.astype(np.uint8), face).glasses
