"""Faces in pictures: where they are, their 468 points, and which way the head looks.

Runs CenterFace and MediaPipe's face landmark net by `cv2.dnn` on the CPU. Chooses nobody and
refuses nothing: that is the business of the stage that asks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.files import library_name
from vidgen.vision.lazy_net import LazyNet
from vidgen.work import Floats, Pixels

# Points of MediaPipe's face mesh by what they mark. "Right" and "left" are the picture's.
FOREHEAD: Final = 10
CHIN: Final = 152
EYE_CORNERS: Final = (33, 133, 362, 263)  # left eye outer, inner; right eye inner, outer
MOUTH: Final = (61, 291, 0, 17)  # corners, upper edge, lower edge of the lips
INNER_LIPS: Final = (13, 14)

SIDES: Final = (
    320,
    640,
    1280,
)  # longest side, pixels (of the same area 16:9), CenterFace's pictures
TRACE: Final = 0.05  # the highest score in screenshots and codes; turned faces of 31 pixels: .07
OVERLAP: Final = 0.05  # of the picture, by which its quarters are larger than that
CROP: Final = 192  # side, pixels, of the landmark net's picture
MARGIN: Final = 1.5  # side of its crop over the longer side of the face
ROUNDS: Final = 3  # each crop is cut round the points of the one before
LEAST_SCORE: Final = 0.5  # below this the landmark net says that it sees no face
LIPS: Final = (61, 291, 0, 17, 13, 14, 78, 308, 37, 267, 84, 314)
# Crops for `doubt`: moved right and down (shares of the side), scaled, turned (degrees)
SHAKES: Final = (
    (0.0, 0.0, 1.0, 0.0), (0.06, 0.0, 1.0, 0.0), (-0.06, 0.0, 1.0, 0.0), (0.0, 0.06, 1.0, 0.0),
    (0.0, -0.06, 1.0, 0.0), (0.0, 0.0, 1.15, 0.0), (0.0, 0.0, 0.9, 0.0), (0.0, 0.0, 1.0, 12.0),
    (0.0, 0.0, 1.0, -12.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Face:
    """One face found in a picture, in its pixels."""

    box: tuple[float, float, float, float]  # left, top, right, bottom
    score: float  # 0–1
    points: Floats  # (5, 2) left eye, right eye, nose, left and right mouth corner

    def moved(self, by: float, left: float = 0.0, top: float = 0.0) -> "Face":
        """In a picture `by` times as large, that begins at `left`, `top` of it."""
        x0, y0, x1, y1 = self.box
        box = x0 * by - left, y0 * by - top, x1 * by - left, y1 * by - top
        points = self.points * by - np.array([left, top], np.float32)
        return Face(box, self.score, points.astype(np.float32))

    @property
    def roll(self) -> float:
        """Degrees that the line through the eyes is turned clockwise."""
        (x0, y0), (x1, y1) = self.points[:2]
        return math.degrees(math.atan2(y1 - y0, x1 - x0))

    @property
    def aside(self) -> float:
        """How far the nose is off the middle of the eyes, in distances between the eyes."""
        across = self.points[1] - self.points[0]
        off = self.points[2] - (self.points[0] + self.points[1]) / 2
        return float(off @ across / max(1e-6, float(across @ across)))


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The face mesh of one face."""

    points: Floats  # (468, 3) x, y in pixels; z in the same unit, towards the camera negative
    score: float  # the net's certainty that this is a face, 0–1

    def moved(self, by: float, left: float = 0.0, top: float = 0.0) -> "Landmarks":
        """In a picture `by` times as large, that begins at `left`, `top` of it; a pixel's middle
        stays its middle."""
        points = self.points * np.float32(by)
        points[:, :2] += (by - 1) / 2 - np.array([left, top], np.float32)
        return Landmarks(points, self.score)

    @property
    def height(self) -> float:
        """Hf: from the top of the forehead to the chin, pixels."""
        return float(np.linalg.norm(self.points[FOREHEAD, :2] - self.points[CHIN, :2]))

    @property
    def centre(self) -> tuple[float, float]:
        """Half-way between forehead and chin."""
        x, y = (self.points[FOREHEAD, :2] + self.points[CHIN, :2]) / 2
        return float(x), float(y)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of all points, pixels."""
        (x0, y0), (x1, y1) = self.points[:, :2].min(0), self.points[:, :2].max(0)
        return float(x0), float(y0), float(x1), float(y1)


class FaceDetector(LazyNet):
    """CenterFace (Xu and others, 2019): faces of any size with five points each."""

    def __init__(self, model: Path) -> None:
        self.model = model

    @cached_property
    def _net(self) -> Any:
        import cv2

        with library_name(self.model) as name:
            return cv2.dnn.readNetFromONNX(name)

    def detect(self, rgb: Pixels, threshold: float) -> tuple[Face, ...]:
        """The faces in `rgb` (H, W, 3) scored at least `threshold`, best first."""
        return self.scan(rgb, threshold)[0]

    def scan(
        self, rgb: Pixels, threshold: float, sides: Sequence[int] = SIDES
    ) -> tuple[tuple[Face, ...], float]:
        """The same, and the highest score of any place: a face too small, turned or dark to be
        found leaves a trace (`TRACE`). The picture is looked at in these sizes."""
        found: list[Face] = []
        most = 0.0
        height, width = rgb.shape[:2]  # a panorama counts as what has its area at 16:9
        longest = min(max(height, width), (height * width * 16 / 9) ** 0.5)
        for side in sides:
            faces, best = self._look(rgb, min(1.0, side / longest), threshold)
            found, most = found + faces, max(most, best)
            if side >= longest:
                break
        return _distinct(found), most

    def detect_small(self, rgb: Pixels, threshold: float) -> tuple[Face, ...]:
        """The faces too small for `detect`: each quarter of the picture is looked at alone."""
        height, width = rgb.shape[:2]
        high, wide = (min(side, round((0.5 + OVERLAP) * side)) for side in (height, width))
        found: list[Face] = []
        for top, left in product((0, height - high), (0, width - wide)):
            part = np.ascontiguousarray(rgb[top : top + high, left : left + wide])
            faces, _ = self._look(part, min(1.0, SIDES[-1] / max(high, wide)), threshold)
            found += [face.moved(1, -left, -top) for face in faces]
        return _distinct(found)

    def _look(self, rgb: Pixels, scale: float, threshold: float) -> tuple[list[Face], float]:
        """The faces seen at one size of the picture, overlapping ones included, and the highest
        score."""
        import cv2

        height, width = (max(32, round(side * scale / 32) * 32) for side in rgb.shape[:2])
        if _is_old_opencv():
            self.__dict__.pop("_net", None)  # 4.x: a net used at two sizes sees faces everywhere
        net = self._net
        net.setInput(cv2.dnn.blobFromImage(rgb, 1.0, (width, height)))
        heat, size, offset, points = net.forward(["537", "538", "539", "540"])
        faces = _decode(
            heat[0, 0],
            size[0],
            offset[0],
            points[0],
            threshold,
            (rgb.shape[1] / width, rgb.shape[0] / height),
        )
        return faces, float(heat.max())


def _decode(
    heat: Floats,
    size: Floats,
    offset: Floats,
    points: Floats,
    least: float,
    to: tuple[float, float],
) -> list[Face]:
    """CenterFace's maps as faces. One cell is 4 × 4 pixels of its picture; `to` scales x and y."""
    faces = []
    for row, column in np.argwhere(heat >= least):
        high, wide = np.exp(size[:, row, column]) * 4
        left = (column + offset[1, row, column] + 0.5) * 4 - wide / 2
        top = (row + offset[0, row, column] + 0.5) * 4 - high / 2
        five = points[:, row, column].reshape(5, 2)[:, ::-1] * (wide, high) + (left, top)
        box = np.array((left, top, left + wide, top + high)) * (*to, *to)
        x0, y0, x1, y1 = box.tolist()
        score = float(heat[row, column])
        faces.append(Face((x0, y0, x1, y1), score, (five * to).astype(np.float32)))
    return faces


