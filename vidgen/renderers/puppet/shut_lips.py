"""Shut lips told from an opening that is all dark or gleams.

Under a moustache, or below an upper lip in the shade, the landmarks take the dark line between
shut lips, or all of a lower lip that gleams, for an opening. Works on a strip of the photo along
the mouth, and knows nothing of faces.
"""

from typing import Final

import numpy as np

from vidgen.renderers.puppet.grid import Array

DARKEST: Final = 0.35  # of what is dark, from above: farther down lies a line, no shade of a lip
DIM: Final = 0.33  # of the lower lip's luma: an opening is darker than the line between shut lips
# Of an opening's height, in so much of its width: a line lies so near its top,
NEAR: Final = (0.30, 0.60)
# and of the lower lip's luma it has no more; but what lies so many Hf below it, and is a lip that
# gleams, has more than that on the whole, and no less at its darkest, where teeth end in a shade
GLOSS: Final = (0.50, 0.012, 1.10, 0.85)
LEAST_SEEN: Final = 30  # pixels of it and of the lip


def darkest(luma: Array, inside: Array) -> float:
    """How far down `inside` (rows, columns) its darkest row lies, 0-1, in the middle column."""
    dark = np.where(inside, luma, np.inf)
    lies = (dark.argmin(0) - inside.argmax(0)) / np.maximum(1, inside.sum(0))
    return float(np.median(lies[inside.any(0)])) if inside.any() else 0.0


def is_line(luma: Array, inside: Array, edges: tuple[Array, Array]) -> bool:
    """Whether what is dark `inside` (rows, columns) is darkest near its top, but not black: the
    line between shut lips. The `edges` are the lower lip's, inner and outer, rows (columns,)."""
    lip = _within(luma, *edges)
    if not inside.any() or not lip.any() or darkest(luma, inside) > DARKEST:
        return False
    least = np.where(inside, luma, np.inf).min(0)
    return bool(np.median(least[np.isfinite(least)]) > DIM * np.median(luma[lip]))


def _within(luma: Array, inner: Array, outer: Array) -> Array:
    """(rows, columns) what surely is lower lip between these of its edges."""
    rows, thick = np.arange(len(luma))[:, None], outer - inner
    return (rows > inner + 0.15 * thick) & (rows < inner + 0.7 * thick)


def is_gloss(luma: Array, line: Array, edges: tuple[Array, Array, Array], row: float) -> bool:
    """Whether what was taken for teeth is a lower lip that gleams below the dark `line` between
    shut lips.

    `luma` is (rows, columns); `line` and the `edges`, those of the opening and the lower lip's
    outer one, are rows (columns,). A row is `row` Hf high.
    """
    upper, lower, outer = edges
    most = slice(len(line) // 6, -len(line) // 6)
    near = line - upper < NEAR[0] * np.maximum(lower - upper, 0.01 / row)
    rows, spare = np.arange(len(luma))[:, None], GLOSS[1] / row
    inside = (rows > line + spare) & (rows <= lower)
    lip = _within(luma, lower, outer)
    beneath = (rows > line + spare) & (rows < lower + spare)
    inside, lip, beneath, seen = (part[:, most] for part in (inside, lip, beneath, luma))
    if near[most].mean() < NEAR[1] or min(inside.sum(), lip.sum()) < LEAST_SEEN:
        return False
    usual = float(np.median(seen[lip]))
    least = np.where(beneath, seen, np.inf).min(0)
    dark = np.median(luma[line, np.arange(len(line))][most])
    light, shade = np.median(seen[inside]), np.median(least[np.isfinite(least)])
    most_dark, _, gleam, faint = GLOSS
    return bool(dark < most_dark * usual and light > gleam * usual and shade > faint * usual)
