"""Inputs of every kind: files, pipes, devices; what is kept of them, and what is not."""

import errno
import fcntl
import http.server
import os
import shutil
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import vidgen
from vidgen.errors import InputError
from vidgen.inputs import (
    MOST_PIPED,
    check_order,
    check_stdin,
    fingerprint,
    input_copy,
    is_piped,
    keep_copy,
    look_at,
    remove_copies,
    short_name,
)
from vidgen.paths import Home, TaskFolder
from vidgen.remote import find_url, name_of, plain_path


@pytest.fixture
def task(home: Home) -> TaskFolder:
    return home.task("task")


def refused(task: TaskFolder, path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        look_at(task, "voice", path)
    assert not list(task.root.rglob("*.*"))
    return caught.value


def refusal(task: TaskFolder, path: Path) -> str:
    return refused(task, path).code


def test_what_is_no_file_is_refused_by_name(task: TaskFolder, tmp_path: Path) -> None:
    assert {
        "missing": refusal(task, tmp_path / "none.wav"),
        "below a file": refusal(task, Path(__file__) / "none.wav"),
        "folder": refusal(task, tmp_path),
        "device": refusal(task, Path("/dev/zero")),
        "null": refusal(task, Path("/dev/null")),
        "long": refusal(task, tmp_path / ("x" * 300)),
        "NUL": refusal(task, Path("a\0b")),
    } == {
        "missing": "input.missing",
        "below a file": "input.missing",
        "folder": "input.folder",
        "device": "input.device",
        "null": "input.device",
        "long": "input.unreadable",
        "NUL": "input.unreadable",
    }


def test_why_a_file_cannot_be_read_is_said(task: TaskFolder, tmp_path: Path) -> None:
    """In the system's words, or by the kind of error when it has none."""
    assert refused(task, tmp_path / ("x" * 300)).details["reason"] == "File name too long"
    assert refused(task, Path("a\0b")).details["reason"] == "ValueError"


def test_a_named_pipe_is_read_once_and_kept(task: TaskFolder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "v.wav")
    writer = threading.Thread(target=(tmp_path / "v.wav").write_bytes, args=(b"sound" * 99999,))
    writer.start()
    found = look_at(task, "voice", tmp_path / "v.wav")
    writer.join()
    kept = input_copy(task, "voice", tmp_path / "v.wav")
    assert kept.read_bytes() == b"sound" * 99999
    assert (found.bytes, found.sha256) == (5 * 99999, fingerprint(kept))
    assert fingerprint(tmp_path / "v.wav") == ""  # nobody waits for a pipe


def test_a_shells_pipe_and_stdin_are_pipes() -> None:
    read, write = os.pipe()
    try:
        assert is_piped(Path(f"/dev/fd/{read}"))
    finally:
        os.close(read)
        os.close(write)
    assert is_piped(Path("-"))
    assert not is_piped(Path("/dev/null"))
    assert not is_piped(Path("nowhere"))


def test_names_of_pipes_are_short() -> None:
    paths = map(Path, ("-", "/dev/fd/63", "/dev/stdin", "/a/voice.wav", "-x.jpg"))
    assert [short_name(path) for path in paths] == ["stdin", "pipe", "pipe", "voice", "-x"]


def test_a_copy_holds_what_the_original_held(task: TaskFolder, tmp_path: Path) -> None:
    voice = tmp_path / "v.WAV"
    voice.write_bytes(b"sound")
    assert keep_copy(task, "voice", voice)
    kept = input_copy(task, "voice", voice)
    voice.write_bytes(b"other")
    assert (kept.name, kept.read_bytes()) == ("voice.wav", b"sound")
    remove_copies(task, ["voice"])
    assert not kept.exists()


def test_a_copy_that_fails_leaves_nothing(task: TaskFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        keep_copy(task, "voice", tmp_path / "gone.wav")
    assert not list((task.work / "input").iterdir())


def test_a_file_larger_than_the_disk_is_not_copied(task: TaskFolder, tmp_path: Path) -> None:
    with (tmp_path / "v.wav").open("wb") as file:
        file.truncate(1 << 42)  # sparse: it takes no room itself
    assert not keep_copy(task, "voice", tmp_path / "v.wav")
    assert not list((task.work / "input").iterdir())


def test_a_copy_is_the_runs_own(task: TaskFolder, tmp_path: Path) -> None:
    """Neither a link nor shared with what the original becomes."""
    voice = tmp_path / "v.wav"
    voice.write_bytes(b"sound" * 99999)
    assert keep_copy(task, "voice", voice)
    kept = input_copy(task, "voice", voice)
    assert (kept.stat().st_nlink, kept.is_symlink()) == (1, False)
    assert kept.read_bytes() == voice.read_bytes()


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_half_of_the_disk_is_left_free(
    task: TaskFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    free = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free._replace(free=1000))
    (tmp_path / "v.wav").write_bytes(bytes(int(1000 * share)))
    assert keep_copy(task, "voice", tmp_path / "v.wav") is (share < 0.5)


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, OSError), (errno.EIO, InputError)])
def test_a_copy_that_breaks_off_goes(
    task: TaskFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[Exception],
) -> None:
    def fail(_: Path, kept: Path) -> None:
        kept.write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    (tmp_path / "v.wav").write_bytes(b"sound")
    monkeypatch.setattr(shutil, "copyfile", fail)
    monkeypatch.setattr(fcntl, "ioctl", fail_to_clone)
    with pytest.raises(kind, match=os.strerror(number)):
        keep_copy(task, "voice", tmp_path / "v.wav")
    assert not list((task.work / "input").iterdir())


