"""Where films are made: GPUs by their UUID, shares of the processor."""

from pathlib import Path

import pytest

from vidgen.engines.places import claim_cores, find_places, share_cores
from vidgen.errors import VidgenError

GPUS = {0: "GPU-aa", 1: "GPU-bb"}


def test_a_gpu_is_named_by_its_uuid_and_queued_for_by_its_number() -> None:
    place = find_places("cuda:1", gpus=lambda: GPUS)[0]
    assert (place.name, place.device, place.slot) == ("cuda:1", "cuda:0", "cuda:1")
    assert place.environment == {
        "CUDA_VISIBLE_DEVICES": "GPU-bb",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


def test_all_takes_every_gpu() -> None:
    assert [place.name for place in find_places("all", gpus=lambda: GPUS)] == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(
    ("devices", "code"),
    [
        ("cuda:2", "batch.no_device"),
        ("cuda:0,cuda:0", "batch.devices"),
        ("gpu0", "batch.devices"),
        ("cuda:", "batch.devices"),
    ],
)
def test_what_is_no_list_of_gpus_is_refused(devices: str, code: str) -> None:
    with pytest.raises(VidgenError) as caught:
        find_places(devices, gpus=lambda: GPUS)
    assert caught.value.code == code


def test_without_a_gpu_all_is_refused() -> None:
    with pytest.raises(VidgenError) as caught:
        find_places("all", gpus=dict)
    assert caught.value.code == "batch.no_device"


def test_the_cores_are_shared_out_and_none_twice() -> None:
    assert share_cores((0, 1, 2, 3, 4), 2) == [(0, 1), (2, 3, 4)]
    assert share_cores((0, 1), 3) == [(), (), ()]


def test_several_jobs_have_turns_of_their_own() -> None:
    assert [place.slot for place in find_places(jobs=3)] == ["", "batch-2", "batch-3"]


def test_a_claimed_core_is_given_to_nobody_else_until_it_is_given_back(tmp_path: Path) -> None:
    first, kept = claim_cores(tmp_path / "cores", 2, (0, 1, 2))
    second, others = claim_cores(tmp_path / "cores", 1, (0, 1, 2))
    assert (first, second) == ((0, 1), (2,))
    assert claim_cores(tmp_path / "cores", 1, (0, 1, 2))[0] == ()
    kept.close()
    assert claim_cores(tmp_path / "cores", 3, (0, 1, 2))[0] == ()  # and nothing is kept of it
    assert claim_cores(tmp_path / "cores", 2, (0, 1, 2))[0] == (0, 1)
    others.close()
