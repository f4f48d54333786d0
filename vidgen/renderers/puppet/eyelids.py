"""Eyelids that close: the skin above the eye slides down over it, its lashes with it.

Where the skin would be drawn out into streaks it is replaced by its own smooth colour and the
grain of the cheek below. Works in an eye's patch; lays nothing into the frame.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.renderers.puppet.geometry import Eye
from vidgen.renderers.puppet.grid import Array, indices, look_up, smoothstep, to_bytes
from vidgen.renderers.puppet.lighting import LUMA, Lighting
from vidgen.work import Pixels

UPPER: Final = 0.90  # share of the opening that the upper lid crosses
LOWER: Final = 0.20  # and the lower one
LASHES: Final = 0.035  # of the eye's width: how far below its edge the upper lid's lashes reach
BEYOND: Final = (1.42, 1.0)  # half widths from the middle: the lid's motion fades to the sides
LEAST: Final = 0.03  # of the eye's width: the motion there
DIM: Final = 0.84  # of the light on the skin below the eye: a lid under a low brow gets so much
DARK: Final = (0.66, 0.45)  # of that light: from here down `smooth` is more and more the brow's
BEND: Final = 1.25  # above 1 the skin under the brow is drawn out less than that at the edge


@dataclass(frozen=True, slots=True)
class Eyelids:
    """One eye's patch, ready to be shut. Arrays are (h, w) over the patch."""

    still: Pixels  # (h, w, 3) the patch as in the photo
    bare: Pixels  # (h, w, 3) without the lashes that stand up from the open lid
    smooth: Pixels  # (h, w, 3) the lid's skin without detail
    detail: Array  # (h, w, 3) skin texture, round 0
    column: Array  # patch pixels
    row: Array
    v: Array  # down the eye, frame pixels
    upper: Array  # v of the lids' edges at this pixel's u
    lower: Array
    anchor: Array  # v down to which the skin above stays where it is
    travel: Array  # frame pixels that the lids must close
    share: Array  # distance from the eye's middle, half widths
    lashes: Array  # 1 on the lid and on what is dark below its edge
    band: float  # frame pixels above the edge that are not drawn out
    width: float  # of the eye, frame pixels
    soft: float  # width of edges, frame pixels
    down: tuple[float, float]  # patch pixels for one frame pixel down the eye

    def draw(self, ball: Pixels, shut: float) -> Pixels:
        """The patch over `ball` (h, w, 3) with the lids `shut`, 0–1."""
        with_lower = self._lower(ball, LOWER * shut * self.travel)
        return self._upper(with_lower, UPPER * shut * self.travel, shut)

    def _lower(self, under: Pixels, rise: Array) -> Pixels:
        edge = self.lower - rise
        below = np.maximum(0, self.v - edge)
        back = rise * (1 - smoothstep(below / (0.45 * self.width)))
        cover = np.clip((self.v - edge) / self.soft + 0.5, 0, 1)
        return _mix(under, self._at(self.still, back), cover)

    def _upper(self, under: Pixels, fall: Array, shut: float) -> Pixels:
        edge = self.upper + fall
        room = np.maximum(1.0, edge - self.band - self.anchor)
        way = np.clip((self.v - self.anchor) / room, 0, 1)
        shift = fall * way**BEND
        drawn_out = fall * BEND * way ** (BEND - 1) / room * (way < 1)
        loose = smoothstep((drawn_out - 0.25) / 0.30)[..., None]
        lid = self._at(self.still, -shift).astype(np.float32)
        lid += smoothstep(np.array((shut - 0.3) / 0.5)) * (self._at(self.bare, -shift) - lid)
        if loose.max() > 0.01:
            plain = self._at(self.smooth, -shift) + self.detail
            lid += loose * (plain - lid)
        lid *= self._shade(edge, shut)[..., None]
        reach = edge + LASHES * self.width
        cover = np.clip((reach - self.v) / self.soft + 0.5, 0, 1)
        cover *= self._at(self.lashes, -shift) * smoothstep(fall / (0.02 * self.width))
        return to_bytes(under + cover[..., None] * (lid - under))

    def _shade(self, edge: Array, shut: float) -> Array:
        """A lid bulges: it darkens towards its edge, which ends in the line of the lashes."""
        off = (edge - self.v) / self.width
        inner = np.clip(1 - self.share**4, 0, 1)
        shade = 1 - 0.10 * shut * np.exp(-((off / 0.08) ** 2))
        shade *= 1 - 0.42 * shut**2 * inner * np.exp(-((off / 0.022) ** 2))
        return np.asarray(shade)

    def _at(self, picture: Pixels, by: Array) -> Pixels:
        """`picture` looked up `by` frame pixels further down the eye."""
        dx, dy = self.down
        at = (self.column + dx * by).astype(np.float32), (self.row + dy * by).astype(np.float32)
        return look_up(picture, *at)


