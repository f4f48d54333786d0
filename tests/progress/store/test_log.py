"""The log survives kills, torn tails and full disks; runs are found, followed and listed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import orjson
import pytest

from tests.support.disk import open_files
from tests.support.logs import envelope, summary_of, written
from vidgen.errors import InputError, SetupError
from vidgen.events import LINE_LIMIT, Envelope, Log
from vidgen.paths import Home, TaskFolder
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.store.lock import is_held
from vidgen.progress.store.log import TaskLog, line_of, write_error
from vidgen.progress.store.reader import is_running, iter_events
from vidgen.progress.store.runs import (
    summarise,
)


def test_what_was_written_is_read_again(folder: TaskFolder) -> None:
    events = written(folder, *(envelope(seq, message="雨 \u2028 🎬") for seq in range(1, 6)))
    assert list(iter_events(folder.events)) == events
    assert list(iter_events(folder.events, after=3)) == events[3:]
    assert folder.events.read_bytes().count(b"\n") == 5


def test_a_log_that_is_not_there_has_no_events(folder: TaskFolder) -> None:
    assert list(iter_events(folder.events)) == []
    assert summarise(folder) is None


def test_one_system_write_per_event(folder: TaskFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write = os.write

    def counted(fd: int, block: bytes) -> int:
        sizes.append(len(block))
        return write(fd, block)

    with TaskLog(folder) as log:
        monkeypatch.setattr(os, "write", counted)
        events = [envelope(seq) for seq in range(1, 4)]
        log(events[0])
        log.write_all(events[1:])
        monkeypatch.undo()
    lines = [len(event.to_wire()) + 1 for event in events]
    assert sizes == [lines[0], lines[1] + lines[2]]


@pytest.mark.parametrize(
    ("event_type", "is_durable"),
    [
        ("stage_update", True),
        ("complete", True),
        ("error", True),
        ("cancelled", True),
        ("progress_update", False),
        ("log", False),
    ],
)
def test_stage_ends_and_endings_are_on_the_disk_before_the_run_goes_on(
    folder: TaskFolder, event_type: str, is_durable: bool
) -> None:
    synced: list[str] = []

    def sync(_: int) -> None:
        synced.append(threading.current_thread().name)

    with TaskLog(folder, sync=sync) as log:
        log(envelope(1, event_type))
        on_event_path = [name for name in synced if name == "MainThread"]
        assert bool(on_event_path) == is_durable


def test_other_events_reach_the_disk_within_about_a_second(folder: TaskFolder) -> None:
    synced = threading.Event()
    with TaskLog(folder, sync=lambda _: synced.set(), sync_seconds=0.05) as log:
        log(envelope(1))
        assert synced.wait(5)


def test_a_sync_that_fails_is_never_taken_for_a_success_later(folder: TaskFolder) -> None:
    """The kernel may have dropped the pages: a second sync would succeed and mean nothing."""

    is_broken = [True]

    def refuse(_: int) -> None:
        if is_broken[0]:
            raise OSError(5, "Input/output error")

    with TaskLog(folder, sync=refuse) as log:
        with pytest.raises(SetupError, match="Input/output error"):
            log(envelope(1, "stage_update"))
        is_broken[0] = False
        with pytest.raises(SetupError, match="Input/output error"):
            log(envelope(2))


def test_a_second_writer_is_refused_and_told_who_writes(folder: TaskFolder) -> None:
    with TaskLog(folder), pytest.raises(InputError) as caught, TaskLog(folder):
        pass
    assert caught.value.code == "history.busy"
    assert str(os.getpid()) in caught.value.message
    with TaskLog(folder):  # free again
        pass


def test_a_reader_that_asks_for_the_lock_does_not_refuse_a_writer(folder: TaskFolder) -> None:
    folder.root.mkdir(parents=True)
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            is_held(folder.lock)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        for _ in range(20):
            with TaskLog(folder):
                pass
    finally:
        stop.set()
        asker.join()


def test_a_long_event_keeps_what_matters_within_one_line(folder: TaskFolder) -> None:
    people = [{"box": [1, 2, 3, 4], "score": 0.5}] * 5000
    written(folder, envelope(1, message="é" * 90_000, metadata={"people": people}, status="x"))
    (event,) = iter_events(folder.events)
    assert len(folder.events.read_bytes()) <= LINE_LIMIT
    assert event.data == {
        "stage": "rendering",
        "progress": 0.0,
        "message": "é" * 1000,
        "status": "x",
        "left_out": ["message", "metadata"],
    }


def sized(size: int) -> Envelope:
    """An event whose line has so many bytes."""
    most = envelope(1, extra="")
    return envelope(1, extra="x" * (size - len(most.to_wire()) - 1))


def test_the_longest_line_is_written_as_it_is() -> None:
    assert line_of(sized(65_536)) == sized(65_536).to_wire() + b"\n"
    assert len(line_of(sized(65_536))) == 65_536
    short = orjson.loads(line_of(sized(65_537)))
    assert short["data"]["left_out"] == ["extra"]


def test_values_of_four_kilobytes_stay_in_a_long_event() -> None:
    """As JSON, with their quotes."""
    line = line_of(envelope(1, kept="x" * 4094, out="x" * 4095, long="y" * 65_000))
    data = orjson.loads(line)["data"]
    assert (data["kept"], data["left_out"]) == ("x" * 4094, ["out", "long"])
    assert "out" not in data


def test_the_files_of_a_log_are_its_owners(folder: TaskFolder) -> None:
    written(folder, envelope(1))
    with folder.events.open("ab") as file:
        file.write(b"torn")
    with TaskLog(folder):
        pass
    names = ("events.jsonl", "events.torn", "writer.lock")
    assert [(folder.root / name).stat().st_mode & 0o777 for name in names] == [0o600] * 3


def test_torn_tails_are_kept_one_after_the_other(folder: TaskFolder) -> None:
    for text in (b"one", b"other"):
        written(folder, envelope(1))
        with folder.events.open("ab") as file:
            file.write(text)
        with TaskLog(folder) as log:
            assert (log.next_seq, log.last is not None) == (2, True)
    assert (folder.root / "events.torn").read_bytes() == b"one\nother\n"


def test_nothing_is_written_for_nothing(folder: TaskFolder) -> None:
    with TaskLog(folder) as log:
        log.write_all([])
        assert (log.next_seq, log.progress) == (1, 0.0)
        log(envelope(1, progress=0.5))
        assert (log.next_seq, log.progress) == (2, 0.5)


def test_a_log_that_cannot_be_opened_is_given_back(folder: TaskFolder) -> None:
    folder.root.mkdir()
    os.mkfifo(folder.events)
    before = open_files()
    for _ in range(3):
        with pytest.raises(SetupError, match="not a regular file"), TaskLog(folder):
            pass
    assert not is_held(folder.lock)
    assert open_files() == before


def test_a_closed_log_leaves_nothing_open_and_all_on_the_disk(folder: TaskFolder) -> None:
    synced: list[int] = []
    before, threads = open_files(), threading.active_count()
    for seq in (1, 2):
        with TaskLog(folder, sync=synced.append, sync_seconds=60) as log:
            log(envelope(seq))
            assert not synced[seq - 1 :]
            folder.cancellable.touch()
        assert len(synced) == seq
    with TaskLog(folder):
        assert not folder.cancellable.exists()
    assert (open_files(), threading.active_count()) == (before, threads)


def test_a_new_log_is_known_to_its_folder(
    folder: TaskFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after the first event must not lose the file's name."""
    synced: list[int] = []
    real = os.fsync

    def sync(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fsync", sync)
    for _ in range(2):
        with TaskLog(folder, sync=lambda _: None):
            pass
    assert synced == [folder.root.stat().st_ino]


def test_a_disk_that_takes_a_part_is_asked_for_the_rest(
    folder: TaskFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with TaskLog(folder) as log:
        monkeypatch.setattr(os, "write", lambda fd, block: write(fd, block[:50]))
        log(envelope(1))
        monkeypatch.undo()
    assert list(iter_events(folder.events)) == [envelope(1)]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(5, "Input/output error"), "/x cannot be written: Input/output error."),
        (OSError("odd"), "/x cannot be written: odd."),
        (OSError(28, "No space left"), "The disk is full: /x cannot be written."),
    ],
)
def test_what_the_disk_says_is_said(error: OSError, message: str) -> None:
    assert write_error(Path("/x"), error).args == (message,)


