"""Real runs, watched by a client of each of the five other systems from the middle and from behind.

A run is stopped while its watchers come, so that none is late by chance.
"""

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile
from PIL import Image

from tests.progress.serve.clients.node import Client, client
from tests.support.serving import Served, served, wait_until
from tests.support.voices import RATE, syllables
from tests.support.warm import Warm
from vidgen.paths import Home
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.limits import Limits

pytestmark = [pytest.mark.models, pytest.mark.slow]

PATHS = {
    "pipeline_websocket": "ws://127.0.0.1:{port}/api/ws/progress/{task}",
    "pipeline_sse": "http://127.0.0.1:{port}/api/sse/progress/{task}",
    "tracker": "ws://127.0.0.1:{port}/api/v1/progress/ws?client_id=user-123",
    "signalr": "http://127.0.0.1:{port}/hubs/video-generation",
    "projects": "ws://127.0.0.1:{port}/api/v1/projects/{task}/progress",
    "jobs": "ws://127.0.0.1:{port}/ws/jobs/{task}",
}
FIRST = {"signalr": "subscribed", "projects": "stage_change", "jobs": "processing"}
GOOD = {"pipeline_websocket": "complete", "pipeline_sse": "complete", "signalr": "Completed",
        "projects": "complete", "jobs": "completed"}  # fmt: skip
BAD = {"pipeline_websocket": "error", "pipeline_sse": "error", "signalr": "Failed",
       "projects": "error", "jobs": "failed"}  # fmt: skip


@contextlib.contextmanager
def clients(server: Served, task: str) -> Iterator[Mapping[str, Client]]:
    """One of each kind."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(
                client(
                    name,
                    path.format(port=server.port, task=task),
                    *([task] if name in ("tracker", "signalr") else []),
                )
            )
            for name, path in PATHS.items()
        }


def end_of(name: str, watching: Client, ends: Mapping[str, str]) -> dict[str, Any]:
    """What this client is told at the end."""
    if name != "tracker":
        return watching.until(ends[name])
    while (told := watching.until("progress"))["status"] not in ("completed", "failed"):
        pass
    return told


def ends_of(watching: Mapping[str, Client], ends: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {name: end_of(name, one, ends) for name, one in watching.items()}


def begun(home: Home) -> str:
    """The run that has begun to tell."""

    def logs() -> list[Path]:
        return [log for log in home.tasks.glob("*/events.jsonl") if log.stat().st_size]

    wait_until(lambda: bool(logs()), 60)
    return logs()[0].parent.name


@pytest.mark.parametrize("how", ["completes", "fails", "dies"])
def test_every_client_follows_a_real_run(
    home_with_models: Home, tmp_path: Path, demo_photo: Path, warm: Warm, how: str
) -> None:
    home, voice, photo = home_with_models, tmp_path / "voice.wav", demo_photo
    soundfile.write(voice, syllables(2.2), RATE)
    if how == "fails":
        photo = tmp_path / "grey.png"
        Image.new("RGB", (512, 512), "grey").save(photo)
    ends = GOOD if how == "completes" else BAD
    hub = Hub(home, Limits(silent_seconds=0.1))  # so soon is it seen that a run is dead
    with contextlib.ExitStack() as stack, served(home, hub=hub) as server:
        # One that is promised is kept, although in the grey picture is nobody.
        film = ("-o", tmp_path / "film.mp4", "--height", 256, "--task-id", uuid.uuid4())
        run = warm.start(home, "run", photo, voice, *film)
        task = begun(home)
        with contextlib.suppress(ProcessLookupError):  # one that fails may be over already
            os.killpg(run.pid, signal.SIGSTOP)
        stack.callback(run.kill)
        with clients(server, task) as watching:
            if how != "fails":
                for name, one in watching.items():
                    one.until(FIRST.get(name, "progress"))
            run.kill(signal.SIGKILL if how == "dies" else signal.SIGCONT)
            early = ends_of(watching, ends)
        with clients(server, task) as watching:
            late = ends_of(watching, ends)
        assert early.keys() == late.keys() == PATHS.keys()
        for told in (early, late):
            check(told, how, server)
        history = httpx.get(f"{server.url}/api/ws/progress/{task}/history").json()["events"]
        assert all(event["data"]["message"] and "progress" in event["data"] for event in history)


def check(told: Mapping[str, dict[str, Any]], how: str, server: Served) -> None:
    """All clients are told the same, in their words."""
    if how == "completes":
        path = told["pipeline_websocket"]["url"]
        assert told["pipeline_sse"]["url"] == path
        film = server.url + path
        assert told["jobs"]["result"]["video_url"] == film
        assert told["signalr"]["event"]["videoUrl"] == film
        assert told["projects"]["data"]["video_url"] == film
        assert told["jobs"]["result"]["duration"] == pytest.approx(2.2, abs=0.1)
        assert told["tracker"]["overall_progress"] == 100.0
        assert httpx.get(film).headers["content-type"] == "video/mp4"
    else:
        sentences = {
            told["pipeline_websocket"]["error"],
            told["pipeline_sse"]["error"],
            told["tracker"]["error"],
            told["signalr"]["event"]["error"],
            told["projects"]["data"]["message"],
            told["jobs"]["error"],
        }
        (sentence,) = sentences
        assert (sentence == "Interrupted") == (how == "dies")
