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
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.work import Box, Pixels

CAVITY: Final = np.array([0.21, 0.085, 0.075], np.float32)
CHEEK: Final = np.array([0.34, 0.15, 0.13], np.float32)

WARM: Final = np.array([1.0, 1.16, 1.20], np.float32)  # shade in a mouth is reddish
SHADE: Final = (0.60, 0.84, 0.84)
NEAR: Final = 1.0  # of the shade that the tongue leaves when it is raised all the way
OUT: Final = (0.60, 0.12)  # raised so far its tip comes out, so much farther it is out
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
    ) -> Array:
        """What the opening shows at `at` (h, w, 2), frame pixels with the head at rest: (h, w, 3).

        `jaw` and `tongue` (2,) are how far these have gone; `above` and `below` (h, w) are the
        distances from the lips' edges, negative between them. All in frame pixels. A tongue that
        is `raised`, 0–1, comes to the light, and at last between the teeth.
        """
        still = self._places(canvas, at)
        back = canvas.look_up(self.cavity, still)
        tongues = canvas.look_up(self.tongue, self._places(canvas, at - tongue))
        lower = canvas.look_up(self.lower, self._places(canvas, at - jaw))
        ramps = self._ramps(canvas, above, below)
        shade = light = self._shade(ramps, SHADE)
        if self.own_teeth:
            light = self._shade(ramps, OWN_SHADE)
        near = 1 + canvas.spread((NEAR,) * 3, raised) * (1 / shade - 1)
        tongues[..., :3] *= near
        colour = canvas.cover(canvas.cover(back[..., :3], tongues), lower) * shade
        front = canvas.look_up(self.upper, still)
        front[..., :3] *= light
        colour = canvas.cover(colour, front)
        out = canvas.smoothstep((raised - OUT[0]) / OUT[1])
        if canvas.is_over(out, 0.01):
            tip = canvas.look_up(self.tip, still) * canvas.spread((1.0,) * 4, out)
            tip[..., :3] *= near * shade
            colour = canvas.cover(colour, tip)
        return self._desaturate(colour) + back[..., 3:]

    def _desaturate(self, colours: Array) -> Array:
        """In a photo of one tone a mouth is not red."""
        return colours if self.tone is None else (colours @ self.luma)[..., None] * self.tone

    def _places(self, canvas: Canvas, at: Array) -> Array:
        return canvas.scale_places(at, self.box[:2], FINE)

    def _ramps(self, canvas: Canvas, above: Array, below: Array) -> tuple[Array, ...]:
        """How little the lips shade, 0–1: by the way from the upper, from the lower, and by how
        far they are apart."""
        ways = -above / (0.030 * self.height), -below / (0.018 * self.height)
        apart = (-above - below) / (0.035 * self.height)
        return tuple(canvas.smoothstep(way) for way in (*ways, apart))

    def _shade(self, ramps: tuple[Array, ...], least: tuple[float, float, float]) -> Array:
        """What the lips leave of the light, (h, w, 3); `least` right under the upper lip, right
        over the lower one and where they nearly touch."""
        under, over, narrow = (
            low + (1 - low) * ramp for low, ramp in zip(least, ramps, strict=True)
        )
        return (under * over * narrow)[..., None] ** self.warm


def build(frame: Pixels, face: FaceGeometry, light: Lighting, box: Box) -> Interior:
    """Paint what lies between the lips of `face`."""
    x, y = places(box)
    u, v = face.axes.uv(x, y)
    down = v - face.meeting_line(u)
    seen = photo_teeth.find(frame, face, light)
    white = teeth.enamel(light) if seen.colour is None else seen.colour
    if seen.edge is None:
        upper = teeth.upper_teeth(face, light, white, u, down)
    else:
        upper = photo_teeth.upper_row(frame, face, seen, x, y)
    ajar = 0.87 * face.ajar * (face.lower(u) - face.meeting_line(u))
    cavity = _cavity(face, light, u, down)
    return Interior(
        box=box,
        cavity=np.dstack([cavity, _grain(x.shape, light)]).astype(np.float32),
        tongue=tongue.mound(face, light, u, down),
        tip=tongue.tip(face, light, u, down),
        lower=teeth.lower_teeth(face, light, white, u, down - ajar),
        upper=upper,
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


def _grain(shape: tuple[int, ...], light: Lighting) -> Array:
    """Noise like the photo's, less for the shade, at twice its resolution."""
    import cv2

    noise = np.random.default_rng(7).normal(0, 1, shape).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 1.0)
    return np.asarray(0.6 * light.grain / max(1e-6, float(noise.std())) * noise)
