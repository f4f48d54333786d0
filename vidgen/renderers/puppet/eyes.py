"""Both eyes' patches: drawn only in frames in which they differ from the photo.

A patch has the resolution and the places of the layer's pixels, so that an eye drawn just as
in the photo is the photo. Knows neither how lids nor how an iris moves.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from vidgen.renderers.puppet import eyelids, gaze, lid_skin
from vidgen.renderers.puppet.canvas import Canvas
from vidgen.renderers.puppet.eyelids import Eyelids
from vidgen.renderers.puppet.gaze import GazeBall
from vidgen.renderers.puppet.geometry import Eye, FaceGeometry
from vidgen.renderers.puppet.grid import Array, smoothstep, to_bytes
from vidgen.renderers.puppet.layer import FINE, crop, double, places
from vidgen.renderers.puppet.lid_skin import View
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.renderers.puppet.poses import LEAST_LOOK, Pose
from vidgen.renderers.puppet.rims import Rim, find_rim, without_rim
from vidgen.vision.inpaint import pull_push
from vidgen.work import Box, Pixels

Patch = tuple[Pixels, Eye, Array, Array]  # pictures of an eye, u and v of its pixels

LEAST: Final = 6  # pixels: a smaller eye is left alone
DOUBLED: Final = 4  # pixels to either side that one between two hangs on
SOLID: Final = (0.55, 0.95)  # of the speaker's cover: from no lid to all of it


@dataclass(frozen=True, slots=True)
class EyePatch:
    """One eye: a small patch to look about in, and one that also holds the lids' skin."""

    box: Box  # frame pixels: what `eyelids` covers
    opening: Box  # inside it: what `ball` covers
    ball: GazeBall
    lids: Eyelids
    side: Any  # 0 the picture's left, 1 its right; of both together (h, w)

    def draw(self, canvas: Canvas, pose: Pose, least: float) -> tuple[Array, Box] | None:
        """(h, w, 3) and the box that it covers; None where neither gaze nor lids are `least`, a
        share of a half eye or of a lid's way, off what they are in the photo."""
        (x, y), shut = pose.gaze, canvas.choose(pose.lids, self.side)
        if not canvas.are_over((x, y, shut), least):
            return None
        looks = canvas.is_over(pose.looks, 0)
        ball = self.ball.draw(canvas, x, y, pose.looks) if looks else self.ball.still
        if not canvas.is_over(shut, LEAST_LOOK):
            return ball, self.opening
        if self.opening != self.box:
            left, top = (FINE * (self.opening[side] - self.box[side]) for side in (0, 1))
            ball = canvas.paste(self.lids.still, ball, left, top)
        return self.lids.draw(canvas, ball, shut), self.box


def build(
    frame: Pixels, face: FaceGeometry, light: Lighting, alpha: Pixels | None = None
) -> tuple[EyePatch, ...]:
    """The eyes that are in the frame and large enough to be seen moving; `alpha` (H, W) is the
    speaker's, 8 bits: no lid is drawn over what is behind."""
    found: list[tuple[Eye, int, Box, Box]] = []
    for side, eye in enumerate(face.eyes):
        if eye.problem:
            continue
        box = _lid_box(eye, frame.shape)
        opening = _inside(_ball_box(eye, frame.shape), box)
        if min(opening[2] - opening[0], opening[3] - opening[1]) >= LEAST:
            found.append((eye, side, box, opening))
    if not found:
        return ()
    coarse = _coarseness(frame, [eye for eye, *_ in found], light)
    return tuple(_patch(frame, alpha, *one, light, coarse) for one in found)


def _coarseness(frame: Pixels, eyes: list[Eye], light: Lighting) -> Array:
    """Of both lids' grain: the less of what both eyes have below them and on the cheeks."""
    places = []
    for reach in (lid_skin.UNDER, lid_skin.CHEEK):
        found = []
        for eye in eyes:
            low, width = float(eye.lower.v.max()), eye.size
            near, far = (low + share * width for share in reach)
            box = _box(eye, frame.shape, 0.9, near - width, far)
            view = View(*_still(frame, eye, box), FINE, light)
            found.append(lid_skin.coarseness(view, reach))
        places.append(np.mean(found, 0))
    return np.asarray(np.min(places, 0))


def _still(frame: Pixels, eye: Eye, place: Box) -> Patch:
    """The frame there, twice as large, the eye, and u and v of these pixels."""
    return _double(frame, place), eye, *eye.axes.uv(*places(place))


def _double(frame: Pixels, place: Box) -> Pixels:
    """What is between two pixels hangs on four to either side: those beside `place`, too."""
    left, top, right, bottom = place
    x, y = min(left, DOUBLED), min(top, DOUBLED)
    wide = crop(frame, (left - x, top - y, right + DOUBLED, bottom + DOUBLED))
    fine = double(np.ascontiguousarray(wide))[FINE * y :, FINE * x :]
    return np.ascontiguousarray(fine[: FINE * (bottom - top), : FINE * (right - left)])


