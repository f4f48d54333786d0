"""Choose the part of a photo that the film shows, and cut it out at the film's size.

Pure geometry and resampling: it is told where the speaker's face and the others' faces are.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import product
from typing import Final

import numpy as np

from vidgen.vision.inpaint import extend
from vidgen.work import Box, Floats, Pixels

Rect = tuple[float, float, float, float]  # photo pixels: left, top, right, bottom

ASPECTS: Final = {"1:1": 1.0, "9:16": 9 / 16, "16:9": 16 / 9, "4:5": 4 / 5}
FACE_SHARES: Final = (0.38, 0.40, 0.36, 0.42, 0.45, 0.48, 0.52, 0.56)  # Hf over the crop's height
FACE_DOWN: Final = 0.47  # where the middle of the face stands, share of the crop's height
BLOW_UP: Final = 2.0  # times that a crop may be enlarged before it looks soft
USUAL: Final = (512, 720)  # pixels, heights of a film when nobody names one
SMALL_FACE: Final = 0.22  # below this share of the photo's height, auto crops
PANORAMA: Final = 2.4  # width over height of a wider photo: its film is low, and a face in it small
LARGE_FACE: Final = 0.56  # above this share, a crop that must change shape takes in more
WIDEST: Final = 4096  # pixels, what H.264 decoders in browsers and phones take


@dataclass(frozen=True, slots=True)
class Scene:
    """What framing needs to know of a photo, in its pixels."""

    width: int
    height: int
    face: tuple[float, float]  # middle of the speaker's face
    face_height: float  # Hf, forehead to chin
    others: tuple[Rect, ...] = ()  # the other people's faces

    def within(self, box: Box) -> "Scene":
        """The same where only this part of the photo is there, in pixels from its corner."""
        left, top, right, bottom = box
        x, y = self.face
        others = ((o[0] - left, o[1] - top, o[2] - left, o[3] - top) for o in self.others)
        place = (x - left, y - top)
        return Scene(right - left, bottom - top, place, self.face_height, tuple(others))


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of the photo, in whole pixels; it may reach over the photo's edge."""

    left: int
    top: int
    width: int
    height: int

    def shift(self, box: Box) -> "Crop":
        """In pixels of the photo, where it was in those of a part of it."""
        return replace(self, left=self.left + box[0], top=self.top + box[1])

    def scaled(self, by: float) -> "Crop":
        """In the whole pixels of a picture `by` times as large."""
        left, top, width, height = (round(by * value) for value in astuple(self))
        return Crop(left, top, width, height)

    def size(self, height: int, aspect: str = "keep") -> tuple[int, int]:
        """Width and height of the film, even; `height` high unless that is wider than `WIDEST`.

        A `height` of 0 takes what the photo can fill: `BLOW_UP` times the crop, `USUAL` at least
        and at most.
        """
        height = height or min(max(round(BLOW_UP * self.height), USUAL[0]), USUAL[1])
        ratio = ASPECTS.get(aspect, self.width / self.height)
        height = min(height, int(WIDEST / ratio))
        return _even(height * ratio), _even(height)


def _even(value: float) -> int:
    return max(2, 2 * round(value / 2))


def choose_framing(scene: Scene, framing: str, aspect: str) -> Crop:
    """The crop for `--framing` auto|keep|head and `--aspect` keep|1:1|9:16|16:9|4:5."""
    ratio = ASPECTS.get(aspect)
    whole = _whole(scene, ratio or scene.width / scene.height)
    small = scene.face_height < SMALL_FACE * max(whole.height, whole.width / PANORAMA)
    if framing == "head" or (framing == "auto" and (small or scene.others)):
        return _head_and_shoulders(scene, ratio)
    return whole


def _whole(scene: Scene, ratio: float) -> Crop:
    """The largest part of the photo of this shape, with the face where it should be.

    A face too large for it makes it reach over the photo's edge instead.
    """
    height = min(scene.height, scene.width / ratio)
    if height < scene.height:
        height = max(height, scene.face_height / LARGE_FACE)
    width = height * ratio
    x, y = scene.face
    left = _inside(x - width / 2, width, scene.width)
    top = _inside(y - FACE_DOWN * height, height, scene.height)
    return Crop(round(left), round(top), round(width), round(height))


def _inside(start: float, length: float, full: float) -> float:
    """`start` moved so that the stretch lies within 0..full, or round the middle if too long."""
    if length >= full:
        return (full - length) / 2
    return min(max(0.0, start), full - length)


def _head_and_shoulders(scene: Scene, ratio: float | None) -> Crop:
    """The cheapest of many crops, see `_cost`."""
    photo = scene.width / scene.height
    wanted = ratio or min(max(photo, 4 / 5), 16 / 9)
    ratios = (wanted,) if ratio else (wanted, *(r for r in (1.0, 4 / 5) if r < wanted))
    best = min(_candidates(scene, ratios), key=lambda crop: _cost(scene, crop, wanted))
    return Crop(*(round(value) for value in best))


