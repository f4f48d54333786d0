"""Eyelids that close: the photo's own lid comes down over the eye and turns into a shut one.

A shut lid is hardly ever in the photo: its colour and grain are worked out (`lid_skin`), the line
of its lashes is the open lid's, turned down. What has come down is opaque: no eye is seen through
it. Nothing outside the eye and its lashes is touched, neither brow nor the rim of glasses. Works
in an eye's patch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.canvas import Canvas, Number
from vidgen.renderers.puppet.geometry import Curve, Eye
from vidgen.renderers.puppet.grid import Array, bounds, indices, look_up, smoothstep
from vidgen.renderers.puppet.lid_skin import STRANGE, grain, join, skin_colour, straighten
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.work import Pixels

# Lengths are shares of the eye's width unless they say otherwise.
COLUMNS: Final = 49  # of the tables over the eye's width
BESIDE: Final = 1.36  # half widths: nothing is drawn farther out
UP, DOWN = 0.20, 0.12  # how far lashes and paint are looked for above and below the opening;
NEAR_RIM: Final = 0.15  # above it behind glasses
FADE: Final = (0.05, 0.20)  # over which the lid's skin gives way to the skin above it: at most the
FADED: Final = 0.80  # share of the way to the brow
RIM: Final = 0.4  # of the skin's luma: what is darker above an eye is a rim of glasses
PAST: Final = 0.04  # how far below the lower lid's edge the upper one's comes to lie
BULGE: Final = 0.09  # how much brighter a lid's middle is than the skin round the hollow of the eye
BORDER: Final = 0.13  # how far in from its edge a lid takes on what lies round it
SHADE: Final = 0.09  # a lid bulges: it darkens so much towards its edge,
SHADED: Final = 0.09  # and begins to so far from it
OWN: Final = (0.10, 0.65)  # of the way down: over which the photo's own lid becomes the shut one
LASHES: Final = (0.33, 0.85)  # least and most cover of the line of the lashes
LINE: Final = (0.024, 0.036)  # its reach above the edge and below it
FRINGE: Final = 0.16  # how far above the open lid lashes are looked for
HANGING: Final = 0.75  # share of their length there that they have when they point down
NOTHING: Final = 2.6  # reaches from the edge: farther off the line is less than half a grey level


@dataclass(frozen=True, slots=True)
class Eyelids:
    """One eye's patch, ready to be shut. Arrays are (h, w) over the `part` that ever changes."""

    still: Pixels  # (H, W, 3) the patch as in the photo
    part: tuple[slice, slice]  # its rows and columns
    own: Pixels  # (h, w, 3) the photo there
    at: Array  # (h, w, 2) column and row of these pixels
    at_shut: Array  # and where the shut lid has what the open one has there
    down: Array  # (2,) columns and rows of the patch for one frame pixel down the face
    skin: Array  # (h, w, 3) the shut lid
    texture: (
        Array  # (h, w, 2) shut: by what grain and shade multiply it; the lashes' cover, as `cover`
    )
    cover: Array  # 0–1 over the length of `OWN`: where it may be seen
    edge: Array  # cover of the open lid: 0.5 on its edge, not yet from 0 to 1
    steep: Array  # what is added to it when the eye shuts
    way: Array  # frame pixels that this edge comes down, at this pixel's u, when the eye shuts
    height: Array  # (h, w, 1) frame pixels below what moves at all
    room: Array  # (h, w, 1) and how many of them there are above the lashes, eye open
    colour: Array  # (3,) of the lashes

    def draw(self, canvas: Canvas, ball: Array, shut: Number) -> Array:
        """The patch over `ball` (h, w, 3), which is drawn into, with the lids `shut`, 0–1."""
        part = ball[..., *self.part, :]
        way = (shut * self.way)[..., None]
        down = way * self.down
        # lashes ride on the edge, the skin above them is drawn out
        share = (self.height / (self.room + way)).clip(0, 1)
        own = canvas.look_up(self.own, self.at - share * down)
        lit, line = canvas.split(canvas.look_up(self.texture, self.at_shut - down))
        age = canvas.limit(shut - OWN[0], 0.0, OWN[1] - OWN[0])
        lid = canvas.mix(own, self.skin * lit[..., None], age * self.cover)
        drawn = canvas.mix(part, lid, (self.edge + shut * self.steep).clip(0, 1))
        part[:] = canvas.to_bytes(canvas.mix(drawn, self.colour, age * line))
        return ball


