"""Even borders round a picture: bars of a screenshot, a print's white edge. Knows no people."""

from typing import Final

import numpy as np

from vidgen.work import Box, Pixels

LEAST_SHARE: Final = 0.01  # of the picture's side; thinner edges nobody sees
EVEN: Final = 16  # grey levels of 255 within which a line is of one colour, as JPEG keeps it
OTHER: Final = 24  # grey levels from which a pixel is of another colour than the border
STRAIGHT: Final = 0.5  # share of the line beside a border that must be: no outline of a head is
BLUR: Final = 3  # pixels over which a scaled edge fades
SAMPLES: Final = 256  # pixels of a line that tell enough of it


def find_content(rgb: Pixels, inside: Box) -> Box:
    """What of a picture (H, W, 3) lies between even borders, seen from the box `inside` outwards.

    A border is a stretch of lines of one grey, straight against the picture: an even wall behind
    a head is none. Without borders it is the whole picture.
    """
    import cv2

    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    left, top, right, bottom = 0, 0, rgb.shape[1], rgb.shape[0]
    for _ in range(2):  # what ends at a bar on its side is straight only without that
        part = grey[top:bottom, left:right]
        columns = _between(part.T, inside[0] - left, inside[2] - left)
        rows = _between(part, inside[1] - top, inside[3] - top)
        left, right = left + columns[0], left + columns[1]
        top, bottom = top + rows[0], top + rows[1]
    return left, top, right, bottom


def _between(lines: Pixels, first: int, last: int) -> tuple[int, int]:
    """The lines (N, M) from `first` to `last`, and on to the borders before and behind them."""
    some = np.ascontiguousarray(lines[:, :: max(1, lines.shape[1] // SAMPLES)])
    first, last = max(0, first), min(len(some), last)
    before = _until_border(some[:first][::-1], len(some))
    return first - before, last + _until_border(some[last:], len(some))


def _until_border(lines: Pixels, side: int) -> int:
    """How many of these lines, the nearest first, come before a border; all where there is none."""
    least = max(BLUR + 1, round(LEAST_SHARE * side))
    if len(lines) < least + BLUR:
        return len(lines)
    darkest, brightest = lines.min(1).astype(np.int16), lines.max(1).astype(np.int16)
    is_even = brightest - darkest <= EVEN  # (N,)
    begins = np.flatnonzero(is_even[1:] & ~is_even[:-1]) + 1
    possible: list[int] = begins[(begins > BLUR) & (begins + least <= len(lines))].tolist()
    for at in possible:
        stretch = slice(at, at + least)
        is_one = brightest[stretch].max() - darkest[stretch].min() <= EVEN
        beside = np.abs(lines[at - BLUR] - np.int16(np.median(lines[at + least // 2])))
        if is_even[stretch].all() and is_one and (beside > OTHER).mean() >= STRAIGHT:
            return at - BLUR + 1  # without the faded edge
    return len(lines)
