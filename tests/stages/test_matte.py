"""Cutting out: edges, fillings and backgrounds on drawn pictures, then the real networks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from vidgen.errors import InputError
from vidgen.events import Event, Log, StageProgress
from vidgen.media.photo import open_photo
from vidgen.settings import Options, check
from vidgen.stages.detect import Detect
from vidgen.stages.matte import Matte
from vidgen.vision.faces import FaceDetector, LandmarkNet
from vidgen.vision.inpaint import extend, inpaint, out_of_focus, pull_push
from vidgen.vision.matting import disc, foreground_colours, refine_matte, smooth_matte
from vidgen.vision.selfie import Selfie
from vidgen.work import Box, Cutout, Floats, Notes, Pixels, Subject, Work

SKIN, WALL, WHITE = (200, 150, 120), (40, 90, 160), (240, 240, 240)


def drawn_head(width: int = 320, height: int = 240) -> tuple[Pixels, Floats]:
    """A disc of skin before a wall, its edge 3 pixels soft; and its true coverage."""
    y, x = np.mgrid[:height, :width]
    inside = 70 - np.hypot(x - 160, y - 110)
    coverage = np.clip(inside / 3 + 0.5, 0, 1).astype(np.float32)
    picture = coverage[..., None] * SKIN + (1 - coverage[..., None]) * WALL
    return np.round(picture).astype(np.uint8), coverage


def landmarks_on(x: float, y: float, face_height: float) -> Floats:
    points = np.zeros((468, 3), np.float32)
    points[:, :2] = (x, y)
    points[10, 1], points[152, 1] = y - face_height / 2, y + face_height / 2
    return points


def drawn_subject() -> tuple[Subject, Floats]:
    picture, coverage = drawn_head()
    box = (90, 40, 230, 180)
    return Subject(picture, landmarks_on(160, 110, 100), (130, 60, 190, 160), box), coverage


class Known:
    """A matter that is told what it shall see."""

    name, model, device, precision = "known", "none", "cpu", "float32"

    def __init__(self, coverage: Floats, is_fine: bool = True) -> None:
        self.coverage = coverage
        self.is_fine = is_fine
        self.calls: list[str] = []

    def load(self) -> None:
        self.calls.append("load")

    def release(self) -> None:
        self.calls.append("release")

    def matte(self, rgb: Pixels, person: Box) -> Floats:
        self.calls.append(f"matte {person}")
        return self.coverage


def cut(subject: Subject, model: Any, **chosen: Any) -> tuple[Cutout, Notes, list[Event]]:
    events: list[Event] = []
    work = Matte(model, Options(**chosen)).run(Work(subject), events.append)
    return work.get(Cutout), work.get(Notes), events


def over(cutout: Cutout) -> Floats:
    """The cut-out before its background again, (H, W, 3) 0–255."""
    assert cutout.background is not None
    alpha = cutout.matte[..., None]
    made: Floats = cutout.foreground * alpha + cutout.background * (1 - alpha)
    return made


# Edges


def test_a_coarse_matte_finds_the_pictures_edge() -> None:
    picture, coverage = drawn_head()
    coarse = cv2.GaussianBlur(cv2.dilate(coverage, np.ones((3, 3))), (0, 0), 5)
    fine = refine_matte(picture, coarse, (160, 110), 100, 1.0)
    assert np.abs(coarse - coverage).mean() > 2.5 * np.abs(fine - coverage).mean()
    assert np.abs(fine - coverage)[:110].max() < 0.5


def test_a_hair_is_cut_out_softly() -> None:
    picture, coverage = drawn_head()
    hair = np.zeros_like(coverage)
    cv2.line(hair, (200, 60), (214, 44), 1.0, 1, cv2.LINE_AA)
    truth = np.maximum(coverage, 0.8 * hair)
    picture = np.round(truth[..., None] * SKIN + (1 - truth[..., None]) * WALL).astype(np.uint8)
    coarse = cv2.GaussianBlur(cv2.dilate(coverage, np.ones((9, 9))), (0, 0), 5)
    fine = refine_matte(picture, coarse, (160, 110), 100, 1.0)
    strand = hair > 0.9
    beside = (cv2.dilate(hair, np.ones((7, 7))) > 0) & (cv2.dilate(hair, np.ones((3, 3))) == 0)
    outside = cv2.dilate(coverage, np.ones((5, 5))) == 0
    assert fine[strand & outside].mean() > 0.4
    assert fine[beside & outside].mean() < 0.1


@pytest.mark.parametrize("settle", [refine_matte, smooth_matte])
@pytest.mark.parametrize("smoothing", [0.0, 1.0, 3.0])
def test_what_does_not_hang_on_the_face_goes(
    settle: Callable[..., Floats], smoothing: float
) -> None:
    picture, coverage = drawn_head()
    two = coverage.copy()
    two[180:220, 20:60] = 1
    found = settle(picture, two, (160, 110), 100, smoothing)
    assert found[180:220, 20:60].max() < 0.02
    assert found[110, 160] > 0.99
    assert 0 <= found.min() <= found.max() <= 1
    assert found.dtype == np.float32


def test_no_smoothing_leaves_a_fine_matte_alone() -> None:
    picture, coverage = drawn_head()
    assert np.abs(smooth_matte(picture, coverage, (160, 110), 100, 0.0) - coverage).max() < 1e-4


def test_a_fine_matte_stays_fine() -> None:
    picture, coverage = drawn_head()
    assert np.abs(smooth_matte(picture, coverage, (160, 110), 100, 1.0) - coverage).max() < 0.15


def test_a_fine_matte_is_settled_within_its_own_radius() -> None:
    """A fine one within 0.6 % of the face's height: a filter of so many pixels, twice over."""
    flat = np.full((400, 400, 3), 128, np.uint8)  # nothing to follow: the filter is a plain mean
    step = np.zeros((400, 400), np.float32)
    step[:, :200] = 1
    for smoothing, reach in ((1.0, 5), (2.0, 9), (3.0, 13)):
        fine = smooth_matte(flat, step, (100, 200), 333, smoothing)[200]
        touched = np.flatnonzero((fine > 0.001) & (fine < 0.999))
        assert (touched.min(), touched.max()) == (200 - reach, 199 + reach)


