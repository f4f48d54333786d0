"""Eyes that look aside: the iris slides within the opening, its catch-light on it.

The white behind it is the eye's own, squeezed on one side and drawn out on the other. Works in
an eye's patch; knows nothing of lids that move.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.canvas import Canvas, Number
from vidgen.renderers.puppet.geometry import Eye
from vidgen.renderers.puppet.grid import Array, indices, look_up
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.work import Pixels

IRIS: Final = 0.41  # radius of an iris in half eye widths: 11.7 mm across, the eye 28.5 mm
KEPT: Final = 8  # pictures of an eye that are kept: workers draw neighbouring frames


@dataclass(frozen=True, slots=True)
class GazeBall:
    """One eye's patch, ready to look about. Arrays are (h, w) over the patch."""

    still: Pixels  # (h, w, 3)
    inner: Pixels  # (h, w, 3) the eyeball, continued under the lids
    opening: Array  # (h, w) 1 between the lids
    u: Array  # frame pixels along the eye
    column: Array
    row: Array
    iris: float  # u of its middle
    firm: float  # half the width of what moves as one
    room: float  # what is left beside it in half an eye
    half: float  # half the eye's width
    tall: float  # half the height of its opening
    along: tuple[float, float]  # patch pixels for one frame pixel along the eye
    seen: dict[tuple[float, float], Array] = field(default_factory=dict, compare=False)

    def draw(self, canvas: Canvas, x: Number, y: Number, looks: Number = 1.0) -> Array:
        """The patch with the eye turned by `x` half widths and `y` half heights where it `looks`;
        not to be written to: an eye that looks where it just looked is not drawn again."""
        if canvas.batched:
            return self._draw(canvas, x, y, canvas.only(looks, self.opening))
        picture = self.seen.get((x, y))
        if picture is None:
            picture = self._draw(canvas, x, y, self.opening)
            if len(self.seen) > KEPT:
                self.seen.clear()
            self.seen[x, y] = picture
        return picture

    def _draw(self, canvas: Canvas, x: Number, y: Number, cover: Array) -> Array:
        right, down = x * self.half, y * self.tall
        hold = self._hold(canvas, right)
        du, dv = right * hold, down * hold
        at = canvas.shift_back(self.column, self.row, self.along, du, dv)
        turned = canvas.look_up(self.inner, at)
        return canvas.to_bytes(canvas.mix(self.still, turned, cover))

    def _hold(self, canvas: Canvas, right: Number) -> Array:
        """1 on the iris where it is now, 0 in the corners."""
        middle = right + self.iris
        room_left = canvas.limit(middle + self.room, 2.0)
        room_right = canvas.limit(self.room - middle, 2.0)
        off = self.u - middle
        room = canvas.where(off < 0, room_left, room_right)
        firmness: Array = 1 - canvas.smoothstep((abs(off) - self.firm) / room)
        return firmness


def build(still: Pixels, eye: Eye, u: Array, v: Array, scale: float, light: Lighting) -> GazeBall:
    """The eyeball over its patch; arguments as for `lids.build`."""
    upper, lower = eye.upper(u), eye.lower(u)
    margin = 0.035 * 2 * eye.half
    soft = max(0.7, 1.2 * light.blur)
    inside = np.minimum(v - upper - margin, lower - 0.5 * margin - v)
    inside = np.minimum(inside, 0.96 * eye.half - np.abs(u))
    column, row = indices(u.shape)
    firm = 1.12 * (eye.iris[2] if eye.iris else IRIS * eye.half)
    return GazeBall(
        still=still,
        inner=_extend(still, eye, u, v, scale, margin),
        opening=np.clip(inside / soft + 0.5, 0, 1).astype(np.float32),
        u=u,
        column=column,
        row=row,
        iris=(eye.iris or _iris(still[::2, ::2], eye, u[::2, ::2], v[::2, ::2]))[0],
        firm=firm,
        room=0.97 * eye.half - firm,
        half=eye.half,
        tall=max(1.0, eye.opening) / 2,
        along=(scale * eye.axes.cos, scale * eye.axes.sin),
    )


def _extend(still: Pixels, eye: Eye, u: Array, v: Array, scale: float, margin: float) -> Pixels:
    """The eyeball, every pixel outside the opening taken from the nearest inside its column."""
    nearest_u = np.clip(u, -0.93 * eye.half, 0.93 * eye.half)
    above, below = eye.upper(nearest_u) + margin, eye.lower(nearest_u) - 0.5 * margin
    middle = (above + below) / 2
    nearest_v = np.clip(v, np.minimum(above, middle), np.maximum(below, middle))
    du, dv = scale * (nearest_u - u), scale * (nearest_v - v)
    column, row = indices(u.shape)
    cos, sin = eye.axes.cos, eye.axes.sin
    x, y = column + cos * du - sin * dv, row + sin * du + cos * dv
    return look_up(still, x.astype(np.float32), y.astype(np.float32))


def _iris(still: Pixels, eye: Eye, u: Array, v: Array) -> tuple[float, float]:
    """The middle of the darkest disc of an iris' size between the lids, u and v."""
    upper, lower = eye.upper(u), eye.lower(u)
    between = (v > upper) & (v < lower) & (np.abs(u) < 0.95 * eye.half)
    if not between.any():
        return 0.0, 0.0
    luma = still[between].astype(np.float32) @ LUMA  # (N,)
    along, down = u[between] / eye.half, v[between] / eye.half
    middle = float(((upper + lower) / 2)[between].mean()) / eye.half
    best, found = np.inf, (0.0, middle)
    for x in np.linspace(-0.42, 0.42, 29):
        for y in middle + np.linspace(-0.35, 0.35, 9) * eye.opening / eye.half:
            disc = (along - x) ** 2 + (down - y) ** 2 < IRIS**2
            count = int(disc.sum())
            if min(count, len(luma) - count) < 8:
                continue
            dark = float(luma[disc].mean())
            cost = dark - (luma.sum() - count * dark) / (len(luma) - count) + 30 * x**2
            if cost < best:
                best, found = float(cost), (float(x), float(y))
    return found[0] * eye.half, found[1] * eye.half
