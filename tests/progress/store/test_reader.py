"""Logs read from their ends, followed, paced and without their snapshots."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.disk import open_files
from vidgen.errors import InputError
from vidgen.events import Envelope
from vidgen.paths import Home, TaskFolder
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.reader import (
    bytes_between,
    check_speed,
    follow,
    is_running,
    iter_events,
    last_whole,
    pace,
    percent,
    skip_snapshots,
)


def event(seq: int, event_type: str = "log", second: float = 0.0, size: int = 0) -> Envelope:
    stamp = f"2026-11-20T12:{int(second) // 60:02}:{second % 60:06.3f}Z"
    return Envelope("t", seq, event_type, stamp, {"progress": 1.0, "message": "m" * size})


@pytest.fixture
def folder(home: Home) -> TaskFolder:
    folder = home.task("11112222-0000-4000-8000-000000000000")
    folder.root.mkdir()
    return folder


def line(one: Envelope) -> bytes:
    return one.to_wire() + b"\n"


@pytest.mark.parametrize(("ago", "is_live"), [(0, True), (3590, True), (3610, False)])
def test_a_job_between_two_commands_lives_for_an_hour(
    folder: TaskFolder, ago: float, *, is_live: bool
) -> None:
    assert not is_running(folder)
    folder.between.touch()
    os.utime(folder.between, (0, time.time() - ago))
    assert is_running(folder) is is_live


@pytest.mark.parametrize(
    ("data", "found"), [({"progress": 40}, 40.0), ({"progress": "x"}, 0.0), ({}, 0.0)]
)
def test_the_percentage_of_an_event(data: dict[str, object], found: float) -> None:
    assert percent(Envelope("t", 1, "log", "", data)) == found


@pytest.mark.parametrize("block", [1, 7, 100, 4096])
@pytest.mark.parametrize("behind", [b"", b"\n", b"\n\n", b"{", b"{}\n", b"\0" * 300, b"x" * 300])
def test_the_last_whole_event_is_found_from_the_end(
    tmp_path: Path, block: int, behind: bytes
) -> None:
    for count in range(4):
        log = tmp_path / f"{count}.jsonl"
        events = [event(seq, size=seq * 90) for seq in range(1, count + 1)]
        whole = b"".join(map(line, events))
        log.write_bytes(whole + behind)
        fd = os.open(log, os.O_RDONLY)
        assert last_whole(fd, block) == ((len(whole), events[-1]) if events else (0, None))
        assert last_whole(fd) == last_whole(fd, block)
        os.close(fd)


def test_a_line_as_long_as_may_be_is_found_between_others(tmp_path: Path) -> None:
    log = tmp_path / "log"
    events = [event(1), event(2, size=65_000), event(3, size=65_000)]
    log.write_bytes(b"".join(map(line, events)) + b"y" * 65_000)
    fd = os.open(log, os.O_RDONLY)
    assert last_whole(fd) == (log.stat().st_size - 65_000, events[-1])
    os.close(fd)


def test_bytes_of_a_file_that_is_shorter_than_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    fd = os.open(tmp_path / "a", os.O_RDONLY)
    parts = [bytes_between(fd, *ends) for ends in ((2, 5), (5, 5), (8, 20), (0, 10))]
    os.close(fd)
    assert parts == [b"234", b"", b"89", b"0123456789"]


def test_events_behind_a_number(folder: TaskFolder) -> None:
    events = [event(seq) for seq in (1, 2, 3)]
    folder.events.write_bytes(b"no event\n" + b"".join(map(line, events)) + b'{"torn')
    assert list(iter_events(folder.events)) == events
    assert list(iter_events(folder.events, 2)) == events[2:]


class Writer:
    """Writes its parts of a log one after the other, whenever the reader sleeps."""

    def __init__(self, folder: TaskFolder, *parts: bytes) -> None:
        self.folder, self.parts = folder, list(parts)
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        with self.folder.events.open("ab") as log:
            log.write(self.parts.pop(0))


def test_a_run_is_followed_to_its_end(folder: TaskFolder) -> None:
    first, second, end = event(1), event(2), event(3, "complete")
    with TaskLog(folder) as log:
        log(first)
        writer = Writer(folder, line(second)[:9], b"", line(second)[9:], line(end))
        assert list(follow(folder, 1, writer)) == [second, end]
    assert writer.slept == [0.05] * 4


def test_what_nobody_writes_is_not_waited_for(folder: TaskFolder) -> None:
    folder.events.write_bytes(line(event(1)) + line(event(2)) + b"torn")
    writer = Writer(folder)
    assert list(follow(folder, 0, writer)) == [event(1), event(2)]
    assert list(follow(folder, 2, writer)) == []
    assert writer.slept == []


def test_snapshots_are_left_out(tmp_path: Path) -> None:
    kinds = ("stage_update", "progress_update", "resource", "log", "complete")
    events = [event(seq, kind) for seq, kind in enumerate(kinds, 1)]
    says = Envelope("t", 9, "log", "", {"message": "x" * 99 + '"event_type":"resource"'})
    log = tmp_path / "log"
    log.write_bytes(b"".join(map(line, [*events, says])) + b"no event\n" + line(event(10))[:-1])
    assert list(skip_snapshots(log)) == [events[0], *events[3:], says]
    assert list(skip_snapshots(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("speed", "pauses"),
    [(1, [1.0, 0.5, 10.0, 10.0]), (2, [0.5, 0.25, 5.0, 5.0]), (0, [])],
)
def test_pauses_are_those_of_the_run(speed: float, pauses: list[float]) -> None:
    seconds = (0, 1, 1, 1.5, 11.5, 500, 400)
    events = [event(seq, second=second) for seq, second in enumerate(seconds, 1)]
    slept: list[float] = []
    assert list(pace(events, speed, slept.append)) == events
    assert slept == pytest.approx(pauses)


@pytest.mark.parametrize("speed", [-0.1, 1000.1, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    for usual in (0, 1000):
        check_speed(usual)
    with pytest.raises(InputError, match="cannot be replayed"):
        check_speed(speed)


@pytest.mark.parametrize("act", [is_running, lambda folder: list(iter_events(folder.events))])
def test_no_descriptor_is_left(folder: TaskFolder, act: Callable[[TaskFolder], object]) -> None:
    folder.events.write_bytes(line(event(1)))
    folder.lock.touch()
    before = open_files()
    for _ in range(3):
        act(folder)
    assert open_files() == before
