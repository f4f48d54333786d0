"""A face's own measures, read from its 468 landmarks: axes, lips, eyes and brows.

Everything here is in pixels of the framed photo; `u` runs along the eyes, `v` down the face,
both from the middle of the mouth, so a tilted head needs no case of its own. Moves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vidgen.renderers.puppet.grid import Array, smoothstep
from vidgen.vision.iris import FRONTAL
from vidgen.work import EyeView

FOREHEAD: Final = 10
CHIN: Final = 152
JAW: Final = (172, 397)  # its corners, image left and right
OUTLINE: Final = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
JAWLINE: Final = (58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288)
FOLDS: Final = ((129, 203, 206, 216, 212), (358, 423, 426, 436, 432))  # nose to mouth, each side
UPPER_LIP: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)  # its inner edge
LOWER_LIP: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
OUTER_UPPER: Final = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
OUTER_LOWER: Final = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
# One row for each eye of the picture, left first; points from left to right.
UPPER_LIDS: Final = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133),
    (362, 398, 384, 385, 386, 387, 388, 466, 263),
)
LOWER_LIDS: Final = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
    (362, 382, 381, 380, 374, 373, 390, 249, 263),
)
BROWS_ABOVE: Final = ((70, 63, 105, 66, 107), (336, 296, 334, 293, 300))
BROWS_BELOW: Final = ((46, 53, 52, 65, 55), (285, 295, 282, 283, 276))
SHUT: Final = 0.012  # of Hf: lips nearer than this touch in the photo
LEAST_APART: Final = 0.30  # Hf: pupils that stand nearer are a turned face's
SMILE: Final = (0.86, 1.00)  # mouth over pupils: .58–1.03 at rest, .99–1.16 on smiles with teeth
TOO_WIDE: Final = (0.10, 0.17)  # Hf: from here on a gap is not quite shut, from there by AJAR less
AJAR: Final = 0.30
GROWN: Final = (13.4, 11.8)  # irises: grown-ups' faces in photos have 13.6–18, a child's 11.7
HUNG: Final = (0.07, 0.13)  # Hf: from here to there a gap is more and more the jaw's doing


@dataclass(frozen=True, slots=True)
class Axes:
    """Two unit vectors at right angles and the point they start from."""

    x: float
    y: float
    cos: float
    sin: float

    def uv(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Frame pixels → along, down."""
        dx, dy = x - self.x, y - self.y
        return dx * self.cos + dy * self.sin, dy * self.cos - dx * self.sin

    def xy(self, u: Array, v: Array) -> tuple[Array, Array]:
        """Along, down → frame pixels."""
        return self.x + u * self.cos - v * self.sin, self.y + u * self.sin + v * self.cos

    def turn(self, du: Array, dv: Array) -> tuple[Array, Array]:
        """A shift along and down → in frame pixels."""
        return du * self.cos - dv * self.sin, du * self.sin + dv * self.cos


