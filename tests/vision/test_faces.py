"""Faces and their points, by the real networks, on the demo photo turned, dimmed and covered."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidgen.media.photo import open_photo
from vidgen.vision.faces import (
    CHIN,
    EYE_CORNERS,
    TRACE,
    Face,
    FaceDetector,
    LandmarkNet,
    Landmarks,
    head_pose,
)
from vidgen.work import Floats, Pixels

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def detector(model_path: Callable[[str], Path]) -> FaceDetector:
    return FaceDetector(model_path("centerface"))


@pytest.fixture(scope="module")
def net(model_path: Callable[[str], Path]) -> LandmarkNet:
    return LandmarkNet(model_path("face_landmark"))


@pytest.fixture(scope="module")
def photo(demo_photo: Path) -> Pixels:
    return open_photo(demo_photo).rgb


@pytest.fixture(scope="module")
def face(detector: FaceDetector, photo: Pixels) -> Face:
    (only,) = detector.detect(photo, 0.5)
    return only


@pytest.fixture(scope="module")
def points(net: LandmarkNet, photo: Pixels, face: Face) -> Landmarks:
    found = net.find(photo, face.box, face.roll)
    assert found is not None
    return found


def apart(found: Landmarks | None, wanted: Floats) -> float:
    """Mean distance of the points from where they should be, shares of the face's height."""
    assert found is not None
    return float(np.linalg.norm(found.points[:, :2] - wanted[:, :2], axis=1).mean() / found.height)