def test_who_writes_without_a_name_is_somebody(folder: TaskFolder) -> None:
    with TaskLog(folder):
        folder.lock.write_text("")
        with pytest.raises(InputError, match=r"by another process \(\?\)"), TaskLog(folder):
            pass


# --- torn tails


def test_a_tail_torn_at_any_byte_is_put_aside_and_the_log_goes_on(
    folder: TaskFolder,
) -> None:
    events = written(folder, envelope(1), envelope(2), envelope(3, message="終"))
    whole = folder.events.read_bytes()
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(start, len(whole)):
        folder.events.write_bytes(whole[:cut])
        (folder.root / "events.torn").unlink(missing_ok=True)
        assert list(iter_events(folder.events)) == events[:2]
        assert summary_of(folder).last == events[1]
        with TaskLog(folder) as log:
            assert log.next_seq == 3
            log(events[2])
        assert list(iter_events(folder.events)) == events
        torn = folder.root / "events.torn"
        assert (torn.read_bytes() if torn.exists() else b"\n") == whole[start:cut] + b"\n"


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"\0" * 4096, id="zeros"),
        pytest.param(b"\0" * 300_000, id="many zeros"),
        pytest.param(b"\xff\xfe{[\n\n\n", id="lines that are no events"),
        pytest.param(b'{"v":1}\n' * 3, id="JSON that is no event"),
        pytest.param(b"x" * 70_000 + b"\n" + b"y" * 70_000, id="long lines"),
    ],
)
def test_garbage_behind_the_last_event_is_put_aside(folder: TaskFolder, garbage: bytes) -> None:
    """After a power loss the tail may hold anything."""
    events = written(folder, envelope(1), envelope(2))
    with folder.events.open("ab") as file:
        file.write(garbage)
    assert list(iter_events(folder.events)) == events
    assert summary_of(folder).last == events[1]
    with TaskLog(folder) as log:
        assert (log.next_seq, log.last) == (3, events[1])
    assert (folder.root / "events.torn").read_bytes() == garbage + b"\n"