def test_the_edges_colours_lose_the_background() -> None:
    picture, coverage = drawn_head()
    found = foreground_colours(picture, coverage, 100).astype(int)
    rim = (coverage > 0.3) & (coverage < 0.99)
    before = np.abs(picture.astype(int) - SKIN)[rim].mean()
    assert np.abs(found - SKIN)[rim].mean() < 0.25 * before
    assert (found[coverage == 1] == picture[coverage == 1]).mean() > 0.95


# Fillings


def test_filling_keeps_what_is_known_and_continues_it() -> None:
    y, x = np.mgrid[:200, :300].astype(np.float32)
    slope = np.dstack([x / 2, y, 100 + 0 * x])
    known = np.ones((200, 300), np.float32)
    known[60:140, 100:200] = 0
    made = pull_push(slope, known)
    assert (made[known == 1] == slope[known == 1]).all()
    assert np.abs(made - slope).max() < 25
    rim = cv2.dilate(known, np.ones((5, 5))) * (1 - known) > 0
    assert np.abs(made - slope)[rim].max() < 6


@pytest.mark.parametrize("shape", [(2, 2), (1, 9), (5, 3), (33, 64)])
def test_filling_works_for_any_size(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 70, np.float32)
    known = np.zeros(shape, np.float32)
    known[0, 0] = 1
    assert np.abs(pull_push(picture, known) - 70).max() < 0.1
    assert (pull_push(picture, 0 * known) == 0).all()


def test_the_filled_part_has_the_photos_grain() -> None:
    rng = np.random.default_rng(5)
    noise = cv2.GaussianBlur(rng.normal(0, 12, (240, 320, 3)), (0, 0), 0.8)
    photo = np.clip(120 + noise, 0, 255).astype(np.uint8)
    known = np.ones((240, 320), np.float32)
    known[80:160, 120:220] = 0
    made = inpaint(photo, known)
    own, around = made[90:150, 130:210].std(), photo[:, :100].std()
    assert own == pytest.approx(around, rel=0.35)
    assert (made == inpaint(photo, known)).all()
    assert (made[known == 1] == photo[known == 1]).all()


def test_beyond_the_edge_the_mirror_cannot_be_recognised() -> None:
    stripes = np.full((120, 200, 3), 30, np.uint8)
    stripes[:, ::8] = 220
    made = extend(stripes, 60, 0, 60, 40)
    assert made.shape == (160, 320, 3)
    assert (made[:120, 60:260] == stripes).all()
    assert made[60, :30].std() < 0.15 * stripes[60].std()
    assert made[:, :30].std() > 1


