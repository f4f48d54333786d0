"""The pieces of a film on disk, and which of them are whole and of this very film.

Each piece has a small JSON beside it, written after it; without a fitting one it does not count.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Final

from vidgen.media.output import atomic_output

PIECES: Final = 16  # of a film of half a minute to a minute and a half: as many cores are busy
LEAST_SECONDS: Final = 2  # shorter ones cost bytes: each begins with a whole picture
MOST_SECONDS: Final = 6  # longer ones save none, and a crash costs more


@dataclass(frozen=True, slots=True)
class Segment:
    """Frames first..last-1 of the film make its piece number `index`."""

    index: int
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first


def spans(frame_count: int, fps: Fraction) -> tuple[Segment, ...]:
    """The film cut into pieces of 2 to 6 seconds, by its length alone: on every machine the same,
    however many draw at once."""
    seconds = min(max(frame_count / fps / PIECES, Fraction(LEAST_SECONDS)), Fraction(MOST_SECONDS))
    step = ceil(seconds * fps)
    starts = range(0, frame_count, step)
    return tuple(
        Segment(index, first, min(first + step, frame_count)) for index, first in enumerate(starts)
    )


class Segments:
    """One film's pieces in one folder. `key` stands for all that the film depends on.

    With an empty key nothing can be recognised, so nothing is taken over.
    """

    def __init__(self, folder: Path, key: str, suffix: str) -> None:
        self.folder = folder
        self.key = key
        self.suffix = suffix

    def path(self, span: Segment) -> Path:
        return self.folder / f"piece-{span.index:04}{self.suffix}"

    def missing(self, wanted: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """The spans still to be drawn. What is in the folder and does not belong is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        whole = {span for span in wanted if self._is_whole(span)}
        kept = {self.path(span) for span in whole}
        kept |= {path.with_suffix(".json") for path in kept}
        if self._load_json("film.json").get("key") == self.key:
            kept.add(self.folder / "film.json")
        for path in self._own_files():
            if path not in kept:
                path.unlink(missing_ok=True)
        return tuple(span for span in wanted if span not in whole)

    def seal(self, span: Segment) -> None:
        """Note that the piece is whole, with what proves it."""
        path = self.path(span)
        with atomic_output(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(self._proof(span, path)), "utf-8")

    def save_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Keep what the renderer said, for a later run that draws nothing."""
        said = {"key": self.key, "metadata": dict(metadata)}
        with atomic_output(self.folder / "film.json") as temporary:
            temporary.write_text(json.dumps(said, default=str), "utf-8")

    def metadata(self) -> Mapping[str, Any]:
        metadata = self._load_json("film.json").get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    def _is_whole(self, span: Segment) -> bool:
        path = self.path(span)
        said = self._load_json(path.with_suffix(".json").name)
        try:
            return bool(self.key) and bool(said) and said == self._proof(span, path)
        except OSError:
            return False

    def _proof(self, span: Segment, path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
        return {
            "key": self.key,
            "first": span.first,
            "count": len(span),
            "bytes": size,
            "sha256": sha256,
        }

    def _load_json(self, name: str) -> dict[str, Any]:
        """The JSON object in a file of ours; {} when it is missing or damaged."""
        try:
            said = json.loads((self.folder / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def _own_files(self) -> Iterator[Path]:
        """Pieces, their notes, and temporary files that a killed run left."""
        for pattern in ("piece-*", "film.json", ".piece-*.part", ".film.json.*.part"):
            yield from self.folder.glob(pattern)
