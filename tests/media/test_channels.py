"""Which track and which channels are the voice, by levels that are made up to the decibel."""

from collections.abc import Sequence

import numpy as np
import pytest

from vidgen.media.mixdown import Survey, choose_track, mix_weights
from vidgen.work import Floats

RATE = 8000  # windows of 400 samples


def speech(loud: float, quiet: float = -80.0, count: int = 200) -> list[float]:
    """Levels, dB, that go up and down as somebody's who speaks."""
    return [loud if n // 8 % 2 == 0 else quiet for n in range(count)]


def survey(*channels: Sequence[float], names: tuple[str, ...] = (), sign: float = 0.0) -> Survey:
    """Of levels, dB; `sign` is the correlation of all channels with one another."""
    power = 10 ** (np.array(channels, np.float64).T / 10)  # (windows, channels)
    root = np.sqrt(power)
    cross = sign * root[:, :, None] * root[:, None, :]
    for channel in range(len(channels)):
        cross[:, channel, channel] = power[:, channel]
    made = Survey(names)
    made._covariances.append(cross)
    return made


def weights(*channels: Sequence[float], **how: object) -> list[float]:
    return [round(float(w), 3) for w in mix_weights(survey(*channels, **how))]  # type: ignore[arg-type]


TALK = speech(-20)
HUM = [-15.0] * 200
NOTHING = [-120.0] * 200


def block(*channels: Floats) -> Floats:
    return np.stack(channels)


def test_levels_are_those_of_windows_of_50_ms_whatever_the_blocks() -> None:
    time = np.arange(RATE) / RATE
    sine = (0.1 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    for size in (RATE, 1000, 399, 401):
        made = Survey()
        for start in range(0, RATE, size):
            made.add(block(sine[start : start + size], 0.5 + 0 * sine[start : start + size]), RATE)
        assert made.levels.shape == (20, 2)
        assert made.levels[:, 0] == pytest.approx(-23.01, abs=0.01)
        assert made.levels[:, 1] == pytest.approx(-120)  # a recorder's DC is no sound
        assert made.loudest == pytest.approx(-23.01, abs=0.01)
        assert made.covariances.shape == (20, 2, 2)


def test_what_is_no_number_is_silence() -> None:
    made = Survey()
    made.add(np.full((1, 800), np.nan, np.float32), RATE)
    made.add(np.full((1, 800), np.inf, np.float32), RATE)
    made.add(np.full((1, 800), -np.inf, np.float32), RATE)
    assert made.loudest == pytest.approx([-120] * 6)
    one = np.zeros((1, 400), np.float32)
    one[0, 0] = np.nan
    made = Survey()
    made.add(one, RATE)
    assert made.loudest == pytest.approx([-120])


def test_nothing_has_no_levels() -> None:
    assert (len(Survey().loudest), Survey().pauses) == (0, 0.0)
    assert mix_weights(Survey()).tolist() == [1.0]


@pytest.mark.parametrize(
    ("levels", "share"),
    [([-20.0] * 10, 0.0), ([-20.0] * 5 + [-40.0] * 5, 0.5), ([-20.0] * 8 + [-60.0] * 2, 0.2),
     ([-20.0] * 5 + [-35.0] * 5, 0.0)],
)  # fmt: skip
def test_pauses_are_far_below_the_mean(levels: list[float], share: float) -> None:
    assert survey(levels).pauses == pytest.approx(share)


@pytest.mark.parametrize(
    ("tracks", "defaults", "asides", "chosen"),
    [
        ([TALK, TALK], [False, True], [False, False], 1),
        ([TALK, TALK], [True, True], [False, False], 0),
        ([TALK, TALK], [False, False], [False, False], 0),
        ([TALK, TALK], [False, False], [True, False], 1),
        ([TALK, TALK], [True, False], [True, False], 0),
        ([TALK, TALK], [False, False], [True, True], 0),
        ([NOTHING, TALK], [True, False], [False, False], 1),
        ([HUM, TALK], [True, False], [False, False], 1),
        ([HUM, TALK], [True, True], [False, True], 1),
        ([HUM, NOTHING], [False, False], [False, False], 0),
        ([NOTHING, HUM], [False, False], [False, False], 1),
        ([NOTHING, NOTHING], [False, True], [False, False], 1),
        ([speech(-20, -31), TALK], [False, False], [False, False], 1),  # music has no pauses
    ],
)
def test_which_track_is_taken(
    tracks: list[list[float]], defaults: list[bool], asides: list[bool], chosen: int
) -> None:
    assert choose_track([survey(track) for track in tracks], defaults, asides) == chosen


def test_a_single_channel_is_taken_as_it_is() -> None:
    assert weights(TALK) == weights(HUM) == weights(NOTHING) == [1]


def test_the_loudest_that_speaks_is_the_voice() -> None:
    assert weights(TALK, speech(-19)) == [0, 1]
    assert weights(HUM, TALK) == [0, 1]
    assert weights(HUM, [-14.0] * 200) == [0, 1]  # nobody speaks: the loudest
    assert weights(NOTHING, TALK) == [0, 1]


@pytest.mark.parametrize(
    ("centre", "found"), [(-39.5, [0, 0, 1]), (-40.5, [1, 0, 0]), (-20.0, [0, 0, 1])]
)
def test_speech_in_the_centre_may_be_20_db_under_the_music(
    centre: float, found: list[float]
) -> None:
    names = ("FL", "FR", "FC")
    assert weights(TALK, TALK, speech(centre), names=names) == found
    assert weights(TALK, TALK, [centre] * 200, names=names) == [1, 0, 0]  # a hum


def test_two_channels_have_no_centre() -> None:
    assert weights(TALK, speech(-30), names=("FL", "FC")) == [1, 0]


def test_the_rumble_is_nobodys_voice() -> None:
    assert weights(speech(-10), TALK, names=("LFE", "FR")) == [0, 1]
    assert weights(TALK, speech(-10), names=("FL", "FR")) == [0, 1]


def turns(own: int, lead: float, other: float = -20.0) -> tuple[list[float], list[float]]:
    """Two channels of 400 windows; in `own` of them the second one leads by `lead` dB."""
    first = [-20.0 if n % 16 < 8 else -80.0 for n in range(400)]
    second = [level - 10 for level in first]
    for n in [n for n in range(400) if first[n] == -20.0][:own]:
        first[n], second[n] = other - lead, other
    return first, second


@pytest.mark.parametrize(
    ("own", "lead", "is_heard"),
    [(40, 20, True), (8, 20, True), (4, 20, False), (0, 20, False), (40, 6.5, True),
     (40, 5.5, False)],
)  # fmt: skip
def test_a_second_voice_is_one_that_speaks_alone(own: int, lead: float, *, is_heard: bool) -> None:
    """For three per cent of the time and more, six decibels over the other."""
    found = weights(*turns(own, lead))
    assert (found[1] > 0) is is_heard
    assert found[0] > 0


@pytest.mark.parametrize(("other", "is_heard"), [(-49.0, True), (-51.0, False)])
def test_what_is_30_db_below_is_nobody(other: float, *, is_heard: bool) -> None:
    first = [-20.0 if n < 100 else -120.0 for n in range(400)]
    second = [-120.0 if n < 100 else other for n in range(400)]
    assert (weights(first, second)[1] > 0) is is_heard


@pytest.mark.parametrize(("correlation", "sign"), [(-0.9, -1), (-0.84, 1), (0.9, 1), (0.0, 1)])
def test_what_is_turned_round_is_turned_back(correlation: float, sign: int) -> None:
    """From a correlation of -0.5 of the whole on, which is -0.87 of each of these windows."""
    found = mix_weights(survey(*turns(40, 20), sign=correlation))
    assert np.sign(found[1]) == sign


def test_the_sum_is_as_loud_as_its_loudest_channel() -> None:
    channels = turns(100, 20)
    for correlation in (0.0, 0.9):
        made = survey(*channels, sign=correlation)
        found = mix_weights(made).astype(np.float64)
        mixed = np.einsum("mcd,c,d->m", made.covariances, found, found).sum()
        loudest = 10 ** (np.array(channels) / 10)
        assert mixed == pytest.approx(loudest.max(0).sum(), rel=1e-3)


def test_a_moment_is_too_short_for_two_voices() -> None:
    assert weights([-20.0, -80.0, -20.0], [-30.0, -20.0, -80.0])[1] == 0


def test_a_second_voice_is_heard_for_a_fifth_of_a_second() -> None:
    """Longer than an echo between two microphones; one window less is none."""
    for run, is_heard in ((4, True), (3, False)):
        first = [-120.0 if n >= 300 else -20.0 for n in range(400)]
        second = [level - 10 for level in first]
        for start in range(0, 300, 20):
            for n in range(start, start + run):
                first[n], second[n] = -40.0, -20.0
        assert (weights(first, second)[1] > 0) is is_heard


@pytest.mark.parametrize("at", [0, 1, 399])
def test_every_sample_belongs_to_a_window(at: int) -> None:
    block = np.zeros((1, 400), np.float32)
    block[0, at] = 1.0
    made = Survey()
    made.add(block, RATE)
    assert made.loudest == pytest.approx([10 * np.log10(1 / 400 - 1 / 400**2)])
