"""Files that are whole or not there, and on the disk when it is said."""

import os
from pathlib import Path

import pytest

from vidgen.files import atomic_path, atomic_write, is_same_file, move_new, place_error


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
