"""What the network hears at each frame: Whisper's hidden states round the frame's moment.

Only arithmetic and the choice of what to encode; the encoder itself is a function given to it.
Whisper sees 30 s at a time and tells 50 steps a second. A long voice is cut into segments that
overlap, and only their inner parts are used, so that no frame is drawn from a torn edge.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from vidgen.media.audio import resample
from vidgen.work import Floats, Speech

RATE: Final = 16_000  # samples per second that Whisper takes
STEP: Final = 320  # samples per step: 50 steps a second
STEPS: Final = 50
SEGMENT: Final = 1500  # steps that Whisper sees at once: 30 s
EDGE: Final = 50  # steps at an inner edge of a segment that are not used
HOP: Final = SEGMENT - 2 * EDGE
WINDOW: Final = 10  # steps a frame hears: two frames' before it, its own, two frames' after
BEFORE: Final = 4  # of them before the frame's own two
KEPT: Final = 3  # segments remembered: 12 MB each, however long the voice

Encode = Callable[[Floats], Floats]  # samples at 16 kHz, at most 30 s → (1500, layers, width)


def window(frame: int, fps: Fraction) -> tuple[int, int]:
    """The steps (first, last + 1) that a frame hears; they may lie before or after the voice."""
    first = math.floor(frame * STEPS / fps) - BEFORE
    return first, first + WINDOW


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch that Whisper sees, in steps, and the part of it that is used."""

    start: int
    first: int
    last: int  # outside


def segments(steps: int) -> tuple[Segment, ...]:
    """The stretches of a voice of so many steps, in order; their used parts meet without a gap."""
    count = 1 + max(0, math.ceil((steps - SEGMENT) / HOP))
    return tuple(
        Segment(
            start=number * HOP,
            first=number * HOP + EDGE if number else 0,
            last=(number + 1) * HOP + EDGE if number < count - 1 else steps,
        )
        for number in range(count)
    )


def positions(length: int, width: int) -> Floats:
    """(length, width) sines and cosines that tell each token its place (Vaswani et al. 2017)."""
    place = np.arange(length, dtype=np.float64)[:, None]
    rate = np.exp(np.arange(0, width, 2) * (-math.log(10_000.0) / width))
    table = np.empty((length, width), np.float32)
    table[:, 0::2] = np.sin(place * rate)
    table[:, 1::2] = np.cos(place * rate)
    return table


class Hearing:
    """The tokens of every frame of one voice, encoded as they are needed."""

    def __init__(self, speech: Speech, encode: Encode) -> None:
        self.samples = at_16k(speech)
        self.steps = math.ceil(len(self.samples) / STEP)
        self.segments = segments(self.steps)
        self._encode = encode
        self._known: OrderedDict[int, Floats] = OrderedDict()

    def tokens(self, frames: range, fps: Fraction) -> Floats:
        """(B, 10 × layers, width): step by step, within a step layer by layer, with positions."""
        heard = np.stack([self.between(*window(frame, fps)) for frame in frames])
        tokens = heard.reshape(len(frames), -1, heard.shape[-1])
        return tokens + positions(tokens.shape[1], tokens.shape[2])

    def between(self, first: int, last: int) -> Floats:
        """(last - first, layers, width); zeros where there is no voice."""
        parts = list(self._parts(first, last))
        shape = parts[0].shape[1:] if parts else self._segment(0).shape[1:]
        before = np.zeros((min(last - first, max(0, -first)), *shape), np.float32)
        after = np.zeros((last - first - len(before) - sum(map(len, parts)), *shape), np.float32)
        return np.concatenate([before, *parts, after])

    def _parts(self, first: int, last: int) -> Iterator[Floats]:
        for number, segment in enumerate(self.segments):
            start, end = max(first, segment.first), min(last, segment.last)
            if start < end:
                yield self._segment(number)[start - segment.start : end - segment.start]

    def _segment(self, number: int) -> Floats:
        if number not in self._known:
            start = self.segments[number].start * STEP
            self._known[number] = self._encode(self.samples[start : start + SEGMENT * STEP])
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(number)
        return self._known[number]


def at_16k(speech: Speech) -> Floats:
    """The voice as Whisper takes it."""
    return resample(speech.samples, speech.rate, RATE)
