"""The parts of a face that are drawn anew in a frame: small pictures laid over the warped photo.

Both ways of drawing take them from here: they are a hundredth of the frame's pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vidgen.renderers.puppet import mouth
from vidgen.renderers.puppet.figure import Fields, Figure, into
from vidgen.renderers.puppet.grid import Array, enlarged, looked_up
from vidgen.renderers.puppet.plan import Plan
from vidgen.work import Box, Pixels

STILL = 2e-3  # of a half eye: less is not drawn


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture for a part of the frame."""

    box: Box  # frame pixels
    pixels: Pixels  # (h, w, 3)
    cover: Array  # (h, w) float32, 0–1


def overlays(figure: Figure, plan: Plan, index: int, fields: Fields) -> Iterator[Overlay]:
    """What frame `index` lays over the warped photo: eyes that look or blink, then the mouth."""
    (x, y), shut = plan.gaze[index], plan.lids[index]
    if abs(x) + abs(y) + shut > STILL:
        for eye in figure.eyes:
            patch, box = eye.draw(float(x), float(y), float(shut))
            yield _laid(figure, patch, box, fields.whole)
    weights = plan.weights[index]
    if weights[:-1].any():  # else it is the photo's own mouth
        both = fields.upper, fields.lower
        view = mouth.view(
            figure.mouth, figure.size, figure.grid, fields.turned, figure.bases.grid, both
        )
        pixels, cover = figure.mouth.draw(view, weights, float(plan.tongue[index]))
        yield Overlay(view.box, pixels, cover)


def _laid(figure: Figure, patch: Pixels, box: Box, field: Array) -> Overlay:
    """A patch drawn with the head at rest, where the head has it now."""
    import cv2

    grid = figure.grid
    wide = moved(figure, box, field)
    part, rows, columns = grid.part(wide)
    right, bottom = min(part.right, figure.size[0]), min(part.bottom, figure.size[1])
    at = enlarged(into(field[rows, columns], box), grid.pitch)
    at = np.ascontiguousarray(at[: bottom - part.top, : right - part.left])
    pixels = looked_up(patch, at)
    height, width = patch.shape[:2]
    inside = cv2.inRange(at, (0.0, 0.0), (width - 1.0, height - 1.0))
    return Overlay((part.left, part.top, right, bottom), pixels, inside.astype(np.float32) / 255)


def moved(figure: Figure, box: Box, field: Array) -> Box:
    """The frame pixels that may show what was in `box` with the head at rest."""
    return mouth.moved(box, figure.grid, field, figure.size, 0.02 * figure.face.height)
