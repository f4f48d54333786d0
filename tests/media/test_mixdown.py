"""Which track and channels are the voice, and that it keeps its own level."""

from math import inf, isfinite
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.voices import RATE, level, steady, syllables, write_tracks
from vidgen.events import Event, Log
from vidgen.media.audio import load_speech
from vidgen.media.loudness import (
    MOST_LIMITING,
    PEAK_LIMIT,
    Levels,
    limit,
    loudness,
    measure,
    to_loudness,
    true_peak,
)
from vidgen.work import Floats

VOICE = syllables(3.0)
OTHER = syllables(3.0, seed=4)
QUIET = np.zeros_like(VOICE)


def mixed(path: Path, *channels: Floats) -> Floats:
    soundfile.write(path, np.stack(channels, 1), RATE, "FLOAT")
    return load_speech(path, max_seconds=60).samples


@pytest.mark.parametrize(
    "channels",
    [
        (VOICE, QUIET),
        (QUIET, VOICE),
        (VOICE, -VOICE),
        (VOICE, VOICE),
        (VOICE, VOICE * 0.5),
        (VOICE, steady(3.0) * 0.05),  # a hiss in the socket that nobody used
        (VOICE, np.roll(VOICE, RATE // 200) * 0.9),  # a second microphone, 1.7 m further off
        (VOICE, -0.7 * VOICE + 0.02 * steady(3.0)),
        (QUIET, QUIET, VOICE, QUIET),
    ],
)
def test_a_voice_is_as_loud_as_in_its_own_channel(
    tmp_path: Path, channels: tuple[Floats, ...]
) -> None:
    heard = mixed(tmp_path / "v.wav", *channels)
    assert level(heard) == pytest.approx(level(VOICE), abs=0.3)
    assert np.corrcoef(heard, VOICE)[0, 1] > 0.99


def test_a_hum_louder_than_the_voice_is_not_taken_for_it(tmp_path: Path) -> None:
    heard = mixed(tmp_path / "v.wav", steady(3.0) * 4, VOICE)
    np.testing.assert_array_equal(heard, VOICE)


def test_both_voices_of_an_interview_are_heard_at_their_own_level(tmp_path: Path) -> None:
    half = len(VOICE) // 2
    left, right = VOICE.copy(), OTHER.copy()
    left[half:], right[:half] = 0, 0
    heard = mixed(tmp_path / "v.wav", left, right)
    assert level(heard[:half]) == pytest.approx(level(left[:half]), abs=0.5)
    assert level(heard[half:]) == pytest.approx(level(right[half:]), abs=0.5)


def test_two_who_speak_at_once_stay_under_the_limit(tmp_path: Path) -> None:
    loud = VOICE / np.abs(VOICE).max()
    slower = syllables(3.0, seed=4, pause=0.3)
    other = slower / np.abs(slower).max()
    heard = mixed(tmp_path / "v.wav", loud, other)
    assert true_peak(heard, RATE) <= 10 ** (-1 / 20) + 1e-3
    assert np.corrcoef(heard, loud)[0, 1] > 0.4
    assert np.corrcoef(heard, other)[0, 1] > 0.4


@pytest.mark.parametrize("around", [0.0, 0.3, 2.0])
def test_the_centre_of_a_film_is_its_speech(tmp_path: Path, around: float) -> None:
    music = syllables(3.0, seed=7, pause=0.02) * np.float32(around)
    channels = np.stack([music, music[::-1], VOICE, steady(3.0) * 3, music, music])
    file = write_tracks(tmp_path / "v.mkv", [channels], "flac", layout="5.1")
    heard = load_speech(file, max_seconds=60).samples
    np.testing.assert_allclose(heard, VOICE, atol=1e-4)


def chosen(path: Path) -> tuple[Floats, int]:
    said: list[Event] = []
    samples = load_speech(path, max_seconds=60, emit=said.append).samples
    return samples, next(
        e.metadata["number"] for e in said if isinstance(e, Log) and e.code == "voice.track"
    )


@pytest.mark.parametrize(
    ("tracks", "default", "number"),
    [
        ((QUIET, VOICE), 1, 2),
        ((QUIET, VOICE), 0, 2),  # the default one is silent
        ((QUIET, VOICE), None, 2),
        ((OTHER, VOICE), 1, 2),
        ((VOICE, OTHER), 0, 1),
        ((steady(3.0), VOICE), None, 2),
        ((VOICE, steady(3.0), QUIET), None, 1),
    ],
)
def test_the_track_that_speaks_is_taken(
    tmp_path: Path, tracks: tuple[Floats, ...], default: int | None, number: int
) -> None:
    file = write_tracks(tmp_path / "v.mkv", tracks, default=default)
    samples, taken = chosen(file)
    assert taken == number
    np.testing.assert_allclose(samples, tracks[number - 1], atol=1e-4)


# Silence: one measure


@pytest.mark.parametrize("decibels", [-40, -55, -65])
def test_a_quiet_recording_is_a_voice_and_is_told_to_be_quiet(
    tmp_path: Path, decibels: float
) -> None:
    quiet = (syllables(3.1) * 10 ** (decibels / 20)).astype(np.float32)
    soundfile.write(tmp_path / "v.wav", quiet, RATE, "FLOAT")
    said: list[Event] = []
    np.testing.assert_array_equal(
        load_speech(tmp_path / "v.wav", max_seconds=60, emit=said.append).samples, quiet
    )
    assert [event.code for event in said if isinstance(event, Log)] == ["voice.quiet"]


@pytest.mark.parametrize("decibels", [-40, -55, -75])
def test_a_quiet_voice_can_be_brought_up(decibels: float) -> None:
    quiet = (VOICE * 10 ** (decibels / 20)).astype(np.float32)
    louder = to_loudness(quiet, RATE, -20)
    assert loudness(louder, RATE) == pytest.approx(-20, abs=0.6)


def test_the_limiter_takes_six_decibels_and_no_more() -> None:
    voice = VOICE * np.float32(0.05)
    voice[:: RATE // 4] = 0.5  # clicks far over the voice: its loudness cannot be reached
    between = np.ones(len(voice), bool)
    for click in range(0, len(voice), RATE // 4):
        between[max(0, click - 1000) : click + 1000] = False
    louder = to_loudness(voice, RATE, -9)
    gain = level(louder[between]) - level(voice[between])
    most = PEAK_LIMIT + MOST_LIMITING - 20 * np.log10(true_peak(voice, RATE))
    assert (PEAK_LIMIT, MOST_LIMITING) == (-1.0, 6.0)
    assert gain == pytest.approx(most, abs=0.2)
    assert true_peak(louder, RATE) <= 10 ** (-1 / 20) + 1e-3


@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
def test_no_peak_between_samples_passes_the_limit(rate: int) -> None:
    """Turning the gain moves them by up to 0.2 %."""
    noise = np.random.default_rng(1).normal(0, 0.4, rate // 2).astype(np.float32)
    assert true_peak(limit(noise, rate), rate) <= 10 ** (PEAK_LIMIT / 20) * (1 + 1e-6)


def test_loudness_of_a_tone_is_that_of_the_norm() -> None:
    """BS.1770: 1 kHz at full scale is -3.01 LUFS."""
    time = np.arange(2 * RATE) / RATE
    tone = np.sin(2 * np.pi * 997 * time).astype(np.float32)
    found = measure(tone * np.float32(0.1), RATE)
    assert found.lufs == pytest.approx(-23.01, abs=0.05)
    assert found.true_peak == pytest.approx(-20.0, abs=0.01)
    far = measure(tone * np.float32(1e-5), RATE)  # under the gate of -70 LUFS
    assert far.lufs == pytest.approx(-103.01, abs=0.05)
    assert loudness(tone[: int(0.4 * RATE)], RATE) == -inf
    assert isfinite(loudness(tone[: int(0.4 * RATE) + 1], RATE))
    assert measure(0 * tone, RATE) == measure(tone[:0], RATE) == Levels(-inf, -inf)


def test_what_is_within_the_limit_is_left_as_it_is() -> None:
    voice = VOICE * np.float32(0.89125 / true_peak(VOICE, RATE))
    assert limit(voice, RATE) is voice
    assert limit(voice[:0], RATE).size == 0


def test_the_limiter_turns_down_three_milliseconds_around_a_peak() -> None:
    voice = np.full(RATE, 0.05, np.float32)
    voice[RATE // 2] = 1.5
    quieter = limit(voice, RATE)
    changed = np.flatnonzero(np.abs(quieter / voice - quieter[0] / voice[0]) > 1e-3)
    assert (changed[0], changed[-1]) == pytest.approx((RATE // 2 - 144, RATE // 2 + 144), abs=16)
    assert quieter[0] == pytest.approx(0.05, rel=2e-3)


@pytest.mark.parametrize("at", [79_990, 80_000, 80_063, 159_999])
def test_a_peak_at_the_border_of_blocks_is_one(at: int) -> None:
    """Blocks are of ten seconds: a wave that goes over the border is seen whole."""
    wave = np.zeros(20 * 8000, np.float32)
    wave[at - 60 : at + 60] = np.sin(np.pi / 2 * np.arange(120) + np.pi / 4)[: len(wave) - at + 60]
    whole = wave[max(0, at - 1000) : at + 1000]
    assert true_peak(wave, 8000) == pytest.approx(true_peak(whole, 8000), abs=1e-6)
    assert true_peak(limit(wave, 8000), 8000) <= 10 ** (-1 / 20) * (1 + 1e-6)


@pytest.mark.parametrize("at", [0, 1, RATE - 1])
def test_the_first_and_the_last_sample_count(at: int) -> None:
    click = np.zeros(RATE, np.float32)
    click[at] = 0.9
    assert true_peak(click, RATE) == pytest.approx(0.9, abs=0.02)
