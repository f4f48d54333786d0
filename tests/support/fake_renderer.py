"""A renderer that draws numbered gradients: every decoded frame tells which one it is."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from vidgen.media.colour import to_yuv420p
from vidgen.renderers.base import GetReady, nobody
from vidgen.work import Cutout, Folder, Frames, MotionOptions, Pixels, Speech, Subject, Work

SIZE = (192, 128)  # width, height; an aspect ratio of no common camera
BITS = 11


def picture(number: int, layout: str = "rgb24", size: tuple[int, int] = SIZE) -> Pixels:
    """(H, W, 3 or 4): a gradient under a row of white (1) and black (0) squares."""
    W, H = size
    pixels = np.empty((H, W, 3), np.uint8)
    pixels[..., 0] = np.linspace(20, 235, W)[None]
    pixels[..., 1] = np.linspace(20, 235, H)[:, None]
    pixels[..., 2] = 90
    for bit in range(BITS):
        pixels[:16, 16 * bit : 16 * bit + 16] = 255 * (number >> bit & 1)
    if layout == "yuv420p":
        return to_yuv420p(pixels)
    if layout == "rgba":
        alpha = np.broadcast_to(np.linspace(0, 255, W).astype(np.uint8)[None], (H, W)).copy()
        alpha[:16] = 255
        return np.dstack([pixels, alpha])
    return pixels


def number_in(rgb: Pixels) -> int:
    """The number drawn into a decoded picture (H, W, 3 or 4)."""
    return sum(int(rgb[8, 16 * bit + 8, 0] > 127) << bit for bit in range(BITS))


@dataclass
class FakePerformance:
    """Numbered frames in small batches."""

    frame_count: int
    renderer: "FakeRenderer"
    metadata: Mapping[str, Any] = field(default_factory=lambda: {"device": "cpu", "batch": 3})

    def for_workers(self) -> "FakePerformance | None":
        return self if self.renderer.is_portable else None

    def frames(self, first: int, last: int) -> Iterator[Frames]:
        for start in range(first, last, 3):
            numbers = range(start, min(start + 3, last) - self.renderer.short_by)
            for number in numbers:
                if number == self.renderer.fails_at:
                    raise self.renderer.failure
                if number == self.renderer.dies_at:
                    self._die()
                self.renderer.drawn.append(number)
            layout = self.renderer.layout
            yield Frames(
                np.stack([picture(n, layout, self.renderer.size) for n in numbers]), layout
            )

    def _die(self) -> None:
        """End this process as the kernel does when memory runs out; the first time only, if a
        file says that there was one."""
        if self.renderer.died is None or not self.renderer.died.exists():
            if self.renderer.died is not None:
                self.renderer.died.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class FakeRenderer:
    """Keeps the numbers it drew; fails before `fails_at` if asked to."""

    layout: str = "rgb24"
    size: tuple[int, int] = SIZE
    fails_at: int = -1
    failure: BaseException = field(default_factory=lambda: RuntimeError("torn"))
    short_by: int = 0
    drawn: list[int] = field(default_factory=list)
    performed: int = 0
    name: str = "fake"
    is_portable: bool = True
    gets_ready: tuple[float, ...] = ()  # tells so much of it before it performs
    dies_at: int = -1  # the process that draws this frame is killed
    died: Path | None = None

    @contextmanager
    def perform(
        self,
        subject: Subject,
        cutout: Cutout,
        speech: Speech,
        look: MotionOptions,
        get_ready: GetReady = nobody,
    ) -> Iterator[FakePerformance]:
        self.performed += 1
        for share in self.gets_ready:
            get_ready("render.hearing", share)
        count = ceil(Fraction(len(speech.samples), speech.rate) * look.fps)
        yield FakePerformance(count, self)


def tone(seconds: float, rate: int = 16000) -> Speech:
    """A swept, noisy tone: its correlation with itself has one sharp peak."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(5).standard_normal(len(t))
    wave = (0.3 + 0.15 * np.sin(18 * t)) * np.sin(2 * np.pi * (180 * t + 40 * t * t)) + 0.03 * noise
    wave[-rate // 10 :] *= 0.01
    return Speech(wave.astype(np.float32), rate, "0" * 64)


def shelf(folder: Path, seconds: float, *, transparent: bool = False, rate: int = 16000) -> Work:
    """What the rendering stage needs, for a voice of so many seconds."""
    W, H = SIZE
    frame = np.zeros((H, W, 3), np.uint8)
    subject = Subject(frame, np.zeros((468, 3), np.float32), (0, 0, W, H), (0, 0, W, H))
    cutout = Cutout(frame, np.ones((H, W), np.float32), None if transparent else frame)
    return Work(subject, cutout, tone(seconds, rate), Folder(folder / "work", folder / "previews"))


def lag_seconds(heard: Speech, said: Speech) -> float:
    """How much later `heard` is than `said`, by cross-correlation; their rates may differ."""
    from scipy.signal import resample_poly

    common = np.gcd(heard.rate, said.rate)
    samples = resample_poly(said.samples, heard.rate // common, said.rate // common)
    count = len(samples) + len(heard.samples)
    product = np.fft.rfft(heard.samples, count) * np.conj(np.fft.rfft(samples, count))
    lag = int(np.argmax(np.fft.irfft(product, count)))
    return (lag - count if lag > count // 2 else lag) / heard.rate
