"""Painted teeth, for photos that show none, or none that can be used; they stay in the shade.

Sizes are a grown-up's in millimetres; a face is 180 mm high from forehead to chin.
"""

from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, smoothstep
from vidgen.renderers.puppet.lighting import Lighting

MILLIMETRE: Final = 1 / 180  # Hf
UPPER_GAPS: Final = (0.0, 8.4, 15.0, 22.0, 28.5)  # mm from the midline between upper teeth
LOWER_GAPS: Final = (0.0, 5.3, 11.2, 18.0, 24.5)
UPPER_MIDDLES: Final = (4.2, 11.7, 18.5, 25.2, 31.0)  # mm from the midline
UPPER_EDGES: Final = (0.0, -0.5, -0.4, -1.1, -2.0)  # mm: how much longer each tooth is there
ENAMEL: Final = np.array([0.925, 0.874, 0.868], np.float32)
PALE: Final = 0.72  # luma of a skin from which on teeth get brighter with it
AMBER: Final = np.array([1.0, 1.12, 1.12], np.float32)  # powers of the shade towards the corners
LOWER: Final = 0.54  # of the upper teeth's light that lower ones have
CHILD: Final = 0.20  # so much smaller are a child's teeth
SHOWING: Final = 0.0175  # Hf: upper teeth below the line between shut lips


def upper_teeth(face: FaceGeometry, light: Lighting, white: Array, u: Array, down: Array) -> Array:
    """Upper teeth (h, w, 4), premultiplied, `white` (3,) where the light is best; `down` is pixels
    below the line between the lips."""
    mm = _millimetre(face)
    across = np.abs(_flatten(face, u) / mm)
    gap = _nearest(across, UPPER_GAPS)
    edge = SHOWING * mm / MILLIMETRE + mm * np.interp(across, UPPER_MIDDLES, UPPER_EDGES)
    edge -= 0.35 * mm * np.exp(-((gap / 0.8) ** 2))
    soft = max(0.35, light.blur) * 0.8
    inside = smoothstep((edge - down) / (2 * soft) + 0.5)
    lit = 1 - 0.15 * np.exp(-((gap / 0.6) ** 2)) - 0.08 * np.exp(-((gap / 1.6) ** 2))
    lit *= 1 - 0.16 * np.exp(-(((edge - down) / (0.9 * mm)) ** 2))  # the edge lets light through
    aside = 1 - 0.70 * smoothstep((np.abs(face.across(u)) - 0.15) / 0.85)
    return _paint(lit[..., None] * aside[..., None] ** AMBER, inside, white)


def lower_teeth(face: FaceGeometry, light: Lighting, white: Array, u: Array, down: Array) -> Array:
    """Lower teeth (h, w, 4), premultiplied, with the jaw shut."""
    mm = _millimetre(face)
    across = np.abs(_flatten(face, u) / mm)
    gap = _nearest(across, LOWER_GAPS)
    edge = 0.004 * face.height + 0.3 * mm * np.exp(-((gap / 1.0) ** 2))
    edge += 0.012 * face.height * face.across(u) ** 2
    soft = max(0.35, light.blur) * 0.8
    inside = smoothstep((down - edge) / (2 * soft) + 0.5)
    lit = 1 - 0.10 * np.exp(-((gap / 0.5) ** 2))
    lit *= np.clip(1 - 0.7 * face.across(u) ** 2, 0.1, 1)
    inside *= smoothstep((1 - np.abs(face.across(u))) / 0.2)
    return _paint(LOWER * lit[..., None], inside, white)


def _millimetre(face: FaceGeometry) -> float:
    """Pixels of a tooth's millimetre: a child's teeth are smaller in its smaller face, too."""
    return face.height * MILLIMETRE * (1 - CHILD * face.youth)


def _flatten(face: FaceGeometry, u: Array) -> Array:
    """u on the row of teeth, which bends away from us: the far teeth look narrower."""
    share = np.clip(face.across(u), -1, 1)
    width = np.where(u < 0, face.left, face.right)
    return np.asarray(u + 0.18 * width * share**3)


def _nearest(across: Array, gaps: tuple[float, ...]) -> Array:
    """Millimetres to the nearest gap between teeth."""
    return np.asarray(np.stack([np.abs(across - gap) for gap in gaps]).min(0))


def enamel(light: Lighting, seen: Array | None = None) -> Array:
    """(3,) the colour of well lit teeth: usual ones, or those that the photo has `seen`. Seen in
    the shade they are lit, and trusted by half."""
    pale = float(light.skin @ LUMA) / 255 / PALE
    bright = max(min(1.0, 0.02 + 0.98 * light.exposure), min(pale, 1.1))
    usual = np.asarray(255 * ENAMEL * light.tint * bright)
    if seen is None:
        return usual
    lift = float(usual @ LUMA) / max(1.0, float(seen @ LUMA))
    return np.asarray((lift * seen + usual) / 2 if lift > 1 else seen)


def _paint(lit: Array, inside: Array, white: Array) -> Array:
    return np.dstack([white * lit * inside[..., None], 255 * inside]).astype(np.float32)
