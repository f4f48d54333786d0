"""The teeth that a photo shows: their colour, and where their upper row can be used, its picture.

Read down columns between the lips: a row of teeth begins below the upper lip and ends at the dark
below it, so the tongue or the lower row never hangs in the air behind it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA, redness
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, look_up, smoothstep
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.renderers.puppet.path import cheapest_path
from vidgen.work import Pixels

COLUMNS: Final = 91  # over .9 of the mouth's width
ROWS: Final = 48  # from lip to lip
MARGIN: Final = 0.004  # Hf of the gap beside either lip belong to that
LEAST: Final = {False: 0.018, True: 0.030}  # Hf: the gap that shows teeth; in a photo of one tone
PALE: Final = {False: 0.50, True: 0.75}  # of the skin's luma: teeth are brighter
BEGINS: Final = 0.35  # of the gap: upper teeth begin within it
TALL: Final = 0.008  # Hf: and are no shorter
MIDDLE: Final = 0.6  # of the half mouth: most of it must show them
MOST: Final = 0.6
HANGS: Final = 0.005  # Hf: teeth that end higher over the shut lips are never seen
SHOWN: Final = 0.036  # Hf: less of a row is not enough to go on from under the lip
SMOOTH: Final = 0.010  # Hf: of their lower edge
BETWEEN: Final = (0.30, 0.92)  # of the gap: where an upper row may end on a lower one
STEADY: Final = 0.03  # of the light: what a step of the line between them costs
NOTCH: Final = 0.015  # of the light beside it, which that line lacks at least
BOTH: Final = 0.35  # of what lies below it looks like teeth
ENOUGH: Final = 0.06  # of the opening: less does not tell their colour


@dataclass(frozen=True, slots=True)
class PhotoTeeth:
    """What a photo tells of its teeth."""

    share: Array  # (COLUMNS,) of the half mouth
    edge: Array | None  # (COLUMNS,) v of the upper row's lower edge; None when it cannot be used
    colour: Array | None  # (3,) where they are well lit; None when none are seen


def find(frame: Pixels, face: FaceGeometry, light: Lighting) -> PhotoTeeth:
    """Look between the lips of `face`."""
    import cv2

    share = np.linspace(-0.9, 0.9, COLUMNS).astype(np.float32)
    toned = light.toned is not None
    if face.gap < LEAST[toned] * face.height:
        return PhotoTeeth(share, None, None)
    u = np.where(share < 0, share * face.left, share * face.right)
    margin = MARGIN * face.height
    top, bottom = face.upper(u) + margin, face.lower(u) - margin
    v = top + np.linspace(0, 1, ROWS)[:, None] * np.maximum(0, bottom - top)
    x, y = face.axes.xy(np.broadcast_to(u, v.shape), v)
    colours = look_up(frame.astype(np.float32), x.astype(np.float32), y.astype(np.float32))
    teeth = _look_like_teeth(colours, light) & (bottom > top + margin)
    teeth = cv2.medianBlur(teeth.astype(np.uint8), 3) > 0
    seen = teeth.mean() > ENOUGH
    colour = np.percentile(colours[teeth], 60, axis=0) if seen else None
    soft = cv2.GaussianBlur(colours @ LUMA, (0, 0), 2.0, sigmaY=1.0)  # grain has valleys, too
    teeth &= _above_lower_row(soft, teeth, np.abs(share) < MIDDLE)
    return PhotoTeeth(share, _lower_edge(teeth, v, face, u), colour)


def _look_like_teeth(colours: Array, light: Lighting) -> Array:
    """Which of `colours` (…, 3) are bright and, in a photo with colours, less red than skin."""
    toned = light.toned is not None
    bright = colours @ LUMA > PALE[toned] * float(light.skin @ LUMA)
    if not toned:
        bright &= redness(colours) < redness(light.skin)
    return np.asarray(bright)


def _lower_edge(teeth: Array, v: Array, face: FaceGeometry, u: Array) -> Array | None:
    """(COLUMNS,) v where the upper row ends, from `teeth` (ROWS, COLUMNS) at `v`."""
    begun = np.maximum.accumulate(teeth, 0)
    row = begun & ~np.maximum.accumulate(begun & ~teeth, 0)
    first, count = row.argmax(0), row.sum(0)
    last = np.take_along_axis(v, np.maximum(0, first + count - 1)[None], 0)[0]
    tall = count * (v[-1] - v[0]) / (ROWS - 1) > TALL * face.height
    good = (first < BEGINS * ROWS) & tall
    middle = np.abs(face.across(u)) < MIDDLE
    if good[middle].mean() < MOST:
        return None
    edge = _smooth(np.interp(u, u[good], last[good]), SMOOTH * face.height / (u[1] - u[0]))
    room = (edge - face.shut_upper(u), HANGS), (edge - face.upper(u), SHOWN)
    enough = (np.median(long[middle]) > least * face.height for long, least in room)
    return edge if all(enough) else None


def _above_lower_row(luma: Array, teeth: Array, middle: Array) -> Array:
    """(ROWS, COLUMNS) false from the dark line on that parts a lower row of `teeth` from the upper
    one in the photo's `luma`; all true where no such line goes through the `middle`."""
    above, below = (np.maximum.accumulate(side, 0) for side in (luma, luma[::-1]))
    peak = np.minimum(above, below[::-1])
    depth = (peak - luma) / np.maximum(20.0, peak)
    rows = np.arange(ROWS)[:, None]
    near = (rows > BETWEEN[0] * ROWS) & (rows < BETWEEN[1] * ROWS)
    line = cheapest_path(np.where(near, -depth, 1e3), STEADY)
    under = rows >= line
    deep = np.median(np.take_along_axis(depth, line[None], 0)[0][middle])
    two = deep > NOTCH and teeth[:, middle][under[:, middle]].mean() > BOTH
    return ~under if two else np.ones_like(teeth)


def _smooth(curve: Array, sigma: float) -> Array:
    """`curve` without what is narrower than `sigma` samples."""
    reach = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(0.3, sigma)) ** 2)
    return np.convolve(np.pad(curve, reach, mode="edge"), kernel / kernel.sum(), "valid")


def upper_row(frame: Pixels, face: FaceGeometry, teeth: PhotoTeeth, x: Array, y: Array) -> Array:
    """The upper teeth (h, w, 4) of a photo that has an `edge`, premultiplied, at frame pixels `x`
    and `y`, continued under the upper lip."""
    import cv2

    assert teeth.edge is not None
    u, v = face.axes.uv(x, y)
    picture = cv2.remap(frame, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    share, margin = face.across(u), MARGIN * face.height
    edge = np.interp(share, teeth.share, teeth.edge)
    ring = (v > face.upper(u) + margin) & (v < np.minimum(edge, face.lower(u) - margin))
    ring &= np.abs(share) < teeth.share[-1]
    filled = cv2.inpaint(picture, (~ring).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    inside = smoothstep((edge - v) / 1.6 + 0.5)
    return np.dstack([filled * inside[..., None], 255 * inside]).astype(np.float32)
