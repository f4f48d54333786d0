"""Runs that are asked for over the network: checked, queued, run one by one, cancelled."""

import errno
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.heif import heic
from tests.support.serving import Run, Served, served, wait_until
from vidgen.media import photo
from vidgen.paths import Home
from vidgen.progress.serve import jobs as jobs_module
from vidgen.progress.serve.auth import task_token
from vidgen.progress.serve.jobs import MOST_QUEUED, Jobs, run_command
from vidgen.progress.serve.uploads import Order
from vidgen.progress.store.cleanup import clean
from vidgen.progress.store.lock import is_held
from vidgen.progress.store.reader import iter_events

TOKEN = "a-token-of-enough-letters-for-a-test"
KEY = {"Authorization": f"Bearer {TOKEN}"}
JPEG = b"\xff\xd8\xff\xe0" + bytes(100)
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(100)

# Stands for `vidgen run`: writes a log under the lock, as a run does, until done or told to end.
RUNNER = """
import json, os, signal, sys, time
from pathlib import Path
from vidgen.events import Completed, RunCancelled, StageStarted
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.store.log import TaskLog
task, seconds = Home.default().task(sys.argv[1]), float(sys.argv[2])
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
with TaskLog(task) as log:
    emit = Broadcast(task.task_id, log=log)
    emit(StageStarted("rendering"))
    until = time.monotonic() + seconds
    while time.monotonic() < until and not ended:
        time.sleep(0.01)
    emit(RunCancelled() if ended else Completed("x.mp4", 1.0, {"arguments": sys.argv[3:]}))
"""


@pytest.fixture
def seconds() -> list[float]:
    """How long the stand-in for a run takes; change the one number."""
    return [0.1]


def quick_jobs(home: Home, seconds: list[float], **limits: Any) -> Jobs:
    """A queue whose runs are stand-ins that take so long."""

    def command(task_id: str, order: Order, output: Path) -> list[str]:
        return [sys.executable, "-c", RUNNER, task_id, str(seconds[0]), str(order.photo.name),
                str(order.voice.name), output.name, *order.options.values()]  # fmt: skip

    return Jobs(home, command, **limits)


@pytest.fixture
def server(home: Home, seconds: list[float]) -> Iterator[Served]:
    jobs = quick_jobs(home, seconds)
    with served(home, token=TOKEN, accepts_jobs=True, jobs=jobs) as server:
        yield server
        wait_until(lambda: not jobs._started)  # a run says that it ended before its process has


def asked(
    server: Served, photo: bytes = JPEG, voice: bytes = WAV, **options: str
) -> httpx.Response:
    return httpx.post(
        f"{server.url}/api/video-generation/generate",
        files={"photo": ("../Anna Ø.exe", photo), "voice": ("hello.wav", voice)},
        data=options,
        headers=KEY,
        timeout=60,
    )


def state(server: Served, task_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{server.url}/api/tasks/{task_id}", headers=KEY).json()
    return answer


def ended(server: Served, task_id: str) -> dict[str, Any]:
    wait_until(lambda: state(server, task_id)["end"] is not None)
    return state(server, task_id)


THEIRS = {"conf_threshold": "0.5", "apply_smoothing": "true", "batch": "night"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/video-generation/generate", "task_id"),
        ("/v1/videos/generations/async", "taskId"),
        ("/jobs/create", "job_id"),
    ],
)
def test_an_order_in_other_words(server: Served, path: str, name: str) -> None:
    files = {"image": ("photo.jpg", JPEG), "audio": ("voice.wav", WAV)}
    answer = httpx.post(server.url + path, files=files, data=THEIRS, headers=KEY)
    assert answer.status_code == 202, answer.text
    said = answer.json()
    assert said["status"] == {"taskId": "pending"}.get(name, "queued")
    own = {"Authorization": f"Bearer {said['token']}"}
    arguments = ended(server, said[name])["metadata"]["arguments"]
    assert arguments == ["photo.jpg", "voice.wav", "video.mp4", "0.5", "1", "night"]
    assert httpx.get(f"{server.url}/api/tasks/{said[name]}", headers=own).status_code == 200


