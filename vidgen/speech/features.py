"""What can be heard in a voice, 100 times a second: bands, loudness, pitch, pauses; formants.

Works in chunks, so memory stays flat with length. Knows nothing of mouths.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from vidgen.media.audio import resample
from vidgen.speech.curves import RATE, Array, runs
from vidgen.work import Floats

SAMPLE_RATE: Final = 16_000
HOP: Final = SAMPLE_RATE // RATE
WINDOW: Final = 400  # samples, 25 ms
FFT: Final = 512
CHUNK: Final = 3000  # frames; 30 s
MELS: Final = 40
# Hz: what the rules about consonants ask for, beside the mel bands
BANDS: Final = {
    "speech": (150.0, 6000.0),
    "low": (60.0, 400.0),
    "mid": (400.0, 3000.0),
    "high": (3000.0, 8000.0),
}
SPEECH_RANGE: Final = 32.0  # dB below the loud frames at which speech is taken to end
QUIETEST: Final = -62.0  # dB of full scale: below this nothing counts as speech
ABOVE_NOISE: Final = 7.0  # dB over the steady noise that speech must have
PAUSE: Final = 0.12  # seconds


@dataclass(frozen=True, slots=True)
class SpeechFeatures:
    """Features at 100 Hz, each (N,) float64, N = ceil(seconds * 100) + 1, sample k at k / 100 s."""

    seconds: float
    mels: Floats  # (N, 40) dB
    speech: Array  # dB of 150–6000 Hz
    low: Array  # dB of 60–400 Hz
    mid: Array  # dB of 400–3000 Hz
    high: Array  # dB of 3–8 kHz
    centroid: Array  # Hz
    loud: Array  # 0 at the end of speech – 1 at its loud frames
    f0: Array  # Hz, 0 where unvoiced
    pauses: tuple[tuple[float, float], ...]  # seconds

    @property
    def voicing(self) -> Array:
        return (self.f0 > 0).astype(np.float64)


def listen(samples: Floats, rate: int, *, tones: bool = True) -> SpeechFeatures:
    """Everything heard in `samples` (any rate, any length, any content).

    Without `tones`, pitch is left out: it is most of the work.
    """
    seconds = len(samples) / rate
    count = int(np.ceil(round(seconds * RATE, 6))) + 1
    voice = at_16k(samples, rate)
    bands, mels, centroid = _spectra(voice, count)
    loud = _loudness(bands["speech"])
    f0 = _pitch(voice, count) * (loud > 0) if tones else np.zeros(count)
    return SpeechFeatures(
        seconds=seconds,
        mels=mels,
        centroid=centroid,
        loud=loud,
        f0=f0,
        pauses=_pauses(loud, seconds),
        **bands,
    )


def find_formants(samples: Floats, rate: int, f0: Array) -> Array:
    """F1, F2, F3 (N, 3) in Hz of a voice with this pitch (N,), by Burg's method: median of 5
    frames, held where there are none."""
    voice, spoken = at_16k(samples, rate), f0[f0 > 0]
    ceiling = 5500.0 if len(spoken) and np.median(spoken) > 150 else 5000.0
    ceiling, poles = (min(ceiling, 3800.0), 4.0) if rate <= 8000 else (ceiling, 5.0)

    def find(sound: Any) -> Array:
        from parselmouth.praat import call

        formant = sound.to_formant_burg(1 / RATE, poles, ceiling, 0.025, 50.0)
        tracks = [np.asarray(call(formant, "To Matrix", n).values)[0] for n in (1, 2, 3)]
        return _on_grid(np.array(tracks).T, formant, sound)

    values = _by_praat(voice, len(f0), find, columns=3)
    return _median_of_5(_hold(values))


def loudest_part(samples: Floats, rate: int, seconds: float = 1.0) -> Floats:
    """(N,) of so many seconds around the loudest tenth of one; all where there is not more."""
    tenth, length = max(1, rate // 10), round(seconds * rate)
    power = np.square(samples[: len(samples) // tenth * tenth], dtype=np.float64)
    if len(samples) <= length:
        return samples
    middle = int(power.reshape(-1, tenth).sum(1).argmax()) * tenth + tenth // 2
    first = min(max(0, middle - length // 2), len(samples) - length)
    return samples[first : first + length]


def at_16k(samples: Floats, rate: int) -> Floats:
    """Mono at 16 kHz without DC; what is not a number becomes silence."""
    clean = samples if np.isfinite(samples).all() else np.nan_to_num(samples, posinf=0, neginf=0)
    clean = (clean - clean.mean(dtype=np.float64)).astype(np.float32) if len(clean) else clean
    return resample(clean, rate, SAMPLE_RATE)


def _spectra(voice: Floats, count: int) -> tuple[dict[str, Array], Floats, Array]:
    """dB of the named bands, dB of the mel bands, and the centroid in Hz, frame by frame."""
    bank = _bank()  # (257, 4 + 40)
    hertz = np.arange(FFT // 2 + 1, dtype=np.float32) * (SAMPLE_RATE / FFT)
    window = np.hanning(WINDOW).astype(np.float32)
    scale = float((window**2).sum()) * FFT / 2
    energy = np.empty((count, bank.shape[1]), np.float32)
    centroid = np.empty(count)
    padded = np.zeros(count * HOP + WINDOW, np.float32)
    padded[WINDOW // 2 : WINDOW // 2 + len(voice)] = voice[: len(padded) - WINDOW // 2]
    for first in range(0, count, CHUNK):
        last = min(count, first + CHUNK)
        piece = padded[first * HOP : (last - 1) * HOP + WINDOW]
        framed = np.lib.stride_tricks.sliding_window_view(piece, WINDOW)[::HOP]
        power = np.abs(np.fft.rfft(framed * window, FFT, axis=1)) ** 2 / scale  # (frames, 257)
        energy[first:last] = power @ bank
        centroid[first:last] = (power @ hertz) / (power.sum(axis=1) + 1e-12)
    decibels = 10 * np.log10(energy + 1e-10)
    named = {name: decibels[:, i].astype(np.float64) for i, name in enumerate(BANDS)}
    return named, decibels[:, len(BANDS) :], centroid


@cache
def _bank() -> Floats:
    """(257, 4 + 40): the named bands' bins, then triangles even in mel from 80 to 7600 Hz."""
    hertz = np.arange(FFT // 2 + 1) * (SAMPLE_RATE / FFT)
    named = [((hertz >= low) & (hertz < high)).astype(float) for low, high in BANDS.values()]
    top = 2595 * np.log10(1 + 7600 / 700)
    bottom = 2595 * np.log10(1 + 80 / 700)
    edges = 700 * (10 ** (np.linspace(bottom, top, MELS + 2) / 2595) - 1)
    triangles = [
        np.clip(np.minimum((hertz - a) / (b - a), (c - hertz) / (c - b)), 0, None)
        for a, b, c in zip(edges, edges[1:], edges[2:], strict=False)
    ]
    return np.array(named + triangles, np.float32).T.copy()


def _loudness(level: Array) -> Array:
    """0..1: where the level stands between the end of speech and this speaker's loud frames."""
    loudest = float(np.percentile(level, 95))
    noise = float(np.percentile(level, 8))
    floor = max(loudest - SPEECH_RANGE, QUIETEST)
    if loudest - noise < SPEECH_RANGE:
        floor = max(floor, noise + ABOVE_NOISE)
    span = loudest - floor
    if span < 6.0:  # one level throughout: silence or steady noise, nobody speaks
        return np.zeros(len(level))
    return np.asarray(np.clip((level - floor) / span, 0, 1))


def _pitch(voice: Floats, count: int) -> Array:
    """F0 in Hz by Praat's autocorrelation, 0 where unvoiced. Needs 0.05 s of sound."""
    return _by_praat(voice, count, lambda sound: _pitch_of(sound)[:, None])[:, 0]


def _pitch_of(sound: Any) -> Array:
    pitch = sound.to_pitch(1 / RATE, 70, 500)
    return _on_grid(np.asarray(pitch.selected_array["frequency"])[:, None], pitch, sound)[:, 0]


def _median_of_5(values: Array) -> Array:
    """Of each column (N, C), the ends repeated. SciPy's takes half a second to import."""
    padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    neighbours = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=0)  # (N, C, 5)
    return np.asarray(np.median(neighbours, axis=-1))


