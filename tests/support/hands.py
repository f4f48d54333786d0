"""A hand drawn in skin colour, open and upright, that the real nets take for one."""

import cv2
import numpy as np

from vidgen.vision.hands import FINGERS, PALM
from vidgen.work import Floats, Pixels

# Its 21 points about the wrist; from there to the middle finger's root are 100 units.
POINTS = np.array(
    [
        (0, 0), (-38, -22), (-62, -52), (-80, -80), (-95, -103),
        (-30, -95), (-36, -135), (-39, -160), (-41, -182),
        (-6, -100), (-7, -145), (-8, -173), (-8, -198),
        (17, -93), (22, -134), (25, -160), (27, -182),
        (37, -80), (48, -110), (55, -130), (61, -148),
    ],
    np.float32,
)  # fmt: skip
RADIUS = 11  # units: of a finger
SKIN = (205, 150, 125)


def hand_at(wrist: tuple[float, float], length: float) -> Floats:
    """(21, 2) pixels; `length` of the palm, pixels."""
    placed: Floats = POINTS * np.float32(length / 100) + np.array(wrist, np.float32)
    return placed


def with_hand(rgb: Pixels, wrist: tuple[float, float], length: float) -> Pixels:
    """`rgb` (H, W, 3) with the hand and its arm drawn on, darker towards their edges."""
    points, radius = np.round(hand_at(wrist, length)).astype(np.int32), RADIUS * length / 100
    shape, thick = np.zeros(rgb.shape[:2], np.uint8), round(2 * radius)
    cv2.fillPoly(shape, [cv2.convexHull(points[list(PALM)])], 1)
    cv2.polylines(shape, [cv2.convexHull(points[list(PALM)])], True, 1, thick)
    cv2.polylines(shape, [points[list(finger)] for finger in FINGERS], False, 1, thick)
    x, y = points[0].tolist()
    wide = round(0.3 * length)
    cv2.rectangle(shape, (x - wide, y), (x + wide, y + round(2 * length)), 1, -1)
    depth = cv2.distanceTransform(shape, cv2.DIST_L2, 5) / radius
    colours = np.array(SKIN) * (0.62 + 0.38 * depth.clip(0, 1))[..., None]
    share = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), 1)[..., None]
    made: Pixels = ((1 - share) * rgb + share * colours).clip(0, 255).astype(np.uint8)
    return made
