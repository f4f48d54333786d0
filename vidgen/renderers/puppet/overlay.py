"""The parts of a face that are drawn anew in a frame: small pictures laid over the warped photo.

Both ways of drawing take them from here: they are a hundredth of the frame's pixels. Another
renderer's patches are taken one after another, only as the drawing goes on.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from vidgen.renderers.base import FacePainter
from vidgen.renderers.puppet import mouth
from vidgen.renderers.puppet.grid import Array, enlarge, look_up
from vidgen.renderers.puppet.poses import Poses
from vidgen.renderers.puppet.rig import Fields, Rig, into
from vidgen.work import Box, Pixels

STILL = 2e-3  # of a half eye: less is not drawn


@dataclass(frozen=True, slots=True)
class Patch:
    """A picture for the head at rest, at any whole number of times the frame's resolution."""

    box: Box  # frame pixels: what it covers
    pixels: Pixels  # (h, w, 4) colours not premultiplied

    def into(self, field: Array) -> Array:
        """Frame pixels (…, 2) as pixels of this picture.

        Both cover the same place edge to edge, as `cv2.resize` has it.
        """
        scale = self.pixels.shape[1] / (self.box[2] - self.box[0])
        start = np.array(self.box[:2]) - (1 - 1 / scale) / 2
        at: Array = ((field - start) * scale).astype(np.float32)
        return at


def patches(painter: FacePainter | None, first: int, last: int) -> Iterator[Patch | None]:
    """One for each of the frames first..last-1; None for each where nobody paints."""
    if painter is None:
        yield from repeat(None, last - first)
        return
    for few in painter.patches(first, last):
        for pixels in few:
            yield Patch(painter.box, pixels)


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture for a part of the frame."""

    box: Box  # frame pixels
    pixels: Pixels  # (h, w, 3)
    cover: Array  # (h, w) float32, 0–1


def overlays(
    figure: Rig, plan: Poses, index: int, fields: Fields, patch: Patch | None = None
) -> Iterator[Overlay]:
    """What frame `index` lays over the warped photo: eyes that look or blink, then the mouth,
    its own or another's `patch`."""
    x, y = (float(value) for value in plan.gaze[index])
    for eye in figure.eyes:
        shut = float(plan.lids[index][eye.side])
        if abs(x) + abs(y) + shut > STILL:
            picture, box = eye.draw(x, y, shut)
            yield _lay(figure, picture, box, fields.whole)
    weights = plan.weights[index]
    if weights[:-1].any():  # else it is the photo's own mouth
        both = fields.upper, fields.lower
        view = mouth.view(
            figure.mouth, figure.size, figure.grid, fields.turned, figure.bases.grid, both
        )
        pixels, cover = figure.mouth.draw(view, weights, float(plan.tongue[index]))
        yield Overlay(view.box, pixels, cover)
    if patch is not None and (wide := reach(figure, patch.box, fields.whole)):
        yield _carry(figure, patch, wide, fields.whole)


def _lay(figure: Rig, patch: Pixels, box: Box, field: Array) -> Overlay:
    """A patch drawn with the head at rest, where the head has it now."""
    import cv2

    wide = move_box(figure, box, field)
    place, at = _at_pixels(figure, wide, field, lambda part: into(part, box))
    pixels = look_up(patch, at)
    height, width = patch.shape[:2]
    inside = cv2.inRange(at, (0.0, 0.0), (width - 1.0, height - 1.0))
    return Overlay(place, pixels, inside.astype(np.float32) / 255)


def _carry(figure: Rig, patch: Patch, wide: Box, field: Array) -> Overlay:
    """Another's patch where the skin under it is now: both go by the same field."""
    import cv2

    place, at = _at_pixels(figure, wide, field, patch.into)
    found = look_up(patch.pixels, *cv2.convertMaps(at, None, cv2.CV_16SC2))
    height, width = patch.pixels.shape[:2]
    inside = cv2.inRange(at, (-0.5, -0.5), (width - 0.5, height - 0.5))
    cover = cv2.multiply(cv2.extractChannel(found, 3), inside, scale=1 / 255**2, dtype=cv2.CV_32F)
    return Overlay(place, cv2.cvtColor(found, cv2.COLOR_RGBA2RGB), np.asarray(cover))


def _at_pixels(
    figure: Rig, wide: Box, field: Array, into: Callable[[Array], Array]
) -> tuple[Box, Array]:
    """The frame's pixels that hold `wide`, in whole cells, and (h, w, 2) `into` of the field
    (rows, columns, 2) at them."""
    grid = figure.grid
    part, rows, columns = grid.part(wide)
    right, bottom = min(part.right, figure.size[0]), min(part.bottom, figure.size[1])
    at = enlarge(into(field[rows, columns]), grid.pitch)
    at = np.ascontiguousarray(at[: bottom - part.top, : right - part.left])
    return (part.left, part.top, right, bottom), at


def move_box(figure: Rig, box: Box, field: Array) -> Box:
    """The frame pixels that may show what was in `box` with the head at rest."""
    return mouth.move_box(box, figure.grid, field, figure.size, 0.02 * figure.face.height)


def reach(figure: Rig, box: Box, field: Array) -> Box | None:
    """The frame pixels that show any of `box`, however its parts move; None if none does."""
    slack = 1.5 * figure.grid.pitch  # a cell, and what a cell is stretched at most
    low, high = np.array(box[:2]) - slack, np.array(box[2:]) + slack
    shows: Array = np.all((field > low) & (field < high), axis=-1)
    rows, columns = np.flatnonzero(shows.any(1)), np.flatnonzero(shows.any(0))
    if not len(rows):
        return None
    (left, top), (right, bottom) = figure.nodes[rows[[0, -1]], columns[[0, -1]]]
    return (
        int(np.clip(left, 0, figure.size[0] - 2)),
        int(np.clip(top, 0, figure.size[1] - 2)),
        int(np.clip(right + 1, 2, figure.size[0])),
        int(np.clip(bottom + 1, 2, figure.size[1])),
    )
