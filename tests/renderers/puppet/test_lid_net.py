"""What the network adds to shut lids: where, how much, and that grey stays grey."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.puppet import speaker
from vidgen.media.colour import LUMA
from vidgen.renderers.puppet import eyes, lid_net, lighting
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.eyes import EyePatch
from vidgen.renderers.puppet.geometry import measure
from vidgen.renderers.puppet.grid import Array
from vidgen.renderers.puppet.lid_skin import View
from vidgen.work import Subject


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path, 512)


@pytest.fixture(scope="module")
def taught(subject: Subject) -> list[tuple[View, Array, Array]]:
    """Of each eye its view, how it was drawn by rules, and how with the network."""
    seen: list[tuple[View, Array, Array]] = []
    add = lid_net.find_missing
    with pytest.MonkeyPatch.context() as patched:

        def keep(view: View, drawn: Array, share: Array) -> Array:
            more = add(view, drawn, share)
            seen.append((view, drawn.copy(), drawn + share[..., None] * more))
            return more

        patched.setattr(lid_net, "find_missing", keep)
        built(subject)
    return seen


def built(subject: Subject) -> tuple[EyePatch, ...]:
    face = measure(subject.landmarks, subject.eyes)
    return eyes.build(subject.frame, face, lighting.measure(subject.frame, face))


def shut(eye: EyePatch) -> Array:
    return eye.lids.draw(ONE_FRAME, eye.lids.still.astype(np.float32), 1.0)


def test_lashes_hang_below_a_shut_lid_s_edge(taught: list[tuple[View, Array, Array]]) -> None:
    """Real ones do, up to a seventh of the eye's width: rules draw a line along the edge."""
    assert len(taught) == 2
    for view, before, now in taught:
        across, down = view.outward / 2, view.v / view.width
        edge = view.eye.lower(view.u) / view.width
        lashes = (np.abs(across) < 0.3) & (down > edge + 0.02) & (down < edge + 0.10)
        dark, was = (np.median((drawn @ LUMA)[lashes]) for drawn in (now, before))
        assert dark < 0.92 * was


def test_brow_and_cheek_stay_as_they_are_drawn(taught: list[tuple[View, Array, Array]]) -> None:
    for view, before, now in taught:
        brow = view.v < view.eye.brow(view.u)
        cheek = view.v > lid_net.BELOW[0] * view.width
        aside = np.abs(view.outward) / 2 > lid_net.SIDES[0]
        assert not np.abs(now - before)[brow | cheek | aside].any()
        assert np.abs(now - before).max() > 20


def test_what_it_says_is_what_a_lid_shows(subject: Subject) -> None:
    """The patch drawn shut is what the network was shown and what it added, in bytes."""
    plain = built(subject)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            lid_net, "find_missing", lambda _view, drawn, _share: np.zeros_like(drawn) + 9
        )
        lifted = built(subject)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lid_net, "find_missing", lambda _view, drawn, _share: np.zeros_like(drawn))
        ruled = built(subject)
    for eye, more, less in zip(plain, lifted, ruled, strict=True):
        reach = more.lids.reach > 0.99
        part = more.lids.part
        rise = (shut(more)[part] - shut(less)[part])[reach]
        assert np.median(rise) == pytest.approx(9, abs=1)
        assert np.abs(shut(eye)[part] - shut(less)[part])[reach].mean() > 3


def test_a_photo_without_colours_gets_none(subject: Subject) -> None:
    grey = subject.frame.mean(-1, keepdims=True).round().astype(np.uint8).repeat(3, -1)
    for eye in built(replace(subject, frame=grey)):
        assert np.ptp(shut(eye), axis=-1).max() <= 1
