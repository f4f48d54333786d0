"""The puppet's frames: the photo at rest, the same pixels every time, and nothing torn."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.puppet import asked, cut, drawn, placed, speaker, voice
from vidgen.media.colour import to_yuv420p
from vidgen.renderers.puppet import cpu, geometry, lighting, rig
from vidgen.renderers.puppet.renderer import PuppetRenderer
from vidgen.renderers.puppet.rig import Rig
from vidgen.work import Cutout, MotionOptions, Pixels, Speech, Subject

SHUT = {"close": 1.0, "relax": 1.0}
OPEN = {**SHUT, "wide": 1.0}
TURNED = {"yaw": 3.0, "pitch": -2.0, "roll": 2.0, "tx": 0.01, "breath": 1.0}


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path)


@pytest.fixture(scope="module")
def made(subject: Subject) -> Rig:
    return rig.build(subject, cut(subject))


def mouth_box(made: Rig) -> tuple[slice, slice]:
    left, top, right, bottom = made.mouth.box
    return slice(top, bottom), slice(left, right)


def opening(made: Rig, frame: Pixels) -> float:
    """Share of the mouth's box that differs much from the shut mouth."""
    box = mouth_box(made)
    shut = drawn(made, **SHUT)
    change = np.abs(frame[box].astype(int) - shut[box]).max(-1)
    return float((change > 40).mean())


def test_a_frame_that_asks_nothing_is_the_framed_photo_to_the_bit(
    subject: Subject, made: Rig
) -> None:
    assert np.array_equal(drawn(made), subject.frame)


def test_a_shut_mouth_changes_nothing_outside_its_own_place(subject: Subject, made: Rig) -> None:
    frame = drawn(made, close=0.0, press=1e-6)
    outside = np.ones(frame.shape[:2], bool)
    outside[mouth_box(made)] = False
    assert np.array_equal(frame[outside], subject.frame[outside])


