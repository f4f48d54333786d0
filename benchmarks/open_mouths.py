"""What people's open mouths show: how much of the opening is lip, and what fills a wide one.

    python -m benchmarks.open_mouths FOLDER

FOLDER holds pictures of people who speak, PERSON-ANYTHING.png or .jpg. Every mouth is unrolled
between the edges of its lips. Prints for each size of opening the people and pictures it was seen
in, and how far `inner_lips.LIP` is off their mean (root mean square; the same for a mouth that is
nowhere lip); then what the middle of openings of .055 Hf and more shows.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidgen.media.colour import LUMA
from vidgen.models.catalog import Catalog
from vidgen.paths import Home
from vidgen.renderers.puppet import inner_lips
from vidgen.renderers.puppet.geometry import FaceGeometry, measure
from vidgen.renderers.puppet.grid import look_up
from vidgen.renderers.puppet.lip_edges import snap_lips
from vidgen.vision.faces import FaceDetector, LandmarkNet
from vidgen.work import Pixels

Array = NDArray[np.float32]

BANDS: Final = (-0.025, -0.008, 0.008, 0.025)  # Hf above and below the edges: lip
LIGHT: Final = (0.35, 0.35)  # of a lip's luma: no lip, and lip from so much more on
HUE: Final = (-0.25, 0.15)  # redness less than the lip's, over luma: the same
WIDE: Final = 0.055  # Hf
DARK: Final = 0.4  # of a lip's luma
WHITE: Final = (0.6, -0.2)  # of that, from here on, and redness less than the lip's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    seen: dict[int, dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
    middles: dict[str, list[Array]] = defaultdict(list)
    for person, gap, inside, lip in mouths(folder):
        size = round((gap - inner_lips.FIRST) / inner_lips.STEP)
        if 0 <= size < len(inner_lips.LIP):
            seen[size][person].append(lip_share(inside, lip))
        if gap >= WIDE:
            middles[person].append(kinds(inside, lip))
    if not seen:
        parser.exit(1, f"No picture in {folder} shows a face whose mouth is open.\n")
    for size, people in sorted(seen.items()):
        mean = np.mean([np.mean(shares, 0) for shares in people.values()], 0)
        off, nowhere = (np.sqrt(np.mean((one - mean) ** 2)) for one in (model(size), 0.0))
        count = sum(map(len, people.values()))
        opening = inner_lips.FIRST + size * inner_lips.STEP
        print(
            f"{opening:.3f} Hf: {len(people):3d} people, {count:4d} pictures, off {off:.3f}"
            f" (nowhere lip {nowhere:.3f})"
        )
    for row, shares in zip(
        ("upper", "middle", "lower"),
        np.mean([np.mean(few, 0) for few in middles.values()], 0),
        strict=True,
    ):
        print(f"{row} third: dark {shares[0]:.2f}, white {shares[1]:.2f}, flesh {shares[2]:.2f}")


def mouths(folder: Path) -> Iterator[tuple[str, float, Array, Array]]:
    """Person, opening in the middle (Hf), the unrolled opening (ROWS, COLUMNS, 3) and the lips'
    colours along it (COLUMNS, 3), of each picture with one face whose mouth is open."""
    shelf = Catalog(Home.default())
    detector = FaceDetector(shelf.path("centerface"))
    net = LandmarkNet(shelf.path("face_landmark"))
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".png", ".jpg"):
            continue
        frame = np.asarray(Image.open(path).convert("RGB"))
        faces = detector.detect(frame, 0.5)
        found = net.find(frame, faces[0].box, faces[0].roll) if faces else None
        if found is not None:
            face = snap_lips(frame, measure(found.points))
            yield path.name.partition("-")[0], *unroll(frame, face)


def share_of_columns() -> Array:
    """(COLUMNS,) half mouths from the middle, as `inner_lips` has them, within the corners."""
    share = ((np.arange(inner_lips.COLUMNS) + 0.5) / inner_lips.COLUMNS * 2 - 1) * inner_lips.WIDE
    return np.asarray(share[np.abs(share) < 1], np.float32)


def unroll(frame: Pixels, face: FaceGeometry) -> tuple[float, Array, Array]:
    """The opening's height in its middle, Hf, its picture and the colours of the lips about it."""
    share = share_of_columns()
    u = np.where(share < 0, share * face.left, share * face.right)
    upper, lower = face.upper(u), np.maximum(face.upper(u), face.lower(u))
    way = ((np.arange(inner_lips.ROWS) + 0.5) / inner_lips.ROWS)[:, None]
    beside = [np.linspace(one, other, 5)[:, None] * face.height for one, other in _bands()]
    inside, above, below = (
        look_up(frame.astype(np.float32), *_places(face, u, v))
        for v in (upper + way * (lower - upper), upper + beside[0], lower + beside[1])
    )
    middle = np.abs(share) < 0.25
    lip = (np.median(above, 0) + np.median(below, 0)) / 2
    return float((lower - upper)[middle].mean() / face.height), inside, _smooth(lip)


def _bands() -> tuple[tuple[float, float], tuple[float, float]]:
    return (BANDS[0], BANDS[1]), (BANDS[2], BANDS[3])


def _places(face: FaceGeometry, u: Any, v: Any) -> tuple[Array, Array]:
    x, y = face.axes.xy(np.broadcast_to(u, v.shape), v)
    return x.astype(np.float32), y.astype(np.float32)


def _smooth(line: Array) -> Array:
    import cv2

    return np.asarray(cv2.GaussianBlur(line[None].astype(np.float32), (0, 0), 2)[0])


def _luma_and_redness(colours: Array) -> tuple[Array, Array]:
    luma = np.maximum(8.0, colours @ LUMA)
    return luma, (colours[..., 0] - colours[..., 1]) / luma


def lip_share(inside: Array, lip: Array) -> Array:
    """(ROWS, columns) how much of an opening looks like its lips, 0–1."""
    (luma, red), (lip_luma, lip_red) = _luma_and_redness(inside), _luma_and_redness(lip)
    light = ((luma / lip_luma - LIGHT[0]) / LIGHT[1]).clip(0, 1)
    return np.asarray(light * ((red - lip_red - HUE[0]) / HUE[1]).clip(0, 1))


def kinds(inside: Array, lip: Array) -> Array:
    """(3, 3) shares of dark, white and flesh in the upper, middle and lower third of the middle."""
    middle = np.abs(share_of_columns()) < 0.3
    (luma, red), (lip_luma, lip_red) = _luma_and_redness(inside), _luma_and_redness(lip)
    luma, red = (luma / lip_luma)[:, middle], (red - lip_red)[:, middle]
    white = (red < WHITE[1]) & (luma > WHITE[0])
    dark = (luma < DARK) & ~white
    thirds = [
        [part.mean() for part in (dark[rows], white[rows], (~dark & ~white)[rows])]
        for rows in np.array_split(np.arange(len(luma)), 3)
    ]
    return np.array(thirds, np.float32)


def model(size: int) -> Array:
    """(ROWS, columns) the puppet's mean share of lip in an opening of the `size`-th kind."""
    way = ((np.arange(inner_lips.ROWS) + 0.5) / inner_lips.ROWS)[:, None]
    return np.asarray(inner_lips.lip_terms(share_of_columns(), way) @ inner_lips.LIP[size])


if __name__ == "__main__":
    main()
