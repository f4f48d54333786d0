"""Teeth told from lips by what one photo's own teeth and lips look like.

Works on a strip of the photo along the mouth, and knows nothing of faces.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA, redness
from vidgen.renderers.puppet.grid import Array, smoothstep
from vidgen.renderers.puppet.path import cheapest_path

FILLS: Final = (0.20, 0.75)  # of the landmarks' gap: surely between the lips
FULL: Final = 0.3  # and so much of it is not dark:
DARK: Final = 0.72  # of the lips' luma
UNLIKE: Final = (4.0, 2.5)  # variances, so far its looks lie from the lips'; and in a wide gap
LESS_RED: Final = 0.020  # a share of all colours: teeth are so much less red than a lip
BRIGHTER: Final = 1.15  # times as bright as a lip are teeth that are no less red
NOISE: Final = 16.0  # of 255², a variance that there always is
# Hf above an upper lip's edge, and a share of the gap below it: teeth begin between
CLIMB: Final = (0.030, 0.25)
LIKE: Final = 0.20  # of a tooth's light: what is farther from its colours is tooth no more,
SURELY: Final = 0.5  # and so dear is a row of it
CORE: Final = (0.20, 0.60)  # of the gap: surely teeth
SIDE: Final = 0.007  # Hf above and below a tooth's beginning that are compared
BEND: Final = 0.05  # what a step of that line costs
TOOTH: Final = (0.2, 0.4)  # of the way from lip to tooth: begins to be one, is one so much farther


def smile_teeth(
    colours: Array, lips: Sequence[Array], share: Array, within: Array, wide: bool
) -> Array | None:
    """(rows, columns) 0–1: how much more each of `colours` (rows, columns, 3) looks like what fills
    the gap than like the `lips`, both masks, by Fisher's discriminant; None where that is mostly
    dark, or looks like lip.

    `share` (rows, columns) is that of the upper lip, `within` 0 on the gap's upper edge and 1 on
    its lower one, as the landmarks have them; the gap is `wide` or not.
    """
    cores = [lip.copy() for lip in (*lips, (within > FILLS[0]) & (within < FILLS[1]))]
    columns = colours.shape[1]
    for core in cores:
        core[:, : columns // 6] = core[:, -columns // 6 :] = False
    if min(core.sum() for core in cores) < 30:
        return None
    luma = colours @ LUMA
    full = cores[2] & (luma > DARK * np.median(luma[cores[0] | cores[1]]))
    if full.sum() < FULL * cores[2].sum():
        return None
    tooth, off = _trend(colours, full)
    told = []
    for core in cores[:2]:
        lip, scatter = _trend(colours, core)
        away = tooth - lip  # (columns, 3)
        way = np.linalg.solve(np.cov(off.T) + np.cov(scatter.T) + NOISE * np.eye(3), away.T).T
        apart = (way * away).sum(-1)
        if np.median(apart) < UNLIKE[wide] or not _is_paler(tooth, lip, wide):
            return None
        along = ((colours - lip) * way).sum(-1) / np.maximum(apart, UNLIKE[wide])
        told.append(smoothstep((along - TOOTH[0]) / TOOTH[1]))
    return np.asarray(share * told[0] + (1 - share) * told[1])


def _is_paler(tooth: Array, lip: Array, wide: bool) -> bool:
    """Whether it is less red than a lip, or much brighter in a wide gap: else lips may gleam."""
    one, other = tooth[len(tooth) // 2], lip[len(lip) // 2]
    less = float(redness(other) - redness(one))
    return bool(less > LESS_RED or (wide and one @ LUMA > BRIGHTER * (other @ LUMA)))


def _trend(colours: Array, chosen: Array) -> tuple[Array, Array]:
    """The line of the `chosen` colours over the columns, (columns, 3), for light comes from one
    side, and what each is off it, (N, 3)."""
    at = np.linspace(-1, 1, colours.shape[1])
    column = np.broadcast_to(at, chosen.shape)[chosen]
    slope, level = np.polyfit(column, colours[chosen], 1)
    line = level + slope * at.clip(-0.7, 0.7)[:, None]
    return line, colours[chosen] - (level + slope * column[:, None])


def tops(colours: Array, upper: Array, lower: Array, row: float) -> Array:
    """(columns,) the rows where teeth begin in `colours` (rows, columns, 3), near `upper` or above
    it; that and `lower` are the rows of the lips' edges. A row is `row` Hf high. What has nothing
    darker above it is no tooth but a lip or a tongue: there `upper` stays."""
    rows = np.arange(len(colours))[:, None]
    gap = lower - upper
    core = (rows >= upper + CORE[0] * gap) & (rows <= upper + CORE[1] * gap)
    tooth = (colours * core[..., None]).sum(0) / np.maximum(1, core.sum(0))[:, None]
    off = np.linalg.norm(colours - tooth, axis=-1) / np.linalg.norm(tooth, axis=-1).clip(20)
    off = off.clip(0, 0.5)  # what is no tooth is not the more so for being black
    start = upper + CLIMB[1] * gap
    strange = np.where(rows < start, (off - LIKE).clip(0), 0)
    passed = np.cumsum(strange[::-1], 0)[::-1]
    side = max(1, round(SIDE / row))
    total = np.cumsum(np.pad(off, ((side + 1, side), (0, 0)), mode="edge"), 0)
    sums = total[side:] - total[:-side]  # of `side` rows, of row i the one that ends above it first
    step = (sums[side:] - sums[:-side])[: len(rows)] / side  # below less above
    near = (rows >= upper - CLIMB[0] / row) & (rows <= start)
    path = cheapest_path(np.where(near, step + SURELY * passed, 1e3), BEND)
    luma = np.pad(colours @ LUMA, ((side, 0), (0, 0)), mode="edge")  # `side` rows above each row
    above = np.mean([np.take_along_axis(luma, path[None] + i, 0)[0] for i in range(side)], 0)
    most = slice(len(path) // 4, -len(path) // 4)
    darker = np.median((above / (tooth @ LUMA).clip(1))[most]) < 1
    return np.where(darker, path, upper)