@dataclass(frozen=True, slots=True)
class Curve:
    """v over u as a table, continued flat at both ends."""

    u: Array
    v: Array

    def __call__(self, u: Array) -> Array:
        return np.interp(u, self.u, self.v).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye in axes of its own: from its middle, along its corners, in pixels."""

    axes: Axes
    half: float  # half the distance of its corners
    upper: Curve  # the lids' edges
    lower: Curve
    brow: Curve  # lower edge of the brow
    iris: tuple[float, float, float] | None = None  # u, v, radius; None when nobody looked
    problem: str = ""  # why it stays as it is, see `work.EyeView`
    outer: int = -1  # on which side its outer corner is: -1 left, 1 right
    wider: float = 0.0  # the other eye's half width where that is wider, else nothing

    @property
    def size(self) -> float:
        """Its width as from the front, pixels: the far eye of a turned face looks narrower than it
        is, but no lower."""
        half = max(self.half, self.wider)
        turned = (FRONTAL * half - self.half) / ((1 - FRONTAL) * half)
        return 2 * (self.half + min(1.0, max(0.0, turned)) * (half - self.half))

    @property
    def opening(self) -> float:
        """Largest distance of the lids, pixels."""
        return float((self.lower.v - self.upper.v).max())


@dataclass(frozen=True, slots=True)
class FaceGeometry:
    """What the renderer must know of a face. Lengths are pixels; `height` is Hf."""

    axes: Axes  # from the middle of the mouth
    height: float  # forehead 10 to chin 152
    left: float  # half width of the inner mouth on the picture's left, > 0
    right: float
    upper: Curve  # inner edges of the lips
    lower: Curve
    outer_upper: Curve  # outer edges
    outer_lower: Curve
    gap: float  # between the lips in the photo, at its widest
    chin: float  # v of the chin
    jaw: float  # half width of the jaw
    jawline: Curve  # the lower edge of the face
    folds: tuple[Array, Array]  # (5, 2) u, v: from the nose's wings to beside the mouth
    middle: tuple[float, float]  # u, v of the face's middle
    outline: Array  # (36, 2) frame pixels
    eyes: tuple[Eye, Eye]  # image left, right
    brows: tuple[Curve, Curve]
    depth: Array | None = None  # (468, 3) x, y and how far before the head's middle, pixels

    @property
    def is_shut(self) -> bool:
        """Whether the lips touch in the photo."""
        return self.gap < SHUT * self.height

    def across(self, u: Array) -> Array:
        """u as a share of the half mouth on its own side: -1 and 1 are the corners.

        A turned face shows its far half shorter; the shares stay the same.
        """
        return np.where(u < 0, u / self.left, u / self.right).astype(np.float32)

    def middle_line(self, u: Array) -> Array:
        """v half-way between the lips."""
        return (self.upper(u) + self.lower(u)) / 2

    @property
    def pupils(self) -> float:
        """How far apart the eyes' middles are, pixels; a turned face's as if it looked ahead."""
        one, other = (eye.axes for eye in self.eyes)
        return max(float(np.hypot(one.x - other.x, one.y - other.y)), LEAST_APART * self.height)

    @property
    def smile(self) -> float:
        """0 a mouth at rest – 1 one drawn wide."""
        low, high = SMILE
        wide = (self.left + self.right) / self.pupils
        return float(smoothstep(np.asarray((wide - low) / (high - low))))

    @property
    def youth(self) -> float:
        """0 a grown-up's face – 1 a small child's, by its height in irises, which do not grow."""
        radii = [eye.iris[2] for eye in self.eyes if eye.iris and not eye.problem]
        if not radii:
            return 0.0
        grown, small = GROWN
        tall = self.height / (2 * sum(radii) / len(radii))
        return float(smoothstep(np.asarray((grown - tall) / (grown - small))))

    @property
    def hung(self) -> float:
        """How much of the photo's gap is a jaw that hangs, 0–1: its chin goes up to shut it."""
        low, high = HUNG
        wide = smoothstep(np.asarray((self.gap / self.height - low) / (high - low)))
        return float(wide) * (1 - self.smile)

    @property
    def ajar(self) -> float:
        """How much of the photo's gap stays in a mouth at rest: too much skin would have to come
        from nowhere."""
        low, high = TOO_WIDE
        return AJAR * float(smoothstep(np.asarray((self.gap / self.height - low) / (high - low))))

    def shut_upper(self, u: Array) -> Array:
        """v of the upper lip's edge in a mouth at rest."""
        upper = self.upper(u)
        return upper + (1 - self.ajar) * (self.meeting_line(u) - upper)

    def meeting_line(self, u: Array) -> Array:
        """v where the lips meet when shut: half-way, or higher, under a hanging jaw, or in a smile,
        whose lower lip does most of it."""
        share = 0.5 - 0.28 * self.hung - 0.16 * self.smile
        return self.upper(u) + share * (self.lower(u) - self.upper(u))


def measure(points: Array, views: Sequence[EyeView] = ()) -> FaceGeometry:
    """The measures of the face with these landmarks, (468, 2 or 3) in frame pixels; with `views`,
    (left, right), its eyes are theirs."""
    flat = np.asarray(points[:, :2], np.float64)
    axes = _axes(flat)
    uv = np.stack(axes.uv(flat[:, 0], flat[:, 1]), 1)
    height = float(np.hypot(*(flat[FOREHEAD] - flat[CHIN])))
    left, right = max(1.0, -uv[78, 0]), max(1.0, uv[308, 0])
    upper, lower = _lips(uv, left, right)
    wide = (uv[list(JAW), 0] - uv[:, 0].mean()).tolist()
    return FaceGeometry(
        axes=axes,
        height=height,
        left=float(left),
        right=float(right),
        upper=upper,
        lower=lower,
        outer_upper=smooth_curve(uv[list(OUTER_UPPER)], 0.08 * (left + right)),
        outer_lower=smooth_curve(uv[list(OUTER_LOWER)], 0.08 * (left + right)),
        gap=float((lower.v - upper.v).max()),
        chin=float(uv[CHIN, 1]),
        jaw=float((wide[1] - wide[0]) / 2),
        folds=(uv[list(FOLDS[0])], uv[list(FOLDS[1])]),
        jawline=smooth_curve(uv[list(JAWLINE)], 0.1 * (wide[1] - wide[0])),
        middle=(float(uv[[FOREHEAD, CHIN], 0].mean()), float(uv[[FOREHEAD, CHIN], 1].mean())),
        outline=flat[list(OUTLINE)].astype(np.float32),
        eyes=_eyes(flat, views),
        brows=(_brow(uv, 0), _brow(uv, 1)),
        depth=_depth(points),
    )


