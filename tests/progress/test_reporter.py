"""Any program as a run: what it tells is what watchers see."""

import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.support.serving import served, wait_until
from vidgen.errors import InputError
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.progress.reporter import Reporter, check_id, shares
from vidgen.progress.serve.limits import Drain
from vidgen.progress.serve.subprocess import Subprocess, parse_address, start_subprocess
from vidgen.progress.store.reader import is_running, iter_events
from vidgen.progress.watch.hosts import watch


def told(home: Home, task_id: str) -> list[Envelope]:
    return list(iter_events(home.task(task_id).events))


def test_a_program_is_watched_like_a_run(home: Home) -> None:
    with Reporter({"load": 1, "train": 3}, title="nightly", home=home) as report:
        with report.stage("load", "Loading"):
            report.progress(1, 2, "files")
        with report.stage("train"):
            report.log("The loss is odd", "WARNING")
            report.progress(1, 2, "epochs", "Epoch 1")
        assert report.get_status()["progress"] == 99.0
        assert is_running(home.task(report.task_id))
    events = told(home, report.task_id)
    assert [(e.event_type, e.data["progress"], e.data["message"]) for e in events] == [
        ("stage_update", 0.0, "Loading"),
        ("progress_update", 12.38, "load"),
        ("stage_update", 24.75, "load"),
        ("stage_update", 24.75, "train"),
        ("log", 24.75, "The loss is odd"),
        ("progress_update", 61.88, "Epoch 1"),
        ("stage_update", 99.0, "train"),
        ("complete", 100.0, "Done"),
    ]
    assert report.get_status()["state"] == "complete"
    assert not is_running(home.task(report.task_id))
    with served(home) as server:
        listed = httpx.get(f"{server.url}/api/tasks").json()["tasks"]
        assert [(task["title"], task["state"]) for task in listed] == [("nightly", "complete")]
        assert len(list(watch([server.url], report.task_id))) == len(events)


def test_what_goes_wrong_is_the_last_word(home: Home) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        Reporter(["work"], home=home) as report,
        report.stage("work"),
    ):
        _ = 1 / 0
    last = told(home, report.task_id)[-1]
    assert (last.event_type, last.data["message"]) == (
        "error",
        "ZeroDivisionError: division by zero",
    )
    assert last.data["failed_stage"] == "work"


def test_a_ctrl_c_cancels(home: Home) -> None:
    with pytest.raises(KeyboardInterrupt), Reporter(home=home) as report:
        raise KeyboardInterrupt
    assert told(home, report.task_id)[-1].event_type == "cancelled"


def test_an_end_of_ones_own_is_the_only_end(home: Home) -> None:
    with Reporter(home=home) as report:
        report.error("No disk", code="disk", hint="Buy one")
    ends = [(e.event_type, e.data.get("hint")) for e in told(home, report.task_id)]
    assert ends == [("error", "Buy one")]


def test_an_error_says_all_that_a_watcher_may_ask(home: Home) -> None:
    with Reporter(["work"], home=home) as report:
        report.error(
            "No answer",
            code="upstream",
            is_retryable=True,
            retry_count=2,
            max_retries=3,
            details={"host": "a"},
        )
    data = told(home, report.task_id)[-1].data
    assert (data["message"], data["error"], data["error_code"]) == ("No answer",) * 2 + (
        "upstream",
    )
    assert (data["is_retryable"], data["retry_count"], data["max_retries"]) == (True, 2, 3)
    assert data["details"] == {"host": "a"}
    assert len(data["trace_id"]) == 12


@pytest.mark.parametrize("wrong", ["a/b", "..", ".hidden", "a.", "", " ", "a b", "x" * 129, "last"])
def test_a_wrong_id_is_refused_when_it_is_made(home: Home, wrong: str) -> None:
    with pytest.raises(InputError, match="cannot be the id"):
        check_id(wrong)
    if wrong:
        with pytest.raises(InputError):
            Reporter(task_id=wrong, home=home)
    assert list(home.tasks.iterdir()) == []


