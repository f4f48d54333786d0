"""The lips' inner sides, which fill the corners of an open mouth and round the opening off.

They have the colours of the photo's own lips. How much of an opening they fill was measured on
people who speak (`docs/judged.md`). They are pictures of the opening unrolled: columns from
corner to corner, rows from the upper lip's edge to the lower one's, so that they fit any shape.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.renderers.puppet.blendshapes import Blendshapes
from vidgen.renderers.puppet.canvas import Canvas
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, look_up, smoothstep
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
ONE: Final = (0.35, 0.35)  # of all people's: where one person's lip begins, and is all from there
DIM: Final = np.array([0.80, 0.76, 0.76], np.float32)  # of a lip's colours: its inner side
BAND: Final = (0.3, 0.7)  # of a lip's thickness: where its colour is taken
SURE: Final = 0.8  # half mouths: nearer the corners hair and shade are seen


@dataclass(frozen=True, slots=True)
class InnerLips:
    """What they look like at each opening, and how a frame's weights open the mouth."""

    pictures: Array  # (7, ROWS, COLUMNS, 4) premultiplied, 0–255, for openings from FIRST on
    by: Array  # (10, 1) how many steps each of a frame's weights opens the mouth
    start: Array  # (1,) steps from FIRST that it is open in the photo
    sizes: Array  # (7,) 0, 1, ...

    def look(
        self, canvas: Canvas, weights: Array, across: Array, above: Array, below: Array
    ) -> Array:
        """The layer (h, w, 4) of a frame with these weights (10,).

        Pixels lie `across` the mouth, half mouths from its middle, and `above` and `below` the
        lips' edges, pixels, negative between them, (h, w) each.
        """
        size = (weights @ self.by + self.start).clip(0, len(LIP) - 1)
        shares = (1 - abs(size - self.sizes)).clip(0, 1)
        (picture,) = canvas.weigh_all(shares, (self.pictures,))
        row = above / (above + below).clip(None, -1e-3) * ROWS - 0.5
        column = across * (COLUMNS / 2 / WIDE) + (COLUMNS / 2 - 0.5)
        return canvas.look_up(picture, canvas.places(column, row))


def build(frame: Pixels, face: FaceGeometry, bases: Blendshapes) -> InnerLips:
    """Those of `face` in `frame`, whose mouth the `bases` open."""
    share = ((np.arange(COLUMNS) + 0.5) / COLUMNS * 2 - 1) * WIDE
    way = ((np.arange(ROWS) + 0.5) / ROWS)[:, None]
    upper, lower = _lip_colours(frame, face, share)
    colours = DIM * (upper + way[..., None] * (lower - upper))
    covers = smoothstep((lip_terms(share, way) @ LIP.T - ONE[0]) / ONE[1])
    pictures = [
        np.dstack([colours * cover[..., None], 255 * cover]) for cover in np.moveaxis(covers, -1, 0)
    ]
    by, start = _measure_opening(face, bases)
    return InnerLips(
        np.stack(pictures).astype(np.float32),
        (by[:, None] / STEP).astype(np.float32),
        np.array([(start - FIRST) / STEP], np.float32),
        np.arange(len(LIP), dtype=np.float32),
    )


def lip_terms(share: Array, way: Array) -> Array:
    """(rows, columns, 8) what LIP's numbers stand for, at columns half mouths from the middle and
    rows (rows, 1) on their `way` from the upper edge, 0, to the lower one, 1."""
    s, v = np.broadcast_arrays(share.clip(-1, 1), 2 * way - 1)
    return np.stack([np.ones_like(s), s**2, s**4, s**8, v, v**2, v**4, s**2 * v**2], -1)


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