def test_the_jaw_opens_the_mouth_and_pressed_lips_keep_it_shut(made: Rig) -> None:
    sizes = [opening(made, drawn(made, **SHUT, wide=jaw)) for jaw in (0.3, 0.6, 1.0)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 0.1
    assert opening(made, drawn(made, **SHUT, press=1.0)) < 0.02


def test_a_shut_mouth_shows_no_tooth(made: Rig) -> None:
    box = mouth_box(made)
    teeth = (drawn(made)[box].min(-1) > 205).mean()
    assert teeth > 0.02  # the photo smiles
    assert (drawn(made, **SHUT)[box].min(-1) > 205).mean() < 0.4 * teeth  # the lip still shines


def test_shut_lids_hide_the_eyes(subject: Subject, made: Rig) -> None:
    frame = drawn(made, shut=1.0)
    for eye in made.face.eyes:
        x, y = eye.axes.xy(np.array([0.0]), eye.upper(np.array([0.0])) + 0.45 * eye.opening)
        around = slice(int(y[0]) - 2, int(y[0]) + 3), slice(int(x[0]) - 3, int(x[0]) + 4)
        assert subject.frame[around].min() < 70  # the pupil
        assert frame[around].mean() > subject.frame[around].mean() + 25


def test_lids_under_a_low_dark_brow_take_the_skins_colour(subject: Subject) -> None:
    dark = subject.frame.copy()
    face = geometry.measure(subject.landmarks)
    for eye in face.eyes:  # hair from the brow down to the lashes
        u = np.linspace(-1.2, 1.2, 25) * eye.half
        above, below = eye.axes.xy(u, eye.brow(u)), eye.axes.xy(u, eye.upper(u) - 1)
        shape = np.concatenate([np.stack(above, 1), np.stack(below, 1)[::-1]])
        cv2.fillPoly(dark, [shape.round().astype(np.int32)], (45, 35, 30))
    low = replace(subject, frame=dark)
    frame = drawn(rig.build(low, cut(low)), shut=1.0)
    for eye in face.eyes:
        middle = eye.upper(np.zeros(1)) + 0.5 * eye.opening
        x, y = (int(value[0]) for value in eye.axes.xy(np.zeros(1), middle))
        cheek = dark[y + int(0.6 * eye.half) : y + int(0.9 * eye.half), x - 4 : x + 5].mean()
        assert frame[y - 1 : y + 2, x - 3 : x + 4].mean() > 0.65 * cheek


@pytest.mark.parametrize("tint", [(1.0, 1.0, 1.0), (1.08, 1.0, 0.80)])
def test_the_mouth_in_a_photo_without_colours_is_not_red(
    subject: Subject, tint: tuple[float, float, float]
) -> None:
    # dark enough that no tint is cut off at 255
    grey = 0.9 * cv2.cvtColor(subject.frame, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    toned = replace(
        subject, frame=np.clip(grey * np.array(tint, np.float32), 0, 255).astype(np.uint8)
    )
    made = rig.build(toned, cut(toned))
    mouth = drawn(made, **SHUT, wide=1.0)[mouth_box(made)].astype(np.float32)
    redder = mouth[..., 0] / tint[0] - mouth[..., 1] / tint[1]
    assert np.abs(redder).max() < 4


def test_the_stains_of_a_statue_are_no_colours(subject: Subject) -> None:
    grey = 0.9 * cv2.cvtColor(subject.frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
    stain = 1 + 0.03 * np.sin(x / 17) * np.sin(y / 23)
    stone = np.stack([grey * stain, grey, 0.9 * grey / stain], -1).clip(0, 255).astype(np.uint8)
    face = geometry.measure(subject.landmarks, subject.eyes)
    assert lighting.measure(stone, face).toned is not None
    assert lighting.measure(subject.frame, face).toned is None


@pytest.mark.parametrize("lips", [0, 30])
def test_a_grey_mouth_under_a_coloured_band_is_grey_but_for_painted_lips(
    subject: Subject, lips: int
) -> None:
    face = geometry.measure(subject.landmarks, subject.eyes)
    grey = cv2.cvtColor(subject.frame, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    frame = np.repeat(grey, 3, 2)
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]].astype(np.float32)
    u, v = face.axes.uv(x, y)
    band = (v < -0.25 * face.height) & (v > -0.6 * face.height)
    frame[band] *= np.array([0.9, 0.6, 0.8], np.float32)
    frame[(v > face.outer_upper(u)) & (v < face.outer_lower(u)), 0] += lips
    toned = lighting.measure(frame.clip(0, 255).astype(np.uint8), face).toned
    if lips:
        assert toned is None
    else:
        assert toned is not None
        assert np.ptp(toned) < 0.01


def test_smooth_skin_of_one_hue_with_red_lips_is_no_statue(subject: Subject) -> None:
    face = geometry.measure(subject.landmarks, subject.eyes)
    lab = cv2.cvtColor(subject.frame, cv2.COLOR_RGB2LAB)
    lab[..., 1:] = 140, 142
    y, x = np.mgrid[: lab.shape[0], : lab.shape[1]].astype(np.float32)
    u, v = face.axes.uv(x, y)
    lips = (v > face.outer_upper(u)) & (v < face.outer_lower(u))
    pale = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    lab[lips, 1] += 9
    assert lighting.measure(pale, face).toned is not None
    assert lighting.measure(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), face).toned is None


def test_looking_aside_moves_the_iris_and_leaves_the_lids(subject: Subject, made: Rig) -> None:
    right = drawn(made, look_x=0.25)
    changed = (right != subject.frame).any(-1)
    assert changed.any()
    inside = np.zeros_like(changed)
    for eye in made.eyes:
        left, top, right_edge, bottom = eye.opening
        inside[top:bottom, left:right_edge] = True
    assert not changed[~inside].any()


def test_a_turned_head_keeps_its_sharpness(subject: Subject, made: Rig) -> None:
    left, top, right, bottom = subject.face
    tall, wide = bottom - top, right - left
    nose = slice(top + tall // 3, top + 2 * tall // 3), slice(left + wide // 3, right - wide // 3)

    def sharpness(frame: Pixels) -> float:
        grey = cv2.cvtColor(np.ascontiguousarray(frame[nose]), cv2.COLOR_RGB2GRAY)
        return float(cv2.Laplacian(grey, cv2.CV_64F).var())

    moved = [drawn(made, yaw=yaw, pitch=0.7 * yaw) for yaw in (-1.7, -0.6, 0.6, 1.7)]
    assert np.mean([sharpness(frame) for frame in moved]) > 0.9 * sharpness(subject.frame)


def test_far_from_the_speaker_nothing_moves(subject: Subject, made: Rig) -> None:
    far = cv2.dilate(cut(subject).matte, np.ones((41, 41), np.uint8)) == 0
    assert far.mean() > 0.1
    assert np.array_equal(drawn(made, **TURNED)[far], subject.frame[far])


def test_frames_are_the_same_however_they_are_reached(subject: Subject) -> None:
    with PuppetRenderer().perform(subject, cut(subject), voice(), MotionOptions(seed=3)) as act:
        assert act.frame_count == 25
        whole = np.concatenate([frames.pixels for frames in act.frames(0, 25)])
        late = np.concatenate([frames.pixels for frames in act.frames(13, 25)])
    assert np.array_equal(whole[13:], late)


def test_the_same_seed_gives_the_same_film_and_another_seed_another(subject: Subject) -> None:
    def film(seed: int) -> Pixels:
        with PuppetRenderer().perform(
            subject, cut(subject), voice(), MotionOptions(seed=seed)
        ) as act:
            return np.concatenate([frames.pixels for frames in act.frames(0, act.frame_count)])

    first = film(1)
    assert np.array_equal(first, film(1))
    assert not np.array_equal(first, film(2))


def test_all_scales_at_zero_show_the_photo(subject: Subject) -> None:
    still = MotionOptions(mouth=0, head_motion=0, blink=0, brows=0, gaze=0)
    with PuppetRenderer().perform(subject, cut(subject), voice(0.4), still) as act:
        for frames in act.frames(0, act.frame_count):
            for frame in frames.pixels:
                assert np.array_equal(frame, subject.frame)


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(60)])
def test_the_film_covers_the_whole_voice(subject: Subject, fps: Fraction) -> None:
    with PuppetRenderer().perform(subject, cut(subject), voice(0.5), MotionOptions(fps=fps)) as act:
        count = sum(len(frames) for frames in act.frames(0, act.frame_count))
    assert count == act.frame_count == -(-fps.numerator // (2 * fps.denominator))


def test_without_a_background_the_film_is_transparent(subject: Subject) -> None:
    made = rig.build(subject, cut(subject, "nothing"))
    frame = drawn(made, **TURNED)
    assert frame.shape == (*subject.frame.shape[:2], 4)
    assert frame[0, 0].tolist() == [0, 0, 0, 0]
    inner = cv2.erode(cut(subject).matte, np.ones((41, 41), np.uint8)) > 0.999
    assert (frame[inner, 3] == 255).all()
    # not premultiplied: half covered pixels are as bright as the photo near them
    half = (frame[..., 3] > 100) & (frame[..., 3] < 156)
    near = cv2.blur(subject.frame, (25, 25))[half]
    assert abs(float(frame[half, :3].mean()) - float(near.mean())) < 25


def test_another_background_shows_behind_the_moved_head(subject: Subject) -> None:
    frame = drawn(rig.build(subject, cut(subject, "green")), **TURNED)
    assert frame[2, 2].tolist() == [30, 160, 60]


@pytest.mark.parametrize("shift", [(-110, 0), (110, 0), (0, -90), (0, 120), (-100, 110)])
def test_a_face_cut_by_the_frame_is_drawn_without_failing(
    subject: Subject, shift: tuple[int, int]
) -> None:
    moved = placed(
        np.roll(subject.frame, shift, (1, 0)), subject.landmarks + np.array([*shift, 0], np.float32)
    )
    made = rig.build(moved, cut(moved))
    for frame in (OPEN, {"shut": 1.0, "look_x": 0.2}, TURNED):
        assert drawn(made, **frame).shape == moved.frame.shape
    assert np.array_equal(drawn(made), moved.frame)


@pytest.mark.parametrize("share", [0.06, 0.15, 0.9])
def test_small_and_large_faces_are_drawn(
    demo_photo: Path, model_path: Callable[[str], Path], share: float
) -> None:
    subject = speaker(demo_photo, model_path, 256, share)
    made = rig.build(subject, cut(subject))
    assert np.array_equal(drawn(made), subject.frame)
    assert not np.array_equal(drawn(made, **OPEN), subject.frame)


@pytest.mark.parametrize("turn", [-40, 25, 90])
def test_a_tilted_head_opens_its_mouth_along_its_own_face(subject: Subject, turn: int) -> None:
    size = subject.frame.shape[0]
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), turn, 1.0)
    frame = cv2.warpAffine(subject.frame, matrix, (size, size), borderMode=cv2.BORDER_REFLECT_101)
    points = subject.landmarks.copy()
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    tilted = placed(frame, points)
    made = rig.build(tilted, cut(tilted))
    chin = points[152, :2] - points[13, :2]
    changed = np.abs(drawn(made, **OPEN).astype(int) - drawn(made, **SHUT)).max(-1) > 40
    y, x = np.nonzero(changed)
    towards = np.array([x.mean(), y.mean()]) - points[13, :2]
    assert float(towards @ chin) > 0


