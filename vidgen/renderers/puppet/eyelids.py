"""Eyelids that close: the photo's own lid comes down over the eye with all that is on it.

Lashes and paint ride on its edge, the crease comes down by less, the skin between them is drawn
out: it turns into what a shut lid looks like (`lid_skin`), which is worked out once. What has come
down is opaque: no eye is seen through it. Neither brow nor the rim of glasses moves. Works in an
eye's patch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view as sliding

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.canvas import Canvas, Number
from vidgen.renderers.puppet.eyelashes import lashes, without_lashes
from vidgen.renderers.puppet.geometry import Curve, Eye
from vidgen.renderers.puppet.grid import Array, bounds, indices, smoothstep
from vidgen.renderers.puppet.lid_skin import STRANGE, Lid, View, shut_lid, skin_colour
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.work import Pixels

Part = tuple[slice, slice]  # rows and columns

# Lengths are shares of the eye's width unless they say otherwise.
COLUMNS: Final = 49  # of the tables over the eye's width
BESIDE: Final = 1.36  # half widths: nothing is drawn farther out
UP, DOWN = 0.20, 0.12  # how far lashes and paint are looked for above and below the opening;
LASHED: Final = 0.50  # at most so far to the brow
NEAR_RIM: Final = 0.05  # above it behind glasses
ROOM: Final = (0.35, 0.17)  # above them that may move; behind glasses
FREE: Final = 0.70  # share of the way to the brow that may
BROW: Final = 0.85  # of the brightest luma below: what is darker is a brow
THICK: Final = 8  # hundredths, if it goes on for so far: creases are thinner;
RIM: Final = 0.4  # of the skin's luma: and this a rim of glasses
BELOW: Final = (0.03, 0.05)  # how far below a brow, a rim nothing moves yet
LASH: Final = 0.03  # what rides on a lid's edge at least
LEAST_LID: Final = 0.03  # of skin between that and the crease
CREASE: Final = 0.36  # how far up a crease is looked for
FOLDED: Final = 0.015  # of the luma: a crease is so much darker than what lies about it
UNFOLDED: Final = 0.06  # where there is none: so far above the lashes
DROP: Final = (0.30, 0.60)  # how far it comes down: of the lid's way; at most of its room
RISE: Final = 0.12  # of the opening: how far the lower lid comes up,
LOW: Final = 0.30  # with the skin so far below it,
RAISED: Final = 5.0  # in the last fifth of the way
PAST: Final = 0.04  # how far below the lower lid's edge the upper one's comes to lie
OWN: Final = (0.10, 0.65)  # of the way down: over which the photo's own lid becomes the shut one
SPAN: Final = OWN[1] - OWN[0]
BEYOND: Final = (0.30, 0.14)  # half widths beside the eye over which a lid fades; behind glasses


@dataclass(frozen=True, slots=True)
class Eyelids:
    """One eye's patch, ready to be shut. Arrays are (h, w) over the `part` that ever changes."""

    still: Pixels  # (H, W, 3) the patch as in the photo
    part: Part  # its rows and columns
    own: Pixels  # (h, w, 3) the photo there
    shut: Array  # (h, w, 4) the same with the eye shut, but for its lashes; their cover
    at: Array  # (h, w, 2) column and row of these pixels
    down: Array  # (2,) columns and rows of the patch for one frame pixel down the face
    rest: Array  # frame pixels that what is above the crease comes down when the eye shuts,
    more: Array  # and so many more the lashes than the crease
    drop: Array  # the crease's own way
    height: Array  # below the crease of the open eye
    room: Array  # from there to the lashes
    edge: Array  # cover of the open lid: 0.5 on its edge, not yet from 0 to 1
    steep: Array  # what is added to it when the eye shuts
    whole: Array  # 1 over the length of `OWN`
    colour: Array  # (3,) of the lashes

    def draw(self, canvas: Canvas, ball: Array, shut: Number) -> Array:
        """The patch over `ball` (h, w, 3), which is drawn into, with the lids `shut`, 0–1."""
        (part,) = canvas.cut(self.part, ball)
        moves = self._moves(canvas, shut)
        at = canvas.add_product(self.at, (shut * moves)[..., None], self.down, -1)
        lid = canvas.look_up(self.own, at)
        over = canvas.add_product(self.edge, shut, self.steep).clip(0, 1)
        if not canvas.is_over(shut, OWN[0]):  # in most frames lids only follow the gaze
            return canvas.write(ball, part, canvas.mix(part, lid, over))
        age = canvas.limit(shut - OWN[0], 0.0, SPAN) * self.whole
        at_shut = canvas.add_product(at, moves[..., None], self.down)
        made, line = canvas.part_last(canvas.look_up(self.shut, at_shut))
        drawn = canvas.mix(part, canvas.mix(lid, made, age), over)
        return canvas.write(ball, part, canvas.mix(drawn, self.colour, age * line[..., 0]))

    def _moves(self, canvas: Canvas, shut: Number) -> Array:
        """How far what a pixel shows, the lids `shut`, comes down from open to wholly shut."""
        below = canvas.add_product(self.height, shut, self.drop, -1)
        share = below / canvas.add_product(self.room, shut, self.more)
        return canvas.add_product(self.rest, share.clip(0, 1), self.more)


