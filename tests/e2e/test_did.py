"""`vidgen run --renderer d-id` against the fake: one talk, whatever breaks."""

import os
import signal
import subprocess
import time
from pathlib import Path

import av
import pytest

from tests.support.cli import command, environment, events, vidgen
from tests.support.fake_did import KEY, FakeDid
from vidgen import demo
from vidgen.paths import Home

pytestmark = [pytest.mark.models, pytest.mark.slow]


def test_a_killed_run_is_resumed_without_buying_again(
    home_with_models: Home, tmp_path: Path, demo_photo: Path
) -> None:
    voice, film = (
        demo.demo_voice(tmp_path / "voice.wav", "Mama may buy a map."),
        tmp_path / "film.mp4",
    )
    arguments = ("run", demo_photo, voice, "-o", film, "--renderer", "d-id", "--height", 256)
    with FakeDid(tmp_path / "did") as fake:
        process = subprocess.Popen(
            command(*arguments),
            env=environment(home_with_models, DID_API_KEY=KEY, DID_BASE_URL=fake.url),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not fake.talks and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        resumed = vidgen(home_with_models, "resume", "last", DID_API_KEY=KEY, DID_BASE_URL=fake.url)
        assert resumed.code == 0, resumed.err
        assert len(fake.talks) == 1
    with av.open(str(film)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    for file in home_with_models.tasks.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()
    assert events(home_with_models)[-1].event_type == "complete"


def test_others_need_not_wait_while_d_id_draws(
    home_with_models: Home, tmp_path: Path, demo_photo: Path
) -> None:
    home, voice = home_with_models, demo.demo_voice(tmp_path / "voice.wav", "Mama.")
    inputs = ("run", demo_photo, voice, "--height", 256, "-o")
    with FakeDid(tmp_path / "did", seconds=3600) as fake:
        waiting = subprocess.Popen(
            command(*inputs, tmp_path / "theirs.mp4", "--renderer", "d-id"),
            env=environment(home, DID_API_KEY=KEY, DID_BASE_URL=fake.url),
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not fake.talks and time.monotonic() < deadline:
            time.sleep(0.02)
        ours = vidgen(home, *inputs, tmp_path / "ours.mp4")
        assert waiting.poll() is None
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(20) == 130
    assert ours.code == 0, ours.err
    assert "queued" not in [event.data["stage"] for event in events(home)]
    said = [event.data.get("message_code") for event in events(home, 1)]
    said = [code for code in said if code != "did.working"]  # the last waited its tenth of a second
    assert said[-2:] == ["did.left_running", "stage.cancelled"]


def test_no_key_is_told_before_anything_is_made(
    home_with_models: Home, tmp_path: Path, demo_photo: Path
) -> None:
    voice = demo.demo_voice(tmp_path / "voice.wav", "Mama.")
    ran = vidgen(home_with_models, "run", demo_photo, voice, "--renderer", "d-id", DID_API_KEY="")
    assert (ran.code, ran.out) == (3, "")
    assert "There is no key for D-ID." in ran.err
    stages = {event.data["stage"] for event in events(home_with_models)}
    assert stages == {"initialized", "failed"}