def fail_to_clone(*_: object) -> None:
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


def test_blocks_are_shared_where_the_disk_can(
    task: TaskFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(fcntl, "ioctl", lambda _, request, __: asked.append(request))
    monkeypatch.setattr(shutil, "copyfile", fail_to_clone)
    (tmp_path / "v.wav").write_bytes(b"sound")
    assert keep_copy(task, "voice", tmp_path / "v.wav")
    assert asked == [0x40049409]  # FICLONE


def test_a_pipe_is_read_to_a_gigabyte() -> None:
    assert MOST_PIPED == 1 << 30


def test_nothing_is_waited_for_where_nobody_sends(
    task: TaskFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert refusal(task, Path("-")) == "input.no_stdin"
    master, slave = os.openpty()
    with open(slave) as terminal:  # noqa: PTH123  # a descriptor
        monkeypatch.setattr(sys, "stdin", terminal)
        assert refusal(task, Path("-")) == "input.no_stdin"
    os.close(master)


def test_what_is_empty_is_not_looked_at(task: TaskFolder) -> None:
    read, write = os.pipe()
    os.close(write)
    assert refusal(task, Path(f"/dev/fd/{read}")) == "input.nothing_came"
    os.close(read)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("file:///home/me/my%20photo.jpg", "/home/me/my photo.jpg"),
        ("file://localhost/a.jpg", "/a.jpg"),
        ("file.jpg", "file.jpg"),
        ("https://x/a.jpg", "https:/x/a.jpg"),
    ],
)
def test_a_file_managers_address_is_a_path(written: str, meant: str) -> None:
    assert plain_path(Path(written)) == Path(meant)


def test_stdin_is_one_input_only() -> None:
    check_stdin([Path("-"), Path("voice.wav")])
    with pytest.raises(InputError) as caught:
        check_stdin([Path("-"), Path("-")])
    assert caught.value.code == "input.stdin_twice"


