"""What is seen between the lips: cavity, tongue, lower teeth, upper teeth.

Everything is painted once, as pictures in the mouth's own place; a frame only slides the jaw's
pictures down and shades them. Knows nothing of lips' colours.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.renderers.puppet import teeth
from vidgen.renderers.puppet.geometry import Face
from vidgen.renderers.puppet.grid import smoothstep
from vidgen.renderers.puppet.skin import Light
from vidgen.work import Floats, Pixels

CAVITY: Final = np.array([0.21, 0.085, 0.075], np.float32)
CHEEK: Final = np.array([0.34, 0.15, 0.13], np.float32)
TONGUE: Final = np.array([0.74, 0.36, 0.35], np.float32)


@dataclass(frozen=True, slots=True)
class Interior:
    """Pictures (h, w, C) float32, 0–255, colours premultiplied where C is 4."""

    cavity: Floats  # (h, w, 3)
    tongue: Floats  # (h, w, 4) at rest of the jaw, low
    lower: Floats  # (h, w, 4) at rest of the jaw
    upper: Floats  # (h, w, 4) fixed to the skull
    own_teeth: bool  # the upper teeth are the photo's
    grain: Floats  # (h, w, 1)


def build(frame: Pixels, face: Face, light: Light, x: Floats, y: Floats) -> Interior:
    """Paint for pixels at frame positions `x`, `y` (h, w each)."""
    u, v = face.axes.uv(x, y)
    down = v - face.middle_line(u)
    own = teeth.own(frame, face, light, x, y)
    upper = own if own is not None else teeth.upper(face, light, u, down)
    rng = np.random.default_rng(7)
    return Interior(
        cavity=_cavity(face, light, u, down),
        tongue=_tongue(face, light, u, down),
        lower=teeth.lower(face, light, u, down),
        upper=upper,
        own_teeth=own is not None,
        grain=_grain(rng, x.shape, light),
    )


def _cavity(face: Face, light: Light, u: Floats, down: Floats) -> Floats:
    """Warm and dark, darker downwards; the cheeks' inner side in the corners."""
    share = face.across(u)
    deep = 1 - 0.45 * smoothstep(down / (0.09 * face.height))
    cheek = smoothstep((np.abs(share) - 0.55) / 0.45)[..., None]
    colour = CAVITY * deep[..., None] * (1 - cheek) + CHEEK * cheek
    return (255 * light.tint * light.exposure * colour).astype(np.float32)


def _tongue(face: Face, light: Light, u: Floats, down: Floats) -> Floats:
    """A soft mound in the jaw, lit from the front, with a faint furrow."""
    h = face.height
    share = face.across(u) / 0.66
    top = -0.062 * h * np.sqrt(np.clip(1 - share**2, 0, None)) + 0.020 * h
    inside = smoothstep((down - top) / (0.014 * h) + 0.5) * smoothstep((1 - np.abs(share)) / 0.25)
    lit = 0.46 + 0.54 * smoothstep((down - top) / (0.045 * h))
    lit *= 1 - 0.10 * np.exp(-((share / 0.10) ** 2)) - 0.25 * np.clip(share, -1, 1) ** 2
    colour = 255 * TONGUE * light.tint * min(1.0, 0.12 + 0.80 * light.exposure) * lit[..., None]
    return np.dstack([colour * inside[..., None], 255 * inside]).astype(np.float32)


def _grain(rng: np.random.Generator, shape: tuple[int, ...], light: Light) -> Floats:
    """Noise like the photo's, less for the shade, at twice its resolution."""
    import cv2

    noise = rng.normal(0, 1, shape).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 1.0)
    return (0.6 * light.grain / max(1e-6, float(noise.std())) * noise)[..., None]
