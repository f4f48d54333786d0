"""Clients of five other systems, written from their documents, against a server of ours."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.progress.serve.clients.node import client, of, page_folder
from tests.support.serving import Run, Served, served, wait_until
from vidgen.paths import Home
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.limits import Limits
from vidgen.progress.reporter import Reporter
from vidgen.progress.serve.auth import task_token

TOKEN = "a-token-of-enough-letters-for-a-test"
KEY = {"Authorization": f"Bearer {TOKEN}"}
# A program whose run fails, is killed, or completes, and waits for its watcher before.
PROGRAM = """
import os, sys
from pathlib import Path
from vidgen.paths import Home
from vidgen.progress.reporter import Reporter
home, task, how = Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
with Reporter({"load": 1, "rendering": 3}, task_id=task, home=home) as report:
    with report.stage("load", "Loading"):
        pass
    report.begin("rendering", "Rendering")
    report.progress(1, 4, "frames", "Frame 1 of 4")
    print("begun", flush=True)
    sys.stdin.readline()
    report.log("Half of it is done", "WARNING")
    report.progress(2, 4, "frames", "Frame 2 of 4")
    if how == "fails":
        report.error("Out of memory", code="device.memory", is_retryable=True)
    elif how == "dies":
        os.kill(os.getpid(), 9)
