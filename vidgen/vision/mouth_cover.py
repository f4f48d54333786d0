"""Whether the mouth can be seen: not behind a microphone, a hand, a finger, a mask or a scarf.

Shut lips have a dark line between them, open ones dark or teeth; what covers them has neither where
the landmarks guess the lips. Refuses nobody: that is the stage's business.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA, lab
from vidgen.vision.faces import Landmarks, head_pose
from vidgen.vision.matting import disc
from vidgen.work import Floats, Pixels

# Inner edges of the lips, from the picture's left corner to the right one
UPPER: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
# The outer edge of the lips, all round
OUTER: Final = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375,
                291, 409, 270, 269, 267, 0, 37, 39, 40, 185)  # fmt: skip
SKIN: Final = (50, 280, 168, 151)  # on cheeks, between the eyes, on the forehead
SIZE: Final = 170.0  # pixels of Hf at which colours are looked at
COLUMNS: Final = 49
REACH: Final = 0.09  # Hf: how far beyond the lips' edges is looked
NEAR: Final = (0.020, 0.010)  # Hf: about the line of shut lips; beyond the edges of open ones
BESIDE: Final = 0.030  # Hf: farther from the line begins what it is darker than
WIDE: Final = 0.09  # Hf: a mouth so wide open has its lips that much farther off
FLAT: Final = 0.35  # of the mean luma: a face of less contrast shows no line to be missed
NO_LINE: Final = 0.15  # of the luma beside it: over half the mouth, with landmarks in doubt
NO_PART: Final = 0.015  # in the fifth of the mouth where it is faintest: a finger is .00 to .01,
# braces are .023, teeth in a grey photo .019
AGAPE: Final = 0.5  # of it: so dark from side to side of a wide opening is no cover
BRIGHTER: Final = -0.005  # a finger is like the skin; teeth, and lips in a beard, are lighter
LEAST: Final = 90.0  # pixels of Hf: in a smaller face a line may be too thin to be seen
UNSURE: Final = 0.010  # `LandmarkNet.doubt` that goes with covered mouths
LOST: Final = 0.017  # and the one that goes with hardly any other
HOPELESS: Final = 0.024  # and the one that tells by itself: a mask's folds look like lips
CLEAR: Final = 0.20  # a line so dark is one, whatever the landmarks do
COLOURED: Final = 5.0  # of a and b of Lab: skin of less tells nothing by its lips' colour
TONED: Final = 2.6  # a and b that lightness does not tell: less, and the photo is toned throughout
LIKE_SKIN: Final = 1.5  # lips that are no redder (a of Lab) than what is round them are none
DOUBTED: Final = 0.0128  # where the landmarks are in as much doubt
LIPS_SEEN: Final = 4.0  # so much redder are lips that are seen, however faint their line
# Degrees aside from which on a free mouth is doubted more, and after how many more twice as much:
# the median of 175 is .007 up to 20°, .008 up to 25°, .012 beyond
TURNED: Final = (15.0, 20.0)


@dataclass(frozen=True, slots=True)
class MouthLine:
    """How much darker it is between the lips than on them, shares of luma, over the mouth."""

    usual: float  # in the middle column by darkness
    faintest: float  # a fifth of the columns are fainter
    height: float  # Hf, pixels
    contrast: float  # of the whole face: 95th less 5th percentile, over their mean
    red: float = 0.0  # how much redder the lips are than what is round them, a of Lab
    colour: float = 0.0  # of the skin, a and b of Lab; of a statue or an old photo hardly any, and
    # none of one that is toned throughout
    apart: float = 0.0  # of the inner lips where they are farthest apart, Hf
    yaw: float = 0.0  # of the head, degrees


def is_covered(line: MouthLine, doubt: float) -> bool:
    """By the line and `LandmarkNet.doubt`.

    On 30 free mouths (smiles, beards, paintings, old photos) `usual` was .20–.94 and `faintest`
    .12–.91, the doubt at most .011; behind drawn microphones and masks `usual` was .00–.17 and the
    doubt .012–.029, behind a finger `faintest` .00–.01, behind a real microphone .05, .03, .014.
    Behind 48 real masks the doubt was .013–.056 and the lips no redder than 2.2; of 387 free mouths
    only a blurred one was as much in doubt and no more than 2 redder than the skin round it.
    Two mouths wide open were, too (doubt .016 and .018): `faintest` .61 and .74, `apart` .14 and
    .21; of 65 covered ones .42 and .10 came nearest to that.
    """
    if line.usual >= NO_LINE:  # else a microphone before a head turned aside would be excused
        doubt /= 1 + max(0.0, abs(line.yaw) - TURNED[0]) / TURNED[1]
    if line.apart > WIDE and line.faintest >= AGAPE and doubt < HOPELESS:
        return False
    is_coloured = line.colour >= COLOURED
    are_lips = line.red >= (LIPS_SEEN if doubt >= LOST else LIKE_SKIN)
    if is_coloured and not are_lips and doubt >= DOUBTED:
        return True
    # By a finger, with the line seen beside it
    is_parted = BRIGHTER <= line.faintest < NO_PART and line.usual >= NO_LINE
    if is_coloured and line.red >= LIPS_SEEN and doubt < DOUBTED:
        return is_parted
    if line.contrast < FLAT or line.height < LEAST:
        return doubt >= LOST and line.usual < NO_LINE
    if doubt >= HOPELESS:
        return True
    has_no_line = line.usual < (CLEAR if doubt >= LOST else NO_LINE)
    return is_parted or (has_no_line and doubt >= UNSURE)


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
    red, colour = _colours(rgb, face)
    apart = float(gap.max()) / max(1e-6, h)
    yaw = head_pose(face.points)[0]
    return MouthLine(usual, faintest, h, _contrast(rgb, face), red, colour, apart, yaw)


def _colours(rgb: Pixels, face: Landmarks) -> tuple[float, float]:
    """`MouthLine.red` and `MouthLine.colour`."""
    import cv2

    scale = SIZE / max(1.0, face.height)
    left, top, right, bottom = face.box
    matrix = np.array([[scale, 0, -scale * left], [0, scale, -scale * top]], np.float32)
    size = max(1, round(scale * (right - left))), max(1, round(scale * (bottom - top)))
    part = cv2.warpAffine(rgb, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    colours = lab(part)
    points = np.round((face.points[:, :2] - (left, top)) * scale).astype(np.int32)
    mouth, inside = (np.zeros(colours.shape[:2], np.uint8) for _ in range(2))
    cv2.fillPoly(mouth, [points[list(OUTER)]], 1)
    cv2.fillPoly(inside, [points[list(UPPER + LOWER[::-1])]], 1)
    near, far = (cv2.dilate(mouth, disc(share * SIZE)) for share in (0.025, 0.06))
    lips, round_them = (mouth > inside), (far > near)
    skin = colours[tuple(points[list(SKIN)].clip(0, np.array(size) - 1).T[::-1])]  # (4, 3)
    red = np.median(colours[lips, 1]) - np.median(colours[round_them, 1]) if lips.any() else 0.0
    colour = 0.0 if _is_toned(colours[::2, ::2]) else np.median(np.hypot(skin[:, 1], skin[:, 2]))
    return float(red), float(colour)


def _is_toned(colours: Floats) -> bool:
    """Whether one tone, as of sepia, makes all of these (H, W, 3) of Lab: a curve over lightness.

    What is left beside the best parabola is 1.6 and 2.4 in two old photos, 3.1 and more in 43
    faces behind something and 3.6 and more in 145 free ones.
    """
    light, chroma = colours[..., 0].ravel() / 100, colours[..., 1:].reshape(-1, 2)
    terms = np.stack([np.ones_like(light), light, light * light], 1)
    off = chroma - terms @ np.linalg.lstsq(terms, chroma, rcond=None)[0]
    return float(np.sqrt((off**2).sum(1).mean())) < TONED


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
    beside = float(np.median(luma[(off > BESIDE * h + edge) & (off < REACH * h + edge)]))
    return (beside - dark) / max(5.0, beside)
