"""What a small network, taught by real blinks, adds to a shut lid that was worked out by rules.

It sees one eye straightened, open as in the photo and shut as drawn, and answers with what a real
shut eye has more: the crease sinking, sheen, single lashes. `benchmarks/train_lids.py` teaches it.
"""

from importlib.resources import files
from typing import Any, Final

import numpy as np

from vidgen.media.colour import LUMA
from vidgen.renderers.puppet.grid import Array, look_up, smoothstep
from vidgen.renderers.puppet.lid_skin import View

HEIGHT, WIDTH, PITCH, LEVEL = 96, 128, 64.0, 54  # the straightened eye's pixels, those of an eye's
# width, and the row on the line through its corners; its outer corner is on the left
SIDES: Final = (0.93, 0.22)  # eye widths from the middle at which nothing is added, and the fade
ABOVE: Final = (0.72, 0.25)
BELOW: Final = (0.56, 0.25)
BROW: Final = (0.10, 0.35)  # shares of the way from the brow down to the eye: from nothing to all
FINE: Final = (0.010, 0.035)  # eye widths: what is between is made crisper where it
CHANGED: Final = (0.03, 0.10)  # of the light there: from none to all of it,
SHARPER: Final = (-50, 4)  # by so much of 255, so lashes more than skin,
LASHES: Final = 0.25  # so far above the lower lid, eye widths, and below it
BELIEVED: Final = 0.9  # of what the networks say: nobody's lids are quite those of others
SOFT, SHARP = 2.4, 0.9  # in photos of this blur (`Lighting`) not at all, and in so much less wholly
GREY: Final = 2.0  # of 255, between the channels: less is a photo without colours
SKIN: Final = (slice(74, 88), slice(24, 104))  # of the straightened eye: the skin below


def reach(view: View) -> Array:
    """(h, w) 0–1: where something may be added, not to the brow."""
    across, down = np.abs(view.outward) / 2, view.v / view.width
    sides = smoothstep((SIDES[0] - across) / SIDES[1])
    room = smoothstep((down + ABOVE[0]) / ABOVE[1]) * smoothstep((BELOW[0] - down) / BELOW[1])
    brow = view.eye.brow(view.u)
    way = (view.v - brow) / np.maximum(view.eye.upper(view.u) - brow, 1.0)
    free = smoothstep((way - BROW[0]) / (BROW[1] - BROW[0]))
    return np.asarray(sides * room * free, np.float32)


def straighten(view: View, picture: Array) -> Array:
    """(HEIGHT, WIDTH, ...) of a picture (h, w, ...) of the eye's patch."""
    import cv2

    across = (np.arange(WIDTH) - WIDTH / 2 + 0.5) / PITCH
    down = (np.arange(HEIGHT) - LEVEL + 0.5) / PITCH
    finer = view.width * view.scale / PITCH
    smooth = picture.astype(np.float32)
    if finer > 1.3:
        smooth = cv2.GaussianBlur(smooth, (0, 0), 0.4 * finer)
    u, v = np.meshgrid(-view.eye.outer * across * 2 * view.eye.half, down * view.width)
    return view.straighten(smooth, u, v)


def network_input(view: View, drawn: Array, share: Array) -> tuple[Array, float]:
    """What the network sees, (9, HEIGHT, WIDTH) float32: the photo and the eye as `drawn` shut,
    (h, w, 3) each, over the luma of the skin below, less 1; `share` (h, w) of what is added that
    will be seen; and the places. And that luma, of 255."""
    still, shut = (straighten(view, picture) for picture in (view.still, drawn))
    level = max(12.0, float(np.median((still @ LUMA)[SKIN])))
    places = np.mgrid[:HEIGHT, :WIDTH][::-1].astype(np.float32)
    middle = np.array([WIDTH / 2, LEVEL], np.float32)[:, None, None]
    return np.concatenate(
        [
            still.transpose(2, 0, 1) / level - 1,
            shut.transpose(2, 0, 1) / level - 1,
            straighten(view, share)[None],
            (places + 0.5 - middle) / PITCH,
        ]
    ).astype(np.float32), level


def find_missing(view: View, drawn: Array, share: Array) -> Array:
    """(h, w, 3): what to add to the eye as `drawn` shut where that is seen, of 255."""
    given, level = network_input(view, drawn, share)
    net = _net()
    net.setInput(given[None])
    more = BELIEVED * level * net.forward()[0].transpose(1, 2, 0)
    if np.ptp(view.still, axis=-1).mean() < GREY:
        more = np.repeat((more @ LUMA)[..., None], 3, 2)
    coarse = level * (given[3:6].transpose(1, 2, 0) + 1)
    x = view.outward / 2 * PITCH + WIDTH / 2 - 0.5
    y = view.v / view.width * PITCH + LEVEL - 0.5
    places = np.stack([x, y], -1).astype(np.float32)
    found, seen = (look_up(np.ascontiguousarray(one), places) for one in (more, coarse))
    weight = _change(view, found, level)[..., None]
    found -= weight * (drawn - seen)  # what is finer than the network sees
    return np.asarray(found + weight * _crisp(view, drawn + share[..., None] * found), np.float32)


def _change(view: View, found: Array, level: float) -> Array:
    """(h, w) 0–1: where lashes were `found` that are not those that are drawn."""
    import cv2

    size = cv2.GaussianBlur(np.abs(found @ LUMA), (0, 0), FINE[1] * view.width * view.scale)
    above = (view.eye.lower(view.u) - view.v) / view.width
    change = (size / level - CHANGED[0]) / (CHANGED[1] - CHANGED[0])
    return np.asarray(change.clip(0, 1) * smoothstep((LASHES - above) / 0.1))


def _crisp(view: View, made: Array) -> Array:
    """(h, w, 1): what makes lashes as sharp as the photo: the films that taught the network are
    softer."""
    import cv2

    luma = made @ LUMA
    near, far = (cv2.GaussianBlur(luma, (0, 0), sigma * view.width * view.scale) for sigma in FINE)
    sharp = float(np.clip((SOFT - view.light.blur) / SHARP, 0, 1))
    return np.asarray((sharp * (near - far).clip(*SHARPER))[..., None])


def _net() -> Any:
    """Read anew, 9 ms: a network cannot be asked by two threads, and is not kept for a film."""
    import cv2

    model = files("vidgen.renderers.puppet").joinpath("lid_net.onnx").read_bytes()
    return cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
