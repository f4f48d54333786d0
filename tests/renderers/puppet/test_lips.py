"""The pictures of the lips: no skin at their edges, and a line where they meet."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.renderers.puppet import lip_edges, lips
from vidgen.renderers.puppet.geometry import Curve, FaceGeometry, measure
from vidgen.renderers.puppet.grid import Array
from vidgen.renderers.puppet.layer import crop, double
from vidgen.renderers.puppet.lips import Lips
from vidgen.renderers.puppet.smile_teeth import tops
from vidgen.work import Pixels, Subject

MOUSTACHE = (0, 200, 0)


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    small = speaker(demo_photo, model_path)
    return replace(small, frame=double(double(small.frame)), landmarks=4 * small.landmarks)


@pytest.fixture(scope="module")
def face(subject: Subject) -> FaceGeometry:
    return lip_edges.snap_lips(subject.frame, measure(subject.landmarks))


def built(frame: Pixels, face: FaceGeometry) -> Lips:
    x, y, reach = round(face.axes.x), round(face.axes.y), round(0.3 * face.height)
    box = x - reach, y - reach, x + reach, y + reach
    return lips.build(frame, face, box, np.ones((2 * reach, 2 * reach), np.float32))


def middle_of(seen: FaceGeometry) -> Curve:
    """Midway between the lips' outer edges."""
    u = seen.upper.u
    return Curve(u, (seen.outer_upper(u) + seen.outer_lower(u)) / 2)


def shut_mouth(subject: Subject) -> tuple[FaceGeometry, tuple[Array, Array], Pixels]:
    """The landmarks' face, every pixel's u and Hf below the lips' middle, and the frame with lips
    of one red all over."""
    seen = measure(subject.landmarks)
    u, v = seen.axes.uv(*np.meshgrid(*map(np.arange, subject.frame.shape[1::-1])))
    frame, beside = subject.frame.copy(), np.abs(seen.across(u)) < 1
    frame[(v > seen.outer_upper(u)) & (v < seen.outer_lower(u)) & beside] = (190, 100, 100)
    return seen, (u, (v - middle_of(seen)(u)) / seen.height), frame


def parted(seen: FaceGeometry, above: float, below: float) -> FaceGeometry:
    """`seen` with landmarks that open the lips from so many Hf below their middle to so many."""
    middle = middle_of(seen)
    upper, lower = (Curve(middle.u, middle.v + way * seen.height) for way in (above, below))
    return replace(seen, upper=upper, lower=lower, gap=(below - above) * seen.height)


def depths(face: FaceGeometry, made: Lips) -> tuple[Array, Array]:
    """Of every pixel: how far into the upper lip, pixels, and the share of the half mouth."""
    y, x = np.mgrid[made.box[1] : made.box[3], made.box[0] : made.box[2]].astype(np.float32)
    u, v = face.axes.uv(x, y)
    return face.upper(u) - v, face.across(u)


def test_a_thin_lip_is_not_mended_with_the_skin_above_it(
    subject: Subject, face: FaceGeometry
) -> None:
    thin = 0.018 * face.height
    slim = replace(face, outer_upper=Curve(face.upper.u, face.upper.v - thin))
    frame = subject.frame.copy()
    made = built(frame, slim)
    above, share = depths(slim, made)
    crop(frame, made.box)[above > thin] = MOUSTACHE
    made = built(frame, slim)
    edge = (above > 0) & (above < 0.5 * thin) & (np.abs(share) < 0.55)
    colours = made.upper_apart[::2, ::2][edge].astype(int)
    assert (colours[:, 1] > colours[:, 0]).mean() < 0.02