def build(still: Pixels, eye: Eye, u: Array, v: Array, scale: float, light: Lighting) -> Eyelids:
    """The lids of `eye` over its patch; `u`, `v` are the pixels' places in the eye's axes.

    `scale` is patch pixels per frame pixel.
    """
    view = View(still, eye, u, v, scale, light)
    plain = skin_colour(view)
    bare = without_lashes(view)
    lid = _lid(view, bare, plain)
    bare = still + smoothstep((v - lid.roof) / (0.05 * view.width))[..., None] * (bare - still)
    made = shut_lid(view, bare, plain, lid)
    whole = smoothstep((lid.beyond + 0.10) / 0.45)
    soft = max(0.7, 1.5 * light.blur)
    line, colour = lashes(view, plain, (v - lid.end) / view.width, soft / view.width)
    line *= whole
    changes = (np.abs(made.astype(np.float32) - still) > 0.5).any(-1) | (line > 0.02)
    part = bounds(changes) or (slice(0, 1), slice(0, 1))  # there is nothing but photo
    border = soft + 0.2 * view.width * smoothstep((np.abs(u) / eye.half - 1.08) / 0.2)
    lower = v > lid.end  # it comes up at last

    def cut(of: Array) -> Array:
        return np.ascontiguousarray(of[part], np.float32)

    return Eyelids(
        still=still,
        part=part,
        own=np.ascontiguousarray(still[part]),
        shut=cut(np.dstack([made, line])),
        at=np.stack(indices(u[part].shape), -1),
        down=np.array([-eye.axes.sin, eye.axes.cos], np.float32) * np.float32(scale),
        rest=cut(lid.rest),
        more=cut(lid.way - lid.drop),
        drop=cut(lid.drop),
        height=cut(v - lid.crease),
        room=cut(lid.lash - lid.crease),
        edge=cut(np.where(lower, 1 - RAISED, 0.5 - (v - lid.start) / border)),
        steep=cut(np.where(lower, RAISED, lid.way / border + 0.5)),
        whole=cut(np.full_like(v, 1 / SPAN)),
        colour=colour,
    )


# Where the lids are, and where they go