def test_answers_name_the_public_address(home: Home, seconds: list[float]) -> None:
    jobs, public = quick_jobs(home, seconds), "https://video.example"
    with served(home, token=TOKEN, accepts_jobs=True, jobs=jobs, public_url=public) as server:
        said = asked(server).json()
        assert said["websocket_url"].startswith("wss://video.example/api/ws/progress/")
        assert said["polling_url"].startswith("https://video.example/api/ws/progress/")
        site = {**KEY, "Origin": public, "Host": "backend"}
        assert httpx.get(f"{server.url}/api/tasks", headers=site).status_code == 421
        named = {**site, "Host": "video.example"}
        assert httpx.get(f"{server.url}/api/tasks", headers=named).status_code == 200
        wait_until(lambda: not jobs._started)


def test_a_paid_renderer_is_for_servers_that_allow_it(home: Home, seconds: list[float]) -> None:
    jobs = quick_jobs(home, seconds, allows_paid=True)
    with served(home, token=TOKEN, accepts_jobs=True, jobs=jobs) as server:
        task_id = asked(server, renderer="d-id").json()["task_id"]
        arguments = ended(server, task_id)["metadata"]["arguments"]
        wait_until(lambda: not jobs._started)
    assert arguments[-1] == "d-id"


def test_an_order_is_queued_run_and_watched(home: Home, server: Served) -> None:
    answer = asked(server, pitch="-1.5", format="webm")
    assert answer.status_code == 202, answer.text
    said = answer.json()
    task_id = said["task_id"]
    assert said == {
        "task_id": task_id,
        "message": "Pipeline started, use provided URLs to track progress",
        "status": "queued",
        "token": task_token(TOKEN, task_id),
        "sse_url": f"{server.url}/api/sse/progress/{task_id}",
        "websocket_url": f"ws://127.0.0.1:{server.port}/api/ws/progress/{task_id}",
        "polling_url": f"{server.url}/api/ws/progress/{task_id}/latest",
        "events_url": f"{server.url}/api/tasks/{task_id}/events",
        "status_url": f"{server.url}/api/tasks/{task_id}",
        "cancel_url": f"{server.url}/api/tasks/{task_id}/cancel",
    }
    with httpx.stream("GET", said["sse_url"], headers=KEY) as stream:
        told = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    told = [event for event in told if event["event_type"] != "heartbeat"]  # on a busy machine
    assert [event["event_type"] for event in told] == ["stage_update", "complete"]
    arguments = told[-1]["data"]["metadata"]["arguments"]
    assert arguments == ["Anna Ø.jpg", "hello.wav", "video.webm", "-1.5", "webm"]
    wait_until(lambda: not (home.task(task_id).root / "upload").exists())


def test_the_command_line_is_that_of_a_run(tmp_path: Path) -> None:
    order = Order(Path("a.jpg"), Path("b.wav"), {"conf_threshold": "0.4"})
    command = run_command("id", order, Path("v.mp4"))
    assert command == [
        sys.executable, "-m", "vidgen", "run", "a.jpg", "b.wav", "--output=v.mp4", "--task-id=id",
        "--progress=quiet", "--renderer=auto", "--conf-threshold=0.4",
    ]  # fmt: skip


def test_orders_run_one_after_the_other(home: Home, server: Served) -> None:
    ids = [asked(server).json()["task_id"] for _ in range(2)]
    assert [ended(server, task_id)["state"] for task_id in ids] == ["complete"] * 2
    first, second = (list(iter_events(home.task(task_id).events)) for task_id in ids)
    begun = next(event for event in second if event.data["stage"] == "rendering")
    assert first[-1].timestamp <= begun.timestamp


