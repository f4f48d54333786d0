"""The film's first picture: the crop at the film's size, and what is done where that is soft."""

from functools import partial
from typing import Final

import numpy as np

from vidgen.events import Emit, Log, StageProgress
from vidgen.stages.framing import Crop, crop_frame
from vidgen.stages.people import blurry_face
from vidgen.vision.detail import spare_pixels
from vidgen.vision.enlarger import Enlarger
from vidgen.work import Floats, Pixels

SOFT: Final = 2.0  # times enlarged from which a film looks soft
BLURRED: Final = 3.0  # times that a face can be shrunk without loss which is drawn badly
LEAST_DETAIL: Final = 60  # pixels that such a face must still have: eyes are spots below
BEFORE: Final = 2  # steps of the stage before this one
STEPS: Final = 100  # of a stage that may enlarge the photo: nearly all of its time


class FramePicture:
    """Cuts a crop out of a photo at the film's size; `wanted` says whether to enlarge a small one,
    `enlarger` does it, where somebody waits for it."""

    def __init__(self, name: str, wanted: bool, enlarger: Enlarger | None) -> None:
        self.name = name
        self.wanted = wanted
        self.enlarger = enlarger

    @property
    def steps(self) -> int:
        """Of the whole stage: the first two, and one for this, or as many as its time is worth."""
        return STEPS if self.enlarger else BEFORE + 1

    def cut(
        self, source: Pixels, crop: Crop, size: tuple[int, int], points: Floats, emit: Emit
    ) -> Pixels:
        """`crop` of `source` at `size` (width, height); `points` (468, 3) are the face's there.

        Raises InputError for a face of too little detail.
        """
        part = crop_frame(source, crop, min(size, (crop.width, crop.height)))
        scale = part.shape[0] / size[1]
        face = part_around(part, points * scale)
        spare = spare_pixels(face)
        if spare >= BLURRED and face.shape[0] / spare < LEAST_DETAIL:
            raise blurry_face(face.shape[0] / spare)
        times = spare / scale
        told = {"times": round(times, 1), "pixels": round(size[1] / times), "height": size[1]}
        if times > SOFT:
            code = "detect.enlarged" if self.wanted else "detect.soft"
            emit(Log("INFO" if self.wanted else "WARNING", code, told))
            if self.enlarger is not None:
                part = self._enlarge(self.enlarger, _shrink(part, spare), emit)
        elif self.wanted:
            emit(Log("INFO", "detect.sharp", told))
        return crop_frame(part, _all_of(part), size)

    def _enlarge(self, enlarger: Enlarger, part: Pixels, emit: Emit) -> Pixels:
        try:
            return enlarger.enlarge(part, partial(self._tell, emit))
        finally:
            enlarger.release()

    def _tell(self, emit: Emit, count: int, tiles: int) -> None:
        done = BEFORE + (STEPS - BEFORE) * count // tiles
        emit(StageProgress(self.name, done, STEPS, "steps", "detect.enlarging"))


def _all_of(rgb: Pixels) -> Crop:
    return Crop(0, 0, rgb.shape[1], rgb.shape[0])


def _shrink(rgb: Pixels, by: float) -> Pixels:
    height, width = rgb.shape[:2]
    return crop_frame(rgb, _all_of(rgb), (round(width / by), round(height / by)))


def part_around(rgb: Pixels, points: Floats) -> Pixels:
    """What of a picture these points (N, 2 or 3) span."""
    low = np.maximum(points[:, :2].min(0), 0).astype(int)
    right, bottom = np.minimum(points[:, :2].max(0) + 1, rgb.shape[1::-1]).astype(int)
    return rgb[low[1] : max(bottom, low[1] + 1), low[0] : max(right, low[0] + 1)]
