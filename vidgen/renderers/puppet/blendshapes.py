"""Where skin goes when the mouth and the brows move: fixed displacement fields to be mixed.

Two layers, cut along the inner lips: what hangs on the upper lip and what hangs on the jaw.
A frame's field is a weighted sum of these bases, inverted by fixed-point steps. Draws nothing.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.renderers.puppet.canvas import Canvas
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, Grid, smoothstep, span

# The order of a frame's weights.
WEIGHTS: Final = (
    "wide",
    "narrow",
    "close",
    "round",
    "spread",
    "press",
    "apart",
    "relax",
    "jaw",
    "brows",
)
JAW: Final = WEIGHTS.index("jaw")  # the bone alone: lips may shut over a jaw that hangs
WIDEST: Final = 0.082  # Hf: how far the jaw drops at 1 (.115 was a cartoon's laugh)
CARRIED: Final = 0.92  # share of the drop that the lower lip takes; the upper one rises by .08
WIDENED: Final = 0.10  # how much wider a mouth gets whose hanging jaw shuts
SINKS: Final = 0.15  # of the drop that the corners take: else an opening is a grin's wedge
STRAIGHT: Final = (0.85, 0.8)  # of a smile's bow that rounded lips and a wide opening let sink
COVERS: Final = 1.2  # of the way that an upper lip bares a smile's teeth: back by rounded lips
POUT: Final = (0.17, 0.07)  # of the half mouth that rounded lips draw in; and a smile's, more
NARROWS: Final = (0.10, 0.06)  # and that a wide opening does
CHEEKS: Final = 0.007  # Hf: how far spread lips lift the cheeks
CHIN_UP: Final = 0.007  # Hf: how far pressed lips draw the chin's pad up
CHIN: Final = 0.86  # of what the lower lip takes: a jaw turns more than a face gets longer
NECK: Final = 0.18  # Hf under the jaw's edge over which the skin is still: neck, collar, hands
BARED: Final = 0.5  # of its way down to the line: so far a smile's lip goes back up over its teeth
LOPSIDED: Final = 0.10  # by so much one side of a face may go farther than the other
EVEN: Final = ("close", "press", "jaw")  # lips must meet, and a bone is one
STEPS: Final = 3  # of the inversion; the last moves lips by less than a tenth of a pixel


@dataclass(frozen=True, slots=True)
class Blendshapes:
    """Forward displacements in frame pixels for each of `WEIGHTS`, on `grid`."""

    grid: Grid
    upper: Array  # (10, rows, columns, 2)
    lower: Array
    is_lower: Array  # (rows, columns, 1) bool: nodes that belong to the lower layer
    mood: Array | None = None  # (rows, columns, 2): what both layers do in every frame

    def fields(self, canvas: Canvas, weights: Array) -> tuple[Array, Array]:
        """For weights (10,): where each node's colour comes from, upper and lower layer.

        Both are (rows, columns, 2): displacements from the node to its source, frame pixels.
        """
        layers = canvas.weigh_all(weights, (self.upper, self.lower), self.mood)
        upper, lower = canvas.invert(layers, self.grid.pitch, STEPS)
        return upper, lower

    def extent(self, weights: Array, far: float) -> tuple[Array, Array]:
        """The least and the most that any node's displacement can be in frames with weights
        (N, 10) that look it up `far` pixels away, (rows, columns, 2)."""
        import cv2

        low, high = zip(*(span(weights, layer) for layer in (self.upper, self.lower)), strict=True)
        least, most = np.minimum(*low), np.maximum(*high)
        if self.mood is not None:
            least, most = least + self.mood, most + self.mood
        away = far + float(max(-least.min(), most.max()))
        size = 2 * int(np.ceil(away / self.grid.pitch)) + 1
        around = np.ones((size, size), np.uint8)
        return -cv2.dilate(most, around), -cv2.erode(least, around)

    def merge(self, canvas: Canvas, upper: Array, lower: Array) -> Array:
        """One field for everything outside the mouth itself."""
        return canvas.where(self.is_lower, lower, upper)


def build(
    face: FaceGeometry,
    grid: Grid,
    calm_brows: float = 1.0,
    feeling: Array | None = None,
    lean: float = 0.0,
    blur: float = 0.0,
) -> Blendshapes:
    """The bases for `face` over `grid`. `calm_brows` < 1 keeps glasses' frames in place;
    `feeling` is a field of `mood.build`. By `lean`, -1 to 1, one side goes farther. The opening
    is as soft as a photo of this `blur`, pixels."""
    u, v = face.axes.uv(*grid.nodes())
    shape = _Shape.at(face, u, v, blur)
    upper = _upper(face, shape)
    upper["brows"] = _brows(face, u, v, calm_brows)
    gain = 1 + 0.5 * LOPSIDED * lean * np.tanh(u / (0.10 * face.height))
    return Blendshapes(
        grid,
        _stack(face, upper, gain),
        _stack(face, _lower(face, shape), gain),
        (v > shape.middle)[..., None],
        feeling,
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """The functions of place that the bases are made of, on the grid's nodes."""

    u: Array
    v: Array
    share: Array  # u in half mouths
    upper: Array  # v of the lips' edges at this u
    lower: Array
    middle: Array
    bow: Array  # how much higher than its middle the shut lips' line is, not by a jaw that hangs
    near: Array  # E: 1 at the mouth, 0 far from it
    about: Array  # the same farther out: a pout draws the cheeks along
    whole: Array  # profiles over the mouth's width
    centre: Array
    lip: Array  # what the lower lip alone does, over the whole profile
    lip_centre: Array
    bone: Array  # what the jaw does to chin and cheeks
    carried: Array  # and how much of it the lower lip does instead

    @classmethod
    def at(cls, face: FaceGeometry, u: Array, v: Array, blur: float) -> "_Shape":
        share = face.across(u)
        upper, lower = face.upper(u), face.lower(u)
        middle = (upper + lower) / 2
        soft = blur / (face.left + face.right)
        whole = _profile(share, 0.97, 2.3, soft)
        centre = _profile(share, 0.72, 2.0, soft)
        near, about = (
            np.exp(-((share / wide) ** 4) - ((v - middle) / (high * face.height)) ** 2)
            for wide, high in ((1.55, 0.17), (1.8, 0.20))
        )
        down = smoothstep(1.25 * (v - lower) / np.maximum(1.0, face.chin - lower))
        bow = np.maximum(0, face.meeting_line(np.zeros(1, np.float32)) - face.meeting_line(u))
        aside = np.abs(u - face.middle[0]) - 0.45 * face.jaw
        below = 1 - smoothstep((v - face.jawline(u)) / (NECK * face.height) - 0.05)
        bone = CHIN * (1 - smoothstep(aside / (0.75 * face.jaw))) * down
        return cls(
            u,
            v,
            share,
            upper,
            lower,
            middle,
            (1 - face.hung) * bow * near,
            near.astype(np.float32),
            about.astype(np.float32),
            whole,
            centre,
            whole * (1 - down) * below,
            centre * (1 - down) * below,
            bone * below,
            (1 - down) * below,
        )

    def above(self, reach: float) -> Array:
        """1 on the upper lip's edge, falling over `reach` pixels."""
        return np.exp(-(((self.v - self.upper) / reach) ** 2))

    def beneath(self, reach: float) -> Array:
        """1 on the lower lip's edge, falling over `reach` pixels."""
        return np.exp(-(((self.v - self.lower) / reach) ** 2))


