"""What the page asks for beside the runs: permissions, the queue, a removal, batches, figures."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from starlette.requests import Request

from tests.progress.serve.test_jobs import JPEG, WAV, quick_jobs
from tests.support import made_up_runs
from tests.support.serving import Run, Served, served, wait_until
from vidgen.events import timestamp
from vidgen.paths import Home
from vidgen.progress.history.stats import statistics
from vidgen.progress.serve.auth import task_token
from vidgen.progress.serve.index import RunIndex
from vidgen.progress.serve.jobs import Jobs
from vidgen.progress.serve.page_api import PageApi
from vidgen.progress.store.batches import BatchFilm, record_batch

TOKEN = "a-token-of-enough-letters-for-a-test"
KEY = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def server(home: Home) -> Iterator[Served]:
    jobs = quick_jobs(home, [30.0])
    with served(home, token=TOKEN, accepts_jobs=True, jobs=jobs) as server:
        yield server
        cancel_all(server, jobs)


def cancel_all(server: Served, jobs: Jobs) -> None:
    """End what waits and runs, so that nothing outlives its test."""
    for task_id in [*jobs.standing()["waiting"], *jobs.standing()["running"]]:
        httpx.post(f"{server.url}/api/tasks/{task_id}/cancel", headers=KEY)
    wait_until(lambda: not jobs.standing()["running"])


def order(server: Served) -> str:
    answer = httpx.post(
        f"{server.url}/api/video-generation/generate",
        files={"photo": ("anna.jpg", JPEG), "voice": ("hello.wav", WAV)},
        headers=KEY,
    )
    return str(answer.json()["task_id"])


def get(server: Served, path: str) -> Any:
    return httpx.get(server.url + path, headers=KEY).json()


def delete(server: Served, task_id: str, **headers: str) -> httpx.Response:
    return httpx.delete(f"{server.url}/api/tasks/{task_id}", headers={**KEY, **headers})


def a_finished_run(home: Home) -> Run:
    run = Run(home)
    run.write("complete")
    run.end()
    return run


def test_a_page_is_told_what_it_may_offer(home: Home, server: Served) -> None:
    about = get(server, "/api/session")
    assert about["accepts_jobs"] is True
    assert len(about["options"]) == 10
    assert {"name": "aspect", "default": "keep", "least": None, "most": None,
            "choices": ["keep", "1:1", "9:16", "16:9", "4:5"]} in about["options"]  # fmt: skip
    with served(home) as plain:
        told = httpx.get(f"{plain.url}/api/session").json()
        assert (told["accepts_jobs"], told["options"]) == (False, [])
        assert httpx.get(f"{plain.url}/api/queue").status_code == 404
        assert httpx.delete(f"{plain.url}/api/tasks/x").json()["error"]["code"] == "no_orders"


def test_the_queue_is_told_in_order_and_its_runs_have_names(server: Served) -> None:
    first, second, third = order(server), order(server), order(server)
    wait_until(lambda: get(server, "/api/queue")["running"] == [first])
    assert get(server, "/api/queue")["waiting"] == [second, third]
    waiting = get(server, "/api/tasks?state=queued&search=anna")["tasks"]
    assert {task["task_id"] for task in waiting} >= {second, third}
    assert {task["title"] for task in waiting} == {"anna.jpg + hello.wav"}
    assert get(server, f"/api/tasks/{third}")["title"] == "anna.jpg + hello.wav"


def test_a_run_that_is_over_is_removed(home: Home, server: Served) -> None:
    run = a_finished_run(home)
    assert delete(server, run.id).status_code == 204
    assert not run.folder.root.exists()
    assert delete(server, run.id).status_code == 404
    assert delete(server, "..%2Fx").status_code in (400, 404)


def test_a_run_that_is_not_over_is_not_removed(home: Home, server: Served) -> None:
    first, second = order(server), order(server)
    wait_until(lambda: get(server, "/api/queue")["running"] == [first])
    other = Run(home)
    other.write("stage_update")
    for task_id in (first, second, other.id):
        answer = delete(server, task_id)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_over")
        assert home.task(task_id).root.is_dir()
    other.end()
    assert delete(server, other.id).status_code == 204


def test_nobody_removes_a_run_without_the_servers_own_token(home: Home, server: Served) -> None:
    run = a_finished_run(home)
    url = f"{server.url}/api/tasks/{run.id}"
    of_task = {"Authorization": f"Bearer {task_token(TOKEN, run.id)}"}
    assert httpx.delete(url).status_code == 401
    assert httpx.delete(url, headers=of_task).status_code == 403
    assert delete(server, run.id, Origin="http://elsewhere.example").status_code == 403
    assert delete(server, run.id, Host="elsewhere.example").status_code == 421
    assert httpx.delete(f"{url}?token={TOKEN}").status_code == 401
    assert run.folder.root.is_dir()
    with httpx.Client(base_url=server.url) as browser:
        browser.post("/api/session", headers=KEY)
        answer = browser.delete(f"/api/tasks/{run.id}", headers={"Origin": server.url})
        assert answer.status_code == 204


def test_batches_are_listed_the_newest_first(home: Home, server: Served) -> None:
    films = [BatchFilm(f"{n:08x}-0000-4000-8000-000000000000", f"{n}.mp4", 5.0, 4.0)
             for n in range(3)]  # fmt: skip
    labelled = Run(home, request={"batch_id": "by label"})
    labelled.write("error")
    with record_batch(home, "written down", films):
        done = Run(home, films[0].task_id)
        done.write("progress_update", "complete")
        found = get(server, "/api/batches")["batches"]
    assert [(batch["batch_id"], batch["total"], batch["states"]) for batch in found] == [
        ("written down", 3, {"complete": 1, "queued": 2}),
        ("by label", 1, {"failed": 1}),
    ]
    assert "tasks" not in found[0]


def test_films_that_overlap_at_two_places_are_foretold_by_their_turns(home: Home) -> None:
    """Those of the second round began 2 s before their places were free, and took 6 s of them."""
    films = [BatchFilm(f"f{n}", f"{n}.mp4", 5.0, None) for n in range(8)]
    zero = datetime(2026, 1, 1, tzinfo=UTC)
    times = [(0, 10), (0, 10), (8, 16), (8, 16)]
    tasks: list[dict[str, str]] = [
        {"task_id": film.task_id, "state": "queued", "began": "", "updated": ""} for film in films
    ]
    for task, (began, ended) in zip(tasks, times, strict=False):
        moments = [timestamp(zero + timedelta(seconds=moment)) for moment in (began, ended)]
        task |= {"state": "complete", "began": moments[0], "updated": moments[1]}
    with record_batch(home, "b", films, places=2):
        assert RunIndex(home).batch_eta("b", tasks) == pytest.approx(12.0)


def test_the_figures_are_those_of_the_command_and_counted_once_a_minute(
    home: Home, server: Served
) -> None:
    made_up_runs.make_runs(home, 2)
    told = get(server, "/api/stats")
    assert told == orjson.loads(orjson.dumps(statistics(home).to_json()))
    assert told["states"] == {"complete": 2}
    made_up_runs.make_runs(home, 1, seed=8)
    assert get(server, "/api/stats") == told


def test_who_waits_for_the_figures_is_told_anew_after_a_minute(home: Home) -> None:
    now = [0.0]
    api = PageApi(home, RunIndex(home), None, clock=lambda: now[0])

    async def runs_told() -> list[int]:
        request, told = Request({"type": "http"}), []
        for now[0] in (0.0, 59.0, 60.0):
            made_up_runs.make_runs(home, 1, seed=int(now[0]))
            told.append(orjson.loads((await api.stats(request)).body)["runs"])
        return told

    assert asyncio.run(runs_told()) == [1, 1, 3]
