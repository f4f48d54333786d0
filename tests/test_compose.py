"""What a run is made of: where the puppet draws, what encodes, how many processes draw."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidgen.compose import Job, drawing_device
from vidgen.device import device, memory
from vidgen.models.select import ModelChoice
from vidgen.paths import Home
from vidgen.request import Request, default_settings
from vidgen.settings import Options
from vidgen.work import Speech


def job(home: Home, chosen: ModelChoice, **options: Any) -> Job:
    settings = default_settings(**options)
    request = Request(Path("ann.jpg"), Path("hello.wav"), Path("film.mp4"), settings)
    return Job(home, home.task("task"), request, chosen, lambda _: None)


def speech(seconds: float) -> Speech:
    return Speech(np.zeros(int(100 * seconds), np.float32), 100, "")


@pytest.mark.parametrize(
    ("renderer", "named", "wanted"),
    [("puppet", "auto", "cpu"), ("puppet", "cuda:0", "cuda:0"), ("musetalk", "auto", "cuda:0")],
)
def test_the_puppet_draws_where_it_is_quicker(renderer: str, named: str, wanted: str) -> None:
    chosen = ModelChoice("cuda:0", renderer=renderer)
    assert drawing_device(Options(device=named), chosen) == wanted


@pytest.mark.parametrize(
    ("seconds", "cores", "free_mb", "count"),
    [
        (34, 16, 64_000, 16),
        (34, 4, 64_000, 4),
        (34, 16, 1_100, 3),
        (34, 16, 300, 0),  # none: the run's own process draws
        (3, 16, 64_000, 0),
    ],
)
def test_as_many_draw_as_cores_and_memory_allow(
    home: Home, monkeypatch: pytest.MonkeyPatch, seconds: int, cores: int, free_mb: int, count: int
) -> None:
    monkeypatch.setattr(device, "usable_cores", lambda: cores)
    monkeypatch.setattr(memory, "free_mb", lambda: free_mb)
    assert job(home, ModelChoice("cpu")).workers(speech(seconds)).count == count


def test_only_the_puppet_on_processors_is_shared_out(home: Home) -> None:
    def count(where: str, renderer: str = "puppet", **options: Any) -> int:
        asked = job(home, ModelChoice(where, renderer=renderer), workers=4, **options)
        return asked.workers(speech(34)).count

    assert count("cpu") == 4
    assert count("cuda:0") == 4  # for the networks; drawn on the processor
    assert count("cuda:0", device="cuda:0") == 0
    assert count("cpu", "musetalk") == 0
    assert count("cpu", encoder="nvenc") == 0
