"""Eyelids that close: skin in the face's own colour comes down over the eye, lashes at its edge.

A shut lid is hardly ever in the photo, so its colour is worked out: a plane through the skin below
and beside the eye, with what the skin above differs from it. Nothing outside the eye and its lashes
is touched, neither brow nor the rim of glasses. Works in an eye's patch.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.canvas import Canvas, Number
from vidgen.renderers.puppet.geometry import Curve, Eye
from vidgen.renderers.puppet.grid import Array, bounds, smoothstep
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.work import Pixels

# Lengths are shares of the eye's width unless they say otherwise.
COLUMNS: Final = 49  # of the tables over the eye's width
BESIDE: Final = 1.36  # half widths: nothing is drawn farther out
UP, DOWN = 0.20, 0.12  # how far lashes and paint are looked for above and below the opening
FADE: Final = (0.05, 0.20)  # over which the lid's skin gives way to the skin above it: at most the
FADED: Final = 0.80  # share of the way to the brow
STRANGE: Final = 26.0  # of 255: colours farther from the skin's are eye, lash or paint
LEAST_SKIN: Final = 40  # pixels that a plane can be trusted on
SLOPE: Final = 0.10  # share of the skin's darkening towards the eye that a lid takes on
LEAST_LIGHT: Final = 0.96  # share of the skin's luma that a lid has at least
DARKEST: Final = 0.05  # share of its luma that the skin above may take from the lid's
BRIGHTEST: Final = 0.14
BULGE: Final = 0.09  # how much brighter a lid's middle is than the skin round the hollow of the eye
GRAIN: Final = 5.0  # of 255: livelier skin (wrinkles, brush strokes) is calmed to so much
BORDER: Final = 0.13  # how far in from its edge a lid takes on what lies round it
NEARING: Final = (0.74, 1.15)  # shares of its luma between which it does
SHADE: Final = 0.09  # a lid bulges: it darkens so much towards its edge
LASHES: Final = (0.25, 0.66)  # least and most cover of the line of the lashes
THICK: Final = (0.026, 0.042)  # its reach above the edge and below it
NOTHING: Final = 2.6  # reaches from the edge: farther off the line is less than half a grey level
FIRST: Final = 0.14  # of the way down: until there the photo's lashes become the moving ones


@dataclass(frozen=True, slots=True)
class Eyelids:
    """One eye's patch, ready to be shut. Arrays are (h, w) over the `part` that ever changes."""

    still: Pixels  # (H, W, 3) the patch as in the photo
    part: tuple[slice, slice]  # its rows and columns
    skin: Array  # (h, w, 3) the shut lid
    cover: Array  # 0–1: where it may be seen
    depth: Array  # frame pixels below the open upper lid's edge, at this pixel's u
    way: Array  # how far that edge comes down when the eye shuts
    lashes: Array  # 0–1: cover of the line of the lashes at this u
    colour: Array  # (3,) of the lashes
    width: float  # of the eye, frame pixels
    soft: float  # width of edges, frame pixels

    def draw(self, canvas: Canvas, ball: Array, shut: Number) -> Array:
        """The patch over `ball` (h, w, 3), which is drawn into, with the lids `shut`, 0–1."""
        part = ball[..., *self.part, :]
        begun = canvas.smoothstep(shut / FIRST)
        below = (self.depth - shut * self.way) / self.width
        cover = (0.5 - below * (self.width / self.soft)).clip(0, 1) * self.cover * begun
        shade = 1 - SHADE * shut * canvas.bell(below, 0.09)
        drawn = canvas.mix(part, self.skin * shade[..., None], cover)
        reach = canvas.where(below < 0, *_thickness(self.width, self.soft))
        line = self.lashes * begun * canvas.bell(below, reach)
        part[:] = canvas.to_bytes(canvas.mix(drawn, self.colour, line))
        return ball


def _thickness(width: float, soft: float) -> tuple[float, float]:
    """How far the lashes' line reaches above the edge and below it, widths of the eye."""
    above, below = (max(thick, 0.6 * soft / width) for thick in THICK)
    return above, below


