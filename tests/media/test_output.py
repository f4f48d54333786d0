"""Where files land: checked early, whole or not at all."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vidgen.errors import InputError, SetupError, VidgenError
from vidgen.media.output import Output, atomic_output, check_output, disk_errors, plain_error


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        check_output(path)
    return caught.value.code


def test_a_good_place_is_accepted_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old.mp4").write_bytes(b"old")
    check_output(tmp_path / "new.mp4")
    check_output(tmp_path / "old.mp4")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("old.mp4", b"old")]


def test_a_bad_place_is_refused_by_name(tmp_path: Path) -> None:
    assert {
        "no folder": refusal(tmp_path / "none" / "a.mp4"),
        "a folder": refusal(tmp_path),
        "long": refusal(tmp_path / ("n" * 300 + ".mp4")),
    } == {
        "no folder": "output.folder_missing",
        "a folder": "output.is_folder",
        "long": "output.name_too_long",
    }


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert refusal(tmp_path / "a.mp4") == "output.not_writable"
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "output.disk_full"),
        (errno.EDQUOT, "output.disk_full"),
        (errno.EROFS, "output.not_writable"),
        (errno.EACCES, "output.not_writable"),
        (errno.ENAMETOOLONG, "output.name_too_long"),
    ],
)
def test_the_systems_errors_get_their_sentence(tmp_path: Path, number: int, code: str) -> None:
    error = plain_error(OSError(number, "told by the system"), tmp_path / "a.mp4")
    assert error is not None
    assert error.code == code


def test_an_error_nobody_can_mend_stays_what_it_is(tmp_path: Path) -> None:
    assert plain_error(OSError(errno.EINVAL, "odd"), tmp_path / "a.mp4") is None
    with pytest.raises(OSError, match="odd"), atomic_output(tmp_path / "a.mp4"):
        raise OSError(errno.EINVAL, "odd")


def put(output: Output, content: bytes = b"film") -> str:
    with output.writing() as temporary:
        temporary.write_bytes(content)
    assert output.path.read_bytes() == content
    return output.path.name


def test_names_count_on_from_2(tmp_path: Path) -> None:
    names = [put(Output(tmp_path / "film.take.mp4")) for _ in range(3)]
    assert names == ["film.take.mp4", "film.take-2.mp4", "film.take-3.mp4"]


def test_two_runs_into_one_name_both_keep_their_films(tmp_path: Path) -> None:
    first, second = Output(tmp_path / "a.mp4"), Output(tmp_path / "a.mp4")
    with first.writing() as one, second.writing() as other:
        one.write_bytes(b"one")
        other.write_bytes(b"other")
    assert {first.path.name, second.path.name} == {"a.mp4", "a-2.mp4"}
    assert {first.path.read_bytes(), second.path.read_bytes()} == {b"one", b"other"}


def test_many_runs_into_one_name_all_keep_their_films(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda n: put(Output(tmp_path / "a.mp4"), b"%d" % n), range(24)))
    assert len(set(names)) == 24
    assert len(list(tmp_path.iterdir())) == 24


def test_a_file_system_without_links_takes_the_name_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    test_two_runs_into_one_name_both_keep_their_films(tmp_path)


@pytest.mark.parametrize("way", ["itself", "symbolic link", "hard link", "link to its folder"])
def test_what_the_run_reads_is_never_replaced(tmp_path: Path, way: str) -> None:
    voice = tmp_path / "voice.mp4"
    voice.write_bytes(b"voice")
    wanted = tmp_path / "out.mp4"
    if way == "itself":
        wanted = voice
    elif way == "symbolic link":
        wanted.symlink_to(voice)
    elif way == "hard link":
        wanted.hardlink_to(voice)
    else:
        (tmp_path / "again").symlink_to(tmp_path)
        wanted = tmp_path / "again" / "voice.mp4"
    with pytest.raises(InputError) as caught:
        check_output(wanted, reads=[tmp_path / "photo.jpg", voice])
    assert caught.value.code == "output.is_input"
    put(Output(wanted, lambda _: True, [voice]))
    assert voice.read_bytes() == b"voice"


def test_an_output_that_is_there_is_refused_with_both_ways_on(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")
    with pytest.raises(InputError) as caught:
        check_output(tmp_path / "a.mp4", may_exist=False)
    assert caught.value.code == "output.exists"
    assert "--force" in caught.value.hint
    assert "-o" in caught.value.hint
    check_output(tmp_path / "a.mp4")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "film.mp4").write_bytes(b"old")
    (tmp_path / "a.mp4").symlink_to(tmp_path / "disk" / "film.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "disk" / "new.mp4")
    put(Output(tmp_path / "a.mp4", lambda _: True), b"new")
    put(Output(tmp_path / "b.mp4"), b"first")
    assert (tmp_path / "disk" / "film.mp4").read_bytes() == b"new"
    assert (tmp_path / "disk" / "new.mp4").read_bytes() == b"first"
    assert (tmp_path / "a.mp4").is_symlink()
    assert (tmp_path / "b.mp4").is_symlink()


def test_devices_and_pipes_are_no_outputs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path("/dev/null"), Path("/dev/zero")):
        assert refusal(path) == "output.is_device"


def test_a_name_that_is_not_utf8_lands(tmp_path: Path) -> None:
    assert put(Output(tmp_path / "caf\udce9.mp4")) == "caf\udce9.mp4"
    assert [os.fsencode(file.name) for file in tmp_path.iterdir()] == [b"caf\xe9.mp4"]


def test_a_landing_replaces_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    target.write_bytes(b"old")
    with atomic_output(target) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
        assert (temporary.parent, temporary.name[0]) == (tmp_path, ".")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.mp4", b"new")]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeError("torn"), VidgenError("x")])
def test_a_failed_landing_leaves_nothing(tmp_path: Path, failure: BaseException) -> None:
    def fail(half: Path) -> None:
        half.write_bytes(b"half")
        raise failure

    with pytest.raises(type(failure)), atomic_output(tmp_path / "a.mp4") as temporary:
        fail(temporary)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_became_read_only_is_told_though_nothing_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def failing() -> None:
        with atomic_output(tmp_path / "me.mp4") as temporary:
            temporary.write_text("half")
            monkeypatch.setattr(Path, "unlink", refuse)
            refuse()

    with pytest.raises(InputError) as caught:
        failing()
    monkeypatch.undo()
    assert caught.value.code == "output.not_writable"


def test_what_a_killed_attempt_left_goes_with_the_next_one(tmp_path: Path) -> None:
    names = (".me [1].mp4.550e8400-a1b2c3.part", ".me [1].mp4.6ba7b810-a1b2c3.part", ".me.part")
    for name in names:
        (tmp_path / name).write_text("half")
    with atomic_output(tmp_path / "me [1].mp4", owner="550e8400-e29b-41d4") as temporary:
        temporary.write_text("whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == [*sorted(names[1:]), "me [1].mp4"]


def test_a_japanese_name_of_the_greatest_length_lands(tmp_path: Path) -> None:
    target = tmp_path / ("動" * 83 + ".mp4")  # 253 bytes of 255
    check_output(target)
    with atomic_output(target) as temporary:
        temporary.write_bytes(b"film")
    assert target.read_bytes() == b"film"


def test_a_folder_that_vanishes_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    with pytest.raises(InputError) as caught, atomic_output(folder / "a.mp4"):
        folder.rmdir()
    assert caught.value.code == "output.folder_missing"


def test_a_full_disk_is_a_matter_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught, atomic_output(tmp_path / "a.mp4"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.exit_code == 3
    assert str(tmp_path) in caught.value.hint


def test_a_full_disk_is_told_wherever_it_is_met(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught, disk_errors(tmp_path / "work"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (caught.value.code, caught.value.is_retryable) == ("output.disk_full", True)
    with pytest.raises(PermissionError), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_only_what_is_so_is_said(tmp_path: Path) -> None:
    """A folder that is missing explains a name that is not found, and nothing else."""
    here, nowhere = tmp_path / "a.mp4", tmp_path / "none" / "a.mp4"
    found = {
        (number, path): plain_error(OSError(number, "told by the system"), path)
        for number in (errno.ENOENT, errno.EINVAL)
        for path in (here, nowhere)
    }
    codes = {where: error.code for where, error in found.items() if error}
    assert codes == {(errno.ENOENT, nowhere): "output.folder_missing"}
