"""The lips' inner edges brought from where the landmarks guess them to where the photo shows them.

The landmarks are a few pixels off; a cut beside the true line drags teeth or shadow along with
a lip. Changes the two inner curves of a `Face` and nothing else.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA, redness
from vidgen.renderers.puppet import lighting
from vidgen.renderers.puppet.geometry import SHUT, Curve, FaceGeometry
from vidgen.renderers.puppet.grid import Array, look_up, smoothstep
from vidgen.renderers.puppet.path import cheapest_path
from vidgen.renderers.puppet.shut_lips import DARKEST, darkest, is_gloss, is_line
from vidgen.renderers.puppet.smile_teeth import smile_teeth, tops
from vidgen.work import Pixels

COLUMNS: Final = 121  # over the width of the mouth
SEARCH_SHUT: Final = 0.022  # Hf: how far from the landmarks the line is looked for
SEARCH_OPEN: Final = 0.024
APART: Final = 0.008  # Hf: lips nearer than this over most of the mouth touch
SLIT: Final = 0.4  # of what a narrow slit shows is dark; else it is a gleam
# Hf between the landmarks' lips at most; Hf above what was found, in so much of the mouth's width;
# and of its luma: then it was a lip
ABOVE: Final = (0.030, 0.004, 0.70, 0.70)
GLOSS: Final = 0.045  # Hf between them at most: what lies there may be a lip that gleams
# Hf: the dark line between shut lips is thinner; also with a lip in deep shade above it
LINE: Final = (0.026, 0.036)
ROUGH: Final = 0.0042  # Hf: a line so far off its bend runs through hair
LINED: Final = 0.032  # Hf between the landmarks' lips at most: what lies there may be that line
TOOTHED: Final = (
    0.50,
    0.14,
)  # of it must look like teeth, against landmarks
PRIOR: Final = (0.10, 0.30)  # how far the landmarks are trusted, upper and lower edge
BEND: Final = 0.05
DARK_IN: Final = (0.72, 0.50)  # of the lip's luma: from here down it is the dark between the lips
PALER: Final = (0.020, 0.045, 0.030)  # less red (a share of all colours) than the lips: teeth
TEETH: Final = (0.80, 0.90)  # of the lower lip's red, and of the skin's: no upper lip has less
OUTWARD: Final = 0.30  # half mouths: no corner is farther out
DARK: Final = 0.74  # of the skin's luma: darker is still the line between the lips
SMILE: Final = (0.014, 0.04)  # Hf: landmarks' gap whose filling is told from the lips; and readily
# Hf: no upper lip hangs so much lower in its middle than the landmarks' over a wide gap; then they
# are trusted so many times more
HANGING: Final = (0.015, 4.0)
# Hf: so wide a gap of the landmarks there is, and so much of it is found; and in one tone
SURE: Final = (0.035, 9.9, 0.45)
GREY: Final = (0.020, 0.075, 0.75)
TOPPED: Final = 0.8  # half mouths: teeth are looked for on the upper lip
THIN: Final = 0.020  # Hf: an upper lip is no thinner
ROW: Final = 0.003  # Hf: height of a row of the search


@dataclass(frozen=True, slots=True)
class _Strip:
    """The photo along a curve: row `middle` lies on it."""

    u: Array  # (COLUMNS,)
    v: Array  # (COLUMNS,) the curve
    row: float  # pixels per row
    colours: Array  # (rows, COLUMNS, 3)

    @property
    def middle(self) -> int:
        return len(self.colours) // 2


def snap_lips(frame: Pixels, face: FaceGeometry) -> FaceGeometry:
    """`face` with the mouth's corners and the lips' inner edges on the photo's own."""
    face = _widen(frame, face)
    lips = _read(frame, face)
    upper, lower = _opening(lips, face)
    if not _overlooks(face, upper, lower, SURE):
        line = _line_above(lips, face, upper, lower)
        if line is None and _touch(lips, face, upper, lower):
            line = _dark_line(frame, face)
        if line is not None:
            return replace(face, upper=line, lower=line, gap=0.0)
        if not (_overlooks(face, upper, lower, GREY) and lighting.is_monochrome(frame, face)):
            return _part(face, _raise_upper(lips, face, upper, lower), lower)
    return _part(face, _raise_upper(lips, face, face.upper, face.lower), face.lower)


