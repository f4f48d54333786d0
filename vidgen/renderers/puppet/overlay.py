"""The parts of a face that are drawn anew in a frame: small pictures laid over the warped photo.

Both ways of drawing lay these: the processor one frame's, where they are, a device a batch's, in
boxes that do for the whole film. Another renderer's patches are taken one after another, only as
the drawing goes on.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from vidgen.renderers.base import FacePainter
from vidgen.renderers.puppet import mouth
from vidgen.renderers.puppet.canvas import Canvas
from vidgen.renderers.puppet.grid import Array
from vidgen.renderers.puppet.layer import FINE
from vidgen.renderers.puppet.poses import Pose
from vidgen.renderers.puppet.rig import Fields, Rig
from vidgen.work import Box

STILL = 2e-3  # of a half eye: less is not drawn


@dataclass(frozen=True, slots=True)
class Patch:
    """A picture for the head at rest, at any whole number of times the frame's resolution."""

    box: Box  # frame pixels: what it covers
    pixels: Array  # (h, w, 4) colours not premultiplied; of a batch (B, H, W, 3), at any size
    mask: Array | None = None  # (h, w, 1) 0–1, a batch's alpha, the same in all its frames

    def into(self, canvas: Canvas, field: Array) -> Array:
        """Frame pixels (…, 2) as pixels of this picture, or of its mask.

        Both cover the same place edge to edge, as `cv2.resize` has it.
        """
        picture = self.pixels if self.mask is None else self.mask
        scale = picture.shape[-2] / (self.box[2] - self.box[0])
        start = np.array(self.box[:2]) - (1 - 1 / scale) / 2
        return canvas.scale_places(field, start.tolist(), scale)


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
    pixels: Array | None  # (h, w, 3); None is black
    cover: Array  # (h, w) float32, 0–1


def overlays(
    canvas: Canvas, figure: Rig, pose: Pose, fields: Fields, patch: Patch | None = None
) -> Iterator[Overlay]:
    """What is laid over the warped photo: eyes that look or blink, the mouth and the folds about
    it, or another's `patch`."""
    for eye in figure.eyes:
        drawn = eye.draw(canvas, pose, STILL)
        if drawn is not None:
            yield _lay(canvas, figure, *drawn, fields.whole)
    if patch is not None:
        wide = canvas.reach(patch.box, figure.grid, fields.whole, figure.size)
        if wide is not None:
            yield _carry(canvas, figure, patch, wide, fields.whole)
        return
    if canvas.is_over(pose.speaks, 0):  # else it is the photo's own mouth
        both = fields.upper, fields.lower
        view = mouth.view(
            canvas, figure.mouth, figure.size, figure.grid, fields.turned, figure.bases.grid, both
        )
        pixels, cover = figure.mouth.draw(canvas, view, pose)
        yield Overlay(view.box, pixels, canvas.only(pose.speaks, cover))
    shade = _shade(canvas, figure, pose, fields)
    if shade is not None:
        yield shade


def _shade(canvas: Canvas, figure: Rig, pose: Pose, fields: Fields) -> Overlay | None:
    """The folds that an opening mouth deepens, over all that is drawn of it."""
    _, rows, columns = figure.grid.part(figure.folds.box)
    taken = figure.folds.shade(canvas, pose.weights, fields.whole[..., rows, columns, :])
    return None if taken is None else Overlay(figure.folds.box, None, taken)


def _lay(canvas: Canvas, figure: Rig, patch: Array, box: Box, field: Array) -> Overlay:
    """A patch drawn with the head at rest, where the head has it now."""
    margin = 0.02 * figure.face.height
    wide = canvas.move_box(box, figure.grid, field, figure.size, margin)

    def into(places: Array) -> Array:
        return canvas.scale_places(places, box[:2], FINE)

    place, at = _at_pixels(canvas, figure, wide, field, into)
    return Overlay(place, canvas.look_up(patch, at), canvas.within(at, patch))


def _carry(canvas: Canvas, figure: Rig, patch: Patch, wide: Box, field: Array) -> Overlay:
    """Another's patch where the skin under it is now: both go by the same field."""
    place, at = _at_pixels(canvas, figure, wide, field, lambda at: patch.into(canvas, at))
    return Overlay(place, *canvas.look_up_patch(patch.pixels, at, patch.mask))


def _at_pixels(
    canvas: Canvas, figure: Rig, wide: Box, field: Array, into: Callable[[Array], Array]
) -> tuple[Box, Array]:
    """The frame's pixels that hold `wide`, in whole cells, and (h, w, 2) where they come from, put
    `into` a picture's own places."""
    part, rows, columns = figure.grid.part(wide)
    right, bottom = min(part.right, figure.size[0]), min(part.bottom, figure.size[1])
    size = bottom - part.top, right - part.left
    at = canvas.enlarge(into(field[..., rows, columns, :]), figure.grid.pitch, size)
    return (part.left, part.top, right, bottom), at
