"""Judge a film of one speaking face: the table of PUPPET (d), ours or anybody's.

    python -m benchmarks.talking FILM [--phones FILE] [--voice FILE] [--photo FILE] [--blinks N]
        [--words] [--fail]

`--phones` is a JSON list of [start, end, ipa] in seconds (`python -m benchmarks.voices FOLDER`
makes a voice with its own); without it the lines about articulation stay empty. `--voice` is the
sound that the film was made from, `--photo` the photo as it was framed for it. `--words` says that
the words were known: nearly every p, b and m must then close. `--fail` ends with 1 when a line
misses its limit.
The negative controls are the film's own lips late, early, reversed, replaced by a sine, by their
mean and by the loudness alone: each must miss a limit, or the limits say nothing about this film.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.picture import Picture, looked_at
from tests.support.articulation import Articulation, judged
from vidgen.media.photo import open_photo
from vidgen.models.catalog import Catalog
from vidgen.paths import Home
from vidgen.quality.correlation import LoudnessEnvelope, envelope
from vidgen.quality.tracking import Tracking, blinks, hear, track
from vidgen.speech.espeak import Phone
from vidgen.speech.visemes import kind, visemes
from vidgen.vision.faces import LandmarkNet
from vidgen.work import Pixels

Array = NDArray[np.float64]
NOTHING: Final = float("nan")


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement of PUPPET (d): its number there, what it is, between which values."""

    number: str
    what: str
    least: float
    most: float


LINES: Final = {
    "r": Line("1", "r(opening, loudness) at zero lag", 0.60, 1.0),
    "lag_ms": Line("2", "best lag, ms", -20.0, 20.0),
    "r_gain": Line("3", "r minus r with the voice reversed", 0.40, 2.0),
    "ratio": Line("4", "(open vowels - pauses) / (bilabials - pauses)", 2.5, np.inf),
    "auc": Line("5", "AUC open vowels over bilabials", 0.90, 1.0),
    "p95": Line("6", "opening p95, Hf", 0.050, 0.085),
    "pause_mean": Line("7", "opening in pauses / p95", 0.0, 0.25),
    "pause_sd": Line("7", "opening in pauses, SD, Hf", 0.0, 0.004),
    "bilabials_closed": Line("—", "p, b, m closed (35 % from pauses to p95)", 0.51, 1.0),
    "vowels_closed": Line("—", "open vowels closed (mean)", 0.0, 0.05),
    "others_closed": Line("—", "other vowels, n, l, r, w, j closed (mean)", 0.0, 0.50),
    "round_width": Line("8", "mouth width, round / close vowels", 0.0, 0.97),
    "blinks": Line("9", "blinks seen / planned", 0.90, 1.1),
    "forehead": Line("12", "forehead PSNR after un-warp, mean, dB", 34.0, np.inf),
    "forehead_least": Line("12", "forehead PSNR after un-warp, least, dB", 32.0, np.inf),
    "background": Line("13", "background, mean frame difference, of 255", 0.0, 0.05),
    "pulse": Line("13", "the same where a piece of the film begins", 0.0, 0.05),
    "pulse_most": Line("13", "most of one pixel there", 0.0, 2.0),
    "jump": Line("14", "largest mean frame difference, of 255", 0.0, 5.0),
    "sharpness": Line("15", "sharpness of nose and cheeks over the photo's", 0.90, np.inf),
    "sound_ms": Line("16", "sound in the file later than the voice, ms", -5.0, 5.0),
    "length_frames": Line("16", "film longer than the voice, frames", -1.0, 1.0),
}


WORDS_KNOWN: Final = Line("—", "p, b, m closed (words known)", 0.90, 1.0)


@dataclass(frozen=True, slots=True)
class Source:
    """What a film was made from, as far as it is known."""

    phones: tuple[Phone, ...] = ()
    voice: Path | None = None
    photo: Pixels | None = None  # (H, W, 3), framed
    blinks: int = 0  # planned


def main() -> None:
    options = _options()
    if options.words:
        LINES["bilabials_closed"] = WORDS_KNOWN
    photo = _picture(options.photo)
    source = Source(_phones(options.phones), options.voice, photo, options.blinks)
    net = LandmarkNet(Catalog(Home.default()).path("face_landmark"))
    seen, loud, numbers = measured(options.film, net, source)
    missed = printed(options.film.name, numbers)
    print_controls(seen, loud, source.phones)
    if options.fail and missed:
        sys.exit(1)


def measured(
    film: Path, net: LandmarkNet, source: Source
) -> tuple[Tracking, LoudnessEnvelope, dict[str, float]]:
    """What was seen and heard, and every number of `LINES` that can be told of `film`."""
    seen = track(film, net).only_seen()
    samples, rate = hear(film, 0.0, float(seen.times[-1]) + 0.5)
    loud = envelope(samples, rate)
    numbers = lip_numbers(seen, loud, source.phones)
    numbers |= _file_numbers(film, source.voice, seen, samples, rate)
    numbers["blinks"] = blinks(seen) / source.blinks if source.blinks else NOTHING
    return seen, loud, numbers | _picture_numbers(looked_at(film, net, source.photo))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--phones", type=Path)
    parser.add_argument("--voice", type=Path)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--blinks", type=int, default=0, help="how many were planned")
    parser.add_argument("--words", action="store_true")
    parser.add_argument("--fail", action="store_true")
    return parser.parse_args()