def _lid(view: View, bare: Array, plain: Array) -> Lid:
    """Of the eye in `view`, which is `bare` without lashes and whose skin is `plain`."""
    eye, u, v, width = view.eye, view.u, view.v, view.width
    top, bottom, ends = _reach(view, plain)
    beyond = np.where(u < 0, ends[0], ends[1]) - np.abs(u) / eye.half
    reach = BEYOND[view.light.glasses]
    beside = smoothstep((beyond + reach) / (reach - 0.02))
    start = np.minimum(eye.upper(u), bottom(u))
    whole = (bottom(u) - start) * beside
    rise = RISE * whole * (not view.light.glasses)  # a rim would come along
    lash = np.minimum(start - LASH * width, top(u))
    roof = np.minimum(_roof(view, bare, plain, top)(u), start - 3)
    middle = np.abs(u) < 0.5 * eye.half
    least, most = (float(np.median((start - of)[middle])) / width for of in (lash, roof))
    crease = np.minimum(start - _crease(view, least, most), lash - LEAST_LID * width)
    crease = np.maximum(crease, roof + 1)
    way = whole - rise
    drop = np.minimum(DROP[0] * way, DROP[1] * (crease - roof))
    end = start + way
    corner = PAST * width * smoothstep((np.abs(u) / eye.half - 0.6) / 0.3) * (rise > 0)
    risen = beside * (bottom(u) - end + corner) * np.clip(1 - (v - end) / (LOW * width), 0, 1) ** 2
    above = drop * np.clip((v - roof) / (crease - roof + drop), 0, 1)
    return Lid(
        beyond=beyond,
        reach=reach,
        start=start,
        end=end,
        lash=np.maximum(lash, crease + 1),
        crease=crease,
        roof=roof,
        way=way,
        drop=drop,
        rest=above,
        rise=risen,
        v=v,
    )


def _crease(view: View, least: float, most: float) -> float:
    """Frame pixels from the lid's edge up to its crease, from `least` to `most` widths."""
    width, eye = view.width, view.eye
    steps = np.arange(least, max(min(most, CREASE), least + 0.05), 0.01)
    along, up = np.meshgrid(np.linspace(-0.6, 0.6, 25) * eye.half, steps)
    luma = view.straighten(view.still, along, eye.upper(along) - up * width) @ LUMA
    profile = np.convolve(np.pad(np.median(luma, 1), 2, mode="edge"), np.ones(5) / 5, "valid")
    beside = [np.maximum.accumulate(side) for side in (profile, profile[::-1])]
    depth = np.minimum(beside[0], beside[1][::-1]) - profile
    at = int(np.argmax(depth))
    folded = depth[at] > FOLDED * profile.max()
    return width * float(steps[at] if folded else least + UNFOLDED)


def _roof(view: View, bare: Array, plain: Array, top: Curve) -> Curve:
    """v over u above which nothing moves: under the brow, and under a rim of glasses."""
    eye, width, glasses = view.eye, view.width, view.light.glasses
    seen = view.still if glasses else bare
    steps = np.arange(0.0, ROOM[glasses], 0.01)
    along, up = np.meshgrid(top.u, steps * width)
    luma, skin = (view.straighten(of, along, top(along) - up) @ LUMA for of in (seen, plain))
    least = RIM * skin if glasses else BROW * np.maximum.accumulate(luma, 0)
    thick = 1 if glasses else THICK
    dark = np.pad(luma < least, ((0, thick - 1), (0, 0)), mode="edge")
    ends = np.all(sliding(dark, thick, 0), -1) | (up > FREE * (top(along) - eye.brow(along)))
    free = np.where(ends.any(0), ends.argmax(0), len(steps)) * 0.01 - BELOW[glasses]
    free = np.maximum(_calm(_widen(free, 15, np.min)) * width, 1.0)
    return Curve(top.u, (top.v - free).astype(np.float32))


def _reach(view: View, plain: Array) -> tuple[Curve, Curve, tuple[float, float]]:
    """v over u up to where lashes and paint go, and where the lid's edge comes to lie were the
    lower lid still; half widths to the eye's left and right end.

    Out from the opening as far as colours go on that are not the skin's: lashes, paint, and the
    rest of eyes larger than the net knows.
    """
    eye, u, v, width = view.eye, view.u, view.v, view.width
    up = NEAR_RIM if view.light.glasses else UP
    strange = np.abs(view.still - plain).max(-1) > STRANGE
    dark = (plain - view.still) @ LUMA > 0.6 * STRANGE
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
    over = np.minimum(_widen(over, 7, np.max), LASHED * (eye.upper(at) - eye.brow(at)) / step)
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


def _widen(values: Array, count: int, most: Callable[..., Array]) -> Array:
    """The `most` of each value and its neighbours, `count` in all."""
    return most(sliding(np.pad(values, count // 2, mode="edge"), count), 1)