def _depth(points: Array) -> Array | None:
    """x, y and depth of landmarks that have one."""
    if points.shape[1] < 3 or not np.any(points[:, 2]):
        return None
    return np.concatenate([points[:, :2], -points[:, 2:3]], 1).astype(np.float32)


def _axes(points: Array) -> Axes:
    """u from the eye line, evened out with the line from the bridge of the nose to the chin."""
    along = points[263] - points[33]
    down = points[CHIN] - points[168]
    angle_u = np.arctan2(along[1], along[0])
    angle_v = np.arctan2(-down[0], down[1])
    turn = (angle_v - angle_u + np.pi) % (2 * np.pi) - np.pi
    # the lips lie along the eyes; a turned and nodding head shears the two lines apart
    angle = float(angle_u + 0.3 * np.clip(turn, -0.35, 0.35))
    x, y = points[[13, 14]].mean(0)
    return Axes(float(x), float(y), float(np.cos(angle)), float(np.sin(angle)))


def smooth_curve(uv: Array, width: float, samples: int = 241) -> Curve:
    """A curve through `uv` (N, 2), smoothed over `width` pixels, its ends kept."""
    order = np.argsort(uv[:, 0], kind="stable")
    u = np.linspace(uv[order[0], 0], uv[order[-1], 0], samples)
    v = np.interp(u, uv[order, 0], uv[order, 1])
    step = max(1e-6, float(u[1] - u[0]))
    kernel = np.exp(-0.5 * (np.arange(-60, 61) * step / max(1e-3, width / 2)) ** 2)
    trend = np.linspace(v[0], v[-1], samples)
    padded = np.pad(v - trend, 60, mode="reflect", reflect_type="odd")
    smoothed = np.convolve(padded, kernel / kernel.sum(), "valid") + trend
    return Curve(u.astype(np.float32), smoothed.astype(np.float32))


def _lips(uv: Array, left: float, right: float) -> tuple[Curve, Curve]:
    """The inner edges over one common table of u; they meet in the corners, never cross."""
    width = 0.10 * (left + right)
    upper = smooth_curve(uv[list(UPPER_LIP)], width)
    lower = smooth_curve(uv[list(LOWER_LIP)], width)
    u = np.linspace(-left, right, 241).astype(np.float32)
    above, below = upper(u), lower(u)
    middle = (above + below) / 2
    half = np.maximum(0.0, below - above) / 2
    share = np.where(u < 0, -u / left, u / right)
    half *= np.clip((1 - share) / 0.12, 0, 1)
    return Curve(u, (middle - half).astype(np.float32)), Curve(
        u, (middle + half).astype(np.float32)
    )


def _eyes(points: Array, views: Sequence[EyeView]) -> tuple[Eye, Eye]:
    left, right = (_eye(points, side, views) for side in (0, 1))
    return replace(left, wider=right.half), replace(right, wider=left.half)


def _eye(points: Array, side: int, views: Sequence[EyeView]) -> Eye:
    above, below = points[list(UPPER_LIDS[side])], points[list(LOWER_LIDS[side])]
    if views:
        above, below = views[side].upper.astype(np.float64), views[side].lower.astype(np.float64)
    across = above[-1] - above[0]
    length = max(2.0, float(np.hypot(*across)))
    x, y = (above[0] + above[-1]) / 2
    axes = Axes(float(x), float(y), float(across[0] / length), float(across[1] / length))

    def curve(of: Array) -> Curve:
        return smooth_curve(np.stack(axes.uv(of[:, 0], of[:, 1]), 1), 0.12 * length)

    upper, lower = curve(above), curve(below)
    lid = Curve(lower.u, np.maximum(lower.v, upper(lower.u)).astype(np.float32))
    brow = curve(points[list(BROWS_BELOW[side])])
    outer = (-1, 1)[side]
    if not views:
        return Eye(axes, length / 2, upper, lid, brow, outer=outer)
    u, v = axes.uv(*views[side].centre.astype(np.float64))
    iris = float(u), float(v), views[side].radius
    return Eye(axes, length / 2, upper, lid, brow, iris, views[side].problem, outer)


def _brow(uv: Array, side: int) -> Curve:
    middle = (uv[list(BROWS_ABOVE[side])] + uv[list(BROWS_BELOW[side])]) / 2
    return smooth_curve(middle, 0.3 * float(np.ptp(middle[:, 0])))
