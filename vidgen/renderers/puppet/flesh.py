"""What an open mouth shows of flesh, in the colours of the photo's own lips.

The lips' inner sides, which fill the corners and round the opening off, and the tongue. How much
of an opening they fill was measured on people who speak (`docs/puppet.md` (e)). Everything is a
picture of the opening unrolled: columns from corner to corner, rows from the upper lip's edge to
the lower one's, so that it fits any shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.blendshapes import Blendshapes
from vidgen.renderers.puppet.canvas import Canvas
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, look_up, smoothstep
from vidgen.renderers.puppet.tongue import COLOUR
from vidgen.work import Pixels

ROWS, COLUMNS = 20, 48
WIDE: Final = 1.2  # half mouths from the middle to the outer columns' outer edges
FIRST, STEP = 0.010, 0.015  # Hf: the smallest opening that has pictures, and between two
# How much of people's openings of that and six further sizes is lip: 1, s², s⁴, s⁸, v, v², v⁴ and
# s²v² times these, s half mouths from the middle, v -1 at the upper edge and 1 at the lower one.
LIP: Final = np.array(
    [
        [0.44, 1.02, -1.40, 0.86, 0.05, 0.30, -0.02, -0.24],
        [0.30, 0.90, -0.92, 0.64, 0.06, 0.35, 0.03, -0.32],
        [0.15, 1.08, -0.96, 0.60, 0.08, 0.38, 0.09, -0.38],
        [0.07, 1.26, -1.16, 0.67, 0.09, 0.32, 0.17, -0.31],
        [0.14, 0.92, -0.86, 0.65, 0.10, 0.18, 0.26, -0.14],
        [0.16, 0.89, -1.13, 0.94, 0.10, 0.06, 0.33, -0.02],
        [0.22, 0.74, -0.98, 0.93, 0.11, -0.03, 0.34, 0.07],
    ]
)
ONE: Final = (0.30, 0.38)  # of all people's: where one person's lip begins, and is all from there
INNER: Final = np.array([0.80, 0.76, 0.76], np.float32)  # of a lip's colours: its inner side
BAND: Final = (0.3, 0.7)  # of a lip's thickness: where its colour is taken
SURE: Final = 0.8  # half mouths: nearer the corners hair and shade are seen
TONGUE: Final = 0.85  # so much it covers, from half a small opening on:
SEEN: Final = (0.025, 0.040)  # Hf; wholly in one so much wider
TOP: Final = (0.40, 0.30, 0.22)  # rows' shares: its top in the middle, lower at s = 1, and its fade
SIDES: Final = (0.80, 0.35)  # half mouths
PALE: Final = 0.5  # of any tongue's hue, the rest is the lips'
LIT: Final = (0.60, 0.22)  # of the lips' light: its back, and so much more its front


@dataclass(frozen=True, slots=True)
class Flesh:
    """Premultiplied pictures (7, ROWS, COLUMNS, 4), 0–255, for openings from FIRST on."""

    lips: Array
    tongue: Array
    by: Array  # (10, 1) how many steps each of a frame's weights opens the mouth
    start: Array  # (1,) steps from FIRST that it is open in the photo
    sizes: Array  # (7,) 0, 1, ...

    def look(
        self, canvas: Canvas, weights: Array, across: Array, above: Array, below: Array
    ) -> Sequence[Array]:
        """The lips' inner sides and the tongue in a frame with these weights (10,), (h, w, 4) each.

        Pixels lie `across` the mouth, half mouths from its middle, and `above` and `below` the
        lips' edges, pixels, negative between them, (h, w) each.
        """
        size = (weights @ self.by + self.start).clip(0, len(LIP) - 1)
        shares = (1 - abs(size - self.sizes)).clip(0, 1)
        pictures = canvas.weigh_all(shares, (self.lips, self.tongue))
        row = above / (above + below).clip(None, -1e-3) * ROWS - 0.5
        column = across * (COLUMNS / 2 / WIDE) + (COLUMNS / 2 - 0.5)
        return canvas.look_up_all(pictures, canvas.places(column, row))


def build(frame: Pixels, face: FaceGeometry, bases: Blendshapes) -> Flesh:
    """The flesh of `face` in `frame`, whose mouth the `bases` open."""
    share = ((np.arange(COLUMNS) + 0.5) / COLUMNS * 2 - 1) * WIDE
    way = ((np.arange(ROWS) + 0.5) / ROWS)[:, None]
    upper, lower = _lip_colours(frame, face, share)
    colours = upper + way[..., None] * (lower - upper)
    own = colours @ LUMA / float(COLOUR @ LUMA)  # a tongue has no lipstick
    pink = PALE * own[..., None] * COLOUR + (1 - PALE) * colours
    lips, tongues = [], []
    for size, row in enumerate(LIP):
        lip = _cover_lip(share, way, row)
        tongue = _cover_tongue(share, way, FIRST + STEP * size)
        lit = LIT[0] + LIT[1] * smoothstep((way - 0.45) / 0.45)
        lips.append(_paint(colours * INNER, lip))
        tongues.append(_paint(pink * lit[..., None], tongue))
    by, start = _measure_opening(face, bases)
    return Flesh(
        np.stack(lips),
        np.stack(tongues),
        (by[:, None] / STEP).astype(np.float32),
        np.array([(start - FIRST) / STEP], np.float32),
        np.arange(len(LIP), dtype=np.float32),
    )


def _cover_lip(share: Array, way: Array, terms: Array) -> Array:
    """(ROWS, COLUMNS) 0–1."""
    s, v = np.broadcast_arrays(share.clip(-1, 1), 2 * way - 1)
    powers = np.stack([np.ones_like(s), s**2, s**4, s**8, v, v**2, v**4, s**2 * v**2], -1)
    return smoothstep((powers @ terms - ONE[0]) / ONE[1])


def _cover_tongue(share: Array, way: Array, opening: float) -> Array:
    """(ROWS, COLUMNS) 0–1, in an `opening` of Hf."""
    middle, sides, fade = TOP
    under = smoothstep((way - middle - sides * share.clip(-1, 1) ** 2) / fade)
    between = smoothstep((SIDES[0] - np.abs(share)) / SIDES[1])
    return TONGUE * under * between * smoothstep(np.array((opening - SEEN[0]) / SEEN[1]))


def _paint(colours: Array, cover: Array) -> Array:
    return np.dstack([colours * cover[..., None], 255 * cover]).astype(np.float32)


def _lip_colours(frame: Pixels, face: FaceGeometry, share: Array) -> list[Array]:
    """(len(share), 3) the colours of either lip along the mouth."""
    import cv2

    u = np.where(share < 0, share * face.left, share * face.right)
    sure = np.abs(share) < SURE
    found = []
    for inner, outer in ((face.upper, face.outer_upper), (face.lower, face.outer_lower)):
        depth = np.linspace(*BAND, 7)[:, None]
        v = inner(u) + depth * (outer(u) - inner(u))
        x, y = face.axes.xy(np.broadcast_to(u, v.shape), v)
        seen = np.median(look_up(frame, x.astype(np.float32), y.astype(np.float32)), 0)
        line = np.stack([np.interp(share, share[sure], one) for one in seen[sure].T], -1)
        soft = cv2.GaussianBlur(line.astype(np.float32)[None], (0, 0), 0.05 * COLUMNS)
        found.append(soft[0])
    return found


def _measure_opening(face: FaceGeometry, bases: Blendshapes) -> tuple[Array, float]:
    """How far each of the weights opens the middle of the mouth, and how far it is open in the
    photo, Hf."""
    u = np.linspace(-0.25, 0.25, 9).astype(np.float32) * (face.left + face.right) / 2
    edges = face.upper(u), face.lower(u)
    down = np.array([-face.axes.sin, face.axes.cos], np.float32)
    moves = []
    for layers, edge in zip((bases.upper, bases.lower), edges, strict=True):
        at = (np.stack(face.axes.xy(u, edge), -1) - bases.grid.origin) / bases.grid.pitch
        places = at[None].astype(np.float32)
        moves.append(np.array([(look_up(layer, places)[0] @ down).mean() for layer in layers]))
    gap = float((edges[1] - edges[0]).mean())
    return (moves[1] - moves[0]) / face.height, gap / face.height
