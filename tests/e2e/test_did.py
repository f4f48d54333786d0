"""`vidgen run --renderer d-id` against the fake: one talk, whatever breaks."""

import signal
from pathlib import Path

import av
import pytest

from tests.support.cli import events, vidgen
from tests.support.fake_did import KEY, FakeDid
from tests.support.serving import wait_until
from tests.support.warm import Warm
from vidgen import demo
from vidgen.paths import Home

pytestmark = [pytest.mark.models, pytest.mark.slow]


def test_a_killed_run_is_resumed_without_buying_again(
    home_with_models: Home, tmp_path: Path, demo_photo: Path, warm: Warm
) -> None:
    voice, film = (
        demo.demo_voice(tmp_path / "voice.wav", "Mama may buy a map."),
        tmp_path / "film.mp4",
    )
    arguments = ("run", demo_photo, voice, "-o", film, "--renderer", "d-id", "--height", 256)
    with FakeDid(tmp_path / "did") as fake:
        account = {"DID_API_KEY": KEY, "DID_BASE_URL": fake.url}
        killed = warm.start(home_with_models, *arguments, environ=account)
        wait_until(lambda: bool(fake.talks), 60)
        killed.kill()
        assert killed.wait().code == -signal.SIGKILL
        resumed = warm.run(home_with_models, "resume", "last", environ=account)
        assert resumed.code == 0, resumed.err
        assert len(fake.talks) == 1
    with av.open(str(film)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    for file in home_with_models.tasks.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()
    assert events(home_with_models)[-1].event_type == "complete"


def test_others_need_not_wait_while_d_id_draws(
    home_with_models: Home, tmp_path: Path, demo_photo: Path, warm: Warm
) -> None:
    home, voice = home_with_models, demo.demo_voice(tmp_path / "voice.wav", "Mama.")
    inputs = ("run", demo_photo, voice, "--height", 256, "-o")
    with FakeDid(tmp_path / "did", seconds=3600) as fake:
        theirs = (*inputs, tmp_path / "theirs.mp4", "--renderer", "d-id")
        account = {"DID_API_KEY": KEY, "DID_BASE_URL": fake.url}
        waiting = warm.start(home, *theirs, environ=account)
        wait_until(lambda: bool(fake.talks), 60)
        ours = warm.run(home, *inputs, tmp_path / "ours.mp4")
        waiting.kill(signal.SIGINT)  # it is at work still: one that had ended would answer another
        assert waiting.wait().code == 130
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
