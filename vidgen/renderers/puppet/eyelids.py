"""Eyelids that close: the photo's own lid comes down over the eye and turns into a shut one.

A shut lid is hardly ever in the photo: its colour and grain are worked out (`lid_skin`), its lashes
are laid where those of real blinks lie (`eyelashes`), and a network adds what real ones have more
(`lid_net`). What has come down is opaque: no eye is seen through it. Neither brow nor the rim of
glasses is touched. Works in an eye's patch.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet import lid_net
from vidgen.renderers.puppet.canvas import ONE_FRAME, Canvas, Number
from vidgen.renderers.puppet.eyelashes import lashes, shut_line
from vidgen.renderers.puppet.geometry import Curve, Eye
from vidgen.renderers.puppet.grid import Array, bounds, indices, smoothstep
from vidgen.renderers.puppet.lid_skin import (
    STRANGE,
    View,
    deepened,
    grain,
    join,
    shade,
    skin_colour,
)
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.renderers.puppet.remnants import remnants
from vidgen.work import Pixels

Part = tuple[slice, slice]  # rows and columns

# Lengths are shares of the eye's width unless they say otherwise.
COLUMNS: Final = 69  # of the tables over the eye's width
BESIDE: Final = 1.95  # half widths: nothing is drawn farther out
FARTHEST: Final = 1.28  # where an eye may end, beyond the net's corners
UP, DOWN = 0.20, 0.05  # how far lashes and paint are looked for above and below the opening;
NEAR_RIM: Final = 0.15  # above it behind glasses
FADE: Final = (0.05, 0.20)  # over which the lid's skin gives way to the skin above it: at most the
FADED: Final = 0.50  # share of the way to the brow
RIM: Final = 0.4  # of the skin's luma: what is darker above an eye is a rim of glasses
WIDE: Final = 0.10  # a rim of wire is thinner,
WIRE: Final = 0.22  # and differs by so much of the skin's luma from what is round it;
ALONG: Final = 1.3  # and goes on so many half widths from the eye's middle;
LASHED: Final = 0.06  # what is no farther above a lid are lashes
PAST: Final = 0.04  # how far below the lower lid's edge the upper one's comes to lie
# how much darker a lid is above its lashes, from the outer corner to the inner one, half widths
HOLLOW: Final = ((-1.2, -0.9, 0.0, 0.8, 1.1, 1.4), (0.0, 0.07, 0.07, 0.17, 0.13, 0.0))
BORDER: Final = 0.13  # how far in from its edge a lid takes on what lies round it
EDGE: Final = 0.045  # how far below the middle of its lashes a shut lid's edge lies
OWN: Final = (0.10, 0.65)  # of the way down: over which the photo's own lid becomes the shut one
SPAN: Final = OWN[1] - OWN[0]
LATE: Final = 0.75  # of the way down: from where on lashes come over what lies below the edge
COVERED: Final = 0.68  # of `shut`: where every opening is covered. Of the way down that is .68 to
# .95: a lid goes on far below where lashes or paint do
BEYOND: Final = (0.30, 0.14)  # half widths beside the eye over which a lid fades; behind glasses
OUTER: Final = 1.02  # where it begins to beside the outer corner, without glasses,
OUTWARD: Final = 0.42  # and then over so many
ASIDE: Final = 0.90  # and so many beside the outer corner, in a strip of so much
NEAR: Final = 0.26  # to either side of the eye's axis; what is dark there and thinner than this
THIN: Final = 0.20  # is the open eye's lashes, and what is darker still than
LIGHT: Final = 0.84  # this share of the skin is paint
SEEN: Final = 0.02  # of the cover: more is seen
NOTHING: Final = 2.6  # reaches from the edge: farther off the line is less than half a grey level


@dataclass(frozen=True, slots=True)
class Eyelids:
    """One eye's patch, ready to be shut. Arrays are (h, w) over the `part` that ever changes."""

    still: Pixels  # (H, W, 3) the patch as in the photo
    part: Part  # its rows and columns
    own: Pixels  # (h, w, 3) the photo there
    at: Array  # (h, w, 2) column and row of these pixels
    at_shut: Array  # and where the shut lid has what the open one has there
    down: Array  # (2,) columns and rows of the patch for one frame pixel down the face
    skin: Array  # (h, w, 3) the shut lid
    detail: Array  # (h, w, 3) what rides on its edge and is added: grain, lashes; as `cover`
    cover: Array  # 0–1 over the length of `OWN`: where `skin` may be seen
    edge: Array  # cover of the open lid: 0.5 on its edge, not yet from 0 to 1
    steep: Array  # what is added to it when the eye shuts
    way: Array  # frame pixels that this edge comes down, at this pixel's u, when the eye shuts
    height: Array  # (h, w, 1) frame pixels below what moves at all
    room: Array  # (h, w, 1) and how many of them there are above the lashes, eye open
    pace: Number  # how much faster than `shut` the edge goes until it is down
    free: Array  # 1 where a lid is seen, 0 under the rim of glasses
    reach: Array  # 0–1: where `detail` is seen,
    first: Array  # as `edge`: with the lid, but below its shut edge only at the end of its way,
    gain: Array  # as `steep`

    def draw(self, canvas: Canvas, ball: Array, shut: Number) -> Array:
        """The patch over `ball` (h, w, 3), which is drawn into, with the lids `shut`, 0–1."""
        (part,) = canvas.crop(self.part, ball)
        shut = canvas.limit(self.pace * shut, 0.0, 1.0)
        way = (shut * self.way)[..., None]
        down = way * self.down
        # lashes ride on the edge, the skin above them is drawn out
        share = (self.height / (self.room + way)).clip(0, 1)
        lid = canvas.look_up(self.own, canvas.add_product(self.at, share, down, -1))
        over = canvas.add_product(self.edge, shut, self.steep).clip(0, 1) * self.free
        if not canvas.is_over(shut, OWN[0]):  # in most frames lids only follow the gaze
            return canvas.write(ball, part, canvas.mix(part, lid, over))
        age = canvas.limit(shut - OWN[0], 0.0, SPAN)
        lid = canvas.mix(lid, self.skin, age * self.cover)
        detail = canvas.look_up(self.detail, self.at_shut - down)
        drawn = canvas.mix(part, lid, over)
        shown = canvas.add_product(self.first, shut, self.gain).clip(0, 1) * (age * self.reach)
        return canvas.write(ball, part, canvas.add_product(drawn, detail, shown[..., None]))


