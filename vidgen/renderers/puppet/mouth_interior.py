"""What is seen between the lips: cavity, tongue, lower teeth, upper teeth.

Everything is painted once, as pictures in the mouth's own place; a frame only slides the jaw's
pictures down and shades them. Knows nothing of lips' colours.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet import photo_teeth, teeth, tongue
from vidgen.renderers.puppet.canvas import Canvas, Number
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, smoothstep
from vidgen.renderers.puppet.layer import FINE, places
from vidgen.renderers.puppet.lighting import WIDTH, Lighting
from vidgen.work import Box, Pixels

CAVITY: Final = np.array([0.27, 0.11, 0.11], np.float32)
CHEEK: Final = np.array([0.40, 0.18, 0.165], np.float32)

WARM: Final = np.array([1.0, 1.12, 1.10], np.float32)  # shade in a mouth is reddish
SHADE: Final = (0.62, 0.84, 0.76)
LENGTHS: Final = (0.024, 0.018, 0.032)  # Hf: over which they end
SHARP: Final = 1.7  # `Lighting.blur` of a sharp photo's face, at most
OWN_SHADE: Final = (0.76, 0.90, 0.66)  # the photo's own teeth are in some shade already


@dataclass(frozen=True, slots=True)
class Interior:
    """Pictures (h, w, C) float32, 0–255, colours premultiplied where C is 4.

    They cover `box` at FINE times the frame's resolution, with the head at rest, the jaw shut.
    """

    box: Box  # frame pixels
    cavity: Array  # (h, w, 4) and grain in the last channel
    tongue: Array  # (h, w, 4)
    tip: Array  # (h, w, 4) of the tongue, fixed to the skull
    lower: Array  # (h, w, 4)
    upper: Array  # (h, w, 4) fixed to the skull
    own_teeth: bool  # the upper teeth are the photo's
    height: float  # Hf
    tone: Array | None  # (3,) of luma 1: the one colour of a photo without colours
    warm: Array  # (3,) the powers of shade in each colour
    luma: Array  # (3,) of each colour

    def look(
        self,
        canvas: Canvas,
        at: Array,
        jaw: Array,
        tongue: Array,
        above: Array,
        below: Array,
        raised: Number = 0.0,
        out: Number = 0.0,
        inner: Array | None = None,
    ) -> Array:
        """What the opening shows at `at` (h, w, 2), frame pixels with the head at rest: (h, w, 3).

        `jaw` and `tongue` (2,) are how far these have gone; `above` and `below` (h, w) are the
        distances from the lips' edges, negative between them. All in frame pixels. A tongue that
        is `raised`, 0–1, comes to the light, and so much of its tip is `out` between the teeth.
        `inner` (h, w, 4) are the lips' inner sides, over the teeth.
        """
        skull = (self.cavity, self.upper, self.tip)[: 3 if canvas.is_over(out, 0.01) else 2]
        back, front, *tips = canvas.look_up_over(self.box, skull, at)
        (mound,) = canvas.look_up_over(self.box, (self.tongue,), at - tongue)
        (lower,) = canvas.look_up_over(self.box, (self.lower,), at - jaw)
        shade, light = self._shades(canvas, above, below)
        near = canvas.relight(shade, raised)
        back, grain = canvas.part_last(back)
        colour = canvas.cover(canvas.cover(back, mound, near), lower) * shade
        colour = canvas.cover(colour, front, light)
        if inner is not None:
            colour = canvas.cover(colour, inner)
        for tip in tips:
            colour = canvas.cover(colour, canvas.fade(tip, out), near * shade)
        return self._desaturate(colour) + grain

    def _desaturate(self, colours: Array) -> Array:
        """In a photo of one tone a mouth is not red."""
        return colours if self.tone is None else (colours @ self.luma)[..., None] * self.tone

    def _shades(self, canvas: Canvas, above: Array, below: Array) -> tuple[Array, Array]:
        """What the lips leave of the light, (h, w, 3), and of that on the upper teeth: least right
        under the upper lip, right over the lower one and where they nearly touch."""
        ways, lengths = (above, below, above + below), [-self.height * one for one in LENGTHS]
        leasts = (SHADE, OWN_SHADE) if self.own_teeth else (SHADE,)
        shades = canvas.shades(ways, lengths, leasts, self.warm)
        return shades[0], shades[-1]


def build(frame: Pixels, face: FaceGeometry, light: Lighting, box: Box) -> Interior:
    """Paint what lies between the lips of `face`."""
    x, y = places(box)
    u, v = face.axes.uv(x, y)
    down = v - face.meeting_line(u)
    seen = photo_teeth.find(frame, face, light)
    white = teeth.enamel(light, seen.colour)
    if seen.edge is None:
        upper = teeth.upper_teeth(face, light, white, u, down)
    else:
        upper = photo_teeth.upper_row(frame, face, seen, x, y)
    ajar = 0.87 * face.ajar * (face.lower(u) - face.meeting_line(u))
    cavity = _cavity(face, light, u, down)
    return Interior(
        box=box,
        cavity=np.dstack([cavity, _grain(x.shape, light)]).astype(np.float32),
        tongue=_blur(tongue.mound(face, light, u, down), light),
        tip=_blur(tongue.tip(face, light, u, down), light),
        lower=_blur(teeth.lower_teeth(face, light, white, u, down - ajar), light),
        upper=upper if seen.edge is not None else _blur(upper, light),
        own_teeth=seen.edge is not None,
        height=face.height,
        tone=light.toned,
        warm=WARM,
        luma=LUMA,
    )


def _cavity(face: FaceGeometry, light: Lighting, u: Array, down: Array) -> Array:
    """Warm and dark, darker downwards; the cheeks' inner side in the corners."""
    share = face.across(u)
    deep = 1 - 0.45 * smoothstep(down / (0.09 * face.height))
    cheek = smoothstep((np.abs(share) - 0.55) / 0.45)[..., None]
    colour = CAVITY * deep[..., None] * (1 - cheek) + CHEEK * cheek
    return np.asarray(255 * light.tint * light.exposure * colour, np.float32)


def _blur(picture: Array, light: Lighting) -> Array:
    """A painted picture as blurred as the photo; what is painted is as sharp as SHARP."""
    import cv2

    sigma = FINE * max(0.0, light.blur**2 - SHARP**2) ** 0.5 / WIDTH
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma)) if sigma > 0.5 else picture


def _grain(shape: tuple[int, ...], light: Lighting) -> Array:
    """Noise like the photo's, less for the shade, at twice its resolution."""
    import cv2

    noise = np.random.default_rng(7).normal(0, 1, shape).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 1.0)
    return np.asarray(0.6 * light.grain / max(1e-6, float(noise.std())) * noise)
