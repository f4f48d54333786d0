"""MuseTalk's faces stay where they are drawn, and are worn there by the puppet's moving head.

Torch's CPU stands in for a GPU, tiny networks for the real ones.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.extra import need
from tests.support.puppet import asked, cut, speaker, voice
from vidgen.media.colour import to_yuv420p
from vidgen.renderers.musetalk import face
from vidgen.renderers.musetalk.hearing import Hearing
from vidgen.renderers.musetalk.networks import NetworkFiles, Networks
from vidgen.renderers.musetalk.painter import Canvas, Painter
from vidgen.renderers.musetalk.renderer import MuseTalkRenderer
from vidgen.renderers.puppet import cpu, cuda, rig
from vidgen.renderers.puppet.overlay import Patch
from vidgen.renderers.puppet.renderer import FINE, PuppetPerformance, PuppetRenderer
from vidgen.work import Box, Floats, MotionOptions, Pixels, Subject

torch = pytest.importorskip("torch")
need("diffusers", "transformers")

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("one_torch_thread")]
TURNED = {"yaw": 3.0, "pitch": -2.0, "roll": -2.0, "tx": 0.01}


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path)


def agree(one: Pixels, other: Pixels) -> bool:
    difference = np.abs(one.astype(int) - other)
    return bool(difference.mean() <= 1.5 and np.quantile(difference, 0.999) <= 16)


@dataclass(frozen=True)
class Portrait:
    """A `FacePainter` of one face that never moves."""

    box: Box
    mask: Floats
    face: Pixels  # (256, 256, 3)
    metadata: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, subject: Subject) -> "Portrait":
        """Of the photo's own face, upside down: nobody could take it for the photo."""
        height, width = subject.frame.shape[:2]
        box = face.face_box(subject.landmarks, height, width)
        mask = face.jaw_mask(subject.landmarks, box, np.ones((height, width), np.float32))
        size = FINE * mask.shape[1], FINE * mask.shape[0]
        large = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR), np.float32)
        return cls(box, large, face.picture(subject.frame, box)[::-1])

    def patches(self, first: int, last: int) -> Iterator[Pixels]:
        size = self.mask.shape[::-1]
        large = cv2.resize(self.face, size, interpolation=cv2.INTER_CUBIC)
        alpha = (255 * self.mask).round().astype(np.uint8)
        yield np.stack([np.dstack([large, alpha])] * (last - first))

    def faces(self, first: int, last: int) -> Iterator[Any]:
        planes = torch.from_numpy(self.face.transpose(2, 0, 1).copy())
        for start in range(first, last, 2):  # in twos, whatever is asked for together
            yield planes.expand(min(2, last - start), -1, -1, -1)


