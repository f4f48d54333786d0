"""A part of the face that another renderer paints, as a picture for each frame that is drawn.

Takes them one after another, only as the drawing goes on: a film's patches never stand in memory
together. Moves nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from vidgen.renderers.base import FacePainter
from vidgen.renderers.puppet.grid import Array
from vidgen.work import Box, Pixels


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
