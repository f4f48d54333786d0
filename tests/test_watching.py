"""`vidgen watch` as it is seen, and a stored run served once more."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import Run, free_port, served, stream, wait_until
from vidgen.paths import Home
from vidgen.progress.watching import show


@pytest.fixture
def run(home: Home) -> Run:
    return Run(home)


def watched(*urls: str, mode: str = "plain", task: str = "last") -> tuple[int, str, bytes]:
    stderr, stdout = io.StringIO(), io.BytesIO()
    code = show(urls, task, mode=mode, stderr=stderr, stdout=stdout)
    return code, stderr.getvalue(), stdout.getvalue()


def test_a_remote_run_looks_like_a_local_one(home: Home, run: Run) -> None:
    run.write("stage_update", status="started", message_code="stage.rendering")
    run.write("log", message="Something was said", level="INFO")
    run.write("complete")
    with served(home) as server:
        code, said, _ = watched(server.url)
    assert code == 0
    assert "Drawing the frames" in said
    assert "Something was said" in said


def test_raw_events_are_those_of_the_log(home: Home, run: Run) -> None:
    run.write("stage_update", "log", "error")
    with served(home) as server:
        code, said, raw = watched(server.url, mode="rawjson")
    written = run.folder.events.read_text().splitlines()
    assert [json.loads(line) for line in raw.splitlines()] == [json.loads(x) for x in written]
    assert (code, said) == (4, "")


def test_several_hosts_are_named_on_each_line(tmp_path: Path) -> None:
    homes = [Home(tmp_path / name) for name in ("a", "b")]
    for home, end in zip(homes, ("complete", "cancelled"), strict=True):
        Run(home).write("log", end, message=f"said by {home.root.name}")
    with served(homes[0]) as first, served(homes[1]) as second:
        code, said, _ = watched(first.url, second.url)
    assert code == 130  # the worse of the two
    for server, name in ((first, "a"), (second, "b")):
        assert any(
            line.startswith(f"127.0.0.1:{server.port}  ") and f"said by {name}" in line
            for line in said.splitlines()
        )


def test_an_interrupted_run_is_said(home: Home, run: Run) -> None:
    run.write("stage_update", status="started")
    run.end()
    with served(home) as server:
        code, _, _ = watched(server.url)
    assert code == 4


def test_a_stored_run_is_served_once_more(home: Home, run: Run) -> None:
    run.write("stage_update", "log", "complete")
    run.end()
    code = (
        "import sys\nfrom pathlib import Path\nfrom vidgen.paths import Home\n"
        "from vidgen.progress.app import Rules\nfrom vidgen.progress.rerun import serve_again\n"
        "home, rules = Home(Path(sys.argv[1])), Rules(port=int(sys.argv[3]))\n"
        "serve_again(home, sys.argv[2][:8], 10.0, rules)\n"
    )
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", code, str(home.root), run.id, str(port)])
    try:
        seqs: list[int] = []

        def is_served() -> bool:
            import httpx

            try:
                with stream(f"http://127.0.0.1:{port}/api/sse/progress/{run.id}") as events:
                    seqs.extend(events.seqs())
            except httpx.ConnectError:
                return False
            return True

        wait_until(is_served)
        assert seqs == [1, 2, 3]
    finally:
        process.terminate()
        assert process.wait(10) in (0, -15)
