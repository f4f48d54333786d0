"""One server with the runs of others: real servers, lines that are cut, sources that go away."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.lines import Line, line_to
from tests.support.serving import Run, Served, listed, served, stream, wait_until
from vidgen.errors import InputError
from vidgen.paths import Home
from vidgen.progress.fanout.tail import epoch_of
from vidgen.progress.sources.address import SourceAddress, parse_sources
from vidgen.progress.sources.source import end_tasks
from vidgen.progress.sources.sources import Sources
from vidgen.progress.watch.client import RunClient
from vidgen.progress.watch.timing import Timing

IMPATIENT = Timing(first_wait=0.02, longest_wait=0.02)
TOKEN = "a-token-of-enough-letters-for-a-test"


@contextlib.contextmanager
def serving_all(home: Home, *urls: str, every: float = 0.1) -> Iterator[Served]:
    """A server of this store and of other servers, more impatient than in earnest."""
    addresses = parse_sources(",".join(urls))
    sources = Sources(home, addresses, timing=IMPATIENT, every=every)
    with served(home, other_machines=sources) as server:
        yield server


def links(server: Served) -> list[str]:
    told = httpx.get(f"{server.url}/api/tasks").json()["sources"]
    return [source["state"] for source in told]


def is_copied(home: Home, run: Run) -> bool:
    """Whether all that the run has told is here, too: it is listed a moment before."""
    copies = home.root.glob(f"sources/*/tasks/{run.id}/events.jsonl")
    return any(copy.read_bytes().count(b"\n") == run.seq for copy in copies)


@contextlib.contextmanager
def serving_cut_off(home: Home, far: Home) -> Iterator[tuple[Run, Line, Served]]:
    """A run with one event of a machine that is away, the line to it, and who shows it here."""
    run = Run(far)
    run.write("log")
    with served(far) as there, line_to(there.port) as line, serving_all(home, line.url) as here:
        wait_until(lambda: run.id in listed(here) and is_copied(home, run))
        turn_off(line)
        wait_until(lambda: links(here) == ["down"])
        yield run, line, here


def test_the_runs_of_all_machines_stand_in_one_list_with_their_host(home: Home, far: Home) -> None:
    own, other = Run(home), Run(far)
    own.write("log")
    other.write("log", "progress_update")
    with served(far) as there, serving_all(home, there.url) as here:
        wait_until(lambda: len(listed(here)) == 2)
        tasks = listed(here)
        snapshot = httpx.get(f"{here.url}/api/tasks/{other.id}").json()
    assert "host" not in tasks[own.id]
    assert tasks[other.id]["host"] == f"127.0.0.1:{there.port}"
    assert tasks[other.id]["is_reachable"]
    assert (tasks[other.id]["state"], tasks[other.id]["last_seq"]) == ("running", 2)
    assert (snapshot["host"], snapshot["last_seq"]) == (f"127.0.0.1:{there.port}", 2)


def test_two_runs_of_one_name_are_two(home: Home, far: Home, tmp_path: Path) -> None:
    """A UUID names one run, wherever it is heard of; `job-1` may be anybody's."""
    third = Home(tmp_path / "third")
    shared = Run(far)
    for run in (Run(home, "job-1"), Run(far, "job-1"), Run(third, "job-1"), shared):
        run.write("log")
    with (
        served(far) as a,
        served(far) as again,
        served(third) as c,
        serving_all(home, a.url, again.url, c.url) as here,
    ):
        wait_until(lambda: links(here) == ["connected"] * 3)
        found = set(listed(here))
        name = f"127-0-0-1-{c.port}.job-1"
        with stream(f"{here.url}/api/sse/progress/{name}") as events:
            (event_id, event), *_ = events.take(1)
    assert found == {
        "job-1",
        shared.id,
        f"127-0-0-1-{a.port}.job-1",
        f"127-0-0-1-{again.port}.job-1",  # the same, but its name does not tell
        name,
    }
    assert (event["task_id"], event["seq"]) == (name, 1)
    assert event_id == f"{epoch_of(name, event['timestamp'])}-1"