def _hold(values: Array) -> Array:
    """`values` with every 0 (nothing found) replaced by the one before, at first by 500 n Hz."""
    held = np.where(np.isfinite(values), values, 0)
    for column in range(held.shape[1]):
        places = np.where(held[:, column] > 0, np.arange(len(held)), -1)
        latest = np.maximum.accumulate(places)
        usual = 500.0 * (2 * column + 1)
        held[:, column] = np.where(latest >= 0, held[latest, column], usual)
    return held


def _by_praat(voice: Floats, count: int, measure: Any, columns: int = 1) -> Array:
    """`measure(sound)` (frames, columns) over the voice in chunks that overlap by 0.1 s."""
    import parselmouth

    values = np.zeros((count, columns))
    margin = 10  # frames
    for first in range(0, count, CHUNK):
        last = min(count, first + CHUNK)
        begin = max(0, first - margin)
        piece = voice[begin * HOP : (last + margin) * HOP]
        if len(piece) < 0.06 * SAMPLE_RATE or not piece.any():
            continue
        found = measure(parselmouth.Sound(piece.astype(np.float64), SAMPLE_RATE))
        part = found[first - begin : first - begin + last - first]
        values[first : first + len(part)] = part
    return values


def _on_grid(values: Array, analysis: Any, sound: Any) -> Array:
    """Praat's frames, which begin somewhere inside, at k / 100 s: nearest frame, 0 outside."""
    count = int(sound.duration * RATE) + 1
    places = np.round((np.arange(count) / RATE - analysis.x1) / analysis.dx).astype(int)
    inside = (places >= 0) & (places < len(values))
    on_grid = np.zeros((count, values.shape[1]))
    on_grid[inside] = values[places[inside]]
    return on_grid


def _pauses(loud: Array, seconds: float) -> tuple[tuple[float, float], ...]:
    """Where nothing is said for 0.12 s or longer."""
    quiet = runs(loud <= 0.02)
    return tuple(
        (start / RATE, min(seconds, end / RATE))
        for start, end in quiet
        if end - start >= PAUSE * RATE
    )
