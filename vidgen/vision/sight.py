"""Whether there is an eye that can blink and look: not under sunglasses, hair or a hand, not shut.

Looks at pixels between the lids that `iris` found. Changes nothing.
"""

import math
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.vision.iris import FRONTAL, EyePoints, IrisNet
from vidgen.work import EyeView, Floats, Pixels

# The face mesh's lids, image left and right, upper and lower, from left to right
MESH_LIDS: Final = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
LEAST: Final = 12  # pixels: a smaller eye is left alone
SHUT: Final = (0.12, 0.17)  # of its width: an eye less open is shut; from here to there (one that
# laughs has .14 and more), if no iris is seen, or the other one is shut
LARGE: Final = 0.58  # of its width: no human iris is so large, only drawn ones
TURNED: Final = 0.80  # of the wider eye's width: what is narrower is turned away
PALE: Final = 0.75  # of the white's luma: an iris not darker than this is hardly seen
PUPIL: Final = (0.68, 0.56)  # unless its darkest fifth, pupil and rim, is darker than that share of
# the white and of the skin: light eyes
FAINT: Final = 0.90  # and one not darker than this is not there
ALIKE: Final = 0.75  # correlation of both eyes, one mirrored, from which a sure one vouches for the
VOUCHED: Final = (0.75, 0.60)  # other, whose darkest fifth need only be darker than this,
CLEAR: Final = 0.40  # or, with a white that is none, than this share of it
SIMILAR: Final = 0.50  # from here on the other may well be an eye: it is not surely hidden
ASIDE: Final = 0.56  # of the wider eye's width, by the mesh: a narrower eye lies behind the nose
MURKY: Final = 0.38  # of the skin's luma: a white darker than this is none, but a lens
ASTRAY: Final = (0.24, 0.29)  # of its width: the two nets tell different lids, so they guess; the
# second where an iris is surely seen, both eyes are similar and the head is not turned
ALLIED: Final = ((0.58, 0.16), (0.85, 0.12))  # correlation of both eyes, and how far apart, of the
# width, both nets' lids may be, for an unsure one beside one that is sure if vouched for to be one;
# and for an unseen one
STEADY: Final = (0.055, 0.045)  # of its width: an eye's lids and iris go no farther astray when the
# net's crop is moved, whatever the other net sees
QUARREL: Final = (0.35, 0.90)  # of its width: so far apart may both nets' lids be then, and, of the
# wider eye's width, so narrow the other: beyond that there were rims or hair before it
OPEN: Final = 0.19  # of its width: less open eyes in doubt may be shut (of 67 shut pairs 3 were in
# doubt, one eye of two of them at .14 and .15)
PAIRED: Final = ("small", "large", "unsure")  # what keeps the other eye still as well
SIDE: Final = 128  # pixels of the straightened picture
WIDE: Final = 64  # of them for the eye's width
LIDS: Final = (slice(46, 82), slice(26, 102))  # rows and columns of it with the eye and its lids
SHIFT: Final = 8  # pixels that the other eye may be off


def views(rgb: Pixels, points: Floats, net: IrisNet) -> tuple[EyeView, EyeView]:
    """Both eyes of the face with these landmarks, (468, 2 or more) pixels of `rgb`."""
    eyes = net.read(rgb, points)
    left, right = (
        EyeView(eye.upper, eye.lower, eye.centre, eye.radius, problem)
        for eye, problem in zip(eyes, _problems(rgb, points, eyes, net), strict=True)
    )
    return left, right


