"""Does the mouth of a finished film follow its voice? A cheap look at any film of one face.

Four short windows, about 150 frames and two seconds of work, whatever the film's length. Knows no
renderer. `benchmarks/talking.py` judges whole films with the same tools.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.media.containers import open_container
from vidgen.quality.closing_look import FRAMES, SeenWindow, windows
from vidgen.quality.correlation import LoudnessEnvelope, best_lag, envelope
from vidgen.quality.tracking import Tracking, blinks, hear, track
from vidgen.signals import thread_pool
from vidgen.speech.espeak import Phone
from vidgen.speech.visemes import is_open_vowel, kind
from vidgen.work import Floats

LEAST_FRAMES: Final = 45  # with a face, or nothing is said about the film
NO_SPREAD: Final = 1e-6  # dB: what rounding leaves of silence
LEAST_SPREAD: Final = 3.0  # dB of loudness: a flat sound cannot be followed
LEAST_RANGE: Final = 0.010  # Hf between closed and open; less is a still mouth
LEAST_R: Final = 0.30  # at zero lag; 72 cuts of good films: .53 and more, unrelated lips: .2
ENOUGH: Final = 100  # frames; in fewer chance alone misleads once in 70, so only what is
CLEAR: Final = 0.35  # better by this much elsewhere is told
MOST_LAG: Final = 0.060  # seconds
LEAST_SOUNDS: Final = 4  # open vowels and p, b, m each, or articulation is not told
WELL: Final = 0.80  # articulation from which on the mouth plainly says the voice's sounds
# of verdicts by the loudness alone: lips that say the voice's sounds prove them wrong
IN_DOUBT: Final = ("late", "early", "unrelated", "too_short")
ROOM: Final = 0.3  # seconds of sound on both sides of a window, for the lags


@dataclass(frozen=True, slots=True)
class Quality:
    """What was seen. `follows_voice` is None when it could not be judged; `reason` says why, or
    what is wrong: "", "too_short", "no_face", "no_sound", "flat_voice", "still_mouth", "late",
    "early", "unrelated"."""

    follows_voice: bool | None
    reason: str
    offset_ms: float | None = None  # positive: the mouth is late
    correlation: float | None = None  # of opening and loudness, at zero lag
    # The chance that the mouth is wider open in an open vowel than in a p, b or m; .5 is chance.
    # None where it was not needed or is not known
    articulation: float | None = None
    aperture_p95: float | None = None  # face heights
    aperture_range: float | None = None  # 5th to 95th percentile, face heights
    blinks: int = 0
    frames: int = 0  # in which the face was seen

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(
    video: Path,
    landmark_model: Path,
    *,
    face: Sequence[float] | None = None,
    frames: int = FRAMES,
    seen: Sequence[SeenWindow] = (),
    run: "RunTasks | None" = None,
    hear_phones: "HearPhones | None" = None,
) -> Quality:
    """Look at about `frames` frames of `video`, in the windows that are not `seen` yet.

    `face` is the box where the face is, if known; `run` does the looking elsewhere, two threads do
    it here. With `hear_phones`, lips that say the voice's sounds are good however little the
    loudness leads them; it hears only where that is in doubt.

    Never raises for what a film shows; OSError and av's errors for a file that is no film.
    """
    box = tuple(face) if face is not None else None
    found = {window.index: window.in_film(video) for window in seen}
    tasks = [
        TrackWindow(index, video, landmark_model, start, count, box)
        for index, (start, count) in enumerate(_windows(video, frames))
        if index not in found
    ]
    (run or _run_in_threads)(tasks, lambda news: found.update([news]))
    parts = [part for _, part in sorted(found.items()) if len(part)]
    sounds = [_voice_envelope(video, part) for part in parts]
    quality = judge_windows(parts, sounds)
    if hear_phones is None or quality.reason not in IN_DOUBT:
        return quality
    return judge_windows(parts, sounds, [_phones(video, part, hear_phones) for part in parts])


Hear = Callable[[tuple[int, Tracking]], None]
HearPhones = Callable[[Floats, int], Sequence[Phone]]  # (samples, rate) → what is said in them


@dataclass(frozen=True, slots=True)
class TrackWindow:
    """Follow the face through one part of a film; says its number and where it was seen."""

    index: int
    video: Path
    landmark_model: Path
    start: float  # seconds
    frames: int
    face: tuple[float, ...] | None

    def __call__(self, shared: object, say: Hear) -> None:  # noqa: ARG002  # a task's form
        from vidgen.vision.faces import LandmarkNet

        net = LandmarkNet(self.landmark_model)
        seen = track(self.video, net, start=self.start, frames=self.frames, face=self.face)
        say((self.index, seen.only_seen()))


RunTasks = Callable[[Sequence[TrackWindow], Hear], None]


def _run_in_threads(tasks: Sequence[TrackWindow], hear: Hear) -> None:
    with thread_pool(2, "judge") as pool:
        for task in [pool.submit(task, None, hear) for task in tasks]:
            task.result()


def judge_windows(
    parts: Sequence[Tracking],
    heard: Sequence[LoudnessEnvelope],
    phones: Sequence[Sequence[Phone]] = (),
) -> Quality:
    """The verdict over windows of one film, each with the loudness, and perhaps the phones, on the
    film's own clock."""
    seen = sum(len(part) for part in parts)
    if seen < LEAST_FRAMES:
        return Quality(None, "no_face" if seen == 0 else "too_short", frames=seen)
    opening = np.concatenate([part.opening for part in parts])
    low, high = (float(value) for value in np.percentile(opening, (5, 95)))
    measured: dict[str, Any] = {
        "aperture_p95": round(high, 4),
        "aperture_range": round(high - low, 4),
        "blinks": sum(blinks(part) for part in parts),
        "frames": seen,
    }
    spread = max(sound.deviation for sound in heard)
    if spread < LEAST_SPREAD:
        return Quality(None, "no_sound" if spread < NO_SPREAD else "flat_voice", **measured)
    r, lag, best = _together(parts, heard)
    said = _articulation(parts, phones)
    measured |= {"offset_ms": round(1e3 * lag, 1), "correlation": round(r, 3)}
    measured["articulation"] = None if said is None else round(said, 3)
    reason = _reason(high - low, r, lag, best)
    if reason != "still_mouth" and said is not None and said >= WELL:
        reason = ""
    if reason and reason != "still_mouth" and seen < ENOUGH and best - r < CLEAR:
        return Quality(None, "too_short", **measured)
    return Quality(not reason, reason, **measured)


