"""Pitch, melody, rate and loudness: what was asked for, and nothing when nothing was asked."""

from dataclasses import replace
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.fake_renderer import tone
from vidgen.errors import InputError
from vidgen.events import Event, Log, StageProgress
from vidgen.media import loudness
from vidgen.media.audio import load_speech
from vidgen.settings import Options
from vidgen.stages.prosody import Melody, Prosody, melody
from vidgen.work import Notes, Speech, Work


def voice(seconds: float = 3.0, rate: int = 16000, hertz: float = 130.0) -> Speech:
    """Pulses like a larynx's with a moving pitch, in phrases with pauses between."""
    t = np.arange(int(seconds * rate)) / rate
    pitch = hertz * 2 ** (3 * np.sin(2 * np.pi * 0.9 * t) / 12)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    wave = sum(np.sin(n * phase) / n for n in range(1, 12))
    phrase = np.clip(4 * np.sin(2 * np.pi * 0.8 * t), 0, 1)
    return Speech((0.2 * wave * phrase).astype(np.float32), rate, "0" * 64, "words")


def adjusted(speech: Speech, **wish: Any) -> tuple[Speech, Notes, list[Event]]:
    heard: list[Event] = []
    done = Prosody(Options(**wish)).run(Work(speech), heard.append)
    return done.get(Speech), done.get(Notes), heard


def logs(heard: list[Event]) -> list[str]:
    return [event.code for event in heard if isinstance(event, Log)]


def test_without_a_wish_nothing_is_touched() -> None:
    speech = replace(voice(), samples=voice().samples * 2.8)  # over -1 dBTP as it came
    before = speech.samples.copy()
    after, notes, heard = adjusted(speech)
    assert after is speech
    assert after.samples.tobytes() == before.tobytes()
    assert notes == Notes({"seconds": 3.0}, "prosody.kept", "skipped")
    assert heard == []


@pytest.mark.parametrize("shift", [-2.0, 1.0, 2.0])
def test_pitch_moves_the_median(shift: float) -> None:
    speech = voice()
    after, notes, heard = adjusted(speech, pitch=shift)
    moved = 12 * np.log2(melody(after.samples, after.rate).median / melody_of(speech).median)
    assert moved == pytest.approx(shift, abs=0.2)
    assert (after.rate, after.sha256, after.text) == (16000, speech.sha256, "words")
    assert abs(after.seconds - speech.seconds) < 0.03
    assert (notes.status, notes.code, notes.values["work"]) == ("completed", "prosody.done", 3.0)
    assert logs(heard) == []
    assert heard == [StageProgress("prosody_adjustment", 1, 2, "steps")]


def melody_of(speech: Speech) -> Melody:
    return melody(speech.samples, speech.rate)


@pytest.mark.parametrize("scale", [0.7, 1.4])
def test_range_widens_the_melody_and_keeps_its_middle(scale: float) -> None:
    before, after = melody_of(voice()), melody_of(adjusted(voice(), pitch_range=scale)[0])
    assert after.spread / before.spread == pytest.approx(scale, abs=0.12)
    assert after.median / before.median == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("rate", [0.85, 1.2])
def test_rate_changes_the_length(rate: float) -> None:
    after, _, heard = adjusted(voice(), rate=rate)
    assert after.seconds == pytest.approx(3.0 / rate, rel=0.01)
    assert melody_of(after).median == pytest.approx(melody_of(voice()).median, rel=0.03)
    assert logs(heard) == []


@pytest.mark.parametrize("target", [-30.0, -20.0, -16.0])
def test_loudness_is_reached_and_peaks_stay_under_the_limit(target: float) -> None:
    after, notes, _ = adjusted(voice(), loudness=str(target))
    levels = loudness.measure(after.samples, after.rate)
    assert levels.lufs == pytest.approx(target, abs=0.15)
    assert levels.true_peak <= -1.0 + 0.01
    assert notes.values["lufs"] == pytest.approx(target, abs=0.15)
    assert len(after.samples) == len(voice().samples)


def test_a_loudness_out_of_reach_ends_at_the_limit_and_is_said() -> None:
    peaks = np.zeros(48000, np.float32)
    peaks[::4800] = 0.9
    speech = Speech(tone(3.0).samples * 0.05 + peaks, 16000, "")
    after, notes, heard = adjusted(speech, loudness="-9")
    reached = notes.values["lufs"]
    assert reached < -9.5
    assert loudness.measure(after.samples, after.rate).true_peak <= -0.99
    assert [e for e in heard if isinstance(e, Log)] == [
        Log("INFO", "prosody.quieter", {"wanted": -9.0, "reached": reached})
    ]


