"""The part of the photo that the network redraws, by hand. Needs no network."""

import numpy as np
import pytest

from vidgen.errors import InputError
from vidgen.renderers.musetalk import face
from vidgen.work import Floats

HEIGHT, WIDTH = 400, 300


def landmarks(
    left: float = 60, right: float = 240, middle: float = 180, chin: float = 300
) -> Floats:
    """A face whose jaw is half an ellipse from ear to ear."""
    points = np.zeros((468, 3), np.float32)
    points[:, :2] = (left + right) / 2, middle
    turn = np.linspace(np.pi, 0, len(face.JAW))
    points[list(face.JAW), 0] = (left + right) / 2 + (right - left) / 2 * np.cos(turn)
    points[list(face.JAW), 1] = middle + (chin - middle) * np.sin(turn)
    low, high = face.BRIDGE
    points[low, :2] = (left + right) / 2, middle - 2
    points[high, :2] = (left + right) / 2, middle + 2
    return points


def test_the_box_by_hand() -> None:
    # As wide as the jaw; the chin 120 below the bridge, so the top is 120 above it; 10 for a jaw
    # that drops.
    assert face.face_box(landmarks(), HEIGHT, WIDTH) == (60, 60, 240, 310)


def test_the_box_stays_in_the_frame() -> None:
    points = landmarks(left=-20, right=330, middle=100, chin=395)
    assert face.face_box(points, HEIGHT, WIDTH) == (0, 0, 300, 400)


def test_a_face_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(InputError) as told:
        face.face_box(landmarks(100, 120, 100, 110), HEIGHT, WIDTH)
    assert told.value.code == "render.face_too_small"
    assert (told.value.details["width"], told.value.details["height"]) == (20, 30)


@pytest.mark.parametrize("size", [(100, 80), (600, 500)])
def test_the_picture_is_the_box_squeezed(size: tuple[int, int]) -> None:
    frame = np.zeros((*size, 3), np.uint8)
    frame[:, size[1] // 2 :] = (200, 100, 50)
    square = face.picture(frame, (10, 10, size[1] - 10, size[0] - 10))
    assert square.shape == (256, 256, 3)
    assert square[:, 20].max() == 0
    assert (square[:, -20] == (200, 100, 50)).all()


def test_only_the_lower_half_is_blanked() -> None:
    square = np.full((256, 256, 3), 7, np.uint8)
    made = face.blank_mouth(square)
    assert (made[:128] == 7).all()
    assert (made[128:] == 0).all()
    assert (square == 7).all()


def test_the_mask_is_the_lower_face_and_nothing_at_the_boxs_edge() -> None:
    box = face.face_box(landmarks(), HEIGHT, WIDTH)
    mask = face.jaw_mask(landmarks(), box, np.ones((HEIGHT, WIDTH), np.float32))
    assert mask.shape == (250, 180)
    assert mask.dtype == np.float32
    assert (mask[:120] < 0.01).all()  # the upper half is the photo's
    assert mask[180, 90] > 0.99  # the mouth
    assert mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    assert mask[-12:, :20].max() < 0.01  # beside the chin is not the face
    assert np.abs(np.diff(mask, axis=0)).max() < 0.2  # no hard edge
    assert mask.min() >= 0
    assert mask.max() <= 1


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_mask_ends_below_the_chin_and_leaves_the_nose(scale: int) -> None:
    points = landmarks() * scale
    turn = np.linspace(0, 2 * np.pi, len(face.NOSE), endpoint=False)
    middle = 150 * scale, 205 * scale
    points[list(face.NOSE), :2] = np.stack([np.cos(turn), np.sin(turn)], 1) * 12 * scale + middle
    box = face.face_box(points, HEIGHT * scale, WIDTH * scale)
    mask = face.jaw_mask(points, box, np.ones((HEIGHT * scale, WIDTH * scale), np.float32))
    chin, across = 300 * scale - box[1], 150 * scale - box[0]
    assert mask[chin, across] > 0.5
    assert mask[chin - 4 * scale, across] > 0.8
    assert mask[205 * scale - box[1], across] < 0.1  # the nose
    assert mask[240 * scale - box[1], across] > 0.99  # the mouth under it


def test_the_mask_keeps_off_what_is_not_the_speaker() -> None:
    box = face.face_box(landmarks(), HEIGHT, WIDTH)
    matte = np.ones((HEIGHT, WIDTH), np.float32)
    matte[:, 150:] = 0
    mask = face.jaw_mask(landmarks(), box, matte)
    assert mask[180, 60] > 0.9
    assert mask[:, 90:].max() == 0
