"""The files that a run is given: looked at, read at once when they are pipes, kept for a resume.

Knows names, sizes and hashes; whether a photo or a voice is in them is `media`'s to say.
"""

import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path
from typing import BinaryIO, Final

from vidgen.errors import InputError
from vidgen.files import NO_SPACE, sha256_of
from vidgen.paths import TaskFolder
from vidgen.remote import find_url, name_of, open_url, without_query

STDIN: Final = "-"
FOLDER: Final = "input"  # in a run's work folder: its own copies
MOST_PIPED: Final = 1 << 30  # bytes that are read from a pipe; an hour of WAV is 635 MB
_MOST_OF_DISK: Final = 0.5  # of the free space; a larger input is not copied
_BLOCK: Final = 1 << 20
_CLONE: Final = 0x40049409  # Linux FICLONE: a copy that shares its blocks costs nothing


@dataclass(frozen=True, slots=True)
class Input:
    """A file that was given: where it was, and what was in it."""

    path: Path
    sha256: str
    bytes: int


def look_at(task: TaskFolder, name: str, path: Path) -> Input:
    """What is in an input; a pipe, "-" for stdin, or a URL is read into the run's folder.

    Raises InputError when it is missing, a folder, a device, or cannot be read; OSError for a
    full disk.
    """
    if is_piped(path):
        return _read_pipe(task, name, path)
    try:
        _check_kind(name, path)
        return Input(path.resolve(), sha256_of(path), path.stat().st_size)
    except IsADirectoryError as error:
        raise _is_folder(name, path) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            "There is no file {path}.",
            hint="Check the {name}'s path.",
            code="input.missing",
            path=str(path),
            name=name,
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(error, name, path) from error


def check_order(photo: Path, voice: Path) -> None:
    """Refuse a photo and a voice that were named the other way round. Raises InputError."""
    kinds = [(guess_type(path.name)[0] or "").partition("/")[0] for path in (photo, voice)]
    if kinds == ["audio", "image"]:
        raise InputError(
            "{photo} is a voice, and {voice} is a photo.",
            hint="Name the photo first: vidgen run {voice} {photo}",
            code="input.swapped",
            photo=str(photo),
            voice=str(voice),
        )


def check_stdin(paths: Iterable[Path]) -> None:
    """Raises InputError where stdin is to be more than one of the inputs."""
    if sum(str(path) == STDIN for path in paths) > 1:
        raise InputError(
            "stdin cannot be photo and voice at once.",
            hint="Give one of the two by its name.",
            code="input.stdin_twice",
        )


def is_piped(path: Path) -> bool:
    """Whether it is read once only: stdin's "-", a URL, a named pipe, a shell's `<(command)`."""
    if str(path) == STDIN or find_url(path):
        return True
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _check_kind(name: str, path: Path) -> None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise _is_folder(name, path)
    if not stat.S_ISREG(mode):
        raise InputError(
            "{path} is a device, not a {name}.",
            hint="Give a file, a pipe, or - for what comes in by stdin.",
            code="input.device",
            path=str(path),
            name=name,
        )


def _read_pipe(task: TaskFolder, name: str, path: Path) -> Input:
    kept = input_copy(task, name, path)
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        if url := find_url(path):
            with open_url(url) as blocks:
                _spool(blocks, kept)
        elif str(path) == STDIN:
            _spool(_blocks(_stdin(name)), kept)
        else:
            with path.open("rb") as pipe:
                _spool(_blocks(pipe), kept)
        if not kept.stat().st_size:
            raise _nothing_came(name)
    except OSError as error:
        remove_copies(task, [name])
        if error.errno in NO_SPACE:  # the disk's fault, not the pipe's
            raise
        raise _unreadable(error, name, path) from error
    except BaseException:
        remove_copies(task, [name])
        raise
    said = Path(without_query(url)) if url else path
    return Input(said, sha256_of(kept), kept.stat().st_size)


