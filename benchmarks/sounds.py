"""What the mouth of a film shows for each kind of sound: a sheet of enlarged mouths to look at.

    python -m benchmarks.sounds FILM PHONES.json OUT.jpg [--each 6]

One row for each of eight kinds of sounds, the frames nearest to the middles of their first ones.
"""

import argparse
import json
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.sheet import save, sheet
from vidgen.models.catalog import Catalog
from vidgen.paths import Home
from vidgen.quality.tracking import first_face, pictures
from vidgen.speech.espeak import Phone
from vidgen.vision.faces import LandmarkNet
from vidgen.work import Pixels

ROWS: Final = (
    "a ɑ æ ɑː aɪ aʊ ɒ ɔ",
    "i iː ɪ",
    "u uː ʊ w oʊ",
    "p b m",
    "f v",
    "s z ʃ",
    "θ ð",
    "l n d t",
)
SIZE: Final = 160  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("phones", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--each", type=int, default=8)
    asked = parser.parse_args()
    phones = [Phone(*entry) for entry in json.loads(asked.phones.read_text("utf-8"))]
    net = LandmarkNet(Catalog(Home.default()).path("face_landmark"))
    save(sheet(mouths(asked.film, phones, net, asked.each), asked.each), asked.out)


def mouths(film: Path, phones: list[Phone], net: LandmarkNet, each: int) -> list[Pixels]:
    """`each` pictures (SIZE, SIZE, 3) for each row of ROWS; white where there are fewer."""
    wanted = [
        [(p.start + p.end) / 2 for p in phones if p.ipa in row.split()][:each] for row in ROWS
    ]
    frames = list(pictures(film, 0.0, None))
    times = np.array([time for time, _ in frames])
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    found: list[Pixels] = []
    for row in wanted:
        cut = [_mouth(frames[int(np.abs(times - moment).argmin())][1], net) for moment in row]
        found += [*cut, *([white] * (each - len(cut)))]
    return found


def _mouth(rgb: Pixels, net: LandmarkNet) -> Pixels:
    import cv2

    face = first_face(rgb, net)
    if face is None:
        return np.full((SIZE, SIZE, 3), 255, np.uint8)
    x, y = face.points[[13, 14], :2].mean(0)
    half = 0.2 * face.height
    part = rgb[max(0, int(y - half)) : int(y + half), max(0, int(x - half)) : int(x + half)]
    return np.asarray(cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC))


if __name__ == "__main__":
    main()
