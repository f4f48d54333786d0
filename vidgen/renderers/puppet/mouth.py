"""The mouth's patch: both lips over what lies between them, drawn with the head at rest.

The patch has twice the frame's resolution; the head's motion is laid over it afterwards.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vidgen.renderers.puppet import interior, lips
from vidgen.renderers.puppet.bases import CARRIED, WEIGHTS, WIDEST
from vidgen.renderers.puppet.eyes import places
from vidgen.renderers.puppet.geometry import Face
from vidgen.renderers.puppet.grid import Grid, enlarged, smoothstep
from vidgen.renderers.puppet.interior import Interior
from vidgen.renderers.puppet.layer import FINE
from vidgen.renderers.puppet.lips import Lips
from vidgen.renderers.puppet.skin import Light
from vidgen.work import Box, Floats, Pixels

TOUCH: Final = 0.010  # Hf: gap at which the line between the lips is gone
CLING: Final = 0.005  # Hf: narrower gaps show nothing, or a dark hairline is left in the corners
WARM: Final = np.array([1.0, 1.12, 1.25], np.float32)  # shade in a mouth is reddish
FLOORS: Final = {False: (0.58, 0.78, 0.68), True: (0.84, 0.92, 0.90)}  # own teeth are lit already


@dataclass(frozen=True, slots=True)
class Mouth:
    """All that drawing the mouth needs."""

    box: Box  # frame pixels that the patch covers, whole cells of the grid
    rows: slice  # of the grid's nodes
    columns: slice
    pitch: int
    at: Floats  # (h, w, 2): each patch pixel in the lips' pictures
    plain: Floats  # (h / 2, w / 2, 2): each frame pixel in the lips' distances
    lips: Lips
    above: Floats  # frame resolution, 2 channels: the lip's distance; 1 between the corners
    below: Floats
    inside: Interior
    height: float  # Hf
    feather: float  # width of the lips' edges, frame pixels
    down: tuple[float, float]  # unit vector down the face

    def draw(self, weights: Floats, upper: Floats, lower: Floats, tongue: float) -> Pixels:
        """(h, w, 3) for a frame's weights (9,) and its two fields on the grid's nodes."""
        import cv2

        upper, lower = upper[self.rows, self.columns], lower[self.rows, self.columns]
        above, between = self._distances(upper, self.above)
        below, _ = self._distances(lower, self.below)
        high, low, hole, touch = self._cover(above, below, between)
        top = self._lip(self.lips.upper_apart, self.lips.upper_touching, upper, touch)
        bottom = self._lip(self.lips.lower_apart, self.lips.lower_touching, lower, touch)
        patch = cv2.blendLinear(top, bottom, high, low)
        rows, columns = _bounds(hole)
        if rows.stop > rows.start:
            part = (rows, columns)
            jaw = drop(weights, self.height)
            within = self._within(part, above[part], below[part], jaw, tongue)
            share = hole[part][..., None]
            mixed = patch[part] * (1 - share) + within * share + 0.5
            patch[part] = np.clip(mixed, 0, 255).astype(np.uint8)
        return patch

    def _distances(self, field: Floats, picture: Floats) -> tuple[Floats, Floats]:
        """The two channels of `picture` where each patch pixel comes from, each (h, w).

        They are smooth: looked up at the frame's resolution, then doubled.
        """
        import cv2

        plain = self.plain + enlarged(field, self.pitch, smooth=True)
        found = cv2.remap(
            picture, plain, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        first, second = cv2.split(_twice(found))
        return first, second

    def _cover(
        self, above: Floats, below: Floats, between: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Shares of upper lip, lower lip, opening, and how nearly the lips touch, each (h, w).

        Where the lips touch their shares add up to 1, so that no dark line is left between.
        """
        slack = CLING * self.height / 2
        high = np.clip((above + slack) / self.feather + 0.5, 0, 1)
        low = np.clip((below + slack) / self.feather + 0.5, 0, 1)
        hole = np.clip(1 - high - low, 0, 1) * between
        low = np.maximum(low, 1 - high - hole)
        gap = np.maximum(0, -above - below)
        touch = np.exp(-((gap / (TOUCH * self.height)) ** 2))
        return high, low + 1e-4, hole, touch

    def _lip(self, apart: Pixels, touching: Pixels, field: Floats, touch: Floats) -> Pixels:
        """One lip, drawn from its pictures through its field."""
        import cv2

        fine = enlarged(field, FINE * self.pitch, smooth=True)
        maps = cv2.convertMaps(self.at + FINE * fine, None, cv2.CV_16SC2)
        if touch.max() < 0.01:
            return _look(apart, maps)
        return cv2.blendLinear(_look(touching, maps), _look(apart, maps), touch, 1 - touch)

    def _within(
        self, part: tuple[slice, slice], above: Floats, below: Floats, jaw: float, tongue: float
    ) -> Floats:
        """What the opening shows, (h, w, 3) 0–255."""
        inside = self.inside
        colour = inside.cavity[part]
        lift = jaw * 0.95 - tongue * (0.35 * jaw + 0.010 * self.height)
        colour = _laid(colour, self._slid(inside.tongue, part, lift))
        colour = _laid(colour, self._slid(inside.lower, part, 0.93 * jaw))
        colour = _laid(colour, inside.upper[part])
        return colour * self._shade(above, below) + inside.grain[part]

    def _slid(self, picture: Floats, part: tuple[slice, slice], by: float) -> Floats:
        """`picture` moved `by` frame pixels down the face."""
        import cv2

        rows, columns = part
        dx, dy = (FINE * by * side for side in self.down)
        matrix = np.array([[1, 0, dx - columns.start], [0, 1, dy - rows.start]], np.float32)
        size = (columns.stop - columns.start, rows.stop - rows.start)
        return cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)

    def _shade(self, above: Floats, below: Floats) -> Floats:
        """The shadow of the lips, (h, w, 3): deeper under the upper one and in narrow openings."""
        under, over, narrow = FLOORS[self.inside.own_teeth]
        h = self.height
        shade = under + (1 - under) * smoothstep(-above / (0.030 * h))
        shade *= over + (1 - over) * smoothstep(-below / (0.018 * h))
        shade *= narrow + (1 - narrow) * smoothstep((-above - below) / (0.035 * h))
        return shade[..., None] ** WARM