def test_nothing_is_lost_or_told_twice_over_twenty_cuts(home: Home, far: Home) -> None:
    run = Run(far)
    run.write("log")
    with served(far) as there, line_to(there.port) as line, serving_all(home, line.url) as here:
        wait_until(lambda: run.id in listed(here))
        with stream(f"{here.url}/api/sse/progress/{run.id}") as events:
            for _ in range(20):
                before = line.count
                run.write("log", "progress_update", count=3)
                line.cut()
                run.write("log", "progress_update", count=2)
                line.wait_for(before + 1)
            run.write("complete")
            seen = list(events)
    assert [event["seq"] for _, event in seen] == list(range(1, run.seq + 1))
    epoch = epoch_of(run.id, seen[0][1]["timestamp"])  # as at home
    assert [event_id for event_id, _ in seen] == [f"{epoch}-{n}" for n in range(1, run.seq + 1)]
    assert line.count > 20


def test_a_watcher_goes_on_at_the_other_server_where_it_was(home: Home, far: Home) -> None:
    run = Run(far)
    run.write("log", count=5)
    with served(far) as there:
        with serving_all(home, there.url) as here:
            wait_until(lambda: run.id in listed(here))
            with stream(f"{here.url}/api/sse/progress/{run.id}") as events:
                last = events.take(5)[-1][0]
        run.write("log", "complete")
        with (
            serving_all(home, there.url) as anew,  # asked before it can know the run
            stream(f"{anew.url}/api/sse/progress/{run.id}", {"Last-Event-ID": last}) as events,
        ):
            assert events.seqs() == [6, 7]


def test_a_source_that_is_down_is_shown_as_such_and_taken_up_again(home: Home, far: Home) -> None:
    with serving_cut_off(home, far) as (run, line, here):
        assert not listed(here)[run.id]["is_reachable"]
        assert listed(here)[run.id]["state"] == "running"  # nobody knows better
        unknown = httpx.get(f"{here.url}/api/tasks/00000000-0000-4000-8000-000000000000")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (503, "source_down")
        assert httpx.get(f"{here.url}/api/tasks/{run.id}").json()["last_seq"] == 1
        run.write("log", "complete")
        line.is_dead = False
        wait_until(lambda: listed(here)[run.id]["state"] == "complete")
        wait_until(lambda: listed(here)[run.id]["is_reachable"])
        unknown = httpx.get(f"{here.url}/api/tasks/00000000-0000-4000-8000-000000000000")
        assert unknown.status_code == 404


def turn_off(line: Line) -> None:
    line.is_dead = True
    line.cut()


def test_films_and_pictures_come_through_with_ranges(home: Home, far: Home, tmp_path: Path) -> None:
    run, film = Run(far), tmp_path / "out.mp4"
    (run.folder.previews / "cutout.png").write_bytes(b"\x89PNG" + bytes(100))
    film.write_bytes(bytes(range(256)) * 1000)
    run.write("preview", "complete", video_path=str(film))
    with served(far) as there, serving_all(home, there.url) as here:
        wait_until(lambda: run.id in listed(here))
        base = f"{here.url}/api/tasks/{run.id}"
        whole = httpx.get(f"{base}/video")
        part = httpx.get(f"{base}/video", headers={"Range": "bytes=256-259"})
        beyond = httpx.get(f"{base}/video", headers={"Range": "bytes=999999999-"})
        picture = httpx.get(f"{base}/previews/cutout")
        nothing = httpx.get(f"{base}/previews/nothing")
    assert (whole.status_code, whole.content) == (200, film.read_bytes())
    assert (part.status_code, part.content) == (206, bytes([0, 1, 2, 3]))
    assert part.headers["content-range"] == "bytes 256-259/256000"
    assert part.headers["content-type"] == "video/mp4"
    assert beyond.status_code == 416
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert nothing.status_code == 404


def test_another_log_in_the_place_begins_anew(home: Home, far: Home) -> None:
    run = Run(far)
    run.write("log", count=3)
    with served(far) as there, serving_all(home, there.url) as here:
        wait_until(lambda: run.id in listed(here))
        with stream(f"{here.url}/api/sse/progress/{run.id}") as events:
            events.take(3)
            fresh = run.folder.root / "new"
            line = run.line(1, "complete").replace(b"2026-11-20", b"2026-11-21")
            fresh.write_bytes(line)
            fresh.replace(run.folder.events)
            (_, reset), *_ = events.take(1)
    assert (reset["event_type"], reset["data"]["state"]) == ("reset", "complete")
    assert reset["data"]["began"].startswith("2026-11-21")


