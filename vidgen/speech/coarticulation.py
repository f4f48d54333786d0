"""From phonemes in time to curves of the mouth: each viseme pulls, neighbours give way.

Dominance functions after Cohen and Massaro (1993); a bilabial's closure is put on top, because it
is the one thing that must be seen. Times are seconds, curves are at 100 Hz.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.speech.curves import RATE, Array, ease, smooth
from vidgen.speech.espeak import Phone
from vidgen.speech.visemes import Viseme, visemes

PULLS: Final = ("jaw", "round", "spread", "fricative", "tongue")
BEFORE: Final = {"jaw": 0.045, "round": 0.075, "spread": 0.055, "fricative": 0.03, "tongue": 0.04}
AFTER: Final = {"jaw": 0.040, "round": 0.060, "spread": 0.045, "fricative": 0.03, "tongue": 0.04}
CLOSING, OPENING = 0.055, 0.045  # seconds the lips take to meet and to part
INSIDE: Final = 0.012  # of these seconds lie within the closure
HOLD: Final = 0.070  # seconds a closure lasts at least
INDIFFERENT: Final = ("bilabial", "labiodental", "tongue", "back")
GIVES_WAY: Final = 0.25  # consonants take the rounding of the vowels around them
LEAST: Final = 1e-3  # pull of the resting mouth, so that the weights never vanish


@dataclass(frozen=True, slots=True)
class Pull:
    """One viseme in time."""

    start: float
    end: float
    viseme: Viseme


def pulls(phones: Sequence[Phone]) -> Iterator[Pull]:
    """The visemes of `phones` in time, in order."""
    for phone in phones:
        start = phone.start
        for viseme, share in visemes(phone.ipa):
            end = start + share * (phone.end - phone.start)
            yield Pull(start, end, viseme)
            start = end


def coarticulation(phones: Sequence[Phone], count: int) -> dict[str, Array]:
    """The curves of PULLS and "press", each (count,), for phones in time."""
    total = {name: np.full(count, LEAST) for name in PULLS}
    curves = {name: np.zeros(count) for name in PULLS}
    press = np.zeros(count)
    for pull in pulls(phones):
        for name in PULLS:
            _add(total[name], curves[name], pull, name)
        if pull.viseme.press > 0:
            close_lips(press, pull.start, pull.end)
    mouth = {name: smooth(curves[name] / total[name], 1.0) for name in PULLS}
    mouth["jaw"] *= 1 - press
    mouth["fricative"] *= 1 - press
    return mouth | {"press": press}


def _add(total: Array, curve: Array, pull: Pull, name: str) -> None:
    """Add one viseme's pull on one curve where it is felt: within 4 time constants."""
    before, after = BEFORE[name], AFTER[name]
    first = max(0, int((pull.start - 4 * before) * RATE))
    last = min(len(curve), int((pull.end + 4 * after) * RATE) + 2)
    time = np.arange(first, last) / RATE
    middle = 0.25 * (pull.end - pull.start)  # the ends of a phoneme already belong to both
    early = np.clip(pull.start + middle - time, 0, None) / before
    late = np.clip(time - pull.end + middle, 0, None) / after
    target = getattr(pull.viseme, name)
    weight = pull.viseme.weight * np.exp(-early - late)
    if name in ("round", "spread") and target == 0 and pull.viseme.kind in INDIFFERENT:
        weight *= GIVES_WAY
    total[first:last] += weight
    curve[first:last] += weight * target


def close_lips(press: Array, start: float, end: float, strength: float = 1.0) -> None:
    """Lips pressed from `start` to `end` seconds, longer if that is too short to be seen: put
    into `press`, with the movements before and after."""
    short = max(0.0, HOLD - (end - start)) / 2
    met, parts = start - short + INSIDE, end + short - INSIDE
    first = max(0, int((met - CLOSING) * RATE))
    last = min(len(press), int((parts + OPENING) * RATE) + 2)
    time = np.arange(first, last) / RATE
    down = ease(np.clip((time - met + CLOSING) / CLOSING, 0, 1))
    up = 1 - ease(np.clip((time - parts) / OPENING, 0, 1))
    press[first:last] = np.maximum(press[first:last], strength * down * up)