def test_a_log_of_nothing_but_garbage_begins_anew(folder: TaskFolder) -> None:
    folder.root.mkdir(parents=True)
    folder.events.write_bytes(b"\0" * 1000)
    with TaskLog(folder) as log:
        assert (log.next_seq, log.last, log.progress) == (1, None, 0.0)
    assert folder.events.read_bytes() == b""


def test_the_progress_of_a_failed_run_is_the_highest_it_had(folder: TaskFolder) -> None:
    written(folder, envelope(1, progress=40.0), envelope(2, "error", progress=-1.0))
    with TaskLog(folder) as log:
        assert log.progress == 40.0


# --- kills and full disks

WRITER = """
import sys
from pathlib import Path
from typing import Any
from vidgen.events import Envelope
from vidgen.paths import TaskFolder
from vidgen.progress.store.log import TaskLog, line_of, write_error

with TaskLog(TaskFolder(Path(sys.argv[1]))) as log:
    while True:
        seq = log.next_seq
        kind = "stage_update" if seq % 50 == 0 else "log"
        data = {"stage": "rendering", "progress": 1.0, "message": "x" * (seq % 7 * 1000)}
        log(Envelope("t", seq, kind, "2026-11-20T12:00:00.000Z", data))
        sys.stdout.write(f"{seq}\\n")
        sys.stdout.flush()
"""


@pytest.mark.slow
def test_twenty_kills_at_random_moments_lose_no_acknowledged_event(folder: TaskFolder) -> None:
    import random

    rng = random.Random(5)
    for _ in range(20):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder.root)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline()]  # it has begun
        time.sleep(rng.uniform(0.0, 0.05))
        writer.send_signal(signal.SIGKILL)
        acknowledged += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        last = int(acknowledged[-1] if acknowledged[-1].endswith("\n") else acknowledged[-2])
        seqs = [event.seq for event in iter_events(folder.events)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) >= last
        assert not is_running(folder)


FILLER = """
import resource, signal, sys
from pathlib import Path
from typing import Any
from vidgen.errors import VidgenError
from vidgen.events import Envelope
from vidgen.paths import TaskFolder
from vidgen.progress.store.log import TaskLog, line_of, write_error

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with TaskLog(TaskFolder(Path(sys.argv[1]))) as log:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        for seq in range(1, 1000):
            data = {"stage": "rendering", "progress": 1.0, "message": "x" * 300}
            log(Envelope("t", seq, "log", "2026-11-20T12:00:00.000Z", data))
    except VidgenError as error:
        print(error.code, error.exit_code, seq, log.next_seq)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no RLIMIT_FSIZE")
def test_a_full_disk_is_told_and_leaves_whole_events(folder: TaskFolder) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILLER, str(folder.root)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    code, exit_code, seq, next_seq = done.stdout.split()
    assert (code, exit_code) == ("history.disk_full", "3")
    assert int(seq) == int(next_seq) > 10
    assert [event.seq for event in iter_events(folder.events)] == list(range(1, int(seq)))
    assert folder.events.read_bytes().endswith(b"\n")


def test_a_folder_that_cannot_be_made_is_told(home: Home) -> None:
    home.tasks.joinpath("file").write_text("in the way")
    with pytest.raises(SetupError) as caught, TaskLog(TaskFolder(home.tasks / "file" / "task")):
        pass
    assert caught.value.code == "history.not_writable"


def test_ctrl_c_between_the_write_and_its_noting_is_survived(
    folder: TaskFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def struck(fd: int, block: bytes) -> int:
        write(fd, block)
        raise KeyboardInterrupt

    with TaskLog(folder) as log:
        emit = Broadcast("t", log=log)
        emit(Log("INFO", "stage.queued"))
        monkeypatch.setattr(os, "write", struck)
        with pytest.raises(KeyboardInterrupt):
            emit(Log("INFO", "stage.queued"))
        monkeypatch.undo()
        emit(Log("INFO", "stage.queued"))
    assert [event.seq for event in iter_events(folder.events)] == [1, 2, 3]
