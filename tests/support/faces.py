"""A detector that looks at a picture once, for tests of what is made of its faces."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from vidgen.vision.faces import SIDES, Face, FaceDetector
from vidgen.work import Pixels

Found = tuple[tuple[Face, ...], float]


class KeptFaces(FaceDetector):
    """Keeps what it found in each picture (H, W, 3)."""

    def __init__(self, model: Path) -> None:
        super().__init__(model)
        self._kept: dict[object, Found] = {}

    def scan(self, rgb: Pixels, threshold: float, sides: Sequence[int] = SIDES) -> Found:
        key = rgb.shape, sha256(rgb.tobytes()).digest(), threshold, tuple(sides)
        if key not in self._kept:
            self._kept[key] = super().scan(rgb, threshold, sides)
        return self._kept[key]
