"""Links, pipes and broken logs in a store, disks that refuse: an answer, never a wrong file."""

import asyncio
import errno
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.serving import Run, Served, served, sse, stream, wait_until
from vidgen.events import Completed
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.fanout.hub import Hub, NotifierFactory
from vidgen.progress.fanout.inotify import Inotify, Notifier, Polling, notifier
from vidgen.progress.reporter import Reporter

FILM = b"the film " * 100
SECRET = b"somebody's secret"


@pytest.fixture
def server(home: Home) -> Iterator[Served]:
    with served(home) as server:
        yield server


def film(home: Home, tmp_path: Path) -> tuple[str, Path]:
    """A run that has ended with a film: its id, and the film."""
    file = tmp_path / "film.mp4"
    file.write_bytes(FILM)
    with Reporter(home=home) as report:
        report.complete(str(file))
    return f"/api/tasks/{report.task_id}/video", file


def link(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    file.unlink()
    file.symlink_to(secret)


def other(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(SECRET)
    secret.replace(file)


def hard_link(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    file.unlink()
    os.link(secret, file)


def circle(file: Path, tmp_path: Path) -> None:
    file.unlink()
    file.symlink_to(file)


def pipe(file: Path, tmp_path: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def folder(file: Path, tmp_path: Path) -> None:
    file.unlink()
    file.mkdir()


def folder_link(file: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "film.mp4").write_bytes(SECRET)
    file.unlink()
    file.symlink_to(elsewhere / "film.mp4")


@pytest.mark.parametrize("put", [link, other, hard_link, circle, pipe, folder, folder_link])
def test_only_the_runs_own_film_is_served(
    home: Home, server: Served, tmp_path: Path, put: Any
) -> None:
    route, file = film(home, tmp_path)
    assert httpx.get(server.url + route).content == FILM
    put(file, tmp_path)
    answer = httpx.get(server.url + route)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] in ("no_video", "other_video")


def test_a_film_that_moved_with_its_link_is_still_the_same(
    home: Home, server: Served, tmp_path: Path
) -> None:
    route, file = film(home, tmp_path)
    file.rename(tmp_path / "moved.mp4")
    file.symlink_to(tmp_path / "moved.mp4")
    part = httpx.get(server.url + route, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, FILM[4:8])


def test_the_film_of_an_older_log_is_served_unless_a_link_is_in_its_place(
    home: Home, server: Served, tmp_path: Path
) -> None:
    file = tmp_path / "old.mp4"
    file.write_bytes(FILM)
    run = Run(home)
    run.write("complete", video_path=str(file))
    url = f"{server.url}/api/tasks/{run.id}/video"
    assert httpx.get(url).content == FILM
    link(file, tmp_path)
    assert httpx.get(url).status_code == 404
    run.end()


def test_no_descriptor_is_left_of_many_films(home: Home, server: Served, tmp_path: Path) -> None:
    route, _ = film(home, tmp_path)
    httpx.get(server.url + route)
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for headers in ({}, {"Range": "bytes=0-3"}, {"Range": "bytes=9999999-"}, {"Range": "x"}) * 10:
        httpx.get(server.url + route, headers=headers)
        httpx.head(server.url + route)
    wait_until(lambda: sum(1 for _ in Path("/proc/self/fd").iterdir()) <= before + 2)


@pytest.mark.parametrize("kind", ["circle", "long circle", "pipe", "outward", "folder"])
def test_a_preview_that_is_no_picture_is_not_there(home: Home, server: Served, kind: str) -> None:
    run = Run(home)
    run.write("log")
    place = run.folder.previews / "cutout.png"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        chain = {"circle": [place], "outward": [Path("/etc/hostname")]}
        target = chain.get(kind, [run.folder.previews / f"{n}.png" for n in range(60)])
        for here, there in zip([place, *target], [*target, place], strict=True):
            if not here.exists() and not here.is_symlink():
                here.symlink_to(there)
    answer = httpx.get(f"{server.url}/api/tasks/{run.id}/previews/cutout")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_preview")
    run.end()


@pytest.mark.parametrize("what", ["pipe", "folder", "circle", "nothing"])
@pytest.mark.parametrize("name", ["events.jsonl", "request.json", "writer.lock"])
def test_strange_things_in_a_tasks_folder_hold_nobody_up(
    home: Home, server: Served, name: str, what: str
) -> None:
    good, odd = Run(home), Run(home)
    good.write("complete")
    good.end()
    odd.end()
    place = odd.folder.root / name
    place.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(place)
    elif what == "folder":
        place.mkdir()
    elif what == "circle":
        place.symlink_to(place)
    listed = httpx.get(f"{server.url}/api/tasks").json()
    assert listed["total"] == 2
    for route in ("", "/events", "/logs", "/previews/x", "/video"):
        assert httpx.get(f"{server.url}/api/tasks/{odd.id}{route}").status_code in (200, 404, 503)
    assert httpx.get(f"{server.url}/api/tasks/{good.id}").json()["state"] == "complete"


@pytest.mark.parametrize(
    "data",
    [
        {"progress": "NaN", "message": 5, "metadata": "x"},
        {"progress": None, "stage": {"a": 1}, "status": ["started"], "duration_seconds": "abc"},
        {"stage_progress": "x", "done": "1", "total": {}, "rate": "x", "eta_seconds": "x"},
        {"message_code": "{x:>2000000000}", "metadata": {"x": "a"}},
        {"message": "{0.__class__}", "level": 7, "name": None, "url": 3, "video_path": [1]},
        {"metadata": {"peak_memory_mb": "much", "seconds": {}}, "solutions": "x", "details": 1},
    ],
)
@pytest.mark.parametrize("event_type", ["stage_update", "progress_update", "complete", "error"])
def test_wrongly_typed_values_spoil_nothing_else(
    home: Home, server: Served, event_type: str, data: dict[str, Any]
) -> None:
    run, good = Run(home), Run(home)
    good.write("complete")
    run.write(event_type, **data)
    run.raw(b'{"v":1,"task_id":"x","seq":%d,"event_type":"log","timestamp":"","data":{}}\n' % 2**63)
    run.write("log")
    for route in ("/api/tasks", f"/api/tasks/{run.id}", f"/api/tasks/{run.id}/logs", "/metrics"):
        assert httpx.get(server.url + route).status_code == 200
    assert httpx.get(f"{server.url}/api/tasks").json()["total"] == 2
    with stream(sse(server, run)) as events:
        assert [envelope["seq"] for _, envelope in events.take(2)] == [1, 2]
    run.end()
    good.end()


def without_watches(number: int) -> NotifierFactory:
    """An inotify that gives no watch any more: the user's other programs have taken all 8,192."""

    def used_up(_: Path, loop: Any) -> Inotify:
        notifier = Inotify(loop)
        source = notifier._source

        class Exhausted:
            def __getattr__(self, name: str) -> Any:
                return getattr(source, name)

            def add_watch(self, *_: Any) -> int:
                raise OSError(number, os.strerror(number))

        notifier._source = Exhausted()
        return notifier

    return used_up


@pytest.fixture(params=[errno.ENOSPC, errno.ENOMEM], ids=["ENOSPC", "ENOMEM"])
def exhausted(home: Home, request: pytest.FixtureRequest) -> Iterator[Served]:
    with served(home, hub=Hub(home, notify=without_watches(request.param))) as server:
        yield server


@pytest.fixture
def run(home: Home) -> Iterator[Run]:
    run = Run(home)
    run.write("log")
    yield run
    run.end()


def test_without_inotify_watches_left_a_stream_goes_on(exhausted: Served, run: Run) -> None:
    with stream(sse(exhausted, run)) as events:
        events.take(1)
        run.write("log")
        run.write("complete")
        assert events.seqs() == [2, 3]


def test_without_inotify_watches_left_a_socket_goes_on(exhausted: Served, run: Run) -> None:
    with connect(f"ws://127.0.0.1:{exhausted.port}/api/ws/progress/{run.id}") as socket:
        for event_type in ("connected", "log"):
            assert json.loads(socket.recv(timeout=10))["event_type"] == event_type
        run.write("complete")
        assert [json.loads(message)["event_type"] for message in socket] == ["complete"]


def test_without_inotify_watches_left_a_long_poll_waits(exhausted: Served, run: Run) -> None:
    url = f"{exhausted.url}/api/tasks/{run.id}/events?after=1&wait=20"
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.get, url, timeout=30)
        wait_until(lambda: bool(exhausted.app.hub.tails()))
        run.write("complete")
        assert [event["seq"] for event in asked.result().json()["events"]] == [2]


def test_without_inotify_watches_left_a_new_run_appears(exhausted: Served, home: Home) -> None:
    with stream(f"{exhausted.url}/api/sse/progress") as events:
        wait_until(lambda: exhausted.app.hub.watcher_count == 1)
        late = Run(home)
        late.write("log")
        assert [envelope["task_id"] for _, envelope in events.take(1)] == [late.id]
    late.end()


def test_without_inotify_watches_left_only_what_is_not_there_is_404(exhausted: Served) -> None:
    nobody = "550e8400-e29b-41d4-a716-446655440000"
    assert httpx.get(f"{exhausted.url}/api/sse/progress/{nobody}").status_code == 404


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOSYS])
def test_without_an_inotify_folders_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    inotify_simple = pytest.importorskip("inotify_simple", reason="inotify is Linux's")

    def refuse(**_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(inotify_simple, "INotify", refuse)

    async def find() -> Notifier:
        found = notifier(tmp_path, asyncio.get_running_loop())
        found.close()
        return found

    assert isinstance(asyncio.run(find()), Polling)


def test_a_store_that_refuses_is_said_as_one(
    home: Home, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(server.app.listing, "page", refuse)
    answer = httpx.get(f"{server.url}/api/tasks")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store")
    assert str(home.root) not in answer.text


def test_the_film_is_named_by_the_event(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "v.mp4"
    file.touch()
    told: list[Any] = []
    found = file.stat()
    Broadcast("t", [told.append])(
        Completed(str(file), 1.0, video_file=[found.st_dev, found.st_ino])
    )
    assert told[0].data["video_file"] == [found.st_dev, found.st_ino]