def test_out_of_focus_a_lamp_is_a_disc_and_a_wall_a_wall() -> None:
    wall = np.full((180, 260, 3), WALL, np.uint8)
    assert np.abs(out_of_focus(wall, 9).astype(int) - WALL).max() <= 1
    wall[90, 130] = 255
    seen = out_of_focus(wall, 9).astype(int).sum(2) - sum(WALL)
    far = np.hypot(*(np.mgrid[:180, :260] - np.array([90, 130])[:, None, None])) > 18
    assert seen[far].max() <= 3
    assert seen[90, 130] >= seen[90, 120] >= 0


# The stage


def test_the_stage_tells_what_it_did() -> None:
    subject, coverage = drawn_subject()
    model = Known(coverage)
    cutout, notes, events = cut(subject, model)
    # Kept: letting go is for those who know the memory.
    assert model.calls == ["load", f"matte {subject.person}"]
    told = dict(notes.values)
    assert told.pop("load_seconds") < 1
    assert told == {
        "backend": "known",
        "model": "none",
        "device": "cpu",
        "precision": "float32",
        "background": "keep",
        "coverage": pytest.approx(coverage.mean(), abs=0.01),
        "work": 0.077,
        "work_unit": "megapixels",
    }
    assert notes.code == "matte.done"
    assert [(e.done, e.total) for e in events if isinstance(e, StageProgress)] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]
    assert cutout.matte.shape == coverage.shape


def test_keep_fills_the_hole_with_the_wall() -> None:
    subject, coverage = drawn_subject()
    cutout, _, _ = cut(subject, Known(coverage))
    assert cutout.keeps_photo
    assert cutout.background is not None
    assert np.abs(cutout.background.astype(int) - WALL).max() <= 3
    assert np.abs(over(cutout) - subject.frame).mean() < 1


def test_lines_behind_stay_where_they_are_up_to_the_outline() -> None:
    subject, coverage = drawn_subject()
    barred = subject.frame.copy()
    barred[:, ::12][coverage[:, ::12] == 0] = WHITE
    cutout, _, _ = cut(replace(subject, frame=barred), Known(coverage))
    assert cutout.background is not None
    moved = np.abs(cutout.background.astype(int) - barred)
    assert moved[cv2.dilate(coverage, disc(3)) == 0].max() <= 1


def test_a_hair_that_the_matte_misses_does_not_stay_before_an_even_wall() -> None:
    subject, coverage = drawn_subject()
    subject.frame[36:42, 160] = SKIN  # on the head
    cutout, _, _ = cut(subject, Known(coverage))
    assert cutout.background is not None
    assert np.abs(cutout.background.astype(int) - WALL).max() <= 3


def test_blur_takes_no_colour_of_the_speaker() -> None:
    subject, coverage = drawn_subject()
    cutout, _, _ = cut(subject, Known(coverage), background="blur")
    assert not cutout.keeps_photo
    assert cutout.background is not None
    assert np.abs(cutout.background.astype(int) - WALL).max() <= 3


def test_transparent_has_no_background() -> None:
    subject, coverage = drawn_subject()
    cutout, _, _ = cut(subject, Known(coverage), background="transparent")
    assert cutout.background is None
    assert not cutout.keeps_photo


@pytest.mark.parametrize(
    ("background", "rgb"), [("#20A040", (0x20, 0xA0, 0x40)), ("#2a4", (0x22, 0xAA, 0x44))]
)
def test_a_colour_behind(background: str, rgb: tuple[int, int, int]) -> None:
    """As the settings take it: what they let pass must not be refused after detection."""
    check(Options(background=background))
    subject, coverage = drawn_subject()
    cutout, _, _ = cut(subject, Known(coverage), background=background)
    assert cutout.background is not None
    assert (cutout.background == rgb).all()
    assert cutout.background.shape == subject.frame.shape


def test_an_image_behind_covers_the_frame(tmp_path: Path) -> None:
    image = np.full((200, 800, 3), 255, np.uint8)
    image[:, 300:500] = (0, 255, 0)  # the middle; 267 of its pixels fit the frame's shape
    path = tmp_path / "hall.png"
    Image.fromarray(image).save(path)
    subject, coverage = drawn_subject()
    cutout, _, _ = cut(subject, Known(coverage), background=str(path))
    assert cutout.background is not None
    assert cutout.background.shape == subject.frame.shape
    assert (cutout.background[:, 60:260] == (0, 255, 0)).all()
    assert (cutout.background[:, [0, -1]] == 255).all()