"""


class Program:
    """The program in a process of its own; `go` lets it end."""

    def __init__(self, home: Home, task: str, how: str) -> None:
        self.task = task
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(home.root), task, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"

    def go(self) -> None:
        self.process.communicate("\n", timeout=60)


@pytest.fixture
def server(home: Home) -> Iterator[Served]:
    hub = Hub(home, Limits(silent_seconds=0.1))  # so soon is it seen that a run is dead
    with served(home, hub=hub) as server:
        yield server


@pytest.fixture(params=["completes", "fails", "dies"])
def program(request: pytest.FixtureRequest, home: Home) -> Iterator[Program]:
    found = Program(home, f"job_{request.param}", request.param)
    yield found
    found.process.kill()
    found.process.communicate()


def how(program: Program) -> str:
    return program.task.removeprefix("job_")


# 000


@pytest.mark.parametrize("kind", ["websocket", "sse"])
def test_a_pipeline_ends_with_complete_or_error(
    server: Served, program: Program, kind: str
) -> None:
    scheme, way = ("ws", "ws") if kind == "websocket" else ("http", "sse")
    url = f"{scheme}://127.0.0.1:{server.port}/api/{way}/progress/{program.task}"
    with client(f"pipeline_{kind}", url) as watching:
        watching.until("progress")
        program.go()
        said = watching.wait()
    shown = of(said, "progress")
    assert all(one["message"] for one in shown)
    percents = [one["progress"] for one in shown if one["progress"] >= 0]
    assert percents == sorted(percents)
    if how(program) == "completes":
        assert [one["url"] for one in of(said, "complete")] == [f"/api/tasks/{program.task}/video"]
        assert not of(said, "error")
    else:
        (error,) = of(said, "error")
        assert (
            error["error"]
            == {
                "fails": "Out of memory",
                "dies": "Interrupted",
            }[how(program)]
        )
    assert not of(said, "failure")


def test_a_pipeline_is_polled(server: Served, program: Program) -> None:
    url = f"{server.url}/api/ws/progress/{program.task}/latest"
    first = json.loads(subprocess.run(["curl", "-s", url], capture_output=True, check=True).stdout)
    assert first["task_id"] == first["event"]["task_id"] == program.task
    assert first["event"]["data"]["message"] == "Frame 1 of 4"
    program.go()
    ends = {"completes": "complete", "fails": "error", "dies": "error"}
    wait_until(lambda: httpx.get(url).json()["event"]["event_type"] == ends[how(program)])


def test_a_late_pipeline_client_is_told_from_the_beginning(server: Served, home: Home) -> None:
    run = Run(home)
    run.write("progress_update", count=3)
    run.write("cancelled")
    with client(
        "pipeline_websocket", f"ws://127.0.0.1:{server.port}/api/ws/progress/{run.id}"
    ) as late:
        said = late.wait()
    shown = of(said, "progress")
    assert [one["type"] for one in shown] == [
        "connected",
        *["progress_update"] * 3,
        "cancelled",
        "error",
    ]
    assert shown[0]["progress"] == 0.0
    assert len(of(said, "error")) == 1


# 001


def test_a_tracker_is_told_where_its_tasks_are(
    server: Served, program: Program, home: Home
) -> None:
    with Reporter(task_id="other", home=home):
        pass
    url = f"ws://127.0.0.1:{server.port}/api/v1/progress/ws?client_id=user-123"
    with client("tracker", url, f"{program.task},other", "batch-001") as watching:
        while (batch := watching.until("other")["message"])["type"] == "ping":
            pass
        assert (batch["type"], batch["data"]["total_tasks"]) == ("batch.progress", 2)
        program.go()
        said = watching.wait()
    last = [one for one in of(said, "progress") if one["task"] == program.task][-1]
    if how(program) == "completes":
        assert (last["status"], last["overall_progress"]) == ("completed", 100.0)
        assert last["stages"]["1"]["name"] == "rendering"
    else:
        assert (last["status"], bool(last["error"])) == ("failed", True)


def test_a_tracker_asks_by_http(server: Served, program: Program) -> None:
    base = f"{server.url}/api/v1/progress"
    task = httpx.get(f"{base}/tasks/{program.task}").json()
    assert (task["status"], task["current_stage"], task["total_stages"]) == ("executing", 1, 2)
    assert task["stages"]["0"]["status"] == "completed"
    program.go()
    logs = httpx.get(f"{base}/tasks/{program.task}/logs?since=2024-01-01&level=warning").json()
    assert [line["message"] for line in logs["logs"]] == ["Half of it is done"]
    later = httpx.get(f"{base}/tasks/{program.task}/logs?since=2124-01-01").json()
    assert later["logs"] == []
    batch = httpx.get(f"{base}/batch/b?task_ids={program.task},{program.task}").json()
    assert batch["total_tasks"] == 2
    history = httpx.get(f"{base}/tasks/{program.task}/history").json()
    # Progress is thinned: a killed program's last may be lost, what it said before may not.
    assert [event["seq"] for event in history["events"]] == list(
        range(1, history["event_count"] + 1)
    )
    assert "log" in [event["event_type"] for event in history["events"]]
    assert httpx.get(f"{base}/tasks/{program.task}/logs?since=x").status_code == 400
    assert httpx.get(f"{base}/batch/nothing").status_code == 404


def test_a_tracker_shows_previews(server: Served, home: Home) -> None:
    run = Run(home, "task_1")
    (run.folder.previews / "rendering-50.jpg").write_bytes(b"\xff\xd8\xff picture")
    run.write("preview", name="rendering-50", path=str(run.folder.previews / "rendering-50.jpg"))
    task = httpx.get(f"{server.url}/api/v1/progress/tasks/task_1").json()
    assert task["preview_url"] == "/api/v1/previews/task_1_rendering-50.jpg"
    assert httpx.get(server.url + task["preview_url"]).content == b"\xff\xd8\xff picture"
    assert httpx.get(f"{server.url}/api/v1/previews/nothing").status_code == 404


# 002


def test_signalr_tells_its_groups(server: Served, program: Program) -> None:
    with client("signalr", f"{server.url}/hubs/video-generation", program.task) as watching:
        watching.until("subscribed")
        program.go()
        said = watching.wait()
    if how(program) == "completes":
        (event,) = [one["event"] for one in of(said, "Completed")]
        assert event["videoUrl"] == f"{server.url}/api/tasks/{program.task}/video"
    else:
        event = of(said, "Failed")[-1]["event"]
        assert event["isRetryable"] is True
        assert event["error"] in ("Out of memory", "Interrupted")
    assert event["taskId"] == program.task
    assert of(said, "closed") == [{"what": "closed"}]


def test_signalr_tells_the_start_to_who_was_there_before(server: Served, home: Home) -> None:
    run = Run(home, "early")
    with client("signalr", f"{server.url}/hubs/video-generation", "early") as watching:
        watching.until("subscribed")
        run.write("stage_update", stage="initialized")
        started = watching.until("Started")
        run.write("progress_update", done=1, total=4, unit="frames")
        while "currentFrame" not in (progress := watching.until("Progress")["event"]):
            pass
        run.write("complete")
        watching.wait()
    assert started["event"]["eventType"] == "VideoGenerationStarted"
    assert (progress["currentFrame"], progress["totalFrames"]) == (1, 4)


def test_signalr_refuses_what_is_unknown(server: Served) -> None:
    with client("signalr", f"{server.url}/hubs/video-generation", "nobody") as watching:
        assert "There is no such task." in watching.until("failure")["message"]


def test_signalr_without_websockets_is_told_so_and_polls(server: Served, home: Home) -> None:
    Run(home, "mine").write("complete")
    url = f"{server.url}/hubs/video-generation"
    with client("signalr", url, "mine", "", "ServerSentEvents") as watching:
        assert "Unable to connect" in watching.until("failure")["message"]
    assert httpx.get(f"{server.url}/v1/videos/generations/mine").json()["status"] == "completed"


def test_a_generation_is_polled(server: Served, program: Program) -> None:
    url = f"{server.url}/v1/videos/generations/{program.task}"
    assert httpx.get(url).json()["status"] == "processing"
    program.go()
    wanted = "completed" if how(program) == "completes" else "failed"
    wait_until(lambda: httpx.get(url).json()["status"] == wanted)
    said = {"completes": None, "fails": "Out of memory", "dies": "Interrupted"}[how(program)]
    asked = (url, f"{server.url}/jobs/{program.task}",
             f"{server.url}/api/v1/progress/tasks/{program.task}")  # fmt: skip
    assert [httpx.get(address).json().get("error") for address in asked] == [said] * 3


# 003


def test_a_project_is_told_stage_by_stage(server: Served, program: Program) -> None:
    url = f"ws://127.0.0.1:{server.port}/api/v1/projects/{program.task}/progress"
    with client("projects", url) as watching:
        watching.until("stage_change")
        program.go()
        said = watching.wait()
    if how(program) == "completes":
        assert of(said, "complete")[0]["data"]["status"] == "COMPLETED"
    else:
        error = of(said, "error")[0]
        assert error["data"]["stage"] == error["error"]["stage"] == "RENDERING"
        assert error["data"]["error_code"] in ("device.memory", "INTERRUPTED")
    assert [one["data"]["level"] for one in of(said, "log")] == ["WARNING"]
    percents = [one["data"]["progress"] for one in of(said, "progress_update")]
    assert percents == sorted(percents)


def test_a_project_may_be_watched_before_it_is_there_by_two(server: Served, home: Home) -> None:
    url = f"ws://127.0.0.1:{server.port}/api/v1/projects/1/progress"
    with client("projects", url) as one, client("projects", url) as other:
        for watching in (one, other):
            assert watching.until("connected")["data"]["project_id"] == "1"
        with Reporter((), task_id="1", home=home) as report:
            report.begin("SCRIPT_GENERATING", "Writing")
            report.begin("ASSETS_GENERATING", "Painting")
        first, second = one.wait(), other.wait()
    assert of(first, "stage_change") == of(second, "stage_change")  # pings come at their own times
    changes = [
        (change["data"]["previous_stage"], change["data"]["current_stage"])
        for change in of(first, "stage_change")
    ]
    assert changes == [
        ("INITIALIZED", "SCRIPT_GENERATING"),
        ("SCRIPT_GENERATING", "ASSETS_GENERATING"),
    ]


# 004


def test_a_job_is_processing_until_it_is_not(server: Served, program: Program) -> None:
    with client("jobs", f"ws://127.0.0.1:{server.port}/ws/jobs/{program.task}") as watching:
        first = watching.until("processing")
        assert (first["stage"], first["message"]) == ("rendering", "Frame 1 of 4")
        program.go()
        if how(program) == "dies":  # another worker may go on with it, so nobody hangs up
            assert watching.until("failed")["error"] == "Interrupted"
            return
        said = watching.wait()
    if how(program) == "completes":
        assert of(said, "completed")[0]["result"]["video_url"].endswith("/video")
    else:
        assert of(said, "failed")[0] == {
            "what": "failed",
            "error": "Out of memory",
            "stage": "rendering",
        }
    assert of(said, "closed")[0]["code"] == 1000


def test_a_job_is_watched_by_python_and_polled(server: Served, home: Home) -> None:
    url = f"ws://127.0.0.1:{server.port}/ws/jobs/job_001"
    seen: list[dict[str, Any]] = []
    with connect(url) as socket:
        hello = json.loads(socket.recv(timeout=10))
        assert (hello["type"], hello["job_id"]) == ("connected", "job_001")
        telling = threading.Thread(target=_tell_job, args=(home,))
        telling.start()
        for message in socket:
            seen.append(json.loads(message))
            if seen[-1].get("status") in ("completed", "failed"):
                break
        telling.join()
    assert seen[-1]["result"] == {"video_url": "https://cdn.example.com/a.mp4"}
    assert httpx.get(f"{server.url}/jobs/job_001").json() == seen[-1]
    assert httpx.get(f"{server.url}/health").json() == {"status": "healthy"}


def _tell_job(home: Home) -> None:
    with Reporter((), task_id="job_001", home=home) as report:
        report.begin("rendering", "Half of it")
        report.progress(1, 2)
        report.complete({"video_url": "https://cdn.example.com/a.mp4"})


# Who may


def test_a_switch_turns_them_off(home: Home) -> None:
    run = Run(home)
    run.write("cancelled")
    with served(home, dialects=()) as server:
        assert httpx.get(f"{server.url}/jobs/{run.id}").status_code == 404
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(f"ws://127.0.0.1:{server.port}/ws/jobs/{run.id}"),
        ):
            pass
        assert refused.value.response.status_code == 404
        latest = httpx.get(f"{server.url}/api/ws/progress/{run.id}/latest").json()
        assert latest["event"]["event_type"] == "cancelled"


PATHS = ("/ws/jobs/{}", "/api/v1/projects/{}/progress", "/api/ws/progress/{}")


@pytest.mark.parametrize("path", PATHS)
def test_a_token_of_a_task_opens_that_task_only(home: Home, path: str) -> None:
    Run(home, "mine").write("log")
    Run(home, "yours").write("log")
    token = task_token(TOKEN, "mine")
    with served(home, token=TOKEN) as server:
        base = f"ws://127.0.0.1:{server.port}"
        with connect(f"{base}{path.format('mine')}?token={token}") as socket:
            assert socket.recv(timeout=10)
        for wrong, status in ((token, 403), (token[:-1] + "~", 401), ("", 401)):
            with (
                pytest.raises(InvalidStatus) as refused,
                connect(f"{base}{path.format('yours')}?token={wrong}"),
            ):
                pass
            assert refused.value.response.status_code == status


def test_a_token_of_a_task_reads_and_nothing_else(home: Home) -> None:
    Run(home, "mine").write("log")
    Run(home, "yours").write("log")
    key = {"Authorization": f"Bearer {task_token(TOKEN, 'mine')}"}
    with served(home, token=TOKEN, accepts_jobs=True) as server:
        answers = {
            path: httpx.get(server.url + path, headers=key).status_code
            for path in ("/api/tasks/mine", "/jobs/mine", "/api/tasks/yours", "/api/tasks")
        }
        cancelled = httpx.post(f"{server.url}/api/tasks/mine/cancel", headers=key)
        with connect(
            f"ws://127.0.0.1:{server.port}/api/v1/progress/ws", additional_headers=key
        ) as socket:
            for task in ("mine", "yours"):
                socket.send(json.dumps({"type": "get_progress", "task_id": task}))
            first, second = (json.loads(socket.recv(timeout=10)) for _ in range(2))
    assert answers == {
        "/api/tasks/mine": 200,
        "/jobs/mine": 200,
        "/api/tasks/yours": 403,
        "/api/tasks": 403,
    }
    assert cancelled.status_code == 403
    assert (first["type"], first["task_id"]) == ("progress.update", "mine")
    assert (second["type"], second["code"]) == ("error", "other_task")


def test_signalr_comes_with_its_token(home: Home) -> None:
    Run(home, "mine").write("complete")
    with (
        served(home, token=TOKEN) as server,
        client(
            "signalr", f"{server.url}/hubs/video-generation", "mine", task_token(TOKEN, "mine")
        ) as watching,
    ):
        assert watching.until("Completed")["event"]["taskId"] == "mine"


# A page of our own modules


@pytest.mark.parametrize("way", ["websocket", "sse"])
def test_a_react_component_follows_a_run(
    home: Home, program: Program, tmp_path: Path, way: str
) -> None:
    with (
        served(home, token=TOKEN) as server,
        client(
            *("hook", server.url, program.task, task_token(TOKEN, program.task), way),
            folder=page_folder(tmp_path),
        ) as page,
    ):
        while page.until("shown")["connectionType"] != way:
            pass
        while (shown := page.until("shown"))["stage"] != "rendering":
            pass
        assert (shown["isConnected"], shown["error"]) == (True, None)
        program.go()
        if how(program) == "completes":
            assert page.until("complete")["url"] == f"/api/tasks/{program.task}/video"
        else:
            assert page.until("error")["message"] in ("Out of memory", "Interrupted")


def test_tasks_of_a_page_share_a_connection(home: Home, tmp_path: Path) -> None:
    runs = [Run(home, name) for name in ("one", "two")]
    for run in runs:
        run.write("stage_update")
    with (
        served(home, token=TOKEN) as server,
        client("shared", server.url, "one", "two", TOKEN, folder=page_folder(tmp_path)) as page,
    ):
        for _ in runs:
            event = page.until("event")
            assert event["task"] == event["its"]
        for run in runs:
            run.write("progress_update", "complete")
        over = [page.until("over") for _ in runs]
    assert sorted(one["task"] for one in over) == ["one", "two"]
    assert [one["sockets"] for one in over] == [1, 1]
    assert over[0]["metrics"]["events"] == 3
    assert (over[0]["metrics"]["fallbacks"], over[0]["metrics"]["connections"]) == (0, 1)