def test_a_matte_of_nothing_and_one_of_nan_are_survived(subject: Subject) -> None:
    for value in (0.0, np.nan):
        empty = np.full(subject.frame.shape[:2], value, np.float32)
        bad = Cutout(subject.frame, empty, subject.frame, keeps_photo=True)
        assert np.array_equal(drawn(rig.build(subject, bad)), subject.frame)


def test_silence_keeps_the_mouth_shut_while_the_eyes_blink(subject: Subject) -> None:
    silence = Speech(np.zeros(16000 * 8, np.float32), 16000, "silence")
    with PuppetRenderer().perform(subject, cut(subject), silence, MotionOptions()) as act:
        assert act.metadata["blinks"] > 0
        shut = drawn(rig.build(subject, cut(subject)), **SHUT)
        first = next(act.frames(0, 1)).pixels[0]
    assert np.abs(first.astype(int) - shut).mean() < 1.0


def test_an_abandoned_film_leaves_opencv_as_it_was(subject: Subject) -> None:
    before = cv2.getNumThreads()
    with PuppetRenderer().perform(subject, cut(subject), voice(), MotionOptions()) as act:
        next(act.frames(0, act.frame_count))
    assert cv2.getNumThreads() == before


def test_the_frames_of_a_batch_do_not_touch_each_other(made: Rig) -> None:
    wide = asked(OPEN, {}, OPEN)
    first, second = (np.empty((*made.size[::-1], 3), np.uint8) for _ in range(2))
    cpu.draw(made, wide, 0, first)
    cpu.draw(made, replace(wide), 1, second)
    cpu.draw(made, wide, 2, second)
    assert np.array_equal(first, second)