@pytest.mark.parametrize("when", ["queued", "running"])
def test_a_run_is_cancelled_wherever_it_is(server: Served, seconds: list[float], when: str) -> None:
    seconds[0] = 30.0
    first, second = asked(server).json()["task_id"], asked(server).json()["task_id"]
    wait_until(lambda: state(server, first)["state"] == "running")
    task_id = {"queued": second, "running": first}[when]
    answer = httpx.post(f"{server.url}/api/tasks/{task_id}/cancel", headers=KEY)
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
    assert ended(server, task_id)["state"] == "cancelled"
    for other in (second, first):
        httpx.post(f"{server.url}/api/tasks/{other}/cancel", headers=KEY)
    ended(server, first)
    ended(server, second)


def test_what_does_not_run_cannot_be_cancelled(home: Home, server: Served) -> None:
    done = Run(home)
    done.write("complete")
    done.end()
    for name, status in (
        (done.id, 409),
        ("550e8400-e29b-41d4-a716-446655440000", 404),
        ("x.", 400),
    ):
        answer = httpx.post(f"{server.url}/api/tasks/{name}/cancel", headers=KEY)
        assert answer.status_code == status


def test_a_run_that_cannot_start_is_told(
    home: Home, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.app.jobs is not None
    monkeypatch.setattr(server.app.jobs, "_command", lambda *_: [sys.executable, "-c", "exit(7)"])
    said = ended(server, asked(server).json()["task_id"])
    assert (said["state"], said["end"]["error_code"]) == ("failed", "page.not_started")
    assert said["end"]["details"] == {"reason": "exit code 7"}


@pytest.mark.filterwarnings("ignore:subprocess .* is still running")  # as it shall
def test_the_next_server_goes_on_with_the_queue(home: Home, seconds: list[float]) -> None:
    seconds[0] = 1.0
    with served(home, token=TOKEN, accepts_jobs=True, jobs=quick_jobs(home, seconds)) as server:
        first, second = asked(server).json()["task_id"], asked(server).json()["task_id"]
        wait_until(lambda: state(server, first)["state"] == "running")
    seconds[0] = 0.1
    with served(home, token=TOKEN, accepts_jobs=True, jobs=quick_jobs(home, seconds)) as server:
        assert ended(server, second)["state"] == "complete"
        assert ended(server, first)["state"] == "complete"  # it outlived its server


def test_without_the_flag_there_is_nothing_to_ask(home: Home) -> None:
    with served(home, token=TOKEN) as server:
        assert asked(server).status_code == 404


def test_without_the_token_nothing_is_taken(server: Served) -> None:
    answer = httpx.post(
        f"{server.url}/api/video-generation/generate",
        files={"photo": ("a.jpg", JPEG), "voice": ("b.wav", WAV)},
    )
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("files", "options", "status", "code"),
    [
        ({"photo": JPEG}, {}, 400, "bad_form"),
        ({"photo": JPEG, "voice": WAV, "more": WAV}, {}, 400, "bad_form"),
        ({"photo": b"MZ\x90 program", "voice": WAV}, {}, 415, "bad_file"),
        ({"photo": JPEG, "voice": b"<html>"}, {}, 415, "bad_file"),
        ({"photo": b"", "voice": WAV}, {}, 415, "bad_file"),
        ({"photo": JPEG, "voice": WAV}, {"pitch": "99"}, 400, "bad_option"),
        ({"photo": JPEG, "voice": WAV}, {"pitch": "nan"}, 400, "bad_option"),
        ({"photo": JPEG, "voice": WAV}, {"pitch": "x"}, 400, "bad_option"),
        ({"photo": JPEG, "voice": WAV}, {"framing": "--force"}, 400, "bad_option"),
        ({"photo": JPEG, "voice": WAV}, {"text_file": "/etc/passwd"}, 400, "bad_option"),
        ({"photo": JPEG, "voice": WAV}, {"background": "/etc/passwd"}, 400, "bad_option"),
        ({"photo": JPEG, "voice": WAV}, {"renderer": "d-id"}, 403, "paid_renderer"),
        ({"photo": JPEG, "voice": WAV}, {"renderer": "x"}, 400, "bad_option"),
        ({"photo": JPEG, "voice": WAV}, {"force": "true"}, 400, "bad_option"),
    ],
)
def test_what_is_not_an_order_is_refused_and_leaves_nothing(
    home: Home,
    server: Served,
    files: dict[str, bytes],
    options: dict[str, str],
    status: int,
    code: str,
) -> None:
    answer = httpx.post(
        f"{server.url}/api/video-generation/generate", files=files, data=options, headers=KEY
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert list(home.tasks.iterdir()) == []


@pytest.mark.parametrize("kind", photo.FORMATS)
def test_every_photo_that_a_run_takes_may_be_ordered(server: Served, kind: str) -> None:
    picture, file = np.zeros((64, 64, 3), np.uint8), BytesIO()
    if kind == "HEIF":
        file.write(heic(picture))
    else:
        Image.fromarray(picture).save(file, kind)
    answer = asked(server, photo=file.getvalue()).json()
    assert ended(server, answer["task_id"])["state"] == "complete"


@pytest.mark.parametrize("brand", [b"heix", b"mif1", b"msf1"])
def test_a_telephones_photo_may_be_ordered_whatever_it_is_called(
    server: Served, brand: bytes
) -> None:
    picture = heic(np.zeros((64, 64, 3), np.uint8))
    at = picture.index(b"ftyp") + 4
    answer = asked(server, photo=picture[:at] + brand + picture[at + 4 :]).json()
    assert ended(server, answer["task_id"])["state"] == "complete"


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [("amr", "libopencore_amrnb", 8000), ("caf", "pcm_s16le", 8000), ("3gp", "aac", 8000),
     ("mov", "aac", 8000), ("asf", "wmav2", 44100), ("ac3", "ac3", 48000), ("adts", "aac", 8000)],
)  # fmt: skip
def test_a_telephones_voice_may_be_ordered(
    server: Served, container: str, codec: str, rate: int
) -> None:
    file = BytesIO()
    with av.open(file, "w", format=container) as out:
        track: Any = out.add_stream(codec, rate=rate, layout="mono")
        if codec == "wmav2":
            track.bit_rate = 48_000
        resampler = av.AudioResampler(track.format, "mono", rate, track.frame_size or 160)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, rate), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts = rate, 0
        for frame in (*resampler.resample(silence), None):
            out.mux(track.encode(frame))
    answer = asked(server, voice=file.getvalue()).json()
    assert ended(server, answer["task_id"])["state"] == "complete"


