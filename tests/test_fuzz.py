"""Anything at all in events, logs, requests, D-ID's answers and HTTP bodies: no traceback, ever.

Seeded and bounded: the same examples each time, so that a failure is everybody's.
"""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.serving import Served, served
from vidgen import request
from vidgen.did import schema
from vidgen.errors import VidgenError
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.progress.fanout.tail import Change, Tail
from vidgen.progress.forecast.past_runs import past_runs
from vidgen.progress.history.stats import statistics
from vidgen.progress.serve.index import RunIndex
from vidgen.progress.snapshot import Snapshot
from vidgen.progress.store.cleanup import clean
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.reader import iter_events
from vidgen.progress.store.runs import list_runs
from vidgen.progress.views.text import advice, doing, sentence

TOKEN = "a-token-of-enough-letters-for-a-test"
KEY = {"Authorization": f"Bearer {TOKEN}"}
bounded = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
FIELDS = (
    "stage", "status", "progress", "stage_progress", "message", "message_code", "metadata", "level",
    "done", "total", "unit", "rate", "eta_seconds", "duration_seconds", "name", "path", "url",
    "video_path", "video_file", "hint", "solutions", "details", "failed_stage", "cpu_percent",
)  # fmt: skip
event_types = st.sampled_from(
    ("stage_update", "progress_update", "log", "preview", "resource", "error", "complete", "x")
)
envelopes = st.fixed_dictionaries(
    {
        "v": st.just(1) | json_values,
        "task_id": st.text(max_size=40) | json_values,
        "seq": st.integers(-1, 20) | st.integers(2**62, 2**65) | json_values,
        "event_type": event_types | json_values,
        "timestamp": st.just("2026-11-26T19:00:00.000Z") | st.text(max_size=30) | json_values,
        "data": st.dictionaries(st.sampled_from(FIELDS), json_values) | json_values,
    }
)


def line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


lines = (envelopes.map(line) | json_values.map(line) | st.binary(max_size=200)).map(bytes)
logs = st.lists(lines, max_size=8).map(b"".join)


@bounded
@given(envelopes)
def test_whatever_is_read_as_an_event_can_be_folded_and_said(value: dict[str, Any]) -> None:
    try:
        event = Envelope.from_wire(line(value))
    except ValueError:
        return
    snapshot = Snapshot("t")
    snapshot.take(event)
    assert json.loads(json.dumps(snapshot.brief(), default=str))["task_id"] == "t"
    for language in ("en", "ja", "zh"):
        for say in (sentence, advice, doing):
            assert isinstance(say(event.data, language), str)
    assert Envelope.from_wire(event.to_wire()) == event


@bounded
@given(logs)
def test_whatever_is_in_a_log_spoils_no_list(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        home = Home(Path(folder))
        good, odd = home.task(str(uuid.UUID(int=1))), home.task(str(uuid.UUID(int=2)))
        for task in (good, odd):
            task.root.mkdir(parents=True)
        end = {"v": 1, "task_id": "x", "seq": 1, "event_type": "complete",
               "timestamp": "2026-11-26T19:00:00.000Z", "data": {"progress": 100.0}}  # fmt: skip
        good.events.write_bytes(line(end))
        odd.events.write_bytes(content)
        assert good.task_id in [run.task_id for run in list_runs(home)]
        assert RunIndex(home).page(0, 10)[0] == 2
        seqs = [event.seq for event in iter_events(odd.events)]
        assert all(isinstance(seq, int) for seq in seqs)
        tail = Tail(odd)
        while tail.poll() is Change.MORE:
            pass
        tail.snapshot.to_wire()
        tail.close()
        past_runs(home)
        statistics(home)
        with TaskLog(odd) as log:  # a writer goes on behind it, whatever it is
            assert log.next_seq >= 1
        clean(home, 30, 24)
        assert good.events.exists()


@bounded
@given(json_values.map(line) | st.binary(max_size=300))
def test_whatever_is_in_a_request_is_refused_with_a_sentence(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        task = Home(Path(folder)).task("t")
        task.root.mkdir(parents=True)
        task.request.write_bytes(content)
        with pytest.raises(VidgenError):
            request.load_request(task)


@bounded
@given(
    st.dictionaries(
        st.sampled_from(("inputs", "options", "output", "versions", "batch_id", "v", "task_id")),
        json_values
        | st.dictionaries(st.sampled_from(("photo", "voice", "height", "vidgen")), json_values),
    )
)
def test_whatever_a_request_lacks_is_refused_with_a_sentence(value: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        task = Home(Path(folder)).task("t")
        task.root.mkdir(parents=True)
        task.request.write_bytes(line(value))
        with pytest.raises(VidgenError):
            request.load_request(task)


did_answers = json_values | st.dictionaries(
    st.sampled_from(("id", "url", "status", "result_url", "kind", "description", "remaining",
                     "talks", "token", "error", "duration", "expires_at", "user_data")),
    json_values,
)  # fmt: skip


@bounded
@given(did_answers)
def test_whatever_d_id_answers_is_a_value_or_unreadable(value: object) -> None:
    schema.problem(value)
    for read in (schema.talk, schema.page):
        try:
            read(value)
        except ValueError:  # SchemaError is one; the client makes a sentence of it
            continue


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = Home(tmp_path_factory.mktemp("home"))
    with served(home, token=TOKEN, accepts_jobs=True) as server:
        yield server


@settings(bounded, max_examples=40)
@given(st.binary(max_size=400), st.sampled_from(("x", "", '"', "x" * 80)), st.booleans())
def test_whatever_is_sent_as_a_form_is_no_bug(
    server: Served, content: bytes, boundary: str, is_framed: bool
) -> None:
    if is_framed:
        head = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="'
        content = head + content[:50] + b'"\r\n\r\n' + content + b"\r\n--x--\r\n"
    answer = httpx.post(
        f"{server.url}/api/video-generation/generate",
        content=content,
        headers=KEY | {"Content-Type": f"multipart/form-data; boundary={boundary}"},
        timeout=30,
    )
    assert answer.status_code in (400, 413, 415), answer.text
    assert answer.json()["error"]["code"] != "bug"
    tasks = Path(server.app.hub.home.tasks)
    assert list(tasks.iterdir()) == []


@settings(bounded, max_examples=40)
@given(
    st.sampled_from(("", "/events", "/logs", "/previews/", "/cancel", "/video")),
    st.text(max_size=40),
    st.dictionaries(
        st.sampled_from(("after", "wait", "level", "since", "limit", "offset", "task_id")),
        st.text(max_size=30),
    ),
)
def test_whatever_is_asked_is_answered(
    server: Served, route: str, name: str, query: dict[str, str]
) -> None:
    query.pop("wait", None)
    for base in (
        "/api/tasks",
        "/api/sse/progress",
        "/api/batches",
        f"/api/tasks/{uuid.UUID(int=9)}",
    ):
        path = f"{base}/{quote(name, safe='')}{route}" if name else base + route
        url = f"{server.url}{path}?{urlencode(query)}"
        with httpx.stream("GET", url, headers=KEY, timeout=30) as answer:
            assert answer.status_code < 500, (answer.status_code, url)
