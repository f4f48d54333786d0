"""The teeth that a photo shows: used where they are a row, told by their colour where not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.renderers.puppet import lighting, mouth_interior, photo_teeth
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.geometry import Curve, FaceGeometry, measure
from vidgen.renderers.puppet.grid import Array, indices
from vidgen.renderers.puppet.layer import FINE
from vidgen.renderers.puppet.mouth_interior import Interior
from vidgen.work import Box, Pixels

SIZE = 256
SKIN, LIP, DARK = (200, 150, 130), (190, 90, 90), (30, 10, 10)
TEETH, TONGUE = (230, 216, 200), (236, 206, 206)


@pytest.fixture(scope="module")
def face(demo_photo: Path, model_path: Callable[[str], Path]) -> FaceGeometry:
    """With a mouth .12 Hf open."""
    seen = measure(speaker(demo_photo, model_path, SIZE).landmarks)
    gap = 0.12 * seen.height
    bow = gap * np.clip(1 - seen.across(seen.upper.u) ** 2, 0, None) ** 0.5
    lower = Curve(seen.upper.u, seen.upper.v + bow)
    outer = Curve(lower.u, lower.v + 0.05 * seen.height)
    return replace(seen, lower=lower, outer_lower=outer, gap=gap)


def painted(face: FaceGeometry, *rows: tuple[float, float, tuple[int, int, int]]) -> Pixels:
    """A photo of `face` with `rows` between its lips: colours from and to a share of the gap."""
    u, v = face.axes.uv(*indices((SIZE, SIZE)))
    frame = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    frame[(v > face.outer_upper(u)) & (v < face.outer_lower(u))] = LIP
    upper, lower = face.upper(u), face.lower(u)
    down = (v - upper) / np.maximum(1e-3, lower - upper)
    for start, end, colour in ((0.0, 1.0, DARK), *rows):
        frame[(lower > upper) & (down >= start) & (down < end)] = colour
    return frame


def found(face: FaceGeometry, frame: Pixels) -> photo_teeth.PhotoTeeth:
    return photo_teeth.find(frame, face, lighting.measure(frame, face))


def test_a_tongue_below_the_upper_teeth_is_none_of_them(face: FaceGeometry) -> None:
    frame = painted(face, (0.0, 0.62, TEETH), (0.75, 0.95, TONGUE))
    teeth = found(face, frame)
    assert teeth.edge is not None
    u, v = face.axes.uv(*indices((SIZE, SIZE)))
    x, y = indices((SIZE, SIZE))
    cover = photo_teeth.upper_row(frame, face, teeth, x, y)[..., 3] / 255
    down = (v - face.upper(u)) / face.gap
    middle = np.abs(face.across(u)) < 0.3
    assert cover[middle & (down > 0.1) & (down < 0.55)].min() > 0.9
    assert cover[middle & (down > 0.72)].max() < 0.1


def test_the_upper_row_of_two_ends_on_the_lower_one(face: FaceGeometry) -> None:
    line = (0.58, 0.66, (196, 182, 166))
    rows = painted(face, (0.0, 1.0, TEETH), line), painted(face, (0.0, 1.0, TEETH))
    u = np.array([0.0])
    ends = []
    for frame in rows:
        teeth = found(face, frame)
        assert teeth.edge is not None
        edge = float(np.interp(0.0, teeth.share, teeth.edge))
        ends.append((edge - float(face.upper(u)[0])) / face.gap)
    assert 0.54 < ends[0] < 0.66
    assert ends[1] > 0.85


def test_teeth_that_shut_lips_hide_are_painted_in_their_colour(face: FaceGeometry) -> None:
    short = found(face, painted(face, (0.0, 0.25, TEETH)))
    assert short.edge is None
    assert short.colour is not None
    assert np.abs(short.colour - TEETH).max() < 12
    interior = build(face, painted(face, (0.0, 0.25, TEETH)))
    white = interior.upper[interior.upper[..., 3] > 250][:, :3].max(0)
    assert np.abs(white - TEETH).max() < 20


def test_a_rim_of_teeth_is_too_little_to_go_on_from(face: FaceGeometry) -> None:
    lower = Curve(face.upper.u, face.upper.v + 0.3 * (face.lower.v - face.upper.v))
    narrow = replace(face, lower=lower, gap=0.3 * face.gap)
    rim, row = (found(seen, painted(seen, (0.0, 0.9, TEETH))) for seen in (narrow, face))
    assert rim.edge is None
    assert rim.colour is not None
    assert row.edge is not None


def test_lips_of_a_mouth_without_teeth_are_none(face: FaceGeometry) -> None:
    teeth = found(face, painted(face))
    assert teeth.edge is None
    assert teeth.colour is None


def build(face: FaceGeometry, frame: Pixels) -> Interior:
    x, y, reach = round(face.axes.x), round(face.axes.y), round(0.25 * face.height)
    box: Box = (x - reach, y - reach, x + reach, y + reach)
    return mouth_interior.build(frame, face, lighting.measure(frame, face), box)


def test_the_photos_own_teeth_are_in_the_shade_of_a_slit(face: FaceGeometry) -> None:
    interior = build(face, painted(face, (0.0, 1.0, TEETH)))
    assert interior.own_teeth
    upper = float(face.upper(np.zeros(1))[0])
    x, y = face.axes.xy(np.array([[0.0]]), np.array([[upper + 0.6 * face.gap]]))
    at = np.stack([x, y], -1).astype(np.float32)
    still = np.zeros(2, np.float32)

    def shown(gap: float) -> Array:
        ways = np.full((1, 1), -gap / 2 * face.height, np.float32)
        return np.asarray(interior.look(ONE_FRAME, at, still, still, ways, ways)[0, 0])

    assert shown(0.014).max() < 0.66 * shown(0.10).max()  # else a white bar


def test_lower_teeth_stand_lower_in_a_jaw_that_stays_ajar(face: FaceGeometry) -> None:
    def below_the_line(gap: float) -> float:
        agape = replace(face, gap=gap * face.height)
        cover = build(agape, painted(agape)).lower[..., 3]
        row = int((cover[:, cover.shape[1] // 2] > 128).argmax())
        meeting = float(agape.meeting_line(np.zeros(1))[0])
        return row / FINE - meeting

    assert below_the_line(0.17) > below_the_line(0.05) + 0.01 * face.height


def test_a_child_has_smaller_teeth(face: FaceGeometry) -> None:
    def with_irises(share: float) -> FaceGeometry:
        radius = share * face.height / 2
        left, right = (replace(eye, iris=(0.0, 0.0, radius), problem="") for eye in face.eyes)
        return replace(face, eyes=(left, right))

    def showing(of: FaceGeometry) -> int:
        return int((build(of, painted(of)).upper[..., 3] > 128).sum())

    child, grown, unknown = with_irises(1 / 11.5), with_irises(1 / 15), face
    assert grown.youth == unknown.youth == 0
    assert child.youth == 1
    line = int((build(child, painted(child)).upper[..., 3] > 250).any(1).argmax())
    assert line == 0  # they begin above the box, under the lip
    assert showing(child) < showing(grown) - 20
