"""Teeth: the photo's own where it shows them, else painted ones that stay in the shade.

Sizes are a grown-up's in millimetres; a face is 180 mm high from forehead to chin.
"""

from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, smoothstep
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.work import Pixels

MILLIMETRE: Final = 1 / 180  # Hf
UPPER_GAPS: Final = (0.0, 8.4, 15.0, 22.0, 28.5)  # mm from the midline between upper teeth
LOWER_GAPS: Final = (0.0, 5.3, 11.2, 18.0, 24.5)
UPPER_EDGES: Final = (0.0, -0.7, 0.1, -0.6, -1.2)  # mm: how much longer each tooth is
ENAMEL: Final = np.array([0.80, 0.735, 0.665], np.float32)
SHOWING: Final = 0.011  # Hf: upper teeth below the line between shut lips


def upper_teeth(face: FaceGeometry, light: Lighting, u: Array, down: Array) -> Array:
    """Upper teeth (h, w, 4), premultiplied; `down` is pixels below the line between the lips."""
    mm = face.height * MILLIMETRE
    across = np.abs(_flatten(face, u) / mm)
    gap, index = _nearest(across, UPPER_GAPS)
    edge = SHOWING * face.height + mm * np.take(UPPER_EDGES, index)
    edge -= 0.45 * mm * np.exp(-((gap / 1.0) ** 2)) + 0.010 * face.height * face.across(u) ** 2
    soft = max(0.35, light.blur) * 0.8
    inside = smoothstep((edge - down) / (2 * soft) + 0.5)
    lit = 1 - 0.10 * np.exp(-((gap / 0.6) ** 2)) - 0.06 * np.exp(-((gap / 1.6) ** 2))
    lit *= 1 - 0.16 * np.exp(-(((edge - down) / (0.9 * mm)) ** 2))  # the edge lets light through
    lit *= np.clip(1 - 0.62 * face.across(u) ** 2, 0.1, 1)
    return _paint(lit, inside, light, 1.0)


def lower_teeth(face: FaceGeometry, light: Lighting, u: Array, down: Array) -> Array:
    """Lower teeth (h, w, 4), premultiplied, with the jaw shut."""
    mm = face.height * MILLIMETRE
    across = np.abs(_flatten(face, u) / mm)
    gap, _ = _nearest(across, LOWER_GAPS)
    edge = -0.002 * face.height + 0.3 * mm * np.exp(-((gap / 1.0) ** 2))
    edge += 0.012 * face.height * face.across(u) ** 2
    soft = max(0.35, light.blur) * 0.8
    inside = smoothstep((down - edge) / (2 * soft) + 0.5)
    lit = 1 - 0.18 * np.exp(-((gap / 0.5) ** 2))
    lit *= np.clip(1 - 0.7 * face.across(u) ** 2, 0.1, 1)
    return _paint(lit, inside * smoothstep((1 - np.abs(face.across(u))) / 0.2), light, 0.80)


def _flatten(face: FaceGeometry, u: Array) -> Array:
    """u on the row of teeth, which bends away from us: the far teeth look narrower."""
    share = np.clip(face.across(u), -1, 1)
    width = np.where(u < 0, face.left, face.right)
    return np.asarray(u + 0.18 * width * share**3)


def _nearest(across: Array, gaps: tuple[float, ...]) -> tuple[Array, Array]:
    """Millimetres to the nearest gap between teeth, and which tooth this is."""
    distances = np.stack([np.abs(across - gap) for gap in gaps])
    index = np.clip(np.searchsorted(gaps, across, side="right") - 1, 0, len(gaps) - 1)
    return distances.min(0), index


def _paint(lit: Array, inside: Array, light: Lighting, tone: float) -> Array:
    bright = min(1.0, 0.16 + 0.86 * light.exposure) * tone
    colour = 255 * ENAMEL * light.tint * bright * lit[..., None]
    return np.dstack([colour * inside[..., None], 255 * inside]).astype(np.float32)


def own(frame: Pixels, face: FaceGeometry, light: Lighting, x: Array, y: Array) -> Array | None:
    """The photo's teeth (h, w, 4), continued past the lips; None where it shows none."""
    import cv2

    if face.gap < 0.030 * face.height:
        return None

    u, v = face.axes.uv(x, y)
    picture = cv2.remap(frame, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    margin = 0.006 * face.height
    ring = (v > face.upper(u) + margin) & (v < face.lower(u) - margin)
    ring &= np.abs(face.across(u)) < 0.9
    luma = picture.astype(np.float32) @ LUMA
    bright = ring & (luma > 0.75 * float(light.skin @ LUMA))
    high = ring & (v < face.upper(u) + 0.5 * (face.lower(u) - face.upper(u)))
    if ring.sum() < 30 or bright.sum() < 0.35 * ring.sum():
        return None
    if (bright & high).sum() < 0.5 * high.sum():
        return None  # what shines is the lower row
    filled = cv2.inpaint(picture, (~ring).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    edge = _edge(face, u, v, bright)
    inside = smoothstep((edge - v) / 1.6 + 0.5)
    return np.dstack([filled * inside[..., None], 255 * inside]).astype(np.float32)


def _edge(face: FaceGeometry, u: Array, v: Array, bright: Array) -> Array:
    """v of the upper teeth's lower edge at each pixel: where brightness ends, smoothed over u."""
    bins = np.linspace(-0.85, 0.85, 35)
    share = face.across(u)
    at = np.digitize(share, bins)
    ends = np.array(
        [
            np.percentile(v[chosen], 97) if (chosen := bright & (at == index)).sum() > 3 else np.nan
            for index in range(1, len(bins))
        ]
    )
    middles = (bins[1:] + bins[:-1]) / 2
    known = ~np.isnan(ends)
    if not known.any():  # a mouth of a few pixels
        return np.asarray(face.lower(u))
    curve = np.interp(middles, middles[known], ends[known])
    curve = np.convolve(np.pad(curve, 4, mode="edge"), np.hanning(11)[1:-1] / 5, "valid")
    found: Array = np.interp(share, middles, curve).astype(np.float32)
    return found
