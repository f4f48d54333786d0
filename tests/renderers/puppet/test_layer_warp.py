"""The moving layer, drawn only where a frame shows it: the same as drawn everywhere."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.puppet import asked, cut, speaker
from vidgen.renderers.puppet import rig
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.layer import FINE, over
from vidgen.renderers.puppet.layer_warp import LayerWarp, runs_of_rows
from vidgen.renderers.puppet.rig import Rig
from vidgen.work import Pixels, Subject

FAR = {"yaw": 6.0, "pitch": -4.5, "roll": 3.0, "tx": 0.016, "ty": -0.016, "breath": 1.0}


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path)


def everywhere(figure: Rig, whole: Pixels) -> tuple[Pixels, Pixels]:
    """The layer (H, W, 4) looked up at every pixel of its box, and what shows behind it."""
    left, top, right, bottom = figure.layer.box
    at = ONE_FRAME.scale_places(whole, (left, top), FINE)
    full = ONE_FRAME.enlarge(at, figure.grid.pitch, (bottom - top, right - left))
    width, height = figure.size
    warped = np.zeros((height, width, 4), np.uint8)
    warped[top:bottom, left:right] = ONE_FRAME.look_up(figure.layer.fine, full, mirrored=True)
    assert figure.layer.background is not None
    return warped, over(figure.layer.background, np.ascontiguousarray(warped[..., 3]))


@pytest.mark.parametrize("behind", ["photo", "green"])
@pytest.mark.parametrize("share", [-1.0, 0.3, 1.0])
def test_only_what_shows_is_drawn_and_nothing_is_left_out(
    subject: Subject, behind: str, share: float
) -> None:
    figure = rig.build(subject, cut(subject, behind))
    plan = asked({name: share * value for name, value in FAR.items()} | {"wide": 0.5})
    whole = figure.fields(ONE_FRAME, plan.weights[0], plan.turns[0]).whole
    warp, out = LayerWarp(figure.layer, figure.grid), np.empty_like(subject.frame)
    warp.draw(whole, out)
    again = np.empty_like(out)
    warp.draw(whole, again)
    layer, rest = everywhere(figure, whole)
    expected = cv2.add(np.ascontiguousarray(layer[..., :3]), rest)
    assert np.abs(out.astype(int) - expected).max() <= 2  # places to 1/32 pixel there
    assert np.array_equal(out, again)


def test_runs_are_told_row_by_row() -> None:
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]], bool)
    assert runs_of_rows(mask) == [(0, 0, 2), (0, 3, 4), (2, 1, 4)]
