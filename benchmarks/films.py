"""Make the puppet's films that PUPPET (d) speaks of, and judge them all: one column a film.

    python -m benchmarks.films [FOLDER] [--heights 512,720]

The demo photo, and the right-hand man of `zidane.jpg` where the package ultralytics brings it,
saying the same 34 s of eSpeak: by the sound alone, and with the words known. The films stay in
FOLDER. Ends with 1 when a line misses its limit.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks import talking, voices
from benchmarks.talking import LINES, WORDS_KNOWN, Line, Source
from vidgen.media.photo import open_photo
from vidgen.models import catalog, pull
from vidgen.models.catalog import Catalog
from vidgen.paths import Home
from vidgen.settings import Options
from vidgen.speech.espeak import Phone
from vidgen.stages.detect import Detect
from vidgen.vision.faces import FaceDetector, LandmarkNet
from vidgen.work import Pixels, Subject, Work

ASPECTS: Final = {512: "1:1"}  # the others are 16:9


@dataclass(frozen=True, slots=True)
class Wanted:
    """One film."""

    photo: Path
    person: str
    height: int
    words: bool

    @property
    def name(self) -> str:
        said = ", words" if self.words else ""
        return f"{self.photo.stem} {self.height}{said}"

    @property
    def aspect(self) -> str:
        return ASPECTS.get(self.height, "16:9")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--heights", default="512,720")
    options = parser.parse_args()
    heights = [int(height) for height in options.heights.split(",")]
    shelf = Catalog(Home.default())
    pull.ensure(shelf, [*catalog.find_models("embedded"), *catalog.find_models("demo")])
    folder = options.folder or Path(tempfile.mkdtemp(prefix="films-"))
    voices.main(str(folder))
    films = [
        Wanted(photo, person, height, words)
        for height in heights
        for photo, person in _photos(shelf)
        for words in (False, True)
    ]
    print(f"films in {folder}", file=sys.stderr)
    columns = [judged(shelf, folder, film) for film in films]
    sys.exit(print_table(films, columns))


def _photos(shelf: Catalog) -> list[tuple[Path, str]]:
    found = [(shelf.path("demo_photo"), "auto")]
    spec = find_spec("ultralytics")
    if spec is not None and spec.origin is not None:
        found.append((Path(spec.origin).parent / "assets" / "zidane.jpg", "right"))
    return found


def judged(shelf: Catalog, folder: Path, film: Wanted) -> dict[str, float]:
    """Every number of one film, made now."""
    file = folder / f"{film.name.replace(', ', '-').replace(' ', '-')}.mp4"
    command = [sys.executable, "-m", "vidgen", "run", str(film.photo), str(folder / "voice.wav")]
    command += ["--models", "embedded", "--renderer", "puppet", "--person", film.person]
    command += ["--height", str(film.height), "--aspect", film.aspect, "--force", "-o", str(file)]
    command += ["--progress", "quiet", "--json"]
    if film.words:
        command += ["--text-file", str(folder / "voice.txt"), "--language", "en-gb"]
    made = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    phones = json.loads((folder / "voice.json").read_text("utf-8"))
    source = Source(
        phones=tuple(Phone(*entry) for entry in phones),
        voice=folder / "voice.wav",
        photo=framed(shelf, film),
        blinks=int(made["metadata"].get("blinks", 0)),
    )
    _, _, numbers = talking.measured(file, LandmarkNet(shelf.path("face_landmark")), source)
    return numbers


def framed(shelf: Catalog, film: Wanted) -> Pixels:
    """The photo as detection frames it for the film, (H, W, 3)."""
    options = Options(person=film.person, height=film.height, aspect=film.aspect)
    faces, net = FaceDetector(shelf.path("centerface")), LandmarkNet(shelf.path("face_landmark"))
    stage = Detect(faces, net, options)
    return stage.run(Work(open_photo(film.photo)), lambda _: None).get(Subject).frame


def print_table(films: list[Wanted], columns: list[dict[str, float]]) -> int:
    """The table as Markdown; answers 1 when a line is missed, which is printed bold."""
    print("| # | requirement | limit | " + " | ".join(film.name for film in films) + " |")
    print("|---" * (3 + len(films)) + "|")
    missed = 0
    for key, line in LINES.items():
        cells = []
        for film, numbers in zip(films, columns, strict=True):
            value = numbers.get(key, talking.NOTHING)
            good = _fits(_line(key, line, film), value)
            missed |= not good
            cells.append(f"{value:.3g}" if good else f"**{value:.3g}**")
        print(f"| {line.number} | {line.what} | {talking.limit(line)} | {' | '.join(cells)} |")
    return missed


def _line(key: str, line: Line, film: Wanted) -> Line:
    return WORDS_KNOWN if key == "bilabials_closed" and film.words else line


def _fits(line: Line, value: float) -> bool:
    return value != value or line.least <= value <= line.most  # NaN: cannot be told


if __name__ == "__main__":
    main()