def drop(weights: Floats, height: float) -> float:
    """How far the jaw hangs, frame pixels."""
    return float(weights[0] + weights[1]) * CARRIED * WIDEST * height


def build(frame: Pixels, face: Face, light: Light, grid: Grid) -> Mouth:
    """Prepare the mouth of `face`; `grid` is the one its fields come on."""
    box = _box(face, 1.25, (0.055, 0.135))
    inner, rows, columns = grid.part(box)
    box = (inner.left, inner.top, inner.right, inner.bottom)
    margin = round(0.12 * face.height)
    height, width = frame.shape[:2]
    around = (
        max(0, box[0] - margin),
        max(0, box[1] - margin),
        min(width, box[2] + margin),
        min(height, box[3] + margin),
    )
    both = lips.build(frame, face, around)
    x, y = places(box)
    between = _between(face, around)
    at = np.stack([FINE * (x - around[0]), FINE * (y - around[1])], -1)
    return Mouth(
        box=box,
        rows=rows,
        columns=columns,
        pitch=inner.pitch,
        at=at.astype(np.float32),
        lips=both,
        plain=(at[::FINE, ::FINE] / FINE).astype(np.float32),
        above=np.dstack([both.above, between]),
        below=np.dstack([both.below, between]),
        inside=interior.build(frame, face, light, x, y),
        height=face.height,
        feather=max(0.8, 1.6 * light.blur),
        down=(-face.axes.sin, face.axes.cos),
    )


def _twice(distances: Floats) -> Floats:
    import cv2

    matrix = np.array([[1 / FINE, 0, 0], [0, 1 / FINE, 0]])
    size = (FINE * distances.shape[1], FINE * distances.shape[0])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(distances, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)


def _between(face: Face, box: Box) -> Floats:
    y, x = np.mgrid[box[1] : box[3], box[0] : box[2]].astype(np.float32)
    share = face.across(face.axes.uv(x, y)[0])
    return smoothstep((1.0 - np.abs(share)) / 0.14)


def _box(face: Face, wide: float, tall: tuple[float, float]) -> Box:
    """Frame pixels round the mouth: `wide` half mouths to each side, `tall` Hf above, below."""
    u = np.array([-wide * face.left, wide * face.right], np.float32)
    v = np.array(
        [
            face.upper.v.min() - tall[0] * face.height,
            face.lower.v.max() + tall[1] * face.height,
        ],
        np.float32,
    )
    x, y = face.axes.xy(*(side.ravel() for side in np.meshgrid(u, v)))
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


def _look(picture: Any, maps: Any) -> Any:
    import cv2

    return cv2.remap(picture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _laid(under: Floats, layer: Floats) -> Floats:
    """A premultiplied layer (h, w, 4) over colours (h, w, 3)."""
    return under * (1 - layer[..., 3:] / 255) + layer[..., :3]


def _bounds(hole: Floats) -> tuple[slice, slice]:
    """The rows and columns that hold all of the opening."""
    seen = hole > 0.004
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


assert WEIGHTS[:2] == ("wide", "narrow")
