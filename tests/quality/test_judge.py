"""The judge of finished films: good lips pass, late, early, unrelated and still ones do not."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.support.articulation import judged as articulated
from tests.support.puppet import cut, speaker
from tests.support.speakers import TEXTS, Voice, voice
from vidgen.media.encoder import FilmWriter
from vidgen.media.encodings import encoding_for
from vidgen.media.mux import mux_film
from vidgen.quality.correlation import LoudnessEnvelope, correlate, correlation, envelope
from vidgen.quality.judge import Quality, judge
from vidgen.quality.judge import judge_windows as verdict
from vidgen.quality.tracking import Tracking, blinks, hear
from vidgen.renderers.puppet.renderer import PuppetRenderer
from vidgen.renderers.workers import Workers
from vidgen.speech.espeak import Phone
from vidgen.speech.hearing import Hearing
from vidgen.work import Film, Floats, Frames, MotionOptions, Speech, Subject

RATE = 16_000
FPS = Fraction(25)


def babble(seconds: float = 6.0, seed: int = 0) -> Floats:
    """Noise that is loud and soft as syllables are."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE)
    steps = rng.uniform(0, 1, int(seconds * 8) + 2) ** 2
    level = np.interp(np.arange(count) / RATE * 8, np.arange(len(steps)), steps)
    return np.asarray(0.3 * level * rng.standard_normal(count), np.float32)


def watched(opening: Floats, fps: float = 25) -> Tracking:
    count = len(opening)
    times = (np.arange(count, dtype=np.float64) + 0.5) / fps
    eyes = np.full(count, 0.3)
    return Tracking(
        times, opening.astype(np.float64), np.full(count, 0.3), eyes, np.ones(count, bool)
    )


def lips(samples: Floats, late: float = 0.0, size: float = 0.07) -> Tracking:
    """Lips that open with the loudness, `late` seconds behind it, imperfectly."""
    loud = envelope(samples, RATE)
    times = (np.arange(int(len(samples) / RATE * 25)) + 0.5) / 25
    level = loud.at(times - late)
    share = (level - level.min()) / np.ptp(level)
    wobble = 0.25 * np.random.default_rng(9).standard_normal(len(times))
    return watched(np.asarray(size * np.clip(share + wobble, 0, 1), np.float32))


@pytest.mark.parametrize(
    ("late", "follows", "reason"),
    [(0.0, True, ""), (0.04, True, ""), (0.12, False, "late"), (-0.12, False, "early")],
)
def test_lips_are_judged_by_their_lag(late: float, follows: bool, reason: str) -> None:
    samples = babble()
    found = verdict([lips(samples, late)], [envelope(samples, RATE)])
    assert (found.follows_voice, found.reason) == (follows, reason)
    assert found.offset_ms == pytest.approx(1e3 * late, abs=15)


def test_lips_that_say_the_sounds_need_not_follow_the_loudness() -> None:
    samples = babble()
    heard = [envelope(samples, RATE)]
    phones = [Phone(n / 5, n / 5 + 0.16, "ma"[n % 2]) for n in range(30)]
    times = (np.arange(150) + 0.5) / 25
    opens = np.array([any(p.start <= t < p.end and p.ipa == "a" for p in phones) for t in times])
    said = watched(np.where(opens, 0.06, 0.01).astype(np.float32))
    assert verdict([said], heard).follows_voice is False
    found = verdict([said], heard, [phones])
    assert (found.follows_voice, found.reason, found.articulation) == (True, "", 1.0)
    late = watched(np.roll(said.opening, 5).astype(np.float32))
    assert verdict([late], heard, [phones]).follows_voice is False
    few = verdict([said], heard, [phones[:6]])
    assert (few.follows_voice, few.articulation) == (False, None)


def test_other_lips_are_unrelated_and_still_ones_still() -> None:
    samples, other = babble(), babble(seed=1)
    heard = [envelope(samples, RATE)]
    assert verdict([lips(other)], heard).follows_voice is False
    still = verdict([watched(np.full(150, 0.02, np.float32))], heard)
    assert (still.follows_voice, still.reason) == (False, "still_mouth")
    sine = 0.04 + 0.03 * np.sin(np.arange(150) / 25 * 8 * np.pi)
    assert verdict([watched(sine.astype(np.float32))], heard).follows_voice is False