def _reason(span: float, r: float, lag: float, best: float) -> str:
    """What is wrong, or ""."""
    if span < LEAST_RANGE:
        return "still_mouth"
    if abs(lag) > MOST_LAG and best > max(LEAST_R, r + 0.10):
        return "late" if lag > 0 else "early"
    return "unrelated" if r < LEAST_R else ""


def _articulation(parts: Sequence[Tracking], phones: Sequence[Sequence[Phone]]) -> float | None:
    """How often the mean opening of an open vowel is above that of a p, b or m."""
    wide: list[float] = []
    shut: list[float] = []
    for part, said in zip(parts, phones, strict=False):
        for phone in said:
            inside = part.opening[(part.times >= phone.start) & (part.times < phone.end)]
            if not len(inside):
                continue
            if kind(phone.ipa) == "bilabial":
                shut.append(float(inside.mean()))
            elif is_open_vowel(phone.ipa):
                wide.append(float(inside.mean()))
    if min(len(wide), len(shut)) < LEAST_SOUNDS:
        return None
    return float((np.array(wide)[:, None] > np.array(shut)).mean())


def _together(
    parts: Sequence[Tracking], heard: Sequence[LoudnessEnvelope]
) -> tuple[float, float, float]:
    """r at zero lag, best lag in seconds and r there, over all windows at once."""

    def at(lag: float) -> float:
        loud = np.concatenate(
            [sound.at(part.times - lag) for part, sound in zip(parts, heard, strict=True)]
        )
        opening = np.concatenate([part.opening for part in parts])
        flat = loud.std() < 1e-9 or opening.std() < 1e-9
        return 0.0 if flat else float(np.corrcoef(opening, loud)[0, 1])

    lag = best_lag(at)
    return at(0.0), lag, at(lag)


def _windows(video: Path, frames: int) -> list[tuple[float, int]]:
    """The windows of any film, ours or not."""
    import av

    with open_container(video, unseen=True) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 25)
        seconds = float(container.duration or 0) / av.time_base
    return windows(seconds, rate, frames)


def _phones(video: Path, part: Tracking, hear_phones: HearPhones) -> Sequence[Phone]:
    """What is said around one window, on the film's clock."""
    start = max(0.0, float(part.times[0]) - ROOM)
    samples, rate = hear(video, start, float(part.times[-1]) + ROOM)
    found = hear_phones(samples, rate) if len(samples) else ()
    return [Phone(phone.start + start, phone.end + start, phone.ipa) for phone in found]


def _voice_envelope(video: Path, part: Tracking) -> LoudnessEnvelope:
    """The loudness around one window, on the film's clock."""
    start = max(0.0, float(part.times[0]) - ROOM)
    samples, rate = hear(video, start, float(part.times[-1]) + ROOM)
    if not len(samples):
        return LoudnessEnvelope(np.zeros(2), start)
    return envelope(samples, rate).shift(start)
