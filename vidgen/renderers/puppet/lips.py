"""The lips without what lies between them: one clean picture of each lip for its own layer.

Either lip comes as it looks apart (its edge rounded off into shadow) and as it looks where
lips touch (the photo's own line, or one drawn). Knows nothing of teeth.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, look_up, smoothstep, to_bytes
from vidgen.renderers.puppet.layer import crop, double
from vidgen.work import Box, Pixels

EDGE_SHUT: Final = 0.009  # Hf: how far from the cut a shut photo's dark line reaches
LINE_MOST: Final = 0.030  # Hf: where a blurred line has ended, too
LINE_STEP: Final = 0.003  # Hf
LIT: Final = 0.92  # of the brightest near it: so light a lip is made there
LIFT: Final = 2.0  # times as light at most
EDGE_OPEN: Final = 0.011  # Hf: how far teeth or shadow bleed into an open photo's lips
WIDE: Final = 0.08  # Hf: lips farther apart belong to a mouth wide open
INNER: Final = 0.65  # share of a lip's thickness that surely is lip
HOLLOW: Final = 0.6  # of a lip's luma: darker is the hollow of an open mouth
FILLED: Final = 0.8  # of the lip's light that the hollow gets: corners of lips are in the shade
THICK: Final = 0.010  # Hf: and thicker than this
HAIR: Final = (0.008, 0.035)  # Hf above the upper lip: a moustache, or skin,
DIMMED: Final = 0.75  # of the lip's luma, where it is darker, tells how dark a corner may be
TURN: Final = np.array([0.22, 0.32, 0.30], np.float32)  # how much darker a lip's edge is
LOWER_TURN: Final = 0.6  # of it in the lower lip, whose edge faces the light
TOUCHING: Final = np.array([0.70, 0.95, 1.0], np.float32)  # and the line between two


@dataclass(frozen=True, slots=True)
class Lips:
    """Sources for the mouth. Pictures are 8-bit RGB at twice the frame's resolution."""

    box: Box  # frame pixels
    upper_apart: Pixels
    upper_touching: Pixels
    lower_apart: Pixels
    lower_touching: Pixels
    # (h, w, 4) at the frame's resolution: pixels above the upper lip's edge, negative below it;
    # 1 between the corners; 1 where the mouth is drawn; half mouths from the middle
    above: Array
    below: Array  # the same with pixels below the lower lip's edge


def build(
    frame: Pixels,
    face: FaceGeometry,
    box: Box,
    cover: Array,
    toned: bool = False,
    blur: float = 0.0,
) -> Lips:
    """Clean lips out of `frame` inside `box`; `cover` (h, w) is where the mouth is drawn.

    In a `toned` photo, one without colours, shade is not reddish; its `blur` is in pixels.
    """
    y, x = np.mgrid[box[1] : box[3], box[0] : box[2]].astype(np.float32)
    u, v = face.axes.uv(x, y)
    share = face.across(u)
    above, below = face.upper(u) - v, v - face.lower(u)
    picture = crop(frame, box)
    if not face.is_shut:
        picture = _thin_corners(picture, face, u, v)
    thick = face.upper(u) - face.outer_upper(u), face.outer_lower(u) - face.lower(u)
    upper = _clean_edge(picture, face, (x, y), above, -1.0, thick[0], _doubt(face, u))
    lower = _clean_edge(picture, face, (x, y), below, 1.0, thick[1])
    inside = np.clip((1.02 - np.abs(share)) / 0.15, 0, 1)
    upper = _fade(picture, upper, inside)
    lower = _fade(picture, lower, inside)
    height, line = face.height, _contact(share)
    turn, touch = (np.full(3, shade.mean()) if toned else shade for shade in (TURN, TOUCHING))
    soft = 4 * blur / (face.left + face.right)  # an opening has soft ends in a blurred photo
    between = smoothstep((1.0 + soft / 2 - np.abs(share)) / (0.14 + soft))
    return Lips(
        box,
        upper_apart=double(_shade_turn(upper, above / height, inside, turn)),
        upper_touching=double(
            picture if face.is_shut else _shade_line(upper, above / height, line, touch)
        ),
        lower_apart=double(_shade_turn(lower, below / height, inside, LOWER_TURN * turn)),
        lower_touching=double(
            picture if face.is_shut else _shade_line(lower, below / height, line, touch)
        ),
        above=np.dstack([above, between, cover, share]).astype(np.float32),
        below=np.dstack([below, between, cover, share]).astype(np.float32),
    )


