"""What is wrong with a photo's tones, where a face's mouth cannot be made out. Refuses nobody."""

from typing import Final, Literal

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.vision.faces import Landmarks
from vidgen.work import Floats, Pixels

Fault = Literal["", "burnt", "two_tones", "negative"]

BURNT: Final = 0.4  # of the face white in all colours: its light is not there any more
TONES: Final = (16, 239)  # luma below and above which a picture of two tones has nearly all
CHEEKS: Final = (50, 280, 117, 346, 205, 425)
BRIDGE: Final = (9, 168, 6)  # between brows and eyes: a black mask leaves it free
EYES: Final = (33, 133, 159, 145, 362, 263, 386, 374)
BROWS: Final = (70, 63, 105, 66, 300, 293, 334, 296)
DARKER: Final = 0.7  # of eyes' and brows' luma: skin is that dark in a negative only


def fault_of(rgb: Pixels, face: Landmarks) -> Fault:
    """Of the face in `rgb` (H, W, 3): overexposed, black and white only, a negative, or ""."""
    height, width = rgb.shape[:2]
    left, top, right, bottom = (int(side) for side in face.box)
    part = rgb[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    if not part.size:
        return ""
    luma = part.astype(np.float32) @ LUMA
    black, white = float((luma < TONES[0]).mean()), float((luma > TONES[1]).mean())
    if black + white > 0.97 and min(black, white) > 0.05:
        return "two_tones"
    if (part.min(-1) >= 250).mean() > BURNT:
        return "burnt"
    places = CHEEKS, BRIDGE, EYES, BROWS
    cheeks, bridge, eyes, brows = (_luma_at(rgb, face.points, names) for names in places)
    return "negative" if max(cheeks, bridge) < DARKER * (eyes + brows) / 2 else ""


def _luma_at(rgb: Pixels, points: Floats, names: tuple[int, ...]) -> float:
    """The median over these points of the face."""
    last = np.array(rgb.shape[1::-1]) - 1
    x, y = np.clip(points[list(names), :2].round(), 0, last).astype(int).T
    return float(np.median(rgb[y, x].astype(np.float32) @ LUMA))
