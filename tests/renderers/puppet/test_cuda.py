"""The puppet by torch: the same picture as by OpenCV. Torch's CPU stands in for a GPU."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.puppet import asked, cut, drawn, speaker, voice
from vidgen.renderers.puppet import cpu, cuda, rig
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.overlay import Patch, overlays
from vidgen.renderers.puppet.poses import Poses
from vidgen.renderers.puppet.renderer import PuppetRenderer
from vidgen.renderers.puppet.rig import Rig
from vidgen.renderers.puppet.torch_canvas import TorchCanvas
from vidgen.work import MotionOptions, Subject

torch = pytest.importorskip("torch", reason="torch is in the extra vidgen[gpu]")
pytestmark = pytest.mark.gpu

FRAMES: tuple[dict[str, float], ...] = (
    {},
    {"close": 1, "relax": 1, "wide": 1},
    {"close": 1, "narrow": 0.4, "round": 1},
    {"close": 1, "shut": 1},
    {"close": 1, "look_x": 0.2, "brows": 1},
    {"close": 1, "yaw": 3, "pitch": -2, "roll": -2, "tx": 0.01, "breath": 1},
)


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path)


@pytest.mark.parametrize("behind", ["photo", "green", "nothing"])
def test_both_paths_agree(subject: Subject, behind: str) -> None:
    made = rig.build(subject, cut(subject, behind))
    plan = asked(*FRAMES)
    layout = "rgba" if behind == "nothing" else "rgb24"
    by_torch = cuda.DeviceDrawing(made, plan, "cpu").draw(0, len(FRAMES), layout).wait()
    for one, frame in zip(by_torch.pixels, FRAMES, strict=True):
        assert np.abs(one.astype(int) - drawn(made, **frame)).mean() <= 1.5


@pytest.mark.parametrize("behind", ["photo", "green", "nothing"])
def test_both_paths_lay_the_same_patch(subject: Subject, behind: str) -> None:
    made = rig.build(subject, cut(subject, behind))
    left, top, right, bottom = subject.face
    noise = np.random.default_rng(5).integers(0, 255, (2 * (bottom - top), 2 * (right - left), 4))
    patch = Patch(subject.face, noise.astype(np.uint8))
    turned = asked(FRAMES[-1])
    on_cpu = np.empty((*subject.frame.shape[:2], 4 if behind == "nothing" else 3), np.uint8)
    cpu.draw(made, turned, 0, on_cpu, patch)
    layout = "rgba" if behind == "nothing" else "rgb24"
    (by_torch,) = cuda.DeviceDrawing(made, turned, "cpu").draw(0, 1, layout, [patch]).wait().pixels
    inner = slice(top + 20, bottom - 20), slice(left + 20, right - 20)
    assert np.abs(by_torch[inner].astype(int) - on_cpu[inner]).mean() <= 1.5
    bare = np.abs(drawn(made, **FRAMES[-1])[inner].astype(int) - on_cpu[inner])
    assert bare[..., :3].mean() > 20  # the patch is there


SPEAKING: tuple[dict[str, float], ...] = (
    {"close": 1, "relax": 1, "wide": 1, "jaw": 1, "yaw": 2},  # both rows of teeth
    {"close": 1, "narrow": 0.4, "jaw": 0.5, "shut": 0.5, "look_x": 0.1, "roll": 2},
    {"close": 1, "apart": 1, "jaw": 0.2, "shut": 1, "pitch": -2},
)


@pytest.mark.parametrize("mood", ["happy", "sad"])
def test_each_overlay_agrees_inside_its_own_box(subject: Subject, mood: str) -> None:
    made = rig.build(subject, cut(subject), MotionOptions(mood=mood))
    plan = replace(asked(*SPEAKING), tongue=np.array([0.3, 1.0, 0.6], np.float32))
    by_torch = cuda.DeviceDrawing(made, plan, "cpu").draw(0, len(plan), "rgb24").wait().pixels
    for index, one in enumerate(by_torch):
        pose, out = plan.pose(index), np.empty_like(subject.frame)
        cpu.draw(made, plan, index, out)
        parts = [*overlays(ONE_FRAME, made, pose, made.fields(ONE_FRAME, pose.weights, pose.turns))]
        assert len(parts) >= (1 if index == 0 else 3)
        for part in parts:
            left, top, right, bottom = part.box
            inside = slice(top, bottom), slice(left, right)
            difference = np.abs(one[inside].astype(int) - out[inside])
            assert difference.mean() <= 1.5
            assert np.quantile(difference, 0.999) <= 16


def test_yuv_is_bt709_in_limited_range(subject: Subject) -> None:
    made = rig.build(subject, cut(subject))
    (frame,) = cuda.DeviceDrawing(made, asked({}), "cpu").draw(0, 1).wait().pixels
    height, width = subject.frame.shape[:2]
    assert frame.shape == (height * 3 // 2, width)
    red, green, blue = np.moveaxis(subject.frame.astype(float), -1, 0)
    luma = 16 + 219 / 255 * (0.2126 * red + 0.7152 * green + 0.0722 * blue)
    assert np.abs(frame[:height] - luma).max() <= 1
    halves = [
        side.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for side in (blue, red, luma)
    ]
    grey = (halves[2] - 16) * 255 / 219
    chroma = frame[height:].reshape(2, height // 2, width // 2)
    assert np.abs(chroma[0] - (128 + 224 / 255 * (halves[0] - grey) / 1.8556)).max() <= 1
    assert np.abs(chroma[1] - (128 + 224 / 255 * (halves[1] - grey) / 1.5748)).max() <= 1


def test_the_renderer_draws_on_a_torch_device(subject: Subject) -> None:
    puppet = PuppetRenderer("cpu:0", batch=8)
    with puppet.perform(subject, cut(subject), voice(), MotionOptions()) as act:
        batches = list(act.frames(0, act.frame_count))
    assert [len(batch) for batch in batches] == [8, 8, 8, 1]
    assert {batch.layout for batch in batches} == {"yuv420p"}


class CountingCanvas(TorchCanvas):
    """Counts what goes up while it draws."""

    uploads = 0

    def upload(self, array: Any) -> Any:
        self.uploads += 1
        return super().upload(array)


class CountingDrawing(cuda.DeviceDrawing):
    canvas: CountingCanvas

    def make_canvas(self, device: str, figure: Rig, plan: Poses) -> TorchCanvas:
        return CountingCanvas(device, *figure.extent(plan.weights, plan.turns))


def test_a_batch_goes_up_in_a_few_copies_and_is_drawn_in_a_few_calls(subject: Subject) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Calls(TorchDispatchMode):  # type: ignore[misc]  # torch is not typed here
        count = 0

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.count += 1
            return function(*args, **(kwargs or {}))

    made = rig.build(subject, cut(subject))
    blinking = {"close": 1.0, "wide": 0.5, "shut": 0.6, "look_x": 0.1, "yaw": 2.0}
    plan = asked(*[blinking] * 4)
    drawing = CountingDrawing(made, plan, "cpu")
    drawing.draw(0, 4)  # what all batches share goes up with the first
    drawing.canvas.uploads = 0
    with Calls() as calls:
        drawing.draw(0, 4)  # as many calls as for 32: none is for one frame
    assert drawing.canvas.uploads <= 1  # of 187
    assert calls.count <= 250  # views too; 629 before both eyes were one patch


@pytest.mark.parametrize("frame", FRAMES)
def test_hardly_a_pixel_differs(subject: Subject, frame: dict[str, float]) -> None:
    made = rig.build(subject, cut(subject))
    (one,) = cuda.DeviceDrawing(made, asked(frame), "cpu").draw(0, 1, "rgb24").wait().pixels
    difference = np.abs(one.astype(int) - drawn(made, **frame))
    assert difference.mean() <= 1.5
    assert np.quantile(difference, 0.999) <= 16