def build(still: Pixels, eye: Eye, u: Array, v: Array, scale: float, light: Lighting) -> Eyelids:
    """The lids of `eye` over its patch; `u`, `v` are the pixels' places in the eye's axes.

    `scale` is patch pixels per frame pixel.
    """
    width = 2 * eye.half
    plain = skin_colour(still, eye, u, v, scale, light)
    top, bottom, ends = _reach(still, plain, eye, u, v, NEAR_RIM if light.glasses else UP)
    share = np.abs(u) / eye.half
    beyond = np.where(u < 0, ends[0], ends[1]) + 0.10 - share
    beside = smoothstep(0.18 + beyond / (0.16 if light.glasses else 0.34))
    fade = _fade(still, plain, eye, top, u, v, light.glasses)
    inside = smoothstep((v - top(u) + fade) / fade)
    round_ = np.clip(1 - share**2, 0, 1)
    middle = (v - (0.4 * top(u) + 0.6 * bottom(u))) / (0.45 * (bottom(u) - top(u)) + 1)
    light_ = 1 + BULGE * round_ * np.exp(-(middle**2))
    cover = (inside * beside).astype(np.float32)
    lid = join(still, np.clip(plain * light_[..., None], 0, 255), cover, BORDER * width * scale)
    soft = max(0.7, 1.5 * light.blur)
    start, end = np.minimum(eye.upper(u), bottom(u)), bottom(u)
    corner = float(u[0, 0]), float(v[0, 0])

    def straight(picture: Array, along: Array, down: Array) -> Array:
        return straighten(picture, eye, corner, scale, along, down)

    line, colour = _lashes(still, plain, eye, straight, u, (v - end) / width, soft / width)
    line *= smoothstep(beyond / 0.45)
    lit = 1 + grain(still, plain, eye, corner, scale)
    lit -= SHADE * np.exp(-(((v - end) / (SHADED * width)) ** 2))
    texture = np.stack([lit, line / (OWN[1] - OWN[0])], -1).astype(np.float32)
    seen = ((cover > 0) & (v < end + soft)) | (line > 0.02)
    part = bounds(seen) or (slice(0), slice(0))
    border = soft + 0.2 * width * smoothstep((share - 1.08) / 0.2)
    way = (end - start) * beside
    at = np.stack(indices(u[part].shape), -1)
    down = np.array([-eye.axes.sin, eye.axes.cos], np.float32) * np.float32(scale)
    return Eyelids(
        still=still,
        part=part,
        own=np.ascontiguousarray(still[part]),
        at=at,
        at_shut=at + way[part][..., None] * down,
        down=down,
        skin=lid[part],
        texture=np.ascontiguousarray(texture[part]),
        cover=cover[part] / np.float32(OWN[1] - OWN[0]),
        edge=(0.5 - (v - start) / border)[part].astype(np.float32),
        steep=(way / border)[part].astype(np.float32),
        way=way[part],
        height=(v - top(u) + fade)[part][..., None],
        room=np.maximum(fade + np.minimum(start, top(u)) - top(u), 1.0)[part][..., None],
        colour=colour,
    )


def _fade(
    still: Pixels, plain: Array, eye: Eye, top: Curve, u: Array, v: Array, glasses: bool
) -> Array:
    """Pixels above the lid over which it fades: never up to the brow; behind glasses half as far
    and never up to their rim, which is dark."""
    width = 2 * eye.half
    free = FADED * (top(u) - eye.brow(u))
    if not glasses:
        return np.asarray(np.clip(free, FADE[0] * width, FADE[1] * width), np.float32)
    at, column = _columns(eye, u)
    most, step = 0.5 * FADE[1] * width, 0.02 * width
    skin = still @ LUMA > RIM * (plain @ LUMA)
    clear = _run(skin, column, (top(u) - v) / step, round(most / step))
    clear[clear == 0] = most / step  # lashes still, no rim
    near = np.lib.stride_tricks.sliding_window_view(np.pad(clear, 2, mode="edge"), 5)
    clear = _calm(near.min(1))
    free = np.minimum(free, step * np.interp(u, at, clear))
    return np.asarray(np.clip(free, 1.0, most), np.float32)


