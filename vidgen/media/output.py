"""Where finished files land: checked early, written beside the place, moved there when whole.

Knows folders and names only; nothing of what is in the files.
"""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Final

from vidgen.errors import InputError, SetupError
from vidgen.files import NO_SPACE, atomic_path

NOT_ALLOWED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def check_output(path: Path) -> None:
    """Make sure that a file can be put at `path`, before anything costly begins.

    Raises InputError when its folder is missing or not writable, or `path` is a folder.
    """
    with _plain_errors(path):
        _try_output(path)


def _try_output(path: Path) -> None:
    folder = path.absolute().parent
    if not folder.is_dir():
        raise _folder_missing(folder)
    if path.is_dir():
        raise InputError(
            "The output {path} is a folder.",
            hint="Name a file, for example {example}.",
            code="output.is_folder",
            path=str(path),
            example=str(path / "video.mp4"),
        )
    # Asking the system for permission bits lies on network and read-only mounts; a file does not.
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=folder)
    except FileNotFoundError as error:  # a folder of the kernel's, in which no files can be made
        raise _not_writable(folder) from error
    os.close(handle)
    Path(name).unlink()


def free_name(path: Path, is_own: Callable[[Path], bool] = lambda _: False) -> Path:
    """`path` if nothing is there, else the first free one of name-2, name-3, …

    What `is_own` says yes to counts as free: it may be replaced.
    """
    numbered = (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in count(2))
    with _plain_errors(path):
        return next(name for name in chain([path], numbered) if not name.exists() or is_own(name))


@contextmanager
def atomic_output(target: Path, *, durable: bool = True, owner: str = "") -> Iterator[Path]:
    """`atomic_path`, with what a person can do about the system's errors.

    Raises SetupError for a full disk, InputError for a folder that is gone or not writable.
    """
    with _plain_errors(target), atomic_path(target, durable=durable, owner=owner) as temporary:
        yield temporary


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors about writing `path` into ours; PyAV's carry the same numbers."""
    try:
        yield
    except OSError as error:
        plain = plain_error(error, path)
        if plain is None:
            raise
        raise plain from error


def plain_error(error: OSError, path: Path) -> InputError | SetupError | None:
    """What a person can do about `error` while writing `path`; None when it is something else."""
    folder = path.absolute().parent
    if error.errno in NO_SPACE:
        return _disk_full(path)
    if error.errno in NOT_ALLOWED:
        return _not_writable(folder)
    if error.errno == errno.ENAMETOOLONG:
        return InputError(
            "The name {name} is too long for this file system.",
            hint="Choose a shorter name with -o.",
            code="output.name_too_long",
            name=path.name,
        )
    if error.errno == errno.ENOENT and not folder.is_dir():
        return _folder_missing(folder)
    return None


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, wherever the block met it, into a SetupError about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise _disk_full(path) from error


def _disk_full(path: Path) -> SetupError:
    return SetupError(
        "No space is left on the disk for {path}.",
        hint="Free some space in {folder} (`vidgen clean` removes old work folders), then"
        " `vidgen resume`: what is finished is kept.",
        code="output.disk_full",
        is_retryable=True,
        path=str(path),
        folder=str(path.absolute().parent),
    )


def _folder_missing(folder: Path) -> InputError:
    return InputError(
        "The output folder {folder} does not exist.",
        hint="Make the folder first, or choose another place with -o.",
        code="output.folder_missing",
        folder=str(folder),
    )


def _not_writable(folder: Path) -> InputError:
    return InputError(
        "The folder {folder} cannot be written to.",
        hint="Choose another place with -o, or change the folder's permissions.",
        code="output.not_writable",
        folder=str(folder),
    )