def test_stdin_is_read_in_blocks_to_its_end(
    task: TaskFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * 10_000  # more than two blocks
    (tmp_path / "pipe").write_bytes(content)
    with (tmp_path / "pipe").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        found = look_at(task, "voice", Path("-"))
    kept = input_copy(task, "voice", Path("-"))
    assert (kept.name, kept.read_bytes()) == ("voice-from-stdin", content)
    assert (found.path, found.bytes) == (Path("-"), len(content))


def test_only_a_swapped_pair_is_refused_as_one() -> None:
    check_order(Path("a.jpg"), Path("b.wav"))
    check_order(Path("a.wav"), Path("b.wav"))
    check_order(Path("a"), Path("b.jpg"))
    check_order(Path("a.wav"), Path("b"))
    with pytest.raises(InputError, match=r"a\.wav is a voice, and b\.png is a photo"):
        check_order(Path("a.wav"), Path("b.png"))


def test_copies_of_other_inputs_stay(task: TaskFolder, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"x")
    for name in ("voice", "photo"):
        keep_copy(task, name, tmp_path / "x.wav")
    remove_copies(task, ["voice", "words"])
    assert [file.name for file in (task.work / "input").iterdir()] == ["photo.wav"]


def test_fingerprints_are_of_files_only(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert fingerprint(tmp_path / "abc")[:16] == "ba7816bf8f01cfea"
    for odd in (tmp_path, tmp_path / "none", Path("a\0b")):
        assert fingerprint(odd) == ""


def test_a_refused_voice_is_not_kept(home: Home, tmp_path: Path) -> None:
    photo = Path(__file__).parent / "none.jpg"
    done = vidgen(home, "run", photo, "/dev/zero", "--progress", "quiet")
    assert done.code == 2
    assert not list(home.root.rglob("input/*"))


def test_a_photo_and_a_voice_the_other_way_round_are_told(home: Home, tmp_path: Path) -> None:
    for name in ("me.jpg", "hello.wav"):
        (tmp_path / name).write_bytes(b"something")
    ran = vidgen(home, "run", "hello.wav", "me.jpg", "--json", cwd=tmp_path)
    assert ran.code == 2
    assert ran.json["error"]["code"] == "input.swapped"
    assert ran.json["error"]["hint"] == "Name the photo first: vidgen run me.jpg hello.wav"
    assert "hello.wav is a voice, and me.jpg is a photo." in ran.err


def test_what_a_library_warns_of_is_not_for_users(home: Home, tmp_path: Path) -> None:
    """A TIFF whose notes are longer than the file."""
    note = struct.pack("<HHII", 38368, 2, 1 << 20, 8)
    (tmp_path / "a.tiff").write_bytes(b"II*\0\x08\0\0\0\x02\0" + note * 2 + bytes(4))
    (tmp_path / "v.wav").write_bytes(b"no sound")
    ran = vidgen(home, "run", "a.tiff", "v.wav", "--progress", "quiet", cwd=tmp_path)
    assert ran.code == 2
    assert "Warning" not in ran.err
    assert len(ran.err.splitlines()) == 2


def test_a_slip_of_the_pen_is_no_history(home: Home, tmp_path: Path) -> None:
    ran = vidgen(home, "run", "no.jpg", "no.wav", cwd=tmp_path)
    assert ran.code == 2
    assert "resume" not in ran.err
    assert list(home.tasks.iterdir()) == []
    assert vidgen(home, "history", "--json").json == []


class Shop(http.server.BaseHTTPRequestHandler):
    """A web server with one file."""

    def do_GET(self) -> None:  # the library's name
        is_there = self.path.startswith("/a/voice.WAV?key=")
        self.send_response(200 if is_there else 404)
        self.end_headers()
        self.wfile.write(b"sound" if is_there else b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shop() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_file_of_the_web_is_read_once_and_its_key_not_kept(task: TaskFolder, shop: str) -> None:
    path = Path(f"{shop}/a/voice.WAV?key=secret")
    found = look_at(task, "voice", path)
    kept = input_copy(task, "voice", found.path)  # as a resume looks for it
    assert kept == input_copy(task, "voice", path) == task.work / "input" / "voice.wav"
    assert kept.read_bytes() == b"sound"
    assert (found.path, found.bytes) == (Path(f"{shop}/a/voice.WAV"), 5)
    assert (is_piped(path), short_name(path)) == (True, "voice")


def test_what_the_web_does_not_give_is_refused(task: TaskFolder, shop: str) -> None:
    assert refusal(task, Path(f"{shop}/none.wav?key=secret")) == "input.url_status"
    away = refused(task, Path("http://127.0.0.1:1/x.wav"))
    assert (away.code, away.details["reason"]) == ("input.url", "Connection refused")
    assert refusal(task, Path("ftp://127.0.0.1/x.wav")) == "input.missing"


@pytest.mark.parametrize(
    ("written", "name"),
    [("https://x.org", "web"), ("https://x.org/a%20b.jpg", "a_b.jpg"), ("http://x/../", "..")],
)
def test_a_name_from_the_web_is_one_name(written: str, name: str) -> None:
    assert str(name_of(find_url(Path(written)))) == name
    assert short_name(Path(written)).count("/") == 0
