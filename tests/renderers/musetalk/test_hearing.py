"""What the network hears at each frame, worked out by hand. Needs no network."""

import math
from fractions import Fraction

import numpy as np
import pytest

from vidgen.renderers.musetalk.hearing import (
    SEGMENT,
    STEP,
    Hearing,
    Segment,
    at_16k,
    positions,
    segments,
    window,
)
from vidgen.work import Floats, Speech

FPS = Fraction(25)
LAYERS, WIDTH = 5, 6


class Counter:
    """An encoder whose every step tells its own number in the whole voice.

    The samples carry the number of their step, so the encoder need not be told where it is.
    """

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, samples: Floats) -> Floats:
        self.calls += 1
        made = np.full((SEGMENT, LAYERS, WIDTH), -99.0, np.float32)  # Whisper's own padding
        numbers = samples[::STEP]
        made[: len(numbers)] = numbers[:, None, None]
        made += np.arange(LAYERS, dtype=np.float32)[:, None] / 10
        return made


def voice(seconds: float) -> Speech:
    """Each sample is the number of its step, from 1."""
    count = round(seconds * 16_000)
    return Speech((np.arange(count) // STEP + 1).astype(np.float32), 16_000, "")


def heard(seconds: float, frame: int) -> list[int]:
    """The steps in a frame's window, from 1; 0 where there is none."""
    hearing = Hearing(voice(seconds), Counter())
    return [round(step) for step in hearing.between(*window(frame, FPS))[:, 0, 0].tolist()]


@pytest.mark.parametrize(
    ("frame", "fps", "steps"),
    [
        (0, 25, (-4, 6)),
        (1, 25, (-2, 8)),
        (747, 25, (1490, 1500)),
        (0, 30, (-4, 6)),
        (1, 30, (-3, 7)),  # 1.67 steps a frame
        (3, 30, (1, 11)),
        (5, 50, (1, 11)),
        (1, 24, (-2, 8)),
    ],
)
def test_a_frame_hears_two_frames_either_side(frame: int, fps: int, steps: tuple[int, int]) -> None:
    assert window(frame, Fraction(fps)) == steps


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.3, (Segment(0, 0, 15),)),
        (29.9, (Segment(0, 0, 1495),)),
        (30.0, (Segment(0, 0, 1500),)),
        (30.1, (Segment(0, 0, 1450), Segment(1400, 1450, 1505))),
        (
            95.0,
            (
                Segment(0, 0, 1450),
                Segment(1400, 1450, 2850),
                Segment(2800, 2850, 4250),
                Segment(4200, 4250, 4750),
            ),
        ),
    ],
)
def test_a_voice_is_cut_into_overlapping_stretches(
    seconds: float, expected: tuple[Segment, ...]
) -> None:
    steps = math.ceil(seconds * 50)
    assert segments(steps) == expected
    assert all(piece.last - piece.start <= SEGMENT for piece in expected)


def test_a_short_voice_has_silence_on_both_sides() -> None:
    # 0.3 s: 15 steps, 8 frames
    assert heard(0.3, 0) == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert heard(0.3, 2) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert heard(0.3, 7) == [11, 12, 13, 14, 15, 0, 0, 0, 0, 0]
    assert heard(0.3, 40) == [0] * 10  # a batch is filled up beyond the end


def test_the_end_of_29_9_seconds() -> None:
    # 1495 steps, 748 frames: the last one hears five steps of the voice
    assert heard(29.9, 747) == [1491, 1492, 1493, 1494, 1495, 0, 0, 0, 0, 0]


def test_30_1_seconds_go_on_over_the_seam() -> None:
    # 1505 steps; the seam is between steps 1450 and 1451
    assert heard(30.1, 725) == list(range(1447, 1457))
    assert heard(30.1, 752) == [1501, 1502, 1503, 1504, 1505, 0, 0, 0, 0, 0]


def test_95_seconds_hear_every_step_in_its_place() -> None:
    counter = Counter()
    hearing = Hearing(voice(95.0), counter)
    for frame in range(2375):
        first, last = window(frame, FPS)
        steps = hearing.between(first, last)[:, 0, 0]
        expected = [step + 1 if 0 <= step < 4750 else 0 for step in range(first, last)]
        np.testing.assert_allclose(steps, expected, atol=1e-3)
    assert counter.calls == 4  # each stretch is encoded once


def test_only_a_few_stretches_are_remembered() -> None:
    hearing = Hearing(voice(300.0), Counter())
    for frame in range(0, 7500, 25):
        hearing.between(*window(frame, FPS))
    assert len(hearing._known) == 3


def test_tokens_go_step_by_step_and_layer_by_layer_with_their_places() -> None:
    tokens = Hearing(voice(0.3), Counter()).tokens(range(2, 4), FPS)
    assert tokens.shape == (2, 50, WIDTH)
    bare = tokens - positions(50, WIDTH)
    # frame 2: step 1 in layers 0–4, then step 2 …
    np.testing.assert_allclose(bare[0, :7, 0], [1.0, 1.1, 1.2, 1.3, 1.4, 2.0, 2.1], atol=1e-5)
    np.testing.assert_allclose(bare[1, 0, 0], 3.0, atol=1e-5)


def test_places_are_sines_and_cosines() -> None:
    table = positions(50, 384)
    assert table[0].tolist() == [0.0, 1.0] * 192
    np.testing.assert_allclose(table[3, :2], [math.sin(3), math.cos(3)], atol=1e-6)
    rate = 10_000 ** (-2 / 384)
    np.testing.assert_allclose(table[7, 2:4], [math.sin(7 * rate), math.cos(7 * rate)], atol=1e-6)


def test_a_voice_of_another_rate_is_resampled() -> None:
    seconds = np.arange(48_000) / 48_000
    tone = Speech(np.sin(2 * np.pi * 440 * seconds).astype(np.float32), 48_000, "")
    made = at_16k(tone)
    assert made.dtype == np.float32
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(made[100:-100], expected[100:-100], atol=0.01)
    assert Hearing(tone, Counter()).steps == 50
