"""Tiles of a picture made larger, by a network of one operation."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.ncnn import repeats_pixels
from vidgen.device import device
from vidgen.errors import SetupError
from vidgen.pipeline import check_options
from vidgen.settings import Options
from vidgen.vision.enlarger import Enlarger

pytest.importorskip("ncnn")


def test_tiles_join_without_a_seam(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (21, 34, 3), np.uint8)
    told: list[tuple[int, int]] = []
    net = Enlarger(*repeats_pixels(tmp_path), tile=16)
    made = net.enlarge(rgb, lambda *tile: told.append(tile))
    assert (made == rgb.repeat(4, 0).repeat(4, 1)).all()
    assert told == [(count, 6) for count in range(1, 7)]
    net.release()
    assert (net.enlarge(rgb, lambda *_: None) == made).all()


def test_a_file_that_is_no_network_is_told(tmp_path: Path) -> None:
    weights, structure = repeats_pixels(tmp_path)
    structure.write_text("no network\n")
    with pytest.raises(SetupError) as caught:
        Enlarger(weights, structure).load()
    assert caught.value.code == "models.not_loadable"
    assert "vidgen models pull tiny" in str(caught.value.hint)


def test_without_the_extra_a_run_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_package", lambda _: False)
    check_options(Options())
    with pytest.raises(SetupError) as caught:
        check_options(Options(enlarge=True))
    assert caught.value.code == "detect.no_enlarge"
    assert "enlarge]" in str(caught.value.hint)
