"""What the mouth does for a voice: on voices whose every phoneme is known, and on sounds that
no one should have sent."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.articulation import Articulation, judged
from tests.support.speakers import TEXTS, Voice, voice, with_noise
from vidgen.quality.correlation import envelope
from vidgen.speech.closures import lip_press
from vidgen.speech.espeak import Phone
from vidgen.speech.features import at_16k, listen
from vidgen.speech.hearing import Hearing
from vidgen.speech.mouth_curves import CURVES, MOUTH, MouthCurves, mouth_curves, sample_curves
from vidgen.speech.phonemes import TimedPhones
from vidgen.speech.visemes import kind
from vidgen.work import Floats, MotionOptions, Speech

Array = NDArray[np.floating[Any]]

RATE = 16_000
# Neither these speakers nor these languages were heard by the classifier in training.
HELD_OUT = [("en-gb", "Female1"), ("en-gb", "Male2"), ("it", "Michael"), ("nl", "Annie")]

SHORT = " ".join(TEXTS["en-gb"].split()[:34])  # for what asks no statistics, 11 s


@cache
def known(
    language: str, speaker: str, text: str = "", rate: int = 175, pitch: float = 1.0
) -> Voice:
    """Each is spoken once: eSpeak says the same a few milliseconds differently the next time."""
    return voice(language, speaker, text, rate, pitch)


@cache
def alone(language: str, speaker: str, text: str = "") -> MouthCurves:
    """The mouth by the sound alone."""
    return mouth_curves(known(language, speaker, text).speech, MotionOptions())


def speech(samples: Array, rate: int = RATE, text: str = "") -> Speech:
    return Speech(samples.astype(np.float32), rate, sha256="", text=text)


def tone(hertz: float, seconds: float = 2.0, rate: int = RATE, size: float = 0.3) -> Floats:
    time = np.arange(int(seconds * rate)) / rate
    return np.asarray(size * np.sin(2 * np.pi * hertz * time), np.float32)


def noise(seconds: float = 3.0, size: float = 0.1, rate: int = RATE) -> Floats:
    rng = np.random.default_rng(5)
    return np.asarray(size * rng.standard_normal(int(seconds * rate)), np.float32)


def measured(made: MouthCurves, voice: Voice) -> Articulation:
    """What a film at 25 frames per second would show."""
    count = int(voice.speech.seconds * 25)
    times = (np.arange(count) + 0.5) / 25
    jaw = sample_curves(made, Fraction(25), 0, count)["jaw"].astype(np.float64)
    loud = envelope(voice.speech.samples, voice.speech.rate)
    return judged(jaw, times, loud, voice.phones)


@pytest.mark.parametrize(("language", "speaker"), HELD_OUT)
def test_from_sound_alone_the_mouth_says_what_the_voice_says(language: str, speaker: str) -> None:
    heard = known(language, speaker, "")
    made = alone(language, speaker)
    found = measured(made, heard)
    assert made.source == "sound"
    assert found.r >= 0.60
    assert abs(found.lag_ms) <= 20
    assert found.r - found.r_reversed >= 0.40
    assert found.ratio >= 2.5
    assert found.auc >= 0.90
    assert found.pause_mean <= 0.10
    assert found.bilabials_closed >= 0.60  # the rules of the recipe reached .51
    assert found.vowels_closed <= 0.05 or found.open_vowels < 15


def test_loudness_alone_would_not_pass() -> None:
    made = alone("en-gb", "Female1")
    found = measured(replace(made, jaw=made.loud), known("en-gb", "Female1", ""))
    assert found.ratio < 2.5
    assert found.bilabials_closed < 0.51


@pytest.mark.parametrize(("language", "speaker"), HELD_OUT)
def test_closures_are_heard_in_speakers_and_languages_not_trained_on(
    language: str, speaker: str
) -> None:
    heard = known(language, speaker, "")
    on = lip_press(listen(heard.speech.samples, RATE)) >= 0.5
    hits, wrong = [], []
    for phone in heard.phones:
        inside = on[int(phone.start * 100) : int(np.ceil(phone.end * 100)) + 1]
        if kind(phone.ipa) == "bilabial":
            hits.append(inside.any())
        elif kind(phone.ipa) in ("vowel", "hiss", "glide"):
            wrong.append(inside.mean() > 0.5)
    assert np.mean(hits) >= 0.51
    assert np.mean(wrong) <= 0.03


@pytest.mark.parametrize(
    "look", [MotionOptions(), MotionOptions(fps=Fraction(24)), MotionOptions(fps=Fraction(60))]
)
@pytest.mark.models
def test_with_the_words_lips_meet_for_every_bilabial(look: MotionOptions, hearing: Hearing) -> None:
    heard = known("en-gb", "Male2", "", 150, 0.8)
    said = replace(heard.speech, text=heard.text)
    made = mouth_curves(said, replace(look, language="en-gb"), hearing)
    count = int(heard.speech.seconds * look.fps)
    times = (np.arange(count, dtype=np.float64) + 0.5) / float(look.fps)
    jaw = sample_curves(made, look.fps, 0, count)["jaw"].astype(np.float64)
    found = judged(jaw, times, envelope(heard.speech.samples, RATE), heard.phones)
    assert made.source == "text"
    assert made.note == ""
    assert found.bilabials_closed >= 0.95
    assert found.vowels_closed <= 0.05
    assert found.r >= 0.60
    assert abs(found.lag_ms) <= 20


@pytest.mark.models
def test_rounded_and_spread_vowels_differ(hearing: Hearing) -> None:
    heard = known("en-gb", "Female1", SHORT)
    for text, source in (("", None), ("", hearing), (heard.text, hearing)):
        said = replace(heard.speech, text=text)
        made = mouth_curves(said, MotionOptions(language="en-gb"), source)

        def mean(curve: Floats, signs: str) -> float:
            parts = [
                curve[int(p.start * 100) : int(p.end * 100) + 1].mean()
                for p in heard.phones
                if p.ipa in signs.split()
            ]
            return float(np.mean(parts))

        assert mean(made.round, "uː ʊ ɔː w") > 1.5 * mean(made.round, "iː ɪ a")
        assert mean(made.spread, "iː ɪ") > 1.5 * mean(made.spread, "uː ʊ ɔː")
        assert mean(made.fricative, "s z ʃ f") > 2 * mean(made.fricative, "a ɑː m n")


@pytest.mark.models
def test_other_words_are_left_aside_with_a_note(hearing: Hearing) -> None:
    heard = known("en-gb", "Female1", SHORT)
    other = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 3
    made = mouth_curves(replace(heard.speech, text=other), MotionOptions(language="de"), hearing)
    assert (made.source, made.note) == ("recogniser", "puppet.text_misfit")
    assert np.array_equal(made.jaw, mouth_curves(heard.speech, MotionOptions(), hearing).jaw)


def test_words_without_a_recogniser_are_told_of() -> None:
    heard = known("en-gb", "Female1", SHORT)
    made = mouth_curves(replace(heard.speech, text=SHORT), MotionOptions())
    assert (made.source, made.note) == ("sound", "puppet.text_unheard")
    assert np.array_equal(made.jaw, alone("en-gb", "Female1", SHORT).jaw)


def test_a_recogniser_is_asked_when_there_are_no_words() -> None:
    heard = known("en-gb", "Female1", SHORT)

    def recogniser(*_: object) -> TimedPhones:
        return TimedPhones(heard.phones, source="recogniser")

    assert mouth_curves(heard.speech, MotionOptions(), recogniser).source == "recogniser"
    nothing = mouth_curves(heard.speech, MotionOptions(), lambda *_: TimedPhones(()))
    assert nothing.source == "sound"


def test_same_voice_same_curves() -> None:
    one = alone("en-gb", "Female1", SHORT)
    two = mouth_curves(known("en-gb", "Female1", SHORT).speech, MotionOptions())
    for name in CURVES:
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_mouth_scales_and_switches_off() -> None:
    heard = known("en-gb", "Female1", SHORT).speech
    usual = alone("en-gb", "Female1", SHORT)
    half, off = (mouth_curves(heard, MotionOptions(mouth=scale)) for scale in (0.5, 0.0))
    assert np.allclose(half.jaw, 0.5 * usual.jaw)
    assert not any(getattr(off, name).any() for name in MOUTH)
    assert np.array_equal(off.loud, usual.loud)  # the head still hears the voice


def test_frames_are_read_at_their_centres() -> None:
    ramp = np.linspace(0, 1, 101).astype(np.float32)
    made = replace(mouth_curves(speech(np.zeros(RATE)), MotionOptions()), jaw=ramp)
    frames = sample_curves(made, Fraction(25), 2, 5)
    assert np.allclose(frames["jaw"], [0.10, 0.14, 0.18])
    assert set(frames) == set(CURVES)
    whole = sample_curves(made, Fraction(25), 0, 25)
    assert np.array_equal(whole["jaw"][2:5], frames["jaw"])


BAD: dict[str, Callable[[], Speech]] = {
    "nothing": lambda: speech(np.zeros(0)),
    "one sample": lambda: speech(np.ones(1)),
    "10 ms": lambda: speech(noise(0.01)),
    "silence": lambda: speech(np.zeros(2 * RATE)),
    "DC": lambda: speech(np.full(2 * RATE, 0.7)),
    "not numbers": lambda: speech(np.where(noise() > 0.1, np.nan, noise())),
    "infinite": lambda: speech(np.where(noise() > 0.2, np.inf, noise())),
    "square wave": lambda: speech(np.sign(tone(180, 1.0))),
    "200 Hz sampling": lambda: speech(noise(rate=200), 200),
    "8 kHz": lambda: speech(noise(rate=8000), 8000),
    "96 kHz": lambda: speech(noise(rate=96_000), 96_000),
    "11025 Hz": lambda: speech(noise(rate=11_025), 11_025),
    "a prime rate": lambda: speech(noise(rate=44_101), 44_101),
    "tiny": lambda: speech(1e-6 * noise()),
    "huge": lambda: speech(1e6 * noise()),
    "a click": lambda: speech(np.eye(1, 2 * RATE, RATE)[0]),
}


@pytest.mark.parametrize("made", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("text", ["", "Some words."])
def test_any_sound_gives_whole_curves(made: Callable[[], Speech], text: str) -> None:
    sent = replace(made(), text=text)
    found = mouth_curves(sent, MotionOptions())
    count = int(np.ceil(round(sent.seconds * 100, 6))) + 1
    for name in CURVES:
        curve = getattr(found, name)
        assert curve.shape == (count,)
        assert curve.dtype == np.float32
        assert np.isfinite(curve).all()
        if name != "f0":
            assert 0 <= curve.min() <= curve.max() <= 1
    assert all(0 <= start < end <= sent.seconds + 0.011 for start, end in found.pauses)


STILL: dict[str, Floats] = {
    "silence": np.zeros(2 * RATE, np.float32),
    "DC": np.full(2 * RATE, 0.7, np.float32),
    "white noise": noise(),
    "faint noise": 0.001 * noise(),
    "hum": tone(50) + 0.5 * tone(100) + 0.3 * tone(150),
    "hum in noise": tone(50) + 0.1 * noise(2.0),
}


@pytest.mark.parametrize("sound", STILL.values(), ids=STILL.keys())
def test_a_sound_without_speech_leaves_the_mouth_shut(sound: Floats) -> None:
    made = mouth_curves(speech(sound), MotionOptions())
    assert made.jaw.max() <= 0.02


def test_steady_noise_and_hum_do_not_move_the_mouth_in_pauses() -> None:
    heard = known("en-gb", "Female1", "").speech.samples[: 8 * RATE]
    padded = np.concatenate([np.zeros(RATE), heard, np.zeros(2 * RATE), heard]).astype(np.float32)
    hum = tone(50, len(padded) / RATE, size=0.02) + tone(100, len(padded) / RATE, size=0.01)
    made = mouth_curves(speech(with_noise(padded, 25) + hum), MotionOptions())
    assert made.jaw[20:80].max() <= 0.05
    assert made.jaw[920:1080].max() <= 0.05
    assert made.jaw[1100:1700].max() >= 0.9


@pytest.mark.parametrize(
    ("notes", "below"), [((220,), 20), ((220,), 10), ((50, 100, 150), 10), ((220, 262, 330), 10)]
)
@pytest.mark.models
def test_a_sustained_pad_or_hum_does_not_freeze_the_mouth(
    notes: tuple[int, ...], below: float, hearing: Hearing
) -> None:
    heard = known("en-gb", "Female1", SHORT)
    samples = heard.speech.samples
    pad = np.sum([tone(note, len(samples) / RATE) for note in notes], axis=0)
    pad *= np.sqrt(np.square(samples).mean() / np.square(pad).mean()) * 10 ** (-below / 20)
    found = measured(
        mouth_curves(speech(samples + pad[: len(samples)]), MotionOptions(), hearing), heard
    )
    assert found.auc >= 0.85
    assert found.bilabials_closed >= 0.68
    assert found.pause_mean <= 0.25


def changed(how: str, samples: Floats) -> Speech:
    from scipy.signal import lfilter, resample_poly

    if how == "clipped":
        return speech(np.clip(8 * samples, -0.5, 0.5))
    if how == "telephone":
        return speech(resample_poly(samples, 1, 2), 8000)
    if how == "96 kHz":
        return speech(resample_poly(samples, 6, 1), 96_000)
    if how == "DC offset":
        return speech(samples + 0.4)
    if how == "faint":
        return speech(0.01 * samples)
    if how == "dull":
        return speech(lfilter([0.2], [1, -0.8], samples))
    raise ValueError(how)


@pytest.mark.parametrize("how", ["clipped", "telephone", "96 kHz", "DC offset", "faint", "dull"])
def test_a_poor_recording_still_moves_the_mouth(how: str) -> None:
    heard = known("en-gb", "Female1", SHORT)
    found = measured(mouth_curves(changed(how, heard.speech.samples), MotionOptions()), heard)
    assert found.r >= 0.60
    assert abs(found.lag_ms) <= 20
    assert found.ratio >= 1.8


def test_a_voice_that_breaks_off_is_followed_to_its_end() -> None:
    heard = known("en-gb", "Female1", "").speech.samples
    end = int(1.35 * RATE)  # inside a vowel
    made = mouth_curves(speech(heard[:end]), MotionOptions())
    assert len(made.jaw) == 136
    assert made.jaw[-12:].max() > 0.2


def test_a_whisper_opens_the_mouth() -> None:
    heard = known("en-gb", "Female1", "").speech.samples
    loud = np.sqrt(np.convolve(np.square(heard), np.ones(400) / 400, "same"))
    made = mouth_curves(
        speech(np.asarray(loud * noise(len(heard) / RATE, 0.3), np.float32)), MotionOptions()
    )
    assert np.percentile(made.jaw, 95) > 0.5


def test_sound_is_kept_when_it_comes_at_another_rate() -> None:
    low = tone(440, 1.0, 44_100)
    assert np.abs(at_16k(low, 44_100)[200:-200] - tone(440, 1.0)[200:-200]).max() < 0.01


def test_phones_at_the_very_ends_stay_inside() -> None:
    phones = (Phone(0.0, 0.1, "m"), Phone(0.1, 0.5, "a"), Phone(0.5, 0.6, "p"))
    sent = speech(tone(150, 0.6) + tone(700, 0.6))
    made = mouth_curves(sent, MotionOptions(), lambda *_: TimedPhones(phones))
    assert made.press[3] == 1.0
    assert made.press[57] == 1.0
    assert made.press[30] == 0.0
