"""Both eyes' patches: drawn only in frames in which they differ from the photo.

A patch has the resolution and the places of the layer's pixels, so that an eye drawn just as
in the photo is the photo. Knows neither how lids nor how an iris moves.
"""

from dataclasses import dataclass

import numpy as np

from vidgen.renderers.puppet import gaze, lids
from vidgen.renderers.puppet.gaze import Ball
from vidgen.renderers.puppet.geometry import Eye, Face
from vidgen.renderers.puppet.layer import FINE, doubled
from vidgen.renderers.puppet.lids import Lids
from vidgen.renderers.puppet.skin import Light
from vidgen.work import Box, Floats, Pixels


@dataclass(frozen=True, slots=True)
class EyePatch:
    """One eye."""

    box: Box  # frame pixels
    ball: Ball
    lids: Lids

    def draw(self, x: float, y: float, shut: float) -> Pixels:
        """(h, w, 3) looking (x, y), its lids `shut`."""
        ball = self.ball.draw(x, y) if abs(x) + abs(y) > 1e-3 else self.ball.still
        return self.lids.draw(ball, shut) if shut > 1e-3 else ball


def build(frame: Pixels, face: Face, light: Light) -> tuple[EyePatch, ...]:
    """The eyes that are in the frame and large enough to be seen moving."""
    patches = []
    for eye in face.eyes:
        box = _box(eye, frame.shape)
        if min(box[2] - box[0], box[3] - box[1]) >= 6:
            patches.append(_patch(frame, eye, box, light))
    return tuple(patches)


def _patch(frame: Pixels, eye: Eye, box: Box, light: Light) -> EyePatch:
    left, top, right, bottom = box
    still = doubled(np.ascontiguousarray(frame[top:bottom, left:right]))
    u, v = eye.axes.uv(*places(box))
    ball = gaze.build(still, eye, u, v, FINE, light.blur)
    return EyePatch(box, ball, lids.build(still, eye, u, v, FINE, light.blur))


def places(box: Box) -> tuple[Floats, Floats]:
    """x and y, frame pixels, of a patch's pixels: (FINE i, FINE j) is on the frame's (i, j)."""
    x = box[0] + np.arange(FINE * (box[2] - box[0])) / FINE
    y = box[1] + np.arange(FINE * (box[3] - box[1])) / FINE
    across, down = np.meshgrid(x, y)
    return across.astype(np.float32), down.astype(np.float32)


def _box(eye: Eye, shape: tuple[int, ...]) -> Box:
    """From the brow to the skin below the eye, inside the frame."""
    width = 2 * eye.half
    top = min(float(eye.brow.v.min()), float(eye.upper.v.min()) - 0.3 * width)
    v = np.array([top - 0.06 * width, float(eye.lower.v.max()) + 0.62 * width], np.float32)
    u = np.array([-1.6, 1.6], np.float32) * eye.half
    x, y = eye.axes.xy(*(side.ravel() for side in np.meshgrid(u, v)))
    return (
        int(np.clip(x.min(), 0, shape[1])),
        int(np.clip(y.min(), 0, shape[0])),
        int(np.clip(x.max() + 1, 0, shape[1])),
        int(np.clip(y.max() + 1, 0, shape[0])),
    )
