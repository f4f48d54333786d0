"""The frames of one performance on the CPU: numpy and OpenCV, one frame per worker thread.

OpenCV lets go of the interpreter's lock, so two workers keep two cores busy; OpenCV's own
threads are left out of it. No frame depends on another.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from vidgen.renderers.puppet import mouth
from vidgen.renderers.puppet.figure import Fields, Figure, into
from vidgen.renderers.puppet.grid import enlarged
from vidgen.renderers.puppet.layer import FINE, Strip, over
from vidgen.renderers.puppet.plan import Plan
from vidgen.work import Box, Floats, Frames, Pixels

BATCH: Final = 4  # frames handed on together; more only costs memory


def frames(
    figure: Figure, plan: Plan, first: int, last: int, workers: ThreadPoolExecutor, ahead: int
) -> Iterator[Frames]:
    """Frames first..last-1 in batches, at most `ahead` batches being drawn at a time."""
    waiting: deque[Future[Frames]] = deque()
    for start in range(first, last, BATCH):
        waiting.append(workers.submit(_batch, figure, plan, start, min(start + BATCH, last)))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _batch(figure: Figure, plan: Plan, first: int, last: int) -> Frames:
    width, height = figure.size
    has_alpha = figure.layer.background is None
    pixels = np.empty((last - first, height, width, 4 if has_alpha else 3), np.uint8)
    for index in range(first, last):
        draw(figure, plan, index, pixels[index - first])
    return Frames(pixels, "rgba" if has_alpha else "rgb24")


def draw(figure: Figure, plan: Plan, index: int, out: Pixels) -> None:
    """Draw frame `index` into `out`, (H, W, 3) or, without a background, (H, W, 4)."""
    weights = plan.weights[index]
    fields = figure.fields(weights, plan.turns[index])
    background = figure.layer.background
    out[:] = 0 if background is None else background
    maps = into(fields.whole, figure.layer.box)
    for strip in figure.layer.strips:
        _draw_strip(figure, strip, maps, out)
    _draw_eyes(figure, plan, index, fields, out)
    if weights[:-1].any():  # else it is the photo's own mouth
        both = fields.upper, fields.lower
        view = mouth.view(figure.mouth, out, figure.grid, fields.turned, figure.bases.grid, both)
        view.under[:] = figure.mouth.draw(view, weights, float(plan.tongue[index]))


def _draw_eyes(figure: Figure, plan: Plan, index: int, fields: Fields, out: Pixels) -> None:
    (x, y), shut = plan.gaze[index], plan.lids[index]
    if abs(x) + abs(y) + shut < 2e-3:
        return
    for eye in figure.eyes:
        patch, box = eye.draw(float(x), float(y), float(shut))
        _lay_patch(figure, patch, box, fields.whole, out)


def _draw_strip(figure: Figure, strip: Strip, maps: Floats, out: Pixels) -> None:
    import cv2

    grid, layer = figure.grid, figure.layer
    box = (strip.left, strip.top, strip.right, strip.bottom)
    part, rows, columns = grid.part(box)
    at = enlarged(maps[rows, columns], grid.pitch)
    at = at[: strip.bottom - part.top, : strip.right - part.left]
    fixed = cv2.convertMaps(np.ascontiguousarray(at), None, cv2.CV_16SC2)
    edge = cv2.BORDER_REFLECT_101
    warped = cv2.remap(layer.fine, *fixed, cv2.INTER_LINEAR, borderMode=edge)
    alpha = cv2.extractChannel(warped, 3)
    target = out[strip.top : strip.bottom, strip.left : strip.right]
    if layer.background is None:
        target[:] = _unmultiplied(warped, alpha)
        return
    behind = layer.background[strip.top : strip.bottom, strip.left : strip.right]
    cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, dst=target)
    for here in _mixed(alpha):
        cv2.add(target[:, here], over(behind[:, here], alpha[:, here]), dst=target[:, here])


def _mixed(alpha: Pixels) -> list[slice]:
    """Runs of columns of a strip's alpha (h, w) that hold any of the background."""
    import cv2

    see_through = np.empty(alpha.shape[1] + 2, bool)
    see_through[0] = see_through[-1] = False
    see_through[1:-1] = cv2.reduce(alpha, 0, cv2.REDUCE_MIN)[0] < 255
    ends = np.flatnonzero(see_through[1:] != see_through[:-1])
    return [slice(int(start), int(end)) for start, end in zip(ends[::2], ends[1::2], strict=True)]


def _unmultiplied(warped: Pixels, alpha: Pixels) -> Pixels:
    """Colours not premultiplied, for a film with transparency."""
    for here in _mixed(alpha):
        part = warped[:, here]
        cover = np.maximum(part[..., 3:], 1).astype(np.uint16)
        colour = (part[..., :3].astype(np.uint16) * 255 + cover // 2) // cover
        part[..., :3] = np.minimum(255, colour)
    return warped


def _lay_patch(figure: Figure, patch: Pixels, box: Box, field: Floats, out: Pixels) -> None:
    """A patch drawn with the head at rest, laid where the head has it now."""
    import cv2

    grid = figure.grid
    width, height = figure.size
    reach = round(0.08 * figure.face.height)
    wide = (
        max(grid.left, box[0] - reach),
        max(grid.top, box[1] - reach),
        min(width, box[2] + reach),
        min(height, box[3] + reach),
    )
    part, rows, columns = grid.part(wide)
    right, bottom = min(part.right, width), min(part.bottom, height)
    at = enlarged(into(field[rows, columns], box), grid.pitch)
    at = at[: bottom - part.top, : right - part.left]
    target = out[part.top : bottom, part.left : right, :3]
    drawn = np.ascontiguousarray(target)
    cv2.remap(
        patch, at, None, cv2.INTER_LINEAR, dst=drawn, borderMode=cv2.BORDER_TRANSPARENT
    )
    target[:] = drawn


def workers_for(cores: int) -> Any:
    """A pool of one thread per core."""
    return ThreadPoolExecutor(max(1, cores), thread_name_prefix="puppet")


assert FINE == 2
