"""Which films belong to a batch, those too that nobody has begun: `batches/` beside the runs.

One file for each batch, or part of one, with a lock that its maker holds. What has become of a
film stands in its run's log.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import orjson

from vidgen.errors import InputError
from vidgen.events import timestamp
from vidgen.files import atomic_write, make_private
from vidgen.paths import Home
from vidgen.progress.store.lock import Lock, LockHeld, is_held

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class BatchFilm:
    """One film of a batch, as it was planned. `seconds` is how long it will take; None: unknown."""

    task_id: str
    title: str
    voice_seconds: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """All films of a batch, in order. `places` make films side by side."""

    batch_id: str
    films: tuple[BatchFilm, ...]
    places: int
    is_alive: bool  # whether somebody makes it now


@contextmanager
def record_batch(
    home: Home, batch_id: str, films: Sequence[BatchFilm], *, places: int = 1, part: str = ""
) -> Iterator[None]:
    """Write down what is to be made, and hold the batch meanwhile.

    Raises InputError when another process makes it already.
    """
    file = _file(home, batch_id, part)
    make_private(file.parent)
    try:
        with Lock(file.with_suffix(".lock")):
            said = {"v": FORMAT, "batch_id": batch_id, "began": timestamp(), "places": places,
                    "films": [asdict(film) for film in films]}  # fmt: skip
            atomic_write(file, orjson.dumps(said))
            yield
    except LockHeld as held:
        raise InputError(
            "The batch {name} is being made by another process ({pid}).",
            hint="Wait for it, or call this one otherwise: --batch NAME.",
            code="batch.busy",
            name=batch_id,
            pid=held.pid or "?",
        ) from held


def load_batch(home: Home, batch_id: str) -> BatchRecord | None:
    """A batch with all its parts; None when nothing is known of it."""
    found = [
        (said, is_held(file.with_suffix(".lock")))
        for file in sorted(_folder(home).glob(f"{_quoted(batch_id)}*.json"))
        if (said := _read(file)) and said.get("batch_id") == batch_id
    ]
    if not found:
        return None
    # By its id: a batch that was made in parts before, and whole now, has each film once.
    films = {film["task_id"]: BatchFilm(**film) for said, _ in found for film in said["films"]}
    places = sum(int(said["places"]) for said, alive in found if alive)
    return BatchRecord(
        batch_id, tuple(films.values()), max(1, places), any(alive for _, alive in found)
    )


def batch_ids(home: Home) -> list[str]:
    """The batches that were written down, the newest first."""
    try:
        files = [(file.stat().st_mtime_ns, file) for file in _folder(home).glob("*.json")]
    except OSError:  # one was removed meanwhile
        files = []
    read = (_read(file) for _, file in sorted(files, reverse=True))
    return list(dict.fromkeys(str(said["batch_id"]) for said in read if said))


def _folder(home: Home) -> Path:
    return home.root / "batches"


def _quoted(batch_id: str) -> str:
    """As the beginning of a file's name: no glob's signs, no dots, not too long."""
    return quote(batch_id, safe="").replace(".", "%2E").replace("~", "%7E")[:150]


def _file(home: Home, batch_id: str, part: str) -> Path:
    return _folder(home) / f"{_quoted(batch_id)}~{part.replace('/', '-')}.json"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        said = orjson.loads(file.read_bytes())
        for film in said["films"]:
            BatchFilm(**film)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return said if isinstance(said, dict) and said.get("v") == FORMAT else None