def _part(face: FaceGeometry, upper: Curve, lower: Curve) -> FaceGeometry:
    """`face` with these inner edges of its lips, and an upper lip that has some thickness."""
    middle = (upper.v + lower.v) / 2
    half = np.maximum(lower.v - upper.v, 0) / 2
    outer = face.outer_upper
    return replace(
        face,
        upper=Curve(upper.u, middle - half),
        lower=Curve(upper.u, middle + half),
        outer_upper=Curve(outer.u, np.minimum(outer.v, upper(outer.u) - THIN * face.height)),
        gap=max(float(2 * half.max()), SHUT * face.height),  # what does not touch is open
    )


def _overlooks(
    face: FaceGeometry, upper: Curve, lower: Curve, between: tuple[float, float, float]
) -> bool:
    """Whether much less opening was found than the landmarks show: pale teeth between pale lips."""
    least, most, share = between
    found = float((lower.v - upper.v).max())
    return least < face.gap / face.height < most and found < share * face.gap


def _strip(frame: Pixels, face: FaceGeometry, curve: Curve, reach: float) -> _Strip:
    import cv2

    row = max(0.4, ROW * face.height)
    rows = np.arange(-round(reach / row), round(reach / row) + 1) * row
    u = np.linspace(-face.left, face.right, COLUMNS).astype(np.float32)
    v = curve(u)
    x, y = face.axes.xy(np.broadcast_to(u, (len(rows), COLUMNS)), v + rows[:, None])
    colours = look_up(frame.astype(np.float32), x.astype(np.float32), y.astype(np.float32))
    return _Strip(u, v, row, cv2.GaussianBlur(colours, (0, 0), 1.0))


def _widen(frame: Pixels, face: FaceGeometry) -> FaceGeometry:
    """The landmarks' corners lie inside the photo's: each is moved out along the dark line."""
    left, right = _dark_until(frame, face, -1), _dark_until(frame, face, 1)

    def drawn(curve: Curve) -> Curve:
        u = np.where(curve.u < 0, curve.u * left, curve.u * right)
        return Curve(u.astype(np.float32), curve.v)

    return replace(
        face,
        left=face.left * left,
        right=face.right * right,
        upper=drawn(face.upper),
        lower=drawn(face.lower),
    )


def _dark_until(frame: Pixels, face: FaceGeometry, side: int) -> float:
    """How many half mouths from its middle the dark between the lips reaches on one side, ≥ 1."""
    half = face.left if side < 0 else face.right
    most = 1 + OUTWARD * (face.left + face.right) / 2 / half
    shares = np.arange(0.92, min(most, 2.0), 0.02)
    u = (side * half * shares).astype(np.float32)
    rows = np.arange(-0.09, 0.0901, 0.006) * face.height
    # the line goes on as it runs near the corner
    inner, outer = face.middle_line(np.array([0.8, 1.0]) * side * half)
    line = outer + np.clip((outer - inner) / 0.2, -0.3 * half, 0.3 * half) * (shares - 1)
    x, y = face.axes.xy(np.broadcast_to(u, (len(rows), len(u))), line + rows[:, None])
    at = x.astype(np.float32), y.astype(np.float32)
    look = look_up(frame, *at).astype(np.float32) @ LUMA
    near = np.abs(rows) < 0.03 * face.height
    around = np.abs(rows) > 0.05 * face.height
    ratio = look[near].min(0) / np.maximum(4.0, np.median(look[around], 0))
    light = np.flatnonzero((ratio > DARK) & (shares > 1.0))
    if face.is_shut:
        return float(shares[light[0]] - 0.02) if len(light) else 1.0
    # an open mouth's dark corner runs on into a beard or a fold: no farther than the lips do
    lips = side * face.outer_upper.u[0 if side < 0 else -1] / half
    found = float(shares[light[0]] - 0.02) if len(light) else float(lips)
    return float(np.clip(found, 1.0, max(1.0, lips)))


