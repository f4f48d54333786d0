"""BiRefNet from a tiny network of the same classes, through the same loading and error paths."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.extra import need
from vidgen.errors import DeviceError, SetupError
from vidgen.events import Event, Log
from vidgen.vision import birefnet
from vidgen.vision.birefnet import BiRefNet, Variant, load_network, variants
from vidgen.work import Pixels

need("torch", "nobg")

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("one_torch_thread")]

TINY = {
    "image_size": 64,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 4,
    "dec_channels_inter": 8,
}


@pytest.fixture(scope="module")
def network() -> Any:
    """A tiny network whose last layer has some contrast."""
    import torch
    from nobg.birefnet.modeling_birefnet import BiRefNet as Network
    from nobg.birefnet.modeling_birefnet import BiRefNetConfig

    torch.manual_seed(3)
    return Network(BiRefNetConfig(**TINY)).eval()


@pytest.fixture(scope="module")
def weights(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from safetensors.torch import save_file

    file = tmp_path_factory.mktemp("tiny") / "model.safetensors"
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file({name: state[name] for name in state if name not in birefnet.UNUSED}, file)
    return file


@pytest.fixture
def photo() -> Pixels:
    return np.random.default_rng(5).integers(0, 255, (90, 120, 3), np.uint8)


def in_the_authors_names(network: Any) -> dict[str, Any]:
    """The same weights as the authors' files name and shape them: q, k and v in one."""
    import torch

    state, named = dict(network.state_dict()), {}
    for name in list(state):
        if ".q_proj." in name:
            parts = [state.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
            state[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
    index = torch.zeros(16, 16, dtype=torch.int64)
    for name in state:
        if name in birefnet.UNUSED:
            continue
        old = re.sub(r"^bb\.swin\.encoder\.", "bb.", name)
        old = old.replace("bb.swin.embeddings.patch_embeddings.projection", "bb.patch_embed.proj")
        old = old.replace("bb.swin.embeddings.norm", "bb.patch_embed.norm")
        old = re.sub(
            r"bb\.hidden_states_norms\.stage(\d)",
            lambda stage: f"bb.norm{int(stage[1]) - 1}",
            old,
        )
        old = old.replace("attention.o_proj", "attn.proj")
        old = old.replace("attention.relative_position_bias.relative", "attn.relative")
        old = old.replace("layernorm_before", "norm1").replace("layernorm_after", "norm2")
        for new, was, last in (
            ("decoder_blocks", "decoder_block", 4),
            ("lateral_blocks", "lateral_block", 4),
            ("ipt_blks", "ipt_blk", 5),
            ("conv_ms_spvn", "conv_ms_spvn_", 4),
            ("gdt_convs_pred", "gdt_convs_pred_", 4),
            ("gdt_convs_attn", "gdt_convs_attn_", 4),
            ("gdt_convs", "gdt_convs_", 4),
        ):
            match = re.match(rf"decoder\.{new}\.(\d)\.", old)
            if match:
                old = f"decoder.{was}{last - int(match[1])}." + old[match.end() :]
                break
        named[old] = state[name].contiguous()
        if "attn.qkv.weight" in old:
            named[old.replace("qkv.weight", "relative_position_index")] = index.clone()
    return named


def test_the_weights_arrive_whole(network: Any, weights: Path) -> None:
    import torch

    loaded = load_network(weights, TINY)
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(picture)["logits"], network(picture)["logits"])


def test_the_authors_names_are_understood(network: Any, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    file = tmp_path / "model.safetensors"
    save_file(in_the_authors_names(network), file)
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(load_network(file, TINY)(picture)["logits"], network(picture)["logits"])


@pytest.mark.parametrize(
    ("change", "missing", "unknown"),
    [
        (lambda state: state.pop("decoder.conv_out1.0.bias"), 1, 0),
        (lambda state: state.update(extra=state["decoder.conv_out1.0.bias"]), 0, 1),
    ],
)
def test_weights_too_few_or_too_many_are_refused(
    network: Any, tmp_path: Path, change: Any, missing: int, unknown: int
) -> None:
    from safetensors.torch import save_file

    state = in_the_authors_names(network)
    change(state)
    file = tmp_path / "model.safetensors"
    save_file({name: value.clone() for name, value in state.items()}, file)
    with pytest.raises(SetupError) as told:
        load_network(file, TINY)
    assert told.value.code == "models.not_matching"
    assert (told.value.details["missing"], told.value.details["unknown"]) == (missing, unknown)


def test_weights_of_another_variant_are_refused(weights: Path) -> None:
    with pytest.raises(SetupError) as told:
        load_network(weights, TINY | {"embed_dim": 16})
    assert told.value.code == "models.not_matching"


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", None])
def test_an_unreadable_file_is_told(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "tiny" / "model.safetensors"
    file.parent.mkdir()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SetupError) as told:
        load_network(file, TINY)
    assert told.value.code == "models.not_loadable"
    assert "vidgen models pull tiny" in told.value.hint


def test_a_matte_is_the_sigmoid_at_the_size_of_the_photo(
    network: Any, weights: Path, photo: Pixels
) -> None:
    import cv2
    import torch

    told: list[Event] = []
    net = BiRefNet([Variant("tiny", weights, TINY, 64)], "cpu", told.append)
    matte = net.matte(photo, (0, 0, 120, 90))
    small = cv2.resize(photo, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)
    normal = (small - mean) / deviation
    with torch.inference_mode():
        logits = network(torch.from_numpy(normal.transpose(2, 0, 1)[None]))["logits"]
    by_hand = cv2.resize(1 / (1 + np.exp(-logits[0, 0].numpy())), (120, 90))
    assert matte.shape == (90, 120)
    assert matte.dtype == np.float32
    np.testing.assert_allclose(matte, by_hand, atol=1e-5)
    assert told == []


def test_only_the_person_and_some_room_is_looked_at(weights: Path, photo: Pixels) -> None:
    net = BiRefNet([Variant("tiny", weights, TINY, 64)], "cpu", lambda _: None)
    matte = net.matte(photo, (20, 10, 70, 60))  # 8 % of 50 pixels is 4 round it
    seen = np.zeros((90, 120), bool)
    seen[6:64, 16:74] = True
    assert (matte[seen] > 0).all()
    assert (matte[~seen] == 0).all()


class Hungry(BiRefNet):
    """Has memory for a picture of `room` pixels a side, no more."""

    room = 0

    def _forward(self, rgb: Pixels, side: int) -> Any:
        if side > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super()._forward(rgb, side)


def test_too_little_memory_takes_the_next_variant_and_says_so(weights: Path, photo: Pixels) -> None:
    told: list[Event] = []
    large, lite = Variant("large", weights, TINY, 256), Variant("lite", weights, TINY, 128)
    net = Hungry([large, lite, Variant("lite", weights, TINY, 64)], "cpu", told.append)
    net.room = 64
    assert net.matte(photo, (0, 0, 120, 90)).max() > 0
    assert told == [
        Log("WARNING", "matte.smaller", {"model": "lite", "side": 128}),
        Log("WARNING", "matte.smaller", {"model": "lite", "side": 64}),
    ]
    assert net.model == "lite at 64"


def test_too_little_memory_for_all_is_a_device_error(weights: Path, photo: Pixels) -> None:
    net = Hungry([Variant("tiny", weights, TINY, 64)], "cpu", lambda _: None)
    with pytest.raises(DeviceError) as told:
        net.matte(photo, (0, 0, 120, 90))
    assert (told.value.code, told.value.details["device"]) == ("device.out_of_memory", "cpu")


def test_weights_that_do_not_fit_ahead_of_time_are_tried_again_and_then_replaced(
    weights: Path, photo: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another stage may have had the memory when the weights were read ahead."""
    asked: list[Path] = []

    def full(file: Path, params: Any) -> Any:
        asked.append(file)
        if file.name == "large":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return load_network(weights, params)

    monkeypatch.setattr(birefnet, "load_network", full)
    told: list[Event] = []
    large, lite = Variant("large", Path("large"), TINY, 64), Variant("lite", Path("lite"), TINY, 64)
    net = BiRefNet([large, lite], "cpu", told.append)
    net.load()
    assert (asked, told) == ([Path("large")], [])
    assert net.matte(photo, (0, 0, 120, 90)).max() > 0
    assert asked == [Path("large"), Path("large"), Path("lite")]
    assert told == [Log("WARNING", "matte.smaller", {"model": "lite", "side": 64})]
    assert net.model == "lite at 64"


def test_another_runtime_error_is_a_bug_and_goes_through(weights: Path, photo: Pixels) -> None:
    class Broken(BiRefNet):
        def _forward(self, rgb: Pixels, side: int) -> Any:
            raise RuntimeError("shapes do not fit")

    net = Broken([Variant("tiny", weights, TINY, 64)], "cpu", lambda _: None)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        net.matte(photo, (0, 0, 120, 90))


def test_numbers_beyond_half_precision_are_computed_again(weights: Path, photo: Pixels) -> None:
    class Overflowing(BiRefNet):
        def _forward(self, rgb: Pixels, side: int) -> Any:
            if self.precision == "float16":
                return np.full(rgb.shape[:2], np.nan, np.float32)
            return super()._forward(rgb, side)

    told: list[Event] = []
    net = Overflowing([Variant("tiny", weights, TINY, 64)], "cpu", told.append)
    net.precision = "float16"
    assert np.isfinite(net.matte(photo, (0, 0, 120, 90))).all()
    assert told == [Log("INFO", "matte.precise", {"model": "tiny"})]


def test_a_device_has_its_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    large, lite = Variant("large", Path("a")), Variant("lite", Path("b"))
    small = Variant("lite", Path("b"), side=512)
    assert variants(large, lite, "cuda:0") == (large, lite, small)
    assert variants(large, None, "cuda:0") == (large, Variant("large", Path("a"), side=512))
    monkeypatch.setattr(birefnet, "usable_cores", lambda: 2)
    assert variants(large, lite, "cpu") == (small,)
    monkeypatch.setattr(birefnet, "usable_cores", lambda: 16)
    assert variants(large, lite, "cpu") == (lite, small)
    assert variants(None, None, "cpu") == ()


def test_release_lets_go_and_load_brings_back(weights: Path, photo: Pixels) -> None:
    net = BiRefNet([Variant("tiny", weights, TINY, 64)], "cpu", lambda _: None)
    net.load()
    first = net.matte(photo, (0, 0, 120, 90))
    net.release()
    np.testing.assert_array_equal(net.matte(photo, (0, 0, 120, 90)), first)
