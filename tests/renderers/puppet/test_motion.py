"""How the rest of the face moves: within limits, by the seed, and off when switched off."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from vidgen.renderers.puppet.motion import (
    CURVES,
    LENGTH,
    LIMITS,
    Motion,
    blink_times,
    glances,
    motion,
)
from vidgen.speech.mouth_curves import MouthCurves
from vidgen.work import Floats, MotionOptions

SECONDS = 34.0
SEEDS = range(12)


def talk(seconds: float = SECONDS) -> MouthCurves:
    """Somebody who speaks in phrases of about 2 s with a melody of ±4 semitones."""
    count = int(np.ceil(seconds * 100)) + 1
    time = np.arange(count) / 100
    speaks = (time % 2.6) < 2.0
    loud = np.clip(0.6 + 0.4 * np.sin(2 * np.pi * 3.1 * time), 0, 1) * speaks
    melody = 4 * np.sin(2 * np.pi * time / 1.7) * speaks
    nothing = np.zeros(count, np.float32)
    pauses = tuple((2.6 * n + 2.0, 2.6 * n + 2.6) for n in range(int(seconds / 2.6)))
    return MouthCurves(
        jaw=loud.astype(np.float32),
        chin=loud.astype(np.float32),
        round=nothing,
        spread=nothing,
        press=nothing,
        fricative=nothing,
        tongue=nothing,
        loud=loud.astype(np.float32),
        voiced=speaks.astype(np.float32),
        f0=melody.astype(np.float32),
        pauses=pauses,
    )


def moved(seed: int = 0, seconds: float = SECONDS, **scales: float) -> Motion:
    return motion(talk(seconds), replace(MotionOptions(seed=seed), **scales), seconds)  # type: ignore[arg-type]  # scales are floats


def span(curve: Floats) -> float:
    return float(np.ptp(curve))


def test_same_seed_same_curves_other_seed_others() -> None:
    one, same, other = moved(3), moved(3), moved(4)
    for name in CURVES:
        assert np.array_equal(getattr(one, name), getattr(same, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))
    assert one.blinks == same.blinks != other.blinks


@pytest.mark.parametrize("seed", SEEDS)
def test_the_head_moves_visibly_but_neither_far_nor_fast(seed: int) -> None:
    made = moved(seed)
    assert 1.4 <= made.yaw.std() <= 2.8
    assert 1.0 <= made.pitch.std() <= 2.2
    assert 0.6 <= made.roll.std() <= 1.4
    assert span(made.yaw) <= 12
    assert span(made.pitch) <= 9
    assert span(made.roll) <= 6
    assert np.abs(np.diff(made.yaw)).max() * 100 <= 12
    assert np.abs(np.diff(made.pitch)).max() * 100 <= 12
    assert np.abs(np.diff(made.roll)).max() * 100 <= 12
    assert np.abs(made.tx).max() <= 0.016
    assert np.abs(made.ty).max() <= 0.016


def test_twice_the_motion_stays_within_what_a_photo_bears() -> None:
    made = moved(1, head_motion=2.0)
    assert np.abs(made.yaw).max() <= LIMITS["yaw"]
    assert np.abs(made.pitch).max() <= LIMITS["pitch"]
    assert np.abs(made.roll).max() <= LIMITS["roll"]
    assert np.abs(np.diff(made.pitch)).max() * 100 <= 12


@pytest.mark.parametrize("seed", SEEDS)
def test_a_film_begins_in_the_photos_pose_and_ends_near_it(seed: int) -> None:
    made = moved(seed)
    for name, room in (("yaw", 0.8), ("pitch", 0.8), ("roll", 0.5)):
        curve = getattr(made, name)
        assert abs(curve[0]) <= 0.06
        assert abs(curve[-1]) <= room
    assert max(made.lids[0], made.lids[-1]) <= 0.01
    assert abs(made.gaze_x[-1]) <= 0.06


def test_a_rising_voice_lifts_chin_and_brows() -> None:
    made, melody = moved(2), talk().f0
    high, low = melody > 2.5, melody < -2.5
    assert made.pitch[high].mean() < made.pitch[low].mean() - 0.5
    assert made.brows[high].mean() > made.brows[low].mean() + 0.1
    assert 0 <= made.brows.min() <= made.brows.max() <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_blinks_are_whole_and_apart(seed: int) -> None:
    blinks = moved(seed).blinks
    assert blinks[0] >= 0.4
    assert blinks[-1] + LENGTH <= SECONDS
    assert min(np.diff(blinks)) >= LENGTH


def test_people_blink_as_often_as_people_do() -> None:
    rates = [60 * len(moved(seed).blinks) / SECONDS for seed in range(30)]
    assert 14 <= np.mean(rates) <= 20
    assert min(rates) >= 10
    assert max(rates) <= 33
    twice = [60 * len(moved(seed, blink=2.0).blinks) / SECONDS for seed in range(30)]
    assert np.mean(twice) > 1.5 * np.mean(rates)


def test_a_blink_comes_every_three_to_five_seconds() -> None:
    pauses = talk().pauses
    between = np.concatenate(
        [np.diff(blink_times(SECONDS, pauses, glances(SECONDS, seed), seed, 1)) for seed in SEEDS]
    )
    assert 3.3 <= between.mean() <= 3.9
    assert between.max() <= 8  # a pause may draw one away by a little
    single = between[between > 0.5]
    assert np.mean((single >= 2.5) & (single <= 5.5)) >= 0.5


def test_blinks_like_pauses() -> None:
    hits = near = 0
    for seed in range(30):
        starts = np.array([start for start, _ in talk().pauses])
        for time in moved(seed, gaze=0.0).blinks:
            near += 1
            hits += bool(np.abs(starts - time).min() < 0.005)
    assert hits / near > 0.25  # by chance one in 260


def test_a_blink_shuts_faster_than_it_opens_and_is_seen_at_every_rate() -> None:
    made = moved(5)
    start = made.blinks[0]
    lids = made.lids[round(start * 100) : round((start + LENGTH) * 100) + 1]
    shut = np.flatnonzero(lids >= 0.98)
    assert shut[0] <= 9
    assert 0.06 <= len(shut) / 100 <= 0.13
    assert len(lids) - 1 - shut[-1] >= 14
    for rate in (24, 25, 30, 50, 60):
        frames = made.sample(Fraction(rate), 0, int(SECONDS * rate))["lids"]
        seen = np.flatnonzero(np.diff((frames > 0.5).astype(int)) == 1)
        assert len(seen) == len(made.blinks)


def test_some_blinks_only_nearly_shut_and_one_eye_lags_the_other() -> None:
    depths = [
        made.lids[round(start * 100) : round((start + LENGTH) * 100)].max()
        for made in map(moved, range(12))
        for start in made.blinks
    ]
    partial = [depth for depth in depths if depth < 0.95]
    assert 0.05 <= len(partial) / len(depths) <= 0.30
    assert min(partial) > 0.6
    made = moved(3)
    assert 0 < np.abs(made.lids - made.lids_right).max() < 0.12


@pytest.mark.parametrize("rate", [25, 30])
def test_in_every_frame_both_eyes_are_about_as_open(rate: int) -> None:
    for seed in SEEDS:
        frames = moved(seed).sample(Fraction(rate), 0, int(SECONDS * rate))
        left, right = frames["lids"], frames["lids_right"]
        assert np.abs(left - right).max() < 0.09
        assert np.minimum(left, right)[np.maximum(left, right) > 0.98].min() > 0.92


def test_eyes_rest_on_the_viewer_and_jump_quickly() -> None:
    made = moved(6, head_motion=0.0)
    away = np.hypot(made.gaze_x, made.gaze_y) > 0.07
    assert 0.05 <= away.mean() <= 0.5
    assert np.abs(made.gaze_x).max() <= 0.35
    assert np.abs(made.gaze_y).max() <= 0.25
    moving = np.abs(np.diff(made.gaze_x)) > 1e-4
    assert moving.mean() < 0.10
    for one, two in pairwise(glances(SECONDS, 6)[:-1]):
        assert 0.5 <= two.start - one.start <= 4.0
        assert 0.04 <= one.takes <= 0.06


def test_eyes_stay_on_the_viewer_while_the_head_turns() -> None:
    made = moved(7)
    rest = np.hypot(*[getattr(moved(7, head_motion=0.0), name) for name in ("gaze_x", "gaze_y")])
    still = rest < 0.05
    assert np.corrcoef(made.gaze_x[still], made.yaw[still])[0, 1] < -0.5


@pytest.mark.parametrize(
    ("scale", "names"),
    [
        ("head_motion", ("yaw", "pitch", "roll", "tx", "ty", "breath")),
        ("brows", ("brows",)),
        ("gaze", ("gaze_x", "gaze_y")),
    ],
)
def test_nothing_moves_that_is_switched_off(scale: str, names: tuple[str, ...]) -> None:
    made = moved(8, **{scale: 0.0})
    assert not any(getattr(made, name).any() for name in names)
    others = set(CURVES) - set(names)
    assert all(getattr(made, name).any() for name in others)


def test_without_blinks_the_lids_only_follow_the_gaze() -> None:
    made = moved(9, blink=0.0)
    assert made.blinks == ()
    assert made.lids.max() <= 0.12


def test_silence_blinks_and_sways() -> None:
    count = 1001
    nothing = np.zeros(count, np.float32)
    quiet = replace(talk(10.0), jaw=nothing, loud=nothing, f0=nothing, pauses=((0.0, 10.0),))
    made = motion(quiet, MotionOptions(seed=1), 10.0)
    assert made.blinks
    assert span(made.yaw) > 0.3


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.3, 1.0, 2.0])
def test_short_voices_get_whole_curves(seconds: float) -> None:
    made = moved(0, seconds)
    for name in CURVES:
        curve = getattr(made, name)
        assert curve.shape == (int(np.ceil(seconds * 100)) + 1,)
        assert curve.dtype == np.float32
        assert np.isfinite(curve).all()


def test_frames_are_the_same_however_they_are_asked_for() -> None:
    made = moved(3)
    whole = made.sample(Fraction(30), 0, 300)
    part = made.sample(Fraction(30), 120, 150)
    assert all(np.array_equal(part[name], whole[name][120:150]) for name in CURVES)
