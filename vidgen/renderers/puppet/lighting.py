"""What light and lens did to the photo: exposure, tint, sharpness and grain of the face.

Everything painted into the face takes these on, so that it looks photographed with it.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.media.colour import LUMA, to_lab
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, look_up
from vidgen.work import Pixels

USUAL_SKIN: Final = 0.62  # luma of a well exposed light cheek
USUAL_EYE: Final = 0.78  # luma of a well exposed eye's white
TONED: Final = (
    1.7  # 8-bit steps of Lab. Grey photos have 0, sepia with grain 1.1-1.5, colours from 2.2
)
# Median distance of a face's colours from their middle, in a and b: statues have 1.4-2.2, 40 faces
# from 3.0 on
STONE: Final = 2.5
MARBLE: Final = (
    10.0  # distance of that middle from grey: three statues with 3.2 to 8 have 2 to 9, and
)
# of 220 living faces in colour one with no redder lips (7), drained of its colours
GREY: Final = 4.0  # distance from grey of most skin round a mouth
RED_LIPS: Final = 5.0  # in a of Lab over the face's middle: living lips have 7 to 44, a statue's 0
BLURRED: Final = (1.0, 2.5)  # pixels: once, so that grain does not count, and once more
WIDTH: Final = 1.7  # of a lens's sigma: so wide its edges look within 7 pixels
WIDEST_EDGE: Final = 0.045  # Hf
DARK_BRIDGE: Final = 0.6  # of the nose's luma: a frame's bridge is darker
BAR: Final = 0.10  # of the light about it: dark bridges have .12 to 1, shaded noses 0 to .08,
WIRE: Final = 0.18  # thin bridges .21 to 1.4, other noses up to .13
USUAL_HUE: Final = 0.70  # of luma: how far skin's colours lie apart in a light without a tint
CAST: Final = 0.30  # how much of the skin's colour lies on teeth, or more: its light, and its glow


@dataclass(frozen=True, slots=True)
class Lighting:
    """How the face was photographed."""

    exposure: float  # 1 is a well exposed photo
    skin: Array  # (3,) mean colour round the mouth, 0–255
    tint: Array  # (3,) cast of teeth and tongue, of luma 1
    blur: float  # how wide its sharpest edges are, frame pixels; 1.1 to 1.7 in a sharp photo
    grain: float  # sigma of its noise, of 255
    glasses: bool  # whether something dark crosses the bridge of the nose,
    wire: bool  # or a thin line
    toned: Array | None  # (3,) of luma 1: a black-and-white or sepia photo's one colour


def measure(frame: Pixels, face: FaceGeometry) -> Lighting:
    """Read the light off `frame` (H, W, 3)."""
    cheek = _patch(frame, face, 0.0, -0.22, 0.28)
    mouth = _patch(frame, face, 0.0, 0.0, 0.20)
    skin = 0.4 * np.median(cheek, 0) + 0.6 * np.median(mouth, 0)
    luma = max(1.0, float(skin @ LUMA))
    white = _eye_white(frame, face)
    exposure = max(luma / 255 / USUAL_SKIN, white / 255 / USUAL_EYE)
    hue = np.clip(skin / luma, 0.4, 1.6)
    tint = hue ** (CAST * max(1.0, float(np.ptp(hue)) / USUAL_HUE))
    nose = _nose(frame, face)
    bridge, crossing = np.median(nose[6:], 1), _crossing(nose)
    return Lighting(
        exposure=float(np.clip(exposure, 0.2, 1.1)),
        skin=skin.astype(np.float32),
        tint=(tint / float(tint @ LUMA)).astype(np.float32),
        blur=_blur(frame, face),
        grain=_grain(frame, face),
        glasses=bool(bridge.min() < DARK_BRIDGE * np.median(bridge) and crossing > BAR),
        wire=crossing > WIRE,
        toned=_tone(mouth) if is_monochrome(frame, face) else None,
    )


def _tone(colours: Array) -> Array:
    """(3,) the one colour of `colours` (N, 3), of luma 1."""
    middle = np.median(colours / np.maximum(20.0, colours @ LUMA)[:, None], 0)
    return np.asarray(middle / max(0.1, float(middle @ LUMA)), np.float32)


def _patch(frame: Pixels, face: FaceGeometry, u: float, v: float, reach: float) -> Array:
    """Skin colours (N, 3) in a ring `reach` Hf wide about (u, v) Hf, the lips left out."""
    height, width = frame.shape[:2]
    y, x = np.mgrid[0:height:2, 0:width:2].astype(np.float32)
    along, down = face.axes.uv(x, y)
    h = face.height
    ring = np.hypot(along / h - u, down / h - v) < reach
    ring &= np.abs(down) > 0.07 * h
    ring &= (np.abs(along) > 0.12 * h) | (np.abs(down) < 0.2 * h)
    found = frame[::2, ::2][ring]
    return (found if len(found) else frame.reshape(-1, 3)).astype(np.float32)


def _eye_white(frame: Pixels, face: FaceGeometry) -> float:
    """Luma of the brighter part of the eyes' openings; 0 where they cannot be seen."""
    height, width = frame.shape[:2]
    lumas: list[Array] = []
    for eye in face.eyes:
        u, down = np.meshgrid(np.linspace(-0.7, 0.7, 29) * eye.half, np.linspace(0.2, 0.8, 9))
        above, below = eye.upper(u), eye.lower(u)
        x, y = eye.axes.xy(u, above + down * (below - above))
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        at = frame[y[inside].astype(int), x[inside].astype(int)].astype(np.float32)
        lumas.append(at @ LUMA)
    every = np.concatenate(lumas)
    return float(np.percentile(every, 80)) if len(every) > 8 else 0.0


