"""IS-Net's part of the matte, with a network of one operation in its place."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.onnx import mean_of_colours
from vidgen.errors import SetupError
from vidgen.media.photo import open_photo
from vidgen.vision.isnet import SIDE, IsNet
from vidgen.vision.selfie import Selfie

pytestmark = pytest.mark.models


@pytest.fixture
def selfie(model_path: Callable[[str], Path]) -> Selfie:
    return Selfie(model_path("selfie_segmentation"), model_path("selfie_segmentation_landscape"))


def test_the_sure_part_is_whole_and_what_is_far_is_not(
    selfie: Selfie, demo_photo: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "tiny.onnx"
    weights.write_bytes(mean_of_colours(SIDE))
    net = IsNet(weights, selfie)
    rgb, person = open_photo(demo_photo).rgb[:320], (60, 0, 400, 320)
    matte = net.matte(rgb, person)
    assert matte.dtype == np.float32
    assert matte.shape == rgb.shape[:2]
    assert matte[180, 224] == pytest.approx(1, abs=0.01)  # the chin
    assert matte[:60, 480:].max() == 0
    coarse = selfie.matte(rgb, person)
    edge = (coarse > 0.2) & (coarse < 0.6)  # here the network is asked
    says = np.clip(rgb.mean(-1) - 128, 0, None) / 256
    assert np.median(np.abs(matte - says)[edge]) < 0.05
    net.release()
    assert net.matte(rgb, person).max() == pytest.approx(1, abs=0.01)


def test_a_file_that_is_no_network_is_told(selfie: Selfie, tmp_path: Path) -> None:
    weights = tmp_path / "isnet" / "tiny.onnx"
    weights.parent.mkdir()
    weights.write_bytes(b"no network")
    with pytest.raises(SetupError) as caught:
        IsNet(weights, selfie).load()
    assert caught.value.code == "models.not_loadable"
    assert "vidgen models pull isnet" in str(caught.value.hint)
