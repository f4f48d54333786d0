"""Where finished files land: checked early, written beside the place, moved there when whole.

Knows folders and names only; nothing of what is in the files.
"""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

from vidgen.errors import InputError, SetupError
from vidgen.files import (
    NO_SPACE,
    atomic_path,
    is_device,
    is_folder,
    is_same_file,
    move_new,
    place_error,
    share,
)

NOT_ALLOWED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def check_output(
    path: Path, *, may_exist: bool = True, may_replace: bool = True, reads: Sequence[Path] = ()
) -> None:
    """Make sure that a file can be put at `path`, before anything costly begins.

    `reads` are the files that the run reads: no film takes the place of one, whatever is allowed.
    `may_exist` False refuses a name that is taken; `may_replace` says that it would be replaced.
    Raises InputError.
    """
    with _plain_errors(path):
        _check_kind(path)
        if may_replace and any(is_same_file(path, file) for file in reads):
            raise _is_input(path)
        if not may_exist and path.exists():
            raise InputError(
                "The output {path} is there already.",
                hint="Replace it with --force, or give another name with -o.",
                code="output.exists",
                path=str(path),
            )
        _try_folder(path)


def _check_kind(path: Path) -> None:
    if is_folder(path):
        raise InputError(
            "The output {path} is a folder.",
            hint="Name a file, for example {example}.",
            code="output.is_folder",
            path=str(path),
            example=str(path / "video.mp4"),
        )
    if path.exists() and is_device(path):
        raise device_refusal(path)


def device_refusal(path: Path) -> InputError:
    return InputError(
        "The output {path} is a device or a pipe: a film is written to files only.",
        hint="Name a file, and hand it on when it is finished.",
        code="output.is_device",
        path=str(path),
    )


def _try_folder(path: Path) -> None:
    folder = path.absolute().parent
    if not folder.is_dir():
        raise _folder_missing(folder)
    # Asking the system for permission bits lies on network and read-only mounts; a file does not.
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=folder)
    except FileNotFoundError as error:  # a folder of the kernel's, in which no files can be made
        raise _not_writable(folder) from error
    os.close(handle)
    Path(name).unlink()


class Output:
    """A finished file for a person: never in the place of something that is theirs.

    It goes to the wanted name or, where something is, to the first free one of name-2, name-3, …:
    the name is taken in one step, so that of two runs into one name both keep their films.
    Replaced is only what `may_replace` says yes to, and never a file that the run reads. A link
    stays a link: what it leads to is replaced.
    """

    def __init__(
        self,
        wanted: Path,
        may_replace: Callable[[Path], bool] = lambda _: False,
        reads: Sequence[Path] = (),
    ) -> None:
        self.wanted = wanted
        self.path = wanted  # where the file is, after `writing`
        self._may_replace = may_replace
        self._reads = reads

    @contextmanager
    def writing(self, owner: str = "") -> Iterator[Path]:
        """A temporary file that lands, with the rights that the user's umask gives, when the block
        ends well. Raises as `atomic_output` does."""
        with _plain_errors(self.wanted):
            self.path = next(name for name in self._names() if self._is_free(name))
            target = self.path.resolve() if self.path.is_symlink() else self.path
        with (
            _plain_errors(target),
            atomic_path(target, owner=owner, move=self._move) as temporary,
        ):
            yield temporary

    def _names(self) -> Iterator[Path]:
        wanted = self.wanted
        yield wanted
        yield from (wanted.with_name(f"{wanted.stem}-{n}{wanted.suffix}") for n in count(2))

    def _is_free(self, name: Path) -> bool:
        return not name.exists() or self._is_replaceable(name)

    def _is_replaceable(self, name: Path) -> bool:
        is_read = any(is_same_file(name, file) for file in self._reads)
        return name.is_file() and not is_read and self._may_replace(name)

    def _move(self, temporary: Path, target: Path) -> None:
        share(temporary)
        if self._is_replaceable(target):
            temporary.replace(target)
            return
        try:
            move_new(temporary, target)
        except FileExistsError:  # another run was faster
            for name in self._names():
                beside = target.with_name(name.name)
                with suppress(FileExistsError):
                    move_new(temporary, beside)
                    self.path = beside
                    return


@contextmanager
def atomic_output(target: Path, *, durable: bool = True, owner: str = "") -> Iterator[Path]:
    """`atomic_path`, with what a person can do about the system's errors.

    Raises SetupError for a full disk, InputError for a folder that is gone or not writable.
    """
    with _plain_errors(target), atomic_path(target, durable=durable, owner=owner) as temporary:
        yield temporary


def _is_input(path: Path) -> InputError:
    return InputError(
        "The output {path} is one of the files that this run reads.",
        hint="Give another name with -o: the film would take its place.",
        code="output.is_input",
        path=str(path),
    )


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
    """Turn a full disk, wherever the block met it, into a SetupError about `path`.

    And a file or folder that cannot be used into one about itself.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise _disk_full(path) from error
        plain = place_error(error) if error.filename is not None else None
        if plain is None:
            raise
        raise plain from error


def _disk_full(path: Path) -> SetupError:
    return SetupError(
        "No space is left on the disk for {path}.",
        hint="Free some space in {folder} (`vidgen clean` removes old work folders, with --all the"
        " newer ones too), then `vidgen resume`: what is finished is kept.",
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
