"""The colour and the grain of a shut lid, which is hardly ever in the photo.

A plane through the skin below and beside the eye, with what the skin above differs from it, the
shade of the hollow above, and the fine texture of the skin below. Works in an eye's patch; knows
nothing of what moves.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.geometry import Curve, Eye
from vidgen.renderers.puppet.grid import Array, look_up, smoothstep
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.work import Pixels

# Lengths are shares of the eye's width unless they say otherwise.
LEAST_SKIN: Final = 40  # pixels that a plane can be trusted on
SLOPE: Final = 0.10  # share of the skin's darkening towards the eye that a lid takes on
LEAST_LIGHT: Final = 0.96  # share of the skin's luma that a lid has at least
DARKEST: Final = 0.07  # share of its luma that the skin above may take from the lid's
BRIGHTEST: Final = 0.12
OVER: Final = (0.14, 0.07)  # how far above a lid shade is looked for; behind glasses; at most
TO_BROW: Final = 0.6  # share of the way to the brow
CLEAR: Final = 75  # percentile of the light there: what is darker may be hair
SHADES: Final = (0.66, 1.05)  # of the plane's light: least and most that is believed
TAKEN: Final = (0.9, 0.20)  # shares of that shade at the lid's upper end, and from
LONG: Final = 0.6  # of the way down on
DEEPER: Final = 0.9  # how much deeper the colour of dark skin is, of how far it is from grey
UNDER: Final = (0.16, 0.42)  # how far below the eye there is skin
CHEEK: Final = (0.50, 0.90)  # and farther down, without lashes or bags
FINER: Final = 0.04  # sigma: what is finer is grain
LEAST_ROWS: Final = 8  # of the patch: fewer tell nothing of grain
STRONGEST: Final = 0.03  # of the skin's luma: spread of grain that is at most believed
RINGS: Final = np.linspace(0.02, 0.72, 15)  # waves a pixel: within one, grain is equally strong
NEARING: Final = (0.55, 1.15)  # shares of its luma between which it does
STRANGE: Final = 26.0  # of 255: colours farther from the skin's are eye, lash or paint


@dataclass(frozen=True, slots=True)
class View:
    """One eye's patch as in the photo, and where its pixels are."""

    still: Pixels  # (h, w, 3)
    eye: Eye
    u: Array  # (h, w) frame pixels in the eye's axes
    v: Array
    scale: float  # patch pixels per frame pixel
    light: Lighting

    @property
    def width(self) -> float:
        """Of the eye as from the front, frame pixels."""
        return self.eye.size

    @property
    def outward(self) -> Array:
        """(h, w) half widths from the eye's middle: -1 at the outer corner, 1 at the inner one."""
        return -self.eye.outer * self.u / self.eye.half

    def straighten(self, picture: Array, along: Array, down: Array) -> Array:
        """A picture of the patch at places in the eye's axes."""
        axes, by_u, by_v = self.eye.axes, along - self.u[0, 0], down - self.v[0, 0]
        x = self.scale * (axes.cos * by_u - axes.sin * by_v)
        y = self.scale * (axes.sin * by_u + axes.cos * by_v)
        return look_up(picture.astype(np.float32), x.astype(np.float32), y.astype(np.float32))


def skin_colour(view: View) -> Array:
    """Its colour (h, w, 3), without detail."""
    import cv2

    eye, still = view.eye, view.still
    few = still[::2, ::2].astype(np.float32)
    across, down = view.u[::2, ::2] / (2 * eye.half), view.v[::2, ::2] / view.width
    weight = _samples(eye, across, down, view.light.glasses)
    plane, kept = _plane(few, across, down, weight, view.light)
    rest = few - plane
    luma, own = plane @ LUMA, rest @ LUMA
    # darker is a brow's shade or paint, brighter a gleam: the lid comes out of both
    held = np.clip(own, -DARKEST * luma, BRIGHTEST * luma)
    rest *= np.where(np.abs(own) > 1, held / np.where(np.abs(own) > 1, own, 1), 1)[..., None]
    sigma = 0.10 * eye.half * view.scale  # half the patch's resolution
    like = smoothstep(2 - np.abs(few - plane).max(-1) / (STRANGE + 14))
    like *= (weight > 0) | (kept > 0)
    known = cv2.GaussianBlur(like, (0, 0), sigma) + 0.04
    near = cv2.GaussianBlur(rest * like[..., None], (0, 0), sigma) / known[..., None]
    made = plane + near
    size = still.shape[1], still.shape[0]
    return np.asarray(cv2.resize(made, size, interpolation=cv2.INTER_LINEAR), np.float32)