def test_a_task_is_completed_once(home: Home) -> None:
    for _ in range(3):
        with contextlib.suppress(InputError), Reporter(home=home, task_id="job_001") as report:
            report.progress(1, 2)
            report.complete()
            report.complete()
    events = told(home, "job_001")
    assert [event.event_type for event in events] == ["progress_update", "complete"]
    with (
        pytest.raises(InputError, match="complete already"),
        Reporter(home=home, task_id="job_001"),
    ):
        pass


def test_a_task_that_failed_is_taken_up_where_it_was(home: Home) -> None:
    with contextlib.suppress(ZeroDivisionError), Reporter(home=home, task_id="1") as report:
        report.progress(1, 2)
        _ = 1 / 0
    with Reporter(home=home, task_id="1") as report:
        assert report.get_status()["reached"] == 49.5
    kinds = [(event.event_type, event.data["progress"]) for event in told(home, "1")]
    assert kinds == [("progress_update", 49.5), ("error", -1.0), ("complete", 100.0)]


def test_several_processes_report_one_task(home: Home) -> None:
    for part in range(3):
        with Reporter((), home=home, task_id="celery-1", is_part=True) as report:
            report.begin("rendering", "Rendering")
            report.progress(part, 4, message=f"Part {part}")
            report.progress(part + 1, 4, message=f"Part {part} is done")
        assert is_running(home.task("celery-1"))
    with Reporter((), home=home, task_id="celery-1") as report:
        report.complete({"video_url": "https://cdn.example/a.mp4", "frames": 9}, "Finished")
    events = told(home, "celery-1")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.event_type for event in events].count("stage_update") == 1
    progress = [event.data["progress"] for event in events]
    assert progress == sorted(progress)
    assert progress[-2:] == [75.0, 100.0]
    last = events[-1].data
    assert (last["video_url"], last["message"]) == ("https://cdn.example/a.mp4", "Finished")
    assert last["result"] == {"video_url": "https://cdn.example/a.mp4", "frames": 9}


def test_a_part_that_was_killed_is_no_longer_running(home: Home) -> None:
    with Reporter((), home=home, task_id="1", is_part=True) as report:
        report.begin("rendering")
    code = (
        "import os\nfrom vidgen.progress.reporter import Reporter\n"
        "with Reporter((), task_id='1', is_part=True) as report:\n"
        "    report.progress(1, 2)\n    os.kill(os.getpid(), 9)\n"
    )
    environment = {"VIDGEN_HOME": str(home.root), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert not is_running(home.task("1"))


def test_a_stage_without_a_share_fills_the_bar_by_itself(home: Home) -> None:
    with Reporter((), home=home) as report:
        report.begin("rendering")
        report.progress(1, 2)
        report.begin("captioning")
        report.progress(6, 10)
        report.end_stage()
    progress = [event.data["progress"] for event in told(home, report.task_id)]
    assert progress == [0.0, 50.0, 50.0, 50.0, 60.0, 60.0, 100.0]


def test_a_program_tells_what_it_uses(home: Home) -> None:
    with Reporter(home=home, resources=0.01) as report:
        wait_until(lambda: report.get_status()["resource"] is not None)
    kinds = {event.event_type for event in told(home, report.task_id)}
    assert "resource" in kinds


def test_weights_share_the_bar() -> None:
    assert shares(["a", "b", "c"]) == {"a": (0.0, 33.0), "b": (33.0, 66.0), "c": (66.0, 99.0)}
    assert shares({"a": 0, "b": 1}) == {"a": (0.0, 0.0), "b": (0.0, 99.0)}
    for wrong in ({}, {"a": 0.0}, {"a": -1.0, "b": 3.0}):
        with pytest.raises(ValueError, match="weights"):
            shares(wrong)


def test_fifteen_lines_of_the_docs_work(home: Home) -> None:
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text("utf-8")
    code = page.partition("<!-- reporter -->\n```python\n")[2].partition("```")[0]
    assert 5 < len(code.splitlines()) <= 15
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"VIDGEN_HOME": str(home.root), "PATH": ""}
    )
    tasks = list(home.tasks.iterdir())
    assert [e.event_type for e in told(home, tasks[0].name)][-1] == "complete"


# The server as a child of a run


def test_a_child_serves_until_its_parent_is_done(home: Home) -> None:
    with Reporter(home=home) as report, start_subprocess(home, "127.0.0.1:0") as child:
        assert child.token == ""
        assert httpx.get(f"{child.url}api/tasks/{report.task_id}").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(child.url)