def build(still: Pixels, eye: Eye, u: Array, v: Array, scale: float, light: Lighting) -> Eyelids:
    """The lids of `eye` over its patch; `u`, `v` are the pixels' places in the eye's axes.

    `scale` is patch pixels per frame pixel.
    """
    width = 2 * eye.half
    plain = _skin(still, eye, u, v, scale, light)
    top, bottom, ends = _reach(still, plain, eye, u, v)
    share = np.abs(u) / eye.half
    beyond = np.where(u < 0, ends[0], ends[1]) + 0.10 - share
    beside = smoothstep(beyond / 0.16)
    fade = _fade(eye, top, u, light.glasses)
    inside = smoothstep((v - top(u) + fade) / fade)
    lashes, colour = _lashes(still, plain, eye, u, v)
    round_ = np.clip(1 - share**2, 0, 1)
    middle = (v - (0.4 * top(u) + 0.6 * bottom(u))) / (0.45 * (bottom(u) - top(u)) + 1)
    light_ = 1 + BULGE * round_ * np.exp(-(middle**2))
    cover = (inside * beside).astype(np.float32)
    lid = _join(still, np.clip(plain * light_[..., None], 0, 255), cover, BORDER * width * scale)
    skin = (lid + _grain(still, plain, eye, u, v)[..., None]).astype(np.float32)
    line = (lashes(u) * smoothstep(beyond / 0.45)).astype(np.float32)
    soft = max(0.7, 1.5 * light.blur)
    start, end = np.minimum(eye.upper(u), bottom(u)), bottom(u)
    above, below = (NOTHING * reach * width for reach in _thickness(width, soft))
    lid_seen = (cover > 0) & (v < end + soft)
    line_seen = (line > 0) & (v > start - above) & (v < end + below)
    part = bounds(lid_seen | line_seen) or (slice(0), slice(0))
    return Eyelids(
        still=still,
        part=part,
        skin=skin[part],
        cover=cover[part],
        depth=(v - start)[part],
        way=(end - start)[part],
        lashes=line[part],
        colour=colour,
        width=width,
        soft=soft,
    )


def _fade(eye: Eye, top: Curve, u: Array, glasses: bool) -> Array:
    """Pixels above the lid over which it fades: never up to the brow, behind a rim half as far."""
    width = 2 * eye.half
    free = FADED * (top(u) - eye.brow(u))
    most = FADE[1] * (0.5 if glasses else 1.0)
    return np.asarray(np.clip(free, FADE[0] * width, most * width))


# The skin of a shut lid


