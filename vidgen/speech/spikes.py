"""From the recogniser's answers to sounds, and from sounds to phones in time. Knows no words.

CTC says each sound once, in a spike some 50 to 90 ms after the sound begins: a closure is known by
its release. So a sound begins where its class's spikes usually stand after it, give or take what
the level says, and lasts until the next one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vidgen.speech import recognizer
from vidgen.speech.closures import lip_press
from vidgen.speech.curves import RATE, Array
from vidgen.speech.espeak import Phone
from vidgen.speech.features import SpeechFeatures
from vidgen.speech.tokens import TOKENS
from vidgen.speech.visemes import Kind, has_viseme, kind, visemes
from vidgen.work import Floats

# Seconds from a sound's beginning to its spike: medians of the texts of benchmarks/natural.TUNED
# by two speakers, which agree within 10 ms.
LATE: Final[dict[Kind, float]] = {
    "bilabial": 0.080,
    "vowel": 0.078,
    "tongue": 0.048,
    "back": 0.055,
    "labiodental": 0.062,
    "glide": 0.090,
    "hiss": 0.075,
}
# Seconds that a sound lasts at most; what is left until the next one is silence.
LONGEST: Final[dict[Kind, float]] = {"bilabial": 0.16, "back": 0.16, "tongue": 0.16}
LONGEST_OTHER: Final = 0.45
# How open a sound is for the band of 400-3000 Hz, 0-1: the level falls or rises between two
OPENNESS: Final[dict[Kind, float]] = {
    "bilabial": 0.0, "labiodental": 0.3, "hiss": 0.35, "tongue": 0.4, "back": 0.3, "glide": 0.7,
    "vowel": 1.0, "silence": 0.0,
}  # fmt: skip
SEARCH: Final = 6  # samples to either side in which the level may move a beginning
TRUST_FALL, TRUST_RISE = 2.5, 1.2  # samples of that which are usual
PER_DECIBEL: Final = 0.1  # of log odds, for a change that fits
NEAR: Final = 0.3  # seconds from spike to spike: farther apart, a silence lies between
SHORTEST: Final = 0.02  # seconds
FARTHEST: Final = 0.6  # openings of the jaw between vowels that are no more like one another
ALIKE: Final = 0.5
LEAST: Final = 0.3  # of the probability: less is no sound
FAVOUR: Final = (3.5, 5.0)  # how often a closure's chance counts: always, and with the classifier
FAVOUR_TEETH: Final = 2.0  # how often that of f and v does, or noise makes closures of them
WITHIN: Final = 12  # samples before a spike in which the classifier may have heard its closure


@dataclass(frozen=True, slots=True)
class Spike:
    """One sound that the recogniser says, at answer `frame`."""

    frame: int
    ipa: str


def hear_phones(answers: Floats, sound: SpeechFeatures) -> tuple[Phone, ...]:
    """The phones of the voice in order, silences between them; () when no speech is in it.

    `answers` (T, 191) are log probabilities, `sound` the features of the same voice.
    """
    return time_phones(find_spikes(answers, lip_press(sound)), sound)


def time_phones(spikes: Sequence[Spike], sound: SpeechFeatures) -> tuple[Phone, ...]:
    """When each of `spikes` begins and ends, silences between them; () for none."""
    if not spikes:
        return ()
    return tuple(_fill(spikes, _place(spikes, sound), sound))


def find_spikes(answers: Floats, press: Array | None = None) -> list[Spike]:
    """The sounds said: the likeliest of each answer, repeats joined.

    The eye takes p, b and m for one sound, and f and v, so theirs is the sum of their chances; a
    vowel has a part of those of vowels like it, over which an accent spreads what is heard. Lips
    are rather shut once too often than left open: closures count for more than they are given,
    much more where `press` (N,) at 100 Hz, the classifier's word, agrees; f and v, which they would
    swallow in noise, for somewhat more.
    """
    table = _classes()
    shares = np.exp(answers) @ table  # (T, K), the last for nothing new to see
    shares[:, _columns().index("bilabial")] *= _favour(len(answers), press)
    shares[:, _columns().index("labiodental")] *= FAVOUR_TEETH
    nothing = table.shape[1] - 1
    best = _join_like(np.where(shares.max(axis=1) < LEAST, nothing, shares.argmax(axis=1)))
    ends = [*(np.flatnonzero(np.diff(best)) + 1).tolist(), len(best)]
    spikes: list[Spike] = []
    for first, last in zip([0, *ends], ends, strict=False):
        if last > first and (now := int(best[first])) != nothing:
            frame = first + int(shares[first:last, now].argmax())
            token = int(np.where(table[:, now] > ALIKE, answers[frame], -np.inf).argmax())
            spikes.append(Spike(frame, TOKENS[token]))
    return spikes


def _favour(count: int, press: Array | None) -> Array:
    """(count,): how many times its chance a closure counts at each answer."""
    if press is None:
        return np.full(count, FAVOUR[0])
    ends = np.minimum(np.arange(count) * RATE // recognizer.RATE + 3, len(press))
    windows = np.pad(press, (WITHIN, WITHIN))
    found = np.lib.stride_tricks.sliding_window_view(windows, WITHIN).max(axis=1)
    return np.asarray(FAVOUR[0] + FAVOUR[1] * found[np.minimum(ends, len(found) - 1)])


def _join_like(best: NDArray[np.intp]) -> NDArray[np.intp]:
    """`best` (T,), classes, with vowels that follow one another and look alike made one."""
    like = _likeness() > ALIKE
    joined = best.tolist()
    for place in range(1, len(joined)):
        if like[joined[place - 1], joined[place]]:
            joined[place] = joined[place - 1]
    return np.array(joined, np.intp)


@cache
def _classes() -> Floats:
    """(191, K): how much of a token's chance (row) counts for a class (column)."""
    return _likeness()[[_columns().index(_class(token)) for token in TOKENS]]


