"""A store that this server may only read: it tells all the same who lives, and who has died."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.cli import vidgen
from tests.support.serving import Run, Served, Streamed, listed, served, sse, stream
from vidgen.paths import Home
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.limits import Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux has them")
FILES = {"photo": ("a.jpg", b"x"), "audio": ("a.wav", b"x")}


@pytest.fixture
def mounted(home: Home, tmp_path: Path) -> Iterator[Home]:
    """The same store at another place, where nobody can write."""
    place = tmp_path / "read-only"
    place.mkdir()
    if _mount("--bind", home.root, place):
        pytest.skip("needs the right to mount")
    try:
        assert _mount("-o", "remount,bind,ro", place) == 0
        yield Home(place)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _mount(*arguments: object) -> int:
    return subprocess.run(
        ["mount", *map(str, arguments)], capture_output=True, check=False
    ).returncode


@pytest.fixture
def server(mounted: Home) -> Iterator[Served]:
    with served(mounted, accepts_jobs=True) as server:
        yield server


@pytest.fixture
def living(home: Home) -> Iterator[Run]:
    run = Run(home)
    run.write("stage_update", status="started")
    yield run
    run.end()


@pytest.fixture
def dead(home: Home) -> Run:
    run = Run(home)
    run.write("stage_update", status="started")
    run.end()
    return run


def codes(events: Streamed) -> list[str]:
    """What a stream says until it ends."""
    return [event["data"].get("message_code", "") for _, event in events]


def test_the_list_and_each_run_tell_the_living_from_the_dead(
    server: Served, living: Run, dead: Run
) -> None:
    states = {living.id: "running", dead.id: "interrupted"}
    assert {name: task["state"] for name, task in listed(server).items()} == states
    for name, state in states.items():
        assert httpx.get(f"{server.url}/api/tasks/{name}").json()["state"] == state


def test_a_stream_of_the_dead_ends_and_that_of_the_living_goes_on(
    server: Served, living: Run, dead: Run
) -> None:
    with stream(sse(server, dead)) as events:
        assert codes(events)[-1] == "stage.interrupted"
    with stream(sse(server, living)) as events:
        events.take(1)
        living.write("log")
        living.write("complete")
        assert events.seqs() == [2, 3]


def test_a_run_that_dies_while_it_is_watched_is_noticed(home: Home, mounted: Home) -> None:
    run = Run(home)
    run.write("stage_update", status="started")
    hub = Hub(mounted, Limits(silent_seconds=0.1))
    with served(mounted, hub=hub) as server, stream(sse(server, run)) as events:
        events.take(1)
        run.end()
        assert codes(events)[-1] == "stage.interrupted"


def test_an_order_is_refused_with_a_sentence(server: Served) -> None:
    answer = httpx.post(f"{server.url}/api/video-generation/generate", files=FILES)
    assert answer.status_code in (503, 507), answer.text
    assert answer.json()["error"]["message"]


def test_commands_read_it_too(mounted: Home, living: Run, dead: Run) -> None:
    found = vidgen(mounted, "history", "--json").json
    assert {run["task_id"]: run["state"] for run in found} == {
        living.id: "running",
        dead.id: "interrupted",
    }
