"""The server over real sockets: every path, resuming, limits, and what must not bring it down."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import (
    Run,
    Served,
    free_port,
    resident_mb,
    served,
    serving_process,
    stream,
    wait_until,
)
from vidgen.paths import Home
from vidgen.progress import watcher as watcher_module

TOKEN = "a-token-of-enough-letters-for-a-test"  # of a test


@pytest.fixture
def run(home: Home) -> Run:
    return Run(home, request={"inputs": {"photo": {"path": "/home/x/anna.jpg"}}})


def sse(server: Served, run: Run, query: str = "") -> str:
    return f"{server.url}/api/sse/progress/{run.id}{query}"


def types(events: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [event["event_type"] for _, event in events]


# Streams


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
    with served(home) as server:
        began = time.perf_counter()
        with httpx.stream("GET", sse(server, run)) as response:
            first = next(response.iter_raw())
        assert time.perf_counter() - began < 0.5
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


def test_a_replay_too_large_comes_as_a_snapshot(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "REPLAY_BYTES", 2000)
    run.write("log", count=50)
    with served(home) as server, stream(sse(server, run)) as events:
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
    with served(home) as server:
        with stream(sse(server, run)) as events:
            events.take(1)
            shutil.rmtree(run.folder.root)
            assert types(list(events))[-1] == "deleted"
        assert httpx.get(sse(server, run)).status_code == 404


def test_a_killed_run_is_told_and_a_resumed_one_goes_on(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidgen.progress.hub.SILENT_SECONDS", 0.1)
    run.write("stage_update")
    with served(home) as server, stream(sse(server, run)) as events:
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
    with served(home) as server, stream(sse(server, run)) as events:
        assert types(events.take(2)) == ["stage_update", "interrupted"]


def test_a_stream_waits_for_a_task_that_has_not_begun(home: Home, run: Run) -> None:
    with served(home) as server, stream(sse(server, run)) as events:
        threading.Timer(0.2, run.write, ["log", "complete"]).start()
        assert events.seqs() == [1, 2]


def test_heartbeats_come_without_an_id(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidgen.progress.hub.HEARTBEAT_SECONDS", 1)
    run.write("stage_update")
    with served(home) as server, stream(sse(server, run)) as events:
        events.has_beats = True
        (first_id, _), (beat_id, beat) = events.take(2)
    assert (beat["event_type"], beat["seq"], beat["task_id"]) == ("heartbeat", 1, run.id)
    assert beat["data"] == {"stage": "rendering", "progress": 60.01, "message": ""}
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


# Plain requests


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
        began = time.perf_counter()
        answer = httpx.get(f"{server.url}/api/tasks").json()
        took = time.perf_counter() - began
    assert (answer["total"], len(answer["tasks"])) == (10_001, 50)
    assert took < 0.3 * 2  # 0.15 s alone on two cores; tests share them


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
    assert latest == events[-1]
    assert history == {"task_id": run.id, "event_count": 2, "events": events}


def test_a_long_poll_waits_for_news(home: Home, run: Run) -> None:
    run.write("log")
    with served(home) as server:
        url = f"{server.url}/api/tasks/{run.id}/events"
        first = httpx.get(url).json()
        assert [e["seq"] for e in first["events"]] == [1]
        threading.Timer(0.3, run.write, ["complete"]).start()
        began = time.perf_counter()
        second = httpx.get(url, params={"after": first["cursor"], "wait": 10}).json()
        assert 0.2 < time.perf_counter() - began < 3
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
    assert [e["seq"] for e in every["logs"]] == [1, 4]
    assert [e["seq"] for e in warnings["logs"]] == [4]
    assert [e["seq"] for e in late["logs"]] == [4]


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


# Who may come in


@pytest.fixture
def locked(home: Home) -> Any:
    with served(home, token=TOKEN) as server:
        yield server


def test_without_the_token_nothing_is_told(locked: Served) -> None:
    for path in ("/api/tasks", "/metrics", "/api/sse/progress"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = httpx.get(locked.url + path, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert httpx.get(f"{locked.url}/healthz").status_code == 200


def test_the_token_lets_in(locked: Served) -> None:
    answer = httpx.get(f"{locked.url}/api/tasks", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200


def test_a_token_in_the_address_is_changed_for_a_cookie_at_once(locked: Served) -> None:
    with httpx.Client(base_url=locked.url) as browser:
        answer = browser.get(f"/api/tasks?limit=5&token={TOKEN}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/api/tasks?limit=5")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert TOKEN not in cookie
        assert browser.get("/api/tasks").status_code == 200
        assert browser.get("/api/tasks?token=wrong-and-long-enough").status_code == 200


def test_a_wrong_token_in_the_address_is_refused(locked: Served) -> None:
    answer = httpx.get(f"{locked.url}/api/tasks?token=wrong-and-long-enough")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "wrong_token")


def test_the_page_changes_the_token_for_a_cookie(locked: Served) -> None:
    with httpx.Client(base_url=locked.url) as browser:
        assert browser.post("/api/session").status_code == 401
        answer = browser.post("/api/session", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 204
        assert browser.get("/api/tasks").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "localhost.evil.example"])
def test_another_host_name_is_refused(home: Home, host: str) -> None:
    with served(home) as server:
        answer = raw(server.port, "GET /api/tasks HTTP/1.1", host=host)
    assert b" 421 " in answer.split(b"\r\n")[0]


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:99", "[::1]:80", "192.168.1.7", "box.example"]
)
def test_own_names_and_addresses_are_answered(home: Home, host: str) -> None:
    with served(home, host_names=("box.example",)) as server:
        answer = raw(server.port, "GET /api/tasks HTTP/1.1", host=host)
    assert b" 200 " in answer.split(b"\r\n")[0]


def test_other_sites_are_refused_and_get_no_cors(home: Home) -> None:
    with served(home, origins=("https://app.example",)) as server:
        url = f"{server.url}/api/tasks"
        assert httpx.get(url, headers={"Origin": "https://evil.example"}).status_code == 403
        assert httpx.get(url, headers={"Origin": "null"}).status_code == 403
        own = httpx.get(url, headers={"Origin": server.url})
        asked = httpx.get(url, headers={"Origin": "https://app.example"})
    assert (own.status_code, asked.status_code) == (200, 200)
    assert "access-control-allow-origin" not in own.headers
    assert asked.headers["access-control-allow-origin"] == "https://app.example"


def test_answers_are_hardened(home: Home) -> None:
    with served(home) as server:
        for path in ("/", "/api/tasks", "/nothing"):
            headers = httpx.get(server.url + path).headers
            assert headers["content-security-policy"].startswith("default-src 'none'; ")
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert "server" not in headers


def test_a_bug_tells_no_path_and_no_trace(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("/secret/path")

    with served(home) as server:
        monkeypatch.setattr(server.app.listing, "page", broken)
        answer = httpx.get(f"{server.url}/api/tasks")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "bug")
    assert "secret" not in answer.text


# Limits


def test_too_many_streams_are_told_when_to_come_back(home: Home, run: Run) -> None:
    run.write("log")
    with served(home, max_watchers=3, per_address=2) as server, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(stream(sse(server, run))) for _ in range(2)]
        for events in streams:
            events.take(1)
        answer = httpx.get(sse(server, run))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    with served(home, max_watchers=1) as server, stream(sse(server, run)) as events:
        events.take(1)
        answer = httpx.get(sse(server, run))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_a_place_is_free_again_when_its_watcher_has_gone(home: Home, run: Run) -> None:
    run.write("log")
    with served(home, max_watchers=1) as server:
        for _ in range(3):
            wait_until(lambda: server.app.hub.watcher_count == 0)
            with stream(sse(server, run)) as events:
                assert events.take(1)[0][1]["seq"] == 1


def test_a_thousand_resets_leave_no_place_taken(home: Home, run: Run) -> None:
    run.write("log")
    request = f"GET /api/sse/progress/{run.id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with served(home, max_watchers=5, per_address=5) as server:
        for number in range(1000):
            with socket.create_connection(("127.0.0.1", server.port)) as peer:
                peer.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0])
                )
                peer.sendall(request)
                if number % 3 == 0:
                    peer.recv(10)
        wait_until(lambda: server.app.hub.watcher_count == 0)
        with stream(sse(server, run)) as events:
            assert events.take(1)[0][1]["seq"] == 1


def test_a_reader_that_stops_is_cut_and_memory_stays(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "STALL_SECONDS", 0.5)
    with served(home) as server:
        before = resident_mb(os.getpid())
        slow = socket.create_connection(("127.0.0.1", server.port))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(f"GET /api/sse/progress/{run.id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        slow.recv(1)
        with stream(sse(server, run)) as events:
            for _ in range(60):
                run.write("log", count=20, text="x" * 5000)  # 6 MB in all
                events.take(20)
            wait_until(lambda: server.app.hub.cuts == 1)
            assert server.app.hub.watcher_count == 1  # the other one is still here
        assert resident_mb(os.getpid()) - before < 40
        slow.close()


def test_a_slow_watcher_gets_the_newest_snapshots_and_every_other_event(
    home: Home, run: Run
) -> None:
    run.write("log")
    with served(home) as server:
        peer = socket.create_connection(("127.0.0.1", server.port))
        peer.sendall(f"GET /api/sse/progress/{run.id} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        wait_until(lambda: server.app.hub.watcher_count == 1)
        for _ in range(200):  # far more than the socket's buffers take, while nobody reads
            run.write("progress_update", count=19, filler="x" * 3000)
            run.write("log")
            time.sleep(0.002)
        run.write("complete")
        content = b""
        while chunk := peer.recv(1 << 16):
            content += chunk
        peer.close()
    events = [json.loads(line[6:]) for line in content.split(b"\n") if line.startswith(b"data: ")]
    seqs = [event["seq"] for event in events]
    kept = [event["seq"] for event in events if event["event_type"] != "progress_update"]
    assert seqs == sorted(set(seqs))
    assert kept == [1, *range(21, 4002, 20), 4002]
    assert len(seqs) < 3500


# Faults


def raw(port: int, line: str, host: str = "localhost", extra: bytes = b"") -> bytes:
    """What comes back for a request written by hand."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        head = f"{line}\r\nHost: {host}\r\nConnection: close\r\n"
        peer.sendall(head.encode() + extra + b"\r\n")
        answer = b""
        while chunk := peer.recv(65536):
            answer += chunk
        return answer


