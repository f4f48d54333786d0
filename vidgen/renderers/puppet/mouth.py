"""The mouth: both lips over what lies between them, drawn where the head has it now.

Lips are looked up once, in their own pictures, through the face's and the head's field
together, so they keep the photo's sharpness. Knows nothing of what the interior holds.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.renderers.puppet import inner_lips, lips, mouth_interior
from vidgen.renderers.puppet.blendshapes import Blendshapes
from vidgen.renderers.puppet.canvas import Canvas
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, Grid, smoothstep
from vidgen.renderers.puppet.inner_lips import InnerLips
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.renderers.puppet.lips import Lips
from vidgen.renderers.puppet.mouth_interior import Interior
from vidgen.renderers.puppet.poses import Pose
from vidgen.work import Box, Pixels

TOUCH: Final = 0.010  # Hf: gap at which the line between the lips is gone
CLING: Final = 0.005  # Hf: narrower gaps show nothing, or a dark hairline is left in the corners
BESIDE: Final = 0.25  # half mouths beside the corners that are drawn
ABOVE: Final = 0.055  # Hf above and below the lips
BELOW: Final = 0.135
SEEN: Final = 0.004  # share of the opening: less shows nothing


@dataclass(frozen=True, slots=True)
class Mouth:
    """All that drawing the mouth needs."""

    box: Box  # frame pixels that hold it with the head at rest
    lips: Lips
    inside: Interior
    inner: InnerLips
    height: float  # Hf
    feather: float  # width of the lips' edges, frame pixels
    down: tuple[float, float]  # unit vector down the face

    def draw(self, canvas: Canvas, view: "View", pose: Pose) -> tuple[Array, Array]:
        """The pixels of `view` (h, w, 3) as `pose` has jaw and tongue, and their cover (h, w)."""
        lips = self.lips
        upper = lips.above, lips.upper_apart, lips.upper_touching
        lower = lips.below, lips.lower_apart, lips.lower_touching
        ways, *top = canvas.look_up_over(lips.box, upper, view.upper)
        above, between, cover, across = canvas.split(ways)
        ways, *bottom = canvas.look_up_over(lips.box, lower, view.lower)
        below, *_ = canvas.split(ways)
        high, low, hole, touch = self._shares(canvas, above, below, between)
        one, other = (canvas.blend(touching, apart, touch) for apart, touching in (top, bottom))
        drawn = canvas.blend(one, other, high, low)
        part = canvas.part(hole, SEEN)
        if part is not None:
            jaw, tongue = (
                canvas.spread(self.down, way, self.height) for way in (pose.drop, pose.lift)
            )
            under, at, share, across, above, below = canvas.crop(
                part, drawn, view.turned, hole, across, above, below
            )
            inner = self.inner.look(canvas, pose.weights, across, above, below)
            within = self.inside.look(
                canvas, at, jaw, tongue, above, below, pose.tongue, pose.tip, inner
            )
            drawn = canvas.write(drawn, under, canvas.replace(under, within, share))
        return drawn, cover

    def _shares(
        self, canvas: Canvas, above: Array, below: Array, between: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Shares of upper lip, lower lip, opening, and how nearly the lips touch, each (h, w).

        Where the lips touch their shares add up to 1, so that no dark line is left between.
        """
        slack = CLING * self.height / 2
        high = canvas.edge(above, slack, self.feather)
        low = canvas.edge(below, slack, self.feather)
        rest = 1 - high
        hole = (rest - low).clip(0, 1) * between
        low = canvas.maximum(low, rest - hole)
        gap = (above + below).clip(None, 0)
        return high, low + 1e-4, hole, canvas.bell(gap, TOUCH * self.height)


@dataclass(frozen=True, slots=True)
class View:
    """The pixels of the frame that a mouth is drawn into, and where each of them comes from."""

    box: Box  # frame pixels
    upper: Array  # (h, w, 2) source of the upper layer, frame pixels
    lower: Array
    turned: Array  # (h, w, 2) where the pixel was before the head moved


def view(
    canvas: Canvas,
    mouth: Mouth,
    size: tuple[int, int],
    grid: Grid,
    turned: Array,
    face: Grid,
    fields: tuple[Array, Array],
) -> View:
    """Where the mouth is now. `turned` is on `grid`, the upper and lower `fields` on `face`."""
    margin = 0.012 * mouth.height
    part, rows, columns = grid.part(canvas.move_box(mouth.box, grid, turned, size, margin))
    right, bottom = min(part.right, size[0]), min(part.bottom, size[1])
    shape = bottom - part.top, right - part.left
    there = turned[..., rows, columns, :]
    at = canvas.scale_places(there, face.origin, 1 / face.pitch)
    moved = (there + by for by in canvas.look_up_all(fields, at))
    upper, lower, still = canvas.enlarge_all((*moved, there), grid.pitch, shape)
    return View((part.left, part.top, right, bottom), upper, lower, still)


def build(
    frame: Pixels, face: FaceGeometry, light: Lighting, alpha: Pixels, bases: Blendshapes
) -> Mouth:
    """Prepare the mouth of `face`; `alpha` (H, W) is the speaker's, 8 bits."""
    height, width = frame.shape[:2]
    box = _box(face, width, height)
    margin = round(0.12 * face.height)
    around = (
        max(0, box[0] - margin),
        max(0, box[1] - margin),
        min(width, box[2] + margin),
        min(height, box[3] + margin),
    )
    cover = _cover(face, around, box, alpha)
    return Mouth(
        box=box,
        lips=lips.build(frame, face, around, cover, light.toned is not None, light.blur),
        inside=mouth_interior.build(frame, face, light, box),
        inner=inner_lips.build(frame, face, bases),
        height=face.height,
        feather=max(0.8, 1.6 * light.blur),
        down=(-face.axes.sin, face.axes.cos),
    )


def _cover(face: FaceGeometry, around: Box, box: Box, alpha: Pixels) -> Array:
    """(h, w) over `around`: 1 where the mouth is drawn, fading to 0 at the edge of its box and
    of the speaker."""
    import cv2

    y, x = np.mgrid[around[1] : around[3], around[0] : around[2]].astype(np.float32)
    aside, along = np.minimum(x - box[0], box[2] - 1 - x), np.minimum(y - box[1], box[3] - 1 - y)
    edge = np.minimum(aside, along)
    fade = max(2.0, 0.02 * face.height)
    solid = (alpha[around[1] : around[3], around[0] : around[2]] == 255).astype(np.uint8)
    solid = cv2.erode(solid, np.ones((3, 3), np.uint8))
    inner = cv2.distanceTransform(solid, cv2.DIST_L2, 3)
    return smoothstep(np.minimum(edge, inner) / fade)


def _box(face: FaceGeometry, width: int, height: int) -> Box:
    """Frame pixels round the mouth, inside the frame."""
    beside = BESIDE * (face.left + face.right) / 2
    u = np.array([-face.left - beside, face.right + beside], np.float32)
    v = np.array(
        [face.upper.v.min() - ABOVE * face.height, face.lower.v.max() + BELOW * face.height],
        np.float32,
    )
    x, y = face.axes.xy(*(side.ravel() for side in np.meshgrid(u, v)))
    return (
        int(np.clip(x.min(), 0, width - 4)),
        int(np.clip(y.min(), 0, height - 4)),
        int(np.clip(x.max() + 1, 4, width)),
        int(np.clip(y.max() + 1, 4, height)),
    )