def test_a_run_that_is_deleted_or_left_is_so_here_too(home: Home, far: Home) -> None:
    left, deleted = Run(far), Run(far)
    for run in (left, deleted):
        run.write("log")
    with served(far) as there, serving_all(home, there.url) as here:
        wait_until(lambda: len(listed(here)) == 2)
        left.end()
        with stream(f"{here.url}/api/sse/progress/{deleted.id}") as events:
            events.take(1)
            for file in sorted(deleted.folder.root.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            deleted.folder.root.rmdir()
            (_, gone), *_ = events.take(1)
        wait_until(lambda: listed(here).get(left.id, {}).get("state") == "interrupted")
    assert gone["event_type"] == "deleted"


def test_who_watches_all_sees_the_runs_of_other_machines_begin(home: Home, far: Home) -> None:
    with served(far) as there, serving_all(home, there.url) as here:
        # The list comes before the stream: it alone tells of a run that is over by then.
        wait_until(lambda: there.app.hub.watcher_count > 0)
        with stream(f"{here.url}/api/sse/progress") as events:
            run = Run(far)
            run.write("log", "complete")
            seen = events.take(2)
    assert [(e["task_id"], e["seq"]) for _, e in seen] == [(run.id, 1), (run.id, 2)]


def test_a_batch_is_one_wherever_its_films_are_made(home: Home, far: Home) -> None:
    for store in (home, far):
        Run(store, request={"batch_id": "night"}).write("complete")
    with served(far) as there, serving_all(home, there.url) as here:
        wait_until(lambda: len(listed(here)) == 2)
        batch = httpx.get(f"{here.url}/api/batches/night").json()
    assert (batch["total"], batch["states"], batch["progress"]) == (2, {"complete": 2}, 100.0)


def test_watching_says_on_which_machine_the_run_is(home: Home, far: Home) -> None:
    run = Run(far, request={"title": "anna + hello"})
    run.write("complete")
    with served(far) as there, serving_all(home, there.url) as here:
        wait_until(lambda: run.id in listed(here))
        client = RunClient(here.url, run.id)
        assert [event.seq for event in client.events()] == [1]
    assert client.title == f"anna + hello (127.0.0.1:{there.port})"


def test_a_source_asks_for_its_token(home: Home, far: Home, tmp_path: Path) -> None:
    Run(far).write("complete")
    with served(far, token=TOKEN) as there:
        file = tmp_path / "tokens"
        file.write_text(f"# ours\n127.0.0.1:{there.port} {TOKEN}\n")
        right, wrong = parse_sources(there.url, file), parse_sources(there.url)
        with served(home, sources=right) as here:
            wait_until(lambda: len(listed(here)) == 1)
        with served(home, sources=wrong) as here:
            wait_until(lambda: links(here) == ["down"])
            detail = httpx.get(f"{here.url}/api/tasks").json()["sources"][0]["detail"]
    assert detail == "it asks for a token"


def test_a_source_that_is_no_server_of_vidgen_is_down(home: Home, tmp_path: Path) -> None:
    with served(home) as plain, line_to(plain.port) as line:
        addresses = (SourceAddress(f"{line.url}/elsewhere", "odd"),)
        with served(home, sources=addresses) as here:
            wait_until(lambda: links(here) == ["down"])


def test_copies_end_with_their_server_and_those_of_a_killed_one_go(home: Home, far: Home) -> None:
    run = Run(far)
    run.write("log")
    old = home.root / "sources" / "of-a-killed-server"
    old.mkdir(parents=True)
    (old / "lock").touch()
    with served(far) as there, serving_all(home, there.url) as here:
        wait_until(lambda: run.id in listed(here) and is_copied(home, run))
        assert not old.exists()
        assert len(list((home.root / "sources").glob("*/tasks/*/events.jsonl"))) == 1
    assert list((home.root / "sources").iterdir()) == []


def test_addresses_and_tokens(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"a:1 one\nhttp://b:2/ two\n{TOKEN}\n")
    told = parse_sources("a:1, https://B:2/x/,http://user:secret@c:3", file)
    assert [(s.url, s.host, s.token) for s in told] == [
        ("http://a:1", "a:1", "one"),
        ("https://B:2/x", "b:2", "two"),
        ("http://user:secret@c:3", "c:3", TOKEN),
    ]
    assert parse_sources("") == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [("ftp://a", "sources.address"), ("http://a:99999", "sources.address"),
     ("http://", "sources.address"), ("a:1,http://a:1/", "sources.twice")],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str, code: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_sources(text)
    assert refused.value.code == code


def test_tokens_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        parse_sources("a:1", tmp_path / "missing")


def test_a_source_that_swallows_its_end_once_is_ended_all_the_same() -> None:
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    async def end() -> bool:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await end_tasks([task])
        return task.cancelled()

    assert asyncio.run(end())
