"""A film as one picture: frames side by side, to be looked at.

    python -m benchmarks.sheet FILM OUT.jpg [--frames 8] [--columns 8] [--height 240]
        [--part LEFT,TOP,RIGHT,BOTTOM] [--from 0.0] [--to 1.0]

`--part` cuts the same part out of every frame, in shares of its width and height: a mouth, the
eyes. `--from` and `--to` are shares of the film's length. The README's strip is made by it.
"""

import argparse
from pathlib import Path
from typing import Final

import numpy as np

from vidgen.quality.tracking import pictures
from vidgen.work import Pixels

GAP: Final = 4  # pixels between frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--part", type=_part, default=(0.0, 0.0, 1.0, 1.0))
    parser.add_argument("--from", dest="start", type=float, default=0.0)
    parser.add_argument("--to", dest="end", type=float, default=1.0)
    asked = parser.parse_args()
    every = [rgb for _, rgb in pictures(asked.film, 0.0, None)]
    first, last = (round(share * (len(every) - 1)) for share in (asked.start, asked.end))
    chosen = np.linspace(first, last, asked.frames).round().astype(int)
    save(
        sheet([_cut(every[i], asked.part, asked.height) for i in chosen], asked.columns), asked.out
    )


def sheet(pictures: list[Pixels], columns: int) -> Pixels:
    """Pictures (h, w, 3) of one size in rows, white between them."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    step_down, step_right = height + GAP, width + GAP
    made = np.full((rows * step_down - GAP, columns * step_right - GAP, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * step_down, index % columns * step_right
        made[top : top + height, left : left + width] = picture
    return made


def save(picture: Pixels, file: Path) -> None:
    from PIL import Image

    Image.fromarray(picture).save(file, quality=88)


def _part(text: str) -> tuple[float, ...]:
    return tuple(float(share) for share in text.split(","))


def _cut(frame: Pixels, part: tuple[float, ...], height: int) -> Pixels:
    import cv2

    tall, wide = frame.shape[:2]
    left, top, right, bottom = (
        round(share * side) for share, side in zip(part, (wide, tall, wide, tall), strict=True)
    )
    inside = frame[top:bottom, left:right]
    size = max(1, round(height * inside.shape[1] / inside.shape[0])), height
    shrinks = height < inside.shape[0]
    return np.asarray(
        cv2.resize(inside, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    )


if __name__ == "__main__":
    main()
