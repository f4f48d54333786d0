"""Hands near a face, and how much of its lips they hide.

Runs MediaPipe's palm and hand nets by `cv2.dnn` on the CPU (44 ms of processor time for a look,
20 ms more a hand). Refuses nobody: that is the stage's business.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.vision.faces import Landmarks, load_tflite
from vidgen.vision.lazy_net import LazyNet
from vidgen.work import Floats, Pixels

SIDE: Final = 192  # pixels of the palm net's picture
CELLS: Final = ((24, 2), (12, 6))  # its grids: cells a side, anchors in each
LEAST_PALM: Final = 0.4  # its score, 0–1
OVERLAP: Final = 0.3  # intersection over union, from which on two palms are one
AROUND: Final = 2.4  # side of the picture over the longer side of the face
BELOW: Final = 0.15  # of that side of the face, how far its middle lies below the face's
MOST_HANDS: Final = 3
HAND_SIDE: Final = 224  # pixels of the hand net's picture
HAND_MARGIN: Final = 2.6  # its side over that of the palm
HAND_SHIFT: Final = 0.5  # of the palm's side, towards the fingers
LEAST_HAND: Final = 0.5  # its certainty that there is a hand, 0–1
# Of the hand's 21 points: each finger from its root to its tip; and round the palm
FINGERS: Final = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
PALM: Final = (0, 1, 5, 9, 13, 17)
THICK: Final = 0.2  # a finger's over the palm's length, from the wrist to the middle finger's root
BROAD: Final = 1.3  # the palm's length over its breadth from the first to the last finger's root
LIPS_WIDE: Final = 64  # pixels, in which the share of hidden lips is counted


@dataclass(frozen=True, slots=True)
class Palm:
    """One palm as found, in pixels of the picture."""

    score: float  # 0–1
    centre: tuple[float, float]
    side: float
    roll: float  # degrees clockwise from fingers that point up


class PalmNet(LazyNet):
    """MediaPipe's palm detector (Zhang and others, 2020)."""

    def __init__(self, model: Path) -> None:
        self.model = model

    @cached_property
    def _net(self) -> Any:
        return load_tflite(self.model)

    def find(self, rgb: Pixels, middle: tuple[float, float], side: float) -> tuple[Palm, ...]:
        """The palms in a square of `rgb` (H, W, 3), best first; `middle` and `side` in pixels."""
        import cv2

        scale = SIDE / side
        left, top = (value - side / 2 for value in middle)
        matrix = np.array([[scale, 0, -scale * left], [0, scale, -scale * top]], np.float32)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        crop = cv2.warpAffine(rgb, matrix, (SIDE, SIDE), flags=way)
        self._net.setInput(cv2.dnn.blobFromImage(crop, 1 / 255))
        logits, places = self._net.forward(["Identity_1", "Identity"])
        return palms_of(logits.reshape(-1), places.reshape(-1, 18), left, top, side)


class HandNet(LazyNet):
    """MediaPipe's hand landmark net (Zhang and others, 2020)."""

    def __init__(self, model: Path) -> None:
        self.model = model

    @cached_property
    def _net(self) -> Any:
        return load_tflite(self.model)

    def read(self, rgb: Pixels, palm: Palm) -> Floats | None:
        """(21, 2) points of the hand at `palm`, pixels; None where there is none."""
        import cv2

        angle = math.radians(palm.roll)
        shift, side = HAND_SHIFT * palm.side, HAND_MARGIN * palm.side
        x = palm.centre[0] + shift * math.sin(angle)
        y = palm.centre[1] - shift * math.cos(angle)
        matrix = cv2.getRotationMatrix2D((x, y), palm.roll, HAND_SIDE / side)
        matrix[:, 2] += HAND_SIDE / 2 - x, HAND_SIDE / 2 - y
        crop = cv2.warpAffine(rgb, matrix, (HAND_SIDE, HAND_SIDE), flags=cv2.INTER_AREA)
        self._net.setInput(cv2.dnn.blobFromImage(crop, 1 / 255))
        flat, sure = self._net.forward(["Identity", "Identity_1"])
        if float(sure.item()) < LEAST_HAND:
            return None
        back = cv2.invertAffineTransform(matrix)
        points = flat.reshape(21, 3)[:, :2] @ back[:, :2].T + back[:, 2]
        return points.astype(np.float32)  # type: ignore[no-any-return]


