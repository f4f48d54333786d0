"""Many films: none twice, none lost, one account of all."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest

from tests.support.batch import Listener, forecast, job, run_jobs
from tests.support.serving import wait_until
from vidgen.batch import Rules, part_of, plan_films, say_how_to_go_on
from vidgen.engines.local import Place
from vidgen.errors import Cancelled
from vidgen.paths import Home
from vidgen.progress.store.runs import list_runs

CUTS = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")


def begun(folder: Path, name: str) -> list[list[str]]:
    """What the maker noted of each begin: place, process, GPUs seen, slot."""
    return [line.split() for line in (folder / f"{name}.begun").read_text().splitlines()]


def test_every_film_is_made_once_and_a_second_batch_makes_none(home: Home, tmp_path: Path) -> None:
    jobs = [job(tmp_path, name, line=n) for n, name in enumerate("abc", 1)]
    first = run_jobs(home, jobs, results=tmp_path / "r.jsonl")
    assert [(film.state, film.attempts) for film in first.films] == [("complete", 1)] * 3
    assert first.exit_code == 0
    second = run_jobs(home, jobs, results=tmp_path / "r.jsonl")
    assert [film.state for film in second.films] == ["skipped"] * 3
    assert [len(begun(tmp_path, name)) for name in "abc"] == [1, 1, 1]
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [(row["line"], row["state"], row["video"]) for row in rows] == [
        (n, "skipped", str(tmp_path / f"{name}.mp4")) for n, name in enumerate("abc", 1)
    ]
    assert len(list_runs(home)) == 3


def test_one_worker_makes_all_films(home: Home, tmp_path: Path) -> None:
    run_jobs(home, [job(tmp_path, name) for name in "abc"])
    assert len({begun(tmp_path, name)[0][1] for name in "abc"}) == 1


def test_other_options_make_another_film(home: Home, tmp_path: Path) -> None:
    run_jobs(home, [job(tmp_path, "a")])
    planned = plan_films(home, [job(tmp_path, "a"), job(tmp_path, "a", "sleep 0")])
    assert [film.action for film in planned] == ["skip", "make"]


def test_a_film_that_was_deleted_is_made_again(home: Home, tmp_path: Path) -> None:
    run_jobs(home, [job(tmp_path, "a")])
    (tmp_path / "a.mp4").unlink()
    assert [film.state for film in run_jobs(home, [job(tmp_path, "a")]).films] == ["complete"]
    assert len(list_runs(home)) == 2


def test_a_failure_is_told_and_the_others_are_made(home: Home, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a"), job(tmp_path, "b", "fail", 2), job(tmp_path, "c", line=3)]
    result = run_jobs(home, jobs)
    assert [film.state for film in result.films] == ["complete", "failed", "complete"]
    told = result.films[1]
    assert (told.error_code, told.message) == ("detect.no_face", "No face was found.")
    assert (result.failed, result.exit_code) == (1, 6)


def test_a_failed_film_is_tried_again_by_the_next_batch(home: Home, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a", "retry 1")]
    assert run_jobs(home, jobs).exit_code == 6
    assert plan_films(home, jobs)[0].action == "resume"
    assert run_jobs(home, jobs).exit_code == 0


def test_fail_fast_ends_all(home: Home, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a", "fail"), job(tmp_path, "b", line=2)]
    result = run_jobs(home, jobs, rules=Rules(fail_fast=True))
    assert [film.state for film in result.films] == ["failed", "waiting"]
    assert result.exit_code == 6


def test_fail_fast_cancels_what_is_under_way(home: Home, tmp_path: Path) -> None:
    """The first is being drawn when the second fails beside it."""
    jobs = [job(tmp_path, "a", "draw nothing"), job(tmp_path, "b", "fail", 2), job(tmp_path, "c")]
    file, view = tmp_path / "results.jsonl", Listener()
    result = run_jobs(
        home, jobs, places=[Place("1", overlaps=True)], rules=Rules(fail_fast=True), results=file,
        view=view,
    )  # fmt: skip
    assert [film.state for film in result.films] == ["cancelled", "failed", "waiting"]
    rows = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert [(row["video"], row["state"]) for row in rows] == [("", "failed"), ("", "cancelled")]
    assert sorted(run.state for run in list_runs(home)) == ["cancelled", "failed"]
    assert view.heard[-2:] == ["failed b.mp4", "cancelled a.mp4"]


@pytest.mark.parametrize(("retry", "state"), [(1, "failed"), (2, "complete")])
def test_what_may_go_better_is_tried_again(
    home: Home, tmp_path: Path, retry: int, state: str
) -> None:
    view = Listener()
    result = run_jobs(home, [job(tmp_path, "a", "retry 2")], rules=Rules(retry=retry), view=view)
    assert result.films[0].state == state
    assert view.heard.count("again a.mp4") == retry


@CUTS
def test_a_worker_that_dies_costs_its_film_nothing_but_time(home: Home, tmp_path: Path) -> None:
    view = Listener()
    jobs = [job(tmp_path, "a", "die 2"), job(tmp_path, "b", line=2)]
    result = run_jobs(home, jobs, view=view)
    assert [film.state for film in result.films] == ["complete", "complete"]
    assert view.heard.count("lost a.mp4") == 2
    assert len({row[1] for row in begun(tmp_path, "a")}) == 3


@CUTS
def test_a_film_that_kills_every_worker_fails_alone(home: Home, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a", "die 99"), job(tmp_path, "b", line=2)]
    result = run_jobs(home, jobs)
    assert [film.state for film in result.films] == ["failed", "complete"]
    assert result.films[0].error_code == "batch.worker_lost"


@CUTS
def test_kills_lose_no_film_and_make_none_twice(home: Home, tmp_path: Path) -> None:
    jobs = [job(tmp_path, f"f{n}", f"die {n % 3}", n) for n in range(9)]
    places = [Place("1"), Place("2")]
    result = run_jobs(home, jobs, places=places)
    assert Counter(film.state for film in result.films) == {"complete": 9}
    assert [len(begun(tmp_path, f"f{n}")) for n in range(9)] == [1 + n % 3 for n in range(9)]
    assert len(list_runs(home)) == 9


def test_each_device_has_a_worker_that_sees_only_it(home: Home, tmp_path: Path) -> None:
    gpus = [
        Place(f"cuda:{n}", "cuda:0", f"cuda:{n}", environment={"CUDA_VISIBLE_DEVICES": f"GPU-{n}"})
        for n in (0, 1)
    ]
    jobs = [job(tmp_path, f"f{n}", "sleep 0.3", n) for n in range(6)]
    run_jobs(home, jobs, places=gpus)
    rows = [begun(tmp_path, f"f{n}")[0] for n in range(6)]
    assert {(row[0], row[2], row[3]) for row in rows} == {
        ("cuda:0", "GPU-0", "cuda:0"),
        ("cuda:1", "GPU-1", "cuda:1"),
    }


def test_the_next_film_begins_while_one_is_drawn(home: Home, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a", "draw b"), job(tmp_path, "b", "draw c"), job(tmp_path, "c", line=3)]
    result = run_jobs(home, jobs, places=[Place("1", overlaps=True)])
    assert [film.state for film in result.films] == ["complete"] * 3
    workers = [begun(tmp_path, name)[0][1] for name in "abc"]
    assert len(set(workers)) == 2  # the third has the first one's
    assert workers[0] == workers[2]


@pytest.mark.parametrize(("words", "overlaps"), [("gpu", True), ("", False)])
def test_on_a_gpu_no_film_begins_beside_another(
    home: Home, tmp_path: Path, words: str, *, overlaps: bool
) -> None:
    view = Listener()
    jobs = [job(tmp_path, "a", words), job(tmp_path, "b", words, line=2)]
    run_jobs(home, jobs, places=[Place("1", overlaps=overlaps)], view=view)
    assert view.heard == ["began a.mp4", "complete a.mp4", "began b.mp4", "complete b.mp4"]


@CUTS
def test_a_worker_that_dies_beside_another_costs_no_film(home: Home, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a", "draw b"), job(tmp_path, "b", "die 2"), job(tmp_path, "c", line=3)]
    result = run_jobs(home, jobs, places=[Place("1", overlaps=True)])
    assert [film.state for film in result.films] == ["complete"] * 3
    assert [len(begun(tmp_path, name)) for name in "abc"] == [1, 3, 1]


def test_parts_are_every_nth_film(home: Home, tmp_path: Path) -> None:
    films = plan_films(home, [job(tmp_path, f"f{n}") for n in range(7)])
    parts = [part_of(films, (index, 3)) for index in (1, 2, 3)]
    assert [[film.job.title for film in part] for part in parts] == [
        ["f0.mp4", "f3.mp4", "f6.mp4"],
        ["f1.mp4", "f4.mp4"],
        ["f2.mp4", "f5.mp4"],
    ]


def test_the_first_films_foretell_the_rest(home: Home, tmp_path: Path) -> None:
    films = plan_films(home, [job(tmp_path, f"f{n}", line=n) for n in range(5)])
    told = forecast(films, 2)
    ids = [film.task_id for film in films]
    assert told.remaining(ids, {}) is None
    told.end(ids[0], 4.0)
    told.end(ids[1], 4.0)
    assert told.remaining(ids[2:], {}) == pytest.approx(8.0)
    assert told.remaining(ids[3:], {ids[2]: 3.0}) == pytest.approx(5.0)


def test_the_latest_films_tell_most_of_the_rest(home: Home, tmp_path: Path) -> None:
    films = plan_films(home, [job(tmp_path, f"f{n}", line=n) for n in range(9)])
    told, ids = forecast(films), [film.task_id for film in films]
    for task_id in ids[:4]:
        told.end(task_id, 4.0)
    assert told.seconds(ids[8]) == pytest.approx(4.0)
    for task_id in ids[4:7]:  # the machine has become busy
        told.end(task_id, 8.0)
    seconds = told.seconds(ids[8])
    assert seconds is not None
    assert 7.4 < seconds < 8.0


def test_a_cancelled_batch_says_how_to_go_on() -> None:
    with pytest.raises(Cancelled) as caught, say_how_to_go_on(["batch", "my jobs.csv", "--fresh"]):
        raise KeyboardInterrupt
    assert caught.value.hint.endswith("vidgen batch 'my jobs.csv'")


DRIVER = """
import sys
from pathlib import Path
from tests.support.batch import job, run_jobs
from vidgen.paths import Home
from vidgen.signals import graceful_interrupts
with graceful_interrupts():
    run_jobs(Home.default(), [job(Path(sys.argv[1]), "a", "wait")])
"""


def interrupt_batch(folder: Path, number: int) -> None:
    """Send a signal to a batch that is at work, and wait until its worker is gone, too."""
    process = subprocess.Popen([sys.executable, "-c", DRIVER, folder], stderr=subprocess.DEVNULL)
    note = folder / "a.begun"
    wait_until(lambda: note.exists() and bool(note.read_text()), 60)
    process.send_signal(number)
    process.wait(60)
    worker = int(begun(folder, "a")[0][1])
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), 60)


@CUTS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_batch(home: Home, tmp_path: Path, number: int) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("processes are looked up in /proc")
    interrupt_batch(tmp_path, number)
    assert [run.state for run in list_runs(home)] == ["cancelled"]
    assert plan_films(home, [job(tmp_path, "a", "wait")])[0].action == "resume"