def _doubt(face: FaceGeometry, u: Array) -> Array:
    """How much farther teeth may reach into the upper lip's picture, pixels.

    In a wide open mouth they stand in the lip's shade and look like it: the edge is found too low.
    """
    wide = smoothstep(np.asarray((face.gap / face.height - WIDE) / 0.02, np.float32))
    spare = 0.7 * (face.upper(u) - face.outer_upper(u)) - EDGE_OPEN * face.height
    return wide * np.clip(spare, 0, 0.018 * face.height)


def _clean_edge(
    picture: Pixels,
    face: FaceGeometry,
    at: Any,
    depth: Array,
    down: float,
    thick: Array,
    doubt: Array | float = 0.0,
) -> Pixels:
    """`picture` with the band at the lip's edge and all past it mirrored from the lip itself.

    `depth` is pixels into the lip, which is so `thick` here; `down` is the lip's side: -1 above, 1
    below.
    A mirror keeps the lip's texture, where inpainting drew streaks.
    """
    # no farther than the lip is thick: beyond its outer edge is skin, or a moustache
    deep = INNER * np.maximum(0, thick)
    edge = np.minimum((EDGE_SHUT if face.is_shut else EDGE_OPEN) * face.height + doubt, deep)
    short = np.maximum(0, edge - depth)
    away = np.minimum(2 * short, np.maximum(0, deep - depth))
    x, y = at
    dx, dy = face.axes.turn(np.zeros_like(away), down * away)
    at_x, at_y = x + dx - x[0, 0], y + dy - y[0, 0]
    found = look_up(picture, at_x.astype(np.float32), at_y.astype(np.float32))
    if not face.is_shut or down < 0:
        return found
    return _light_line(found, picture, face, at, depth, depth + away)


def _light_line(
    found: Array, picture: Pixels, face: FaceGeometry, at: Any, depth: Array, into: Array
) -> Pixels:
    """A lower lip `found` so many pixels `into` it, without what is left there of the dark line of
    shut lips, which is wide in a blurred photo: colour by colour as light as the lip beside it."""
    u, _ = face.axes.uv(*at)
    step = max(1.0, LINE_STEP * face.height)
    count = max(1, round(LINE_MOST * face.height / step))
    row = np.floor(depth / step + 0.5).astype(int)
    row[np.abs(face.across(u)) > 0.7] = -1
    seen = [picture[row == one] for one in range(count)]
    if not all(map(len, seen)):
        return to_bytes(found)
    usual = np.array([np.median(one, 0) for one in seen])
    light = LIT * usual[(usual @ LUMA).argmax()]
    gains = np.minimum.accumulate(np.clip(light / np.maximum(1.0, usual), 1, LIFT))
    rows, ended = into / step, np.vstack([gains, np.ones(3)])
    lit = found * np.dstack([np.interp(rows, np.arange(count + 1), gain) for gain in ended.T])
    return to_bytes(np.minimum(lit, np.maximum(found, light)))