def _nose(frame: Pixels, face: FaceGeometry) -> Array:
    """The luma of the smooth skin between the eyes, from below the brows down, (64, 17)."""
    left, right = face.eyes
    inner = [
        eye.axes.xy(np.array([side * eye.half]), np.zeros(1))
        for eye, side in ((left, 1.0), (right, -1.0))
    ]
    (x0, y0), (x1, y1) = inner
    apart = float(np.hypot(x1 - x0, y1 - y0)[0])
    u, v = np.meshgrid(np.linspace(-0.15, 0.15, 17) * apart, np.linspace(-0.35, 0.7, 64) * apart)
    cos, sin = face.axes.cos, face.axes.sin
    x = ((x0 + x1) / 2 + u * cos - v * sin).astype(np.float32)
    y = ((y0 + y1) / 2 + u * sin + v * cos).astype(np.float32)
    return np.asarray(look_up(frame, x, y).astype(np.float32) @ LUMA, np.float32)


def _crossing(nose: Array) -> float:
    """How much darker or brighter the strongest thin line is that crosses nearly every column, of
    the light about it: a pair of spectacles' bridge. A shaded nose has none."""
    import cv2

    thin, lean = np.ones((13, 1), np.uint8), np.ones((7, 1), np.uint8)
    usual = np.maximum(20.0, cv2.blur(nose, (1, 26)))
    lines = (cv2.morphologyEx(nose, how, thin) for how in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT))
    crossed = [np.percentile(cv2.dilate(line / usual, lean), 20, 1) for line in lines]
    return float(np.max(crossed, 0)[6:38].max())


def is_monochrome(frame: Pixels, face: FaceGeometry) -> bool:
    """Whether luma alone tells the colour, as in black-and-white and sepia: in Lab, a and b keep
    less than TONED of spread about a parabola over L, or, as on statues, lie within STONE whatever
    L is, or about grey. Living faces in colour have red lips. A mouth in grey skin has none either,
    whatever is printed over the eyes."""
    mouth = _patch(frame, face, 0.0, 0.0, 0.20).astype(np.uint8)[None]
    hues = to_lab(mouth)[0, :, 1:].astype(np.float32) - 128
    if np.percentile(np.hypot(*hues.T), 75) < GREY and not _has_red_lips(frame, face):
        return True
    (left, top), (right, bottom) = face.outline.min(0), face.outline.max(0)
    left, top = max(0, int(left)), max(0, int(top))
    part = frame[top : max(8, int(bottom)), left : max(8, int(right))]
    lab = to_lab(part)
    if _is_stone(lab, face.outline - (left, top), face.height) and not _has_red_lips(frame, face):
        return True
    lab = lab.reshape(-1, 3).astype(np.float64)
    light = lab[:, 0] / 255
    powers = np.stack([np.ones_like(light), light, light**2], 1)
    fit, *_ = np.linalg.lstsq(powers.T @ powers, powers.T @ lab[:, 1:], rcond=None)
    spread = (lab[:, 1:] - powers @ fit).std(0)
    return bool(spread.max() < TONED)