class HandFinder:
    """Both nets together: a `Network` that is read when it is first needed."""

    def __init__(self, palms: Path, hands: Path) -> None:
        self.palms, self.hands = PalmNet(palms), HandNet(hands)

    def load(self) -> None:
        """Leaves the nets to the first doubtful mouth: most photos need none."""

    def release(self) -> None:
        self.palms.release()
        self.hands.release()

    def near(self, rgb: Pixels, face: Landmarks) -> tuple[Floats, ...]:
        """(21, 2) points of each hand near `face` in `rgb` (H, W, 3), in its pixels."""
        left, top, right, bottom = face.box
        side = max(right - left, bottom - top)
        middle = (left + right) / 2, (top + bottom) / 2 + BELOW * side
        palms = self.palms.find(rgb, middle, AROUND * side)[:MOST_HANDS]
        found = (self.hands.read(rgb, palm) for palm in palms)
        return tuple(hand for hand in found if hand is not None)


def palms_of(
    logits: Floats, places: Floats, left: float, top: float, side: float
) -> tuple[Palm, ...]:
    """What the palm net's answers (N), (N, 18) mean in a square at `left`, `top`, `side` pixels.

    `places`: the palm's middle, width, height and seven points in pixels of the net's picture, off
    its anchor's middle, as `SsdAnchorsCalculator` and `TensorsToDetectionsCalculator` of MediaPipe.
    """
    import cv2

    scores = 1 / (1 + np.exp(-np.clip(logits, -100, 100)))
    sure = np.flatnonzero(scores >= LEAST_PALM)
    values = places[sure].reshape(-1, 9, 2) * side / SIDE
    centres, sizes = _anchors()[sure] * side + (left, top) + values[:, 0], values[:, 1]
    boxes = np.hstack([centres - sizes / 2, sizes]).astype(np.float64)
    best = cv2.dnn.NMSBoxes(boxes.tolist(), scores[sure].tolist(), LEAST_PALM, OVERLAP)
    along = values[:, 4] - values[:, 2]  # from the wrist to the middle finger's root
    rolls = np.degrees(np.arctan2(along[:, 0], -along[:, 1]))
    return tuple(
        Palm(
            float(scores[sure[i]]),
            (float(centres[i, 0]), float(centres[i, 1])),
            float(sizes[i].max()),
            float(rolls[i]),
        )
        for i in best
    )


def _anchors() -> Floats:
    """(2016, 2) their middles, shares of the picture's side: row by row, grid by grid."""
    grids = []
    for cells, each in CELLS:
        y, x = np.indices((cells, cells)).reshape(2, -1)
        grids.append(np.repeat((np.stack([x, y], 1) + 0.5) / cells, each, 0))
    return np.concatenate(grids).astype(np.float32)


def hidden_share(lips: Floats, hands: Sequence[Floats]) -> float:
    """How much of the lips' outline (N, 2) lies behind the hands (21, 2), 0–1."""
    import cv2

    first, last = lips.min(0), lips.max(0)
    scale = LIPS_WIDE / max(1.0, float((last - first).max()))
    size = tuple(math.ceil(side * scale) + 1 for side in last - first)
    mouth, hidden = (np.zeros(size[::-1], np.uint8) for _ in range(2))

    def place(points: Floats) -> Any:
        return np.round((points - first) * scale).astype(np.int32)

    cv2.fillPoly(mouth, [place(lips)], 1)
    for hand in hands:
        breadth = BROAD * float(np.hypot(*(hand[5] - hand[17])))
        length = max(float(np.hypot(*(hand[9] - hand[0]))), breadth)
        fingers = [place(hand[list(finger)]) for finger in FINGERS]
        cv2.polylines(hidden, fingers, False, 1, max(1, round(THICK * length * scale)))
        cv2.fillPoly(hidden, [cv2.convexHull(place(hand[list(PALM)]))], 1)
    return float((mouth & hidden).sum()) / max(1, int(mouth.sum()))
