"""A mouth painted by another renderer, worn by the puppet's moving head."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.puppet import asked, cut, speaker, voice
from vidgen.renderers.base import Renderer
from vidgen.renderers.puppet import cpu, rig
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.grid import look_up
from vidgen.renderers.puppet.overlay import Patch
from vidgen.renderers.puppet.renderer import PuppetRenderer
from vidgen.renderers.puppet.rig import Rig
from vidgen.work import Box, Cutout, Floats, MotionOptions, Pixels, Speech, Subject

TURNS: tuple[dict[str, float], ...] = (
    {},
    {"yaw": 3.5, "pitch": -3.0, "roll": 2.2, "tx": 0.012, "ty": 0.012, "breath": 1.0},
    {"yaw": -3.5, "pitch": 3.0, "roll": -2.2, "tx": -0.012, "ty": -0.012, "brows": 1.0},
)
ALONE = {"device": "cpu", "seed": 0, "blinks": 0}
GREY = 90


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path)


@pytest.fixture(scope="module")
def made(subject: Subject) -> Rig:
    return rig.build(subject, cut(subject))


@dataclass
class Brush:
    """A painter, `group` at a time, of a square that grows lighter from frame to frame."""

    box: Box
    scale: int
    frame_count: int
    group: int = 3
    metadata: Mapping[str, Any] = field(default_factory=lambda: {"model": "a brush", "batch": 3})
    given: int = 0

    @property
    def mask(self) -> Floats:
        left, top, right, bottom = self.box
        return np.ones(((bottom - top) * self.scale, (right - left) * self.scale), np.float32)

    def faces(self, first: int, last: int) -> Iterator[Any]:
        raise NotImplementedError("for a device")

    def patches(self, first: int, last: int) -> Iterator[Pixels]:
        size = self.mask.shape
        for start in range(first, last, self.group):
            count = min(self.group, last - start)
            pixels = np.full((count, *size, 4), 255, np.uint8)
            pixels[..., :3] = GREY + np.arange(start, start + count)[:, None, None, None]
            self.given += count
            yield pixels


@dataclass
class Paints:
    """A source that hands out one `Brush` for the lower face, and counts who is at work."""

    brushes: list[Brush] = field(default_factory=list)
    open: int = 0

    @contextmanager
    def paint(
        self, subject: Subject, cutout: Cutout, speech: Speech, look: MotionOptions, scale: int = 1
    ) -> Iterator[Brush]:
        count = -(-len(speech.samples) * look.fps.numerator // (speech.rate * look.fps.denominator))
        self.brushes.append(Brush(lower_face(subject), scale, int(count)))
        self.open += 1
        try:
            yield self.brushes[-1]
        finally:
            self.open -= 1


def lower_face(subject: Subject) -> Box:
    left, top, right, bottom = subject.face
    wide = (right - left) // 4
    return left + wide, (top + bottom) // 2, right - wide, bottom - (bottom - top) // 8


def photo_patch(subject: Subject, box: Box, scale: int = 2) -> Patch:
    """The photo itself, soft at the edges."""
    left, top, right, bottom = box
    size = (right - left) * scale, (bottom - top) * scale
    pixels = np.empty((size[1], size[0], 4), np.uint8)
    own = np.ascontiguousarray(subject.frame[top:bottom, left:right])
    pixels[..., :3] = cv2.resize(own, size, interpolation=cv2.INTER_CUBIC)
    inner = np.zeros(pixels.shape[:2], np.float32)
    inner[8:-8, 8:-8] = 255
    pixels[..., 3] = cv2.GaussianBlur(inner, (0, 0), 3)
    return Patch(box, pixels)


def worn(made: Rig, patch: Patch | None, **frame: float) -> Pixels:
    """One frame of a head that wears `patch`."""
    width, height = made.size
    out = np.empty((height, width, 3 if made.layer.background is not None else 4), np.uint8)
    cpu.draw(made, asked(frame), 0, out, patch)
    return out


def film(
    puppet: Renderer, subject: Subject, cutout: Cutout, first: int = 0, last: int = 25
) -> Pixels:
    with puppet.perform(subject, cutout, voice(), MotionOptions(seed=3)) as act:
        return np.concatenate([frames.pixels for frames in act.frames(first, last)])


@pytest.mark.parametrize("turns", TURNS)
def test_a_painter_that_paints_the_photo_changes_nothing_one_could_see(
    subject: Subject, made: Rig, turns: dict[str, float]
) -> None:
    # any seam, and any patch that does not ride exactly with the skin under it, shows here
    plain = worn(made, None, **turns).astype(int)
    change = np.abs(worn(made, photo_patch(subject, lower_face(subject)), **turns) - plain)
    assert change.any()
    assert change.max() <= 24  # highlights of single pixels, enlarged by another kernel
    assert change.mean() < 0.2


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("turns", TURNS)
def test_a_mark_goes_where_the_field_takes_it(
    subject: Subject, made: Rig, turns: dict[str, float], scale: int
) -> None:
    box = lower_face(subject)
    centre = np.array([(box[0] + box[2]) // 2, box[1] + (box[3] - box[1]) // 3])
    shape = (box[3] - box[1]) * scale, (box[2] - box[0]) * scale
    y, x = (np.mgrid[: shape[0], : shape[1]] + 0.5) / scale - 0.5
    blob = np.exp(-((x + box[0] - centre[0]) ** 2 + (y + box[1] - centre[1]) ** 2) / 32)
    black, marked = (np.zeros((*shape, 4), np.uint8) for _ in range(2))
    black[..., 3] = marked[..., 3] = 255
    marked[..., :3] = (250 * blob[..., None]).round()
    light = worn(made, Patch(box, marked), **turns) - worn(made, Patch(box, black), **turns)
    weight = light[..., 0].astype(float)
    rows, columns = np.indices(weight.shape)
    found = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    plan = asked(turns)
    whole = made.fields(ONE_FRAME, plan.weights[0], plan.turns[0]).whole
    node = ((found - made.grid.origin) / made.grid.pitch).astype(np.float32)
    came_from = look_up(whole, node[None, None])[0, 0]
    assert np.abs(came_from - centre).max() < 0.2  # frame pixels


@pytest.mark.parametrize("turns", TURNS)
def test_the_whole_box_is_drawn_wherever_its_parts_go(
    subject: Subject, made: Rig, turns: dict[str, float]
) -> None:
    box = subject.face  # its middle moves, its outline hardly
    white = np.full((box[3] - box[1], box[2] - box[0], 4), 255, np.uint8)
    frame = worn(made, Patch(box, white), **turns)
    plan = asked(turns)
    whole = made.fields(ONE_FRAME, plan.weights[0], plan.turns[0]).whole
    inner = np.all((whole > np.array(box[:2]) + 1) & (whole < np.array(box[2:]) - 2), -1)
    assert inner.sum() > 100
    x, y = (side[inner].round().astype(int) for side in np.moveaxis(made.nodes, -1, 0))
    assert (frame[y, x] == 255).all()
    outside = np.ones(frame.shape[:2], bool)
    place = ONE_FRAME.reach(box, made.grid, whole, made.size)
    assert place is not None
    outside[place[1] : place[3], place[0] : place[2]] = False
    assert np.array_equal(frame[outside], worn(made, None, **turns)[outside])


def test_the_head_moves_as_without_a_painter_and_the_own_mouth_rests(subject: Subject) -> None:
    source = Paints()
    painted = film(PuppetRenderer(face=source), subject, cut(subject))
    plain = film(PuppetRenderer(), subject, cut(subject))
    left, top, right, bottom = subject.face
    above = slice(0, top)  # so high the plain film's mouth does not reach
    assert np.abs(painted[:, above].astype(int) - plain[:, above]).max() <= 1
    assert (painted[:, above] != painted[0, above]).any(axis=(1, 2, 3)).sum() > 20
    x, y = (left + right) // 2, top + 5 * (bottom - top) // 8
    assert painted[:, y, x].tolist() == [[GREY + index] * 3 for index in range(25)]
    assert source.brushes[0].scale == 2


def test_nothing_of_the_puppets_own_mouth_is_drawn(subject: Subject) -> None:
    class Clear(Brush):
        def patches(self, first: int, last: int) -> Iterator[Pixels]:
            for pixels in super().patches(first, last):
                pixels[..., 3] = 0
                yield pixels

    class Nothing(Paints):
        @contextmanager
        def paint(self, *_: Any, **__: Any) -> Iterator[Brush]:
            yield Clear(lower_face(subject), 2, 25)

    still = MotionOptions(head_motion=0, blink=0, brows=0, gaze=0)
    with PuppetRenderer(face=Nothing()).perform(subject, cut(subject), voice(), still) as act:
        for frames in act.frames(0, act.frame_count):
            for frame in frames.pixels:
                assert np.array_equal(frame, subject.frame)


def test_frames_are_the_same_however_they_are_reached(subject: Subject) -> None:
    puppet = PuppetRenderer(face=Paints())
    whole = film(puppet, subject, cut(subject))
    assert np.array_equal(film(puppet, subject, cut(subject), 13, 22), whole[13:22])


@pytest.mark.parametrize("turns", TURNS)
def test_a_transparent_film_keeps_its_alpha(subject: Subject, turns: dict[str, float]) -> None:
    clear = rig.build(subject, cut(subject, "nothing"))
    left, top, right, bottom = subject.face
    grey = Patch((0, top, right, bottom), np.full((bottom - top, right, 4), GREY, np.uint8))
    grey.pixels[..., 3] = 255
    painted, plain = worn(clear, grey, **turns), worn(clear, None, **turns)
    assert np.array_equal(painted[..., 3], plain[..., 3])
    middle = (top + bottom) // 2, (left + right) // 2
    assert painted[middle].tolist() == [GREY, GREY, GREY, 255]
    assert (painted[middle[0], :4, 3] == 0).all()  # where the speaker is not


def test_patches_are_taken_only_as_the_film_goes_on(subject: Subject) -> None:
    source = Paints()
    with PuppetRenderer(face=source).perform(
        subject, cut(subject), voice(20.0), MotionOptions()
    ) as act:
        drawing = act.frames(0, act.frame_count)
        next(drawing)
        assert source.brushes[0].given < 40
        for _ in range(30):
            next(drawing)
        assert source.brushes[0].given < 180
        assert source.open == 1
    assert source.open == 0


def test_metadata_tells_of_both(subject: Subject) -> None:
    still = MotionOptions(blink=0)
    with PuppetRenderer(face=Paints()).perform(subject, cut(subject), voice(0.4), still) as act:
        assert act.metadata == {**ALONE, "model": "a brush", "batch": 3}


def test_a_mouth_switched_off_asks_no_painter(subject: Subject) -> None:
    source = Paints()
    still = MotionOptions(mouth=0, head_motion=0, blink=0, brows=0, gaze=0)
    with PuppetRenderer(face=source).perform(subject, cut(subject), voice(0.4), still) as act:
        frame = next(act.frames(0, 1)).pixels[0]
    assert np.array_equal(frame, subject.frame)
    assert source.brushes == []


def test_what_the_painter_raises_goes_through(subject: Subject) -> None:
    class Breaks(Brush):
        def patches(self, first: int, last: int) -> Iterator[Pixels]:
            yield from super().patches(first, first + 6)
            raise RuntimeError("no more paint")

    class Source(Paints):
        @contextmanager
        def paint(self, *_: Any, **__: Any) -> Iterator[Brush]:
            yield Breaks(lower_face(subject), 2, 25)

    with pytest.raises(RuntimeError, match="no more paint"):
        film(PuppetRenderer(face=Source()), subject, cut(subject))


@pytest.mark.parametrize("box", [(0, 0, 256, 256), (150, 200, 256, 256), (0, 0, 9, 7)])
def test_a_box_at_the_frames_edge_is_drawn_without_failing(made: Rig, box: Box) -> None:
    patch = Patch(box, np.full(((box[3] - box[1]) * 2, (box[2] - box[0]) * 2, 4), 200, np.uint8))
    for turns in TURNS:
        assert worn(made, patch, **turns).shape == (256, 256, 3)


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    """A MuseTalk with a few thousand weights."""
    pytest.importorskip("diffusers", reason="diffusers is in the extra vidgen[gpu]")
    request.getfixturevalue("one_torch_thread")
    from tests.support.tiny_musetalk import tiny_files
    from vidgen.renderers.musetalk.renderer import MuseTalkRenderer

    return MuseTalkRenderer(tiny_files(tmp_path_factory.mktemp("musetalk")))


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_musetalks_frames_are_the_same_however_they_are_reached(
    subject: Subject, talker: Any, device: str
) -> None:
    puppet = PuppetRenderer(device, name="musetalk", face=talker, batch=5)
    whole = film(puppet, subject, cut(subject), 0, 11)
    assert len(whole) == 11
    assert np.array_equal(film(puppet, subject, cut(subject), 6, 11), whole[6:])


@pytest.mark.gpu
def test_musetalks_mouth_is_worn_by_a_head_that_moves(subject: Subject, talker: Any) -> None:
    puppet = PuppetRenderer(name="musetalk", face=talker)
    still, alive = (film(one, subject, cut(subject), 0, 11) for one in (talker, puppet))
    left, top, right, bottom = subject.face
    hair = slice(None), slice(0, top), slice(left, right)
    assert np.array_equal(still[hair], np.repeat(still[:1][hair], 11, 0))
    assert np.abs(alive[hair].astype(int) - alive[0, :top, left:right]).max() > 10
    mouth = (
        slice(None),
        slice(bottom - (bottom - top) // 3, bottom - 14),
        slice(left + 25, right - 25),
    )
    apart = [
        np.abs(one[mouth].astype(int) - still[mouth]).mean() for one in (alive, subject.frame[None])
    ]
    assert apart[0] < 0.25 * apart[1]


@pytest.mark.gpu
def test_musetalks_metadata_go_with_the_film(subject: Subject, talker: Any) -> None:
    puppet = PuppetRenderer(name="musetalk", face=talker)
    with puppet.perform(subject, cut(subject), voice(0.4), MotionOptions(blink=0)) as act:
        told = dict(act.metadata)
    assert told.pop("load_seconds") >= 0
    assert told == {
        **ALONE, "renderer": "musetalk", "model": "musetalk 1.5", "precision": "float32",
        "batch": 4,
    }  # fmt: skip