def test_what_cannot_be_judged_is_not() -> None:
    samples = babble()
    short = lips(samples[: int(1.5 * RATE)])
    flat = envelope(np.full(6 * RATE, 1e-9, np.float32), RATE)
    cases = {
        "too_short": verdict([short], [envelope(samples, RATE)]),
        "no_face": verdict([], []),
        "no_sound": verdict([lips(samples)], [flat]),
    }
    assert {name: (case.follows_voice, case.reason) for name, case in cases.items()} == {
        name: (None, name) for name in cases
    }


def test_a_short_film_is_only_blamed_for_what_is_plain() -> None:
    samples = babble(2.6)
    heard = [envelope(samples, RATE)]
    assert verdict([lips(babble(2.6, seed=3))], heard).follows_voice is not True
    assert verdict([lips(samples)], heard).follows_voice is True
    assert verdict([lips(samples, 0.12)], heard).reason == "late"


def test_two_windows_are_judged_as_one() -> None:
    samples = babble(8.0)
    whole, loud = lips(samples), envelope(samples, RATE)

    def window(first: int, last: int) -> Tracking:
        part = slice(first, last)
        return Tracking(
            whole.times[part], whole.opening[part], whole.width[part], whole.eyes[part],
            whole.seen[part],
        )  # fmt: skip

    start = 4.0
    later = envelope(samples[int(start * RATE) :], RATE).shift(start)
    found = verdict([window(0, 75), window(110, 185)], [loud, later])
    assert found.follows_voice is True
    assert found.frames == 150


def test_the_envelope_knows_its_time_and_its_silences() -> None:
    samples = np.concatenate([np.zeros(RATE), babble(1.0) + 0.01, np.zeros(RATE)])
    loud = envelope(samples.astype(np.float32), RATE)
    assert loud.at(np.array([1.5]))[0] > loud.at(np.array([0.5]))[0] + 20
    first, *_, last = loud.pauses(0.5)
    assert first == pytest.approx((0.0, 1.0), abs=0.03)
    assert last == pytest.approx((2.0, 3.0), abs=0.03)
    assert loud.shift(5.0).at(np.array([6.5])) == loud.at(np.array([1.5]))
    assert loud.backwards().decibels[0] == loud.decibels[-1]
    assert envelope(np.zeros(10, np.float32), RATE).deviation == 0


def test_lag_and_correlation_of_a_curve_with_itself() -> None:
    samples = babble()
    loud = envelope(samples, RATE)
    times = (np.arange(140) + 0.5) / 25
    r, lag = correlate(loud.at(times), times, loud)
    assert r == pytest.approx(1.0)
    assert lag == pytest.approx(0.0, abs=0.002)
    _, late = correlate(loud.at(times - 0.073), times, loud)
    assert late == pytest.approx(0.073, abs=0.003)
    assert correlation(np.ones(140), times, loud) == 0.0


def test_blinks_are_counted() -> None:
    eyes = np.full(100, 0.3)
    eyes[20:24] = eyes[60:63] = 0.1
    nothing = np.zeros(100)
    seen = Tracking(np.arange(100) / 25, nothing, nothing, eyes, np.ones(100, bool))
    assert blinks(seen) == 2


def test_a_verdict_is_json() -> None:
    import json

    told = json.loads(json.dumps(Quality(None, "no_face").to_json()))
    assert told["follows_voice"] is None
    assert told["reason"] == "no_face"


def filmed(
    subject: Subject,
    speech: Speech,
    heard: Speech,
    folder: Path,
    look: MotionOptions,
    hearing: Hearing | None = None,
) -> Path:
    """`subject` saying `speech`, with the sound of `heard`."""
    piece, path = folder / "piece.mkv", folder / "film.mp4"
    encoding = encoding_for("mp4")
    height, width = subject.frame.shape[:2]
    with PuppetRenderer(hearing=hearing).perform(subject, cut(subject), speech, look) as act:
        count = act.frame_count
        with FilmWriter(piece, size=(width, height), fps=look.fps, encoding=encoding) as writer:
            for frames in act.frames(0, count):
                writer.write(frames)
    mux_film(Film((piece,), count, look.fps, (width, height)), heard, path, encoding)
    return path