def build(
    still: Pixels, eye: Eye, u: Array, v: Array, scale: float, light: Lighting, coarse: Array,
    rim: Curve | None,
) -> Eyelids:  # fmt: skip
    """The lids of `eye` over its patch; `u`, `v` (h, w) are the pixels' places in the eye's axes.

    `scale` is patch pixels per frame pixel, `coarse` the skin's grain (`lid_skin.coarseness`),
    `rim` the lower edge of glasses that a lid comes out from under, v over u.
    """
    view = View(still, eye, u, v, scale, light)
    plain = skin_colour(view)
    lie = _extent(view, plain, rim)
    top, bottom, fade = lie.top(u), lie.bottom(u), lie.fade
    beside, aside, clean = _beside(view, plain, lie.ends)
    surface = _surface(view, plain, lie)
    surface += (aside * (1 - beside))[..., None] * (clean - surface)
    beside = np.maximum(beside, aside)
    near = smoothstep((v - top + fade) / fade).astype(np.float32)
    cover = (near * beside).astype(np.float32)
    soft = max(0.7, 1.5 * light.blur)
    line, colour = lashes(view, plain, soft / view.width)
    # the lower lid comes up to the upper one's edge
    edge = np.minimum(shut_line(eye)(u) + EDGE * view.width, bottom)
    risen = smoothstep((bottom - v) / soft) * smoothstep((v - edge) / soft) * beside
    rest = remnants(view, cover * (v < bottom), lie.bottom)
    left = np.maximum(risen.astype(np.float32), rest)
    reach = lid_net.reach(view) * (near if light.glasses or light.wire else 1)  # it knows few rims
    seen = ((cover > 0) & (v < bottom + soft)) | (np.maximum.reduce([line, left, reach]) > SEEN)
    cover = np.maximum(cover, left)
    part = bounds(seen) or (slice(0, 1), slice(0, 1))  # there is nothing but photo
    skin = join(still, surface, cover, BORDER * view.width * scale)
    detail = (cover * grain(coarse, u.shape))[..., None] * skin
    start = np.minimum(eye.upper(u), edge)
    lids = Eyelids(
        still=still,
        part=part,
        own=np.ascontiguousarray(still[part]),
        skin=skin[part],
        detail=detail[part].astype(np.float32) / np.float32(SPAN),
        cover=cover[part] / np.float32(SPAN),
        height=(v - top + fade)[part][..., None],
        room=np.maximum(fade + np.minimum(start, top) - top, 1.0)[part][..., None],
        pace=_pace(eye),
        free=np.ones_like(u[part]),
        reach=reach[part],
        **_way(view, start, (edge - start) * beside, soft, aside, part, left),
    )
    return _with(lids, line[..., None] * (colour - _shut(lids)))