def test_no_voice_is_turned_up_by_more_than_six_decibels_over_the_limit() -> None:
    """More of the limiter is heard as distortion. What lies far from the peaks shows the gain."""
    samples = tone(3.0).samples * np.float32(0.02)
    samples[40_000] = 0.5
    most = -1 + 6 - 20 * np.log10(loudness.true_peak(samples, 16_000))
    nearly = loudness.loudness(samples, 16_000) + most - 0.1  # and what limiting takes away
    for target in (-5.0, nearly):
        louder = loudness.to_loudness(samples, 16_000, target)
        gain = 20 * np.log10(np.abs(louder[:16_000]).max() / np.abs(samples[:16_000]).max())
        assert gain == pytest.approx(most, abs=0.01)
        assert loudness.true_peak(louder, 16_000) <= 10 ** (-1 / 20) + 1e-4


def test_a_changed_voice_is_never_louder_than_the_limit() -> None:
    speech = replace(voice(), samples=voice().samples * 2.8)
    assert loudness.measure(speech.samples, speech.rate).true_peak > -1
    after, _, _ = adjusted(speech, pitch=1.0)
    assert loudness.measure(after.samples, after.rate).true_peak <= -0.99


def test_the_peak_between_samples_counts() -> None:
    # A quarter of the rate, 45 degrees off: every sample is at 0.707 of the wave's peak.
    wave = np.sin(np.pi / 2 * np.arange(16000) + np.pi / 4).astype(np.float32)
    assert np.abs(wave).max() == pytest.approx(0.7071, abs=1e-3)
    assert loudness.true_peak(wave, 16000) == pytest.approx(1.0, abs=0.02)


def test_the_peak_is_found_in_any_block() -> None:
    samples = np.zeros(25 * 8000, np.float32)
    samples[[79_999, 80_000]] = 0.5, 0.9  # across the border of two blocks of 10 s
    whole = loudness.true_peak(samples[70_000:90_000], 8000)
    assert loudness.true_peak(samples, 8000) == pytest.approx(whole, rel=1e-4)


def test_the_limiter_leaves_quiet_parts_alone() -> None:
    samples = tone(2.0).samples * 0.5
    samples[16000] = 1.0
    limited = loudness.limit(samples, 16000)
    assert loudness.true_peak(limited, 16000) <= 10 ** (-1 / 20) + 1e-4
    np.testing.assert_array_equal(limited[:15900], samples[:15900])
    np.testing.assert_array_equal(limited[16100:], samples[16100:])


def test_wishes_beyond_reason_are_brought_within_it() -> None:
    assert Prosody(Options(pitch=9, pitch_range=3, rate=0.1, loudness="0")).wish == (
        Prosody(Options(pitch=3, pitch_range=1.4, rate=0.85, loudness="-9")).wish
    )


def test_a_large_shift_is_commented() -> None:
    assert "prosody.far" in logs(adjusted(voice(), pitch=2.5)[2])


@pytest.mark.parametrize("value", ["loud", "nan", "inf", ""])
def test_a_loudness_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(InputError) as caught:
        Prosody(Options(loudness=value))
    assert caught.value.code == "prosody.loudness"


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(16000, np.float32),
        np.random.default_rng(3).standard_normal(16000).astype(np.float32) * 0.1,
        tone(0.35).samples,
        np.full(1200, 0.5, np.float32),  # under 0.1 s: Praat cannot look for a pitch
    ],
    ids=["silence", "noise", "short", "very short"],
)
def test_what_has_no_melody_passes(samples: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    speech = Speech(samples, 16000, "")
    after, notes, _ = adjusted(speech, pitch=2.0, pitch_range=1.3, rate=1.1, loudness="-16")
    assert np.isfinite(after.samples).all()
    assert notes.values["lufs"] is None or isfinite(notes.values["lufs"])


def test_silence_has_no_loudness() -> None:
    assert loudness.measure(np.zeros(16000, np.float32), 16000) == loudness.Levels(-inf, -inf)


def test_a_human_voice_stays_natural(human_voice: Path) -> None:
    speech = load_speech(human_voice, max_seconds=60)
    after, notes, heard = adjusted(speech, pitch=1.0, rate=1.1, loudness="-16")
    assert logs(heard) == []
    assert after.seconds == pytest.approx(speech.seconds / 1.1, rel=0.005)
    assert notes.values["lufs"] == pytest.approx(-16, abs=0.15)