def _skin(still: Pixels, eye: Eye, u: Array, v: Array, scale: float, light: Lighting) -> Array:
    """Its colour (h, w, 3), without detail."""
    import cv2

    few = still[::2, ::2].astype(np.float32)
    across, down = (place[::2, ::2] / (2 * eye.half) for place in (u, v))
    weight = _samples(eye, across, down, light.glasses)
    plane, kept = _plane(few, across, down, weight, light)
    rest = few - plane
    luma, own = plane @ LUMA, rest @ LUMA
    # darker is a brow's shade or paint, brighter a gleam: the lid comes out of both
    held = np.clip(own, -DARKEST * luma, BRIGHTEST * luma)
    rest *= np.where(np.abs(own) > 1, held / np.where(np.abs(own) > 1, own, 1), 1)[..., None]
    sigma = 0.10 * eye.half * scale  # half the patch's resolution
    like = smoothstep(2 - np.abs(few - plane).max(-1) / (STRANGE + 14))
    like *= (weight > 0) | (kept > 0)
    known = cv2.GaussianBlur(like, (0, 0), sigma) + 0.04
    near = cv2.GaussianBlur(rest * like[..., None], (0, 0), sigma) / known[..., None]
    made = plane + near
    size = still.shape[1], still.shape[0]
    return np.asarray(cv2.resize(made, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _join(still: Pixels, lid: Array, cover: Array, sigma: float) -> Array:
    """`lid` (h, w, 3) nearing the colours round it towards its edge, so that no outline shows."""
    import cv2

    outside = (cover < 0.35).astype(np.float32)
    near = cv2.GaussianBlur(outside, (0, 0), sigma)
    around = cv2.GaussianBlur(still * outside[..., None], (0, 0), sigma)
    around /= np.maximum(near, 1e-3)[..., None]
    luma = np.maximum(1.0, lid @ LUMA)
    share = (around @ LUMA) / luma
    around *= (np.clip(share, *NEARING) / np.maximum(share, 1e-3))[..., None]
    pull = np.clip(1.7 * near, 0, 1)[..., None]
    return np.asarray(lid + pull * (np.clip(around, 0, 255) - lid), np.float32)


def _samples(eye: Eye, across: Array, down: Array, glasses: bool) -> Array:
    """How much each pixel's skin counts: below the eye, beside it, a third above it.

    Places are in eye widths.
    """
    width = 2 * eye.half
    u = across * width
    upper, lower, brow = (curve(u) / width for curve in (eye.upper, eye.lower, eye.brow))
    reach = 0.30 if glasses else 0.46  # farther down is the rim
    share = np.abs(across) * 2
    under = (down > lower + 0.13) & (down < lower + reach) & (share < 1.3)
    beside = (share > 1.28) & (np.abs(down - (upper + lower) / 2) < 0.28)
    over = (down < upper - 0.09) & (down > brow + 0.06) & (share < 1.2)
    weight = np.zeros(across.shape, np.float32)
    for part, mass in ((under, 1.0), (beside, 0.35), (over, 0.5)):
        weight[part] = mass / max(1, int(part.sum()))
    return weight * across.size


def _plane(
    colours: Array, across: Array, down: Array, weight: Array, light: Lighting
) -> tuple[Array, Array]:
    """A plane through the skin's colours, (h, w, 3), and which pixels it was laid through, 0–1.

    Pixels off it are left out and it is laid again: lashes, hair, rims and gleams are no skin.
    """
    places = np.stack([np.ones_like(across), across, down], -1)
    kept = weight.copy()
    plane = np.broadcast_to(light.skin, colours.shape).astype(np.float32)
    if (kept > 0).sum() < LEAST_SKIN:
        return plane, np.zeros_like(kept)
    luma = colours @ LUMA
    usual = float(np.percentile(luma[kept > 0], 60))
    kept[np.abs(luma - usual) > 0.45 * usual] = 0
    found = np.zeros((3, 3))
    for _ in range(5):
        chosen = kept > 0
        if chosen.sum() < LEAST_SKIN:
            break
        root = np.sqrt(kept[chosen])[:, None]
        found, *_rest = np.linalg.lstsq(root * places[chosen], root * colours[chosen], rcond=None)
        plane = np.clip(places @ found, 0, 255).astype(np.float32)
        off = np.abs(colours - plane).max(-1)
        spread = max(5.0, 1.5 * float(np.median(off[chosen])))
        kept = weight * (off < 2.2 * spread)
    # a lid bulges out of the hollow that darkens the skin towards the eye: it keeps little of that
    below = (kept > 0) & (down > 0)
    rise = np.clip(float(np.average(down[below])) - down, 0, None) if below.any() else 0 * down
    bulged = plane + (1 - SLOPE) * rise[..., None] * found[2]
    return _lift(np.clip(bulged, 0, 255), colours, kept), (kept > 0).astype(np.float32)


def _lift(plane: Array, colours: Array, kept: Array) -> Array:
    """`plane`, nowhere much darker than the skin it was laid through: it may lean too far."""
    chosen = kept > 0
    if not chosen.any():
        return plane
    least = LEAST_LIGHT * float(np.median(colours[chosen] @ LUMA))
    luma = np.maximum(1.0, plane @ LUMA)
    return np.asarray(plane * np.maximum(1.0, least / luma)[..., None]).clip(0, 255)


def _grain(still: Pixels, plain: Array, eye: Eye, u: Array, v: Array) -> Array:
    """(h, w) of luma: what is finer than shading on the skin below, upside down and calmed."""
    import cv2

    width = 2 * eye.half
    luma = still.astype(np.float32) @ LUMA
    scale = still.shape[0] / max(1.0, float(np.ptp(v)))
    fine = luma - cv2.GaussianBlur(luma, (0, 0), max(1.0, 0.05 * width * scale))
    depth = (v - eye.lower(u)) / width
    below = (depth > 0.14) & (depth < 0.40) & (np.abs(u) < 1.1 * eye.half)
    below &= np.abs(luma - plain @ LUMA) < STRANGE
    if below.sum() < LEAST_SKIN:
        return np.zeros_like(luma)
    row, column = np.indices(luma.shape, np.float32)
    by = 2 * (eye.lower(u) + 0.20 * width - v) * scale
    x = (column - eye.axes.sin * by).astype(np.float32)
    y = (row + eye.axes.cos * by).astype(np.float32)
    fine[~below] = 0
    taken = cv2.remap(fine, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    calm = min(1.0, GRAIN / max(1e-3, 2 * float(fine[below].std())))
    return np.asarray(np.clip(calm * taken, -2 * GRAIN, 2 * GRAIN))


# Where the lid goes, and its lashes


def _reach(
    still: Pixels, plain: Array, eye: Eye, u: Array, v: Array
) -> tuple[Curve, Curve, tuple[float, float]]:
    """v over u where the lid's skin must begin, and where its edge comes to lie; half widths to
    the eye's left and right end.

    Out from the opening as far as colours go on that are not the skin's: lashes, paint, and the
    rest of eyes larger than the net knows.
    """
    width = 2 * eye.half
    strange = np.abs(still - plain).max(-1) > STRANGE
    dark = (plain - still) @ LUMA > 0.6 * STRANGE
    at = np.linspace(-BESIDE, BESIDE, COLUMNS).astype(np.float32) * eye.half
    column = np.digitize(u, (at[1:] + at[:-1]) / 2)
    upper, lower = eye.upper(u), eye.lower(u)
    step = 0.02 * width
    over = _run(strange | dark, column, (upper - v) / step, round(UP * width / step))
    under = _run(strange, column, (v - lower) / step, round(DOWN * width / step))
    ends = _ends(strange | dark, eye, u, v)
    share = np.where(at < 0, -at / ends[0], at / ends[1]) / eye.half
    middle = np.abs(share) < 0.6
    round_ = np.clip(1 - share**2, 0, None) ** 0.7  # an eye's shape, also in its corners
    level = np.interp(at, at[[0, -1]], eye.upper(at[[0, -1]]))
    more = step * max(0.0, float(np.median(under[middle])) - 0.5)
    deep = float((eye.lower(at) - level)[middle].max()) + more
    bottom = np.maximum(eye.lower(at) + more * round_, level + 0.95 * deep * round_)
    high = float((level - eye.upper(at))[middle].max())
    top = np.minimum(_calm(eye.upper(at) - step * (over + 1.5)), level - high * round_)
    bottom = np.maximum(bottom, top)
    return Curve(at, top.astype(np.float32)), Curve(at, bottom.astype(np.float32)), ends


def _ends(strange: Array, eye: Eye, u: Array, v: Array) -> tuple[float, float]:
    """How far the eye goes on beside the net's corners, half widths from its middle."""
    level = (eye.upper(u) + eye.lower(u)) / 2
    near = np.abs(v - level) < 0.16 * eye.half
    found = []
    for side in (-1, 1):
        share = side * u / eye.half
        end = 1.04
        while end < BESIDE - 0.08:
            here = near & (share >= end) & (share < end + 0.04)
            if not here.any() or strange[here].mean() < 0.35:
                break
            end += 0.04
        found.append(end)
    return found[0], found[1]


def _run(strange: Array, column: Array, steps: Array, most: int) -> Array:
    """For each column, how many steps out the strange pixels go on without a break."""
    runs = np.zeros(COLUMNS)
    going = np.ones(COLUMNS, bool)
    for step in range(most):
        here = (steps >= step) & (steps < step + 1)
        total = np.bincount(column[here], minlength=COLUMNS)[:COLUMNS]
        hits = np.bincount(column[here & strange], minlength=COLUMNS)[:COLUMNS]
        going &= hits >= 0.4 * np.maximum(total, 1)
        runs += going
    return runs


def _calm(values: Array) -> Array:
    kernel = np.hanning(19)[1:-1]
    padded = np.pad(values, 8, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), "valid").astype(np.float32)


def _lashes(still: Pixels, plain: Array, eye: Eye, u: Array, v: Array) -> tuple[Curve, Any]:
    """How dark the photo's own lashes are along the lid, as a cover over u, and their colour."""
    width = 2 * eye.half
    luma, usual = still.astype(np.float32) @ LUMA, np.maximum(1.0, plain @ LUMA)
    off = (v - eye.upper(u)) / width
    band = (off > -0.10) & (off < 0.02) & (np.abs(u) < eye.half)
    at = np.linspace(-1, 1, 15).astype(np.float32) * eye.half
    if band.sum() < 15:
        return Curve(at, np.full(15, LASHES[0], np.float32)), 0.3 * plain.mean((0, 1))
    dark = band & (luma <= np.percentile(luma[band], 12))
    colour = np.median(still[dark].astype(np.float32), 0)
    bins = np.digitize(u, (at[1:] + at[:-1]) / 2)
    ratio = luma / usual
    least = [
        float(np.percentile(ratio[chosen], 15)) if (chosen := band & (bins == index)).any() else 1.0
        for index in range(15)
    ]
    cover = np.clip(1.15 - np.array(least), *LASHES)
    cover = np.convolve(np.pad(cover, 2, mode="edge"), np.ones(5) / 5, "valid")
    # what shines through makes them warmer than their darkest pixels
    return Curve(at, cover.astype(np.float32)), 0.65 * colour + 0.22 * plain.mean((0, 1))
