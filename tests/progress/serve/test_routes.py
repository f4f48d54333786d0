"""The description against the routes: complete, and what it promises is what is answered."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.extra import need
from tests.support.serving import Run, Served, served
from vidgen.paths import Home
from vidgen.progress.serve.dialects.paths import routes
from vidgen.progress.serve.routes import ROUTES, Route, description
from vidgen.progress.serve.settings import DIALECTS

need("schemathesis")

TOKEN = "a-token-of-enough-letters-for-a-test"
KEY = {"Authorization": f"Bearer {TOKEN}"}
KNOWN = "550e8400-e29b-41d4-a716-446655440000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = Home(tmp_path_factory.mktemp("home"))
    run = Run(home, KNOWN, request={"batch_id": "b", "title": "one"})
    run.write("stage_update", "log", "progress_update", "resource", "complete")
    with served(home, token=TOKEN, accepts_jobs=True) as server:
        yield server  # the run's lock stays held: the fuzzer may not delete it
    run.end()


@pytest.fixture(scope="module")
def api(server: Served) -> Any:
    import schemathesis

    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


PLAIN = [route for route in ROUTES if not route.handler.startswith("stream_")]


@pytest.mark.parametrize("route", PLAIN, ids=lambda route: route.handler)
def test_every_answer_is_as_described(api: Any, route: Route) -> None:
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    # No schema can say what a photo is, so made-up ones are rightly refused.
    left_out = [positive_data_acceptance] if route.handler == "generate" else []

    @given(case=api[route.path][route.method].as_strategy())
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        case.call_and_validate(headers=KEY, timeout=10, excluded_checks=left_out)

    check()


@pytest.mark.parametrize(
    "path",
    ["/api/tasks", f"/api/tasks/{KNOWN}", f"/api/tasks/{KNOWN}/events", f"/api/tasks/{KNOWN}/logs",
     f"/api/ws/progress/{KNOWN}/latest", f"/api/ws/progress/{KNOWN}/history", "/api/batches/b",
     "/healthz", "/metrics"],
)  # fmt: skip
def test_what_is_there_is_as_described(server: Served, api: Any, path: str) -> None:
    """The fuzzer rarely finds the one task that exists."""
    answer = httpx.get(server.url + path, headers=KEY)
    assert answer.status_code == 200
    api.find_operation_by_path("GET", path).validate_response(answer)


def test_every_path_is_described_and_served(server: Served) -> None:
    described = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    assert {(m.upper(), p) for p, methods in described.items() for m in methods} == {
        (route.method, route.path) for route in (*ROUTES, *routes(DIALECTS))
    }
    for route in (*ROUTES, *routes(DIALECTS)):
        path = route.path.format(task_id=KNOWN, batch_id="b", name="x", file="x_y.jpg")
        answer = httpx.request(route.method, server.url + path, headers={"Authorization": "x"})
        assert answer.status_code != 404 if route.access == "open" else answer.status_code == 401


def test_jobs_are_described_where_they_are_taken() -> None:
    paths = description(with_jobs=False)["paths"]
    assert "/api/video-generation/generate" not in paths
    assert "/api/video-generation/generate" in description(with_jobs=True)["paths"]


def test_the_description_can_be_read(server: Served) -> None:
    answer = httpx.get(f"{server.url}/docs")
    assert answer.headers["content-type"].startswith("text/html")
    for path in ("GET /api/tasks/{task_id}", "POST /v1/videos/generations/async", "GET /jobs/"):
        assert path in answer.text
    assert "<script" not in answer.text
    # On a phone the style sheet hides the main part of a page that is not about one thing.
    assert 'name="viewport"' in answer.text
    assert '<body class="api one">' in answer.text
