"""Runs are found by the beginning of their names, listed, followed and told in short."""

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.disk import open_files
from tests.support.logs import envelope, summary_of, written
from vidgen.errors import InputError
from vidgen.events import Envelope
from vidgen.paths import JOB_FILE, Home, TaskFolder
from vidgen.progress.store import runs
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.reader import follow
from vidgen.progress.store.runs import (
    HEAD_BYTES,
    TAIL_BYTES,
    find_film,
    find_run,
    is_task_id,
    list_runs,
    order_title,
    title,
)


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
        ({"inputs": {"photo": {"path": "-"}, "voice": {"path": "/dev/fd/63"}}}, "stdin + pipe"),
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


def test_at_most_five_of_several_are_named(home: Home) -> None:
    for count, names in ((5, "a0, a1, a2, a3, a4"), (6, "a0, a1, a2, a3, a4 ...")):
        for number in range(count):
            home.task(f"a{number}").root.mkdir(exist_ok=True)
        with pytest.raises(InputError) as caught:
            find_run(home, "a")
        assert caught.value.message == f"{count} runs begin with a: {names}."


def test_the_film_of_a_run_is_found_or_what_became_of_it_is_said(
    home: Home, tmp_path: Path
) -> None:
    def refusal(folder: TaskFolder) -> tuple[str, object]:
        with pytest.raises(InputError) as caught:
            find_film(folder)
        return caught.value.code, caught.value.details["task"]

    film, folder = tmp_path / "film.mp4", home.task("0123456789")
    assert refusal(folder) == ("history.no_film", "01234567")
    written(folder, envelope(1))
    assert refusal(folder) == ("history.no_film", "01234567")
    written(folder, envelope(2, "complete", video_path=str(film)))
    assert refusal(folder) == ("history.film_gone", "01234567")
    film.touch()
    assert find_film(folder) == film


@pytest.mark.parametrize(
    ("name", "is_good"),
    [("a", True), ("0f-.x_Y", True), ("a" * 128, True), ("a" * 129, False), ("last", False),
     ("lasts", True), ("", False), (".a", False), ("a.", False), ("a/b", False), ("é", False)],
)  # fmt: skip
def test_which_names_a_run_can_have(name: str, *, is_good: bool) -> None:
    assert is_task_id(name) is is_good


def test_an_order_is_called_by_its_inputs(folder: TaskFolder) -> None:
    assert order_title(folder) == ""
    folder.root.mkdir()
    order = folder.root / JOB_FILE
    for content, name in (
        (b'{"photo":"/a/ann.jpg","voice":"/b/hello.wav"}', "ann.jpg + hello.wav"),
        (b'{"photo":"/a/ann.jpg"}', ""), (b"{", ""), (b"[]", ""),
    ):  # fmt: skip
        order.write_bytes(content)
        assert order_title(folder) == name


def test_where_a_run_stands_is_read_without_its_events_between(folder: TaskFolder) -> None:
    written(folder, *(envelope(seq, message="m" * 700) for seq in range(1, 30)))
    found, before = summary_of(folder), open_files()
    assert (found.began, found.last.seq) == (envelope(1).timestamp, 29)
    assert summary_of(folder).stage == "rendering"
    assert open_files() == before
    folder.events.write_bytes(b'{"v":1}\n' + envelope(30).to_wire() + b"\n")
    assert summary_of(folder).began == envelope(30).timestamp


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