@pytest.mark.parametrize("behind", ["photo", "green", "nothing"])
def test_both_ways_lay_the_same_face_where_the_skin_under_it_is(
    subject: Subject, behind: str
) -> None:
    portrait, made = Portrait.of(subject), rig.build(subject, cut(subject, behind))
    plan = asked({}, TURNED, TURNED)
    drawing = cuda.DeviceDrawing(made, plan, "cpu", portrait)
    layout = "rgba" if behind == "nothing" else "rgb24"
    found = drawing.draw(0, 3, layout, [*portrait.faces(0, 3)]).wait().pixels
    (patch, *_), (left, top, right, bottom) = next(portrait.patches(0, 1)), portrait.box
    inside = slice((top + bottom) // 2, bottom), slice(left, right), slice(0, 3)
    for index in range(2):
        wanted, bare = (np.empty_like(found[0]) for _ in range(2))
        cpu.draw(made, plan, index, wanted, Patch(portrait.box, patch))
        cpu.draw(made, plan, index, bare)
        assert agree(found[index][inside], wanted[inside])
        assert np.abs(bare[inside].astype(int) - wanted[inside]).mean() > 10  # it is there
    assert np.array_equal(found[1], found[2])


def test_black_beside_white_is_not_white_beside_black(subject: Subject) -> None:
    """Between them a smooth curve overshoots; a byte would begin anew."""
    bars = np.where(np.arange(256)[:, None, None] // 9 % 2, 255, 0).astype(np.uint8)
    portrait = replace(Portrait.of(subject), face=np.broadcast_to(bars, (256, 256, 3)))
    drawing = cuda.DeviceDrawing(rig.build(subject, cut(subject)), asked({}), "cpu", portrait)
    (frame,) = drawing.draw(0, 1, faces=[*portrait.faces(0, 1)]).wait().pixels
    luma = frame[: len(subject.frame)]
    assert 16 <= luma.min() < luma.max() <= 235


def test_what_a_painted_batch_needs_is_known_before(subject: Subject) -> None:
    from tests.support.torch_calls import bytes_each

    portrait, figure = Portrait.of(subject), rig.build(subject, cut(subject))
    drawing = cuda.DeviceDrawing(figure, asked({}, TURNED, {}), "cpu", portrait)

    def draw(count: int) -> None:
        drawing.draw(0, count, faces=[*portrait.faces(0, count)])

    assert bytes_each(drawing, draw) <= drawing.frame_bytes


class SoftNetworks(Networks):
    """Tiny networks whose faces are no noise of single pixels, as a trained one's are not."""

    def draw(self, latents: Any, tokens: Floats) -> Any:
        faces = super().draw(latents, tokens).float()
        return torch.nn.functional.avg_pool2d(faces, 9, 1, 4).byte()


def test_a_film_is_the_same_by_both_ways_and_from_any_frame_on(
    subject: Subject, files: NetworkFiles
) -> None:
    def perform(device: str) -> AbstractContextManager[PuppetPerformance]:
        puppet = PuppetRenderer(device, face=talker, batch=3)
        return puppet.perform(subject, cut(subject), voice(0.2), MotionOptions(seed=3))

    talker = MuseTalkRenderer(files, batch=4)
    talker.networks = SoftNetworks(files, "cpu")
    with perform("cpu:0") as act:
        parts, rest = list(act.frames(0, 5)), list(act.frames(2, 5))
    assert {part.layout for part in parts} == {"yuv420p"}
    by_torch = np.concatenate([part.pixels for part in parts])
    assert np.array_equal(np.concatenate([part.pixels for part in rest]), by_torch[2:])
    with perform("cpu") as act:
        by_numpy = [to_yuv420p(frame) for part in act.frames(0, 5) for frame in part.pixels]
    left, top, right, bottom = subject.face
    lower = slice((top + bottom) // 2, bottom), slice(left, right)
    for one, other in zip(by_torch, by_numpy, strict=True):
        assert agree(one, other)
        assert agree(one[lower], other[lower])


class Inline:
    """A pool whose work is done when it is asked for, in the thread that asks."""

    def submit(self, work: Callable[..., Any], *given: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(work(*given))
        return done


@contextmanager
def painted(subject: Subject, files: NetworkFiles, batch: int) -> Iterator[Painter]:
    """A painter of 12 frames in this thread."""
    portrait, networks = Portrait.of(subject), Networks(files, "cpu")
    networks.load()
    square = face.picture(subject.frame, portrait.box)
    latents = networks.latents(square, face.blank_mouth(square))
    canvas, pool = Canvas(portrait.box, portrait.mask, latents), Inline()
    hearing, look = Hearing(voice(0.48), networks.hear), MotionOptions()
    yield Painter(networks, hearing, canvas, look.fps, 12, batch, lambda _: None, pool)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [2, 4])
def test_a_batch_crosses_to_the_device_three_times_and_comes_back_once(
    subject: Subject, files: NetworkFiles, batch: int
) -> None:
    """Its poses and its tokens go up, and only YUV comes down; drawing it takes as many calls
    whatever its size and its numbers are."""
    from tests.support.torch_calls import crossings, torch_calls

    with painted(subject, files, batch) as painter:
        plan = asked(*[{}, TURNED] * 6)
        figure = rig.build(subject, cut(subject))
        drawing = cuda.DeviceDrawing(figure, plan, "cpu", painter, batch)

        def film(first: int) -> None:
            for landing in cuda.frames(drawing, first, first + batch, painter):
                assert landing.layout == "yuv420p"

        film(0)  # what all batches share goes up with the first
        up, down = crossings(lambda: film(batch))
        assert len(up) == 3  # its poses, its tokens, and the latents, which are there already
        assert down == ["numpy"]
        faces = next(painter.faces(2 * batch, 3 * batch))
        one, other = (
            torch_calls(partial(drawing.draw, first, first + batch, faces=[faces]))
            for first in (0, batch)
        )
        assert one == other
        assert len(one) <= 160  # 152, views too
