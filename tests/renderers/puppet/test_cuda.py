"""The puppet by torch: the same picture as by OpenCV. Torch's CPU stands in for a GPU."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.puppet import asked, cut, drawn, speaker, voice
from vidgen.renderers.puppet import cpu, cuda, rig
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.grid import Array
from vidgen.renderers.puppet.overlay import Overlay, overlays
from vidgen.renderers.puppet.poses import Poses
from vidgen.renderers.puppet.renderer import PuppetRenderer
from vidgen.renderers.puppet.rig import Rig
from vidgen.renderers.puppet.torch_canvas import TorchCanvas
from vidgen.work import MotionOptions, Pixels, Subject

torch = pytest.importorskip("torch", reason="torch is in the extra vidgen[gpu]")
pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("one_torch_thread")]

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


@pytest.fixture(scope="module")
def figure(subject: Subject) -> Rig:
    return rig.build(subject, cut(subject))


def agree(one: Pixels, other: Pixels) -> bool:
    """Whether two ways to draw the same differ by no more than their roundings; of a film with
    transparency in what shows."""

    def shown(frame: Pixels) -> Array:
        return frame.astype(float) if frame.shape[-1] == 3 else frame * (frame[..., 3:] / 255)

    difference = np.abs(shown(one) - shown(other))
    return bool(difference.mean() <= 1.5 and np.quantile(difference, 0.999) <= 16)


@pytest.mark.parametrize("behind", ["photo", "green", "nothing"])
def test_both_paths_agree(subject: Subject, behind: str) -> None:
    made = rig.build(subject, cut(subject, behind))
    plan = asked(*FRAMES)
    layout = "rgba" if behind == "nothing" else "rgb24"
    by_torch = cuda.DeviceDrawing(made, plan, "cpu").draw(0, len(FRAMES), layout).wait()
    for one, frame in zip(by_torch.pixels, FRAMES, strict=True):
        assert agree(one, drawn(made, **frame))


SPEAKING: tuple[dict[str, float], ...] = (
    {"close": 1, "relax": 1, "wide": 1, "jaw": 1, "yaw": 2},  # both rows of teeth
    {"close": 1, "narrow": 0.4, "jaw": 0.5, "shut": 0.5, "look_x": 0.1, "roll": 2},
    {"close": 1, "apart": 1, "jaw": 0.2, "shut": 1, "pitch": -2},
)


# what is asked of a face, the tongue's height, and what of it is drawn then
EYES, MOUTH, SHADE = 0, 1, 2
OVERLAYS: dict[str, tuple[dict[str, float], float, int]] = {
    "lids shut": ({"shut": 1}, 0, EYES),
    "lids half-way, turned": ({"shut": 0.5, "yaw": 3, "roll": 2}, 0, EYES),
    "gaze": ({"look_x": 0.2, "look_y": -0.15}, 0, EYES),
    "gaze under lids": ({"look_x": -0.2, "shut": 0.3, "pitch": -2}, 0, EYES),
    "lips shut": ({"close": 1, "press": 0.6}, 0, MOUTH),
    "lips rounded": ({"close": 1, "round": 1, "narrow": 0.3, "yaw": -3}, 0, MOUTH),
    "teeth": ({"close": 1, "wide": 1, "relax": 1, "jaw": 1}, 0.2, MOUTH),
    "tongue": ({"close": 1, "apart": 0.6, "wide": 0.3, "jaw": 0.4}, 1, MOUTH),
    "folds": ({"close": 1, "wide": 1, "spread": 1, "jaw": 1}, 0, SHADE),
}
LOOKS: dict[str, MotionOptions | None] = {
    "as in the photo": None,
    "happy": MotionOptions(mood="happy"),
    "sad": MotionOptions(mood="sad"),
    "without colours": None,
}


@dataclass(frozen=True)
class Both:
    """The frames of `OVERLAYS` by both ways to draw, and their overlays on the processor."""

    by_torch: Pixels
    by_numpy: list[Pixels]
    parts: list[list[Overlay]]


@pytest.fixture(scope="module", params=LOOKS)
def both(subject: Subject, request: pytest.FixtureRequest) -> Both:
    if request.param == "without colours":
        grey = subject.frame.mean(-1, keepdims=True).round().astype(np.uint8)
        subject = replace(subject, frame=np.repeat(grey, 3, -1))
    made = rig.build(subject, cut(subject), LOOKS[request.param])
    plan = asked(*(frame for frame, _, _ in OVERLAYS.values()))
    plan = replace(plan, tongue=np.array([tongue for _, tongue, _ in OVERLAYS.values()]))
    found = cuda.DeviceDrawing(made, plan, "cpu").draw(0, len(plan), "rgb24").wait().pixels
    frames, parts = [], []
    for index in range(len(plan)):
        frames.append(np.empty_like(subject.frame))
        cpu.draw(made, plan, index, frames[-1])
        pose = plan.pose(index)
        fields = made.fields(ONE_FRAME, pose.weights, pose.turns)
        parts.append([*overlays(ONE_FRAME, made, pose, fields)])
    return Both(found, frames, parts)


def kind(part: Overlay, pose_moves_eyes: bool) -> int:
    if part.pixels is None:
        return SHADE
    return EYES if pose_moves_eyes else MOUTH


@pytest.mark.parametrize("name", OVERLAYS)
def test_each_overlay_agrees_inside_its_own_box(both: Both, name: str) -> None:
    index, (frame, _, wanted) = [*OVERLAYS].index(name), OVERLAYS[name]
    eyes = bool({"shut", "look_x"} & set(frame))
    parts = [part for part in both.parts[index] if kind(part, eyes) == wanted]
    assert len(parts) == (2 if wanted == EYES else 1)
    for part in parts:
        left, top, right, bottom = part.box
        inside = slice(top, bottom), slice(left, right)
        assert agree(both.by_torch[index][inside], both.by_numpy[index][inside])


def test_yuv_is_bt709_in_limited_range(subject: Subject, figure: Rig) -> None:
    (frame,) = cuda.DeviceDrawing(figure, asked({}), "cpu").draw(0, 1).wait().pixels
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


def test_every_batch_goes_up_in_one_copy_and_is_drawn_by_the_same_few_calls(figure: Rig) -> None:
    """As many for 4 frames as for 32, and the same whatever the numbers are: so they can be
    recorded as a CUDA graph."""
    from tests.support.torch_calls import torch_calls

    drawing = CountingDrawing(figure, asked(*SPEAKING, *FRAMES[:5]), "cpu")
    drawing.draw(0, 4)  # what all batches share goes up with the first
    drawing.canvas.uploads = 0
    one, other = (torch_calls(partial(drawing.draw, first, first + 4)) for first in (0, 4))
    assert drawing.canvas.uploads == 2  # of 187 a batch
    assert len(one) <= 277  # views too; 629 before both eyes were one patch
    assert one == other


@pytest.mark.skipif(
    torch.cuda.is_available() or not torch.version.cuda, reason="no driver must be missing"
)
def test_a_batch_that_cannot_be_recorded_is_drawn_call_by_call(figure: Rig) -> None:
    drawing = cuda.DeviceDrawing(figure, asked(*SPEAKING), "cpu")
    assert drawing._play("rgb24", torch.zeros(1, 26)) is None
    assert drawing._graphs == {("rgb24", (1, 26)): None}  # it is not tried again


def test_what_a_batch_needs_is_known_before(
    subject: Subject, demo_photo: Path, model_path: Callable[[str], Path]
) -> None:
    from tests.support.torch_calls import bytes_each

    for who in (subject, speaker(demo_photo, model_path, 144, width=256)):
        drawing = cuda.DeviceDrawing(rig.build(who, cut(who)), asked(*SPEAKING, *FRAMES), "cpu")
        each = bytes_each(drawing, partial(drawing.draw, 0))
        assert each <= drawing.frame_bytes <= 4 / 3 * each


@pytest.mark.parametrize(
    ("height", "gigabytes", "wanted"),
    [(720, 5.0, 32), (720, 1.5, 14), (1080, 1.5, 6), (1080, 0.1, 1)],
)
def test_a_batch_is_as_large_as_the_free_memory_allows(
    height: int, gigabytes: float, wanted: int
) -> None:
    pixels = height * height * 16 // 9
    assert cuda.batch_for(44 * pixels, 1e9 * gigabytes) == wanted
    assert cuda.batch_for(44 * pixels, None) == 32


@pytest.mark.parametrize("kept", ["left", "right", "none", "one that never shuts"])
def test_eyes_that_are_left_alone_stay_so(figure: Rig, kept: str) -> None:
    left, right = figure.eyes
    nothing = slice(0, 1), slice(0, 1)
    lids = {
        one.name: value[:1, :1]
        for one in fields(left.lids)
        if isinstance(value := getattr(left.lids, one.name), np.ndarray)
        and value.ndim > 1
        and one.name != "still"
    }
    still = replace(left, lids=replace(left.lids, part=nothing, **lids))
    eyes = {"left": (left,), "right": (right,), "none": (), "one that never shuts": (still, right)}
    made = replace(figure, eyes=eyes[kept])
    frame = {"shut": 0.6, "look_x": 0.2}
    (one,) = cuda.DeviceDrawing(made, asked(frame), "cpu").draw(0, 1, "rgb24").wait().pixels
    assert agree(one, drawn(made, **frame))
    assert (one == drawn(made)).all() == (kept == "none")


@pytest.mark.parametrize("behind", ["photo", "nothing"])
def test_half_precision_is_enough_for_frames(subject: Subject, behind: str) -> None:
    """As a GPU draws them."""
    made, plan = rig.build(subject, cut(subject, behind)), asked(*SPEAKING)
    one, half = (cuda.DeviceDrawing(made, plan, "cpu") for _ in range(2))
    half.canvas.kind = torch.float16
    for layout in ("rgba",) if behind == "nothing" else ("rgb24", "yuv420p"):
        frames = [drawing.draw(0, 2, layout).wait().pixels for drawing in (one, half)]
        assert np.abs(frames[0].astype(int) - frames[1]).max() <= 1


def test_a_frame_is_the_same_in_any_company(figure: Rig) -> None:
    drawing = cuda.DeviceDrawing(figure, asked(*SPEAKING, *FRAMES), "cpu", batch=3)
    _, rest = cuda.frames(drawing, 0, 4)
    (alone,) = cuda.frames(drawing, 3, 4)
    assert len(alone) == 1
    assert np.array_equal(rest.pixels, alone.pixels)
