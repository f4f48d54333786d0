"""What each sound of a language does to the lips, by its IPA sign: a table, and how to read it.

Signs of any language are read sign by sign: diphthongs in two parts, affricates as a closure and
a hiss, lengths and tones ignored. Time and blending are `coarticulation`'s business.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal
from unicodedata import normalize

Kind = Literal["bilabial", "labiodental", "hiss", "tongue", "back", "glide", "vowel", "silence"]
FIRST_HALF: Final = 0.6  # of a diphthong belongs to its first vowel


@dataclass(frozen=True, slots=True)
class Viseme:
    """Where the lips want to be, all 0..1, and how strongly they insist against neighbours."""

    kind: Kind
    jaw: float = 0.0  # the lips' opening
    round: float = 0.0
    spread: float = 0.0
    press: float = 0.0
    fricative: float = 0.0
    tongue: float = 0.0
    weight: float = 1.0


SILENCE: Final = Viseme("silence", weight=0.9)
_UNKNOWN: Final = Viseme("vowel", jaw=0.5, weight=0.4)


def _vowels() -> dict[str, Viseme]:
    """Opening by height; rounded and spread by the usual IPA chart."""
    heights = {
        1.00: "aɑæɶɒäᴀ",
        0.82: "ɐʌɛɔœɜɞɝ",
        0.66: "eəøoɘɵɤɚᵊ",
        0.54: "ɪʊʏᵻ",
        0.46: "iyɯuɨʉ",
    }
    rounded = dict.fromkeys("uyʉ", 1.0) | dict.fromkeys("oøʊʏ", 0.85) | dict.fromkeys("ɵ", 0.6)
    rounded |= dict.fromkeys("ɔœ", 0.6) | dict.fromkeys("ɒɶɞ", 0.35)
    spreads = {"i": 1.0, "e": 0.65, "ɪ": 0.55, "ɛ": 0.3, "æ": 0.3, "ɨ": 0.4, "ᵻ": 0.4, "ɯ": 0.35}
    table: dict[str, Viseme] = {}
    for jaw, signs in heights.items():
        for sign in signs:
            closing = 0.85 if rounded.get(sign, 0) > 0.5 else 1.0
            table[sign] = Viseme(
                "vowel",
                jaw=jaw * closing,
                round=rounded.get(sign, 0.0),
                spread=spreads.get(sign, 0.0),
                weight=0.6 if sign in "əᵊɐɘ" else 0.9 + 0.5 * jaw,
            )
    return table


def _consonants() -> dict[str, Viseme]:
    table: dict[str, Viseme] = {}
    groups = {
        "pbmɓʙ": Viseme("bilabial", press=1.0, weight=2.0),
        "fvɱʋⱱɸβ": Viseme("labiodental", jaw=0.06, fricative=0.90, weight=3.0),
        "szɕʑ": Viseme("hiss", jaw=0.08, spread=0.35, fricative=0.90, tongue=0.5, weight=2.6),
        "ʃʒʂʐɧ": Viseme("hiss", jaw=0.10, round=0.6, fricative=0.90, tongue=0.4, weight=2.6),
        "θð": Viseme("tongue", jaw=0.38, fricative=0.4, tongue=1.0, weight=1.0),
        "tdʈɖɗ": Viseme("tongue", jaw=0.32, tongue=0.55, weight=0.7),
        "nɳɲ": Viseme("tongue", jaw=0.44, tongue=0.55, weight=0.6),
        "lɭʎɫɬɮ": Viseme("tongue", jaw=0.54, tongue=0.6, weight=0.7),
        "rɾɽɺ": Viseme("tongue", jaw=0.44, tongue=0.5, weight=0.5),
        "ɹɻ": Viseme("tongue", jaw=0.40, round=0.35, tongue=0.5, weight=0.7),
        "kɡgqŋɢɴxɣχʁʀħʕɰ": Viseme("back", jaw=0.44, weight=0.35),
        "cɟçʝ": Viseme("back", jaw=0.38, spread=0.35, weight=0.5),
        "hɦʔʡ": Viseme("back", jaw=0.50, weight=0.15),
        "w": Viseme("glide", jaw=0.24, round=1.0, weight=1.1),
        "ʍ": Viseme("glide", jaw=0.24, round=1.0, weight=1.1),
        "ɥ": Viseme("glide", jaw=0.24, round=0.9, weight=1.1),
        "j": Viseme("glide", jaw=0.40, spread=0.7, weight=0.8),
    }
    for signs, viseme in groups.items():
        table |= dict.fromkeys(signs, viseme)
    return table


TABLE: Final = _vowels() | _consonants()


@cache
def visemes(ipa: str) -> tuple[tuple[Viseme, float], ...]:
    """The visemes of one phoneme in order, each with its share of the time; they sum to 1.

    "" is silence. A sign that is not in the table is skipped; one without any known sign is a
    weak half-open mouth.
    """
    if not ipa:
        return ((SILENCE, 1.0),)
    found: list[Viseme] = []
    for sign in normalize("NFD", ipa):
        if sign in TABLE:
            found.append(TABLE[sign])
        elif found and sign == "ʷ":
            found[-1] = replace(found[-1], round=max(found[-1].round, 0.6))
        elif found and sign == "ʲ":
            found[-1] = replace(found[-1], spread=max(found[-1].spread, 0.4))
    return _shares(found or [_UNKNOWN])


def _shares(found: list[Viseme]) -> tuple[tuple[Viseme, float], ...]:
    if len(found) == 2:
        return ((found[0], FIRST_HALF), (found[1], 1 - FIRST_HALF))
    return tuple((viseme, 1 / len(found)) for viseme in found)


def has_viseme(ipa: str) -> bool:
    """Whether the phoneme has any sign of the table: tones, lengths and marks have none."""
    return any(sign in TABLE for sign in normalize("NFD", ipa))


def kind(ipa: str) -> Kind:
    """What the phoneme's first sign is, for choosing phonemes."""
    return visemes(ipa)[0][0].kind


def is_open_vowel(ipa: str) -> bool:
    """A vowel during which the mouth must be seen open: a, ɑ, æ, ɒ, aɪ, aʊ … but not ə or ɐ."""
    first = visemes(ipa)[0][0]
    return first.kind == "vowel" and first.jaw >= 0.9