def test_a_huge_head_is_refused(home: Home) -> None:
    with served(home) as server:
        answer = raw(server.port, "GET / HTTP/1.1", extra=b"X: " + b"a" * 65536 + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_head_that_never_ends_is_cut(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidgen.progress.protocol.HEAD_SECONDS", 0.3)
    with served(home) as server, socket.create_connection(("127.0.0.1", server.port), 5) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(100) == b""


@pytest.mark.parametrize(
    "content", [b"\x16\x03\x01\x02\x00", b"\0" * 100, b"GET\r\n\r\n", b"\xff\xfe", os.urandom(4096)]
)
def test_garbage_on_the_socket_does_no_harm(home: Home, content: bytes) -> None:
    with served(home) as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as peer:
            peer.sendall(content)
            peer.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while peer.recv(65536):
                    pass
        assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_thousand_half_open_connections(home: Home, run: Run) -> None:
    run.write("log")
    with serving_process(home) as server:
        before = resident_mb(server.process.pid)
        peers = []
        for number in range(1000):
            peer = socket.create_connection(("127.0.0.1", server.port))
            if number % 2:
                peer.sendall(b"GET / HTTP/1.1\r\nHo")
            peers.append(peer)
        began = time.perf_counter()
        with stream(sse(server, run)) as events:
            assert events.take(1)[0][1]["seq"] == 1
        assert time.perf_counter() - began < 1
        assert resident_mb(server.process.pid) - before < 20
        for peer in peers:
            peer.close()


def test_a_killed_server_loses_and_repeats_nothing(home: Home, run: Run) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.005):
            run.write("progress_update")
        run.write("complete")

    writer = threading.Thread(target=write)
    writer.start()
    got: list[int] = []
    last_id = ""
    with serving_process(home) as server:
        for _ in range(3):
            with (
                contextlib.suppress(httpx.HTTPError),
                stream(sse(server, run), {"Last-Event-ID": last_id} if last_id else {}) as events,
            ):
                for event_id, event in events:
                    last_id = event_id
                    got.append(event["seq"])
                    if len(got) % 60 == 0:
                        server.kill()
            server.start()
        stop.set()
        writer.join()
        with stream(sse(server, run), {"Last-Event-ID": last_id}) as events:
            got += events.seqs()
    assert got == list(range(1, run.seq + 1))


def test_the_server_ends_in_two_seconds_and_says_when_to_come_back(home: Home, run: Run) -> None:
    run.write("log")
    with serving_process(home) as server, stream(sse(server, run)) as events:
        events.take(1)
        began = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        assert list(events) == []
        assert 1000 <= (events.decoder.retry_ms or 0) <= 10_000
        server.process.wait(5)
        assert time.perf_counter() - began < 2


def test_a_clock_that_goes_back_changes_nothing(home: Home, run: Run) -> None:
    late = run.line(1, "log").replace(b"2026-11-20", b"2031-01-01")
    run.raw(late + run.line(2, "complete"))
    with served(home) as server, stream(sse(server, run)) as events:
        assert events.seqs() == [1, 2]


def test_a_taken_port_is_told(home: Home) -> None:
    from vidgen.errors import SetupError
    from vidgen.progress.app import Rules
    from vidgen.progress.server import serve

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SetupError, match=f"Port {port} of 127.0.0.1 cannot be opened"):
            serve(home, Rules(port=port))


