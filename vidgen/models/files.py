"""Where a download grows, whether it fits, the check that lets it have the model's name, and
what can be wrong with any of it, as errors that say what to do.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from vidgen.errors import SetupError
from vidgen.files import sha256_of
from vidgen.models.catalog import Catalog, Model, lock_file, seal

SPARE_BYTES: Final = 64 * 1024 * 1024  # left free beyond what a download needs


def disk_of(folder: Path) -> object:
    """The disk that a folder lies on, or will lie on, as something to compare."""
    while not folder.exists():
        folder = folder.parent
    return folder.stat().st_dev


def check_room(folder: Path, needed: int) -> None:
    """Raises SetupError when the disk cannot hold `needed` bytes more."""
    if needed and shutil.disk_usage(folder).free < needed + SPARE_BYTES:
        raise no_room(folder, needed)


def part_file(catalog: Catalog, model: Model) -> Path:
    """The unfinished download, beside the file's own place."""
    file = catalog.file(model)
    return file.with_name(file.name + ".part")


def install(catalog: Catalog, model: Model, part: Path) -> None:
    """Check a complete download and move it into place. A wrong one is kept aside as `.wrong`.

    `part` must be on the same file system as the models folder. Raises SetupError.
    """
    size, digest = part.stat().st_size, sha256_of(part)
    wanted = model.sha256 or catalog.lock_hash(model)
    file = catalog.file(model)
    file.parent.mkdir(parents=True, exist_ok=True)
    if (model.bytes and size != model.bytes) or (wanted and digest != wanted):
        aside = file.with_name(file.name + ".wrong")
        part.replace(aside)
        raise SetupError(
            "What was downloaded for {name} is not the file it should be "
            "({size} bytes, sha256 {digest}…).",
            hint="It is kept as {aside}. Try again, or look whether a proxy changes downloads.",
            code="models.wrong_hash",
            name=model.name,
            size=size,
            digest=digest[:16],
            aside=str(aside),
        )
    if not wanted:
        lock_file(file).write_text(digest + "\n", "ascii")
    _settle(part)
    part.replace(file)
    seal(file, digest)


def no_room(folder: Path, needed: int) -> SetupError:
    return SetupError(
        "The models need {needed_mb} MB, but only {free_mb} MB are free at {folder}.",
        hint="Free some space, or set VIDGEN_HOME to a larger disk.",
        code="models.no_space",
        needed_mb=needed // 1_000_000 + 1,
        free_mb=shutil.disk_usage(folder).free // 1_000_000,
        folder=str(folder),
    )


def http_refusal(model: Model, status: int) -> SetupError:
    return SetupError(
        "The server refused {source}: HTTP {status}.",
        hint="The file may have moved: try a newer vidgen. Or look at the proxy settings.",
        code="models.refused",
        source=model.source,
        status=status,
    )


def download_error(model: Model, reason: str, retries: int = 0) -> SetupError:
    return SetupError(
        "The download of {name} did not succeed: {reason}.",
        hint="Try again: what is here already is kept and taken up.",
        code="models.download_failed",
        is_retryable=True,
        retry_count=retries,
        max_retries=retries,
        name=model.name,
        reason=reason,
    )


def _settle(part: Path) -> None:
    """On the disk before it has its name, so that a power cut leaves no hollow file."""
    try:
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
    except PermissionError:  # a link into a cache that is not ours to write; it is whole already
        pass


def not_loadable(file: Path, reason: str, name: str = "") -> SetupError:
    """A model's file that its library cannot read; `name` is the model's, its folder's by itself.

    `reason` goes into a sentence, without a full stop.
    """
    return SetupError(
        "The model file {path} could not be loaded: {reason}.",
        hint="Fetch it again: vidgen models pull {name}",
        code="models.not_loadable",
        path=str(file),
        name=name or file.parent.name,
        reason=reason,
    )