def _distinct(found: list[Face]) -> tuple[Face, ...]:
    """Best first, without those that share most of their area with a better one.

    The smaller area counts, not the union: at another size of the picture the net also finds
    the middle of a large face.
    """
    kept: list[Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(_overlap(face.box, other.box) < 0.5 for other in kept):
            kept.append(face)
    return tuple(kept)


def _overlap(
    one: tuple[float, float, float, float], two: tuple[float, float, float, float]
) -> float:
    """The area that two boxes have in common, over that of the smaller one."""
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, two)]
    return max(0.0, width) * max(0.0, height) / max(1e-6, min(areas))


class LandmarkNet(LazyNet):
    """MediaPipe's face landmark net: the 468 points of one face."""

    def __init__(self, model: Path) -> None:
        self.model = model

    @cached_property
    def _net(self) -> Any:
        return load_tflite(self.model)

    def find(
        self, rgb: Pixels, box: tuple[float, float, float, float], roll: float = 0.0
    ) -> Landmarks | None:
        """The points of the face in `box`, turned by about `roll` degrees; None if it is none."""
        x0, y0, x1, y1 = box
        crop = _Crop((x0 + x1) / 2, (y0 + y1) / 2, MARGIN * max(x1 - x0, y1 - y0), roll)
        found = self._predict(rgb, crop)
        for _ in range(ROUNDS - 1):
            found = self._predict(rgb, _Crop.around(found.points))
        return found if found.score >= LEAST_SCORE else None

    def track(self, rgb: Pixels, previous: Landmarks) -> Landmarks | None:
        """The same face one frame later; None when it is lost."""
        found = self._predict(rgb, _Crop.around(previous.points))
        return found if found.score >= LEAST_SCORE else None

    def doubt(self, rgb: Pixels, face: Landmarks) -> float:
        """How far the lips' points scatter over slightly different crops, shares of Hf.

        Where the mouth cannot be seen the net guesses, and guesses anew for each crop. Measured
        over 43 portraits and paintings: visible mouths .004–.011 (.014 at 40 pixels), medical
        masks .018–.039, microphones .010–.022, painted-on hands .010–.021.
        """
        base = _Crop.around(face.points)
        lips = np.stack([self._predict(rgb, base.shaken(*by)).points[LIPS, :2] for by in SHAKES])
        return float(np.sqrt(lips.var(axis=0).sum(axis=1)).mean() / max(1e-6, face.height))

    def _predict(self, rgb: Pixels, crop: "_Crop") -> Landmarks:
        import cv2

        matrix = crop.matrix()
        picture = cv2.warpAffine(rgb, matrix, (CROP, CROP), flags=cv2.INTER_AREA)
        self._net.setInput(cv2.dnn.blobFromImage(picture, 1 / 255))
        logit, flat = self._net.forward(["conv2d_31", "conv2d_21"])
        points = flat.reshape(468, 3)
        back = cv2.invertAffineTransform(matrix)
        points[:, :2] = points[:, :2] @ back[:, :2].T + back[:, 2]
        points[:, 2] *= crop.side / CROP
        return Landmarks(points.astype(np.float32), 1 / (1 + math.exp(-float(logit.item()))))


