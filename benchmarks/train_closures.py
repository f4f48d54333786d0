"""Train the lip-closure classifier again, and say what it reaches on speakers it never heard.

    python -m benchmarks.train_closures [--write]

Material: eSpeak voices only (`tests.support.speakers`), varied in rate, pitch, vocal-tract length,
tilt, noise and room. Same numbers on every run; about two minutes. `--write` replaces
`closures.json`.
"""

import argparse
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.support.speakers import (
    HELD_OUT,
    TEST_VOICES,
    TRAIN_VOICES,
    TRAINED,
    voice,
    with_noise,
    with_reverb,
)
from vidgen.speech import closures
from vidgen.speech.closures import ClosureNetwork, features, near_speech
from vidgen.speech.espeak import Phone
from vidgen.speech.features import SAMPLE_RATE, SpeechFeatures, listen
from vidgen.speech.visemes import kind
from vidgen.work import Floats

Array = NDArray[np.float64]
Example = tuple[SpeechFeatures, Sequence[Phone]]
HIDDEN: Final = 8
DECAY: Final = 3e-3
POSITIVE: Final = 3.0  # weight of a frame with closed lips
ITERATIONS: Final = 200
COPIES: Final = 3  # varied ones of each voice, beside the clean one
FILE: Final = Path(closures.__file__).with_name("closures.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    trained = fitted(examples(TRAINED, TRAIN_VOICES, seed=1))
    if write:
        FILE.write_text(as_json(trained), "utf-8")
        closures.network.cache_clear()
    print("| voices | hit p/b/m | p | b | m | false alarms per other phone | AUC of frames |")
    print("|---|---|---|---|---|---|---|")
    for name, languages, voices in (
        ("trained languages, held-out speakers", TRAINED, TEST_VOICES),
        ("held-out languages and speakers", HELD_OUT, TEST_VOICES),
    ):
        print(f"| {name} | {row(closures.network(), examples(languages, voices, seed=2))} |")


def examples(languages: Sequence[str], voices: Sequence[str], seed: int) -> list[Example]:
    """Every speaker in every language, clean and varied."""
    rng = np.random.default_rng(seed)
    found: list[Example] = []
    for language in languages:
        for speaker in voices:
            rate, pitch = int(rng.integers(145, 210)), float(rng.uniform(0.7, 1.4))
            made = voice(language, speaker, words_per_minute=rate, pitch=pitch)
            found.append((listen(made.speech.samples, SAMPLE_RATE), made.phones))
            for _ in range(COPIES):
                samples, phones = varied(made.speech.samples, made.phones, rng)
                found.append((listen(samples, SAMPLE_RATE), phones))
    return found


def varied(
    samples: Floats, phones: Sequence[Phone], rng: np.random.Generator
) -> tuple[Floats, Sequence[Phone]]:
    """Another vocal tract, microphone and room."""
    from scipy.signal import lfilter, resample_poly

    size = Fraction(float(rng.choice([0.88, 0.94, 1.0, 1.07, 1.15]))).limit_denominator(20)
    longer = resample_poly(samples, size.numerator, size.denominator)
    scale = len(longer) / len(samples)
    moved = [Phone(p.start * scale, p.end * scale, p.ipa) for p in phones]
    centre, pull = rng.uniform(400, 4000), rng.uniform(-0.6, 0.6)
    angle = 2 * np.pi * centre / SAMPLE_RATE
    room = lfilter([1, -0.8 * pull * np.cos(angle), 0.5 * pull], [1.0], longer)
    tilted = np.asarray(lfilter([1, -rng.uniform(-0.5, 0.5)], [1.0], room), np.float32)
    chance, seed = rng.random(), int(rng.integers(1_000_000))
    if chance < 0.35:
        tilted = with_noise(tilted, rng.uniform(15, 35), seed)
    elif chance < 0.7:
        tilted = with_reverb(tilted, rng.uniform(0.1, 0.4), rng.uniform(4, 12), seed)
    return tilted, moved


def fitted(found: Sequence[Example]) -> ClosureNetwork:
    """The network with the least weighted log loss, by L-BFGS from a fixed start."""
    from scipy.optimize import minimize

    inputs, wanted = stacked(found)
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-3
    standard = (inputs - mean) / scale
    weights = np.where(wanted > 0, POSITIVE, 1.0)
    weights = (weights / weights.sum()).astype(np.float32)
    rng = np.random.default_rng(0)
    sizes = (standard.shape[1], HIDDEN)

    def loss(values: Array) -> tuple[float, Array]:
        hidden, bias, output, last = unpacked(values.astype(np.float32), sizes)
        units = np.tanh(standard @ hidden + bias)
        chance = 1 / (1 + np.exp(-(units @ output + last)))
        fit = wanted * np.log(chance + 1e-7) + (1 - wanted) * np.log(1 - chance + 1e-7)
        cost = -(weights * fit).sum() + DECAY * ((hidden**2).sum() + (output**2).sum())
        slope = weights * (chance - wanted)
        inner = np.outer(slope, output) * (1 - units**2)
        parts = [
            (standard.T @ inner + 2 * DECAY * hidden).ravel(),
            inner.sum(axis=0),
            units.T @ slope + 2 * DECAY * output,
            [slope.sum()],
        ]
        return float(cost), np.concatenate(parts).astype(np.float64)

    start = rng.normal(0, 0.05, sizes[0] * HIDDEN + 2 * HIDDEN + 1)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    hidden, bias, output, last = unpacked(best, sizes)
    return ClosureNetwork(mean, scale, hidden, bias, output, float(last))


def unpacked(values: Array, sizes: tuple[int, int]) -> tuple[Array, Array, Array, float]:
    inputs, units = sizes
    split = np.split(values, [inputs * units, inputs * units + units, inputs * units + 2 * units])
    return split[0].reshape(sizes), split[1], split[2], split[3][0]


def stacked(found: Sequence[Example]) -> tuple[Floats, Floats]:
    """Features and 0/1 of all frames near speech, without those at the closures' edges."""
    inputs, wanted = [], []
    for sound, phones in found:
        closed, sure = labels(phones, len(sound.loud))
        used = (near_speech(sound) > 0) & sure
        inputs.append(features(sound)[used])
        wanted.append(closed[used])
    return np.vstack(inputs), np.concatenate(wanted).astype(np.float32)


def labels(phones: Sequence[Phone], count: int) -> tuple[Array, NDArray[np.bool_]]:
    """1 where lips are closed, and False where that is about to change."""
    closed, sure = np.zeros(count), np.ones(count, bool)
    for phone in phones:
        if kind(phone.ipa) == "bilabial":
            first, last = int(np.ceil(phone.start * 100)), int(phone.end * 100) + 1
            closed[first:last] = 1
            sure[max(0, first - 2) : first] = False
            sure[last : last + 2] = False
    return closed, sure


def row(net: ClosureNetwork, found: Sequence[Example]) -> str:
    """The table's numbers at the threshold that `pressed` takes for half closed."""
    hits: dict[str, list[bool]] = {"p": [], "b": [], "m": []}
    alarms = others = 0
    for sound, phones in found:
        on = closures.lip_press(sound) >= 0.5
        allowed = np.zeros(len(on), bool)
        for phone in phones:
            first, last = int(phone.start * 100), int(np.ceil(phone.end * 100)) + 1
            if kind(phone.ipa) == "bilabial":
                hits[phone.ipa[0]].append(bool(on[first:last].any()))
                allowed[max(0, first - 3) : last + 3] = True
            others += bool(phone.ipa) and kind(phone.ipa) != "bilabial"
        starts = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(np.int8), [0]])))
        alarms += sum(not allowed[a:b].any() for a, b in starts.reshape(-1, 2))
    every = [hit for group in hits.values() for hit in group]
    shares = " | ".join(f"{np.mean(hits[sign]):.2f}" for sign in "pbm")
    return f"{np.mean(every):.2f} | {shares} | {alarms / others:.3f} | {frame_auc(net, found):.3f}"


def frame_auc(net: ClosureNetwork, found: Sequence[Example]) -> float:
    """The chance that a closed frame scores above an open one."""
    inputs, wanted = stacked(found)
    order = net.log_odds(inputs).argsort().argsort()
    closed = wanted > 0
    best = order[closed].mean() - (closed.sum() - 1) / 2
    return float(best / (~closed).sum())


def as_json(net: ClosureNetwork) -> str:
    """Rounded to four digits, one line a row."""
    values = {
        name: np.round(getattr(net, name), 4).tolist()
        for name in ClosureNetwork.__dataclass_fields__
    }
    return json.dumps(values).replace("], ", "],\n") + "\n"


if __name__ == "__main__":
    main()
