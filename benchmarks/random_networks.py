"""The full models without their weights: the same networks, filled with numbers of no meaning.

Speed does not depend on the values. `SMALL` are networks of the same classes with a few thousand
weights, with which the benchmark's own paths are tried on any machine in seconds.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.models import catalog
from vidgen.renderers.musetalk.networks import NetworkFiles, Networks
from vidgen.renderers.musetalk.renderer import MuseTalkRenderer
from vidgen.vision.birefnet import BiRefNet, Variant
from vidgen.work import Box, Floats, Pixels

Shape = Mapping[str, Any]
UNET: Final[Shape] = {  # musetalkV15/musetalk.json
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 384,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 8,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
BIREFNET: Final[Shape] = {
    "image_size": 64,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 4,
    "dec_channels_inter": 8,
}
NARROW: Final = {"d_model": 16, "encoder_ffn_dim": 32, "encoder_attention_heads": 2}
FEW: Final = {"block_out_channels": [8, 8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4}


@dataclass(frozen=True, slots=True)
class Sizes:
    """The shapes of all networks, and what they are given."""

    unet: Shape
    vae: Shape
    whisper: Shape
    general: Shape
    lite: Shape
    side: int  # pixels of BiRefNet's picture
    yolo: tuple[str, ...]
    voices: tuple[float, ...]  # seconds, of the whole runs


def full() -> Sizes:
    rows = catalog.models()
    lite = rows["birefnet_lite"].params
    vae, whisper = rows["sd_vae"].params, rows["whisper_tiny"].params
    return Sizes(UNET, vae, whisper, {}, lite, 1024, ("yolo26n", "yolo26m"), (8.0, 60.0))


def small() -> Sizes:
    rows = catalog.models()
    return Sizes(
        {**UNET, **FEW, "attention_head_dim": 2, "cross_attention_dim": 16},
        {**rows["sd_vae"].params, **FEW},
        {**rows["whisper_tiny"].params, **NARROW},
        BIREFNET,
        BIREFNET,
        64,
        ("yolo26n",),
        (0.4, 1.0),
    )


class RandomBiRefNet(BiRefNet):
    """Full size, weights of no meaning."""

    def _ready(self, variant: Variant) -> None:
        from nobg.birefnet.modeling_birefnet import BiRefNet as Network
        from nobg.birefnet.modeling_birefnet import BiRefNetConfig

        with self._loading:
            if self._loaded is None:
                network = Network(BiRefNetConfig(**variant.params)).eval()
                network = network.half() if self.precision == "float16" else network
                self._network = network.to(self.device)
            self._loaded = variant


class OvalBiRefNet(RandomBiRefNet):
    """Computes as much, then answers an oval round the person: the renderer needs a speaker."""

    def matte(self, rgb: Pixels, person: Box) -> Floats:
        super().matte(rgb, person)
        left, top, right, bottom = person
        rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
        across = (columns - (left + right) / 2) / max(1, right - left)
        down = (rows - (top + bottom) / 2) / max(1, bottom - top)
        return np.asarray(np.clip(8 - 16 * np.hypot(across, down), 0, 1), np.float32)


class RandomNetworks(Networks):
    """MuseTalk's three; adds up the seconds that the device spends on faces."""

    def __init__(self, sizes: Sizes, device: str) -> None:
        super().__init__(NetworkFiles(Path(), Path(), Path(), Path()), device)
        self.sizes = sizes
        self.busy = 0.0

    def load(self) -> None:
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        with self._loading, self._beside():
            if self._unet is not None:
                return
            sizes = self.sizes
            self._whisper = self._random(lambda: WhisperEncoder(WhisperConfig(**sizes.whisper)))
            self._vae = self._random(lambda: AutoencoderKL(**sizes.vae))
            self._decode = self._vae.decode
            self._unet = self._random(lambda: UNet2DConditionModel(**sizes.unet))

    def _random(self, make: Callable[[], Any]) -> Any:
        import torch

        with torch.device("meta"):
            network = make()
        dtype = getattr(torch, self.precision)
        network = torch.nn.Module.to(network, dtype)  # diffusers' own `to` warns
        network = network.to_empty(device=self.device).eval().requires_grad_(False)
        for weight in network.parameters():
            weight.normal_(0, 0.02)
        return network

    def draw(self, latents: Any, tokens: Floats) -> Any:
        began = time.perf_counter()  # the call ends with the pixels: it waits for all
        made = super().draw(latents, tokens)
        self.busy += time.perf_counter() - began
        return made


def random_musetalk(networks: RandomNetworks, batch: int = 0) -> MuseTalkRenderer:
    renderer = MuseTalkRenderer(networks.files, networks.device, batch=batch)
    renderer.networks = networks
    return renderer