def _patch(
    frame: Pixels, alpha: Pixels | None, eye: Eye, side: int, box: Box, opening: Box,
    light: Lighting, coarse: Array,
) -> EyePatch:  # fmt: skip
    if alpha is not None and crop(alpha, box).min() < 255 * SOLID[1]:
        return _on_edge(frame, alpha, eye, side, box, opening, light, coarse)
    patch, inner = (_still(frame, eye, place) for place in (box, opening))
    view = View(*patch, FINE, light)
    rim = find_rim(view, lid_skin.skin_colour(view)) if light.glasses or light.wire else None
    under = rim.lower_edge if rim and not rim.is_across else None
    lids = eyelids.build(*_bare(patch, rim, light), FINE, light, coarse, under)
    ball = gaze.build(*_bare(inner, rim, light), FINE, light)
    if rim:
        free, seen = (1 - _cover(rim, place, light) for place in (patch, inner))
        lids = replace(lids, still=patch[0], free=free[lids.part])
        ball = replace(ball, still=inner[0], opening=ball.opening * seen)
    lids, box = _trim(eyelids.complete(lids, view), box, opening)
    return EyePatch(box, opening, ball, lids, side)


def _on_edge(
    frame: Pixels, alpha: Pixels, eye: Eye, side: int, box: Box, opening: Box,
    light: Lighting, coarse: Array,
) -> EyePatch:  # fmt: skip
    """An eye at the face's edge: made as if the skin went on there, and seen where it does."""
    part = slice(box[1], box[3]), slice(box[0], box[2])
    solid, whole = np.zeros_like(alpha), frame.copy()
    seen = smoothstep((alpha[part] / 255 - SOLID[0]) / (SOLID[1] - SOLID[0]))
    solid[part] = 255 * seen
    whole[part] = to_bytes(pull_push(frame[part].astype(np.float32), seen))
    made = _patch(whole, None, eye, side, box, opening, light, coarse)
    lids, ball = made.lids, made.ball
    free, looks = (_double(solid, place) / np.float32(255) for place in (made.box, opening))
    free = free[lids.part]
    still = _double(frame, made.box)
    lids = replace(lids, still=still, free=lids.free * free, reach=lids.reach * free)
    ball = replace(ball, still=_double(frame, opening), opening=ball.opening * looks)
    return replace(made, lids=lids, ball=ball)


def _bare(patch: Patch, rim: Rim | None, light: Lighting) -> Patch:
    """The patch without a rim that lies across the eye."""
    still, eye, u, v = patch
    if rim is None or not rim.is_across:
        return patch
    return without_rim(still, _cover(rim, patch, light)), eye, u, v


def _cover(rim: Rim, patch: Patch, light: Lighting) -> Array:
    _, _, u, v = patch
    return rim.cover(u, v, max(0.7, light.blur))


def _trim(lids: Eyelids, box: Box, opening: Box) -> tuple[Eyelids, Box]:
    """The lids without what never changes round them and round `opening`, and their box."""
    (rows, columns), (left, top, right, bottom) = lids.part, box
    inner = (
        min(opening[0], max(left, left + columns.start // FINE - 1)),
        min(opening[1], max(top, top + rows.start // FINE - 1)),
        max(opening[2], min(right, left + columns.stop // FINE + 2)),
        max(opening[3], min(bottom, top + rows.stop // FINE + 2)),
    )
    x, y = FINE * (inner[0] - left), FINE * (inner[1] - top)
    still = lids.still[y : FINE * (inner[3] - top), x : FINE * (inner[2] - left)]
    part = (
        slice(rows.start - y, rows.stop - y),
        slice(columns.start - x, columns.stop - x),
    )
    return replace(lids, still=np.ascontiguousarray(still), part=part), inner


def _lid_box(eye: Eye, shape: tuple[int, ...]) -> Box:
    """From the brow to the skin below the eye, inside the frame."""
    width = eye.size
    top = min(float(eye.brow.v.min()), float(eye.upper.v.min()) - 0.3 * width)
    return _box(eye, shape, 1.95, top - 0.05 * width, float(eye.lower.v.max()) + 0.5 * width)


def _ball_box(eye: Eye, shape: tuple[int, ...]) -> Box:
    """The opening and a few pixels round it."""
    margin = 0.05 * 2 * eye.half + 2
    return _box(
        eye, shape, 1.1, float(eye.upper.v.min()) - margin, float(eye.lower.v.max()) + margin
    )


def _box(eye: Eye, shape: tuple[int, ...], wide: float, top: float, bottom: float) -> Box:
    u = np.array([-wide, wide], np.float32) * eye.half
    x, y = eye.axes.xy(*(side.ravel() for side in np.meshgrid(u, np.array([top, bottom]))))
    return (
        int(np.clip(x.min(), 0, shape[1])),
        int(np.clip(y.min(), 0, shape[0])),
        int(np.clip(x.max() + 1, 0, shape[1])),
        int(np.clip(y.max() + 1, 0, shape[0])),
    )


def _inside(box: Box, outer: Box) -> Box:
    return (
        max(box[0], outer[0]),
        max(box[1], outer[1]),
        min(box[2], outer[2]),
        min(box[3], outer[3]),
    )