def turned(rgb: Pixels, points: Floats, degrees: float) -> tuple[Pixels, Floats]:
    """A picture turned anticlockwise about its middle, and points moved with it."""
    height, width = rgb.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    moved = points.copy()
    moved[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    picture = cv2.warpAffine(rgb, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return picture, moved.astype(np.float32)


def test_one_face_where_it_is(face: Face) -> None:
    assert face.score > 0.9
    assert np.abs(np.array(face.box) - (179, 62, 267, 180)).max() < 8
    assert abs(face.roll) < 8
    assert abs(face.aside) < 0.1


def test_faces_of_a_group_are_found_once_each(detector: FaceDetector, photo: Pixels) -> None:
    large = cv2.resize(photo[:300, 80:380], None, fx=3, fy=3)
    small = cv2.resize(photo[:300, 80:380], (200, 200))
    group = np.full((900, 1400, 3), 128, np.uint8)
    group[:900, :900] = large
    group[100:300, 1000:1200] = small
    group[500:700, 1100:1300] = small[:, ::-1]
    found = detector.detect(group, 0.5)
    assert len(found) == 3
    assert [face.score for face in found] == sorted((face.score for face in found), reverse=True)
    assert sorted(round((face.box[0] + face.box[2]) / 400) for face in found) == [2, 5, 6]


def test_a_face_fills_the_whole_picture(
    detector: FaceDetector, net: LandmarkNet, photo: Pixels, points: Landmarks
) -> None:
    x0, y0, x1, y1 = (round(value) for value in points.box)
    close = cv2.resize(photo[y0:y1, x0:x1], None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    (found,) = detector.detect(close, 0.5)
    assert apart(net.find(close, found.box, found.roll), 6 * (points.points - (x0, y0, 0))) < 0.03


def test_nothing_is_found_where_nobody_is(
    detector: FaceDetector, net: LandmarkNet, photo: Pixels
) -> None:
    helmet = photo[250:, 250:]
    assert detector.detect(helmet, 0.5) == ()
    assert net.find(helmet, (50, 50, 150, 200)) is None


def test_a_turned_face_leaves_a_trace_and_a_page_none(
    detector: FaceDetector, photo: Pixels
) -> None:
    scene = np.full((480, 640, 3), 120, np.uint8)
    scene[100:256, 200:356] = cv2.resize(np.rot90(photo[:256, 96:352]), (156, 156))
    page = np.full((640, 480, 3), 255, np.uint8)
    for y in range(20, 620, 24):
        cv2.putText(page, "The quick brown fox", (10, y), 0, 0.7, (20, 20, 20))
    assert detector.scan(scene, 0.9, (640,))[1] >= 2 * TRACE
    assert detector.scan(page, 0.9, (640,))[1] < TRACE


@pytest.mark.parametrize("degrees", [-60, -30, -10, 20, 45, 60])
def test_a_tilted_head_is_read_as_well(
    detector: FaceDetector,
    net: LandmarkNet,
    photo: Pixels,
    points: Landmarks,
    degrees: float,
) -> None:
    picture, moved = turned(photo, points.points, degrees)
    best = detector.detect(picture, 0.5)[0]
    found = net.find(picture, best.box, best.roll)
    assert apart(found, moved) < 0.03
    assert found is not None
    roll = head_pose(points.points)[2] - degrees
    assert head_pose(found.points)[2] == pytest.approx(roll, abs=3)


@pytest.mark.parametrize("light", [0.3, 0.1, 0.05])
def test_a_dark_photo_is_read_as_well(
    detector: FaceDetector, net: LandmarkNet, photo: Pixels, points: Landmarks, light: float
) -> None:
    noise = np.random.default_rng(0).normal(0, 2, photo.shape)
    dark = np.clip(photo * light + noise, 0, 255).astype(np.uint8)
    best = detector.detect(dark, 0.5)[0]
    assert apart(net.find(dark, best.box, best.roll), points.points) < 0.03


@pytest.mark.parametrize("shift", [-0.15, 0.15])
@pytest.mark.parametrize("scale", [0.8, 1.3])
def test_the_points_hardly_depend_on_the_box(
    net: LandmarkNet, photo: Pixels, face: Face, points: Landmarks, shift: float, scale: float
) -> None:
    x0, y0, x1, y1 = face.box
    x, y = (x0 + x1) / 2 + shift * (x1 - x0), (y0 + y1) / 2 + shift * (y1 - y0)
    wide, high = scale * (x1 - x0) / 2, scale * (y1 - y0) / 2
    found = net.find(photo, (x - wide, y - high, x + wide, y + high))
    assert apart(found, points.points) < 0.01


def test_tracking_follows_a_moving_head(net: LandmarkNet, photo: Pixels, points: Landmarks) -> None:
    now = points
    for step in range(1, 11):
        picture, moved = turned(
            np.roll(photo, 2 * step, 1), np.add(points.points, (2 * step, 0, 0)), step
        )
        found = net.track(picture, now)
        assert apart(found, moved) < 0.02
        assert found is not None
        now = found


def test_tracking_loses_a_face_that_is_gone(net: LandmarkNet, points: Landmarks) -> None:
    assert net.track(np.full((512, 512, 3), 90, np.uint8), points) is None


def test_the_pose_of_a_mirrored_head_is_mirrored(
    detector: FaceDetector, net: LandmarkNet, photo: Pixels, points: Landmarks
) -> None:
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    best = detector.detect(mirrored, 0.5)[0]
    found = net.find(mirrored, best.box, best.roll)
    assert found is not None
    yaw, pitch, roll = head_pose(points.points)
    assert head_pose(found.points) == pytest.approx((-yaw, pitch, -roll), abs=3)


def test_pose_of_points_turned_in_space(points: Landmarks) -> None:
    yaw, _, _ = head_pose(points.points)
    for degrees in (-30, -15, 15, 30):
        angle = np.radians(degrees)
        around = np.array(
            [[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]],
            np.float32,
        )
        turned_points = (points.points - points.points.mean(0)) @ around.T
        assert head_pose(turned_points)[0] == pytest.approx(yaw + degrees, abs=1)


def test_a_covered_mouth_is_doubted(net: LandmarkNet, photo: Pixels, points: Landmarks) -> None:
    assert net.doubt(photo, points) < 0.012
    masked = photo.copy()
    jaw = [93, 58, 172, 136, 150, 149, 176, 148, CHIN, 377, 400, 378, 379, 365, 397, 288, 323, 5]
    cv2.fillPoly(masked, [points.points[jaw, :2].astype(np.int32)], (190, 215, 235))
    found = net.find(masked, points.box)
    assert found is not None
    assert net.doubt(masked, found) > 0.018


def test_the_points_are_where_a_person_sees_them(points: Landmarks) -> None:
    """Read off the demo photo at 12 times its size: eye corners, mouth corners, inner lips."""
    seen = [(193, 101), (213, 104), (237, 105), (259, 104), (202, 139), (247, 139)]
    seen += [(224, 144), (224, 150)]
    found = points.points[[*EYE_CORNERS, 61, 291, 13, 14], :2]
    assert np.abs(found - seen).max() < 3.5  # pixels, of a face 108 pixels high
    assert points.height == pytest.approx(108, abs=3)
    assert points.score > 0.99
