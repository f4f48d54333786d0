"""The blocks about a moving speaker that a piece's first picture is coded finely in.

A block of such a picture is predicted from its neighbours to the left and above, so where the
speaker stood otherwise all of the wall to his right was coded otherwise: it jumped where pieces
meet. Blocks that come out the same, whatever they are predicted from, end that: behind them each
piece's wall is coded alike, to the bit.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vidgen.work import Box, Floats

BLOCK: Final = 16  # pixels: H.264's macroblock
FINER: Final = -0.25  # of all 51 steps of the quantiser: off by less than half a level then


def barrier(matte: Floats, reach: int) -> tuple[Box, ...]:
    """The blocks that are predicted from what moves, as boxes: from a speaker of this matte (H, W)
    who gets `reach` pixels farther, and from those about him, quantised as he needs it."""
    import cv2

    height, width = matte.shape
    covered = np.pad(matte > 0.01, ((0, -height % BLOCK), (0, -width % BLOCK))).astype(np.uint8)
    covered = cv2.dilate(covered, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    rows, columns = covered.shape[0] // BLOCK, covered.shape[1] // BLOCK
    blocks = covered.reshape(rows, BLOCK, columns, BLOCK).max((1, 3))
    moving = cv2.dilate(blocks, np.ones((3, 3), np.uint8))
    # Each is predicted from those with a 1, as seen from the middle.
    behind = cv2.dilate(moving, np.array([[1, 1, 1], [1, 1, 0], [0, 0, 0]], np.uint8)) > moving
    return tuple(
        (start * BLOCK, row * BLOCK, min(end * BLOCK, width), min((row + 1) * BLOCK, height))
        for row, line in enumerate(behind)
        for start, end in _runs(line)
    )


def mark_finer(frame: Any, boxes: Sequence[Box]) -> Any:
    """`frame`, an av.VideoFrame, with the wish that its encoder makes these boxes finer."""
    import av

    if not boxes or "addroi" not in av.filter.filters_available:
        return frame
    frame.pts = 0
    graph = av.filter.Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    for left, top, right, bottom in boxes:
        place = f"x={left}:y={top}:w={right - left}:h={bottom - top}:qoffset={FINER}"
        before, last = last, graph.add("addroi", place)
        before.link_to(last)
    last.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    return graph.pull()


def _runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First index and one past the last of each run of True."""
    edges = np.flatnonzero(np.diff(line, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
