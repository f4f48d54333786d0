"""The tongue: a mound in the jaw, and its tip, which th puts between the teeth."""

from typing import Final

import numpy as np

from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, smoothstep
from vidgen.renderers.puppet.lighting import Lighting

COLOUR: Final = np.array([0.66, 0.34, 0.33], np.float32)
OUT: Final = (0.60, 0.12)  # raised so far its tip comes out, so much farther it is out
TIP: Final = 0.46  # half its width, in half mouths


def tip_out(raised: Array) -> Array:
    """How much of the tip of a tongue that is so `raised` is between the teeth, 0–1."""
    return smoothstep((raised.astype(np.float64) - OUT[0]) / OUT[1])


def mound(face: FaceGeometry, light: Lighting, u: Array, down: Array) -> Array:
    """A soft mound in the jaw, lit from the front, with a faint furrow: (h, w, 4), premultiplied;
    `down` is pixels below the line between the lips."""
    h = face.height
    share = face.across(u) / 0.66
    top = -0.062 * h * np.sqrt(np.clip(1 - share**2, 0, None)) + 0.020 * h
    inside = smoothstep((down - top) / (0.014 * h) + 0.5) * smoothstep((1 - np.abs(share)) / 0.25)
    lit = 0.46 + 0.54 * smoothstep((down - top) / (0.045 * h))
    lit *= 1 - 0.10 * np.exp(-((share / 0.10) ** 2)) - 0.25 * np.clip(share, -1, 1) ** 2
    return _paint(lit, inside, light)


def tip(face: FaceGeometry, light: Lighting, u: Array, down: Array) -> Array:
    """The tip in front of the upper teeth's edge, as it lies for th: (h, w, 4), premultiplied."""
    h = face.height
    share = face.across(u) / TIP
    top = 0.008 * h + 0.016 * h * share**2
    inside = smoothstep((down - top) / (0.006 * h) + 0.5) * smoothstep((1 - np.abs(share)) / 0.3)
    lit = 0.75 + 0.40 * smoothstep((down - top) / (0.012 * h))
    lit *= 1 - 0.08 * np.exp(-((share / 0.12) ** 2)) - 0.2 * np.clip(share, -1, 1) ** 2
    return _paint(lit, inside, light)


def _paint(lit: Array, inside: Array, light: Lighting) -> Array:
    bright = 255 * min(1.0, 0.12 + 0.80 * light.exposure)
    colour = bright * COLOUR * light.tint * lit[..., None]
    return np.dstack([colour * inside[..., None], 255 * inside]).astype(np.float32)
