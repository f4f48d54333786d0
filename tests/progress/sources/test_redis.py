"""Runs through a real redis-server, which is killed in the middle; its clients' words."""

import contextlib
import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.serving import Run, Served, free_port, listed, served, stream, wait_until
from vidgen.errors import InputError, SetupError
from vidgen.paths import Home
from vidgen.progress.publisher import Publisher, publish_run, publish_store
from vidgen.progress.reporter import Reporter
from vidgen.progress.sources import redis_keys as keys
from vidgen.progress.sources.address import parse_sources
from vidgen.progress.sources.sources import Sources
from vidgen.progress.watch.timing import Timing

redis = pytest.importorskip("redis")
PROGRAMS = ("redis-server", "valkey-server")  # the first of them that is here is used
PROGRAM = next(filter(None, map(shutil.which, PROGRAMS)), "")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="no redis-server here")
IMPATIENT = Timing(first_wait=0.02, longest_wait=0.02)


class RedisServer:
    """A real one, that forgets everything when it is killed."""

    def __init__(self, folder: Path, program: str = PROGRAM) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._command = [
            program, "--port", str(self.port), "--dir", str(folder), "--save", "",
        ]  # fmt: skip
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(self.is_there)

    def is_there(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Let it hang, as on a line that is dead."""
        self._process.send_signal(signal.SIGSTOP)

    def stored(self, task_id: str) -> list[int]:
        found: Any = self.client.xrange(keys.stream_key(task_id))
        return [int(fields[b"seq"]) for _, fields in found]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    one = RedisServer(tmp_path)
    yield one
    one.kill()
    one.client.close()


@contextlib.contextmanager
def serving(home: Home, url: str) -> Iterator[Served]:
    sources = Sources(home, parse_sources(url), timing=IMPATIENT, every=0.2)
    with served(home, other_machines=sources) as here:
        yield here


def test_a_run_is_in_redis_after_its_log_and_once(server: RedisServer, far: Home) -> None:
    run = Run(far, request={"title": "anna", "batch_id": "night"})
    run.write("log", "progress_update")
    with Publisher(server.url, far) as one, Publisher(server.url, far) as other:
        for publisher in (one, other):  # the same run, told of twice
            publisher.ring(run.id)
        wait_until(lambda: server.stored(run.id) == [1, 2])
        run.write("log", "complete")
        for publisher in (one, other):
            publisher.ring(run.id)
    assert one.has_all
    assert server.stored(run.id) == [1, 2, 3, 4]
    about: Any = server.client.hgetall(keys.about_key(run.id))
    assert (about[b"title"], about[b"batch_id"]) == (b"anna", b"night")
    assert 0 < int(server.client.ttl(keys.stream_key(run.id))) <= keys.KEEP_SECONDS
    assert 0 < int(server.client.ttl(keys.about_key(run.id))) <= keys.KEEP_SECONDS


def test_other_services_hear_their_own_words(server: RedisServer, far: Home) -> None:
    with server.client.pubsub() as heard:
        heard.psubscribe("job_progress:*")
        heard.get_message(timeout=5.0)
        with Reporter(["rendering"], task_id="job_12345", home=far, publish=server.url) as report:
            with report.stage("rendering"):
                report.progress(3, 4, "frames", "Drawing")
            report.complete({"video_url": "https://cdn.example.com/v.mp4"})
        words = []
        while message := heard.get_message(timeout=1.0):
            words.append(json.loads(message["data"]))
            if words[-1]["status"] == "completed":
                break
        assert message["channel"] == b"job_progress:job_12345"
    status = json.loads(server.client.get("job_status:job_12345") or b"")
    assert {word["status"] for word in words} == {"processing", "completed"}
    assert {word["job_id"] for word in words} == {"job_12345"}
    assert (status["status"], status["progress"]) == ("completed", 1.0)
    assert status["result"]["video_url"] == "https://cdn.example.com/v.mp4"


def test_a_redis_that_is_away_costs_a_run_nothing_and_gets_all_of_it_later(
    server: RedisServer, far: Home
) -> None:
    server.kill()
    left: list[str] = []
    began = time.process_time()
    with (
        publish_run(server.url, far, lambda host, **_: left.append(host)) as sinks,
        Reporter(["work"], task_id="job-1", home=far, views=sinks) as report,
    ):
        for done in range(50):
            report.progress(done, 50)
    assert time.process_time() - began < 2.0
    assert left == [f"127.0.0.1:{server.port}"]
    server.start()
    with publish_store(server.url, far):
        wait_until(lambda: bool(server.stored("job-1")))
        wait_until(lambda: server.client.get("job_status:job-1") is not None)
        count = len((far.task("job-1").events).read_bytes().splitlines())
        wait_until(lambda: server.stored("job-1") == list(range(1, count + 1)))


def test_trouble_is_said_once_and_its_end_too(server: RedisServer, far: Home) -> None:
    run = Run(far)
    said: list[bool] = []
    server.kill()
    with Publisher(server.url, far, lambda _, reason: said.append(bool(reason))) as publisher:
        for _ in range(5):
            run.write("log")
            publisher.ring(run.id)
            time.sleep(0.02)
        wait_until(lambda: said == [True])
        server.start()
        wait_until(lambda: server.stored(run.id) == [1, 2, 3, 4, 5])
        wait_until(lambda: said == [True, False])


def test_nothing_is_lost_or_told_twice_over_twenty_restarts(
    server: RedisServer, home: Home, far: Home
) -> None:
    run = Run(far)
    run.write("log")
    publishing = publish_store(server.url, far, every=0.02, retry=(0.02, 0.02))
    with publishing, serving(home, server.url) as here:
        wait_until(lambda: run.id in listed(here))
        with stream(f"{here.url}/api/sse/progress/{run.id}", timeout=30) as events:
            for _ in range(20):
                run.write("log", "progress_update", count=2)
                server.kill()
                run.write("log", "progress_update")
                server.start()
                wait_until(lambda: len(server.stored(run.id)) > 0)
            run.write("complete")
            seqs = events.seqs()
    assert seqs == list(range(1, run.seq + 1))


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"no {name}"))
        for name in PROGRAMS
    ],
)
def test_redis_and_valkey_are_the_same_to_us(
    program: str, home: Home, far: Home, tmp_path: Path
) -> None:
    run, server = Run(far), RedisServer(tmp_path, program)
    run.write("log")
    publishing = publish_store(server.url, far, every=0.02, retry=(0.02, 0.02))
    with publishing, serving(home, server.url) as here:
        wait_until(lambda: run.id in listed(here))
        with stream(f"{here.url}/api/sse/progress/{run.id}", timeout=30) as events:
            server.kill()
            run.write("log", "complete")
            server.start()
            assert events.seqs() == [1, 2, 3]
    server.kill()
    server.client.close()


def test_a_server_shows_what_others_publish(server: RedisServer, home: Home, far: Home) -> None:
    run, left = Run(far, request={"title": "anna"}), Run(far, "job-1")
    run.write("log")
    left.write("log")
    name = f"127-0-0-1-{server.port}.job-1"
    with publish_store(server.url, far), serving(home, server.url) as here:
        wait_until(lambda: len(listed(here)) == 2)
        assert listed(here)[run.id]["title"] == "anna"
        assert (listed(here)[run.id]["state"], listed(here)[name]["state"]) == ("running",) * 2
        with stream(f"{here.url}/api/sse/progress") as events:
            run.write("complete")
            seen = [e for _, e in events.take(3)]
        left.end()
        server.client.delete(keys.alive_key("job-1"))  # as after 30 s
        wait_until(lambda: listed(here)[name]["state"] == "interrupted")
        assert httpx.get(f"{here.url}/api/tasks/{run.id}/video").status_code == 404
    assert sorted((e["task_id"], e["seq"]) for e in seen) == sorted(
        [(run.id, 1), (run.id, 2), (name, 1)]
    )


def test_a_cursor_that_was_trimmed_away_gets_a_reset(
    server: RedisServer, home: Home, far: Home
) -> None:
    run = Run(far)
    run.write("log", count=20)
    with publish_store(server.url, far):
        wait_until(lambda: len(server.stored(run.id)) == 20)
    server.client.xtrim(keys.stream_key(run.id), maxlen=5, approximate=False)
    with publish_store(server.url, far), serving(home, server.url) as here:
        wait_until(lambda: run.id in listed(here))
        url = f"{here.url}/api/sse/progress/{run.id}"
        with stream(url) as events:
            ids = [event_id for event_id, _ in events.take(6)]
        epoch = ids[0].partition("-")[0]
        with stream(url, {"Last-Event-ID": f"{epoch}-18"}) as events:  # what follows is there
            kept = [e["seq"] for _, e in events.take(2)]
        with stream(url, {"Last-Event-ID": f"{epoch}-7"}) as events:
            (_, reset), *_ = events.take(1)
    assert ids == [f"{epoch}-{seq}" for seq in (1, 16, 17, 18, 19, 20)]
    assert kept == [19, 20]
    assert (reset["event_type"], reset["data"]["last_seq"]) == ("reset", 20)


def test_several_publishers_and_several_servers(
    server: RedisServer, home: Home, far: Home, tmp_path: Path
) -> None:
    third, runs = Home(tmp_path / "third"), [Run(far), Run(home)]
    third.tasks.mkdir(parents=True)
    for run in runs:
        run.write("log", "complete")
    with (
        publish_store(server.url, far),
        publish_store(server.url, home),
        serving(third, server.url) as one,
        serving(home, server.url) as other,
    ):
        ids = {run.id for run in runs}
        wait_until(lambda: set(listed(one)) == ids == set(listed(other)))
        assert "host" not in listed(other)[runs[1].id]  # its own


def test_a_redis_that_hangs_holds_nobody_up(server: RedisServer, far: Home) -> None:
    with (
        publish_run(server.url, far) as sinks,
        Reporter(["work"], task_id="job-1", home=far, views=sinks) as report,
    ):
        report.progress(1, 2)
        server.stop()
        telling = threading.Thread(target=report.progress, args=(2, 2), daemon=True)
        telling.start()
        telling.join(5.0)
        assert not telling.is_alive()


def test_what_is_no_redis(far: Home) -> None:
    with pytest.raises(InputError) as refused:
        Publisher("http://127.0.0.1:1", far)
    assert refused.value.code == "sources.redis_address"
    assert isinstance(refused.value, InputError | SetupError)
