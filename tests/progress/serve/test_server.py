"""The server over real sockets: every path, and resuming on each."""

import asyncio
import json
import os
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.serving import Run, raw, served, sse, stream, wait_until
from vidgen.paths import Home
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.limits import Limits
from vidgen.progress.fanout.tail import Tail
from vidgen.progress.serve.sse import TaskStream

TOKEN = "a-token-of-enough-letters-for-a-test"


@pytest.fixture
def run(home: Home) -> Run:
    return Run(home, request={"inputs": {"photo": {"path": "/home/x/anna.jpg"}}})


def types(events: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [event["event_type"] for _, event in events]


def test_a_stream_tells_what_was_and_what_comes_and_then_ends(home: Home, run: Run) -> None:
    run.write("stage_update", "progress_update")
    with served(home) as server, stream(sse(server, run)) as events:
        assert types(events.take(2)) == ["stage_update", "progress_update"]
        run.write("log", "complete")
        rest = list(events)
    epoch = server.app.hub.tails()[0].epoch
    assert [event_id for event_id, _ in rest] == [f"{epoch}-3", f"{epoch}-4"]
    assert types(rest) == ["log", "complete"]
    assert events.status == 200
    assert events.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert events.headers["cache-control"] == "no-store, no-transform"
    assert events.headers["x-accel-buffering"] == "no"


def test_events_are_byte_for_byte_those_of_the_log(home: Home, run: Run) -> None:
    run.raw(
        '{"v":1,"task_id":"x","seq":1,"event_type":"log","timestamp":"t","data":{"a":"é…"}}\n'.encode()
    )
    with served(home) as server, httpx.stream("GET", sse(server, run)) as response:
        content = b""
        for chunk in response.iter_raw():
            content += chunk
            if b"data:" in content:
                break
    assert run.folder.events.read_bytes().strip() in content


def test_the_first_byte_comes_at_once_even_when_nothing_happened(home: Home, run: Run) -> None:
    with (
        served(home) as server,
        # A heartbeat, after 15 s, would come too late for this client.
        httpx.stream("GET", sse(server, run), timeout=10) as response,
    ):
        first = next(response.iter_raw())
    retry = int(first.partition(b"retry: ")[2].partition(b"\n")[0])
    assert 2000 <= retry <= 5000


@pytest.mark.parametrize("by", ["header", "query", "number"])
def test_a_watcher_goes_on_where_it_was(home: Home, run: Run, by: str) -> None:
    run.write("log", count=10)
    with served(home) as server:
        with stream(sse(server, run)) as events:
            last_id = events.take(6)[-1][0]
        query = {"header": "", "query": f"?after={last_id}", "number": "?after=6"}[by]
        headers = {"Last-Event-ID": last_id} if by == "header" else {}
        run.write("complete")
        with stream(sse(server, run, query), headers) as events:
            assert events.seqs() == [7, 8, 9, 10, 11]


def test_after_the_end_there_is_nothing_to_come_back_for(home: Home, run: Run) -> None:
    run.write("log", "complete")
    with served(home) as server:
        with stream(sse(server, run)) as events:
            last_id = list(events)[-1][0]
        answer = httpx.get(sse(server, run), headers={"Last-Event-ID": last_id})
        assert (answer.status_code, answer.content) == (204, b"")
        with stream(sse(server, run)) as again:  # without a cursor everything is told again
            assert again.seqs() == [1, 2]


@pytest.mark.parametrize("cursor", ["00000000-1", "ffffffff-2", "garbage", "{epoch}-99"])
def test_a_cursor_of_another_log_gets_a_snapshot(home: Home, run: Run, cursor: str) -> None:
    run.write("stage_update", "log", "log")
    with served(home) as server:
        httpx.get(f"{server.url}/api/tasks/{run.id}")
        epoch = server.app.hub.tails()[0].epoch
        headers = {"Last-Event-ID": cursor.format(epoch=epoch)}
        with stream(sse(server, run), headers) as events:
            event_id, reset = events.take(1)[0]
            run.write("complete")
            rest = events.seqs()
    assert (event_id, reset["event_type"], reset["seq"]) == (f"{epoch}-3", "reset", 3)
    assert reset["data"]["state"] == "running"
    assert reset["data"]["event_count"] == 3
    assert rest == [4]


def test_a_replay_too_large_comes_as_a_snapshot(home: Home, run: Run) -> None:
    run.write("log", count=50)
    hub = Hub(home, Limits(replay_bytes=2000))
    with served(home, hub=hub) as server, stream(sse(server, run)) as events:
        assert types(events.take(1)) == ["reset"]


def test_a_replaced_log_is_told_by_a_reset(home: Home, run: Run) -> None:
    run.write("log", count=3)
    with served(home) as server, stream(sse(server, run)) as events:
        first = events.take(3)
        run.folder.events.unlink()
        run.seq = 100
        run.write("log", "log")
        run.write("complete")
        rest = list(events)  # the old log's end may be seen before the new one's begin, or not
    resets = [e for _, e in rest if e["event_type"] == "reset"]
    assert resets
    known = max(reset["seq"] for reset in resets)
    later = [e["seq"] for _, e in rest if e["event_type"] != "reset"]
    assert later == list(range(max(known, 100) + 1, 104))
    assert first[0][0].split("-")[0] != rest[-1][0].split("-")[0]


def test_a_deleted_task_ends_its_streams(home: Home, run: Run) -> None:
    run.write("log")
    with served(home) as server, stream(sse(server, run)) as events:
        events.take(1)
        shutil.rmtree(run.folder.root)
        assert types(list(events))[-1] == "deleted"


def test_a_task_deleted_while_something_else_is_said(run: Run) -> None:
    """Deleting takes the log first, which looks like another log's coming."""
    run.write("log")
    said: list[bytes] = []

    async def send(message: Any) -> None:
        said.append(message["body"])

    async def watched() -> None:
        tail = Tail(run.folder)
        tail.poll()
        watcher = TaskStream(send, None)
        watcher.begin(tail, 0)
        await watcher.catch_up()
        watcher.void(tail)
        watcher.bury(tail, tail.snapshot.deletion())
        await asyncio.sleep(0.05)
        tail.close()

    asyncio.run(watched())
    assert b'"event_type":"deleted"' in b"".join(said)


def test_a_killed_run_is_told_and_a_resumed_one_goes_on(home: Home, run: Run) -> None:
    run.write("stage_update")
    hub = Hub(home, Limits(silent_seconds=0.1))
    with served(home, hub=hub) as server, stream(sse(server, run, "?v=1")) as events:
        events.take(1)
        run.end()
        _, told = events.take(1)[0]
        assert (told["event_type"], told["seq"]) == ("interrupted", 1)
        assert told["data"]["interrupted_stage"] == "rendering"
        listed = httpx.get(f"{server.url}/api/tasks/{run.id}").json()
        assert listed["state"] == "interrupted"
        again = Run(home, run.id)
        again.seq = run.seq
        again.write("log", "complete")
        assert events.seqs() == [2, 3]


def test_an_interrupted_run_is_told_to_those_who_come_later(home: Home, run: Run) -> None:
    run.write("stage_update")
    run.end()
    with served(home) as server, stream(sse(server, run, "?v=1")) as events:
        assert types(events.take(2)) == ["stage_update", "interrupted"]


def test_a_stream_waits_for_a_task_that_has_not_begun(home: Home, run: Run) -> None:
    with served(home) as server, stream(sse(server, run)) as events:
        threading.Timer(0.2, run.write, ["log", "complete"]).start()
        assert events.seqs() == [1, 2]


def test_heartbeats_come_without_an_id(home: Home, run: Run) -> None:
    run.write("stage_update")
    hub = Hub(home, Limits(heartbeat_seconds=1))
    with served(home, hub=hub) as server, stream(sse(server, run)) as events:
        events.has_beats = True
        (first_id, _), (beat_id, beat) = events.take(2)
    assert (beat["event_type"], beat["seq"], beat["task_id"]) == ("heartbeat", 1, run.id)
    assert beat["data"] == {"stage": "rendering", "progress": 60.01, "message": "Drawing"}
    assert beat_id == first_id


def test_several_tasks_on_one_stream_resume_together(home: Home) -> None:
    first, second = Run(home), Run(home)
    first.write("log", count=2)
    second.write("log", count=3)
    with served(home) as server:
        url = f"{server.url}/api/sse/progress?task_id={first.id}&task_id={second.id}"
        with stream(url) as events:
            got = events.take(4)
        first.write("complete")
        second.write("complete")
        with stream(url, {"Last-Event-ID": got[-1][0]}) as events:
            rest = list(events)
        told = [(e["task_id"], e["seq"]) for _, e in [*got, *rest]]
        assert sorted(told) == sorted(
            [(first.id, n) for n in (1, 2, 3)] + [(second.id, n) for n in (1, 2, 3, 4)]
        )
        done = httpx.get(url, headers={"Last-Event-ID": rest[-1][0]})
        assert done.status_code == 204


def test_the_stream_of_all_tells_of_new_tasks_and_resumes_without_loss(home: Home) -> None:
    old, running = Run(home), Run(home)
    old.write("log", "complete")
    running.write("log")
    with served(home) as server:
        url = f"{server.url}/api/sse/progress"
        with stream(url) as events:
            assert [(e["task_id"], e["seq"]) for _, e in events.take(1)] == [(running.id, 1)]
            new = Run(home)
            new.seq = 100
            new.write("log")
            got = events.take(1)
            assert [(e["task_id"], e["seq"]) for _, e in got] == [(new.id, 101)]
        running.write("complete")
        missed = Run(home)
        missed.seq = 200
        missed.write("log", "complete")
        with stream(url, {"Last-Event-ID": got[-1][0]}) as events:
            rest = [(e["task_id"], e["seq"]) for _, e in events.take(3)]
            assert sorted(rest) == sorted([(running.id, 2), (missed.id, 201), (missed.id, 202)])


def test_the_list_names_every_task(home: Home, run: Run) -> None:
    run.write("progress_update")
    done = Run(home)
    done.write("log", "complete")
    with served(home) as server:
        answer = httpx.get(f"{server.url}/api/tasks").json()
    assert answer["total"] == 2
    states = {task["task_id"]: (task["state"], task["title"]) for task in answer["tasks"]}
    assert states == {run.id: ("running", "anna.jpg"), done.id: ("complete", "")}


def test_ten_thousand_tasks_are_listed_in_time(home: Home, run: Run) -> None:
    run.write("complete")
    for number in range(10_000):
        folder = home.tasks / f"{number:08}-0000-4000-8000-000000000000"
        folder.mkdir()
        os.link(run.folder.events, folder / "events.jsonl")
    with served(home) as server:
        began = time.process_time()  # the server is a thread of ours
        answer = httpx.get(f"{server.url}/api/tasks").json()
        took = time.process_time() - began
    assert (answer["total"], len(answer["tasks"])) == (10_001, 50)
    assert took < 0.3 * 2


def test_a_snapshot_tells_where_a_task_stands(home: Home, run: Run) -> None:
    run.write("stage_update", status="started", eta_seconds=12.5)
    run.write("resource", cpu_percent=150.0, memory_mb=300.0)
    run.write("progress_update", stage_progress=0.5, done=5, total=10, unit="frames", rate=7.5)
    with served(home) as server:
        said = httpx.get(f"{server.url}/api/tasks/{run.id}").json()
    named = {name: said[name] for name in ("state", "stage", "done", "total", "unit", "rate")}
    assert named == {
        "state": "running", "stage": "rendering", "done": 5, "total": 10, "unit": "frames",
        "rate": 7.5,
    }  # fmt: skip
    assert [(s["stage"], s["status"]) for s in said["stages"]] == [("rendering", "started")]
    assert said["resource"]["cpu_percent"] == 150.0
    assert (said["last_seq"], said["event_count"], said["title"]) == (3, 3, "anna.jpg")


def test_latest_and_history_are_as_their_clients_know_them(home: Home, run: Run) -> None:
    run.write("log", "progress_update")
    with served(home) as server:
        latest = httpx.get(f"{server.url}/api/ws/progress/{run.id}/latest").json()
        history = httpx.get(f"{server.url}/api/ws/progress/{run.id}/history").json()
    events = [json.loads(line) for line in run.folder.events.read_text().splitlines()]
    assert latest == {"task_id": run.id, "event": events[-1]}
    assert history == {"task_id": run.id, "event_count": 2, "events": events}


def test_a_long_poll_waits_for_news(home: Home, run: Run) -> None:
    run.write("log")
    with served(home) as server:
        url = f"{server.url}/api/tasks/{run.id}/events"
        first = httpx.get(url).json()
        assert [e["seq"] for e in first["events"]] == [1]
        threading.Timer(0.3, run.write, ["complete"]).start()
        second = httpx.get(url, params={"after": first["cursor"], "wait": 60}, timeout=50).json()
        assert ([e["seq"] for e in second["events"]], second["ended"]) == ([2], True)
        third = httpx.get(url, params={"after": second["cursor"], "wait": 10}).json()
        assert (third["events"], third["ended"]) == ([], True)
        other = httpx.get(url, params={"after": "00000000-1"}).json()
        assert (other["events"], other["reset"]["state"]) == ([], "complete")


def test_a_long_poll_without_news_ends_in_time(home: Home, run: Run) -> None:
    run.write("log")
    with served(home) as server:
        answer = httpx.get(f"{server.url}/api/tasks/{run.id}/events?after=1&wait=1").json()
    assert (answer["events"], answer["ended"]) == ([], False)


def test_logs_by_level(home: Home, run: Run) -> None:
    run.write("log", level="INFO")
    run.write("progress_update", "resource")
    run.write("log", level="WARNING")
    with served(home) as server:
        url = f"{server.url}/api/tasks/{run.id}/logs"
        every = httpx.get(url).json()
        warnings = httpx.get(url, params={"level": "warning"}).json()
        late = httpx.get(url, params={"since": 1}).json()
        assert httpx.get(url, params={"since": 1 << 50}).json()["logs"] == []
        assert httpx.get(url, params={"since": (1 << 50) + 1}).status_code == 400
    assert [e["seq"] for e in every["logs"]] == [1, 4]
    assert [e["seq"] for e in warnings["logs"]] == [4]
    assert [e["seq"] for e in late["logs"]] == [4]


def test_of_too_many_logs_the_newest_are_told(home: Home, run: Run) -> None:
    for _ in range(3):
        run.write("log", count=1000)
        run.write("progress_update")
    with served(home) as server:
        logs = httpx.get(f"{server.url}/api/tasks/{run.id}/logs").json()["logs"]
    assert [e["seq"] for e in logs] == list(range(2003, 3003))


def test_a_batch_is_told_as_one(home: Home) -> None:
    done, half = Run(home, request={"batch_id": "b1"}), Run(home, request={"batch_id": "b1"})
    other = Run(home, request={"batch_id": "b2"})
    done.write("complete")
    half.write("progress_update")
    other.write("log")
    with served(home) as server:
        said = httpx.get(f"{server.url}/api/batches/b1").json()
        nothing = httpx.get(f"{server.url}/api/batches/b3")
    assert (said["total"], said["states"]) == (2, {"complete": 1, "running": 1})
    assert (said["state"], said["progress"]) == ("running", 80.0)
    assert nothing.status_code == 404


def test_previews_and_the_video_are_served_with_ranges(
    home: Home, run: Run, tmp_path: Path
) -> None:
    (run.folder.previews / "cutout.png").write_bytes(b"\x89PNG" + bytes(100))
    video = tmp_path / "out.mp4"
    video.write_bytes(bytes(range(256)) * 10)
    run.write("preview")
    with served(home) as server:
        base = f"{server.url}/api/tasks/{run.id}"
        assert httpx.get(f"{base}/video").status_code == 404
        run.write("complete", video_path=str(video))
        wait_until(lambda: httpx.get(f"{base}/video").status_code == 200)
        part = httpx.get(f"{base}/video", headers={"Range": "bytes=256-259"})
        picture = httpx.get(f"{base}/previews/cutout.png")
    assert (part.status_code, part.content) == (206, bytes([0, 1, 2, 3]))
    assert part.headers["content-type"] == "video/mp4"
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert picture.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name",
    ["../request.json", "..%2frequest.json", "%2e%2e%2frequest.json", "link.png", ".hidden.png",
     "nothing.png", "text.txt", "..", "%00.png", "folder.png"],
)  # fmt: skip
def test_no_path_leaves_the_previews(home: Home, run: Run, name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (run.folder.previews / "link.png").symlink_to(tmp_path / "secret.png")
    (run.folder.previews / ".hidden.png").write_bytes(b"secret")
    (run.folder.previews / "text.txt").write_bytes(b"secret")
    (run.folder.previews / "folder.png").mkdir()
    with served(home) as server:
        answer = raw(server.port, f"GET /api/tasks/{run.id}/previews/{name} HTTP/1.1")
    assert b" 404 " in answer.split(b"\r\n")[0]
    assert b"secret" not in answer


def test_a_video_path_is_only_served_when_it_is_a_film(home: Home, run: Run) -> None:
    run.write("complete", video_path="/etc/passwd")
    with served(home) as server:
        assert httpx.get(f"{server.url}/api/tasks/{run.id}/video").status_code == 404


@pytest.mark.parametrize(
    "name", ["1", "550E8400-E29B-41D4-A716-446655440000", "a" * 5000, "%00", "é"]
)
def test_only_uuids_are_task_ids(home: Home, name: str) -> None:
    with served(home) as server:
        for path in ("/api/tasks/{}", "/api/sse/progress/{}", "/api/ws/progress/{}/latest"):
            answer = httpx.get(server.url + path.format(name))
            assert answer.status_code in (400, 404), path
            assert "/" not in answer.json()["error"]["message"]


def test_unknown_tasks_are_404(home: Home) -> None:
    with served(home) as server:
        for path in ("/api/tasks/{}", "/api/sse/progress/{}", "/api/tasks/{}/events"):
            answer = httpx.get(server.url + path.format(uuid.uuid4()))
            assert answer.json() == {
                "error": {"code": "unknown_task", "message": "There is no such task."}
            }
            assert answer.status_code == 404


def test_health_and_figures(home: Home, run: Run) -> None:
    run.write("log", count=3)
    with served(home) as server, stream(sse(server, run)) as events:
        events.take(3)
        assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}
        figures = httpx.get(f"{server.url}/metrics")
    assert figures.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "vidgen_watchers 1\n" in figures.text
    assert "vidgen_events_read_total 3\n" in figures.text
    assert 'vidgen_open_logs{state="running"} 1\n' in figures.text


def test_what_is_old_is_removed_by_itself(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    old, young = Run(home), Run(home)
    old.raw(old.line(1, "complete").replace(b"2026-", b"2020-"))
    os.utime(old.folder.events, (0, 0))
    young.write("complete")
    for run in (old, young):
        run.end()
    settings = Path(os.environ["VIDGEN_CONFIG"])
    settings.write_text("keep_history_days = 'soon'")  # is said in the log, and tried again
    with served(home, clean_seconds=0.02) as server:
        wait_until(lambda: "cleaning: " in caplog.text)
        assert httpx.get(f"{server.url}/api/tasks/{old.id}").status_code == 200
        settings.unlink()
        wait_until(lambda: not old.folder.root.exists())
    assert young.folder.root.exists()
