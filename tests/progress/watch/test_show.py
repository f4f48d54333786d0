"""`vidgen watch` as it is seen, and a stored run served once more."""

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.serving import Run, free_port, served, stream, wait_until
from vidgen.errors import InputError
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.progress.serve.replay import serve_replay
from vidgen.progress.serve.settings import ServeSettings
from vidgen.progress.watch.hosts import HostEvent
from vidgen.progress.watch.show import show, with_urls


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
        code, said, _ = watched(server.url)
    assert code == 4
    assert "ERROR: The run ended without a word: its process is gone." in said
    assert said.rstrip().endswith(f"with: vidgen resume {run.id[:8]}")


def test_a_deleted_run_is_said(home: Home, run: Run) -> None:
    run.write("stage_update", status="started")
    with served(home) as server:

        def delete() -> None:
            wait_until(lambda: server.app.hub.watcher_count == 1)
            shutil.rmtree(run.folder.root)

        threading.Thread(target=delete).start()
        code, said, _ = watched(server.url)
    assert code == 4
    assert "ERROR: This run was deleted." in said


@pytest.mark.parametrize("base", ["http://box:55433", "http://127.0.0.1:55433"])
def test_files_of_another_machine_are_named_by_their_address(base: str, tmp_path: Path) -> None:
    here = tmp_path / "out.mp4"
    here.touch()
    data = {"video_path": str(here), "video_url": "/api/tasks/x/video", "stage": "complete"}
    shown = with_urls(HostEvent("host", Envelope("x", 1, "complete", "", data), base))
    is_near = "127" in base
    assert shown.data == data | ({} if is_near else {"video_path": f"{base}/api/tasks/x/video"})
    here.unlink()  # through a tunnel every machine is 127.0.0.1
    far = with_urls(HostEvent("host", Envelope("x", 1, "complete", "", data), base))
    assert far.data["video_path"] == f"{base}/api/tasks/x/video"


def in_a_terminal(
    home: Home, url: str, *task: str, after: Mapping[str, Callable[[], object]] | None = None
) -> list[str]:
    """What stands on a screen of 100 × 24 when `vidgen watch` has ended. `after` each text has
    come, something is done."""
    import pexpect
    import pyte

    child = pexpect.spawn(
        sys.executable, ["-m", "vidgen", "watch", url, *task], dimensions=(24, 100), timeout=20,
        env=os.environ | {"TERM": "xterm-256color", "VIDGEN_HOME": str(home.root)},
    )  # fmt: skip
    screen = pyte.Screen(100, 24)
    stream = pyte.ByteStream(screen)
    for text, act in (after or {}).items():
        child.expect_exact(text)
        stream.feed(child.before + child.after)
        act()
    stream.feed(child.read())
    child.close()
    return [line.rstrip() for line in screen.display]


def test_the_live_view_of_a_remote_run_has_its_title_and_its_address(home: Home) -> None:
    run = Run(home, request={"inputs": {"photo": {"path": "/far/anna.jpg"}}})
    run.write("stage_update", status="started")
    run.write("complete", video_path="/far/out.mp4", video_url=f"/api/tasks/{run.id}/video")
    with served(home) as server:
        screen = in_a_terminal(home, server.url, run.id)
    assert any(line.startswith("  vidgen  anna.jpg") for line in screen)
    assert any(line.endswith(f"/api/tasks/{run.id}/video") for line in screen)


def test_a_run_that_was_awaited_has_its_title_too(home: Home) -> None:
    runs: list[Run] = []

    def begin() -> None:
        runs.append(Run(home, request={"inputs": {"photo": {"path": "/far/anna.jpg"}}}))
        runs[0].write("stage_update", status="started")

    def end() -> None:
        runs[0].write("complete", video_path="/far/out.mp4")

    with served(home) as server:
        screen = in_a_terminal(home, server.url, after={"Nothing runs": begin, "anna.jpg": end})
    assert any(line.startswith("  vidgen  anna.jpg") for line in screen)


def test_a_dead_run_ends_the_live_view_with_a_sentence(home: Home, run: Run) -> None:
    run.write("stage_update", status="started")
    run.end()
    with served(home) as server:
        screen = in_a_terminal(home, server.url, run.id)
    assert any("✗ The run ended without a word" in line for line in screen)
    assert any(line.endswith(f"run {run.id[:8]}") for line in screen)


@pytest.mark.parametrize("speed", [-1.0, 1001.0, float("nan")])
def test_a_speed_that_is_none_is_refused(home: Home, speed: float) -> None:
    with pytest.raises(InputError, match="cannot be replayed"):
        serve_replay(home, "last", speed, ServeSettings())


def test_a_stored_run_is_served_once_more(home: Home, run: Run) -> None:
    run.write("stage_update", "log", "complete")
    run.end()
    code = (
        "import sys\nfrom pathlib import Path\nfrom vidgen.paths import Home\n"
        "from vidgen.progress.serve.replay import serve_replay\n"
        "from vidgen.progress.serve.settings import ServeSettings\n"
        "home, rules = Home(Path(sys.argv[1])), ServeSettings(port=int(sys.argv[3]))\n"
        "serve_replay(home, sys.argv[2][:8], 10.0, rules)\n"
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