def test_teeth_in_the_lips_shade_are_no_lip(subject: Subject, face: FaceGeometry) -> None:
    y, x = np.mgrid[: subject.frame.shape[0], : subject.frame.shape[1]].astype(np.float32)
    u, v = face.axes.uv(x, y)
    between = (v > face.upper(u)) & (v < face.lower(u)) & (np.abs(face.across(u)) < 0.97)
    near = between * np.clip(1 - (v - face.upper(u)) / (0.03 * face.height), 0, 1)
    dim = subject.frame * (1 - 0.65 * near[..., None]) + 0.65 * near[..., None] * (70, 40, 40)
    shaded = lip_edges.snap_lips(dim.astype(np.uint8), measure(subject.landmarks))
    middle = np.abs(face.upper.u) < 0.7 * face.right
    lower = shaded.upper(face.upper.u)[middle] - face.upper.v[middle]
    assert np.median(lower) < 0.005 * face.height


def test_lips_of_an_open_smile_meet_in_a_dark_line(subject: Subject, face: FaceGeometry) -> None:
    made = built(subject.frame, face)
    above, share = depths(face, made)
    middle = np.abs(share) < 0.8
    line = middle & (np.abs(above) < 0.004 * face.height)
    lip = middle & (np.abs(above - 0.022 * face.height) < 0.005 * face.height)
    dark, pale = (made.upper_touching[::2, ::2][where].mean() for where in (line, lip))
    assert dark < 0.72 * pale


def test_an_open_mouth_keeps_the_dark_of_its_corners(subject: Subject, face: FaceGeometry) -> None:
    frame, paint = subject.frame.copy(), np.array((90, 20, 30))
    made = built(frame, face)
    y, x = np.mgrid[made.box[1] : made.box[3], made.box[0] : made.box[2]].astype(np.float32)
    u, v = face.axes.uv(x, y)
    beside = np.abs(np.abs(u - (face.right - face.left) / 2) - (face.left + face.right) / 2)
    corner = (np.abs(face.across(u)) > 1.0) & (beside < 0.06 * face.height)
    corner &= np.abs(v - face.middle_line(u)) < 0.012 * face.height
    crop(frame, made.box)[corner] = paint
    for picture in (built(frame, face).upper_apart, built(frame, face).lower_touching):
        assert np.abs(picture[::2, ::2][corner] - paint).max(-1).mean() < 20


def test_the_hollow_in_the_corner_of_an_open_mouth_is_no_blot_on_its_shut_lips(
    subject: Subject, face: FaceGeometry
) -> None:
    made = built(subject.frame, face)
    above, share = depths(face, made)
    hollow = (np.abs(above + 0.004 * face.height) < 0.014 * face.height) & (share > 0.86)
    hollow &= share < 1.0
    frame = subject.frame.copy()
    crop(frame, made.box)[hollow] = (50, 25, 20)
    left = built(frame, face).upper_touching[::2, ::2][hollow].astype(int)
    assert (left.mean(-1) < 60).mean() < 0.1


def test_dark_painted_lips_keep_their_corners_in_an_open_mouth(
    subject: Subject, face: FaceGeometry
) -> None:
    x, y, reach = round(face.axes.x), round(face.axes.y), round(0.3 * face.height)
    rows, columns = np.mgrid[y - reach : y + reach, x - reach : x + reach].astype(np.float32)
    u, v = face.axes.uv(columns, rows)
    share = np.abs(face.across(u))
    lip = (v < face.upper(u)) & (v > face.outer_upper(u)) & (share < 1.0)
    frame = subject.frame.copy()
    crop(frame, (x - reach, y - reach, x + reach, y + reach))[lip] = (130, 20, 30)
    inner = face.upper(u) - 0.5 * (face.upper(u) - face.outer_upper(u))
    corner = lip & (share > 0.66) & (share < 0.85) & (v < inner)
    colours = built(frame, face).upper_apart[::2, ::2][corner].astype(int)
    assert (colours[:, 1] < 60).mean() > 0.9  # paint, no skin


