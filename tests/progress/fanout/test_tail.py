"""Reading a log while it grows, is torn, cut, replaced or deleted."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.serving import Run
from vidgen.paths import Home, TaskFolder
from vidgen.progress.fanout.inotify import Inotify, Notifier, Polling
from vidgen.progress.fanout.limits import Limits
from vidgen.progress.fanout.tail import Change, Tail, epoch_of


@pytest.fixture
def run(home: Home) -> Run:
    return Run(home)


def seqs(tail: Tail, after: int = 0) -> list[int]:
    places = tail.after(after)
    return [json.loads(line)["seq"] for line in tail.lines(places, 1 << 30)]


def test_events_come_out_as_they_were_written(run: Run) -> None:
    run.write("stage_update", "progress_update", "log")
    tail = Tail(run.folder)
    assert tail.poll() is Change.GREW
    written = run.folder.events.read_bytes().splitlines()
    assert tail.lines(tail.after(0), 1 << 30) == written
    assert tail.epoch == epoch_of(run.id, "2026-11-20T12:00:01.000Z")
    assert (tail.last_seq, tail.count, tail.is_over) == (3, 3, False)


def test_only_what_is_new_is_read(run: Run) -> None:
    tail = Tail(run.folder)
    assert tail.poll() is Change.NOTHING  # no log yet
    run.write("log")
    assert tail.poll() is Change.GREW
    assert tail.poll() is Change.NOTHING
    run.write("log", count=2)
    assert tail.poll() is Change.GREW
    assert seqs(tail, after=1) == [2, 3]
    assert seqs(tail, after=3) == []


def test_a_torn_last_line_waits_for_its_end(run: Run) -> None:
    run.write("log")
    line = run.line(2, "complete")
    run.raw(line[:40])
    tail = Tail(run.folder)
    tail.poll()
    assert (tail.last_seq, tail.is_over) == (1, False)
    run.raw(line[40:])
    assert tail.poll() is Change.GREW
    assert (tail.last_seq, tail.is_over) == (2, True)


def test_a_torn_tail_moved_aside_is_no_other_log(run: Run) -> None:
    run.write("log", count=2)
    tail = Tail(run.folder)
    tail.poll()
    whole = run.folder.events.stat().st_size
    run.raw(b'{"garbage": tru\n\0\0\0\n')
    assert tail.poll() is Change.NOTHING
    with run.folder.events.open("r+b") as file:
        file.truncate(whole)
    run.write("log")
    assert tail.poll() is Change.GREW
    assert seqs(tail) == [1, 2, 3]


def test_broken_lines_and_repeated_numbers_are_passed_over(run: Run) -> None:
    run.write("log", count=2)
    run.raw(b"garbage\n" + run.line(2, "log") + b'{"seq":"x"}\n[1,2]\n\n' + run.line(5, "log"))
    tail = Tail(run.folder)
    tail.poll()
    assert seqs(tail) == [1, 2, 5]
    assert seqs(tail, after=2) == [5]
    assert seqs(tail, after=4) == [5]


def test_a_cut_log_is_another_log(run: Run) -> None:
    run.write("log", count=5)
    tail = Tail(run.folder)
    tail.poll()
    run.folder.events.write_bytes(run.line(1, "log"))
    assert tail.poll() is Change.REPLACED
    assert seqs(tail) == [1]


def test_a_replaced_log_has_another_epoch(run: Run) -> None:
    run.write("log", count=5)
    tail = Tail(run.folder)
    tail.poll()
    first = tail.epoch
    run.folder.events.unlink()
    run.seq = 60
    run.write("log", count=9)
    assert tail.poll() is Change.REPLACED
    assert tail.epoch != first
    assert tail.snapshot.began == "2026-11-20T12:01:01.000Z"
    assert seqs(tail) == list(range(61, 70))


def test_a_deleted_task_is_gone(run: Run) -> None:
    run.write("log")
    tail = Tail(run.folder)
    tail.poll()
    shutil.rmtree(run.folder.root)
    assert tail.poll() is Change.GONE


def test_a_long_log_is_read_in_pieces(run: Run) -> None:
    run.write("log", count=100)
    tail = Tail(run.folder, 4096)
    readings = 1
    while tail.poll() is Change.MORE:
        readings += 1
    assert seqs(tail) == list(range(1, 101))
    assert readings > 4


def test_a_line_without_an_end_is_passed_over(run: Run) -> None:
    run.write("log")
    run.raw(b"x" * 10_000 + b"\n")
    run.write("log")
    tail = Tail(run.folder, 4096)
    while tail.poll() is Change.MORE:
        pass
    assert seqs(tail) == [1, 2]


def test_stale_snapshots_are_left_out_and_nothing_else(run: Run) -> None:
    run.write("stage_update", "progress_update", "resource", "log", "progress_update")
    run.write("resource", "preview", "progress_update", "complete")
    tail = Tail(run.folder)
    tail.poll()
    kept = tail.without_stale(tail.after(0))
    assert [tail.seq(place) for place in kept] == [1, 4, 6, 7, 8, 9]
    assert [tail.seq(place) for place in tail.logs(0)] == [4]


def test_a_resumed_run_goes_on_behind_its_end(run: Run) -> None:
    run.write("log", "cancelled", "log", "complete")
    tail = Tail(run.folder)
    tail.poll()
    assert (tail.resumed_after, tail.is_over) == (2, True)


def test_a_clock_that_goes_back_changes_nothing(run: Run) -> None:
    late = run.line(1, "log").replace(b"2026-11-20", b"2031-01-01")
    run.raw(late + run.line(2, "log"))
    tail = Tail(run.folder)
    tail.poll()
    assert seqs(tail) == [1, 2]


@given(
    places=st.lists(st.integers(0, 59), unique=True, min_size=1).map(sorted),
    most=st.integers(1, 9000),
)
def test_lines_gives_the_first_ones_that_fit(
    tmp_path_factory: pytest.TempPathFactory, places: list[int], most: int
) -> None:
    tail = _tail_of_60(tmp_path_factory.getbasetemp())
    lines = tail.lines(places, most)
    assert [json.loads(line)["seq"] - 1 for line in lines] == places[: len(lines)]
    assert lines
    assert len(lines) == 1 or sum(map(len, lines)) <= most
    if len(lines) < len(places):
        assert sum(map(len, lines)) + tail.size(places[len(lines) : len(lines) + 1]) > most
    tail.close()


def _tail_of_60(folder: Path) -> Tail:
    home = Home(folder / "sixty")
    task = home.task("550e8400-e29b-41d4-a716-446655440000")
    if not task.events.exists():
        run = Run(home, task.task_id)
        for number in range(60):
            run.write("log", text="x" * (number * 7))
        run.end()
    tail = Tail(TaskFolder(task.root))
    tail.poll()
    return tail


@pytest.mark.parametrize("kind", [Inotify, Polling])
def test_a_change_is_noticed(run: Run, kind: type[Inotify] | type[Polling]) -> None:
    if kind is Inotify:
        pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")

    async def scenario() -> list[str]:
        heard: list[str] = []
        notifier: Notifier = kind(asyncio.get_running_loop())
        stop = notifier.listen(run.folder.root, lambda: heard.append("x"))
        run.write("log")
        await asyncio.sleep(0.2)
        assert heard
        stop()
        heard.clear()
        run.write("log")
        await asyncio.sleep(0.2)
        notifier.close()
        return heard

    assert asyncio.run(scenario()) == []


@pytest.mark.parametrize("kind", [Inotify, Polling])
def test_a_folder_that_is_not_there_cannot_be_listened_to(
    home: Home, kind: type[Inotify] | type[Polling]
) -> None:
    if kind is Inotify:
        pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")

    async def scenario() -> None:
        notifier = kind(asyncio.get_running_loop())
        try:
            with pytest.raises(OSError, match="No such file"):
                notifier.listen(home.tasks / "nothing", lambda: None)
        finally:
            notifier.close()

    asyncio.run(scenario())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors of /proc")
def test_a_deleted_log_leaves_no_descriptor(home: Home) -> None:
    def count() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    written = [Run(home) for _ in range(20)]
    before = count()
    for run in written:
        run.write("stage_update", "log")
        tail = Tail(run.folder)
        assert tail.poll() is Change.GREW
        shutil.rmtree(run.folder.root)
        tail.poll()
        run.folder.root.mkdir()  # another log of the same name
        tail.poll()
        tail.close()
    assert count() <= before


def test_a_watcher_hears_a_heartbeat_every_fifteen_seconds() -> None:
    assert Limits().heartbeat_seconds == 15  # proxies cut a line that is silent for longer
