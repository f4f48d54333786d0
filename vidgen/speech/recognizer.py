"""Hear which sounds of speech a voice makes, 50 times a second: a small network in plain numpy.

The network is the phone recogniser of the package `hama` (Apache-2.0, Seongmin Park): a conformer
of 1.2 million weights over 80 mel bands, trained for CTC on 191 IPA tokens. Here is its arithmetic
and the cutting of long voices; what its answers mean is the business of `phones` and `align`.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, NoReturn

import numpy as np

from vidgen.errors import SetupError
from vidgen.speech.tokens import BLANK, TOKENS
from vidgen.work import Floats

RATE: Final = 50  # answers a second
SAMPLE_RATE: Final = 16_000
STRIDE: Final = SAMPLE_RATE // RATE  # samples from one answer to the next
WINDOW, HOP = 400, 160  # samples: what one spectrum sees, and from one to the next
WIDTH, HEADS, BLOCKS, TAPS = 144, 4, 4, 31
MAGIC: Final = b"HAMAPK\x01\x02"
KINDS: Final = ("<f4", "<f2", "<i8", "<i4", "u1")
LONGEST: Final = 25 * RATE  # answers worked out at once: attention sees all of them
OVERLAP: Final = 2 * RATE  # answers that two pieces share where no pause parts them
SEARCH: Final = 10 * RATE  # a pause is looked for in so many answers at a piece's end
QUIET: Final = 15  # answers, 0.3 s: a pause long enough to be cut in
LEAST: Final = -12.0  # log of the least probability that is told

Weights = Mapping[str, Floats]
OnShare = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Recognizer:
    """The network, ready to hear. Use `open_recognizer`."""

    weights: Weights

    def __call__(self, voice: Floats, on_share: OnShare = lambda _: None) -> Floats:
        """Natural log of each token's probability, (T, 191), for mono at 16 kHz in -1..1.

        T = ceil(samples / 320); answer k is about the moment k / 50 s. A voice of any length:
        pieces of at most 25 s, cut in pauses where there are any. The same voice, the same answers.
        `on_share` hears how much of the voice is done, 0–1.
        """
        count = -(-len(voice) // STRIDE)
        heard = np.full((count, len(TOKENS)), LEAST, np.float32)
        heard[:, BLANK] = 0
        for piece in _pieces(voice, count):
            samples = voice[piece.first * STRIDE : piece.last * STRIDE]
            if len(samples) > WINDOW:
                answers = np.maximum(_hear(self.weights, samples), LEAST)
                kept = answers[piece.begin - piece.first : piece.end - piece.first]
                heard[piece.begin : piece.begin + len(kept)] = kept
            on_share(piece.end / max(1, count))
        return heard


@lru_cache(maxsize=1)
def open_recognizer(file: Path) -> Recognizer:
    """The network in `file` (`asr_waveform.hama`). Raises SetupError when it is another file."""
    return Recognizer(_read(file.read_bytes()))


def _read(packed: bytes) -> Weights:
    """The arrays of a HAMAPK file by name, float32.

    Magic, uint32 count; for each: uint16 length and name, kind, rank, sizes (uint32), offset and
    length (uint64); then the data, from the next multiple of 16 on.
    """
    try:
        if packed[: len(MAGIC)] != MAGIC:
            raise ValueError("not a HAMAPK file")
        (count,) = struct.unpack_from("<I", packed, len(MAGIC))
        at, entries = len(MAGIC) + 4, []
        for _ in range(count):
            (length,) = struct.unpack_from("<H", packed, at)
            name = packed[at + 2 : at + 2 + length].decode()
            kind, rank = packed[at + 2 + length], packed[at + 3 + length]
            at += 4 + length
            sizes = struct.unpack_from(f"<{rank}I", packed, at)
            offset, size = struct.unpack_from("<QQ", packed, at + 4 * rank)
            at += 4 * rank + 16
            entries.append((name, KINDS[kind], sizes, offset, size))
    except (ValueError, IndexError, struct.error) as error:
        _refuse(str(error))
    data = memoryview(packed)[-(-at // 16) * 16 :]
    return {
        name: np.frombuffer(data[offset : offset + size], kind).reshape(sizes).astype(np.float32)
        for name, kind, sizes, offset, size in entries
    }


def _refuse(reason: str) -> NoReturn:
    raise SetupError(
        "The recogniser's weights cannot be read: {reason}.",
        hint="Fetch them again: vidgen models pull phone_recognizer",
        code="speech.weights",
        reason=reason,
    )


# --- cutting -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Piece:
    """Answers first..last-1 are worked out together, begin..end-1 of them are used."""

    first: int
    last: int
    begin: int
    end: int


def _pieces(voice: Floats, count: int) -> Iterator[_Piece]:
    """Pieces that are used without gaps, each at most LONGEST long."""
    first = begin = 0
    while count - first > LONGEST:
        cut = _pause(voice, first + LONGEST)
        if cut:
            yield _Piece(first, cut, begin, cut)
            first = begin = cut
            continue
        last = first + LONGEST
        middle = last - OVERLAP // 2
        yield _Piece(first, last, begin, middle)
        first, begin = last - OVERLAP, middle
    yield _Piece(first, count, begin, count)


def _pause(voice: Floats, last: int) -> int:
    """The middle of the quietest pause in the SEARCH answers before `last`, or 0."""
    samples = voice[(last - SEARCH) * STRIDE : last * STRIDE]
    power = np.square(samples.reshape(SEARCH, STRIDE)).mean(axis=1, dtype=np.float64)
    level = 10 * np.log10(np.convolve(power, np.ones(QUIET) / QUIET, mode="valid") + 1e-9)
    loud = 10 * np.log10(float(np.percentile(power, 90)) + 1e-9)
    quietest = int(level.argmin())
    return last - SEARCH + quietest + QUIET // 2 if level[quietest] < loud - 25 else 0


# --- the network ---------------------------------------------------------------------------------


def _hear(weights: Weights, samples: Floats) -> Floats:
    """Log probabilities of one piece, (T, 191)."""
    x = _subsampled(weights, _mels(weights, samples))  # (T, 144)
    for block in range(BLOCKS):
        x = _block(weights, block, x)
    scores = x @ weights["acoustic_model.model.proj.weight"][:, :, 0].T
    scores += weights["acoustic_model.model.proj.bias"]
    scores -= scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


def _mels(weights: Weights, samples: Floats) -> Floats:
    """Log power in 80 mel bands, 100 frames a second: (F, 80)."""
    padded = np.pad(samples, WINDOW // 2, mode="reflect")
    framed = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    real = framed @ weights["stft_real_kernel"][:, 0].T  # (F, 201)
    imaginary = framed @ weights["stft_imag_kernel"][:, 0].T
    power = real * real + imaginary * imaginary
    return np.asarray(np.log(np.maximum(power @ weights["mel_fb"], np.float32(1e-10))))


def _subsampled(weights: Weights, mels: Floats) -> Floats:
    """A convolution over three frames at every second one: (T, 144)."""
    padded = np.pad(mels, ((1, 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=0)[::2]  # (T, 80, 3)
    kernel = weights["onnx::Conv_801"].reshape(WIDTH, -1)
    x = windows.reshape(len(windows), -1) @ kernel.T + weights["onnx::Conv_802"]
    return _gelu(x)


def _block(weights: Weights, number: int, x: Floats) -> Floats:
    """One conformer block on (T, 144)."""
    name = f"acoustic_model.model.blocks.{number}."
    matrix = 829 + 9 * number
    x = x + 0.5 * _feed_forward(weights, name + "ffn1.", matrix, x)
    x = x + _attention(weights, name, matrix + 2, x)
    x = x + _convolution(weights, name + "conv.", 804 + 3 * number, x)
    x = x + 0.5 * _feed_forward(weights, name + "ffn2.", matrix + 7, x)
    return _norm(weights, name + "norm.", x)


def _feed_forward(weights: Weights, name: str, matrix: int, x: Floats) -> Floats:
    inner = _norm(weights, name + "norm.", x) @ weights[f"onnx::MatMul_{matrix}"]
    inner = _silu(inner + weights[name + "fc1.bias"])  # (T, 576)
    outer = inner @ weights[f"onnx::MatMul_{matrix + 1}"]
    return np.asarray(outer + weights[name + "fc2.bias"])


def _attention(weights: Weights, name: str, matrix: int, x: Floats) -> Floats:
    inner = _norm(weights, name + "attn_norm.", x) @ weights[f"onnx::MatMul_{matrix}"]
    inner = inner + weights[name + "attn.in_proj_bias"]  # (T, 3 * 144)
    parts = inner.reshape(len(x), 3, HEADS, WIDTH // HEADS).transpose(1, 2, 0, 3)
    heads = zip(*parts, strict=True)  # (T, 36) each, of one head after another: T² stays small
    mixed = np.hstack([_attend(queries, keys, values) for queries, keys, values in heads])
    out = mixed @ weights[f"onnx::MatMul_{matrix + 4}"]
    return np.asarray(out + weights[name + "attn.out_proj.bias"])


def _attend(queries: Floats, keys: Floats, values: Floats) -> Floats:
    """What one head takes from all times, (T, 36)."""
    scores = queries @ keys.T
    scores *= np.float32((WIDTH // HEADS) ** -0.5)
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return np.asarray(scores @ values)


def _convolution(weights: Weights, name: str, depthwise: int, x: Floats) -> Floats:
    inner = _norm(weights, name + "norm.", x) @ weights[name + "pointwise1.weight"][:, :, 0].T
    inner = inner + weights[name + "pointwise1.bias"]
    gated = inner[:, :WIDTH] * _sigmoid(inner[:, WIDTH:])  # GLU
    padded = np.pad(gated, ((TAPS // 2, TAPS // 2), (0, 0)))
    kernel = weights[f"onnx::Conv_{depthwise}"][:, 0].T  # (31, 144)
    mixed = np.tile(weights[f"onnx::Conv_{depthwise + 1}"], (len(x), 1))
    for tap in range(TAPS):
        mixed += padded[tap : tap + len(x)] * kernel[tap]
    out = _silu(mixed) @ weights[name + "pointwise2.weight"][:, :, 0].T
    return np.asarray(out + weights[name + "pointwise2.bias"])


def _norm(weights: Weights, name: str, x: Floats) -> Floats:
    """Layer norm."""
    centred = x - x.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + np.float32(1e-5))
    return np.asarray(centred / spread * weights[name + "weight"] + weights[name + "bias"])


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))


def _silu(x: Floats) -> Floats:
    return x * _sigmoid(x)


def _gelu(x: Floats) -> Floats:
    """x times the normal distribution's share below x; erf after Abramowitz and Stegun, 7.1.26."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return np.asarray(0.5 * x * (1 + erf), np.float32)