@pytest.mark.parametrize(
    ("background", "code"),
    [
        ("beigeish", "matte.background_unknown"),
        ("#12345", "matte.background_unknown"),
        ("#gggggg", "matte.background_unknown"),
        ("none.jpg", "photo.missing"),
        (".", "photo.folder"),
    ],
)
def test_a_background_that_is_none(background: str, code: str) -> None:
    subject, coverage = drawn_subject()
    model = Known(coverage)
    with pytest.raises(InputError) as caught:
        cut(subject, model, background=background)
    assert (caught.value.code, model.calls) == (code, [])


def test_a_cut_out_without_the_face_is_told() -> None:
    subject, coverage = drawn_subject()
    _, _, events = cut(subject, Known(0 * coverage))
    assert [(e.code, e.metadata) for e in events if isinstance(e, Log)] == [
        ("matte.poor", {"percent": 0})
    ]


# The real networks, on the demo photo


@pytest.fixture(scope="module")
def selfie(model_path: Callable[[str], Path]) -> Selfie:
    return Selfie(model_path("selfie_segmentation"), model_path("selfie_segmentation_landscape"))


@pytest.fixture(scope="module")
def woman(model_path: Callable[[str], Path], demo_photo: Path) -> Callable[..., Subject]:
    faces = FaceDetector(model_path("centerface"))
    landmarks = LandmarkNet(model_path("face_landmark"))
    photo = open_photo(demo_photo)

    def framed(**chosen: Any) -> Subject:
        stage = Detect(faces, landmarks, Options(**chosen))
        return stage.run(Work(photo), lambda _: None).get(Subject)

    return framed


@pytest.mark.models
@pytest.mark.parametrize("shape", [{"height": 512}, {"aspect": "16:9"}, {"framing": "keep"}])
def test_the_astronaut_is_cut_out(
    selfie: Selfie, woman: Callable[..., Subject], shape: dict[str, Any]
) -> None:
    subject = woman(**shape)
    cutout, notes, events = cut(subject, selfie)
    x0, y0, x1, y1 = subject.face
    face = np.zeros(cutout.matte.shape, np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(subject.landmarks[:, :2].astype(np.int32)), 1)
    assert cutout.matte[face > 0].mean() > 0.985
    assert cutout.matte[: y0 - (y1 - y0) // 2].max(initial=0) < 0.02
    wide = (y1 - y0) * 9 // 10
    assert cutout.matte[y0:y1, : max(0, x0 - wide)].max(initial=0) < 0.02
    assert cutout.matte[y0:y1, x1 + wide :].max(initial=0) < 0.02
    soft = (cutout.matte > 0.02) & (cutout.matte < 0.98)
    assert 0.002 < soft.mean() < 0.05
    assert np.abs(over(cutout) - subject.frame).mean() < 1.5
    assert notes.values["backend"] == "selfie_segmentation"
    assert not [event for event in events if isinstance(event, Log)]


@pytest.mark.models
def test_only_the_chosen_one_is_cut_out(selfie: Selfie, zidane: Path) -> None:
    rgb = open_photo(zidane).rgb
    box = (700, 20, 1280, 720)
    matte = selfie.matte(rgb, box)
    assert matte[150:260, 940:1040].mean() > 0.98
    assert matte[:, :600].max() == 0


@pytest.mark.models
def test_no_halo_on_a_dark_background(selfie: Selfie, woman: Callable[..., Subject]) -> None:
    """The demo photo's wall is nearly white: before black, the hair's rim must not shine."""
    subject = woman(height=720)
    cutout, _, _ = cut(subject, selfie, background="#000000")
    x0, y0, x1, _ = subject.face
    rows, columns = slice(0, y0 + 60), slice(x0 - 80, x1 + 80)
    alpha = cutout.matte[rows, columns]
    rim = (alpha > 0.1) & (alpha < 0.9)
    shown = over(cutout)[rows, columns]
    hair = np.percentile(shown[alpha > 0.99].mean(1), 90)
    assert np.percentile(shown[rim].mean(1), 95) < hair
