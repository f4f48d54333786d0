"""The lashes of a shut eye: where they lie, and the open lid's own, turned down.

Works in an eye's patch; knows nothing of what moves.
"""

from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.geometry import Curve, Eye
from vidgen.renderers.puppet.grid import Array, look_up, smoothstep
from vidgen.renderers.puppet.lid_skin import View

# Lengths are shares of the eye's width unless they say otherwise. Where and how the lashes of shut
# eyes lie, from beyond the outer corner to beyond the inner one, places in half widths
SHARES: Final = tuple(np.linspace(-1.4, 1.4, 15).tolist())
# below the line through the open eye's corners: the lower lid rises towards the nose
LIES: Final = (0.1, 0.12, 0.13, 0.15, 0.15, 0.15, 0.13, 0.11, 0.09, 0.07, 0.04, 0.01, 0.01,
               0.01, 0.0)  # fmt: skip
# how strong their line is, and how thick, shares of what it is in the middle
STRONG: Final = (0.0, 0.2, 0.6, 0.85, 0.95, 1.0, 1.0, 1.0, 1.0, 0.95, 0.9, 0.8, 0.6, 0.2, 0.0)
THICK: Final = (0.4, 0.5, 0.65, 0.8, 0.95, 1.0, 1.0, 1.0, 1.0, 1.0, 0.95, 0.85, 0.65, 0.5, 0.4)
LINE: Final = (0.026, 0.036)  # above its middle and below it: half as dark,
SHADOW: Final = (0.07, 0.10)  # and half of the shadow that lies round it,
SHADE: Final = 0.45  # so dark a share of it
DARK: Final = (0.20, 0.52, 0.24)  # how dark: at least, and for that of the open lid's edge and of
RIM: Final = (-0.02, 0.03)  # the lashes above it: from so far above it to so far,
TIPS: Final = 0.074  # and here
DARKEST: Final = 0.92
EVEN: Final = (0.75, 1.25)  # times that: where the open lid's edge is lighter or darker
WARMER: Final = 2.4  # power of the skin's hue: so much of it is seen between them
FRINGE: Final = 0.16  # how far above the open lid lashes are looked for
HANGING: Final = 0.75  # share of their length there that they have when they point down
COLUMNS: Final = 392  # of the table over the eye's width


def shut_line(eye: Eye) -> Curve:
    """v over u, frame pixels, of the middle of the line of lashes when the eye is shut."""
    share = np.linspace(SHARES[0], SHARES[-1], 97)
    u, v = -eye.outer * share * eye.half, np.interp(share, SHARES, LIES) * eye.size
    order = np.argsort(u)
    return Curve(u[order].astype(np.float32), v[order].astype(np.float32))


def lashes(view: View, plain: Array, soft: float) -> tuple[Array, Array]:
    """Cover of the shut eye's lashes (h, w) and their colour (3,); `plain` is the skin without
    lashes, and edges are `soft`.

    They are the darker, the darker the open lid's are, and hang as far as those stand.
    """
    import cv2

    eye = view.eye
    below = (view.v - shut_line(eye)(view.u)) / view.width
    at = np.linspace(-1.2, 1.2, COLUMNS).astype(np.float32) * eye.half
    steps = np.arange(-0.03, FRINGE, 0.01)  # up from the lid's edge
    along, up = np.meshgrid(at, steps * view.width)
    colours, skin = (  # (steps, columns, 3)
        view.straighten(picture, along, eye.upper(along) - up) for picture in (view.still, plain)
    )
    dark = 1 - (colours @ LUMA) / np.maximum(1.0, skin @ LUMA)
    hair = np.minimum.accumulate(dark[3:].clip(0, 1), 0)
    hair = (hair - hair[-1]).clip(0, None) * (1 - steps[3:, None] / FRINGE) ** 2
    hair = cv2.GaussianBlur(hair, (0, 0), sigmaX=6, sigmaY=0.1)
    inner = np.abs(at) < 0.6 * eye.half
    darkest = np.percentile(colours[3:8][:, inner].reshape(-1, 3), 15, 0)
    usual = skin[:, inner].mean((0, 1))
    luma = max(1.0, float(usual @ LUMA))
    share = min(0.85 * float(darkest @ LUMA) / luma, 0.42)
    root = _darkness(dark, steps, inner) / (1 - share)
    places = view.outward
    thick = np.interp(places, SHARES, THICK)
    core, round_ = (
        0.5 ** ((below / np.hypot(np.where(below < 0, *reach) * thick, 0.5 * soft)) ** 2)
        for reach in (LINE, SHADOW)
    )
    line = np.interp(view.u, at, root) * np.maximum(core, SHADE * round_)
    hanging = _table(hair, view.u, at, below / HANGING, steps[3:])
    hanging *= smoothstep(0.5 + below / soft) * smoothstep((1 - np.abs(places)) / 0.3)
    cover = np.maximum(line, np.minimum(1.5 * hanging, DARKEST)) * np.interp(places, SHARES, STRONG)
    colour = share * luma * (usual / luma) ** WARMER
    return cover.clip(0, DARKEST).astype(np.float32), colour.astype(np.float32)


def _darkness(dark: Array, steps: Array, inner: Array) -> Array:
    """(columns,) of the shut line, a share of the skin's light, by how `dark` (steps, columns) the
    open lid's edge and lashes are."""
    rim = dark[(steps > RIM[0] - 0.005) & (steps < RIM[1])].max(0)
    tips = dark[np.abs(steps - TIPS).argmin()]
    usual = max(0.1, float(np.median(rim[inner])))
    whole = DARK[0] + DARK[1] * usual + DARK[2] * float(np.median(tips[inner]))
    uneven = np.convolve(np.pad(rim / usual, 32, mode="edge"), np.hanning(65) / 32, "valid")
    return np.asarray(whole * uneven.clip(*EVEN))


def _table(values: Array, u: Array, at: Array, down: Array, steps: Array) -> Array:
    """`values` (len(steps), len(at)) where `u` and `down` are; nothing beyond them."""
    x = (u - at[0]) / (at[1] - at[0])
    y = (down - steps[0]) / (steps[1] - steps[0])
    inside = (y > -0.5) & (y < len(steps) - 1)
    found = look_up(values.astype(np.float32), x.astype(np.float32), y.astype(np.float32))
    return np.asarray(found * inside, np.float32)
