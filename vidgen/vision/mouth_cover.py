"""Whether the mouth can be seen: not behind a microphone, a hand, a finger, a mask or a scarf.

Shut lips have a dark line between them, open ones dark or teeth; what covers them has neither where
the landmarks guess the lips. Refuses nobody: that is the stage's business.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.vision.faces import Landmarks
from vidgen.work import Floats, Pixels

# Inner edges of the lips, from the picture's left corner to the right one
UPPER: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
COLUMNS: Final = 49
REACH: Final = 0.09  # Hf: how far beyond the lips' edges is looked
NEAR: Final = (0.020, 0.010)  # Hf: about the line of shut lips; beyond the edges of open ones
BESIDE: Final = 0.030  # Hf: farther from the line begins what it is darker than
WIDE: Final = 0.09  # Hf: a mouth so wide open has its lips that much farther off
FLAT: Final = 0.35  # of the mean luma: a face of less contrast shows no line to be missed
NO_LINE: Final = 0.15  # of the luma beside it: over half the mouth, with landmarks in doubt
NO_PART: Final = 0.015  # the same in the fifth of the mouth where it is faintest
LEAST: Final = 90.0  # pixels of Hf: in a smaller face a line may be too thin to be seen
UNSURE: Final = 0.010  # `LandmarkNet.doubt` that goes with covered mouths
LOST: Final = 0.017  # and the one that goes with hardly any other
HOPELESS: Final = 0.024  # and the one that tells by itself: a mask's folds look like lips
CLEAR: Final = 0.20  # a line so dark is one, whatever the landmarks do


@dataclass(frozen=True, slots=True)
class MouthLine:
    """How much darker it is between the lips than on them, shares of luma, over the mouth."""

    usual: float  # in the middle column by darkness
    faintest: float  # a fifth of the columns are fainter
    height: float  # Hf, pixels
    contrast: float  # of the whole face: 95th less 5th percentile, over their mean


def is_covered(line: MouthLine, doubt: float) -> bool:
    """By the line and `LandmarkNet.doubt`.

    On 30 free mouths (smiles, beards, paintings, old photos) `usual` was .20–.94 and `faintest`
    .12–.91, the doubt at most .011; behind drawn microphones and masks `usual` was .00–.17 and the
    doubt .012–.029, behind a finger `faintest` .00–.01, behind a real microphone .05, .03, .014.
    Behind 40 real masks the doubt was .019–.056, on 55 more free mouths .003–.019.
    """
    if line.contrast < FLAT or line.height < LEAST:
        return doubt >= LOST and line.usual < NO_LINE
    if doubt >= HOPELESS:
        return True
    if line.faintest < NO_PART and line.usual >= NO_LINE:
        return True  # a finger across a mouth whose line is seen beside it
    return line.usual < (CLEAR if doubt >= LOST else NO_LINE) and doubt >= UNSURE


def mouth_line(rgb: Pixels, face: Landmarks) -> MouthLine:
    """Look at the mouth of `face` in `rgb` (H, W, 3)."""
    import cv2

    share = np.linspace(0.1, 0.9, COLUMNS, dtype=np.float32)
    upper, lower = (_along(face.points, points, share) for points in (UPPER, LOWER))
    middle = (upper + lower) / 2  # (COLUMNS, 2)
    across = face.points[308, :2] - face.points[78, :2]
    across = across / max(1e-6, float(np.hypot(*across)))
    down = np.array([-across[1], across[0]], np.float32)
    gap = np.maximum(0, (lower - upper) @ down)  # (COLUMNS,)
    h = face.height
    reach = REACH * h + float(gap.max()) / 2
    steps = np.linspace(-reach, reach, 81)
    at = middle[None] + steps[:, None, None] * down  # (81, COLUMNS, 2)
    x, y = at[..., 0].astype(np.float32), at[..., 1].astype(np.float32)
    colours = cv2.remap(rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    luma = cv2.GaussianBlur(colours.astype(np.float32) @ LUMA, (0, 0), 1.0)
    depths = np.array([_depth(luma[:, i], np.abs(steps), float(gap[i]), h) for i in range(COLUMNS)])
    usual, faintest = float(np.median(depths)), float(np.percentile(depths, 20))
    return MouthLine(usual, faintest, h, _contrast(rgb, face))


def _contrast(rgb: Pixels, face: Landmarks) -> float:
    """Of the whole face: brows and eyes are dark in any photo that shows them."""
    height, width = rgb.shape[:2]
    left, top, right, bottom = (int(side) for side in face.box)
    part = rgb[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    if not part.size:
        return 0.0
    low, high = np.percentile(part.astype(np.float32) @ LUMA, (5, 95))
    return float((high - low) / max(1.0, (high + low) / 2))


def _along(points: Floats, names: tuple[int, ...], share: Floats) -> Floats:
    """(N, 2) places on the curve through these points, at shares of the way between corners."""
    curve = points[list(names), :2]
    along = (curve - curve[0]) @ (curve[-1] - curve[0])
    along = np.maximum.accumulate(along / max(1e-6, float(along[-1])))
    return np.stack([np.interp(share, along, curve[:, axis]) for axis in (0, 1)], 1)


def _depth(luma: Floats, off: Floats, gap: float, h: float) -> float:
    """How much darker the darkest between the lips is than what lies above and below them."""
    near = off < max(NEAR[0] * h, gap / 2 + NEAR[1] * h)
    dark = float(np.percentile(luma[near], 8))
    edge = gap / 2 if gap > WIDE * h else 0.0  # in a smile the teeth count, too: a beard is dark
    beside = (off > BESIDE * h + edge) & (off < REACH * h + edge)
    return 1 - dark / max(5.0, float(np.median(luma[beside])))
