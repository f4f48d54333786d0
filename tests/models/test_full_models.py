"""The full models through the front door: pulled from a local mirror, verified, used, removed.

The networks are tiny and untrained, so the film is noise round the mouth; every path to it is the
real one.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.support.cli import Ran, events, vidgen
from tests.support.extra import need
from tests.support.mirror import Mirror, serving
from tests.support.tiny_musetalk import VAE, WHISPER, tiny_files
from tests.vision.test_birefnet import TINY
from tests.vision.test_yolo import tiny as tiny_yolo
from vidgen import demo
from vidgen.models import catalog
from vidgen.paths import Home
from vidgen.vision.birefnet import UNUSED

need("torch", "ultralytics", "nobg", "diffusers")

pytestmark = [pytest.mark.gpu, pytest.mark.models, pytest.mark.slow]
REVISION = "0" * 40


@dataclass
class Small:
    """The full set in small: rows of models.toml, and a mirror that has the files."""

    rows: Path
    mirror: Mirror
    hub: Path

    def run(self, home: Home, *arguments: object) -> Ran:
        return vidgen(
            home,
            *arguments,
            VIDGEN_MODELS_FILE=str(self.rows),
            HF_ENDPOINT=self.mirror.url,
            HF_HUB_CACHE=str(self.hub),
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Model → its file and parameters."""
    folder = tmp_path_factory.mktemp("small")
    musetalk = tiny_files(folder)
    birefnet = tiny_birefnet(folder / "birefnet.safetensors")
    return {
        "yolo26n": (tiny_yolo(folder, "yolo26"), {}),
        "birefnet": (birefnet, TINY),
        "birefnet_lite": (birefnet, TINY),
        "musetalk": (musetalk.unet, {}),
        "musetalk_config": (musetalk.unet_config, {}),
        "sd_vae": (musetalk.vae, VAE),
        "whisper_tiny": (musetalk.whisper, WHISPER),
    }


def tiny_birefnet(file: Path) -> Path:
    import torch
    from nobg.birefnet.modeling_birefnet import BiRefNet, BiRefNetConfig
    from safetensors.torch import save_file

    torch.manual_seed(3)
    state = BiRefNet(BiRefNetConfig(**TINY)).state_dict()
    save_file({k: v.contiguous() for k, v in state.items() if k not in UNUSED}, file)
    return file


@pytest.fixture
def small(files: dict[str, tuple[Path, dict[str, Any]]], tmp_path: Path) -> Iterator[Small]:
    with serving(Mirror()) as mirror:
        rows = [row(mirror, name, file, params) for name, (file, params) in files.items()]
        (tmp_path / "rows.toml").write_text("\n".join(rows), "utf-8")
        yield Small(tmp_path / "rows.toml", mirror, tmp_path / "hub")


def row(mirror: Mirror, name: str, file: Path, params: dict[str, Any]) -> str:
    """YOLO comes from a plain server, the others from a hub."""
    body = file.read_bytes()
    path = f"/{name}.pt" if name == "yolo26n" else f"/o/{name}/resolve/{REVISION}/{file.name}"
    mirror.files[path] = body
    hub = f"hf:o/{name}@{REVISION}/{file.name}"
    values = {
        "stage": catalog.models()[name].stage,
        "set": "full",
        "source": mirror.url + path if name == "yolo26n" else hub,
        "sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
        "licence": "MIT",
        "homepage": "https://example.invalid",
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    lines += [f"params.{key} = {json.dumps(value)}" for key, value in params.items()]
    return "\n".join([f"[models.{name}]", *lines, ""])


def test_pull_verify_path_and_rm(home: Home, small: Small) -> None:
    first = small.run(home, "models", "pull", "full")
    assert first.code == 0, first.err
    assert len(small.mirror.asked) == 7
    again = small.run(home, "models", "pull", "full")
    assert again.code == 0, again.err
    assert len(small.mirror.asked) == 7

    assert small.run(home, "models", "verify", "full").code == 0
    told = Path(small.run(home, "models", "path", "sd_vae").out.strip())
    assert told.read_bytes() == small.mirror.files[f"/o/sd_vae/resolve/{REVISION}/{told.name}"]
    told.write_bytes(b"spoiled")
    assert small.run(home, "models", "verify", "sd_vae").code == 3

    removed = small.run(home, "models", "rm", "full")
    assert removed.code == 0, removed.err
    assert small.run(home, "models", "path", "sd_vae").code == 3
    assert small.run(home, "models", "verify", "sd_vae").code == 3
    assert small.run(home, "models", "verify").code == 0  # nobody needs all there are


def test_a_full_run_makes_a_film(
    home_with_models: Home, small: Small, demo_photo: Path, tmp_path: Path
) -> None:
    home, film = home_with_models, tmp_path / "film.mp4"
    assert small.run(home, "models", "pull", "full").code == 0
    voice = demo.demo_voice(tmp_path / "voice.wav", "Hello, good morning to you.")
    ran = small.run(
        home, "run", demo_photo, voice, "-o", film, "--models", "full", "--renderer", "musetalk",
        "--device", "cpu", "--height", "256",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    with av.open(str(film)) as container:
        drawn = np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])
    assert len(drawn) > 10
    above_the_eyes = drawn[:, :80].astype(int)  # where MuseTalk itself changes nothing
    assert np.abs(above_the_eyes - above_the_eyes[0]).max() > 25
    ended = {
        event.data["stage"]: event.data["metadata"]
        for event in events(home)
        if event.event_type == "stage_update" and event.data["status"] == "completed"
    }
    assert ended["yolo_detection"]["backend"] == "yolo26n"
    assert ended["birefnet_removal"]["backend"] == "birefnet"
    assert ended["rendering"]["backend"] == "musetalk"
    assert ended["rendering"]["precision"] == "float32"


def test_auto_without_the_weights_falls_back(
    home_with_models: Home, small: Small, demo_photo: Path, tmp_path: Path
) -> None:
    home, film = home_with_models, tmp_path / "film.mp4"
    voice = demo.demo_voice(tmp_path / "voice.wav", "Hello.")
    ran = small.run(home, "run", demo_photo, voice, "-o", film, "--height", "256")
    assert ran.code == 0, ran.err
    plans = [event.data["metadata"] for event in events(home)
             if event.data.get("message_code") == "run.planned"]  # fmt: skip
    assert [plan["models"] for plan in plans] == ["embedded"]


def test_full_without_the_weights_stops_and_names_them(
    home_with_models: Home, small: Small, demo_photo: Path, tmp_path: Path
) -> None:
    voice = demo.demo_voice(tmp_path / "voice.wav", "Hello.")
    ran = small.run(
        home_with_models, "run", demo_photo, voice, "-o", tmp_path / "film.mp4", "--models", "full"
    )
    assert ran.code == 3
    assert "yolo26n" in ran.err
    assert "vidgen models pull full" in ran.err