def test_the_hollow_in_the_corner_of_an_open_mouth_becomes_lip_and_no_skin(
    subject: Subject, face: FaceGeometry
) -> None:
    x, y, reach = round(face.axes.x), round(face.axes.y), round(0.3 * face.height)
    rows, columns = np.mgrid[y - reach : y + reach, x - reach : x + reach].astype(np.float32)
    u, v = face.axes.uv(columns, rows)
    frame, around = subject.frame.copy(), (x - reach, y - reach, x + reach, y + reach)
    lip = (v > face.outer_upper(u)) & (v < face.outer_lower(u)) & (np.abs(face.across(u)) < 1)
    crop(frame, around)[lip] = (200, 20, 60)
    beside = np.abs(v - face.middle_line(u)) < 0.014 * face.height
    hollow = beside & (face.across(u) > 0.86) & (face.across(u) < 1.0)
    crop(frame, around)[hollow] = (40, 5, 10)
    colours = built(frame, face).upper_apart[::2, ::2][hollow].astype(int)
    assert (colours[:, 0] - colours[:, 1]).min() > 25
    assert np.median(colours[:, 1]) < 30


@pytest.mark.parametrize(("hair", "least"), [(None, 60), ((45, 30, 20), 0)])
def test_under_a_dark_moustache_the_hollow_in_a_corner_stays_dark(
    subject: Subject, face: FaceGeometry, hair: tuple[int, int, int] | None, least: int
) -> None:
    made = built(subject.frame, face)
    above, share = depths(face, made)
    lip = face.upper(share * face.right) - face.outer_upper(share * face.right)
    frame = subject.frame.copy()
    beside = (np.abs(share) > 0.6) & (np.abs(share) < 1.3)
    if hair is not None:
        crop(frame, made.box)[beside & (above > lip) & (above < lip + 0.06 * face.height)] = hair
    hollow = (np.abs(above) < 0.014 * face.height) & (np.abs(np.abs(share) - 0.93) < 0.07)
    crop(frame, made.box)[hollow] = (35, 22, 16)
    red = built(frame, face).upper_apart[::2, ::2][hollow & (above > 0)][..., 0].astype(int)
    assert np.median(red) > least
    assert hair is None or np.median(red) < 60


@pytest.mark.parametrize("begins", [-1.0, -0.2])
def test_a_gleam_on_the_lower_lip_is_no_opening(subject: Subject, begins: float) -> None:
    seen = measure(subject.landmarks)
    u, v = seen.axes.uv(*np.meshgrid(*map(np.arange, subject.frame.shape[1::-1])))
    top, bottom = seen.outer_upper(u), seen.outer_lower(u)
    down = (v - top) / np.maximum(0.1, bottom - top)
    frame = subject.frame.copy()
    between = np.abs(seen.across(u)) < 1
    frame[(down > 0) & (down < 1) & between] = (190, 100, 100)
    # farther out the line goes through what the landmarks took for the opening
    line = 0.3 + 0.25 * np.clip(5 * (begins - seen.across(u)), 0, 1)
    gleam = (np.abs(down - 0.55) < 0.1) & (np.abs(seen.across(u)) < 0.9) & (down > line)
    frame[gleam] = (235, 205, 200)
    frame[(np.abs(down - line) < 0.04) & between] = (60, 25, 25)
    middle = seen.outer_upper(seen.upper.u)
    middle = middle + 0.55 * (seen.outer_lower(seen.upper.u) - middle)
    upper, lower = (Curve(seen.upper.u, middle + way * seen.height) for way in (-0.01, 0.01))
    gap = float((lower.v - upper.v).max())
    found = lip_edges.snap_lips(frame, replace(seen, upper=upper, lower=lower, gap=gap))
    assert found.is_shut
    at = np.linspace(max(begins, -0.6) * seen.left, 0.6 * seen.right, 9)[1:]
    line = seen.outer_upper(at) + 0.3 * (seen.outer_lower(at) - seen.outer_upper(at))
    assert np.abs(found.upper(at) - line).max() < 0.006 * seen.height