def _shut(lids: Eyelids) -> Array:
    """The patch with the lids down."""
    return lids.draw(ONE_FRAME, lids.still.astype(np.float32), 1.0)


def _with(lids: Eyelids, more: Array) -> Eyelids:
    """Lids with `more` (H, W, 3) added to the patch once they are shut."""
    return replace(lids, detail=lids.detail + more[lids.part].astype(np.float32) / SPAN)


def complete(lids: Eyelids, view: View) -> Eyelids:
    """These lids with what real ones have more (`lid_net`); `view` is their whole patch."""
    lids = replace(lids, reach=lids.reach * lids.free)
    share = np.zeros_like(view.u)
    share[lids.part] = lids.reach
    return _with(lids, lid_net.find_missing(view, _shut(lids), share))


def _beside(view: View, plain: Array, ends: tuple[float, float]) -> tuple[Array, Array, Array]:
    """Where a lid is, (h, w) 0–1, from its left to its right end; where it only covers the open
    one's lashes and shade, beside the outer corner, (h, w); and the skin there without these,
    (h, w, 3). Behind glasses no such place: it may be their rim."""
    import cv2

    share, reach = np.abs(view.outward), BEYOND[view.light.glasses]
    end = np.where(view.u < 0, *ends)
    has_rims = view.light.glasses or view.light.wire
    if not has_rims:
        end, reach = np.where(view.outward < 0, np.minimum(end, OUTER), end), OUTWARD
    lid = smoothstep((end - share + reach) / (reach - 0.02))
    out, down = (-view.outward - 1) / ASIDE, np.abs(view.v / view.width - 0.02) / NEAR
    free = smoothstep(1 + out / 0.2) * smoothstep((1 - out) / 0.5) * smoothstep((1 - down) / 0.5)
    size = 2 * round(THIN * view.width * view.scale / 2) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    clean = cv2.morphologyEx(view.still, cv2.MORPH_CLOSE, disc)
    clean = cv2.GaussianBlur(np.maximum(clean, LIGHT * plain), (0, 0), size / 6)
    return lid, (0 if has_rims else 1) * free, clean


def _way(
    view: View, start: Array, way: Array, soft: float, aside: Array, part: Part, left: Array
) -> dict[str, Array]:
    """What moves a lid's edge from `start` by `way` (h, w). Beside the eye it is too soft to be
    seen; it comes to lie below what is `left` of the white, and not before the lid is down."""
    share = np.abs(view.u) / view.eye.half
    border = soft + 0.2 * view.width * smoothstep((share - 1.08) / 0.2) * (1 - aside)
    at = np.stack(indices(way[part].shape), -1)
    axes = view.eye.axes
    down = np.array([-axes.sin, axes.cos], np.float32) * np.float32(view.scale)
    edge = (0.5 - (view.v - start) / border)[part].astype(np.float32)
    last = np.where(left[part] > SEEN, left[part] - edge, 0)
    steep = np.maximum((way / border)[part].astype(np.float32), last)
    lid = edge + steep > 0.5
    return {
        "at": at,
        "at_shut": at + way[part][..., None] * down,
        "down": down,
        "way": way[part],
        "edge": edge,
        "steep": steep,
        "first": np.where(lid, edge, np.float32(-LATE / (1 - LATE))),
        # all of it in the end, or its soft edge is a pale thread along the lashes
        "gain": np.where(lid, np.maximum(steep, 1 - edge), np.float32(1 / (1 - LATE))),
    }


def _pace(eye: Eye) -> float:
    """See `Eyelids`: one eye's lid goes farther past the opening than the other's, but both cover
    theirs in the same frame."""
    at = np.linspace(-0.6, 0.6, 25) * eye.half
    bottom = shut_line(eye)(at) + EDGE * eye.size
    upper = np.minimum(eye.upper(at), bottom)
    share = (eye.lower(at) - upper) / np.maximum(bottom - upper, 1.0)
    return float(np.clip(share.max(), COVERED, 1)) / COVERED


def _surface(view: View, plain: Array, lie: "_Extent") -> Array:
    """The skin (h, w, 3) of a shut lid: darker above its lashes, and in the shade of the hollow
    above it, where no rim hides that."""
    above = (shut_line(view.eye)(view.u) - view.v) / view.width
    near = np.exp(-((np.clip(above - 0.08, 0, None) / 0.14) ** 2)) * smoothstep(1 + above / 0.08)
    deep = np.interp(view.outward, *HOLLOW) * near
    skin = plain * (1 - deep[..., None] * deepened(view.light.skin))
    if lie.rim is None:
        skin *= shade(view, plain, lie.top, lie.bottom)
    return np.asarray(skin.clip(0, 255))