def _dark_line(frame: Pixels, face: FaceGeometry) -> Curve:
    """The darkest path from corner to corner near the landmarks' line."""
    reach = SEARCH_SHUT * face.height
    middle = Curve(face.upper.u, face.middle_line(face.upper.u))
    strip = _strip(frame, face, middle, reach)
    luma = strip.colours @ LUMA
    depth = max(8.0, float(luma.std()))
    away = (np.arange(len(luma)) - strip.middle) / max(1, strip.middle)
    cost = luma / depth + 0.5 * away[:, None] ** 2
    path = cheapest_path(cost)
    off = (path - _bent(path))[COLUMNS // 10 : -COLUMNS // 10] * strip.row / face.height
    return _curve(strip, path if off.std() < ROUGH else _bent(path), face)


# The opening


@dataclass(frozen=True, slots=True)
class _Lips:
    """The photo's pixels across both lips, and how little each looks like lip."""

    strip: _Strip  # about the landmarks' middle line
    open: Array  # (rows, COLUMNS) 0 a lip – 1 dark or a tooth
    teeth: Array  # (rows, COLUMNS) 0–1: a tooth
    middle: Array  # (COLUMNS,) row of the line that lies surely between the lips


def _touch(lips: _Lips, face: FaceGeometry, upper: Curve, lower: Curve) -> bool:
    """Whether nothing but the dark line between shut lips was found.

    Where the landmarks say shut, too, it takes teeth or a wide dark to think otherwise: measured on
    29 portraits the line of shut lips is up to .023 Hf thick, a shaded lip above it more.
    """
    strip, luma = lips.strip, lips.strip.colours @ LUMA
    wide = float(np.percentile((lower.v - upper.v)[20:-20], 75)) / face.height
    rows = np.arange(len(lips.open))[:, None]
    above, below, outer = (
        strip.middle + (curve(strip.u) - strip.v) / strip.row
        for curve in (upper, lower, face.outer_lower)
    )
    inside = (rows >= above) & (rows <= below)
    inside[:, : COLUMNS // 6] = inside[:, -COLUMNS // 6 :] = False
    dark = float((lips.open > lips.teeth + 0.05)[inside].sum() / max(1, inside.sum()))
    if face.gap > 1.3 * SHUT * face.height:
        if dark <= SLIT:
            return wide < SHUT
        lined = face.gap < LINED * face.height and not _overlooks(face, upper, lower, GREY)
        return wide < (LINE[0] if lined and is_line(luma, inside, (below, outer)) else APART)
    teeth = float(lips.teeth[inside].mean()) if dark > 0.03 else 0.0  # no teeth without any dark
    needed = TOOTHED[face.gap > 0.75 * SHUT * face.height]
    if teeth > needed:
        return wide < (APART if dark > SLIT else SHUT)
    return wide < LINE[darkest(luma, inside) > DARKEST]


def _raise_upper(lips: _Lips, face: FaceGeometry, upper: Curve, lower: Curve) -> Curve:
    """`upper`, or higher where the teeth below it go on above it."""
    if face.gap < SMILE[0] * face.height:
        return upper
    strip = lips.strip
    above, below = (
        strip.middle + (curve(strip.u) - strip.v) / strip.row for curve in (upper, lower)
    )
    path = tops(strip.colours, above, below, strip.row / face.height)
    path = np.where(np.abs(face.across(strip.u)) < TOPPED, path, above)
    return _curve(strip, np.minimum(_bent(path), above), face)


def _line_above(lips: _Lips, face: FaceGeometry, upper: Curve, lower: Curve) -> Curve | None:
    """The line between shut lips whose landmarks took a pale lip for the opening: much darker than
    what was found, and above it, or its upper edge. None where there is no such line."""
    if face.gap > GLOSS * face.height:
        return None
    strip, luma = lips.strip, lips.strip.colours @ LUMA
    rows = np.arange(len(luma))[:, None]
    top, bottom, above, below = (
        strip.middle + (curve(strip.u) - strip.v) / strip.row
        for curve in (face.outer_upper, face.outer_lower, upper, lower)
    )
    outer = np.minimum(rows - top, bottom - rows) < 0.2 * (bottom - top)
    path = cheapest_path(luma / max(8.0, float(luma[~outer].std())) + 1e3 * outer, 0.1)
    most = slice(COLUMNS // 6, -COLUMNS // 6)
    inside = ((rows >= above) & (rows <= below))[:, most]
    if not inside.any():
        return None
    off = (above - path)[most] * strip.row / face.height  # below it is the shade under the lip
    dark = np.median(luma[path, np.arange(COLUMNS)][most]) / np.median(luma[:, most][inside])
    most_open, least, share, darkness = ABOVE
    told = face.gap <= most_open * face.height and (off > least).mean() > share and dark < darkness
    told = told or is_gloss(luma, path, (above, below, bottom), strip.row / face.height)
    return _curve(strip, path, face) if told else None


def _opening(lips: _Lips, face: FaceGeometry) -> tuple[Curve, Curve]:
    """The inner edges of both lips: per column from the outer edges inwards, where lip ends and
    dark or teeth begin; the same curve twice where nothing lies between."""
    rows = np.arange(len(lips.open))[:, None]
    seen = np.cumsum(np.pad(lips.open, ((1, 0), (0, 0))), 0)  # evidence above each row
    covered = rows - seen[:-1]
    ends = lips.middle.astype(np.int64), np.arange(COLUMNS)
    # what the upper edge at a row gets wrong: teeth above it, and lip from it to the middle
    wrong_up = seen[:-1] + (covered[ends] - covered)
    wrong_up = np.where(rows <= lips.middle, wrong_up, np.inf)
    wrong_down = (seen[-1] - seen[1:]) + (covered - covered[ends])
    wrong_down = np.where(rows >= lips.middle, wrong_down, np.inf)
    # landmarks of lips that touch are the surest, those of a mouth wide open the least
    sure = 1 + 2 * float(smoothstep(np.asarray(2.0 - face.gap / (SHUT * face.height))))
    upper = _edge_path(lips, face, wrong_up, face.upper, sure * PRIOR[0])
    if face.gap > SMILE[1] * face.height and _hangs(upper, face) > HANGING[0]:
        upper = _edge_path(lips, face, wrong_up, face.upper, HANGING[1] * PRIOR[0])
    lower = _edge_path(lips, face, wrong_down, face.lower, sure * PRIOR[1])
    return upper, lower


def _hangs(upper: Curve, face: FaceGeometry) -> float:
    """How much lower, in Hf, an upper lip's middle hangs than beside it, less what the landmarks'
    does: gums and pale teeth look like lip."""
    share = np.abs(face.across(upper.u))
    middle, beside = share < 0.15, (share > 0.35) & (share < 0.55)
    off = upper.v - face.upper(upper.u)
    return float(off[middle].mean() - off[beside].mean()) / face.height


def _edge_path(lips: _Lips, face: FaceGeometry, wrong: Array, guess: Curve, trust: float) -> Curve:
    strip = lips.strip
    rows = np.arange(len(wrong))[:, None]
    there = strip.middle + (guess(strip.u) - strip.v) / strip.row
    scale = 0.012 * face.height / strip.row
    cost = wrong + trust * scale * np.minimum(((rows - there) / scale) ** 2, 16)
    finite = np.where(np.isfinite(cost), cost, 1e6)
    return _curve(strip, _bent(cheapest_path(finite, BEND * scale)), face)


def _bent(path: Array) -> Array:
    """`path` (COLUMNS,) as a smooth bend: lips are, single teeth and gleams are not."""
    share = np.linspace(-1, 1, COLUMNS)
    weight = np.ones(COLUMNS)
    for _ in range(3):
        fitted = np.polyval(np.polyfit(share, path, 5, w=weight), share)
        weight = 1 / np.maximum(1.5, np.abs(path - fitted)) ** 0.5
    return np.asarray(fitted)


def _read(frame: Pixels, face: FaceGeometry) -> _Lips:
    middle = Curve(face.upper.u, face.middle_line(face.upper.u))
    lowest = float(np.max(face.outer_lower.v - middle(face.outer_lower.u)))
    highest = float(np.max(middle(face.outer_upper.u) - face.outer_upper.v))
    strip = _strip(frame, face, middle, max(lowest, highest, SEARCH_OPEN * face.height))
    rows = np.arange(len(strip.colours))[:, None]
    top, bottom, upper, lower = (
        strip.middle + (curve(strip.u) - strip.v) / strip.row
        for curve in (face.outer_upper, face.outer_lower, face.upper, face.lower)
    )
    lips = [
        (rows > outer + 0.15 * (inner - outer)) & (rows < outer + 0.60 * (inner - outer))
        if outer is top
        else (rows < outer + 0.15 * (inner - outer)) & (rows > outer + 0.60 * (inner - outer))
        for outer, inner in ((top, upper), (bottom, lower))
    ]
    # the share of the upper lip's looks that a row has
    share = np.clip((bottom - rows) / np.maximum(1, bottom - top), 0, 1)
    dark, teeth = _unlike(strip, lips, share)
    within = (rows - upper) / np.maximum(1, lower - upper)
    if face.gap > SMILE[0] * face.height:
        wide = face.gap > SMILE[1] * face.height
        told = smile_teeth(strip.colours, lips, share, within, wide)
        teeth = teeth if told is None else told
    inside = (rows > top + 0.08 * (bottom - top)) & (rows < bottom - 0.08 * (bottom - top))
    found, teeth = (np.where(inside, part, 0) for part in (np.maximum(dark, teeth), teeth))
    return _Lips(strip, found, teeth, _between(found, upper, lower, strip, face))


def _unlike(strip: _Strip, lips: list[Array], share: Array) -> tuple[Array, Array]:
    """Two of (rows, COLUMNS) 0–1: darker than the lips; brighter and less red, as teeth are."""
    luma = strip.colours @ LUMA
    red = redness(strip.colours)
    looks, spread = [], PALER[0]
    for lip in lips:
        core = lip.copy()
        core[:, : COLUMNS // 8] = core[:, -COLUMNS // 8 :] = False
        chosen = core if core.sum() > 20 else lip | (share > -1)
        middle = float(np.median(red[chosen]))
        looks.append((_leaning(luma, chosen), middle))
        scatter = 2.0 * float(np.median(np.abs(red[chosen] - middle)))
        spread = max(spread, min(scatter, PALER[2]))
    skin = float(np.median(red[(share <= 0) | (share >= 1)]))
    if looks[0][1] < min(TEETH[0] * looks[1][1], TEETH[1] * skin):
        looks[0] = looks[1]  # the upper lip is thinner than its landmarks tell: that was teeth
    (bright_up, red_up), (bright_down, red_down) = looks
    usual = share * bright_up + (1 - share) * bright_down
    usual_red = share * red_up + (1 - share) * red_down
    dark = smoothstep((DARK_IN[0] - luma / usual) / (DARK_IN[0] - DARK_IN[1]))
    paler = smoothstep((usual_red - red - spread) / PALER[1])
    brighter = smoothstep((luma / usual - 0.78) / 0.25)  # dim teeth are no brighter than lips
    gleam = smoothstep((luma / usual - 1.45) / 0.35)  # teeth where nothing has colour
    return np.asarray(dark), np.asarray(np.maximum(paler * brighter, 0.7 * gleam))


def _leaning(luma: Array, chosen: Array) -> Array:
    """(COLUMNS,) the lip's luma, a line over its width: light comes from one side."""
    columns = np.broadcast_to(np.arange(luma.shape[1]), luma.shape)[chosen]
    values = luma[chosen]
    slope, level = np.polyfit(columns, values, 1)
    line = level + slope * np.arange(luma.shape[1])
    middle = float(np.median(values))
    return np.asarray(np.clip(line, 0.6 * middle, 1.5 * middle).clip(8))


def _between(found: Array, upper: Array, lower: Array, strip: _Strip, face: FaceGeometry) -> Array:
    """(COLUMNS,) rows of the line that is least like a lip, near the landmarks' opening."""
    import cv2

    rows = np.arange(len(found))[:, None]
    smooth = cv2.GaussianBlur(found.astype(np.float32), (0, 0), 1.5)
    luma = strip.colours @ LUMA
    dark = luma / np.maximum(8.0, luma.max(0))
    out = np.maximum(0, np.maximum(upper - rows, rows - lower)) * strip.row / face.height
    return cheapest_path(1.2 * (1 - smooth) + 0.5 * dark + (out / 0.012) ** 2, 0.15)


def _curve(strip: _Strip, path: Array, face: FaceGeometry) -> Curve:
    """A smooth curve along `path`, on the landmarks' table of u."""
    off = (path - strip.middle) * strip.row
    kernel = np.hanning(19)
    off = np.convolve(np.pad(off, 9, mode="edge"), kernel / kernel.sum(), "valid")
    u = face.upper.u
    v = np.interp(u, strip.u, strip.v + off)
    return Curve(u, v.astype(np.float32))
