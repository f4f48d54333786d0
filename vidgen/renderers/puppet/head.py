"""How the whole head and the shoulders move, as a field over the speaker's box.

The head turns as a shell: its middle shifts, its outline stays, so nothing tears. Knows
nothing of the mouth.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, Grid, enlarge, smoothstep

MOVES: Final = ("yaw", "pitch", "roll", "tx", "ty", "breath")  # the order of a frame's turns
LIMITS: Final = (3.5, 3.0, 2.2, 0.012, 0.012, 1.0)  # no film asks for more
SKIN: Final = 0.02  # Hf: what the face's own movements may add at the outline


@dataclass(frozen=True, slots=True)
class HeadField:
    """Displacements in frame pixels for one unit of each of `MOVES`, on the nodes of a grid.

    Units as in `Motion`: degrees, degrees, degrees, Hf, Hf, 0–1.
    """

    basis: Array  # (6, rows, columns, 2), already pointing from a node back to its source

    def field(self, turns: Array) -> Array:
        """For turns (6,): the displacement of each node to its source, (rows, columns, 2)."""
        return np.tensordot(turns, self.basis, 1)


def build(face: FaceGeometry, grid: Grid) -> HeadField:
    """PUPPET (b)9. The grid covers the matte, or the whole frame."""
    x, y = grid.nodes()
    u, v = face.axes.uv(x, y)
    rigid = _rigid(face, u, v)
    bulge = np.radians(1) * _shell(face, u, v)
    pivot_u, pivot_v = face.middle[0], face.chin + 0.22 * face.height
    turn = np.radians(1) * rigid
    lift = smoothstep((v - face.chin - 0.05 * face.height) / (0.5 * face.height))
    still = np.zeros_like(u)
    h = face.height
    moves = {
        "yaw": face.axes.turn(bulge, still),
        "pitch": face.axes.turn(still, bulge),
        "roll": face.axes.turn(-(v - pivot_v) * turn, (u - pivot_u) * turn),
        "tx": (h * rigid, still),
        "ty": (still, h * rigid),
        "breath": (still, -0.006 * h * lift),
    }
    basis = -np.stack([np.stack(moves[name], -1) for name in MOVES])
    return HeadField(basis.astype(np.float32))


def reach(face: FaceGeometry, size: tuple[int, int]) -> Array:
    """How far each pixel of a frame of `size` (width, height) may move, (H, W) pixels."""
    import cv2

    pitch = max(8, round(0.05 * face.height))
    grid = Grid.over((0, 0, *size), pitch)
    most = np.abs(build(face, grid).basis) * np.array(LIMITS).reshape(6, 1, 1, 1)
    moves = np.hypot(*np.moveaxis(most.sum(0), -1, 0)).astype(np.float32)
    full = enlarge(cv2.dilate(moves, np.ones((3, 3), np.uint8)), pitch)
    return np.asarray(full[: size[1], : size[0]] + np.float32(1 + SKIN * face.height))


def _rigid(face: FaceGeometry, u: Array, v: Array) -> Array:
    """1 on the head, 0 from the chest down and far to the sides."""
    h = face.height
    down = 1 - smoothstep((v - face.chin - 0.02 * h) / (0.55 * h))
    aside = 1 - smoothstep((np.abs(u - face.middle[0]) - 1.0 * h) / (0.8 * h))
    return np.asarray(down * aside)


def _shell(face: FaceGeometry, u: Array, v: Array) -> Array:
    """Depth of the face's surface over its outline, pixels: an ellipse of .62 × .82 Hf."""
    h = face.height
    across = (u - face.middle[0]) / (0.62 * h)
    down = (v - face.middle[1] + 0.12 * h) / (0.82 * h)
    return 0.55 * h * np.clip(1 - across**2 - down**2, 0, None) ** 1.3