def _profile(share: Array, wide: float, flat: float, soft: float) -> Array:
    """1 in the middle, 0 from `wide` half mouths on, blurred by `soft` of them."""
    steps = np.linspace(-1.5, 1.5, 7)
    weights = np.exp(-0.5 * steps**2)
    bows = [
        np.clip(1 - np.abs((share + 2 * soft * step) / wide) ** flat, 0, None) ** 0.9
        for step in steps
    ]
    return np.asarray(np.tensordot(weights / weights.sum(), np.stack(bows), 1))


Moves = dict[str, tuple[Array | float, Array | float]]  # name -> along, down


def _lower(face: FaceGeometry, at: _Shape) -> Moves:
    h = face.height
    drop = CARRIED * WIDEST * h - _baring(face) * face.gap / 3
    widen = WIDENED * face.hung * at.u * at.near
    return {
        "wide": (-_inwards(face, NARROWS) * at.u * at.near, drop * at.lip + _sinking(face, at)),
        "narrow": (-0.04 * at.u * at.near, drop * at.lip_centre + _sinking(face, at)),
        "jaw": (0.0, drop * at.bone),
        "close": (widen, -_shut(face, at)),
        **_common(face, at),
        "press": (
            0.0,
            -0.008 * h * at.whole * _roll(at.v - at.lower, 0.045 * h)
            - CHIN_UP * h * _boss(face, at),
        ),
        "apart": (0.0, 0.012 * h * at.centre * at.beneath(0.05 * h)),
    }


def _roll(depth: Array, reach: float) -> Array:
    """0 on a lip's inner edge, 1 so far into it, 0 again beyond: pressed lips get thinner, and the
    line between them stays where it is. Moved over each other, they hid it."""
    share = np.maximum(0, depth) / reach
    return np.asarray(share * np.exp((1 - share**2) / 2))


def _inwards(face: FaceGeometry, way: tuple[float, float]) -> float:
    """Shares of the half mouth: at rest, and how much more in a smile."""
    return way[0] + way[1] * face.smile


