"""A shut lid grows out of the skin above it, and leaves the brow alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.renderers.puppet import eyelids
from vidgen.renderers.puppet.geometry import Curve, Eye, measure
from vidgen.renderers.puppet.layer import FINE, double, places
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.renderers.puppet.lighting import measure as measure_light
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


def covered(subject: Subject, brow: float, above: float) -> float:
    """How much of the skin `above` pixels over the opening's middle a shut lid covers."""
    eye, frame = drawn_eye(brow)
    u, v = eye.axes.uv(*places((0, 0, SIDE, SIDE)))
    made = eyelids.build(double(frame), eye, u, v, FINE, light_of(subject))
    whole = np.zeros(u.shape)
    whole[made.part] = made.cover
    return float(whole[round(FINE * (SIDE / 2 - 9 - above)), FINE * SIDE // 2])


def test_a_lid_fades_into_the_skin_above_it(subject: Subject) -> None:
    shares = [covered(subject, 30, above) for above in (1, 4, 7)]
    assert shares[0] > 0.8
    assert 0.1 < shares[1] < 0.95  # no outline
    assert shares[0] > shares[1] > shares[2]


def test_a_low_brow_is_never_painted_over(subject: Subject) -> None:
    assert covered(subject, 14, 5) == 0