@dataclass(frozen=True, slots=True)
class _Crop:
    """A square of a picture, turned clockwise by `roll` degrees."""

    x: float
    y: float
    side: float
    roll: float

    @classmethod
    def around(cls, points: Floats) -> "_Crop":
        """The square that holds a face with its margin, level with its eyes."""
        (x0, y0), (x1, y1) = points[:, :2].min(0), points[:, :2].max(0)
        side = MARGIN * max(x1 - x0, y1 - y0)
        return cls(float(x0 + x1) / 2, float(y0 + y1) / 2, float(side), _roll(points))

    def shaken(self, right: float, down: float, scale: float, turn: float) -> "_Crop":
        return _Crop(
            self.x + right * self.side,
            self.y + down * self.side,
            self.side * scale,
            self.roll + turn,
        )

    def matrix(self) -> Any:
        """(2, 3): from the picture's pixels to those of the net's crop."""
        import cv2

        matrix = cv2.getRotationMatrix2D((self.x, self.y), self.roll, CROP / self.side)
        matrix[:, 2] += (CROP / 2 - self.x, CROP / 2 - self.y)
        return matrix


def _roll(points: Floats) -> float:
    across = points[EYE_CORNERS[3], :2] - points[EYE_CORNERS[0], :2]
    return math.degrees(math.atan2(across[1], across[0]))


def head_pose(points: Floats) -> tuple[float, float, float]:
    """Yaw (to the picture's right positive), pitch (down positive), roll (clockwise), in degrees.

    From the depth the net gives to the outer eye corners, the face's sides, forehead and chin.
    Yaw is good to 3° near the front (a mirrored photo's differs by that much) and reads low for
    turned heads, about 33° for a painted head at some 40°; pitch has an offset of about -9° and
    follows the opening mouth: use it for nothing finer than "looks far up or down".
    """
    across = points[263] + points[454] - points[33] - points[234]
    down = points[CHIN] - points[FOREHEAD]
    yaw = math.degrees(math.atan2(across[2], math.hypot(across[0], across[1])))
    pitch = math.degrees(math.atan2(-down[2], math.hypot(down[0], down[1])))
    return yaw, pitch, _roll(points)


def load_tflite(model: Path) -> Any:
    """The net in a .tflite file."""
    import cv2

    with library_name(model) as name:
        if _is_old_opencv():
            return cv2.dnn.readNetFromTFLite(name)
        # OpenCV 5's new engine drops outputs of nets that have several.
        return cv2.dnn.readNetFromTFLite(name, cv2.dnn.ENGINE_CLASSIC)


def _is_old_opencv() -> bool:
    import cv2

    return int(cv2.__version__.split(".")[0]) < 5
