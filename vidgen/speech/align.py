"""Where known sounds are said in a voice: CTC forced alignment on the recogniser's answers.

The likeliest way through the sounds in their order, each said once, blanks between (Graves et al.,
2006), by dynamic programming in a band around the share of all sounds that has been said. Knows no
text; voices and transcriptions that differ a little meet by families of sounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from vidgen.speech.curves import Array
from vidgen.speech.tokens import BLANK, TOKENS
from vidgen.speech.visemes import has_viseme
from vidgen.work import Floats

# Sounds that one hears for another: by accent, by neighbour, by transcription
FAMILIES: Final = (
    "p pʰ p͈ b ɓ", "t tʰ t͈ d ɾ ʈ ɖ ɗ ʔ", "k kʰ k͈ g ɡ", "f v ɸ β ʋ", "s s͈ z", "θ ð",
    "ʃ ʒ ʂ ʐ ɕ ʑ", "t͡ʃ d͡ʒ t͡ɕ t͡ɕʰ t͡ɕ͈", "m ɱ", "n ɲ ŋ ɴ", "l ɫ ɹ r ɾ ɻ ɽ ʁ ʀ ʎ", "h x ħ χ ɦ ɣ ʁ",
    "w ɥ u ʋ", "j i ʝ ʎ", "i ɪ y ʏ e ɨ", "e ɛ æ eɪ ø œ", "a ɑ ɒ æ ʌ ɐ ɔ aɪ aʊ",
    "ə ʌ ɐ ɚ ɝ ɜ ɪ ɨ ᵊ ɘ",
    "u ʊ ʉ ɯ", "o ɔ oʊ ɒ ɤ", "ɚ ɝ ɜ ɹ", "b β v", "d ð",
)  # fmt: skip
RELATIVE: Final = 0.3  # of its chance counts for the others of a family
FLOOR: Final = 1e-5  # chance of any sound at any moment: people leave sounds out
HALF_BAND: Final = (300, 0.03)  # sounds, and of all of them, to either side of what is expected
CLEAR: Final = 0.1  # chance from which on a sound counts as found


@dataclass(frozen=True, slots=True)
class Found:
    """Where each sound is said."""

    frames: NDArray[np.intp]  # (L,) the answer that says it most clearly
    share: float  # of the sounds that are really heard there, 0–1


def spell(ipa: str) -> tuple[int, ...]:
    """One phoneme's IPA as the recogniser's tokens, longest first; unknown signs, lengths and
    tones are left out."""
    signs = normalize("NFC", ipa).replace("ː", "").replace("ˑ", "")
    numbers: list[int] = []
    at = 0
    while at < len(signs):
        length = next((n for n in (4, 3, 2, 1) if signs[at : at + n] in _joined()), 0)
        if length:
            numbers.append(_joined()[signs[at : at + length]])
        at += max(1, length)
    return tuple(numbers)


def find_sounds(answers: Floats, sounds: Sequence[int]) -> Found:
    """Where `sounds` (token numbers, in order) are said. `answers` (T, 191) are log probabilities.

    There must be fewer sounds than answers.
    """
    chances = _chances(answers, sounds)  # (T, L)
    states = _best_states(np.log(chances), _blanks(answers), _expected(answers, len(sounds)))
    frames = np.zeros(len(sounds), np.intp)
    for number in range(len(sounds)):
        inside = np.flatnonzero(states == 2 * number + 1)
        frames[number] = inside[chances[inside, number].argmax()] if len(inside) else -1
    missing = frames < 0
    if missing.any():  # left out at the ends of the band
        frames = np.maximum.accumulate(np.where(missing, 0, frames))
    clear = chances[frames, np.arange(len(sounds))] > CLEAR
    return Found(frames, float((clear & ~missing).mean()))


@cache
def _joined() -> dict[str, int]:
    """Tokens by their signs without ties, voiced g by either letter."""
    made = {normalize("NFC", token).replace("\u0361", ""): n for n, token in enumerate(TOKENS)}
    seen = {signs: n for signs, n in made.items() if signs[:1] != "<" and has_viseme(signs)}
    return seen | {
        "ɳ": made["n"], "ɭ": made["l"], "ᵻ": made["ɪ"], "ɕ": made["ɕ"], "əʊ": made["oʊ"],
    }  # fmt: skip


@cache
def _families() -> Floats:
    """(191, 191): how much of each token's chance (row) counts for a sound (column)."""
    table = np.eye(len(TOKENS), dtype=np.float32)
    for family in FAMILIES:
        numbers = [TOKENS.index(token) for token in family.split()]
        table[np.ix_(numbers, numbers)] = np.maximum(
            table[np.ix_(numbers, numbers)], np.float32(RELATIVE)
        )
    return table


def _chances(answers: Floats, sounds: Sequence[int]) -> Floats:
    """(T, L): how likely each sound is at each answer."""
    return np.asarray(np.exp(answers) @ _families()[:, list(sounds)] + np.float32(FLOOR))


def _blanks(answers: Floats) -> Floats:
    """(T,): log of the chance that nothing new is said."""
    return np.maximum(answers[:, BLANK], np.float32(np.log(FLOOR)))


def _expected(answers: Floats, count: int) -> NDArray[np.intp]:
    """(T,): the sound at which a voice should be, by how much has been said so far."""
    said = 1 - np.exp(answers[:, BLANK].astype(np.float64))
    share = np.cumsum(said) / max(1e-6, float(said.sum()))
    return np.asarray(share * (count - 1), np.intp)


def _best_states(chances: Floats, blanks: Floats, expected: NDArray[np.intp]) -> NDArray[np.intp]:
    """(T,): the state at each answer of the likeliest way: 2 n + 1 is sound n, even ones blanks."""
    count, sounds = chances.shape
    states = 2 * sounds + 1
    width = min(states, 2 * (2 * HALF_BAND[0] + round(2 * HALF_BAND[1] * sounds)) + 1)
    first = np.clip(np.maximum.accumulate(2 * expected) - width // 2, 0, states - width)
    steps = np.zeros((count, width), np.int8)
    total = np.full(width, -np.inf, np.float32)
    if first[0] == 0:
        total[:2] = blanks[0], chances[0, 0]
    nowhere = np.full(2, -np.inf, np.float32)
    for row in range(1, count):
        shift = int(first[row] - first[row - 1])
        before = np.concatenate([nowhere, total, np.full(shift, -np.inf, np.float32)])[shift:]
        choices = np.stack([before[2 : 2 + width], before[1 : 1 + width], before[:width]])
        numbers = first[row] + np.arange(width)
        choices[2, numbers % 2 == 0] = -np.inf  # a blank is not jumped into from a blank
        steps[row] = choices.argmax(axis=0)
        local = np.where(
            numbers % 2, chances[row, np.minimum(numbers // 2, sounds - 1)], blanks[row]
        )
        total = choices.max(axis=0) + local
    return _trace(steps, first, total, states)


def _trace(
    steps: NDArray[np.int8], first: NDArray[np.intp], total: Array | Floats, states: int
) -> NDArray[np.intp]:
    """Back from the end, where all has been said."""
    found = np.zeros(len(steps), np.intp)
    last = [place for place in (states - 1, states - 2) if 0 <= place - first[-1] < len(total)]
    state = max(last, key=lambda place: float(total[place - first[-1]]))
    for row in range(len(steps) - 1, -1, -1):
        found[row] = state
        state -= int(steps[row, min(max(state - first[row], 0), steps.shape[1] - 1)])
        state = max(state, 0)
    return found
