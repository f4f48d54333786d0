"""The part of the photo that the network redraws: its box, its picture, its mask on the way back.

Landmarks are MediaPipe's 468; the network learned with 68 others, so the same places are named.
"""

from typing import Final

import numpy as np

from vidgen.errors import InputError
from vidgen.work import Box, Floats, Pixels

SIDE: Final = 256  # pixels, both sides, of the network's picture
# Ear to ear round the chin: points 0–16 of the 68.
JAW: Final = (162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389)
BRIDGE: Final = (195, 5)  # point 29 of the 68 lies between them: the middle of the box
# Round the nose from its tip's sides to its base: it is the photo's own, whatever the mouth does.
NOSE: Final = (4, 45, 275, 51, 281, 48, 278, 64, 294, 98, 327, 97, 326, 2)
CHIN_ROOM: Final = 10  # pixels below the chin, for a mouth that opens (version 1.5)
FEATHER: Final = 0.04  # softness of the mask's edge, share of the box's width
LEAST: Final = 32  # pixels; a smaller face has no lips to draw


def face_box(landmarks: Floats, height: int, width: int) -> Box:
    """Left and right are the face's, the nose bridge is at mid-height, the chin near the bottom.

    Raises InputError for a face that is too small or hardly in the frame.
    """
    jaw = landmarks[list(JAW), :2]
    chin, middle = float(jaw[:, 1].max()), float(landmarks[list(BRIDGE), 1].mean())
    left, right = float(jaw[:, 0].min()), float(jaw[:, 0].max())
    box = (
        max(0, int(left)),
        max(0, int(2 * middle - chin)),
        min(width, int(right)),
        min(height, int(chin) + CHIN_ROOM),
    )
    if box[2] - box[0] < LEAST or box[3] - box[1] < LEAST:
        raise InputError(
            "The face is too small for musetalk: {width} × {height} pixels.",
            hint="Use --framing head, a larger --height, or --renderer puppet.",
            code="render.face_too_small",
            width=max(0, box[2] - box[0]),
            height=max(0, box[3] - box[1]),
        )
    return box


def picture(frame: Pixels, box: Box) -> Pixels:
    """(256, 256, 3): the box, squeezed to the network's square."""
    import cv2

    left, top, right, bottom = box
    cut = np.ascontiguousarray(frame[top:bottom, left:right])
    shrinks = min(cut.shape[:2]) > SIDE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    made: Pixels = cv2.resize(cut, (SIDE, SIDE), interpolation=how)
    return made


def blank_mouth(square: Pixels) -> Pixels:
    """The same with its lower half black: what the network has to fill in."""
    made = square.copy()
    made[SIDE // 2 :] = 0
    return made


def jaw_mask(landmarks: Floats, box: Box, matte: Floats) -> Floats:
    """(h, w) over the box, 0–1: where the network's face takes the photo's place.

    The lower half inside the jaw line down to below the chin, without the nose, soft, nothing on
    the box's edge nor off the speaker.
    """
    import cv2

    left, top, right, bottom = box
    width, height = right - left, bottom - top
    soft = max(1.0, FEATHER * width)
    jaw = landmarks[list(JAW), :2] - np.array([left, top], np.float32)
    jaw[:, 1] += CHIN_ROOM * np.clip(2 * jaw[:, 1] / height - 1, 0, 1)  # a dropped jaw's room
    inside = np.zeros((height, width), np.float32)
    cv2.fillPoly(inside, [jaw.round().astype(np.int32)], (1.0,))
    inside[: round(height / 2 + 1.5 * soft)] = 0  # above is the photo's own
    # The softness takes from the sides only: below, the chin must be the network's own.
    inside = cv2.erode(inside, np.ones((1, 3), np.uint8), iterations=max(1, round(soft / 2)))
    nose = landmarks[list(NOSE), :2] - np.array([left, top], np.float32)
    cv2.fillConvexPoly(inside, cv2.convexHull(nose.round().astype(np.int32)), (0.0,))
    mask = cv2.GaussianBlur(inside, (0, 0), soft / 2)
    mask *= _within(height, width, soft)
    made: Floats = mask * matte[top:bottom, left:right].astype(np.float32)
    return made


def _within(height: int, width: int, soft: float) -> Floats:
    """(h, w) rising from 0 at the left, right and lower edge to 1."""
    across = np.minimum(np.arange(width), np.arange(width)[::-1]) / soft
    up = np.arange(height)[::-1] / min(soft, CHIN_ROOM)
    rise = np.minimum(np.clip(across, 0, 1)[None], np.clip(up, 0, 1)[:, None])
    return rise.astype(np.float32)