def _problems(
    rgb: Pixels, points: Floats, eyes: tuple[EyePoints, EyePoints], net: IrisNet
) -> list[str]:
    """Those of both, told together: nobody winks."""
    wide = max(map(_width, eyes))
    pairs = list(zip(eyes, _mesh_lids(points), strict=True))

    def look(vouched: bool, astray: float) -> list[str]:
        # an iris is hardly narrower from the side: it is held against the wider eye
        return [eye_problem(rgb, eye, lids, FRONTAL * wide, vouched, astray) for eye, lids in pairs]

    problems, astray = look(False, ASTRAY[0]), ASTRAY[0]
    likeness = _likeness(rgb, *eyes) if any(problems) else 0.0
    if likeness > SIMILAR and min(map(_width, eyes)) > TURNED * wide:
        astray = ASTRAY[1]
        problems = look(False, astray)
    if likeness > ALIKE and "" in problems:
        problems = look(True, astray)
    apart = max(_astray(eye, mesh) for eye, mesh in pairs)
    if _may_be_eyes(problems, eyes, apart, likeness) and _are_steady(rgb, eyes, net, likeness):
        problems = ["", ""]
    if likeness > ALLIED[0][0] and apart < ALLIED[0][1] and "" in look(True, astray):
        problems = ["" if one == "unsure" else one for one in problems]
    if likeness > SIMILAR and "" in problems:
        is_one = likeness > ALLIED[1][0] and apart < ALLIED[1][1]
        hidden = "" if is_one else "unsure"
        problems = [hidden if one == "unseen" else one for one in problems]
    if "shut" in problems:
        narrow = ("shut" if _openness(eye) < SHUT[1] else "" for eye in eyes)
        problems = [one or other for one, other in zip(problems, narrow, strict=True)]
    low, high = sorted(map(_openness, eyes))
    if "" in problems and low >= SHUT[0] and high < 2 * low:  # narrow as the other one: not shut
        problems = ["unsure" if one == "shut" else one for one in problems]
    spans = [float(np.hypot(*(upper[-1] - upper[0]))) for _, (upper, _) in pairs]
    near = (one for one, span in zip(problems, spans, strict=True) if span > ASIDE * max(spans))
    pair = next((one for one in near if one in PAIRED), "")
    return [problem or pair for problem in problems]


def _may_be_eyes(
    problems: list[str], eyes: tuple[EyePoints, EyePoints], apart: float, likeness: float
) -> bool:
    """Whether both are but in doubt: at most one has no iris, and it is alike or the other sure."""
    low, high = sorted(map(_width, eyes))
    is_free = apart < ASTRAY[0] or (apart < QUARREL[0] and low > QUARREL[1] * high)
    blind = problems.count("unseen")
    is_told = blind == 0 or (blind == 1 and ("" in problems or likeness > ALIKE))
    is_doubt = any(problems) and set(problems) <= {"", "unsure", "unseen"}
    return is_doubt and is_told and is_free and min(map(_openness, eyes)) > OPEN


def _are_steady(
    rgb: Pixels, eyes: tuple[EyePoints, EyePoints], net: IrisNet, likeness: float
) -> bool:
    """Irises that nobody sees, in two slits that are alike, may be anywhere."""
    most = STEADY[0], math.inf if likeness > ALLIED[1][0] else STEADY[1]
    spreads = [net.spread(rgb, eye, side) for side, eye in enumerate(eyes)]
    return bool((np.array(spreads) < most).all())


def _mesh_lids(points: Floats) -> list[tuple[Floats, Floats]]:
    return [(points[list(upper), :2], points[list(lower), :2]) for upper, lower in MESH_LIDS]


def _width(eye: EyePoints) -> float:
    return float(np.hypot(*(eye.upper[-1] - eye.upper[0])))


def _openness(eye: EyePoints) -> float:
    """The lids' largest distance, of the eye's width."""
    across = eye.upper[-1] - eye.upper[0]
    down = np.array([-across[1], across[0]]) / (across @ across)
    return float(((eye.lower - eye.upper) @ down).max())


def _astray(eye: EyePoints, mesh: tuple[Floats, Floats]) -> float:
    """How far the other net's lids (9, 2) are off the eye's, of its width."""
    off = (
        np.hypot(*(one - two).T).mean()
        for one, two in zip(mesh, (eye.upper, eye.lower), strict=True)
    )
    return float(max(off)) / max(1e-6, _width(eye))