def test_only_forms_are_taken(server: Served) -> None:
    answer = httpx.post(
        f"{server.url}/api/video-generation/generate", json={"photo": "x"}, headers=KEY
    )
    assert answer.status_code == 415


def test_too_much_is_refused(home: Home) -> None:
    jobs = Jobs(home, upload_bytes=100_000)
    with served(home, token=TOKEN, accepts_jobs=True, jobs=jobs) as server:
        answer = asked(server, photo=JPEG + bytes(200_000))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_a_full_queue_says_so(home: Home) -> None:
    jobs = Jobs(home, most_queued=0)
    with served(home, token=TOKEN, accepts_jobs=True, jobs=jobs) as server:
        answer = asked(server)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


@pytest.mark.filterwarnings("ignore:subprocess .* is still running")  # as it shall
def test_the_server_ends_while_a_run_goes_on(home: Home, seconds: list[float]) -> None:
    seconds[0] = 4.0
    with served(home, token=TOKEN, accepts_jobs=True, jobs=quick_jobs(home, seconds)) as server:
        task_id = asked(server).json()["task_id"]
        wait_until(lambda: state(server, task_id)["state"] == "running")
    task = home.task(task_id)
    assert is_held(task.lock)
    wait_until(lambda: b'"complete"' in task.events.read_bytes() and not is_held(task.lock))
    assert (task.root / "upload").exists()
    with served(home, token=TOKEN, accepts_jobs=True, jobs=quick_jobs(home, seconds)):
        assert not (task.root / "upload").exists()  # the next server tidies up