def build(still: Pixels, eye: Eye, u: Array, v: Array, scale: float, light: Lighting) -> Eyelids:
    """The lids of `eye` over its patch; `u`, `v` are the pixels' places in the eye's axes.

    `scale` is patch pixels per frame pixel.
    """
    width = 2 * eye.half
    upper, lower = eye.upper(u), eye.lower(u)
    share = np.abs(u) / eye.half
    fade = smoothstep((BEYOND[0] - share) / (BEYOND[0] - BEYOND[1]))
    travel = np.maximum(lower - upper, LEAST * width) * fade
    anchor = _anchor(still, eye, u, v, upper, light.glasses)
    column, row = indices(u.shape)
    skin = (v > anchor + 0.02 * width) & (v < upper - 0.07 * width) & (share < 1.3)
    skin &= _is_bright(still, skin)
    below = (
        light.skin if light.glasses else _below(still, (v - lower) / width, share, width * scale)
    )
    near = smoothstep((v - anchor) / np.maximum(1.0, 0.6 * (upper - anchor)))
    near *= smoothstep((1.35 - share) / 0.4)
    smooth = _lit(_skin(still, skin, 0.05 * width * scale / 2), below, near)
    detail = _texture(still, eye, u, v, lower, scale)
    if light.glasses:  # what lies below the eye is their rim
        detail = np.zeros_like(detail)
    reach = 2 * max(1, round(0.03 * width * scale)) + 1
    return Eyelids(
        still=still,
        bare=_bare(still, smooth, detail, (v - upper) / width, share, reach),
        smooth=smooth,
        detail=detail,
        column=column,
        row=row,
        v=v,
        upper=upper,
        lower=lower,
        anchor=anchor,
        travel=travel,
        width=width,
        share=share,
        lashes=_lashes(still, v - upper, smooth, width),
        band=0.07 * width,
        soft=max(0.7, 1.5 * light.blur),
        down=(-scale * eye.axes.sin, scale * eye.axes.cos),
    )


def _is_bright(still: Pixels, skin: Array) -> Array:
    """What of `skin` is no lash, crease or paint."""
    luma = still.astype(np.float32) @ LUMA
    usual = float(np.percentile(luma[skin], 55)) if skin.any() else 0.0
    return np.asarray(luma > 0.8 * usual)


def _anchor(still: Pixels, eye: Eye, u: Array, v: Array, upper: Array, glasses: bool) -> Array:
    """Where the moving skin begins: under the brow, or under a glasses' frame below it."""
    width = 2 * eye.half
    brow = np.minimum(eye.brow(u), upper - 0.16 * width)
    luma = still.astype(np.float32) @ LUMA
    between = (v > brow) & (v < upper - 0.12 * width)
    if not glasses or between.sum() < 20:
        return brow
    usual = float(np.median(luma[between]))
    hard = between & (luma < 0.6 * usual)
    bins = np.linspace(-1.4, 1.4, 29) * eye.half
    at = np.digitize(u, bins)
    lowest = np.array(
        [
            (v - brow)[chosen].max() if (chosen := hard & (at == index)).sum() > 2 else 0.0
            for index in range(len(bins) + 1)
        ]
    )
    lowest = np.convolve(np.pad(lowest, 3, mode="edge"), np.hanning(9)[1:-1] / 4, "valid")
    middles = np.concatenate([bins - (bins[1] - bins[0]) / 2, bins[-1:] * 1.04])
    found: Array = (brow + np.interp(u, middles, lowest)).astype(np.float32)
    return np.minimum(found, upper - 0.12 * width)


