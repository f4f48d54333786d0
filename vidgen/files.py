"""Files that are whole or not there, their sizes and hashes. Raises OSError only.

And what a person is told of such an error, where nobody who knows the file has said it.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Final

from vidgen.errors import SetupError

# EFBIG is how a file system or a limit says that a file has no more room to grow.
NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
HASH_BYTES: Final = 128 * 1024  # read at once
OTHERS: Final = 0o077  # what a mode allows to a file's group and to everybody
_READING: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
_users_mask: int | None = None  # the umask that `keep_private` found
# What is wrong with a place, and not with the program: a person can mend it.
UNUSABLE: Final = NO_SPACE | {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR,
    errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENODEV, errno.ENOLCK,
}  # fmt: skip
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


@contextmanager
def atomic_path(
    target: Path,
    *,
    durable: bool = True,
    owner: str = "",
    move: Callable[[Path, Path], object] = Path.replace,
) -> Iterator[Path]:
    """Give a hidden temporary name beside `target`; move it there when the block ends well.

    On any way out but a good one the temporary file is removed and `target` is as it was; what
    `kill -9` left of an earlier attempt goes with the next one of the same `owner`, a task's id.
    `durable` waits until the disk has the content and the name. `move` puts the finished file in
    its place, `move_new` for example. Raises OSError.
    """
    # Not mkstemp: its files are readable by the owner only, and a film has the usual rights.
    # 40 characters are at most 160 bytes, so the name fits wherever the target's does.
    stem = f".{_encodable(target.name[:40])}.{owner[:8] or os.getpid()}-"
    temporary = target.with_name(f"{stem}{os.urandom(3).hex()}.part")
    try:
        if owner:
            for left in target.parent.glob(f"{escape(stem)}*.part"):
                _remove(left)
        yield temporary
        if durable:
            _sync(temporary)
        move(temporary, target)
        if durable:
            sync_folder(target.absolute().parent)
    finally:
        _remove(temporary)


def _encodable(name: str) -> str:
    """The name without bytes that are no UTF-8: libraries that write the file cannot say them."""
    return name.encode("utf-8", "replace").decode("utf-8").replace("?", "_")


@contextmanager
def library_name(path: Path) -> Iterator[str]:
    """A name by which any library can open the file, also where the path's bytes are not UTF-8.

    Such paths are of Linux only, which opens them by the number of their folder as well.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        here = path if path.is_file() else path.absolute().parent
        handle = os.open(here, os.O_RDONLY)
        try:
            name = f"/proc/self/fd/{handle}"
            yield name if here == path else f"{name}/{path.name}"
        finally:
            os.close(handle)
    else:
        yield str(path)


def move_new(source: Path, target: Path) -> None:
    """Rename within a folder; raises FileExistsError where `Path.replace` would replace.

    Of several programs that give files one name at once, one succeeds.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: take the name first, then fill it
        os.close(os.open(target, _NEW_FILE, 0o666))
        source.replace(target)
    else:
        source.unlink()


def is_folder(path: Path) -> bool:
    """Whether it is one as far as can be seen: not, where looking is forbidden or impossible."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # no permission on the way, a name too long, a NUL in it
        return False


def is_device(path: Path) -> bool:
    """Whether it is neither a file nor a folder: /dev/null, a named pipe. As far as can be seen."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two names lead to one file, by links of any kind too; not, when one is missing."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def place_error(error: OSError) -> SetupError | None:
    """What to say of the system's `error`; None when it may be a mistake of the program's."""
    if error.errno not in UNUSABLE:
        return None
    return SetupError(
        "{path} cannot be used: {reason}.",
        hint="Check its permissions and its disk; VIDGEN_HOME names another folder for all runs.",
        code="files.unusable",
        path=os.fsdecode(error.filename) if error.filename is not None else "A file",
        reason=error.strerror or str(error),
    )


def atomic_write(file: Path, content: bytes) -> None:
    """A reader or a crash never meets half of it; makes the folder too. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        handle = os.open(temporary, _NEW_FILE, 0o600)  # for its owner's eyes only
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)


def make_private(folder: Path) -> None:
    """Make a folder, and what is missing above it, for its owner's eyes only, whatever the umask.

    What is there already stays as it is. Raises OSError.
    """
    if not folder.parent.exists():
        make_private(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(0o700)
        folder.chmod(0o700)  # a strange umask may have taken more away


def restrict(path: Path) -> None:
    """Take away what a file or folder allows to others than its owner; links stay alone.

    Raises OSError when it is somebody else's.
    """
    found = path.lstat()
    mode = stat.S_IMODE(found.st_mode)
    # A file with a second name is somebody's photo, too.
    is_ours = stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
    if is_ours and mode & OTHERS:
        path.chmod(mode & ~OTHERS)


def keep_private() -> None:
    """From now on this program's new files are for its owner's eyes; `share` gives others theirs.

    For the command line: a program that uses vidgen as a library keeps its own umask.
    """
    global _users_mask  # noqa: PLW0603  # a umask is the whole program's
    if _users_mask is None:
        _users_mask = os.umask(OTHERS)


def users_umask() -> int:
    """The umask for programs that this one starts, as `Popen` takes it: the user's own."""
    return -1 if _users_mask is None else _users_mask


def share(file: Path) -> None:
    """Give a finished file the rights that the user's own umask gives. Raises OSError."""
    if _users_mask is not None:
        file.chmod(0o666 & ~_users_mask)


def identity(file: Path) -> list[int]:
    """Which file it is, whatever it is called: device and inode; empty when it is not there."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return []
    return [found.st_dev, found.st_ino]


def open_regular(path: Path | str) -> int:
    """A descriptor to read a file with. Raises OSError, for a pipe or a folder too: those would
    hold up whoever opens or reads them."""
    fd = os.open(path, _READING)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows the new name too: a power cut must not bring the old file back."""
    if os.name != "nt":  # folders cannot be opened there, and renames are journalled
        _sync(folder)


def _sync(path: Path) -> None:
    # Windows flushes only what was opened for writing.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(file: Path) -> None:
    """Best effort: a disk that went read-only has told its error already."""
    with suppress(OSError):
        file.unlink(missing_ok=True)


def size_of(file: Path) -> int:
    """Bytes; 0 for none, or for one that was moved between a listing and the look."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def folder_size(folder: Path) -> int:
    """Bytes in all files below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            total += 0 if file.is_dir() else file.lstat().st_size
    return total


def sha256_of(file: Path) -> str:
    """Of the whole content, hexadecimal."""
    import hashlib  # its library of ciphers takes longer to load than `--help` may

    digest = hashlib.sha256()
    # Not hashlib.file_digest: a short file costs it more than its hash, for a large buffer.
    with file.open("rb", buffering=0) as stream:
        while block := stream.read(HASH_BYTES):
            digest.update(block)
    return digest.hexdigest()
