"""A run whose machine goes away and comes back: those who have it open are told, in every way."""

import io
import threading

import httpx

from tests.progress.sources.test_servers import serving_all, serving_cut_off, turn_off
from tests.support.lines import line_to
from tests.support.serving import Run, Streamed, listed, served, serving_process, stream, wait_until
from vidgen.paths import Home
from vidgen.progress.watch.client import RunClient
from vidgen.progress.watch.link import Link
from vidgen.progress.watch.show import show


def test_a_killed_source_is_told_to_open_streams_and_when_it_is_back(home: Home, far: Home) -> None:
    run, heard = Run(far), list[Link]()
    run.write("log", "progress_update")
    with serving_process(far) as there, serving_all(home, there.url) as here:
        wait_until(lambda: run.id in listed(here))
        client = RunClient(here.url, run.id, on_link=heard.append)
        seen: list[int] = []
        watching = threading.Thread(
            target=lambda: seen.extend(e.seq for e in client.events()), daemon=True
        )
        watching.start()
        wait_until(lambda: len(heard) == 1)
        with stream(f"{here.url}/api/sse/progress/{run.id}") as events:
            events.has_beats = True
            events.take(2)
            there.kill()
            wait_for_reach(events, is_reachable=False)
            assert not httpx.get(f"{here.url}/api/tasks/{run.id}").json()["is_reachable"]
            run.write("log")
            there.start()
            wait_for_reach(events, is_reachable=True)
            run.write("complete")
        watching.join(30)
    assert seen == [1, 2, 3, 4]
    host = f"127.0.0.1:{there.port}"
    assert [(link.state, link.detail) for link in heard] == [
        ("connected", ""), ("away", host), ("back", host)
    ]  # fmt: skip


def wait_for_reach(events: Streamed, *, is_reachable: bool) -> None:
    """Until a sign of life says so; nothing else comes before it."""
    for _, beat in events:
        assert beat["event_type"] == "heartbeat"
        if beat["data"]["is_reachable"] is is_reachable:
            return


def test_who_comes_meanwhile_is_told_too(home: Home, far: Home) -> None:
    with serving_cut_off(home, far) as (run, _, here):
        with stream(f"{here.url}/api/sse/progress/{run.id}") as events:
            events.has_beats = True
            [_, (_, beat)] = events.take(2)
        asked = httpx.get(f"{here.url}/api/tasks/{run.id}/events?after=0").json()
    assert (beat["event_type"], beat["data"]["is_reachable"]) == ("heartbeat", False)
    assert (asked["is_reachable"], len(asked["events"])) == (False, 1)


def test_a_run_of_this_machine_says_nothing_of_reach(home: Home, far: Home) -> None:
    run = Run(home)
    run.write("log")
    with served(far) as there, serving_all(home, there.url) as here:
        asked = httpx.get(f"{here.url}/api/tasks/{run.id}/events").json()
        assert "is_reachable" not in asked
        assert "is_reachable" not in httpx.get(f"{here.url}/api/tasks/{run.id}").json()


def test_watch_says_that_the_machine_is_away_and_back(home: Home, far: Home) -> None:
    run, stderr = Run(far), io.StringIO()
    run.write("log")
    with served(far) as there, line_to(there.port) as line, serving_all(home, line.url) as here:
        wait_until(lambda: run.id in listed(here))
        watching = threading.Thread(
            target=show,
            args=([here.url], run.id),
            kwargs={"mode": "plain", "stderr": stderr},
            daemon=True,
        )
        watching.start()
        wait_until(lambda: stderr.getvalue() != "")
        turn_off(line)
        wait_until(lambda: "is out of reach" in stderr.getvalue())
        line.is_dead = False
        wait_until(lambda: "is there again" in stderr.getvalue())
        run.write("complete")
        watching.join(30)
    assert f"WARNING: 127.0.0.1:{line.port} is out of reach" in stderr.getvalue()