def test_a_child_ends_when_nobody_watches(home: Home) -> None:
    """At once: `Drain` says how long, below."""
    with start_subprocess(home, "127.0.0.1:0") as child:
        assert child.url
    with pytest.raises(httpx.ConnectError):
        httpx.get(child.url)


def test_a_child_waits_for_whoever_fetches_the_film(home: Home, tmp_path: Path) -> None:
    film = tmp_path / "out.mp4"
    film.write_bytes(bytes(30_000_000))  # far more than the sockets hold
    with (
        contextlib.ExitStack() as late,
        start_subprocess(home, "127.0.0.1:0") as child,
    ):
        with Reporter(home=home) as report:
            report.complete(str(film))
        url = f"{child.url}api/tasks/{report.task_id}/video"
        response = late.enter_context(httpx.stream("GET", url))
        taking = threading.Timer(1.5, lambda: got.append(len(response.read())))
        got: list[int] = []
        taking.start()
        late.callback(taking.join)
    assert got == [30_000_000]


def test_how_long_a_server_waits() -> None:
    now = 100.0
    visits = Drain(clock=lambda: now)

    def waited() -> float:
        nonlocal now
        began = now

        def sleep(seconds: float) -> None:
            nonlocal now
            now += seconds

        visits.await_end(sleep)
        return round(now - began)

    assert waited() == 0
    visits.touch()
    assert waited() == 1
    with visits.fetching():
        visits.touch()
        assert waited() == 8
    now += 10
    assert waited() == 0


def test_a_child_has_the_token_it_was_given(home: Home) -> None:
    token = "a-token-of-enough-letters-for-a-test"
    with start_subprocess(home, "127.0.0.1:0", token) as child:
        assert child == Subprocess(child.url, "")  # whoever gave it knows it
        assert httpx.get(f"{child.url}api/tasks").status_code == 401
        key = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{child.url}api/tasks", headers=key).status_code == 200


def test_a_child_beyond_loopback_makes_a_token(home: Home) -> None:
    with start_subprocess(home, "0.0.0.0:0") as child:
        assert len(child.token) == 43  # 32 bytes


def test_a_port_that_our_own_server_has_is_shared(home: Home) -> None:
    with start_subprocess(home, "127.0.0.1:0") as first:
        with start_subprocess(home, first.url.removeprefix("http://").strip("/")) as second:
            assert second == first
        assert httpx.get(f"{first.url}healthz").status_code == 200  # it outlives who shared it


def test_a_port_that_a_stranger_has_is_said_and_another_taken(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with start_subprocess(home, f"127.0.0.1:{port}") as child:
            assert child.taken == port
            assert httpx.get(f"{child.url}healthz").status_code == 200


def test_a_child_ends_with_a_parent_that_is_killed(home: Home) -> None:
    code = (
        "import sys, os\nfrom pathlib import Path\nfrom vidgen.paths import Home\n"
        "from vidgen.progress.serve.subprocess import start_subprocess\n"
        "with start_subprocess(Home(Path(sys.argv[1])), '127.0.0.1:0') as child:\n"
        "    print(child.url, flush=True)\n    os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", code, str(home.root)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    url = run.stdout.strip()
    assert url.startswith("http://127.0.0.1:")
    from tests.support.serving import wait_until

    def is_gone() -> bool:
        try:
            httpx.get(url)
        except httpx.HTTPError:
            return True
        return False

    wait_until(is_gone)


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("", ("127.0.0.1", 55433)),
        ("0.0.0.0", ("0.0.0.0", 55433)),
        (":80", ("127.0.0.1", 80)),
        ("box:81", ("box", 81)),
        ("[::1]:82", ("::1", 82)),
        ("::1", ("::1", 55433)),
        ("[::]", ("::", 55433)),
    ],
)
def test_addresses(address: str, parsed: tuple[str, int]) -> None:
    assert parse_address(address) == parsed


def test_a_wrong_address_is_refused() -> None:
    from vidgen.errors import InputError

    with pytest.raises(InputError, match="not a host and a port"):
        parse_address("box:http")
