"""A lid comes down as one opaque sheet of skin with its lashes, and leaves the brow alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.puppet import speaker
from vidgen.media.colour import LUMA
from vidgen.renderers.puppet import eyelids, eyes, lid_net, lid_skin
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.eyelashes import shut_line
from vidgen.renderers.puppet.geometry import Curve, Eye, measure
from vidgen.renderers.puppet.layer import FINE, double, places
from vidgen.renderers.puppet.lid_skin import UNDER, coarseness
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.renderers.puppet.lighting import measure as measure_light
from vidgen.renderers.puppet.rims import Rim, find_rim
from vidgen.work import Pixels, Subject

SIDE = 128


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path)


def light_of(subject: Subject) -> Lighting:
    return measure_light(subject.frame, measure(subject.landmarks))


def drawn_eye(brow: float) -> tuple[Eye, Pixels]:
    """A dark eye 40 pixels wide on bare skin, its brow `brow` pixels above its middle."""
    from vidgen.renderers.puppet.geometry import Axes

    u = np.linspace(-20, 20, 41).astype(np.float32)
    bow = (9 * (1 - (u / 20) ** 2)).astype(np.float32)
    eye = Eye(
        Axes(SIDE / 2, SIDE / 2, 1.0, 0.0), 20.0, Curve(u, -bow), Curve(u, bow),
        Curve(u, np.full(41, -brow, np.float32)),
    )  # fmt: skip
    skin = np.full((SIDE, SIDE, 3), (200, 160, 140), np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    opening = np.abs(y) < 9 * (1 - (x / 20) ** 2)
    skin[opening & (np.abs(x) < 20)] = (40, 30, 30)
    skin[y < -brow] = (40, 30, 30)
    return eye, skin


def build(still: Pixels, eye: Eye, light: Lighting) -> eyelids.Eyelids:
    """The lids of the drawn eye, with the grain of the skin below it."""
    u, v = eye.axes.uv(*places((0, 0, SIDE, SIDE)))
    view = lid_skin.View(still, eye, u, v, FINE, light)
    rim = find_rim(view, lid_skin.skin_colour(view))
    under = rim.lower_edge if rim and not rim.is_across else None
    return eyelids.build(still, eye, u, v, FINE, light, coarseness(view, UNDER), under)


def closing(
    subject: Subject, frame: Pixels, shut: float, glasses: bool = False
) -> NDArray[np.float32]:
    """The picture of `drawn_eye` with its lids `shut`."""
    eye, _ = drawn_eye(30)
    still = double(frame)
    sharp = replace(light_of(subject), blur=0.5, glasses=glasses)
    made = build(still, eye, sharp)
    return made.draw(ONE_FRAME, still.copy(), shut)[::FINE, ::FINE].astype(np.float32)


def with_lashes(thick: float, luma: int) -> Pixels:
    """The drawn eye with a band of lashes over its opening, `thick` pixels."""
    _, frame = drawn_eye(30)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    above = -9 * (1 - (x / 20) ** 2) - y
    frame[(above > 0) & (above <= thick) & (np.abs(x) < 20)] = luma
    return frame


def line_of(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """How dark the middle column is about the shut lid's edge, of the skin's luma."""
    column = picture[SIDE // 2 + 3 : SIDE // 2 + 19, SIDE // 2 - 6 : SIDE // 2 + 6].mean(1) @ LUMA
    return np.asarray(1 - column / column.max())


def covered(subject: Subject, brow: float, above: float) -> float:
    """How much of the skin `above` pixels over the opening's middle a shut lid covers."""
    eye, frame = drawn_eye(brow)
    made = build(double(frame), eye, light_of(subject))
    whole = np.zeros(made.still.shape[:2])
    whole[made.part] = made.cover * eyelids.SPAN
    return float(whole[round(FINE * (SIDE / 2 - 9 - above)), FINE * SIDE // 2])


def test_a_lid_fades_into_the_skin_above_it(subject: Subject) -> None:
    shares = [covered(subject, 30, above) for above in (1, 4, 7)]
    assert shares[0] > 0.8
    assert 0.1 < shares[1] < 0.95  # no outline
    assert shares[0] > shares[1] > shares[2]


def test_a_low_brow_is_never_painted_over(subject: Subject) -> None:
    assert covered(subject, 14, 5) == 0


def test_a_shut_lid_has_the_grain_of_the_skin_beside_it(subject: Subject) -> None:
    _, frame = drawn_eye(30)
    noise = np.random.default_rng(1).normal(0, 6, frame.shape[:2])[..., None]
    luma = closing(subject, np.clip(frame + noise, 0, 255).astype(np.uint8), 1.0) @ LUMA
    fine = luma[1:-1, 1:-1] - (luma[:-2, 1:-1] + luma[2:, 1:-1]) / 2
    lid, skin = fine[55:66, 55:72], fine[80:100, 44:84]
    assert 0.6 < lid.std() / skin.std() < 1.4


def test_a_shut_lid_on_smooth_skin_is_smooth(subject: Subject) -> None:
    lid = closing(subject, drawn_eye(30)[1], 1.0)[52:60, 55:72] @ LUMA
    assert np.diff(lid, axis=1).std() < 1


def test_both_lids_have_the_same_grain(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the skin under one eye alone is grainy: wrinkles and shades are no grain."""
    monkeypatch.setattr(lid_net, "find_missing", lambda _view, drawn, _share: np.zeros_like(drawn))
    face = measure(subject.landmarks, subject.eyes)
    half = int(subject.landmarks[168, 0])  # between the eyes
    frame = subject.frame.astype(np.float32)
    frame[:, :half] += np.random.default_rng(1).normal(0, 12, (*frame[:, :half].shape[:2], 1))
    both = eyes.build(frame.clip(0, 255).astype(np.uint8), face, light_of(subject))
    rough, smooth = (np.diff(eye.lids.detail[..., 0], axis=1).std() for eye in both)
    assert 0.7 < rough / smooth < 1.4


def test_the_shade_above_a_lid_goes_on_over_it_and_fades_out(subject: Subject) -> None:
    bare, shaded = drawn_eye(30)[1], drawn_eye(30)[1]
    shaded[SIDE // 2 - 29 : SIDE // 2 - 10] = (140, 112, 98)
    middle = slice(SIDE // 2 - 6, SIDE // 2 + 6)
    light, dark = (
        closing(subject, frame, 1.0)[:, middle].mean(1) @ LUMA for frame in (bare, shaded)
    )
    share = (dark / light)[SIDE // 2 - 8 : SIDE // 2 + 1]  # above the lashes
    assert share[0] < 0.85
    assert share[-1] > share[0] + 0.04
    assert (np.diff(share) > -0.01).all()


def test_nearly_black_skin_round_a_lid_does_not_glow() -> None:
    still = np.zeros((40, 40, 3), np.uint8)
    still[..., 0] = 9
    cover = np.zeros((40, 40), np.float32)
    cover[10:30, 10:30] = 1
    grey = np.full((40, 40, 3), 60, np.float32)
    lid = lid_skin.join(still, grey, cover, 4.0)
    assert (lid[..., 0] - lid[..., 2]).max() < 3


def test_dark_lashes_draw_a_dark_line_and_light_ones_a_lighter(subject: Subject) -> None:
    dark, light = (line_of(closing(subject, with_lashes(3, luma), 1.0)) for luma in (20, 110))
    assert dark.max() > 0.6
    assert 0.1 < light.max() < 0.75 * dark.max()


def test_long_lashes_draw_a_wide_line(subject: Subject) -> None:
    short, long = (line_of(closing(subject, with_lashes(thick, 20), 1.0)) for thick in (1, 4))
    assert long.sum() > 1.03 * short.sum()


def test_shut_lashes_slope_from_the_outer_corner_up_to_the_inner_one(subject: Subject) -> None:
    """As in real blinks, where they lie lower and flatter than the open eye's lower lid."""
    eye, frame = drawn_eye(30)  # its outer corner is on the left
    luma = closing(subject, frame, 1.0) @ LUMA
    outer, middle, inner = (
        int(
            luma[SIDE // 2 - 6 : SIDE // 2 + 14, SIDE // 2 + at - 1 : SIDE // 2 + at + 2]
            .mean(1)
            .argmin()
        )
        for at in (-10, 0, 12)
    )
    assert outer > middle > inner
    other = shut_line(replace(eye, outer=1))
    assert other(np.array([-12.0])) == shut_line(eye)(np.array([12.0]))


def test_no_lashes_are_left_beside_the_outer_corner(subject: Subject) -> None:
    _, frame = drawn_eye(30)
    wing = slice(SIDE // 2 - 3, SIDE // 2), slice(SIDE // 2 - 27, SIDE // 2 - 21)
    frame[wing] = 30
    skin = frame[SIDE // 2 + 30, SIDE // 2] @ LUMA
    assert (closing(subject, frame, 1.0)[wing] @ LUMA).min() > 0.75 * skin
    assert (closing(subject, frame, 1.0, glasses=True)[wing] @ LUMA).min() < 0.6 * skin  # a rim


@pytest.mark.parametrize("shut", [0.08, 0.12, 0.6])
def test_a_lid_is_opaque_down_to_its_edge_and_the_eye_clear_below(
    subject: Subject, shut: float
) -> None:
    frames = [drawn_eye(30)[1], drawn_eye(30)[1]]
    opening = (frames[0] == (40, 30, 30)).all(-1)
    opening[: SIDE // 2 - 12] = False
    frames[1][opening] = (60, 200, 60)
    dark, green = (closing(subject, frame, shut)[:, SIDE // 2] for frame in frames)
    seen = np.abs(dark - green).max(-1)  # of the eye, whose green differs by 170
    edge = int(SIDE // 2 - 9 + 18 * shut)
    assert seen[: edge + 1].max() < 40
    assert shut > 0.5 or seen[edge + 2] > 164


def test_nothing_of_the_eye_is_left_at_the_corners(subject: Subject) -> None:
    """Of a white that goes on beyond what the net calls the eye."""
    _, frame = drawn_eye(30)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    white = np.abs(y) < 11 * (1 - (x / 23) ** 2)
    frame[white & (np.abs(x) > 6)] = (235, 235, 240)
    shut = closing(subject, frame, 1.0)
    assert (shut[..., 2] - 140).max() < 45  # the skin has 140 of blue, the white 240


def test_white_beyond_the_outer_corner_is_covered_by_the_lid_s_own_skin(subject: Subject) -> None:
    eye, frame = drawn_eye(30)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    inner = np.abs(y) < 9 * (1 - (x / 20) ** 2)
    beyond = ((x + 21) / 7) ** 2 + ((y - 5) / 5) ** 2 < 1
    frame[(inner | beyond) & (np.abs(x) > 6)] = (235, 235, 240)
    lids = build(double(frame), eye, replace(light_of(subject), blur=0.5))
    cover = np.zeros(lids.still.shape[:2], np.float32)
    cover[lids.part] = lids.cover * eyelids.SPAN
    assert cover[::FINE, ::FINE][beyond & (x < -24) & (y > 8)].min() > 0.5


@pytest.mark.parametrize("shut", [0.1, 0.5, 1.0])
def test_a_rim_above_the_eye_stays_where_it_is(subject: Subject, shut: float) -> None:
    _, frame = drawn_eye(30)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    rim = np.abs(y + 13 - (x / 20) ** 2) < 1.6  # a bow two pixels over the opening
    frame[rim] = (20, 20, 20)
    change = np.abs(closing(subject, frame, shut, glasses=True) - frame).max(-1)
    assert change[rim].max() < 12


@pytest.mark.parametrize("luma", [60, 250])
def test_a_wire_above_the_eye_stays_whole(subject: Subject, luma: int) -> None:
    eye, frame = drawn_eye(30)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    rim = np.abs(y + 15 - (x / 20) ** 2) < 1
    frame[rim] = luma
    light = replace(light_of(subject), blur=0.5, wire=True)
    made = build(double(frame), eye, light)
    shut = made.draw(ONE_FRAME, double(frame), 1.0)[::FINE, ::FINE].astype(np.float32)
    assert np.abs(shut - frame).max(-1)[rim].max() < 12
    assert np.abs(shut - frame).max(-1)[SIDE // 2, SIDE // 2] > 80  # it shuts below


def test_a_crease_that_ends_with_the_eye_is_no_wire(subject: Subject) -> None:
    eye, frame = drawn_eye(30)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    crease = (np.abs(y + 15 - (x / 20) ** 2) < 1) & (np.abs(x) < 18)
    frame[crease] = (90, 60, 50)
    made = build(double(frame), eye, replace(light_of(subject), blur=0.5, wire=True))
    shut = made.draw(ONE_FRAME, double(frame), 1.0)[::FINE, ::FINE].astype(np.float32)
    assert np.abs(shut - frame).max(-1)[crease & (np.abs(x) < 12)].min() > 50


@pytest.mark.parametrize("shut", [0.3, 0.6, 1.0])
def test_a_lid_comes_out_from_under_a_rim_close_above_it(subject: Subject, shut: float) -> None:
    _, frame = drawn_eye(30)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    rim = np.abs(y + 14 - (x / 20) ** 2) < 2
    frame[rim] = (95, 75, 60)
    picture = closing(subject, frame, shut, glasses=True)
    changed = np.abs(picture - frame).max(-1)
    assert changed[rim & (np.abs(x) < 30)].max() < 12
    assert changed[SIDE // 2 - 6 : SIDE // 2, SIDE // 2].max() > 80  # it comes down below


def test_a_rim_is_a_line_above_the_eye_behind_glasses(subject: Subject) -> None:
    eye, bare = drawn_eye(30)
    lined = bare.copy()
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    lined[np.abs(y + 14 - (x / 20) ** 2) < 2] = (95, 75, 60)

    def find(frame: Pixels, glasses: bool) -> Rim | None:
        u, v = eye.axes.uv(*places((0, 0, SIDE, SIDE)))
        light = replace(light_of(subject), blur=0.5, glasses=glasses, wire=False)
        view = lid_skin.View(double(frame), eye, u, v, FINE, light)
        return find_rim(view, lid_skin.skin_colour(view))

    assert find(lined, glasses=False) is None
    assert find(bare, glasses=True) is None
    found = find(lined, glasses=True)
    assert found is not None
    assert not found.is_across
    assert -13 < float(found.lower_edge(np.zeros(1))[0]) < -10


def eye_behind_rim(height: float, reach: float = SIDE) -> tuple[Eye, Pixels, NDArray[np.bool_]]:
    """The drawn eye, all white, behind a rim `height` pixels above its middle, and that rim."""
    eye, frame = drawn_eye(30)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    frame[(frame == (40, 30, 30)).all(-1) & (y > -20)] = (225, 220, 215)
    rim = (np.abs(y + height - (x / 24) ** 2) < 1.6) & (np.abs(x) < reach)
    frame[rim] = (60, 45, 40)
    return eye, cv2.GaussianBlur(frame, (0, 0), 0.5), rim


@pytest.mark.parametrize("shut", [0.0, 0.08, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("height", [2, 5, 8])
def test_a_rim_across_an_eye_stays_while_it_looks_aside_and_shuts(
    subject: Subject, height: float, shut: float
) -> None:
    eye, frame, rim = eye_behind_rim(height)
    face = replace(measure(subject.landmarks), eyes=(eye, eye))
    light = replace(light_of(subject), blur=0.5, glasses=True)
    patch, _ = eyes.build(frame, face, light)
    left, top, right, bottom = patch.box
    ball = patch.lids.still.copy()
    x, y = FINE * (patch.opening[0] - left), FINE * (patch.opening[1] - top)
    looks = patch.ball.draw(ONE_FRAME, 0.2, 0.1)
    ball[y : y + looks.shape[0], x : x + looks.shape[1]] = looks
    drawn = patch.lids.draw(ONE_FRAME, ball, shut)[::FINE, ::FINE].astype(np.float32)
    changed = np.abs(drawn - frame[top:bottom, left:right]).max(-1)
    rim = cv2.erode(rim.astype(np.uint8), np.ones((3, 1), np.uint8)) > 0
    assert changed[rim[top:bottom, left:right]].max() < 12
    below = changed[SIDE // 2 + 3 - top, SIDE // 2 - left]
    assert shut < 1 or below > 30


def test_a_line_that_ends_at_the_eye_is_its_lid_and_no_rim(subject: Subject) -> None:
    light = replace(light_of(subject), blur=0.5, glasses=True)

    def found(reach: float) -> Rim | None:
        eye, frame, _ = eye_behind_rim(5, reach)
        view = lid_skin.View(
            double(frame), eye, *eye.axes.uv(*places((0, 0, SIDE, SIDE))), FINE, light
        )
        return find_rim(view, lid_skin.skin_colour(view))

    rim = found(SIDE)
    assert rim is not None
    assert rim.gap < 0
    assert 2 < rim.above + rim.below < 6
    assert found(21) is None


def test_where_a_lids_skin_begins_has_no_dips() -> None:
    at = np.linspace(-1, 1, 21)
    dome = at**2 - 1
    dips = dome + np.where(np.isin(np.arange(21), (3, 4, 15)), 0.2, 0.0)
    arched = eyelids.arch(at, dips)
    assert (arched <= dips + 1e-6).all()
    assert (np.diff(arched, 2) > -1e-6).all()
    assert np.abs(arched - dome).max() < 0.05
    assert np.allclose(eyelids.arch(at, dome), dome, atol=1e-6)


@pytest.mark.parametrize("below", [0, 4])
def test_an_opening_is_covered_at_two_thirds_however_far_the_lid_goes_on(
    subject: Subject, below: int
) -> None:
    _, frame = drawn_eye(30)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    frame[(y >= 0) & (y < below + 9 * (1 - (x / 20) ** 2)) & (np.abs(x) < 20)] = (40, 30, 30)
    half, most = (
        closing(subject, frame, shut)[SIDE // 2 + 6, SIDE // 2 - 3 : SIDE // 2 + 4].mean(0) @ LUMA
        for shut in (0.4, 0.7)
    )
    assert half < 60
    assert most > 80  # skin or lashes: the eye is 34


def test_a_lid_goes_no_deeper_for_dark_skin_below_the_eye(subject: Subject) -> None:
    plain, frame = drawn_eye(30)[1], drawn_eye(30)[1]
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    frame[(y > 8) & (y < 14) & (np.abs(x) < 20)] = (120, 90, 80)
    usual, deep = (
        int(line_of(closing(subject, picture, 1.0)).argmax()) for picture in (plain, frame)
    )
    assert deep <= usual + 3


def test_no_white_is_left_below_a_shut_lid(subject: Subject) -> None:
    """Of an eye that goes on below what the net calls its lower lid, at one corner."""
    _, frame = drawn_eye(30)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    inner = np.abs(y) < 9 * (1 - (x / 20) ** 2)
    white = inner | (((x - 13) / 8) ** 2 + ((y - 7) / 6) ** 2 < 1)
    frame[white & (np.abs(x) > 6)] = (235, 235, 240)
    assert (frame[..., 2] == 240).sum() > 200
    shut = closing(subject, frame, 1.0)
    assert (shut[..., 2] - 140).max() < 45  # the skin has 140 of blue, the white 240
    lids = build(double(frame), drawn_eye(30)[0], replace(light_of(subject), blur=0.5))
    cover = np.zeros(lids.still.shape[:2], np.float32)
    cover[lids.part] = lids.cover * eyelids.SPAN
    assert cover[::FINE, ::FINE][white & (y > 8) & (x > 10)].min() > 0.5  # by the lid's own skin


def test_no_lid_is_drawn_over_what_is_behind_the_speaker(subject: Subject) -> None:
    """Nor has it anything of its colours."""
    face, light = measure(subject.landmarks, subject.eyes), light_of(subject)
    edge = int(subject.landmarks[33, 0])  # where one eye ends
    alpha = np.full(subject.frame.shape[:2], 255, np.uint8)
    alpha[:, :edge] = 0
    lids = []
    for wall in (0, 255):
        frame = subject.frame.copy()
        frame[:, :edge] = wall
        patch, _ = eyes.build(frame, face, light, alpha)
        shut = patch.lids.draw(ONE_FRAME, patch.lids.still.copy(), 1.0)
        behind = FINE * (edge - patch.box[0])
        assert (shut[:, : behind - 8] == wall).all()
        lids.append(shut[:, behind + 8 :].astype(np.float32))
    assert behind > 10
    np.testing.assert_allclose(lids[0], lids[1], atol=1)


def test_patches_are_the_photo_up_to_their_edges(subject: Subject) -> None:
    face = measure(subject.landmarks, subject.eyes)
    fine = double(subject.frame)
    for patch in eyes.build(subject.frame, face, light_of(subject)):
        for box, still in ((patch.box, patch.lids.still), (patch.opening, patch.ball.still)):
            left, top, right, bottom = (FINE * side for side in box)
            np.testing.assert_array_equal(still, fine[top:bottom, left:right])


def test_lashes_are_seen_on_the_whole_edge_of_a_shut_lid(subject: Subject) -> None:
    eye, frame = drawn_eye(30)
    made = build(double(frame), eye, replace(light_of(subject), blur=0.5))
    made = replace(made, detail=np.zeros_like(made.detail), reach=np.ones_like(made.reach))
    darker = replace(made, detail=made.detail - 20 / eyelids.SPAN)
    bare, dark = (
        lids.draw(ONE_FRAME, double(frame), 1.0)[made.part].astype(np.float32)
        for lids in (made, darker)
    )
    assert np.abs(bare - dark - 20)[bare.min(-1) > 20].max() <= 1


def test_the_far_eye_of_a_turned_face_is_as_large_as_the_near_one() -> None:
    eye, _ = drawn_eye(30)  # 40 pixels wide
    assert eye.size == replace(eye, wider=21.0).size == 40
    assert replace(eye, wider=26.0).size == 52
