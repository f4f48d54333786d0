"""Bars round a picture are found from the face outwards; what is only even stays."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from vidgen.vision.borders import find_content
from vidgen.work import Pixels

FACE = (180, 150, 220, 200)


@pytest.fixture
def picture() -> Pixels:
    """360 × 400, of many colours."""
    noise = np.random.default_rng(1).integers(60, 255, (10, 9, 3), np.uint8)
    large: Pixels = cv2.resize(noise, (360, 400), interpolation=cv2.INTER_LINEAR)
    return large


def framed(picture: Pixels, colour: int, top: int, bottom: int, left: int, right: int) -> Pixels:
    """With a border of so many pixels on each side."""
    sides = ((top, bottom), (left, right), (0, 0))
    return np.pad(picture, sides, constant_values=colour)


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize(
    ("sides", "found"),
    [
        ((300, 500, 0, 0), (0, 302, 360, 698)),  # a photo in a phone's screenshot
        ((0, 0, 140, 90), (142, 0, 498, 400)),
        ((40, 60, 20, 30), (22, 42, 378, 438)),  # a print's edge
    ],
)
def test_bars_are_left_out(
    picture: Pixels, colour: int, sides: tuple[int, int, int, int], found: tuple[int, ...]
) -> None:
    rgb = framed(picture, colour, *sides)
    face = FACE[0] + sides[2], FACE[1] + sides[0], FACE[2] + sides[2], FACE[3] + sides[0]
    kept = BytesIO()
    Image.fromarray(rgb).save(kept, "jpeg", quality=75)
    for seen in (rgb, np.asarray(Image.open(kept))):
        assert np.abs(np.subtract(find_content(seen, face), found)).max() <= 2


def test_what_stands_in_a_bar_does_not_keep_it(picture: Pixels) -> None:
    rgb = framed(picture, 0, 300, 300, 0, 0)
    rgb[20:40, 10:60] = 255  # a clock
    assert find_content(rgb, (180, 450, 220, 500)) == (0, 302, 360, 698)


def test_an_even_wall_behind_a_head_is_no_bar() -> None:
    rgb = np.full((600, 600, 3), 250, np.uint8)
    cv2.ellipse(rgb, (300, 270), (110, 150), 0, 0, 360, (180, 140, 120), -1)
    cv2.rectangle(rgb, (80, 440), (520, 600), (40, 40, 90), -1)
    assert find_content(rgb, (220, 180, 380, 380)) == (0, 0, 600, 600)


def test_a_picture_without_borders_is_whole(picture: Pixels) -> None:
    assert find_content(picture, FACE) == (0, 0, 360, 400)
    assert find_content(np.zeros((300, 300, 3), np.uint8), FACE) == (0, 0, 300, 300)
    assert find_content(picture, (-20, -20, 500, 500)) == (0, 0, 360, 400)
