"""Files that are whole or not there, and on the disk when it is said."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.disk import open_files
from vidgen.files import (
    atomic_path,
    atomic_write,
    folder_size,
    identity,
    is_folder,
    is_same_file,
    library_name,
    make_private,
    move_new,
    open_regular,
    place_error,
    restrict,
    sha256_of,
    size_of,
)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """What was synced, in order: inode, and whether the target was there under its name."""
    done: list[tuple[int, bool]] = []
    real = os.fsync

    def noted(handle: int) -> None:
        done.append((os.fstat(handle).st_ino, bool(TARGETS) and TARGETS[-1].exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", noted)
    TARGETS.clear()
    return done


TARGETS: list[Path] = []


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be synced there")
def test_the_content_is_synced_before_the_name_and_the_name_after(
    tmp_path: Path, synced: list[tuple[int, bool]]
) -> None:
    target = tmp_path / "a.mp4"
    TARGETS.append(target)
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"film")
    file, folder = target.stat().st_ino, tmp_path.stat().st_ino
    assert synced == [(file, False), (folder, True)]


def test_what_need_not_last_is_not_synced(tmp_path: Path, synced: list[tuple[int, bool]]) -> None:
    with atomic_path(tmp_path / "a.jpg", durable=False) as temporary:
        temporary.write_bytes(b"preview")
    assert synced == []


def test_a_note_is_synced_too(tmp_path: Path, synced: list[tuple[int, bool]]) -> None:
    atomic_write(tmp_path / "new" / "a.json", b"{}")
    inodes = [inode for inode, _ in synced]
    assert inodes[-2:] == [
        (tmp_path / "new" / "a.json").stat().st_ino,
        (tmp_path / "new").stat().st_ino,
    ]


def test_a_new_name_is_never_an_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        move_new(tmp_path / "a", tmp_path / "b")
    move_new(tmp_path / "a", tmp_path / "c")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b", "c"]


def test_files_are_told_apart_by_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").write_text("a")
    assert is_same_file(tmp_path / "a", tmp_path / "b")
    assert not is_same_file(tmp_path / "a", tmp_path / "c")
    assert not is_same_file(tmp_path / "a", tmp_path / "none")


def test_only_what_a_person_can_mend_gets_a_sentence() -> None:
    denied = place_error(PermissionError(13, "Permission denied", "/root/x"))
    assert denied is not None
    assert (denied.exit_code, denied.code) == (3, "files.unusable")
    assert "/root/x" in denied.message
    assert place_error(OSError(22, "Invalid argument")) is None


def test_what_the_system_says_is_said(tmp_path: Path) -> None:
    for error, message in (
        (OSError(errno.EIO, "Input/output error"), "A file cannot be used: Input/output error."),
        (OSError(errno.EIO, "", "/x"), "/x cannot be used: [Errno 5] : '/x'."),
        (OSError(errno.ENOSPC, "No space", b"/x"), "/x cannot be used: No space."),
    ):
        said = place_error(error)
        assert said is not None
        assert said.message == message


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_folder_is_private_with_all_that_is_made_above_it(tmp_path: Path) -> None:
    before = mode(tmp_path)
    make_private(tmp_path / "a" / "b" / "c")
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700] * 3
    (tmp_path / "a").chmod(0o755)
    make_private(tmp_path / "a" / "b")  # what is there stays as it is
    assert (mode(tmp_path / "a"), mode(tmp_path)) == (0o755, before)


def test_only_our_own_files_are_closed_to_others(tmp_path: Path) -> None:
    for name in ("file", "twice", "folder"):
        (tmp_path / name).mkdir() if name == "folder" else (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o754)
    (tmp_path / "again").hardlink_to(tmp_path / "twice")
    (tmp_path / "link").symlink_to(tmp_path / "twice")
    for name in ("file", "twice", "folder", "link"):
        restrict(tmp_path / name)
    assert [oct(mode(tmp_path / name)) for name in ("file", "twice", "folder")] == [
        "0o700", "0o754", "0o700",
    ]  # fmt: skip


def test_a_file_is_known_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    about = (tmp_path / "a").stat()
    assert identity(tmp_path / "a") == identity(tmp_path / "b") == [about.st_dev, about.st_ino]
    assert identity(tmp_path / "none") == identity(Path("a\0b")) == []


def test_what_cannot_be_looked_at_is_no_folder_and_no_twin(tmp_path: Path) -> None:
    assert is_folder(tmp_path)
    for odd in (tmp_path / "none", Path("x" * 300), Path("a\0b"), Path(__file__) / "x"):
        assert not is_folder(odd)
        assert not is_same_file(odd, tmp_path)


def test_sizes_are_of_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(bytes(1000))
    (tmp_path / "two").write_bytes(bytes(234))
    (tmp_path / "link").symlink_to(tmp_path / "a" / "one")
    own = (tmp_path / "link").lstat().st_size
    assert folder_size(tmp_path) == 1234 + own
    assert (size_of(tmp_path / "two"), size_of(tmp_path / "none")) == (234, 0)
    assert folder_size(tmp_path / "none") == 0
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2's example
    assert sha256_of(tmp_path / "abc")[:16] == "ba7816bf8f01cfea"


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").write_text("a")
    fd = open_regular(tmp_path / "a")
    assert not os.get_inheritable(fd)
    assert os.read(fd, 9) == b"a"
    os.close(fd)
    for odd in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(odd)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_libraries_get_names_that_they_can_say(tmp_path: Path) -> None:
    odd = tmp_path / "caf\udce9"
    with library_name(odd) as name:  # not there yet
        Path(name).write_text("a")
    assert odd.read_text() == "a"
    with library_name(odd) as name:
        assert name.isascii()
        assert Path(name).read_text() == "a"
    with library_name(tmp_path / "é") as name:
        assert name == str(tmp_path / "é")


def test_a_temporary_name_fits_and_is_told_apart(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with atomic_path(tmp_path / ("n" * 60 + ".mp4"), owner="0123456789") as temporary:
            temporary.write_text("x")
            seen.append(temporary.name)
    assert [name[:51] for name in seen] == ["." + "n" * 40 + ".01234567-"] * 2
    assert [len(name) for name in seen] == [51 + 6 + len(".part")] * 2
    assert seen[0] != seen[1]
    with atomic_path(tmp_path / "b") as temporary:
        temporary.write_text("x")
        assert temporary.name.startswith(f".b.{os.getpid()}-")


def test_a_written_file_is_its_owners(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a" / "b" / "note", b"x")
    assert mode(tmp_path / "a" / "b" / "note") == 0o600


def refuse_links(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_without_links_a_name_is_taken_in_one_step_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(os, "link", refuse_links)
    with pytest.raises(FileExistsError):
        move_new(tmp_path / "a", tmp_path / "b")
    move_new(tmp_path / "a", tmp_path / "c")
    found = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert found == {"b": "b", "c": "a"}


def write(folder: Path) -> None:
    atomic_write(folder / "a", b"a")


def name_odd(folder: Path) -> None:
    with library_name(folder / "caf\udce9"):
        pass


def open_pipe(folder: Path) -> None:
    with pytest.raises(OSError, match="regular"):
        open_regular(folder)


def move_without_links(folder: Path) -> None:
    (folder / "b").write_text("b")
    (folder / "c").unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", refuse_links)
        move_new(folder / "b", folder / "c")


@pytest.mark.parametrize("act", [write, name_odd, open_pipe, move_without_links])
def test_no_descriptor_is_left(tmp_path: Path, act: Callable[[Path], None]) -> None:
    act(tmp_path)
    before = open_files()
    for _ in range(3):
        act(tmp_path)
    assert open_files() == before