def _candidates(
    scene: Scene, ratios: Sequence[float]
) -> Iterator[tuple[float, float, float, float]]:
    """Left, top, width, height of crops with the face at many sizes and places."""
    x, y = scene.face
    for ratio, share in product(ratios, FACE_SHARES):
        height = scene.face_height / share
        width = height * ratio
        for across, down in product(np.linspace(0.30, 0.70, 11), np.linspace(0.39, 0.55, 9)):
            left, top = x - across * width, y - down * height
            yield left, top, width, height
            inside = _inside(left, width, scene.width), _inside(top, height, scene.height)
            if inside != (left, top):
                yield *inside, width, height


def _cost(scene: Scene, crop: tuple[float, float, float, float], wanted: float) -> float:
    """How far a crop is from a good one: 0 has the face's size, place and shape as wanted.

    Each term is about 1 at what a viewer would call wrong: the face a fifth too large, a sixth
    of the frame beside its place, 3 % of the frame invented, another face cut in two.
    """
    left, top, width, height = crop
    x, y = scene.face
    share = scene.face_height / height
    off_size = max(0.0, 0.36 - share, share - 0.42) / 0.10 + 0.1 * abs(share - FACE_SHARES[0])
    off_down = ((y - top) / height - FACE_DOWN) / 0.12
    off_across = ((x - left) / width - 0.5) / 0.17
    invented = 1 - _part((left, top, left + width, top + height), scene.width, scene.height)
    shape = abs(math.log(width / height / wanted))
    seen = (_visible_share(other, crop) for other in scene.others)
    crowd = sum(1.0 + part for part in seen if part > 0)
    return off_size**2 + off_down**2 + off_across**2 + invented / 0.03 + 0.8 * shape + crowd


def _part(rect: Rect, width: float, height: float) -> float:
    """The share of `rect` that lies on a picture of this size."""
    across = min(rect[2], width) - max(rect[0], 0)
    down = min(rect[3], height) - max(rect[1], 0)
    area = (rect[2] - rect[0]) * (rect[3] - rect[1])
    return max(0.0, across) * max(0.0, down) / max(1e-6, area)


def _visible_share(face: Rect, crop: tuple[float, float, float, float]) -> float:
    """The share of another person's head, a little more than the face, that a crop shows."""
    left, top, width, height = crop
    more = 0.25 * (face[3] - face[1])
    head = (face[0] - more - left, face[1] - more - top, face[2] + more - left, face[3] - top)
    return _part(head, width, height)


def crop_frame(rgb: Pixels, crop: Crop, size: tuple[int, int]) -> Pixels:
    """The crop of `rgb`, scaled to `size` (width, height). Invents what lies beyond the photo."""
    import cv2

    height, width = rgb.shape[:2]
    right, bottom = crop.left + crop.width, crop.top + crop.height
    part = rgb[max(0, crop.top) : min(height, bottom), max(0, crop.left) : min(width, right)]
    beyond = (
        max(0, -crop.left),
        max(0, -crop.top),
        max(0, right - width),
        max(0, bottom - height),
    )
    if any(beyond):
        part = extend(part, *beyond)
    if part.shape[1::-1] == size:
        return np.ascontiguousarray(part)
    shrinks = size[0] < crop.width
    made: Pixels = cv2.resize(
        part, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    return made


# From photo pixels to the film's


def move_points(points: Floats, crop: Crop, size: tuple[int, int]) -> Floats:
    """(468, 3) landmarks; a pixel's middle stays its middle."""
    scale = np.array([size[0] / crop.width, size[1] / crop.height], np.float32)
    moved = points.copy()
    moved[:, :2] = (points[:, :2] + 0.5 - (crop.left, crop.top)) * scale - 0.5
    moved[:, 2] *= scale[1]
    return moved


def move_box(box: Box, crop: Crop, size: tuple[int, int]) -> Box:
    across, down = size[0] / crop.width, size[1] / crop.height
    x0, y0 = (box[0] - crop.left) * across, (box[1] - crop.top) * down
    x1, y1 = (box[2] - crop.left) * across, (box[3] - crop.top) * down
    return _clip((x0, y0, x1, y1), size)


def box_of(points: Floats, size: tuple[int, int]) -> Box:
    (x0, y0), (x1, y1) = points[:, :2].min(0).tolist(), points[:, :2].max(0).tolist()
    return _clip((x0, y0, x1, y1), size)


def _clip(box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = box
    width, height = size
    left, top = min(max(0, math.floor(x0)), width - 1), min(max(0, math.floor(y0)), height - 1)
    return (
        left,
        top,
        min(max(left + 1, math.ceil(x1)), width),
        min(max(top + 1, math.ceil(y1)), height),
    )