def _thin_corners(picture: Pixels, face: FaceGeometry, u: Array, v: Array) -> Pixels:
    """`picture` with lip instead of the hollows in the corners of an open mouth; dark no thicker
    than the line between shut lips stays, and so do beards and folds beside them."""
    import cv2

    h, share = face.height, face.across(u)
    top, bottom, middle = face.outer_upper(u), face.outer_lower(u), face.middle_line(u)
    lips = (v > top) & (v < face.upper(u)), (v < bottom) & (v > face.lower(u))
    colours = [_usual(picture, lip & (np.abs(share) < 0.7)) for lip in lips]
    usual = np.where((v < middle)[..., None], *colours) * _light(picture, share, (v - middle) / h)
    usual = usual * _beside_hair(picture, share, (top - v) / h, usual @ LUMA)
    wide = float(smoothstep(np.asarray(face.gap / h - WIDE) / 0.05))  # its corners lie farther out
    spare = (0.004 + 0.02 * wide) * h
    within = (v > top - spare) & (v < bottom + spare) & (np.abs(v - middle) < 0.045 * h)
    near = within & (np.abs(share) > 0.7) & (np.abs(share) < 1.04 + 0.16 * wide)
    thick = np.ones((max(2, round(THICK * h)),) * 2, np.uint8)
    dark = near & (picture.astype(np.float32) @ LUMA < HOLLOW * (usual @ LUMA))
    dark = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, thick)
    dark = cv2.dilate(dark, np.ones((2 * max(1, round(0.006 * h)) + 1,) * 2, np.uint8))
    soft = cv2.GaussianBlur(dark.astype(np.float32), (0, 0), max(0.5, 0.005 * h))
    return _fade(picture, np.maximum(picture, FILLED * usual), soft)


def _beside_hair(picture: Pixels, share: Array, over: Array, lip: Array) -> Array:
    """(h, w, 1) how much of the luma of a `lip` (h, w) its corner has under a moustache: dark that
    goes on above it is hair; `over` is Hf above the lips."""
    shares = np.arange(-1.25, 1.3, 0.1)
    luma = picture.astype(np.float32) @ LUMA
    strip = (over > HAIR[0]) & (over < HAIR[1])
    gains = np.ones(len(shares))
    for index, one in enumerate(shares):
        there = strip & (np.abs(share - one) < 0.1)
        if there.any():
            gains[index] = np.median(luma[there] / np.maximum(4.0, lip[there]))
    gain = np.interp(share, shares, gains) / DIMMED
    return gain.clip(0, 1)[..., None].astype(np.float32)


def _light(picture: Pixels, share: Array, down: Array) -> Array:
    """(h, w, 1) how much of the light falls on each side of the mouth: 1 on the brighter one, told
    by the skin beside the corners; `down` is Hf below the lips' middle."""
    beside = (np.abs(down) < 0.03) & (np.abs(share) > 1.15) & (np.abs(share) < 1.45)
    left, right = (
        max(4.0, float(_usual(picture, beside & side) @ LUMA)) for side in (share < 0, share > 0)
    )
    brighter = max(left, right)
    return np.where(share < 0, left / brighter, right / brighter)[..., None].astype(np.float32)


def _usual(picture: Pixels, lip: Array) -> Array:
    """(3,) the middle of a lip's colours; black where there is no lip."""
    return np.median(picture[lip], 0) if lip.any() else np.zeros(3)


def _fade(picture: Pixels, changed: Pixels, share: Array) -> Pixels:
    """`changed` where `share` is 1, `picture` where it is 0."""
    return to_bytes(picture + share[..., None] * (changed.astype(np.float32) - picture))


def _shade_turn(lip: Pixels, depth: Array, inside: Array, shade: Array) -> Pixels:
    """The lip turning inwards at its edge, darker by `shade` (3,) over .012 Hf; `depth` in Hf."""
    turn = np.exp(-np.maximum(depth, 0) / 0.010) * inside
    return to_bytes(lip * (1 - turn[..., None] * shade))


def _contact(share: Array) -> Array:
    """How dark the line between touching lips is, 0–1, over the mouth's width."""
    return np.asarray(np.clip(1 - share**8, 0, None))


def _shade_line(lip: Pixels, depth: Array, line: Array, shade: Array) -> Pixels:
    """The lip with the `line` (h, w) of its touching the other, darker by `shade` (3,), and with
    the shade that it turns into there."""
    dark = (0.40 * np.exp(-((depth / 0.0065) ** 2)) + 0.16 * np.exp(-((depth / 0.020) ** 2))) * line
    return to_bytes(lip * (1 - dark[..., None] * shade))