def test_the_server_loads_nothing_of_the_pipeline(home: Home) -> None:
    code = (
        "import sys\n"
        "from vidgen.progress.app import Application, Rules\n"
        "import vidgen.progress.server\n"
        "heavy = {'torch', 'cv2', 'av', 'numpy', 'scipy', 'parselmouth', 'PIL', 'rich', 'typer'}\n"
        "stages = {n for n in sys.modules if n.startswith(('vidgen.stages', 'vidgen.renderers'))}\n"
        "print(sorted((heavy & set(sys.modules)) | stages))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_no_more_than_one_reading_for_many_watchers(home: Home, run: Run) -> None:
    """Each event is read and parsed once, whoever watches."""
    run.write("log")
    with served(home) as server, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(stream(sse(server, run))) for _ in range(10)]
        run.write("log", count=50)
        run.write("complete")
        for events in streams:
            assert events.seqs() == list(range(1, 53))
        assert server.app.hub.events_read == 52


def test_polling_serves_as_well_as_inotify(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidgen.progress.notify import Polling

    monkeypatch.setattr("vidgen.progress.hub.notifier", lambda _, loop: Polling(loop))
    with served(home) as server, stream(sse(server, run)) as events:
        threading.Timer(0.2, run.write, ["log", "complete"]).start()
        assert events.seqs() == [1, 2]


def test_a_free_port_is_found() -> None:
    assert asyncio.run(_can_listen(free_port()))


async def _can_listen(port: int) -> bool:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    server.close()
    await server.wait_closed()
    return True


def test_no_log_ever_holds_the_token(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with served(home, token=TOKEN) as server:
        for path in ("/", "/api/tasks", "/api/sse/progress", "/nothing"):
            httpx.get(f"{server.url}{path}?token={TOKEN}")
            httpx.get(f"{server.url}{path}", headers={"Authorization": f"Bearer {TOKEN}"[:-1]})
        raw(server.port, f"GET /?token={TOKEN}\x00 HTTP/1.1")
    server_said = [r.getMessage() for r in caplog.records if not r.name.startswith("http")]
    assert not any(TOKEN[:-1] in message for message in server_said)
