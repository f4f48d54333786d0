"""How the whole head and the shoulders move, as a field over the speaker's box.

The head turns as a body with depth, the landmarks' on the face and an ellipsoid's for hair and
ears, about an axis in the neck: the outline goes along, a little. Shoulders follow by a third.
Knows nothing of the mouth.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.renderers.puppet.canvas import Canvas
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, Grid, smoothstep
from vidgen.work import Pixels

MOVES: Final = ("yaw", "pitch", "roll", "tx", "ty", "breath")  # the order of a frame's turns
NECK: Final = 0.20  # Hf: how far behind the head's widest outline it turns
SHOULDERS: Final = 0.3  # share of the head's shift that they go along with
SMOOTH: Final = 0.055  # Hf: how finely the landmarks' depth is taken
EDGE: Final = 0.12  # Hf: so near the frame's edge a speaker cut off there moves less across it
SKULL: Final = (0.60, 0.80, 0.55)  # Hf: half axes of hair and all, across, down, deep


@dataclass(frozen=True, slots=True)
class HeadField:
    """Displacements in frame pixels for one unit of each of `MOVES`, on the nodes of a grid.

    Units as in `Motion`: degrees, degrees, degrees, Hf, Hf, 0–1.
    """

    basis: Array  # (6, rows, columns, 2), already pointing from a node back to its source

    def field(self, canvas: Canvas, turns: Array, nodes: Array) -> Array:
        """For turns (6,): the source of each of the `nodes` (rows, columns, 2), frame pixels."""
        (sources,) = canvas.weigh_all(turns, (self.basis,), nodes)
        return sources


def build(face: FaceGeometry, grid: Grid, alpha: Pixels) -> HeadField:
    """PUPPET (b)9. The grid covers the matte `alpha` (H, W), 8 bits, or the whole frame."""
    x, y = grid.nodes()
    u, v = face.axes.uv(x, y)
    rigid = _rigid(face, u, v)
    bulge = np.radians(1) * (_depth(face, x, y, u, v) + NECK * face.height * rigid)
    body = SHOULDERS + (1 - SHOULDERS) * rigid
    body *= _aside(face, u)
    pivot_u, pivot_v = face.middle[0], face.chin + 0.22 * face.height
    turn = np.radians(1) * rigid
    lift = smoothstep((v - face.chin - 0.05 * face.height) / (0.5 * face.height))
    still = np.zeros_like(u)
    h = face.height
    moves = {
        "yaw": face.axes.turn(bulge, still),
        "pitch": face.axes.turn(still, bulge),
        "roll": face.axes.turn(-(v - pivot_v) * turn, (u - pivot_u) * turn),
        "tx": (h * body, still),
        "ty": (still, h * body),
        "breath": (still, -0.006 * h * lift),
    }
    basis = -np.stack([np.stack(moves[name], -1) for name in MOVES]) * _free(face, grid, alpha)
    return HeadField(basis.astype(np.float32))


def _free(face: FaceGeometry, grid: Grid, alpha: Pixels) -> Array:
    """(rows, columns, 2) how much of its way a node may go across and down: nothing at an edge of
    the frame that cuts the speaker off, or his mirror image would come in. Below is only cloth."""
    x, y = grid.nodes()
    held = EDGE * face.height
    left, right, top = (
        _touch(part, held)[at.clip(0, len(part) - 1).round().astype(int)]
        for part, at in ((alpha[:, 0], y), (alpha[:, -1], y), (alpha[0], x))
    )
    ways = x, alpha.shape[1] - 1 - x, y  # from these edges
    near_left, near_right, near_top = (np.exp(-way.clip(0, None) / held) for way in ways)
    across = 1 - np.maximum(left * near_left, right * near_right)
    return np.stack([across, 1 - top * near_top], -1)


def _touch(line: Pixels, soft: float) -> Array:
    """0–1 where a speaker with this alpha (N,) along an edge is cut off by it, and `soft` pixels
    on."""
    import cv2

    size = 2 * round(soft) + 1
    wide = cv2.dilate(line[:, None], np.ones((size, 1), np.uint8)).astype(np.float32) / 255
    return np.asarray(cv2.GaussianBlur(wide, (1, size), soft / 2)[:, 0])


def _rigid(face: FaceGeometry, u: Array, v: Array) -> Array:
    """1 on the head, 0 from the chest down and far to the sides."""
    h = face.height
    down = 1 - smoothstep((v - face.chin - 0.02 * h) / (0.55 * h))
    return np.asarray(down * _aside(face, u))


def _aside(face: FaceGeometry, u: Array) -> Array:
    """1 on the head, 0 far to the sides of it."""
    h = face.height
    return 1 - smoothstep((np.abs(u - face.middle[0]) - 1.0 * h) / (0.8 * h))


def _depth(face: FaceGeometry, x: Array, y: Array, u: Array, v: Array) -> Array:
    """How far the surface stands before the head's widest outline, pixels (rows, columns)."""
    h = face.height
    wide, tall, deep = (axis * h for axis in SKULL)
    across = (u - face.middle[0]) / wide
    down = (v - face.middle[1] + 0.12 * h) / tall
    skull = deep * np.clip(1 - across**2 - down**2, 0, None) ** 0.9
    if face.depth is None:
        return np.asarray(skull)
    found, sure = _landmark_depth(face.depth, x[0], y[:, 0], SMOOTH * h)
    if not sure.any():
        return np.asarray(skull)
    rim = (sure > 0.05) & (sure < 0.6)
    level = float(np.median((skull - found)[rim])) if rim.any() else 0.0
    share = smoothstep(sure)
    return np.asarray(skull + share * (np.clip(found + level, 0, 0.95 * h) - skull))


def _landmark_depth(points: Array, x: Array, y: Array, sigma: float) -> tuple[Array, Array]:
    """The landmarks' depth at each node, (rows, columns), and how surely there are landmarks near
    it, 0–1; `x` are the columns and `y` the rows, pixels."""
    near_x, near_y = (
        np.exp(-((nodes - at[:, None]) ** 2) / (2 * sigma**2))  # (468, nodes)
        for nodes, at in ((x, points[:, 0]), (y, points[:, 1]))
    )
    total, known = (near_y * points[:, 2:]).T @ near_x, near_y.T @ near_x
    return total / np.maximum(known, 1e-9), np.clip(known / 1.2, 0, 1)