def _phones(file: Path | None) -> tuple[Phone, ...]:
    return tuple(Phone(*entry) for entry in json.loads(file.read_text("utf-8"))) if file else ()


def _picture(file: Path | None) -> Pixels | None:
    return open_photo(file).rgb if file else None


def lip_numbers(
    seen: Tracking, loud: LoudnessEnvelope, phones: Sequence[Phone]
) -> dict[str, float]:
    """Everything that lips and sound tell."""
    found = judged(seen.opening, seen.times, loud, phones)
    numbers = {entry.name: getattr(found, entry.name) for entry in fields(Articulation)}
    numbers["r_gain"] = found.r - found.r_reversed
    numbers["round_width"] = round_width(seen, phones)
    return {name: value for name, value in numbers.items() if name in LINES}


def round_width(seen: Tracking, phones: Sequence[Phone]) -> float:
    """Mean width of the mouth in u, o, ʊ over that in i, ɪ, e."""
    rounded, close = [], []
    for phone in phones:
        first = visemes(phone.ipa)[0][0]
        inside = seen.width[(seen.times >= phone.start) & (seen.times < phone.end)]
        if kind(phone.ipa) == "vowel" and first.round > 0.7:
            rounded += inside.tolist()
        elif kind(phone.ipa) == "vowel" and first.spread > 0.5:
            close += inside.tolist()
    return float(np.mean(rounded) / np.mean(close)) if rounded and close else NOTHING


def _file_numbers(
    film: Path, voice: Path | None, seen: Tracking, samples: NDArray[np.float32], rate: int
) -> dict[str, float]:
    """How the file's sound lies against the voice it was made from."""
    if voice is None:
        return {}
    from vidgen.media.audio import load_speech
    from vidgen.media.mux import probe

    speech = load_speech(voice, max_seconds=3600)
    step = float(np.median(np.diff(seen.times)))
    longer = probe(film).video_seconds - speech.seconds
    return {
        "sound_ms": 1e3 * _late(samples, rate, speech.samples, speech.rate),
        "length_frames": longer / step,
    }


def _late(
    heard: NDArray[np.float32], rate: int, voice: NDArray[np.float32], voice_rate: int
) -> float:
    """Seconds by which the first 20 s of `heard` lag behind `voice`, by cross-correlation."""
    from scipy.signal import correlate, correlation_lags, resample_poly

    seconds = 20
    ours = resample_poly(voice[: seconds * voice_rate], rate, voice_rate)
    theirs = heard[: seconds * rate]
    found = correlate(theirs, ours, method="fft")
    return float(correlation_lags(len(theirs), len(ours))[found.argmax()] / rate)


def _picture_numbers(picture: Picture) -> dict[str, float]:
    return {entry.name: getattr(picture, entry.name) for entry in fields(Picture)}


def printed(name: str, numbers: dict[str, float]) -> list[str]:
    """Print the table; answers the lines that were missed."""
    print(f"## {name}\n\n| # | requirement | limit | measured | |\n|---|---|---|---|---|")
    missed = []
    for key, line in LINES.items():
        value = numbers.get(key, NOTHING)
        if np.isnan(value):
            continue
        good = fits(key, value)
        missed += [] if good else [key]
        print(f"| {line.number} | {line.what} | {limit(line)} | {value:.3g} | {_mark(good)} |")
    return missed


def fits(key: str, value: float) -> bool:
    return LINES[key].least <= value <= LINES[key].most


def limit(line: Line) -> str:
    if np.isinf(line.most):
        return f"≥ {line.least:g}"
    return (
        f"≤ {line.most:g}" if line.least <= 0 and line.most > 0 else f"{line.least:g}–{line.most:g}"
    )


def _mark(good: bool) -> str:
    return "ok" if good else "**missed**"


def controls(seen: Tracking, loud: LoudnessEnvelope) -> Iterator[tuple[str, Array]]:
    """Name and opening of every negative control, made of the film's own lips."""
    opening, times = seen.opening, seen.times
    level = loud.at(times)
    share = (level - level.min()) / max(1e-9, float(np.ptp(level)))
    low, high = np.percentile(opening, (5, 95))
    yield "80 ms late", np.interp(times - 0.08, times, opening)
    yield "80 ms early", np.interp(times + 0.08, times, opening)
    yield "reversed", opening[::-1]
    yield "4 Hz sine", low + (high - low) * (0.5 + 0.5 * np.sin(8 * np.pi * times))
    yield "frozen", opening.mean() + 1e-4 * np.random.default_rng(0).standard_normal(len(times))
    yield "loudness only", low + (high - low) * share


def print_controls(seen: Tracking, loud: LoudnessEnvelope, phones: Sequence[Phone]) -> None:
    """One line for each negative control, with the limits that it misses."""
    keys = ("r", "lag_ms", "ratio", "auc", "p95", "pause_sd", "bilabials_closed")
    print("\n| control | " + " | ".join(keys) + " | misses |")
    print("|---" * (len(keys) + 2) + "|")
    for name, opening in [("the film", seen.opening), *controls(seen, loud)]:
        numbers = lip_numbers(replace(seen, opening=opening), loud, phones)
        misses = [LINES[key].number for key in keys if not np.isnan(numbers[key])
                  and not fits(key, numbers[key])]  # fmt: skip
        cells = " | ".join(f"{numbers[key]:.3g}" for key in keys)
        print(f"| {name} | {cells} | {', '.join(misses) or 'none'} |")


if __name__ == "__main__":
    main()