@pytest.mark.parametrize(("half", "long"), [(0.025, 1.0), (0.012, 1.0), (0.025, 0.55)])
def test_teeth_are_told_from_lips_that_are_hardly_redder(
    subject: Subject, half: float, long: float
) -> None:
    seen = measure(subject.landmarks)
    u, v = seen.axes.uv(*np.meshgrid(*map(np.arange, subject.frame.shape[1::-1])))
    middle = (seen.outer_upper(seen.upper.u) + seen.outer_lower(seen.upper.u)) / 2
    bow = half * seen.height * np.clip(1 - seen.across(seen.upper.u) ** 2, 0, None)
    true = [Curve(seen.upper.u, middle - bow), Curve(seen.upper.u, middle + bow)]
    frame, beside = subject.frame.copy(), np.abs(seen.across(u)) < 1
    frame[(v > seen.outer_upper(u)) & (v < seen.outer_lower(u)) & beside] = (150, 120, 105)
    frame[(v > true[0](u)) & (v < true[1](u)) & beside] = (190, 165, 125)  # in yellow light
    below = true[0](u) + long * (true[1](u) - true[0](u))
    frame[(v > below) & (v < true[1](u)) & beside] = (30, 15, 15)
    low = 0.006 * seen.height  # landmarks are a few pixels off
    upper, lower = (Curve(edge.u, edge.v + low) for edge in true)
    found = lip_edges.snap_lips(
        frame, replace(seen, upper=upper, lower=lower, gap=float(2 * bow.max()))
    )
    at = np.linspace(-0.6 * seen.left, 0.6 * seen.right, 9)
    for edge, of in zip((found.upper, found.lower), true, strict=True):
        assert np.abs(edge(at) - of(at)).max() < 0.006 * seen.height


def test_a_wide_gap_of_the_landmarks_stays_open_where_teeth_look_like_lips(
    subject: Subject,
) -> None:
    seen = measure(subject.landmarks)
    u, v = seen.axes.uv(*np.meshgrid(*map(np.arange, subject.frame.shape[1::-1])))
    frame, beside = subject.frame.copy(), np.abs(seen.across(u)) < 1
    frame[(v > seen.outer_upper(u)) & (v < seen.outer_lower(u)) & beside] = (190, 185, 183)
    assert seen.gap > 0.04 * seen.height
    found = lip_edges.snap_lips(frame, seen)
    assert not found.is_shut
    assert found.gap > 0.8 * seen.gap


def test_in_a_grey_photo_the_landmarks_tell_teeth_from_lips_as_light(subject: Subject) -> None:
    seen = measure(subject.landmarks)
    u, v = seen.axes.uv(*np.meshgrid(*map(np.arange, subject.frame.shape[1::-1])))
    middle = (seen.outer_upper(seen.upper.u) + seen.outer_lower(seen.upper.u)) / 2
    bow = 0.016 * seen.height * np.clip(1 - seen.across(seen.upper.u) ** 2, 0, None)
    upper, lower = (Curve(seen.upper.u, middle + way * bow) for way in (-1, 1))
    frame, beside = subject.frame.copy(), np.abs(seen.across(u)) < 1
    frame[:] = frame.mean(-1, keepdims=True)
    frame[(v > seen.outer_upper(u)) & (v < seen.outer_lower(u)) & beside] = 158
    frame[(v > upper(u)) & (v < lower(u)) & beside] = 160
    frame[(np.abs(v - lower(u)) < 0.008 * seen.height) & beside] = 60  # the shade below teeth
    face = replace(seen, upper=upper, lower=lower, gap=float(2 * bow.max()))
    found = lip_edges.snap_lips(frame, face)
    at = np.linspace(-0.5 * seen.left, 0.5 * seen.right, 9)
    assert np.abs(found.upper(at) - upper(at)).max() < 0.006 * seen.height