@cache
def _likeness() -> Floats:
    """(K, K): 1 for a class and itself, 0 for others but vowels: they are like one another."""
    columns = _columns()
    table = np.eye(len(columns), dtype=np.float32)
    vowels = [n for n, name in enumerate(columns) if name and kind(name) == "vowel"]
    shapes = np.array([_shape(columns[n]) for n in vowels])
    apart = np.abs(shapes[:, None] - shapes[None]).sum(axis=2) / FARTHEST
    table[np.ix_(vowels, vowels)] = np.maximum(0, 1 - apart)
    return table


def _shape(ipa: str) -> tuple[float, ...]:
    """Where a vowel has the lips, at its beginning and at its end."""
    first, last = visemes(ipa)[0][0], visemes(ipa)[-1][0]
    pairs = ((one.jaw, 0.5 * one.round, 0.5 * one.spread) for one in (first, last))
    return tuple(value / 2 for pair in pairs for value in pair)


@cache
def _columns() -> list[str]:
    """The classes; the last is "", nothing new to see."""
    return [*dict.fromkeys(name for token in TOKENS if (name := _class(token))), ""]


def _class(token: str) -> str:
    """What the eye takes the token for; "" for blank, word ends, tones and lengths."""
    if token.startswith("<") or not has_viseme(token):
        return ""
    seen = kind(token)
    return seen if seen in ("bilabial", "labiodental") else token


def _place(spikes: Sequence[Spike], sound: SpeechFeatures) -> list[float]:
    """When each sound begins, seconds, ascending."""
    level = np.maximum(sound.mid, np.percentile(sound.mid, 95) - 40)
    starts: list[float] = []
    for number, spike in enumerate(spikes):
        usual = spike.frame / recognizer.RATE - LATE.get(kind(spike.ipa), 0.06)
        near = number and spike.frame - spikes[number - 1].frame < NEAR * recognizer.RATE
        before = _openness(spikes[number - 1].ipa) if near else 0.0
        start = _near_change(level, usual, _openness(spike.ipa) - before)
        starts.append(max(start, starts[-1] + SHORTEST if starts else 0.0))
    return starts


def _openness(ipa: str) -> float:
    if ipa[0] in "pbtdkgɡ":
        return 0.0
    return 0.35 if ipa[0] in "mnŋɲ" else OPENNESS[kind(ipa)]


def _near_change(level: Array, usual: float, change: float) -> float:
    """The moment near `usual` (seconds) at which the level changes as it should."""
    middle = round(usual * RATE)
    at = np.arange(max(2, middle - SEARCH), min(len(level) - 2, middle + SEARCH + 1))
    if not len(at):
        return max(0.0, usual)
    rise = (level[at + 1] + level[at] - level[at - 1] - level[at - 2]) / 2  # dB
    trust = TRUST_RISE if change > 0 else TRUST_FALL
    odds = PER_DECIBEL * change * rise - 0.5 * ((at - usual * RATE) / trust) ** 2
    return float(at[odds.argmax()]) / RATE


def _fill(
    spikes: Sequence[Spike], starts: Sequence[float], sound: SpeechFeatures
) -> Iterator[Phone]:
    """The sounds from their beginnings on to the next one or the next pause, and silences."""
    now = 0.0
    for spike, start, following in zip(spikes, starts, [*starts[1:], sound.seconds], strict=True):
        if start > now:
            yield Phone(now, start, "")
        longest = LONGEST.get(kind(spike.ipa), LONGEST_OTHER)
        now = min(following, start + longest, _pause_after(sound, start + SHORTEST))
        yield Phone(start, max(now, start + SHORTEST), spike.ipa)
        now = max(now, start + SHORTEST)
    if sound.seconds > now:
        yield Phone(now, sound.seconds, "")


def _pause_after(sound: SpeechFeatures, moment: float) -> float:
    """When the first pause after `moment` begins, seconds."""
    return next((start for start, end in sound.pauses if start >= moment), sound.seconds)