def _fade(view: View, plain: Array, top: Curve) -> Array:
    """Pixels above the lid over which it fades: never up to the brow; behind glasses never up to
    their rim, which is dark or a wire, and below a dark one half as far."""
    eye, u, width = view.eye, view.u, view.width
    free = FADED * (top(u) - eye.brow(u))
    least, most, step = FADE[0] * width, FADE[1] * width, 0.02 * width
    if view.light.glasses:
        least, most = 1.0, 0.5 * most
        skin = view.still @ LUMA > RIM * (plain @ LUMA)
    elif view.light.wire:
        skin = ~_wires(view, plain) | (top(u) - view.v < LASHED * width)
    else:
        return np.asarray(np.clip(free, least, most), np.float32)
    at, column = _columns(eye, u)
    clear = _run(skin, column, (top(u) - view.v) / step, round(most / step))
    clear[clear == 0] = most / step  # lashes still, no rim
    near = np.lib.stride_tricks.sliding_window_view(np.pad(clear, 2, mode="edge"), 5)
    clear = _calm(near.min(1))
    free = np.minimum(np.clip(free, least, most), step * np.interp(u, at, clear))
    return np.asarray(np.maximum(free, 1.0), np.float32)


def _wires(view: View, plain: Array) -> Array:
    """Where something thin is far brighter or darker than what is round it and goes on beside the
    eye: a crease of the lid ends there."""
    import cv2

    luma = (view.still @ LUMA).astype(np.float32)
    size = max(3, round(WIDE * view.width * view.scale))
    reach = np.ones((size, size), np.uint8)
    hats = [cv2.morphologyEx(luma, how, reach) for how in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    thin = np.maximum(*hats) > np.maximum(1.3 * STRANGE, WIRE * (plain @ LUMA))
    _, piece = cv2.connectedComponents(cv2.dilate(thin.astype(np.uint8), reach))
    return np.asarray(thin & np.isin(piece, piece[thin & (np.abs(view.outward) > ALONG)]))


# Where the lid goes, and its lashes


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where a shut lid lies, frame pixels."""

    top: Curve  # v over u where its skin must begin
    bottom: Curve  # and where its edge comes to lie
    ends: tuple[float, float]  # half widths to the eye's left and right end
    fade: Array  # (h, w) how far above `top` it fades
    rim: Curve | None  # of glasses close above the eye: it comes out from under that


def _extent(view: View, plain: Array, rim: Curve | None) -> _Extent:
    top, bottom, ends = _reach(view, plain)
    fade = _fade(view, plain, top)
    if rim:
        top = Curve(top.u, np.maximum(top.v, rim(top.u) + 1))
        bottom = Curve(top.u, np.maximum(bottom.v, top.v))
        fade = np.clip(top(view.u) - rim(view.u), 1.0, fade)
    return _Extent(top, bottom, ends, fade, rim)


def _reach(view: View, plain: Array) -> tuple[Curve, Curve, tuple[float, float]]:
    """v over u where the lid's skin must begin, and where its edge comes to lie; half widths to
    the eye's left and right end.

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
    top = np.minimum(_calm(eye.upper(at) - step * (over + 1.5)), level - high * round_)
    if not view.light.glasses:
        top = arch(at, top)
    past = PAST * width * smoothstep((1.2 - share) / 0.15)  # in the corners, too
    bottom = np.maximum.reduce([bottom + past, shut_line(eye)(at), top])
    return Curve(at, top.astype(np.float32)), Curve(at, bottom.astype(np.float32)), ends


def _ends(strange: Array, eye: Eye, u: Array, v: Array) -> tuple[float, float]:
    """How far the eye goes on beside the net's corners, half widths from its middle."""
    level = (eye.upper(u) + eye.lower(u)) / 2
    near = np.abs(v - level) < 0.16 * eye.half
    found = []
    for side in (-1, 1):
        share = side * u / eye.half
        end = 1.04
        while end < FARTHEST:
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


def arch(at: Array, top: Array) -> Array:
    """`top` without dips, as a rope over it: lashes beside a gap of skin lie below it, too."""
    rope: list[tuple[float, float]] = []
    for x, y in zip(at, top, strict=True):
        while len(rope) > 1 and (rope[-1][1] - rope[-2][1]) * (x - rope[-2][0]) >= (
            y - rope[-2][1]
        ) * (rope[-1][0] - rope[-2][0]):
            rope.pop()
        rope.append((x, y))
    u, v = np.array(rope).T
    return np.asarray(np.interp(at, u, v), np.float32)


def _calm(values: Array) -> Array:
    kernel = np.hanning(19)[1:-1]
    padded = np.pad(values, 8, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), "valid").astype(np.float32)
