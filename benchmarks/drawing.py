"""How fast the puppet draws, before any encoding: frames a second by size and device.

    python -m benchmarks.drawing [--device cuda:0] [--frames 400]

On the CPU it also tells the processor time of a frame, which other programs disturb less. The
speaker is the demo photo with a matte of simple shape; the voice, a second of it repeated, moves
everything that a film moves.
"""

import argparse
import time
from pathlib import Path
from typing import Final

import numpy as np

from tests.support.puppet import cut, speaker, voice
from vidgen.models.catalog import Catalog
from vidgen.paths import Home
from vidgen.renderers.puppet.renderer import PuppetRenderer
from vidgen.work import MotionOptions, Speech

SIZES: Final = ((512, 512), (1280, 720), (1920, 1080))  # width, height
FPS: Final = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", type=int, default=400)
    options = parser.parse_args()
    shelf = Catalog(Home.default())
    print("| size | frames/s | processor ms/frame | prepared in s |\n|---|---|---|---|")
    for size in SIZES:
        print(row(shelf, size, options.device, options.frames))


def row(shelf: Catalog, size: tuple[int, int], device: str, count: int) -> str:
    """One line of the table: the demo photo at `size`, `count` frames."""

    def model(name: str) -> Path:
        return shelf.path(name)

    who = speaker(model("demo_photo"), model, size[1], width=size[0])
    cutout, said = cut(who), lengthen(count / FPS)
    began = time.perf_counter()
    with PuppetRenderer(device).perform(who, cutout, said, MotionOptions()) as act:
        prepared = time.perf_counter() - began
        _ = [len(frames) for frames in act.frames(0, min(64, count))]  # warm
        began, busy = time.perf_counter(), time.process_time()
        drawn = sum(len(frames) for frames in act.frames(0, count))
        busy, lasted = time.process_time() - busy, time.perf_counter() - began
    each = 1e3 * busy / drawn
    return f"| {size[0]} × {size[1]} | {drawn / lasted:.0f} | {each:.1f} | {prepared:.2f} |"


def lengthen(seconds: float) -> Speech:
    """A second of voice, again and again."""
    one = voice(1.0)
    return Speech(np.tile(one.samples, int(seconds) + 1), one.rate, one.sha256)


if __name__ == "__main__":
    main()