def test_teeth_begin_above_an_edge_that_lies_among_them() -> None:
    rows, light = np.arange(40)[:, None], np.tile([190.0, 190.0, 170.0, 120.0, 180.0], 24)
    strip = np.where(rows < 12, 150.0, np.where(rows < 14, 70.0, light))  # lip, its shade, teeth
    colours = np.repeat(strip[..., None], 3, -1)
    assert abs(tops(colours, np.full(120, 18.0), np.full(120, 34.0), 0.003) - 14).max() <= 1
    lips = np.where(rows < 14, 100.0, light)[..., None] * np.ones(3)
    assert abs(tops(lips, np.full(120, 14.0), np.full(120, 34.0), 0.003) - 14).max() <= 1
    tongue = np.where(rows < 8, 210.0, np.full(120, 190.0))[..., None] * np.ones(3)  # below skin
    assert (tops(tongue, np.full(120, 18.0), np.full(120, 34.0), 0.003) == 18).all()


@pytest.mark.parametrize(("colour", "shut"), [((40, 15, 15), False), ((235, 205, 200), True)])
def test_a_narrow_slit_is_open_when_it_is_dark(
    subject: Subject, colour: tuple[int, int, int], shut: bool
) -> None:
    seen = measure(subject.landmarks)
    u, v = seen.axes.uv(*np.meshgrid(*map(np.arange, subject.frame.shape[1::-1])))
    middle = seen.outer_upper(seen.upper.u)
    middle = 0.5 * (middle + seen.outer_lower(seen.upper.u))
    off = v - Curve(seen.upper.u, middle)(u)
    frame, beside = subject.frame.copy(), np.abs(seen.across(u))
    frame[(v > seen.outer_upper(u)) & (v < seen.outer_lower(u)) & (beside < 1)] = (190, 100, 100)
    frame[(np.abs(off) < 0.0065 * seen.height) & (beside < 0.9)] = colour
    upper, lower = (Curve(seen.upper.u, middle + way * seen.height) for way in (-0.007, 0.007))
    face = replace(seen, upper=upper, lower=lower, gap=0.017 * seen.height)
    assert lip_edges.snap_lips(frame, face).is_shut == shut


def test_a_lip_that_gleams_below_a_dark_line_is_no_row_of_teeth(subject: Subject) -> None:
    seen, (u, off), frame = shut_mouth(subject)
    inner = np.abs(seen.across(u)) < 0.95
    frame[(off > 0) & (off < 0.03) & inner] = (240, 205, 215)
    frame[(np.abs(off) < 0.006) & inner] = (30, 15, 15)
    found = lip_edges.snap_lips(frame, parted(seen, 0.0, 0.035))
    assert found.is_shut
    line = found.upper(np.linspace(-0.6, 0.6, 9) * seen.left)
    assert np.abs(line - middle_of(seen)(np.linspace(-0.6, 0.6, 9) * seen.left)).max() < (
        0.006 * seen.height
    )
    for tooth in np.arange(-0.9, 0.91, 0.15):  # and teeth are, with gaps and a shade below them
        frame[(off > 0) & (off < 0.03) & (np.abs(seen.across(u) - tooth) < 0.02)] = (70, 45, 40)
    frame[(np.abs(off - 0.03) < 0.004) & inner] = (70, 45, 40)
    assert not lip_edges.snap_lips(frame, parted(seen, 0.0, 0.035)).is_shut


def test_a_line_that_fades_into_the_lower_lip_is_no_opening(subject: Subject) -> None:
    seen, (u, off), frame = shut_mouth(subject)
    shade = np.exp(-((off.clip(0, None) / 0.010) ** 2)) * (off > -0.002)
    shade *= np.abs(seen.across(u)) < 0.98
    frame = (frame * (1 - 0.6 * shade[..., None])).astype(np.uint8)
    found = lip_edges.snap_lips(frame, parted(seen, -0.010, 0.010))
    assert found.is_shut