def _skin(still: Pixels, skin: Array, sigma: float) -> Pixels:
    """The colours of `skin` pixels, blurred among themselves and continued everywhere.

    Worked out at half the patch's resolution; `sigma` is in pixels of that.
    """
    import cv2

    if not skin[::2, ::2].any():
        return still
    weight = skin[::2, ::2].astype(np.float32)
    picture = still[::2, ::2] * weight[..., None]
    total, known = np.zeros_like(picture), np.zeros_like(weight)
    for wider in range(3):  # farther pixels only count where there is nothing near
        share, size = 10.0 ** (-3 * wider), max(0.8, sigma * 3**wider)
        total += share * cv2.GaussianBlur(picture, (0, 0), size)
        known += share * cv2.GaussianBlur(weight, (0, 0), size)
    mean = to_bytes(total / np.maximum(known, 1e-9)[..., None])
    size = still.shape[1], still.shape[0]
    return np.asarray(cv2.resize(mean, size, interpolation=cv2.INTER_LINEAR))


def _below(still: Pixels, depth: Array, share: Array, width: float) -> Pixels:
    """The colour of the skin under the eye, continued upwards: it has the same light on it."""
    skin = (depth > 0.16) & (depth < 0.48) & (share < 1.3)
    skin &= _is_bright(still, skin)
    return _skin(still, skin, 0.06 * width)


def _lit(smooth: Pixels, usual: Array, near: Array) -> Pixels:
    """A lid comes out of the shade of its brow as it shuts: not much darker than `usual` skin.

    `near` (h, w) is 0 under the brow and beside the eye, 1 at the lid's edge. Where hardly any
    skin lies between brow and lid, `smooth` is the brow's colour.
    """
    colours, around = smooth.astype(np.float32), usual.astype(np.float32)
    share = colours @ LUMA / np.maximum(1.0, around @ LUMA)
    lift = near * smoothstep((DARK[0] - share) / (DARK[0] - DARK[1]))
    return to_bytes(colours + lift[..., None] * (DIM * around - colours))


def _lashes(still: Pixels, depth: Array, smooth: Pixels, width: float) -> Array:
    """What moves with the upper lid: all above its edge, below it only what is dark as lashes."""
    luma, usual = still.astype(np.float32) @ LUMA, smooth.astype(np.float32) @ LUMA
    dark = smoothstep((0.80 * usual - luma) / np.maximum(1.0, 0.30 * usual))
    above = np.clip(0.5 - depth / (0.02 * width), 0, 1)
    found: Array = np.maximum(above, dark).astype(np.float32)
    return found


def _bare(
    still: Pixels, smooth: Pixels, detail: Array, depth: Array, share: Array, reach: int
) -> Pixels:
    """Dark pixels close above the lid's edge give way to its skin: shut eyes' lashes hang down."""
    import cv2

    luma, usual = still.astype(np.float32) @ LUMA, smooth.astype(np.float32) @ LUMA
    dark = smoothstep((0.90 * usual - luma) / np.maximum(1.0, 0.22 * usual))
    dark *= smoothstep((depth + 0.32) / 0.10) * (depth < 0.04)
    dark *= smoothstep((1.45 - share) / 0.2)
    # a little wider than the lashes, or their outline stays
    dark = cv2.dilate(dark.astype(np.float32), np.ones((reach, reach), np.uint8))
    dark = cv2.GaussianBlur(dark, (0, 0), reach / 3)
    return _mix(still, np.clip(smooth + detail, 0, 255), dark)


def _texture(still: Pixels, eye: Eye, u: Array, v: Array, lower: Array, scale: float) -> Array:
    """What is finer than a lid's shading, taken from the skin below the eye, upside down."""
    import cv2

    fine = still.astype(np.float32)
    fine -= cv2.GaussianBlur(fine, (0, 0), max(1.0, 0.04 * 2 * eye.half * scale))
    column, row = indices(u.shape)
    by = 2 * (lower + 0.24 * 2 * eye.half - v)
    at = (
        (column - scale * eye.axes.sin * by).astype(np.float32),
        (row + scale * eye.axes.cos * by).astype(np.float32),
    )
    taken = cv2.remap(fine, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(np.clip(taken, -12, 12))


def _mix(under: Pixels, above: Array, cover: Array) -> Pixels:
    return to_bytes(under + cover[..., None] * (above.astype(np.float32) - under))
