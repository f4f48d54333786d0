"""Cut the speaker out of the framed photo and prepare what is shown behind.

The network that tells the person from the rest stands behind `MatteNetwork`; drawing the two
together again is the renderer's business.
"""

import time
from typing import Final, Protocol

import numpy as np

from vidgen.errors import InputError
from vidgen.events import Emit, Log, StageProgress
from vidgen.media.photo import open_photo
from vidgen.media.previews import CUTOUT_HEIGHT, tell_cutout
from vidgen.paths import absolute
from vidgen.settings import Options, colour
from vidgen.vision.faces import CHIN, FOREHEAD
from vidgen.vision.inpaint import inpaint, out_of_focus
from vidgen.vision.matting import (
    background_lines,
    disc,
    foreground_colours,
    refine_matte,
    smooth_matte,
)
from vidgen.work import Box, Cutout, Floats, Folder, Notes, Pixels, Subject, Work

NAME: Final = "birefnet_removal"
CLOSE: Final = 0.005  # Hf; beyond the matte a background with lines in it is the photo's own
WIDE: Final = 0.05  # Hf; before an even one hair is, that the matte may miss
SOLID: Final = 0.1  # of the matte: what the speaker covers less is the background's
FOCUS: Final = 0.06  # radius of a point behind, shares of Hf, with --background blur
WORDS: Final = ("keep", "blur", "transparent")
LEAST_FACE: Final = 0.6  # of the face must be in the matte, else the cut-out failed


class MatteNetwork(Protocol):
    """Tells a person from the rest of a picture."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str:
        """Which weights, for people to read."""
        ...

    @property
    def device(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def is_fine(self) -> bool:
        """Whether its edges are true to the pixel, hair included."""
        ...

    def load(self) -> None: ...

    def release(self) -> None:
        """Give memory back; the next call loads again."""
        ...

    def matte(self, rgb: Pixels, person: Box) -> Floats:
        """(H, W) coverage 0–1 by the person in `person`, pixels of `rgb` (H, W, 3)."""
        ...


class Matte:
    """The stage `birefnet_removal`: Subject → Cutout."""

    name = NAME

    def __init__(self, model: MatteNetwork, options: Options) -> None:
        self.model = model
        self.options = options

    def run(self, work: Work, emit: Emit) -> Work:
        """Raises InputError for a background that is no picture, colour or known word."""
        subject = work.get(Subject)
        wanted = _background(self.options.background, subject.frame.shape[:2])
        began = time.monotonic()
        self.model.load()
        load_seconds = time.monotonic() - began
        matte = self._matte(subject, emit)
        emit(StageProgress(NAME, 2, 3, "steps"))
        cutout = self._cutout(subject, matte, wanted)
        if work.has(Folder):  # without one nobody watches
            tell_cutout(_visible(cutout, _face_height(subject)), work.get(Folder).previews, emit)
        emit(StageProgress(NAME, 3, 3, "steps"))
        height, width = matte.shape
        notes = {
            "backend": self.model.name,
            "model": self.model.model,
            "device": self.model.device,
            "precision": self.model.precision,
            "background": self.options.background,
            "coverage": round(float(matte.mean()), 3),
            "work": round(height * width / 1e6, 3),
            "work_unit": "megapixels",
            "load_seconds": round(load_seconds, 3),
        }
        return work.plus(cutout, Notes(notes, "matte.done"))

    def _matte(self, subject: Subject, emit: Emit) -> Floats:
        """The fine matte; a warning when it does not even hold the face."""
        face_height = _face_height(subject)
        x, y = subject.landmarks[[FOREHEAD, CHIN], :2].mean(0).tolist()
        coarse = self.model.matte(subject.frame, subject.person)
        emit(StageProgress(NAME, 1, 3, "steps"))
        refine = smooth_matte if self.model.is_fine else refine_matte
        matte = refine(subject.frame, coarse, (x, y), face_height, self.options.smoothing)
        left, top, right, bottom = subject.face
        covered = float(matte[top:bottom, left:right].mean())
        if covered < LEAST_FACE:
            emit(Log("WARNING", "matte.poor", {"percent": round(100 * covered)}))
        return matte

    def _cutout(self, subject: Subject, matte: Floats, wanted: "str | Pixels") -> Cutout:
        frame = subject.frame
        face_height = _face_height(subject)
        if isinstance(wanted, str) and wanted == "keep":
            return Cutout(frame, matte, _still(frame, matte, face_height), keeps_photo=True)
        foreground = foreground_colours(frame, matte, face_height)
        if not isinstance(wanted, str):
            return Cutout(foreground, matte, wanted)
        if wanted == "transparent":
            return Cutout(foreground, matte, None)
        behind = _behind(frame, matte, WIDE * face_height)
        return Cutout(foreground, matte, out_of_focus(behind, FOCUS * face_height))


def _visible(cutout: Cutout, face_height: float) -> Cutout:
    """The cut-out in the speaker's own colours: for watchers, so these are found in small."""
    import cv2

    if not cutout.keeps_photo:
        return cutout
    scale = min(1.0, CUTOUT_HEIGHT / len(cutout.matte))
    frame, matte = (
        cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for picture in (cutout.foreground, cutout.matte)
    )
    return Cutout(foreground_colours(frame, matte, scale * face_height), matte, None)


def _face_height(subject: Subject) -> float:
    return float(np.linalg.norm(subject.landmarks[FOREHEAD, :2] - subject.landmarks[CHIN, :2]))


def _still(frame: Pixels, matte: Floats, face_height: float) -> Pixels:
    """What stays behind a speaker who moves: lines up to the outline, but no hair beyond it."""
    lines = background_lines(frame, matte, WIDE * face_height)[..., None]
    even, lined = (_behind(frame, matte, beyond * face_height) for beyond in (WIDE, CLOSE))
    made: Pixels = np.round(even + lines * (lined.astype(np.float32) - even)).astype(np.uint8)
    return made


def _behind(frame: Pixels, matte: Floats, beyond: float) -> Pixels:
    """The frame without the speaker: the hole, `beyond` pixels wider, filled, its seam soft."""
    import cv2

    hole = cv2.dilate((matte > SOLID).astype(np.float32), disc(beyond))
    soft = cv2.GaussianBlur(hole, (0, 0), max(0.5, 0.2 * beyond))
    return inpaint(frame, np.asarray(1 - np.maximum(hole, soft), np.float32))


def _background(background: str, shape: tuple[int, ...]) -> "str | Pixels":
    """`--background` as one of `WORDS` or as a picture (H, W, 3) of the frame's shape."""
    if background in WORDS:
        return background
    rgb = colour(background)
    if rgb is not None:
        return np.full((*shape, 3), rgb, np.uint8)
    path = absolute(background)
    if background.startswith("#") or (not path.suffix and not path.exists()):
        raise InputError(
            "--background {background} is not known.",
            hint="Use keep, blur, transparent, a colour like #20a040, or an image file.",
            code="matte.background_unknown",
            background=background,
        )
    return _covering(open_photo(path).rgb, shape[1], shape[0])


def _covering(rgb: Pixels, width: int, height: int) -> Pixels:
    """The middle of `rgb`, scaled so that it fills the frame without bars."""
    import cv2

    scale = max(width / rgb.shape[1], height / rgb.shape[0])
    size = max(width, round(rgb.shape[1] * scale)), max(height, round(rgb.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = cv2.resize(rgb, size, interpolation=how)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width])
