"""The models' benchmark runs by itself to its end, with everything that it does on a GPU."""

import pytest

from benchmarks import models
from benchmarks.models import Bench, main
from benchmarks.random_networks import full, small
from tests.support.extra import need
from vidgen.device.memory import MemoryPeak
from vidgen.models.catalog import Catalog
from vidgen.paths import Home

need("torch", "ultralytics", "nobg", "diffusers")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.usefixtures("one_torch_thread"),
]


def test_every_path_of_it_with_tiny_networks(
    shelf: Catalog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Home, "default", lambda: shelf.home)
    bench = main(["--device", "cpu", "--small", "--everything"])
    assert [row.what for row in bench.rows] == [
        "YOLO26N, 640²",
        "BiRefNet lite, 32²",
        "BiRefNet lite, 64²",
        "BiRefNet general, 64²",
        "Whisper-tiny, 30 s of voice",
        "MuseTalk, batch 1",
        "MuseTalk, batch 8",
        "MuseTalk, batch 32",
        "Whole run, 0.4 s of voice",
        "Whole run, 1 s of voice",
    ]
    assert not [row for row in bench.rows if row.result == "not measured"]
    assert "the GPU waits" in bench.rows[-1].note
    assert "nothing in half precision is measured" in capsys.readouterr().out


def test_a_cpu_leaves_out_what_takes_hours_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--device", "cpu", "--small"])
    out = capsys.readouterr().out
    for what in ("MuseTalk, batch 8", "MuseTalk, batch 32", "Whole run, 1 s of voice"):
        assert f"| {what} | not measured |" in out


def test_goals_and_anchors_belong_to_lines_that_there_are() -> None:
    bench = Bench("cuda:0", full(), everything=True)
    named = {"BiRefNet general, 1024²", *(f"MuseTalk, batch {batch}" for batch in (1, 8, 32))}
    assert bench.sizes.side == 1024
    assert set(models.GOALS) | set(models.ANCHORS) <= named
    bench.add("BiRefNet general, 1024²", "39.0 ms", MemoryPeak(900.0, 1234.0))
    assert bench.rows[0].line() == (
        "| BiRefNet general, 1024² | 39.0 ms | 1,234 MB on the GPU, 900 MB | ≤ 40 ms "
        "| 57.7 ms RTX 4090, 69.4 ms A100 (fp16) |"
    )


def test_tiny_networks_are_not_written_down(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--small", "--write", "nowhere.md"])
    assert "measure nothing" in capsys.readouterr().err
    assert small().side < full().side
