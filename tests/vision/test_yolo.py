"""People by YOLO, with networks of the same classes that have a few thousand weights."""

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidgen.errors import SetupError
from vidgen.vision import yolo
from vidgen.vision.yolo import YoloPeople
from vidgen.work import Pixels

# Imported without our switches, as another library of the user's might: that must do no harm.
pytest.importorskip("ultralytics")
torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("one_torch_thread")]


def tiny(folder: Path, shape: str, classes: int = 1) -> Path:
    """An untrained network of the family `shape`, saved as the family's weights are."""
    with yolo._restore_globals():
        library = yolo._library(folder / "settings")
        import ultralytics
        from ultralytics.utils import YAML

        families = Path(ultralytics.__file__).parent / "cfg" / "models"
        (family,) = families.rglob(f"{shape}.yaml")
        plan = YAML.load(family) | {"nc": classes, "scales": {"n": [0.33, 0.0625, 128]}}
        described = folder / f"{shape}n-micro.yaml"
        YAML.save(described, plan)
        torch.manual_seed(1)
        model = library(str(described))
        for weight in model.model.parameters():  # else every place scores the same
            weight.data += 0.1 * torch.randn_like(weight)
        model.save(folder / f"{shape}n.pt")
    return folder / f"{shape}n.pt"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("yolo"), "yolo26")


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return tmp_path / "settings"


@pytest.fixture
def photo() -> Pixels:
    return np.random.default_rng(2).integers(0, 255, (480, 600, 3), np.uint8)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that anybody wants to connect to or look up; none is answered."""
    wanted: list[Any] = []

    def refuse(*address: Any, **_: Any) -> Any:
        wanted.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return wanted


def test_boxes_are_whole_pixels_within_the_photo_best_first(
    weights: Path, settings: Path, photo: Pixels
) -> None:
    found = YoloPeople(weights, settings)(photo, 1e-4)
    assert 0 < len(found) <= yolo.MOST_PEOPLE
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    for (left, top, right, bottom), _ in found:
        assert 0 <= left < right <= 600
        assert 0 <= top < bottom <= 480


def test_the_boxes_are_the_librarys(weights: Path, settings: Path, photo: Pixels) -> None:
    finder = YoloPeople(weights, settings)
    found = finder(photo, 1e-4)
    with yolo._restore_globals():
        result = finder._model.predict(
            photo[..., ::-1].copy(), conf=1e-4, imgsz=640, nms=False, max_det=50, verbose=False
        )
    boxes = result[0].boxes.xyxy.numpy().clip(0, (600, 480, 600, 480))
    assert yolo._finds_once(finder._model)
    np.testing.assert_allclose([score for _, score in found], result[0].boxes.conf.numpy())
    np.testing.assert_allclose([box for box, _ in found], boxes, atol=1)


def test_a_high_threshold_finds_nobody(weights: Path, settings: Path, photo: Pixels) -> None:
    assert YoloPeople(weights, settings)(photo, 0.9) == []


def test_the_generation_before_works_too(tmp_path: Path, settings: Path, photo: Pixels) -> None:
    finder = YoloPeople(tiny(tmp_path, "yolo11"), settings)
    assert isinstance(finder(photo, 1e-5), list)
    assert not yolo._finds_once(finder._model)


def test_threads_and_environment_are_as_before(
    weights: Path, settings: Path, photo: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before, threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    try:
        YoloPeople(weights, settings)(photo, 0.5)
        assert torch.get_num_threads() == 2
        assert cv2.getNumThreads() == 2
        assert "OMP_NUM_THREADS" not in os.environ
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(threads)


def test_pillow_opens_pictures_as_before(weights: Path, settings: Path) -> None:
    """In a fresh interpreter: here the library may have been imported long ago."""
    script = f"""
from pathlib import Path
from PIL import Image
from vidgen.vision.yolo import YoloPeople
YoloPeople(Path({str(weights)!r}), Path({str(settings)!r})).load()
print(Image.open.__module__)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["PIL.Image"], done.stderr


def test_nothing_is_asked_of_a_network(
    weights: Path, settings: Path, photo: Pixels, no_network: list[Any]
) -> None:
    YoloPeople(weights, settings)(photo, 0.5)
    assert no_network == []


def test_a_missing_file_is_told_and_not_downloaded(
    tmp_path: Path, settings: Path, no_network: list[Any]
) -> None:
    with pytest.raises(SetupError) as told:
        YoloPeople(tmp_path / "yolo26n.pt", settings).load()
    assert (told.value.code, told.value.details["name"]) == ("models.gone", "yolo26n")
    assert no_network == []


class Malicious:
    """A pickle that runs a command when it is read."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.proof}",)


def test_a_planted_pickle_is_refused(tmp_path: Path, settings: Path) -> None:
    proof, planted = tmp_path / "it-ran", tmp_path / "yolo26n.pt"
    torch.save({"model": Malicious(proof)}, planted)
    pickle.loads(pickle.dumps(Malicious(tmp_path / "it-can")))
    with pytest.raises(SetupError) as told:
        YoloPeople(planted, settings).load()
    assert told.value.code == "models.not_loadable"
    assert told.value.details["reason"].endswith("the supported Ultralytics checkpoint format")
    assert not proof.exists()
    assert (tmp_path / "it-can").exists()  # so the plant is a real one


def test_a_broken_file_is_told(tmp_path: Path, settings: Path) -> None:
    broken = tmp_path / "yolo26n.pt"
    broken.write_bytes(b"no weights")
    with pytest.raises(SetupError) as told:
        YoloPeople(broken, settings).load()
    assert told.value.code == "models.not_loadable"


def test_release_lets_go_and_the_next_look_loads_again(
    weights: Path, settings: Path, photo: Pixels
) -> None:
    finder = YoloPeople(weights, settings)
    first = finder(photo, 1e-4)
    finder.release()
    assert finder(photo, 1e-4) == first
    assert finder.name == "yolo26n"


@pytest.mark.parametrize(
    ("box", "whole"),
    [
        ([-3.0, 2.4, 10.6, 9.4], (0, 2, 11, 9)),
        ([5.0, 5.0, 700.0, 500.0], (5, 5, 20, 10)),
        ([30.0, 0.0, 40.0, 5.0], None),
    ],
)
def test_boxes_are_cut_to_the_picture(box: list[float], whole: Any) -> None:
    assert yolo._whole(box, 20, 10) == whole