# What a stranger's order can and cannot do


def flags(command: list[str]) -> dict[str, str]:
    return dict(word[2:].split("=", 1) for word in command if word.startswith("--") and "=" in word)


@pytest.mark.parametrize("named", ["d-id", "puppet", "auto", "no such"])
@pytest.mark.parametrize("where", ["environment", "config"])
def test_a_paid_renderer_is_never_inherited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str, named: str
) -> None:
    if where == "config":
        config = tmp_path / "config.toml"
        config.write_text(f'renderer = "{named}"\n')
        monkeypatch.setenv("VIDGEN_CONFIG", str(config))
    else:
        monkeypatch.setenv("VIDGEN_RENDERER", named)
    order = Order(Path("a.jpg"), Path("b.wav"), {})
    found = flags(run_command("id", order, Path("v.mp4")))
    assert found["renderer"] == {"puppet": "puppet"}.get(named, "auto")


def test_a_job_knows_no_account_and_no_token(
    home: Home, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DID_API_KEY", "somebody:pays")
    monkeypatch.setenv("VIDGEN_TOKEN", TOKEN)
    assert server.app.jobs is not None
    told = home.root / "told.json"
    say = f"import json, os; open({str(told)!r}, 'w').write(json.dumps(dict(os.environ)))"
    monkeypatch.setattr(server.app.jobs, "_command", lambda *_: [sys.executable, "-c", say])
    ended(server, asked(server).json()["task_id"])
    environment = json.loads(told.read_text())
    assert environment["VIDGEN_HOME"] == str(home.root)
    assert not {"DID_API_KEY", "VIDGEN_TOKEN", "VIDGEN_RENDERER"} & set(environment)


@pytest.mark.parametrize(
    "options",
    [
        {"seed": "1.5"},
        {"seed": "-2"},
        {"height": "2160.0"},
        {"height": "100"},
        {"person": "99999"},
        {"background": "transparent"},
        {"background": "transparent", "format": "mp4"},
        {"pitch": "1e400"},
        {"pitch": "0x1"},
        {"rate": "1_0"},
        {"loudness": "loud"},
        {"loudness": "inf"},
        {"text": "a\0b"},
    ],
)
def test_what_the_command_line_refuses_is_refused_before_the_queue(
    home: Home, server: Served, options: dict[str, str]
) -> None:
    answer = asked(server, JPEG, WAV, **options)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_option"), answer.text
    assert list(home.tasks.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [{"seed": "7"}, {"pitch": "-.5"}, {"background": "transparent", "format": "webm"}],
)
def test_what_the_command_line_takes_is_taken(server: Served, options: dict[str, str]) -> None:
    task_id = asked(server, JPEG, WAV, **options).json()["task_id"]
    assert ended(server, task_id)["state"] == "complete"


# The queue


def test_the_queue_outlives_a_shortage_and_an_accident(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = server.app.jobs
    assert jobs is not None
    failures: list[Exception] = [
        OSError(errno.EMFILE, "Too many open files"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        RuntimeError("somebody's mistake"),
    ]
    start, waits = jobs._start, []

    def starting(*arguments: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return start(*arguments)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(jobs, "_start", starting)
    monkeypatch.setattr(jobs, "_sleep", sleep)
    first, second = asked(server).json()["task_id"], asked(server).json()["task_id"]
    assert ended(server, second)["state"] == "complete"
    assert ended(server, first)["end"]["details"] == {"reason": "RuntimeError"}
    assert waits == [0.5, 1.0]


def test_a_job_that_cannot_even_be_said_to_have_failed_is_tried_again(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = server.app.jobs
    assert jobs is not None
    failures = [OSError(errno.ENOSPC, "No space left on device")]
    begin = jobs._begin

    async def beginning(task: Any) -> Any:
        if failures:
            raise failures[0]
        return await begin(task)

    def concluding(*_: Any) -> None:
        raise failures.pop()

    async def sleep(_: float) -> None:
        return

    monkeypatch.setattr(jobs, "_begin", beginning)
    monkeypatch.setattr(jobs, "_conclude", concluding)
    monkeypatch.setattr(jobs, "_sleep", sleep)
    assert ended(server, asked(server).json()["task_id"])["state"] == "complete"


def test_a_job_that_takes_too_long_is_ended_and_the_next_one_runs(
    home: Home, seconds: list[float]
) -> None:
    seconds[0] = 60.0
    jobs = quick_jobs(home, seconds, most_seconds=2.0)
    with served(home, token=TOKEN, accepts_jobs=True, jobs=jobs) as server:
        long = asked(server).json()["task_id"]
        wait_until(lambda: state(server, long)["state"] == "running")
        seconds[0] = 0.1
        short = asked(server).json()["task_id"]
        assert ended(server, long)["end"]["error_code"] == "page.job_too_long"
        assert ended(server, short)["state"] == "complete"
        wait_until(lambda: not jobs._started)


def test_many_at_once_do_not_pass_the_limit(server: Served, seconds: list[float]) -> None:
    seconds[0] = 30.0
    first = asked(server).json()["task_id"]
    wait_until(lambda: state(server, first)["state"] == "running")
    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(lambda _: asked(server), range(60)))
    codes = [answer.status_code for answer in answers]
    assert (codes.count(202), codes.count(503)) == (MOST_QUEUED, 40)
    for answer in answers:
        if answer.status_code == 202:
            httpx.post(answer.json()["cancel_url"], headers=KEY)
    httpx.post(f"{server.url}/api/tasks/{first}/cancel", headers=KEY)
    ended(server, first)


@pytest.mark.parametrize("everything", [False, True])
def test_clean_leaves_what_waits_in_the_queue(
    home: Home, server: Served, seconds: list[float], everything: bool
) -> None:
    seconds[0] = 30.0
    first, second = asked(server).json()["task_id"], asked(server).json()["task_id"]
    wait_until(lambda: state(server, first)["state"] == "running")
    waiting = home.task(second)
    arriving = home.task("550e8400-e29b-41d4-a716-446655440000")
    (arriving.root / "upload").mkdir(parents=True)
    (arriving.root / "upload" / "photo.jpg").write_bytes(JPEG)
    before = sorted(waiting.root.rglob("*"))
    in_a_year = time.time() + 365 * 86400
    clean(home, 30, 24, keep_resumable=not everything, now=lambda: in_a_year)
    clean(home, 30, 24, keep_resumable=not everything)
    assert sorted(waiting.root.rglob("*")) == before
    assert (arriving.root / "upload" / "photo.jpg").exists() is False  # of a year ago: nobody's
    seconds[0] = 0.1
    httpx.post(f"{server.url}/api/tasks/{first}/cancel", headers=KEY)
    assert ended(server, second)["state"] == "complete"


def test_what_waited_when_the_server_ended_survives_clean_and_is_run(
    home: Home, seconds: list[float]
) -> None:
    waiting = home.task("550e8400-e29b-41d4-a716-446655440000")
    (waiting.root / "upload").mkdir(parents=True)
    order: dict[str, Any] = {"options": {}}
    for name, content in (("photo.jpg", JPEG), ("voice.wav", WAV)):
        file = waiting.root / "upload" / name
        file.write_bytes(content)
        order[name.partition(".")[0]] = str(file)
    (waiting.root / "job.json").write_text(json.dumps(order))
    clean(home, 30, 24, now=lambda: time.time() + 7200)
    waiting.lock.touch()  # as an older `clean` left it
    jobs = quick_jobs(home, seconds)
    with served(home, token=TOKEN, accepts_jobs=True, jobs=jobs) as server:
        assert ended(server, waiting.task_id)["state"] == "complete"
        wait_until(lambda: not jobs._started)


def test_a_full_disk_is_said_as_one(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jobs_module, "atomic_write", full)
    answer = asked(server)
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full")