def _sinking(face: FaceGeometry, at: _Shape) -> Array:
    """How far down the corners go as the mouth opens, and the skin about them; a smile's as far as
    it is bowed: drawn in, a bow that does not sink is a snarl."""
    aside = np.minimum(np.abs(at.share), 1) ** 2 * at.near
    return (1 - face.smile) * SINKS * WIDEST * face.height * aside + STRAIGHT[1] * at.bow


def _shut(face: FaceGeometry, at: _Shape) -> Array:
    """How far up the lower lip goes to shut the photo's own gap; a jaw that hangs takes the chin
    along."""
    up = at.lower - face.meeting_line(at.u)
    lip = up * ((1 - face.hung) * at.beneath(0.20 * face.height) + face.hung * at.carried)
    return lip + face.hung * float(up.max()) * at.bone


def _baring(face: FaceGeometry) -> float:
    """How much of its way down the upper lip of a smile goes back up as the mouth opens wide: the
    photo's own teeth show, and the lower lip goes as much less."""
    return BARED * face.smile * (1 - face.ajar)


def _upper(face: FaceGeometry, at: _Shape) -> Moves:
    h = face.height
    widen = WIDENED * face.hung * at.u * at.near
    shut = (face.meeting_line(at.u) - at.upper) * at.above(0.085 * h)
    common = _common(face, at)
    along, down = common["round"]
    rise = -(1 - CARRIED) * WIDEST * h * at.above(0.07 * h) - _baring(face) * shut
    return {
        "wide": (-_inwards(face, NARROWS) * at.u * at.near, rise * at.whole + _sinking(face, at)),
        "narrow": (-0.04 * at.u * at.near, rise * at.centre + _sinking(face, at)),
        "close": (widen, shut),
        **common,
        "round": (along, down + COVERS * _baring(face) * shut),
        "press": (0.0, 0.006 * h * at.whole * _roll(at.upper - at.v, 0.035 * h)),
        "apart": (0.0, -0.014 * h * at.centre * at.above(0.05 * h)),
    }


def _common(face: FaceGeometry, at: _Shape) -> Moves:
    """What both layers do alike, so that the corners hold together."""
    h = face.height
    corner = np.abs(at.share) * at.near
    return {
        "round": (
            -_inwards(face, POUT) * at.u * at.about,
            0.10 * (at.v - at.middle) * at.near + STRAIGHT[0] * at.bow,
        ),
        "spread": (
            0.16 * at.u * at.near,
            -0.012 * h * corner - CHEEKS * h * cheeks(face, at.u, at.v),
        ),
        "relax": (-0.09 * at.u * at.near, 0.012 * h * corner),
    }


def _boss(face: FaceGeometry, at: _Shape) -> Array:
    """The pad of the chin, which pressed lips draw up."""
    off = (at.v - at.lower - 0.72 * (face.chin - at.lower)) / (0.055 * face.height)
    return np.exp(-(off**2) - ((at.u - face.middle[0]) / (0.10 * face.height)) ** 2)


def cheeks(face: FaceGeometry, u: Array, v: Array) -> Array:
    """1 on either cheek, below the eye, falling off over .10 Hf."""
    lift = np.zeros_like(u)
    for eye in face.eyes:
        at_u, at_v = face.axes.uv(np.array(eye.axes.x), np.array(eye.axes.y))
        apart = np.hypot(u - at_u, (v - at_v - 0.14 * face.height) * 1.2)
        lift = np.maximum(lift, np.exp(-((apart / (0.10 * face.height)) ** 2)))
    return lift


def _brows(face: FaceGeometry, u: Array, v: Array, amount: float) -> tuple[float, Array]:
    """Both brows up, falling off over .075 Hf about their lines."""
    lift = np.zeros_like(u)
    for brow in face.brows:
        aside = np.maximum(0, np.maximum(brow.u[0] - u, u - brow.u[-1])) / face.height
        over = (v - brow(u)) / (0.075 * face.height)
        lift = np.maximum(lift, np.exp(-(over**2) - (aside / 0.05) ** 2))
    return 0.0, -0.014 * face.height * amount * lift


def _stack(face: FaceGeometry, moves: Moves, gain: Array) -> Array:
    rows, columns = np.shape(moves["wide"][1])
    stack = np.zeros((len(WEIGHTS), rows, columns, 2), np.float32)
    for index, name in enumerate(WEIGHTS):
        along, down = moves.get(name, (0.0, 0.0))
        own = 1.0 if name in EVEN else gain
        x, y = face.axes.turn(np.asarray(along * own), np.asarray(down * own))
        stack[index, ..., 0], stack[index, ..., 1] = x, y
    return stack
