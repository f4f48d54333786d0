"""The log survives kills, torn tails and full disks; runs are found, followed and listed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from vidgen.errors import InputError, SetupError
from vidgen.events import LINE_LIMIT, Envelope, Log
from vidgen.paths import Home, TaskFolder
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.store import runs
from vidgen.progress.store.lock import is_held
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.reader import follow, is_running, iter_events
from vidgen.progress.store.runs import (
    HEAD_BYTES,
    TAIL_BYTES,
    Summary,
    find_run,
    list_runs,
    summarise,
    title,
)


def envelope(
    seq: int, event_type: str = "log", task_id: str = "t", progress: float = 0.0, **data: object
) -> Envelope:
    stamp = f"2026-11-20T12:00:{seq % 60:02}.000Z"
    base = {"stage": "rendering", "progress": progress, "message": "m"}
    return Envelope(task_id, seq, event_type, stamp, base | data)


@pytest.fixture
def folder(home: Home) -> TaskFolder:
    return home.task("11112222-0000-4000-8000-000000000000")


def written(folder: TaskFolder, *events: Envelope) -> list[Envelope]:
    with TaskLog(folder) as log:
        for event in events:
            log(event)
    return list(events)


def summary_of(folder: TaskFolder) -> Summary:
    summary = summarise(folder)
    assert summary is not None
    return summary


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
from vidgen.progress.store.log import TaskLog

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
from vidgen.progress.store.log import TaskLog

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


# --- finding, listing, following


def test_runs_are_listed_newest_first_with_their_state(home: Home) -> None:
    def made(task_id: str, minute: int, event_type: str, **data: object) -> None:
        first = Envelope(
            task_id, 1, "stage_update", f"2026-11-20T12:{minute:02}:00.000Z", {"progress": 0.0}
        )
        written(home.task(task_id), first, envelope(2, event_type, task_id, 50.0, **data))

    made("a", 1, "complete", video_path="/v.mp4")
    made("b", 3, "error", failed_stage="birefnet_removal")
    made("c", 2, "cancelled", cancelled_stage="finalizing")
    made("d", 4, "progress_update")
    home.task("empty").root.mkdir()
    (home.tasks / "a file").write_text("")
    with TaskLog(home.task("e")) as log:
        log(envelope(1, task_id="e"))
        found = [(s.task_id, s.state, s.stage, s.began[11:16]) for s in list_runs(home)]
    assert found == [
        ("d", "interrupted", "rendering", "12:04"),
        ("b", "failed", "birefnet_removal", "12:03"),
        ("c", "cancelled", "finalizing", "12:02"),
        ("a", "complete", "rendering", "12:01"),
        ("e", "running", "rendering", "12:00"),
    ]


def test_an_empty_home_lists_nothing(tmp_path: Path) -> None:
    assert list_runs(Home(tmp_path / "nowhere")) == []


def test_a_run_resumed_after_its_end_is_running_again(folder: TaskFolder) -> None:
    written(folder, envelope(1), envelope(2, "cancelled"))
    with TaskLog(folder) as log:
        log(envelope(3, "stage_update"))
        assert summary_of(folder).state == "running"
    assert summary_of(folder).state == "interrupted"


def test_a_last_event_longer_than_one_look_is_found(folder: TaskFolder) -> None:
    written(folder, envelope(1), envelope(2, metadata={"x": "y" * 50_000}))
    assert summary_of(folder).last.seq == 2


def test_what_was_asked_is_read_and_a_broken_file_is_nothing(folder: TaskFolder) -> None:
    written(folder, envelope(1))
    summary = summary_of(folder)
    assert summary.request() == {}
    folder.request.write_bytes(orjson.dumps({"output": "/v.mp4"}))
    assert summary.request() == {"output": "/v.mp4"}
    folder.request.write_bytes(b"[1")
    assert summary.request() == {}


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({}, ""),
        ({"title": "nightly"}, "nightly"),
        ({"title": "nightly", "inputs": {"photo": {"path": "/a/ann.jpg"}}}, "nightly"),
        ({"inputs": {"photo": {"path": "/a/ann.jpg"}}}, "ann.jpg"),
        ({"inputs": {n: {"path": rf"C:\a\{n}"} for n in ("voice", "photo")}}, "photo + voice"),
        ({"title": "", "inputs": {"photo": 5, "voice": {"path": 5}}}, ""),
        ({"inputs": []}, ""),
    ],
)
def test_a_run_is_called_by_its_title_or_its_inputs(request_: dict[str, Any], name: str) -> None:
    assert title(request_) == name


def test_a_prefix_finds_one_run_and_says_why_it_does_not(home: Home) -> None:
    for name in ("abc1", "abc2", "abc", "xyz"):
        written(home.task(name), envelope(1, task_id=name))
    assert find_run(home, "x") == home.task("xyz")
    assert find_run(home, "abc") == home.task("abc")  # a whole id is never ambiguous
    with pytest.raises(InputError, match="There is no run q"):
        find_run(home, "q")
    with pytest.raises(InputError, match="3 runs begin with ab: abc, abc1, abc2"):
        find_run(home, "ab")
    with pytest.raises(InputError, match="There is no run"):
        find_run(home, "")


def test_last_is_the_newest_run(home: Home) -> None:
    with pytest.raises(InputError):
        find_run(home, "last")
    written(home.task("old"), envelope(1, task_id="old"))
    written(home.task("new"), envelope(2, task_id="new"))
    assert find_run(home, "last") == home.task("new")


def test_following_yields_old_and_new_events_until_the_end(folder: TaskFolder) -> None:
    with TaskLog(folder) as log:
        log(envelope(1))
        log(envelope(2, "cancelled"))  # an old end, behind which the run was taken up
        log(envelope(3))
        upcoming = iter([envelope(4), envelope(5, "complete")])
        found = [e.seq for e in follow(folder, after=1, sleep=lambda _: log(next(upcoming)))]
    assert found == [2, 3, 4, 5]


def test_following_a_dead_run_ends_with_its_last_whole_event(folder: TaskFolder) -> None:
    written(folder, envelope(1), envelope(2))
    with folder.events.open("ab") as file:
        file.write(b'{"v":1,"task')
    assert [event.seq for event in follow(folder)] == [1, 2]


def test_a_run_that_ends_between_two_looks_is_complete(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = home.tasks / "late"
    root.mkdir(parents=True)
    log = root / "events.jsonl"
    log.write_bytes(envelope(1, "stage_update").to_wire() + b"\n")

    def ended(_: object) -> bool:
        with log.open("ab") as file:
            file.write(envelope(2, "complete", progress=100.0).to_wire() + b"\n")
        return False

    monkeypatch.setattr(runs, "is_running", ended)
    (summary,) = list_runs(home)
    assert (summary.state, summary.last.seq) == ("complete", 2)


def test_runs_are_listed_by_the_ends_of_their_logs(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand runs are listed in a third of a second, because little of them is read."""
    lines = [envelope(s, "progress_update").to_wire() + b"\n" for s in range(1, 2000)]
    lines.append(envelope(2000, "complete", progress=100.0).to_wire() + b"\n")
    for number in range(20):
        root = home.tasks / f"{number:08}"
        root.mkdir(parents=True)
        (root / "events.jsonl").write_bytes(b"".join(lines))
    sizes, read, pread = list[int](), os.read, os.pread

    def counted(fd: int, count: int) -> bytes:
        content = read(fd, count)
        sizes.append(len(content))
        return content

    def counted_at(fd: int, count: int, at: int) -> bytes:
        content = pread(fd, count, at)
        sizes.append(len(content))
        return content

    monkeypatch.setattr(os, "read", counted)
    monkeypatch.setattr(os, "pread", counted_at)
    assert [run.state for run in list_runs(home)] == ["complete"] * 20
    assert 0 < sum(sizes) <= 20 * (HEAD_BYTES + TAIL_BYTES)