# Where the lid goes, and its lashes


def _reach(
    still: Pixels, plain: Array, eye: Eye, u: Array, v: Array, up: float
) -> tuple[Curve, Curve, tuple[float, float]]:
    """v over u where the lid's skin must begin, and where its edge comes to lie; half widths to
    the eye's left and right end.

    Out from the opening as far as colours go on that are not the skin's: lashes, paint, and the
    rest of eyes larger than the net knows. Not more than `up` widths upwards.
    """
    width = 2 * eye.half
    strange = np.abs(still - plain).max(-1) > STRANGE
    dark = (plain - still) @ LUMA > 0.6 * STRANGE
    at, column = _columns(eye, u)
    upper, lower = eye.upper(u), eye.lower(u)
    step = 0.02 * width
    over = _run(strange | dark, column, (upper - v) / step, round(up * width / step))
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
    past = PAST * width * smoothstep((1.2 - share) / 0.15)  # in the corners, too
    bottom = np.maximum(bottom + past, top)
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


def _columns(eye: Eye, u: Array) -> tuple[Array, Array]:
    """The u of the tables over an eye's width, and in which of them each pixel is."""
    at = np.linspace(-BESIDE, BESIDE, COLUMNS).astype(np.float32) * eye.half
    return at, np.digitize(u, (at[1:] + at[:-1]) / 2)


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


def _lashes(
    still: Pixels,
    plain: Array,
    eye: Eye,
    straight: Callable[[Array, Array, Array], Array],
    u: Array,
    below: Array,
    soft: float,
) -> tuple[Array, Array]:
    """Cover of the shut eye's lashes (h, w) and their colour; pixels are `below` the edge of the
    shut lid. They are as dark as the open lid's and hang as far as those stand."""
    import cv2

    width = 2 * eye.half
    at = np.linspace(-1.2, 1.2, 8 * COLUMNS).astype(np.float32) * eye.half
    steps = np.arange(-0.03, FRINGE, 0.01)  # up from the lid's edge
    along, up = np.meshgrid(at, steps * width)
    colours, skin = (  # (steps, columns, 3)
        straight(picture, along, eye.upper(along) - up) for picture in (still, plain)
    )
    dark = 1 - (colours @ LUMA) / np.maximum(1.0, skin @ LUMA)
    root = np.clip(np.percentile(dark[2:9], 75, 0), *LASHES)
    root = np.convolve(np.pad(root, 32, mode="edge"), np.hanning(65) / 32, "valid")
    hair = np.minimum.accumulate(dark[3:].clip(0, 1), 0)
    hair = (hair - hair[-1]).clip(0, None) * (1 - steps[3:, None] / FRINGE) ** 2
    hair = cv2.GaussianBlur(hair, (0, 0), sigmaX=6, sigmaY=0.1)
    inner = np.abs(at) < eye.half
    darkest = np.percentile(colours[3:8][:, inner].reshape(-1, 3), 15, 0)
    colour = np.minimum(darkest, 0.5 * skin[:, inner].mean((0, 1)))
    reach = np.maximum(np.where(below < 0, *LINE), 0.6 * soft)
    line = np.interp(u, at, root) * np.exp(-((below / reach) ** 2))
    hanging = _table(hair, u, at, below / HANGING, steps[3:])
    hanging *= smoothstep(0.5 + below / soft)
    cover = np.maximum(line, np.minimum(1.5 * hanging, LASHES[1]))
    return cover.astype(np.float32), (0.85 * colour).astype(np.float32)


def _table(values: Array, u: Array, at: Array, down: Array, steps: Array) -> Array:
    """`values` (len(steps), len(at)) where `u` and `down` are; nothing beyond them."""
    x = (u - at[0]) / (at[1] - at[0])
    y = (down - steps[0]) / (steps[1] - steps[0])
    inside = (y > -0.5) & (y < len(steps) - 1)
    found = look_up(values.astype(np.float32), x.astype(np.float32), y.astype(np.float32))
    return np.asarray(found * inside, np.float32)