def _is_stone(lab: Pixels, outline: Array, height: float) -> bool:
    """Whether everything within the face's outline is of one hue, or about grey; grain apart."""
    import cv2

    inside = np.zeros(lab.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(outline.round().astype(np.int32)), 1)
    soft = cv2.GaussianBlur(lab, (0, 0), max(0.5, 0.01 * height))
    hues = soft[inside > 0][:, 1:].astype(np.float32)
    if not len(hues):
        return False
    middle = np.median(hues, 0)
    off = float(np.median(np.hypot(*(hues - middle).T)))
    return bool(off < STONE or np.hypot(*(middle - 128)) < MARBLE)


def _has_red_lips(frame: Pixels, face: FaceGeometry) -> bool:
    """Whether the lips are redder than the skin about them: smooth skin has one hue, too."""
    share, part = np.meshgrid(np.linspace(-0.7, 0.7, 41), np.linspace(0.25, 0.85, 7))
    u = np.where(share < 0, share * face.left, share * face.right)
    edges = (face.outer_upper, face.upper), (face.outer_lower, face.lower)
    v = np.concatenate([outer(u) + part * (inner(u) - outer(u)) for outer, inner in edges])
    x, y = face.axes.xy(np.concatenate([u, u]), v)
    lips = look_up(frame, x.astype(np.float32), y.astype(np.float32))
    skin = _patch(frame, face, 0.0, -0.22, 0.28).astype(np.uint8)[None]
    redness = [np.median(to_lab(of)[..., 1]) for of in (lips, skin)]
    return bool(redness[0] - redness[1] > RED_LIPS)


def _window(frame: Pixels, face: FaceGeometry) -> Array:
    """The luma of the face from brows to chin, (h, w)."""
    x, y = face.outline.T
    left, right = (int(np.clip(side, 0, frame.shape[1])) for side in (x.min(), x.max()))
    top, bottom = (int(np.clip(side, 0, frame.shape[0])) for side in (y.min(), y.max()))
    part = frame[top:bottom, left:right]
    part = part if min(part.shape[:2]) > 8 else frame
    return part.astype(np.float32) @ LUMA


def _blur(frame: Pixels, face: FaceGeometry) -> float:
    """How wide the sharpest edges are."""
    luma = _window(frame, face)
    blur = max(_near_width(luma), WIDTH * _focus(luma))
    return float(np.clip(blur, 0.5, WIDEST_EDGE * face.height))


def _near_width(luma: Array) -> float:
    """Sigma of the sharpest edges, as far as 7 pixels tell: a step of height A blurred by s has
    slope A / (s sqrt(2 pi))."""
    import cv2

    slope = _slope(luma) / 8
    reach = np.ones((7, 7), np.uint8)
    step = cv2.dilate(luma, reach) - cv2.erode(luma, reach)
    strong = step > max(24.0, float(np.percentile(step, 90)))
    if strong.sum() < 20:
        return 1.0
    return float(np.percentile(step[strong] / (np.maximum(slope[strong], 1e-3) * 2.507), 12))


def _focus(luma: Array) -> float:
    """Sigma of the lens: how much the steepest slopes lose when they are blurred once more (Zhuo
    and Sim 2011)."""
    import cv2

    once, twice = (_slope(cv2.GaussianBlur(luma, (0, 0), sigma)) for sigma in BLURRED)
    steep = once > np.percentile(once, 96)
    loss = float(np.percentile(once[steep] / np.maximum(twice[steep], 1e-3), 75)) ** 2
    little, much = (sigma**2 for sigma in BLURRED)
    return math.sqrt(max(0.0, (much - loss * little) / max(1e-3, loss - 1)))


def _slope(luma: Array) -> Array:
    import cv2

    across, down = (cv2.Sobel(luma, cv2.CV_32F, *way) for way in ((1, 0), (0, 1)))
    return np.asarray(np.hypot(across, down))


def _grain(frame: Pixels, face: FaceGeometry) -> float:
    """Noise by the median of a high-pass that smooth shading does not reach (Immerkær 1996)."""
    import cv2

    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    high = cv2.filter2D(_window(frame, face), cv2.CV_32F, kernel)
    return float(np.clip(np.median(np.abs(high)) / 0.6745 / 6, 0.0, 8.0))
