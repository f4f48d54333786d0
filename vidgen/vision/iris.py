"""Eyes seen closely: the lids' true edges and the iris of each eye.

Runs MediaPipe's iris net by `cv2.dnn` on the CPU (4–12 ms an eye). It answers for whatever it is
shown, a hand too: whether there is an eye that can blink is for `eye_state` to tell.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vidgen.vision.faces import load_tflite
from vidgen.vision.lazy_net import LazyNet
from vidgen.work import Floats, Pixels

Array = NDArray[np.float64]

CORNERS: Final = ((33, 133), (362, 263))  # of the face mesh: image left and right, left to right
SIDE: Final = 64  # pixels of the net's picture
MARGIN: Final = 2.3  # side of its crop over the width of the eye
FRONTAL: Final = 0.9  # of the wider eye's width: a narrower eye is seen from the side
LOWER: Final = tuple(range(9))  # of the net's 71 points: corner to corner along the lower lid
UPPER: Final = (0, *range(9, 16), 8)  # and along the upper one
MOVES: Final = (  # of the crop, shares of the eye's width to the right and down, and its size
    (0.0, 0.0, 1.0),
    (0.12, 0.0, 1.0),
    (-0.12, 0.0, 1.0),
    (0.0, 0.12, 1.0),
    (0.0, -0.12, 1.0),
    (0.0, 0.0, 1.2),
    (0.0, 0.0, 0.85),
)


@dataclass(frozen=True, slots=True)
class EyePoints:
    """One eye, pixels of the picture; both curves run from its left to its right corner."""

    upper: Floats  # (9, 2) the upper lid's edge
    lower: Floats  # (9, 2)
    centre: Floats  # (2,) of the iris
    radius: float  # of the iris


class IrisNet(LazyNet):
    """MediaPipe's iris net (Ablavatski and others, 2020)."""

    def __init__(self, model: Path) -> None:
        self.model = model

    @cached_property
    def _net(self) -> Any:
        return load_tflite(self.model)

    def read(self, rgb: Pixels, points: Floats) -> tuple[EyePoints, EyePoints]:
        """The picture's left and right eye of the face with these landmarks, (468, 2 or more).

        The far eye of a turned face is looked at in a crop as large as the near one's, for the eye
        is hardly smaller, and then about what was found, for there the mesh is off: in a crop by
        its own width the net cuts its outer end off.
        """
        places = points[np.array(CORNERS), :2].astype(np.float64)  # (2, 2, 2)
        widths = np.hypot(*(places[:, 1] - places[:, 0]).T)
        larger = widths.max() / np.maximum(widths, 1e-6)
        left, right = (
            self._eye(rgb, corners, side)
            if larger[side] < 1 / FRONTAL
            else self._far_eye(rgb, corners, side, larger[side])
            for side, corners in enumerate(places)
        )
        return left, right

    def _far_eye(self, rgb: Pixels, corners: Array, side: int, larger: float) -> EyePoints:
        middle = corners.mean(0)
        crop = larger * (corners - middle)
        first = self._eye(rgb, middle + crop, side)
        return self._eye(rgb, first.upper[[0, -1]].mean(0) + crop, side)

    def spread(self, rgb: Pixels, eye: EyePoints, side: int) -> tuple[float, float]:
        """How far the lids and the iris go astray, of the eye's width, when the crop is moved.

        An eye stays where it is (of 400 that blink, lids .029 and iris .013 in the median, 19 in 20
        less than .052 and .028); in lenses and hair the net sees one wherever it is asked.
        """
        corners = eye.upper[[0, -1]].astype(np.float64)
        middle, across = corners.mean(0), corners[1] - corners[0]
        down = np.array([-across[1], across[0]])
        found = [
            self._eye(rgb, middle + x * across + y * down + size * (corners - middle), side)
            for x, y, size in MOVES
        ]
        lids = np.stack([np.concatenate([one.upper, one.lower]) for one in found])
        irises = np.stack([one.centre for one in found])
        usual = np.median(lids, 0)
        width = max(1e-6, float(np.hypot(*(usual[len(UPPER) - 1] - usual[0]))))
        astray = (np.linalg.norm(all_ - np.median(all_, 0), axis=-1) for all_ in (lids, irises))
        lid, iris = (float(off.mean()) / width for off in astray)
        return lid, iris

    def _eye(self, rgb: Pixels, corners: Array, side: int) -> EyePoints:
        """The eye about these corners (2, 2), its left and its right one."""
        import cv2

        mirrored = side == 1  # the net knows the eye whose outer corner is on the left
        matrix = _matrix(corners, mirrored)
        crop = cv2.warpAffine(
            rgb, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )
        self._net.setInput(cv2.dnn.blobFromImage(crop, 1 / 255))
        names = ["output_eyes_contours_and_brows", "output_iris"]
        contour, iris = (out.reshape(-1, 3)[:, :2] for out in self._net.forward(names))
        back = cv2.invertAffineTransform(matrix)
        contour, iris = (found @ back[:, :2].T + back[:, 2] for found in (contour, iris))
        order = -1 if mirrored else 1
        around = iris[1:] - iris[0]
        return EyePoints(
            contour[list(UPPER)][::order].astype(np.float32),
            contour[list(LOWER)][::order].astype(np.float32),
            iris[0].astype(np.float32),
            float(np.hypot(*around.T).mean()),
        )


def _matrix(corners: Array, mirrored: bool) -> Any:
    """(2, 3): from the picture to the net's crop, level with the eye's corners."""
    import cv2

    across, middle = corners[1] - corners[0], corners.mean(0)
    scale = SIDE / (MARGIN * max(2.0, float(np.hypot(*across))))
    angle = math.degrees(math.atan2(across[1], across[0]))
    matrix = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), angle, scale)
    matrix[:, 2] += SIDE / 2 - middle
    if mirrored:
        matrix[0] *= -1
        matrix[0, 2] += SIDE - 1
    return matrix