@pytest.fixture(scope="module")
def subject(demo_photo: Path, model_path: Callable[[str], Path]) -> Subject:
    return speaker(demo_photo, model_path, 320)


@pytest.fixture(scope="module")
def spoken() -> Voice:
    return voice("en-gb", "Female1", " ".join(TEXTS["en-gb"].split()[:22]))


@pytest.mark.models
def test_a_real_film_passes_and_a_shifted_one_does_not(
    subject: Subject, spoken: Voice, tmp_path: Path, model_path: Callable[[str], Path]
) -> None:
    from dataclasses import replace

    model = model_path("face_landmark")
    film = filmed(subject, spoken.speech, spoken.speech, tmp_path, MotionOptions())
    heard: list[int] = []

    def hears(samples: Floats, rate: int) -> list[Phone]:
        heard.append(rate)
        return []

    found = judge(film, model, hear_phones=hears)
    assert not heard  # the loudness has told
    assert (found.follows_voice, found.reason) == (True, "")
    assert abs(found.offset_ms or 99) <= 30
    assert 0.03 <= (found.aperture_p95 or 0) <= 0.10
    with Workers(2) as workers:
        elsewhere = judge(
            film, model, frames=80, run=lambda all, hear: workers.run(all, None, hear)
        )
    assert elsewhere == judge(film, model, frames=80)
    assert elsewhere.follows_voice is True
    ahead = np.concatenate([np.zeros(int(0.12 * RATE), np.float32), spoken.speech.samples])
    late = replace(spoken.speech, samples=ahead[: len(spoken.speech.samples)])
    (tmp_path / "early").mkdir()
    early = filmed(subject, spoken.speech, late, tmp_path / "early", MotionOptions())
    wrong = judge(early, model, hear_phones=hears)
    assert heard
    assert (wrong.follows_voice, wrong.reason) == (False, "early")
    samples, rate = hear(film, 0.5, 1.5)
    assert rate in (RATE, 44_100, 48_000)
    assert len(samples) == rate
    middle = envelope(samples, rate).at(np.arange(0.1, 0.9, 0.005))
    wanted = envelope(spoken.speech.samples[RATE // 2 : 3 * RATE // 2], RATE)
    assert np.corrcoef(middle, wanted.at(np.arange(0.1, 0.9, 0.005)))[0, 1] > 0.95


@pytest.mark.models
def test_with_the_words_every_bilabial_is_seen_closed(
    subject: Subject, spoken: Voice, tmp_path: Path, model_path: Callable[[str], Path]
) -> None:
    from dataclasses import replace

    from vidgen.quality.tracking import track
    from vidgen.vision.faces import LandmarkNet

    speech = replace(spoken.speech, text=spoken.text)
    hearing, look = Hearing(model_path("phone_recognizer")), MotionOptions(language="en-gb")
    film = filmed(subject, speech, speech, tmp_path, look, hearing)
    seen = track(film, LandmarkNet(model_path("face_landmark"))).only_seen()
    found = articulated(seen.opening, seen.times, envelope(speech.samples, RATE), spoken.phones)
    assert found.bilabials_closed >= 0.90
    assert round(found.vowels_closed * found.open_vowels) <= 1  # of about ten
    assert found.auc >= 0.90
    assert found.ratio >= 2.5
    assert abs(found.lag_ms) <= 30  # of 7 s; `test_controls` asks for 20 of 34 s


@pytest.mark.models
def test_a_film_without_a_face_or_sound_is_not_judged(
    tmp_path: Path, model_path: Callable[[str], Path]
) -> None:
    encoding = encoding_for("mp4")
    path = tmp_path / f"grey{encoding.suffix}"
    grey = np.full((60, 160, 160, 3), 127, np.uint8)
    with FilmWriter(path, size=(160, 160), fps=FPS, encoding=encoding) as writer:
        writer.write(Frames(grey))
    found = judge(path, model_path("face_landmark"))
    assert (found.follows_voice, found.reason, found.frames) == (None, "no_face", 0)
    assert LoudnessEnvelope(np.zeros(2)).deviation == 0