def eye_problem(
    rgb: Pixels,
    eye: EyePoints,
    mesh: tuple[Floats, Floats],
    usual: float,
    vouched: bool,
    most_astray: float,
) -> str:
    """ "" for an eye that may move, else "small", "shut", "large", "unsure" or "unseen".

    An eye narrower than `usual` is one of a turned face: its iris is not too large. `mesh` is the
    face mesh's upper and lower lid, (9, 2) each; an eye is `vouched` for where the other is surely
    one and looks like it. Lids of an iris that is surely seen may be `most_astray`, of the width.
    On 29 portraits that were looked at open eyes had
    an iris at .14–.73 of the white and a white at .39–2 of the skin below; shut ones .81 and more,
    and an opening of less than .08. Of irises at .75 to 1.06 the darkest fifth was at .31 to .65 in
    light eyes (of nine more portraits), at .80 to 1.05 in two statues' eyes.
    """
    width = _width(eye)
    if width < LEAST:
        return "small"
    picture, to = _straightened(rgb, eye)
    upper, lower = to(eye.upper), to(eye.lower)
    opening = _openness(eye)
    if opening < SHUT[0]:
        return "shut"
    if 2 * eye.radius > LARGE * max(width, usual):
        return "large"
    radius = eye.radius * WIDE / width
    problem = _iris_problem(picture, upper, lower, to(eye.centre), radius, vouched)
    if _astray(eye, mesh) > (ASTRAY[0] if problem else most_astray):
        problem = "unsure"
    return "shut" if problem and opening < SHUT[1] else problem


def _straightened(rgb: Pixels, eye: EyePoints) -> tuple[Floats, "_Map"]:
    """(SIDE, SIDE) luma about the eye, and the way from `rgb`'s pixels to its own."""
    import cv2

    start, end = eye.upper[0].astype(np.float64), eye.upper[-1].astype(np.float64)
    across = end - start
    scale = WIDE / float(np.hypot(*across))
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    middle = (start + end) / 2
    matrix = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), angle, scale)
    matrix[:, 2] += SIDE / 2 - middle
    crop = cv2.warpAffine(rgb, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return (crop.astype(np.float32) @ LUMA), _Map(matrix)


class _Map:
    def __init__(self, matrix: Floats) -> None:
        self.matrix = matrix

    def __call__(self, points: Floats) -> Floats:
        """(…, 2) pixels of the photo → of the straightened picture."""
        moved: Floats = (points @ self.matrix[:, :2].T + self.matrix[:, 2]).astype(np.float32)
        return moved


def _iris_problem(
    luma: Floats, upper: Floats, lower: Floats, centre: Floats, radius: float, vouched: bool
) -> str:
    """ "" where something dark and round lies on something bright between the lids; "unsure" where
    it nearly does, as under paint and false lashes."""
    import cv2

    opening = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(opening, [np.concatenate([upper, lower[::-1]]).round().astype(np.int32)], 1)
    rows, columns = np.indices((SIDE, SIDE))
    off = np.hypot(columns - centre[0], rows - centre[1]) / radius
    iris, white = (opening > 0) & (off < 0.95), (opening > 0) & (off > 1.1)
    below = rows - float(lower[:, 1].max())
    skin = (below > 9) & (below < 24) & (np.abs(columns - SIDE / 2) < 32)
    if min(int(iris.sum()), int(white.sum())) < 10:
        return "unseen"
    bright = float(np.percentile(luma[white], 60))
    dark = float(np.median(luma[iris]))
    tone = max(1.0, float(np.median(luma[skin])))
    pupil = float(np.percentile(luma[iris], 20))
    of_white, of_skin = VOUCHED if vouched else PUPIL
    found = pupil < of_white * bright and pupil < of_skin * tone
    murky = bright <= MURKY * tone and not (vouched and pupil < CLEAR * bright)
    if not murky and (found or dark < PALE * bright):
        return ""
    return "unsure" if dark < FAINT * bright and bright > 0.7 * MURKY * tone else "unseen"


def _likeness(rgb: Pixels, left: EyePoints, right: EyePoints) -> float:
    """Correlation of the eyes with their lids, one mirrored: 1 where they are the same."""
    import cv2

    one, other = (
        cv2.GaussianBlur(_straightened(rgb, eye)[0], (0, 0), 1.5) for eye in (left, right)
    )
    rows, columns = (slice(part.start - SHIFT, part.stop + SHIFT) for part in LIDS)
    room = np.ascontiguousarray(other[:, ::-1][rows, columns])
    return float(cv2.matchTemplate(room, one[LIDS], cv2.TM_CCOEFF_NORMED).max())
