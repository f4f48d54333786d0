"""The speaker's matte by IS-Net on onnxruntime: fine edges without torch.

The network finds what stands out, held things too, and loses dark clothes before dark walls: the
embedded net says where the speaker surely is and is not.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.models.files import not_loadable
from vidgen.vision.matting import disc, roomy
from vidgen.vision.selfie import Selfie
from vidgen.work import Box, Floats, Pixels

SIDE: Final = 1024  # pixels, both sides of the network's picture
MIDDLE: Final = 128.0  # its colours are (x - MIDDLE) / SPREAD
SPREAD: Final = 256.0
SURE: Final = 0.9  # of the embedded matte
INSIDE: Final = 0.05  # of the box's width within the sure part, the speaker surely is
NEAR: Final = 0.12  # and beyond the possible part surely is not


class IsNet:
    """The matte of what stands out within a person's box (Qin and others, 2022)."""

    name = "isnet"
    device, precision = "cpu", "float32"
    is_fine = False  # its soft edges are wider than hair is

    def __init__(self, weights: Path, coarse: Selfie) -> None:
        self.weights = weights
        self.coarse = coarse
        self.model = weights.parent.name

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.enable_cpu_mem_arena = False  # with it on, it takes twice the memory
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(
                self.weights.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no common class
            raise not_loadable(self.weights, str(error).rstrip(".")) from error

    def load(self) -> None:
        """Read the weights now. Raises SetupError when they are not a network's."""
        _ = self._session
        self.coarse.load()

    def release(self) -> None:
        self.__dict__.pop("_session", None)
        self.coarse.release()

    def matte(self, rgb: Pixels, person: Box) -> Floats:
        """Coverage 0–1 (H, W) by the person in `person`."""
        import cv2

        coarse = self.coarse.matte(rgb, person)
        width = person[2] - person[0]
        sure = (coarse > SURE).astype(np.float32)
        core = cv2.erode(sure, disc(INSIDE * width), borderValue=1)
        soft = max(0.5, 0.3 * INSIDE * width)
        inside = cv2.GaussianBlur(core, (0, 0), soft)
        near = cv2.dilate((coarse > 1 - SURE).astype(np.float32), disc(NEAR * width))
        found = self._salient(rgb, roomy(person, rgb)) * cv2.GaussianBlur(near, (0, 0), soft)
        return np.asarray(np.maximum(found, inside), np.float32)

    def _salient(self, rgb: Pixels, view: Box) -> Floats:
        """(H, W) 0–1: what stands out within `view`; 0 beyond it."""
        import cv2

        left, top, right, bottom = view
        part = rgb[top:bottom, left:right]
        shrinks = max(part.shape[:2]) > SIDE
        small = cv2.resize(
            part, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        picture = (small.astype(np.float32) - MIDDLE) / SPREAD  # (S, S, 3)
        name = self._session.get_inputs()[0].name
        found = self._session.run(None, {name: picture.transpose(2, 0, 1)[None]})[0]
        matte = np.clip(np.asarray(found, np.float32).reshape(SIDE, SIDE), 0, 1)
        whole = np.zeros(rgb.shape[:2], np.float32)
        size = right - left, bottom - top
        whole[top:bottom, left:right] = cv2.resize(matte, size, interpolation=cv2.INTER_LINEAR)
        return whole