@pytest.mark.parametrize("behind", ["photo", "green"])
def test_a_worker_draws_the_same_frames_where_it_only_draws_what_changes(
    subject: Subject, behind: str
) -> None:
    figure, far = rig.build(subject, cut(subject, behind)), {"tx": 0.016, "ty": -0.016, "yaw": 6.0}
    near = {name: -value for name, value in far.items()}
    plan = asked({**OPEN, **far}, {}, {**SHUT, **near}, {"shut": 1.0, **far}, near)
    act = cpu.SingleCorePerformance(figure, plan, {})
    batches = list(act.frames(0, len(plan)))
    assert {batch.layout for batch in batches} == {"yuv420p"}
    found = np.concatenate([batch.pixels for batch in batches])
    out = np.empty_like(subject.frame)
    for index, frame in enumerate(found):
        cpu.draw(figure, plan, index, out)
        assert np.array_equal(frame, to_yuv420p(out))


def test_glasses_are_noticed_and_their_frame_does_not_rise_with_the_brows(
    subject: Subject,
) -> None:
    frame = subject.frame.copy()
    points = subject.landmarks[:, :2]
    rims = []
    for outer, inner in ((33, 133), (263, 362)):
        middle, wide = (
            (points[outer] + points[inner]) / 2,
            np.hypot(*(points[outer] - points[inner])),
        )
        rims.append((tuple(middle.round().astype(int)), (int(0.8 * wide), int(0.6 * wide))))
    for middle, axes in rims:
        cv2.ellipse(frame, middle, axes, 0, 0, 360, (20, 18, 16), 2)
    ends = [tuple(points[point].round().astype(int)) for point in (133, 362)]
    cv2.line(frame, ends[0], ends[1], (20, 18, 16), 2)
    wearing = replace(subject, frame=frame)
    made, bare = (rig.build(one, cut(one)) for one in (wearing, subject))
    assert (made.light.glasses, bare.light.glasses) == (True, False)
    lifted = [np.abs(one.bases.upper[-1]).max() for one in (made, bare)]
    assert lifted[0] < 0.5 * lifted[1]