def shade(view: View, plain: Array, top: Curve, bottom: Curve) -> Array:
    """(h, w, 3): what multiplies the colours of a lid that reaches from `top` down to `bottom`, so
    that the shade of the hollow above it goes on over it, ever fainter."""
    import cv2

    eye, u, width, skin = view.eye, view.u, view.width, view.light.skin
    at = np.linspace(-1, 1, 41).astype(np.float32) * eye.half
    most = np.maximum(TO_BROW * (top(at) - eye.brow(at)), 0.03 * width)
    reach = OVER[view.light.glasses] * width
    up = np.minimum(np.linspace(0, reach, 12)[:, None], most)
    along = np.broadcast_to(at, up.shape)
    here, usual = (
        view.straighten(picture, along, top(along) - up) @ LUMA + 4
        for picture in (view.still, plain)
    )
    light = np.percentile(here / usual, CLEAR, 0).clip(*SHADES)[None]
    light = cv2.GaussianBlur(light, (0, 0), sigmaX=5.0, borderType=cv2.BORDER_REPLICATE)[0]
    way = (view.v - top(u)) / np.maximum(1.0, bottom(u) - top(u))
    share = TAKEN[1] + (TAKEN[0] - TAKEN[1]) * (1 - smoothstep(way / LONG))
    change = share * (np.interp(u, at, light) - 1)
    return np.asarray(1 + change[..., None] * deepened(skin), np.float32)


def deepened(skin: Array) -> Array:
    """(3,) how much more or less each colour loses in a shade, on `skin` (3,)."""
    return np.asarray(1 - DEEPER * (skin / max(1.0, float(skin @ LUMA)) - 1), np.float32)


def join(still: Pixels, lid: Array, cover: Array, sigma: float) -> Array:
    """`lid` (h, w, 3) nearing the colours round it towards its edge, so that no outline shows."""
    import cv2

    outside = (cover < 0.35).astype(np.float32)
    near = cv2.GaussianBlur(outside, (0, 0), sigma)
    around = cv2.GaussianBlur(still * outside[..., None], (0, 0), sigma)
    around /= np.maximum(near, 1e-3)[..., None]
    # each colour for itself: made as light as a lid, nearly black skin would glow
    around = np.clip(around, *(share * lid for share in NEARING))
    pull = np.clip(1.7 * near, 0, 1)[..., None]
    return np.asarray(lid + pull * (around.clip(0, 255) - lid), np.float32)


def _samples(eye: Eye, across: Array, down: Array, glasses: bool) -> Array:
    """How much each pixel's skin counts: below the eye, beside it, a third above it.

    Places are in eye widths, `down` in those from the front.
    """
    u = across * 2 * eye.half
    upper, lower, brow = (curve(u) / eye.size for curve in (eye.upper, eye.lower, eye.brow))
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


def grain(coarse: Array, shape: tuple[int, ...]) -> Array:
    """(h, w), a share of the luma: chance of the fineness and strength of `coarse`."""
    middles = (RINGS[1:] + RINGS[:-1]) / 2
    strength = np.interp(_waves(shape), middles, coarse)
    chance = np.random.default_rng(0).standard_normal(shape)
    made = np.fft.ifft2(np.fft.fft2(chance) * strength).real
    made *= min(1.0, STRONGEST / max(1e-6, float(made.std())))
    return np.asarray(made, np.float32)


def coarseness(view: View, below: tuple[float, float]) -> Array:
    """(14,) the strength of the skin's grain `below` the eye in each of `RINGS`, a share of its
    luma. Edges and wrinkles go one way: only waves that go nearly all ways count."""
    import cv2

    width, half, pixel = view.width, view.eye.half, 1 / view.scale
    across = np.arange(-0.8 * half, 0.8 * half, pixel)
    along, down = np.meshgrid(across, np.arange(*below, pixel / width) * width)
    if min(along.shape) < LEAST_ROWS:
        return np.zeros(len(RINGS) - 1)
    luma = view.straighten(view.still, along, view.eye.lower(along) + down) @ LUMA
    fine = luma - cv2.GaussianBlur(luma, (0, 0), max(1.0, FINER * width / pixel))
    return np.array(_spectrum(fine)) / max(1.0, float(luma.mean()))


def _spectrum(piece: Array) -> list[float]:
    """The usual amplitude of its waves in each of `RINGS`; of white noise its deviation."""
    window = np.outer(*map(np.hanning, piece.shape))
    found = np.abs(np.fft.fft2(piece * window)) / np.sqrt((window**2).sum())
    ring = np.digitize(_waves(piece.shape), RINGS)
    # the root of the mean square of a Rayleigh distribution is 1.86 times its lower quartile
    return [
        1.86 * float(np.percentile(found[here], 25)) if (here := ring == at).any() else 0.0
        for at in range(1, len(RINGS))
    ]


def _waves(shape: tuple[int, ...]) -> Array:
    """Waves a pixel of each coefficient of a Fourier transform."""
    return np.asarray(np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])))
