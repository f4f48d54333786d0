"""From phonemes in time to curves of the mouth: each viseme pulls, and what moves has inertia.

For every movement the curve is found that comes nearest to what the visemes want, each as strongly
as it dominates (after Cohen and Massaro, 1993), with the least acceleration: it looks ahead and
back, and a short sound between two others is passed by, not jumped to. Closures are put on top:
lips shut a jaw that stays where its neighbours want it. Times are seconds, curves are at 100 Hz.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from vidgen.speech.curves import RATE, Array, ease
from vidgen.speech.espeak import Phone
from vidgen.speech.visemes import Viseme, visemes

PULLS: Final = ("jaw", "round", "spread", "fricative", "tongue")
# How slowly each follows: a viseme of weight 1 is reached in about so many samples of 10 ms
INERTIA: Final = {"jaw": 2.4, "round": 3.2, "spread": 2.8, "fricative": 2.2, "tongue": 1.5}
EDGE: Final = 0.3  # of its weight that a phoneme has at its ends, which belong to both
CLOSING, OPENING = 0.025, 0.025  # seconds the lips take to meet and to part, if they are quick
MEET, PART = 0.010, 0.010  # seconds within the closure at which they have met, begin to part
HOLD: Final = 0.070  # seconds a closure lasts at least: a frame of 25 per second sees it
SHORTEST: Final = 0.040  # seconds that a neighbour keeps, if it can
NOTHING: Final = 0.001  # seconds to spare
TOOTHY: Final = 0.84  # how far f and s part the lips at least; th does less
SLIT: Final = 0.06  # how far lips and jaw are open in them at most: the teeth stay near each other
AT_REST: Final = 0.3  # weight of the shut mouth where no phoneme is
GIVES_WAY: Final = 0.1  # weight of a viseme for what it does not care about
UNDER_LIPS: Final = (0.2, 0.5)  # where the jaw goes behind shut lips, and how strongly
INDIFFERENT: Final = ("bilabial", "labiodental", "tongue", "back")
LONG_PAUSE: Final = 0.2  # seconds: in shorter ones the mouth need not shut
SHORT_PAUSE: Final = Viseme("silence", jaw=0.10, weight=0.3)
BREATH: Final = (0.32, 0.10, 0.10)  # seconds before a phrase, seconds it lasts, how far it parts
BREATHING: Final = 0.45  # seconds: shorter pauses have no breath in them
QUIET, LOUD = 0.75, 1.1  # how far the jaw goes for the softest and the loudest vowels


@dataclass(frozen=True, slots=True)
class Pull:
    """One viseme in time."""

    start: float
    end: float
    viseme: Viseme


def pulls(phones: Sequence[Phone]) -> Iterator[Pull]:
    """The visemes of `phones` in time, in order."""
    for phone in phones:
        if not phone.ipa and phone.end - phone.start < LONG_PAUSE:
            yield Pull(phone.start, phone.end, SHORT_PAUSE)
            continue
        start = phone.start
        for viseme, share in visemes(phone.ipa):
            end = start + share * (phone.end - phone.start)
            yield Pull(start, end, viseme)
            start = end


def coarticulation(phones: Sequence[Phone], loud: Array) -> dict[str, Array]:
    """The curves of PULLS, "chin" and "press", each (N,), for phones in time.

    `loud` (N,), 0..1, is the voice's loudness: what is stressed is opened wider. "jaw" is the
    opening of the lips, "chin" how far the jaw hangs behind them.
    """
    wanted = list(pulls(phones))
    mouth = {name: _follow(wanted, name, loud) for name in PULLS}
    press, slit = np.zeros(len(loud)), np.zeros(len(loud))
    for before, pull, behind in zip([None, *wanted], wanted, [*wanted[1:], None], strict=False):
        if pull.viseme.press > 0:
            close_lips(press, *_long_enough(before, pull, behind))
        elif pull.viseme.fricative > TOOTHY:
            close_lips(slit, *_long_enough(before, pull, behind))
    chin = np.clip(mouth["jaw"], 0, 1)
    lips = chin - slit * np.maximum(0, chin - SLIT)
    return mouth | {
        "chin": chin,
        "jaw": lips * (1 - press),
        "fricative": np.maximum(mouth["fricative"], TOOTHY * slit) * (1 - press),
        "press": press,
    }


def _follow(wanted: Sequence[Pull], name: str, loud: Array) -> Array:
    """The curve of least acceleration near what the visemes want of one movement: (N,).

    Minimizes sum w (x - target)² + inertia⁴ sum (x'')², a banded system of equations.
    """
    count = len(loud)
    weight, target = np.full(count, AT_REST), np.zeros(count)
    for pull in wanted:
        first, last = round(pull.start * RATE), round(pull.end * RATE)
        first, last = max(0, first), min(count, max(last, first + 1))
        if last > first:
            weight[first:last] = _strength(pull.viseme, name) * _shape(last - first)
            target[first:last] = _target(pull, name, loud[first:last])
    if name == "jaw":
        _breathe(wanted, target)
    if count < 3:
        return target
    smooth = _least_acceleration(INERTIA[name] ** 4, weight.tolist(), (weight * target).tolist())
    return np.clip(smooth, 0, 1.2)


def _least_acceleration(stiff: float, weight: list[float], pulled: list[float]) -> Array:
    """x (N,), N >= 3, of (W + stiff D'D) x = `pulled`, D the second difference, W of `weight`.

    By L D L' of the five bands. In plain floats: importing SciPy's solver takes as long as this
    does for an hour of voice.
    """
    count = len(weight)
    main, beside = [6.0] * count, [-4.0] * count  # of D'D; `beside` begins left of its corner
    main[0] = main[-1] = 1
    main[1] = main[-2] = 5 if count > 3 else 4
    beside[:2], beside[-1] = (0, -2), -2
    near, far, rest = [], [], []  # L one and two left of its diagonal, and D⁻¹ L⁻¹ `pulled`
    last, before, slope = 1.0, 1.0, 0.0  # the pivots and L one left of the last
    y1 = y2 = 0.0  # of L⁻¹ `pulled`
    for k in range(count):
        two = stiff / before if k > 1 else 0.0
        one = (stiff * beside[k] - two * before * slope) / last
        pivot = stiff * main[k] + weight[k] - one * one * last - two * two * before
        y1, y2 = pulled[k] - one * y1 - two * y2, y1
        near.append(one)
        far.append(two)
        rest.append(y1 / pivot)
        last, before, slope = pivot, last, one
    for k in range(count - 1, 0, -1):
        rest[k - 1] -= near[k] * rest[k]
        if k > 1:
            rest[k - 2] -= far[k] * rest[k]
    return np.array(rest)


@lru_cache(maxsize=256)
def _shape(length: int) -> Array:
    """(length,): 1 in the middle of a phoneme, EDGE at its ends."""
    share = (np.arange(length) + 0.5) / length
    return np.asarray(EDGE + (1 - EDGE) * np.clip(4 * np.minimum(share, 1 - share), 0, 1))


def _strength(viseme: Viseme, name: str) -> float:
    """How much a viseme insists on one movement."""
    if name == "jaw" and viseme.kind == "bilabial":
        return UNDER_LIPS[1]
    if name == "tongue" and not viseme.tongue and viseme.kind != "silence":
        return GIVES_WAY
    if name in ("round", "spread") and viseme.kind in INDIFFERENT and not getattr(viseme, name):
        return GIVES_WAY
    return viseme.weight


def _target(pull: Pull, name: str, loud: Array) -> float:
    """Where a viseme wants one movement to be."""
    if name == "jaw" and pull.viseme.kind == "bilabial":
        return UNDER_LIPS[0]
    wanted = float(getattr(pull.viseme, name))
    if name == "jaw" and pull.viseme.kind == "vowel" and len(loud):
        return wanted * (QUIET + (LOUD - QUIET) * float(loud.max()))
    return wanted


def _breathe(wanted: Sequence[Pull], target: Array) -> None:
    """Lips part a little before a phrase that follows a long pause."""
    before, length, far = BREATH
    for pull in wanted:
        if pull.viseme.kind == "silence" and pull.end - pull.start > BREATHING:
            first = max(0, round((pull.end - before) * RATE))
            target[first : first + round(length * RATE)] = far


def _long_enough(before: Pull | None, pull: Pull, behind: Pull | None) -> tuple[float, float]:
    """`pull` from when to when, HOLD at least: it takes more from the longer of its neighbours,
    most from a silence, or a closure from another one."""
    short = max(0.0, HOLD - (pull.end - pull.start))
    spare, other = (_spare(neighbour, pull.viseme) for neighbour in (before, behind))
    early = short * spare / (spare + other)
    return pull.start - early, pull.end + short - early


def _spare(neighbour: Pull | None, viseme: Viseme) -> float:
    """How easily `viseme` takes time from its neighbour: never where lips are shut to show teeth,
    hardly where teeth need the time themselves."""
    if neighbour is None or neighbour.viseme.kind == "silence":
        return 1.0
    if neighbour.viseme.press > 0:
        return 1.0 if viseme.press > 0 else NOTHING
    needs = HOLD if neighbour.viseme.fricative > TOOTHY else SHORTEST
    return max(NOTHING, neighbour.end - neighbour.start - needs)


def close_lips(press: Array, start: float, end: float, strength: float = 1.0) -> None:
    """Lips pressed from `start` to `end` seconds, longer if that is too short to be seen: put
    into `press`, with the movements before and after."""
    short = max(0.0, HOLD - (end - start)) / 2
    met, parts = start - short + MEET, end + short - PART
    first = max(0, int((met - CLOSING) * RATE))
    last = min(len(press), int((parts + OPENING) * RATE) + 2)
    time = np.arange(first, last) / RATE
    down = ease(np.clip((time - met + CLOSING) / CLOSING, 0, 1))
    up = 1 - ease(np.clip((time - parts) / OPENING, 0, 1))
    press[first:last] = np.maximum(press[first:last], strength * down * up)