def test_a_line_that_runs_to_and_fro_in_hair_is_drawn_as_its_bend(subject: Subject) -> None:
    seen, (u, off), frame = shut_mouth(subject)
    strands = 0.009 * np.sin(9 * seen.across(u))
    frame[(np.abs(off - strands) < 0.004) & (np.abs(seen.across(u)) < 1)] = (40, 25, 20)
    found = lip_edges.snap_lips(frame, parted(seen, -0.002, 0.002))
    at = np.linspace(-0.8, 0.8, 33) * seen.left
    wave = (found.upper(at) - middle_of(seen)(at)) / seen.height
    assert found.is_shut
    assert np.abs(wave).max() < 0.006


def test_gums_over_the_teeth_of_a_smile_are_no_lip(subject: Subject) -> None:
    seen = measure(subject.landmarks)
    u, v = seen.axes.uv(*np.meshgrid(*map(np.arange, subject.frame.shape[1::-1])))
    middle = (seen.outer_upper(seen.upper.u) + seen.outer_lower(seen.upper.u)) / 2
    bow = 0.04 * seen.height * np.clip(1 - seen.across(seen.upper.u) ** 2, 0, None)
    upper, lower = (Curve(seen.upper.u, middle + way * bow) for way in (-1, 1))
    gum = 0.045 * seen.height * np.exp(-((seen.across(u) / 0.25) ** 2))
    frame, beside = subject.frame.copy(), np.abs(seen.across(u)) < 1
    frame[(v > seen.outer_upper(u)) & (v < seen.outer_lower(u)) & beside] = (190, 110, 105)
    frame[(v > upper(u) + gum) & (v < lower(u)) & beside] = (215, 200, 185)
    face = replace(seen, upper=upper, lower=lower, gap=0.08 * seen.height)
    off = lip_edges.snap_lips(frame, face).upper(np.zeros(1)) - upper(np.zeros(1))
    assert abs(float(off[0])) < 0.018 * seen.height


@pytest.mark.parametrize(("line", "shut"), [(-0.004, True), (-0.037, False)])
def test_a_lip_in_deep_shade_is_no_opening(subject: Subject, line: float, shut: bool) -> None:
    seen = measure(subject.landmarks)
    u, v = seen.axes.uv(*np.meshgrid(*map(np.arange, subject.frame.shape[1::-1])))
    middle = (seen.outer_upper(seen.upper.u) + seen.outer_lower(seen.upper.u)) / 2
    off = (v - Curve(seen.upper.u, middle)(u)) / seen.height
    frame, beside = subject.frame.copy(), np.abs(seen.across(u)) < 1
    frame[(v > seen.outer_upper(u)) & (v < seen.outer_lower(u)) & beside] = (190, 110, 105)
    frame[(off > -0.041) & (off < 0) & beside] = (80, 45, 42)
    frame[(np.abs(off - line) < 0.003) & beside] = (20, 10, 10)
    upper, lower = (Curve(seen.upper.u, middle + way * seen.height) for way in (-0.023, -0.017))
    face = replace(seen, upper=upper, lower=lower, gap=0.006 * seen.height)
    assert lip_edges.snap_lips(frame, face).is_shut == shut


def test_a_blurred_line_between_shut_lips_is_no_second_edge_when_they_open(
    subject: Subject, face: FaceGeometry
) -> None:
    line = Curve(face.upper.u, face.middle_line(face.upper.u))
    shut = replace(face, upper=line, lower=line, gap=0.0)
    y, x = np.mgrid[: subject.frame.shape[0], : subject.frame.shape[1]].astype(np.float32)
    u, v = face.axes.uv(x, y)
    dark = 0.7 * np.exp(-(((v - line(u)) / (0.012 * face.height)) ** 2))
    frame = (np.array([200, 120, 110]) * (1 - dark[..., None])).astype(np.uint8)
    made = built(frame, shut)
    above, share = depths(shut, made)
    depth = -above / face.height
    red = made.lower_apart[::2, ::2, 0].astype(float)
    edge, inner = (
        red[(depth > low) & (depth < high) & (np.abs(share) < 0.5)].mean()
        for low, high in ((0.008, 0.012), (0.030, 0.040))
    )
    assert edge > 0.82 * inner
