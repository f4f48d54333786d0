"""MediaPipe's selfie segmentation: which pixels are a person, softly and coarsely.

Looks at several crops and takes their mean; refining the edge is `matting`'s business.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.vision.faces import load_tflite
from vidgen.work import Box, Floats, Pixels

SQUARE: Final = (256, 256)  # width, height of the general net's picture
LANDSCAPE: Final = (256, 144)  # and of the landscape net's
MARGIN: Final = 0.1  # round the person's box, shares of its width
FADE: Final = 0.12  # of a crop's side: near its edge a net knows too little of what it sees


class Selfie:
    """The general net and the landscape net together: each errs elsewhere."""

    name = model = "selfie_segmentation"
    device, precision = "cpu", "float32"
    is_fine = False

    def __init__(self, square: Path, landscape: Path) -> None:
        self.square = square
        self.landscape = landscape

    @cached_property
    def _nets(self) -> tuple[tuple[Any, tuple[int, int]], ...]:
        return (load_tflite(self.square), SQUARE), (load_tflite(self.landscape), LANDSCAPE)

    def load(self) -> None:
        """Read the models now rather than at the first picture."""
        _ = self._nets

    def release(self) -> None:
        """Forget the models; the next picture reads them again."""
        self.__dict__.pop("_nets", None)

    def matte(self, rgb: Pixels, person: Box) -> Floats:
        """(H, W) 0–1: the person in `person`. 0 outside its box unless that is half the width."""
        height, width = rgb.shape[:2]
        votes = np.zeros((height, width), np.float32)
        weights = np.full((height, width), 1e-4, np.float32)
        for view in _views(person, width, height):
            x0, y0 = max(0, view[0]), max(0, view[1])
            x1, y1 = min(width, view[2]), min(height, view[3])
            fade = _fade(y0, y1, height)[:, None] * _fade(x0, x1, width)[None]
            for net, size in self._nets:
                votes[y0:y1, x0:x1] += fade * _segment(net, size, rgb[y0:y1, x0:x1])
                weights[y0:y1, x0:x1] += fade
        return votes / weights


def _views(person: Box, width: int, height: int) -> Iterator[Box]:
    """The crops to look at: the frame, the person, and the square of head and shoulders."""
    x0, y0, x1, y1 = person
    if x1 - x0 > 0.5 * width:
        yield 0, 0, width, height
    margin = round(MARGIN * (x1 - x0))
    x0, y0, x1, y1 = x0 - margin, y0 - margin, x1 + margin, min(height, y1 + margin)
    yield x0, y0, x1, y1
    yield x0, y0, x1, y0 + x1 - x0


def _fade(start: int, end: int, full: int) -> Floats:
    """(end - start,) weights that fall towards the ends that are not the picture's own."""
    place = np.arange(start, end, dtype=np.float32) + 0.5
    reach = FADE * (end - start)
    low = np.ones_like(place) if start <= 0 else np.clip((place - start) / reach, 0, 1)
    high = np.ones_like(place) if end >= full else np.clip((end - place) / reach, 0, 1)
    made: Floats = low * high
    return made


def _segment(net: Any, size: tuple[int, int], part: Pixels) -> Floats:
    """(h, w) 0–1 of one crop."""
    import cv2

    picture = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    net.setInput(cv2.dnn.blobFromImage(picture, 1 / 255))
    seen = net.forward().reshape(size[1], size[0])
    made: Floats = cv2.resize(seen, part.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(made, 0, 1)