def _stdin(name: str) -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            "Nothing comes in by stdin for the {name}.",
            hint="Send it by a pipe, or give the file's name instead of -.",
            code="input.no_stdin",
            name=name,
        )
    return sys.stdin.buffer


def _nothing_came(name: str) -> InputError:
    return InputError(
        "What came in for the {name} is empty.",
        hint="Check the command before the pipe, or the address.",
        code="input.nothing_came",
        name=name,
    )


def _blocks(pipe: BinaryIO) -> Iterator[bytes]:
    while block := pipe.read(_BLOCK):
        yield block


def _spool(blocks: Iterable[bytes], kept: Path) -> None:
    size = 0
    with kept.open("wb") as file:
        for block in blocks:
            size += len(block)
            if size > MOST_PIPED:
                raise InputError(
                    "More than {most} MB came in.",
                    hint="Save it as a file first, and give that.",
                    code="input.pipe_too_long",
                    most=MOST_PIPED >> 20,
                )
            file.write(block)


def keep_copy(task: TaskFolder, name: str, path: Path) -> bool:
    """Copy an input into the run's folder, so that a resume needs nothing else.

    False when the disk has no room for it: a resume needs the original then. Shares the blocks
    where the file system can; never a hard link, by which a change of the original would come
    into the copy. Raises InputError when it cannot be read, OSError for a full disk; a part of a
    copy never stays.
    """
    kept = input_copy(task, name, path)
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        if path.stat().st_size > _MOST_OF_DISK * shutil.disk_usage(kept.parent).free:
            return False
        if not _cloned(path, kept):
            shutil.copyfile(path, kept)
    except BaseException as error:
        remove_copies(task, [name])
        if isinstance(error, OSError) and error.errno not in NO_SPACE:
            raise _unreadable(error, name, path) from error
        raise
    return True


def _cloned(path: Path, kept: Path) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    with path.open("rb") as source, kept.open("wb") as target:
        try:
            fcntl.ioctl(target.fileno(), _CLONE, source.fileno())
        except OSError:
            return False
    return True


def input_copy(task: TaskFolder, name: str, path: Path) -> Path:
    """Where the copy of the input `name` is kept; it has the original's ending.

    What is wrong with what came by stdin is told by this name: there is no other.
    """
    url = find_url(path)
    ending = name_of(url).suffix if url else path.suffix
    origin = "-from-stdin" if str(path) == STDIN else ""
    return task.work / FOLDER / f"{name}{origin}{ending.lower()}"


def remove_copies(task: TaskFolder, names: Iterable[str]) -> None:
    """Forget the run's copies of these inputs, half ones too. Best effort."""
    for name in names:
        for file in (task.work / FOLDER).glob(f"{name}*"):
            with suppress(OSError):
                file.unlink()


def fingerprint(path: Path) -> str:
    """The sha256 of a file as it is now; "" when it is gone, or no file."""
    try:
        return sha256_of(path) if path.is_file() else ""
    except (OSError, ValueError):
        return ""


def short_name(path: Path) -> str:
    """What a film's default name says of this input."""
    if str(path) == STDIN:
        return "stdin"
    if url := find_url(path):
        return name_of(url).stem
    is_descriptor = path.parent in (Path("/dev/fd"), Path(f"/proc/{os.getpid()}/fd"), Path("/dev"))
    return "pipe" if is_descriptor else path.stem


def _is_folder(name: str, path: Path) -> InputError:
    return InputError(
        "{path} is a folder, not a {name}.",
        hint="Give the file itself.",
        code="input.folder",
        path=str(path),
        name=name,
    )


def _unreadable(error: OSError | ValueError, name: str, path: Path) -> InputError:
    return InputError(
        "{path} cannot be read: {reason}.",
        hint="Check the {name}'s permissions.",
        code="input.unreadable",
        path=str(path),
        name=name,
        reason=getattr(error, "strerror", None) or type(error).__name__,
    )
