"""The colour and the grain of a shut lid, which is hardly ever in the photo.

A plane through the skin below and beside the eye, with what the skin above differs from it, and
the fine texture of the skin below. Works in an eye's patch; knows nothing of what moves.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.geometry import Eye
from vidgen.renderers.puppet.grid import Array, look_up, smoothstep, to_bytes
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.work import Pixels

# Lengths are shares of the eye's width unless they say otherwise.
LEAST_SKIN: Final = 40  # pixels that a plane can be trusted on
SLOPE: Final = 0.10  # share of the skin's darkening towards the eye that a lid takes on
LEAST_LIGHT: Final = 0.96  # share of the skin's luma that a lid has at least
DARKEST: Final = 0.03  # share of its luma that the skin above may take from the lid's
BRIGHTEST: Final = 0.14
UNDER: Final = (0.16, 0.42)  # how far below the eye its grain is
FINER: Final = 0.04  # sigma: what is finer is grain
LEAST_ROWS: Final = 8  # of the patch: fewer tell nothing of grain
STRONGEST: Final = 7.0  # of 255: spread of grain that is at most believed
RINGS: Final = np.linspace(0.02, 0.72, 15)  # waves a pixel: within one, grain is equally strong
ABOVE: Final = (0.03, 0.17)  # how far above the lid's edge its own colour is
BRIGHTER: Final = (75, 95)  # per cent of what is there: the darker rest is lashes
LIT: Final = 1.045  # of the skin's light: an unpainted lid. One that is less than the first of its
DARKER: Final = ((0.80, 0.25), (0.55, 0.75))  # luma is darker by so much of the difference,
PAINTED: Final = 0.60  # and one that is less than this is painted
TINT: Final = (0.10, 0.40)  # how much of its own hue an unpainted and a painted one keep
EVEN: Final = 0.6  # and how much of light and hue is the same from corner to corner
WARM: Final = (0.85, 1.03, 1.15)  # powers of the shade in red, green, blue: dark skin is warmer
DARK: Final = 0.76  # of its light, which all has at least
NEAR: Final = 0.18  # from the crease on, up to so far above it
JOINED: Final = 0.11  # sigma over which a lid nears what is round it,
NEARING: Final = (0.50, 1.10)  # between these shares of its own light
BAND: Final = 0.08  # sigma over which colours pass into others
CLEAR: Final = 0.05  # below what stays, over which nothing is quite new
BULGE: Final = 0.09  # how much brighter a lid's middle is,
CREASED: Final = 0.05  # darker under its crease
SHADE: Final = 0.06  # and at its edge,
SHADED: Final = 0.09  # so far from it
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
        """Of the eye, frame pixels."""
        return 2 * self.eye.half

    def straighten(self, picture: Array, along: Array, down: Array) -> Array:
        """A picture of the patch at places in the eye's axes."""
        axes, by_u, by_v = self.eye.axes, along - self.u[0, 0], down - self.v[0, 0]
        x = self.scale * (axes.cos * by_u - axes.sin * by_v)
        y = self.scale * (axes.sin * by_u + axes.cos * by_v)
        return look_up(picture.astype(np.float32), x.astype(np.float32), y.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Lid:
    """Where the parts of a lid are at each pixel's u, and how far they come down when it shuts:
    (h, w), frame pixels."""

    v: Array  # of the pixels
    beyond: Array  # half widths to where the eye ends,
    reach: float  # beyond which it fades over so many
    start: Array  # v of the open lid's edge
    end: Array  # v of the shut one's
    lash: Array  # v above which nothing rides on the edge
    crease: Array  # v
    roof: Array  # v above which nothing changes
    way: Array  # of the edge
    drop: Array  # of the crease
    rest: Array  # of what is here above the crease of a shut lid
    rise: Array  # how far what is here below the shut lid's edge has come up

    @property
    def share(self) -> Array:
        """0 on the crease of the shut lid – 1 on its lashes."""
        open_ = self.lash - self.crease
        share = (self.v - self.crease - self.drop) / (open_ + self.way - self.drop)
        return np.asarray(share.clip(0, 1))

    @property
    def moves(self) -> Array:
        """How far what the shut eye shows has come down."""
        down = self.rest + self.share * (self.way - self.drop)
        return np.where(self.v <= self.end, down, -self.rise)


def shut_lid(view: View, bare: Array, plain: Array, lid: Lid) -> Pixels:
    """The patch with the eye shut, without lashes, as the open eye's `bare` one is: what is above
    the crease has come down, the skin below it is new, in two bands: colours pass softly, the
    crease stays sharp."""
    import cv2

    eye, width, own = view.eye, view.width, tone(view, plain)
    within, down = smoothstep((lid.beyond + lid.reach - 0.05) / 0.3), lid.share
    moved = view.straighten(bare, view.u, view.v - lid.moves)
    new = smoothstep((view.v - lid.roof) / (CLEAR * width))
    inside = view.v <= lid.end
    near = new * inside * smoothstep(1 - (lid.crease + lid.drop - view.v) / (NEAR * width))
    moved = _lighten(moved, own, near * smoothstep((1.15 - np.abs(view.u) / eye.half) / 0.3))
    below = np.maximum(view.v - lid.end, 0) / width
    skin = smoothstep(down / 0.3) * within * inside
    sigma = BAND * width * view.scale
    hollow = smoothstep((down + 0.05) / 0.1) * within * np.exp(-((below / 0.1) ** 2))
    wide = np.maximum(cv2.GaussianBlur(hollow, (0, 0), sigma), skin)[..., None]
    low = cv2.GaussianBlur(moved, (0, 0), sigma)
    own = _join(moved, own, 1 - hollow, JOINED * width * view.scale)
    mixed = low + wide * (own - low)
    round_ = np.clip(1 - (view.u / eye.half) ** 2, 0, 1)
    dome = BULGE * _bell((down - 0.55) / 0.45) - CREASED * _bell(down / 0.2)
    dome -= SHADE * _bell((view.v - lid.end) / (SHADED * width))
    light = 1 + skin * (grain(view, plain) + dome * round_)
    made = mixed * light[..., None] + (moved - low) * (1 - skin[..., None])
    return to_bytes(moved + (new * inside)[..., None] * (made - moved))


def _lighten(picture: Array, lid: Array, share: Array) -> Array:
    """`picture` (h, w, 3) without what is far darker than the `lid` there: paint that was left."""
    light, full = picture @ LUMA, lid @ LUMA
    missing = np.clip((DARK * full - light) / np.maximum(full - light, 1.0), 0, 1)
    return np.asarray(picture + (share * missing)[..., None] * (lid - picture), np.float32)


def _join(picture: Array, lid: Array, outside: Array, sigma: float) -> Array:
    """`lid` (h, w, 3) nearing the colours of `picture` outside it, so that no outline shows."""
    import cv2

    near = cv2.GaussianBlur(outside, (0, 0), sigma)
    around = cv2.GaussianBlur(picture * outside[..., None], (0, 0), sigma)
    around /= np.maximum(near, 1e-3)[..., None]
    share = np.maximum(around @ LUMA, 1.0) / np.maximum(lid @ LUMA, 1.0)
    around *= (np.clip(share, *NEARING) / share)[..., None]
    return np.asarray(lid + np.clip(1.5 * near, 0, 1)[..., None] * (around - lid), np.float32)


def _bell(x: Array) -> Array:
    return np.asarray(np.exp(-(x**2)))


def tone(view: View, plain: Array) -> Array:
    """(h, w, 3) the colour of the lid's own skin, without lashes: `plain`, as dark and in the hue
    of the brighter part of what is above the lid's edge, if that is painted."""
    width, eye = view.width, view.eye
    at = np.linspace(-1.1, 1.1, 45) * eye.half
    along, up = np.meshgrid(at, np.arange(*ABOVE, 0.01) * width)
    places = along, eye.upper(along) - up
    colours = view.straighten(view.still, *places)
    skin = view.straighten(plain, *places).mean(0)
    own = np.array([_bright(colours[:, max(0, at - 12) : at + 13]) for at in range(45)])
    kernel = np.hanning(21)[1:-1] / np.hanning(21).sum()
    own = np.stack([np.convolve(np.pad(of, 9, mode="edge"), kernel, "valid") for of in own.T], 1)
    share = (own @ LUMA) / np.maximum(1.0, skin @ LUMA)
    tint = own / np.maximum(1.0, skin) / np.maximum(share, 1e-3)[:, None]
    share, tint = (EVEN * of.mean(0) + (1 - EVEN) * of for of in (share, tint))
    darker = sum(by * np.clip(least - share, 0, 1) for least, by in DARKER)
    shade = (LIT - darker)[:, None]
    if view.light.toned is None:
        shade = shade * np.maximum(shade, 0.82) ** (np.array(WARM) - 1)
    hue = (TINT[0] + (TINT[1] - TINT[0]) * smoothstep((PAINTED - share) / 0.3))[:, None]
    shade = (hue * tint + 1 - hue) * shade
    return np.asarray(plain * np.stack([np.interp(view.u, at, of) for of in shade.T], -1))


def _bright(colours: Array) -> Array:
    """The mean (3,) of the brighter ones, without gleams."""
    few = colours.reshape(-1, 3)
    light = few @ LUMA
    low, high = np.percentile(light, BRIGHTER)
    return np.asarray(few[(light >= low) & (light <= high)].mean(0))


def skin_colour(view: View) -> Array:
    """Its colour (h, w, 3), without detail."""
    import cv2

    eye, still = view.eye, view.still
    few = still[::2, ::2].astype(np.float32)
    across, down = (place[::2, ::2] / view.width for place in (view.u, view.v))
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


def grain(view: View, plain: Array) -> Array:
    """(h, w), a share of the luma: chance of the fineness and strength that the skin below the eye
    has. Edges and wrinkles go one way: only waves that go nearly all ways count."""
    import cv2

    width, half, pixel = view.width, view.eye.half, 1 / view.scale
    across = np.arange(-0.8 * half, 0.8 * half, pixel)
    along, down = np.meshgrid(across, np.arange(*UNDER, pixel / width) * width)
    if min(along.shape) < LEAST_ROWS:
        return np.zeros(plain.shape[:2], np.float32)
    luma = view.straighten(view.still, along, view.eye.lower(along) + down) @ LUMA
    fine = luma - cv2.GaussianBlur(luma, (0, 0), max(1.0, FINER * width / pixel))
    middles = (RINGS[1:] + RINGS[:-1]) / 2
    strength = np.interp(_waves(plain.shape[:2]), middles, _spectrum(fine))
    chance = np.random.default_rng(0).standard_normal(plain.shape[:2])
    made = np.fft.ifft2(np.fft.fft2(chance) * strength).real
    made *= min(1.0, STRONGEST / max(1e-6, float(made.std())))
    return np.asarray(made / np.maximum(1.0, plain @ LUMA), np.float32)


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
