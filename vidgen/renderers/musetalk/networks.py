"""The three networks behind the mouth: Whisper's encoder, the VAE, and MuseTalk's UNet.

All are plain library classes filled with weights (`weights`) that are checked name by name and
shape by shape.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.device.batch_graph import BatchGraph
from vidgen.device.device import device_name, has_package, map_torch
from vidgen.device.memory import free, is_out_of_memory
from vidgen.errors import SetupError
from vidgen.events import Emit, Log
from vidgen.installation import install_command
from vidgen.renderers.musetalk.weights import (
    fill,
    is_copy_of,
    keep_copy,
    load_config,
    load_pickle,
    load_tensors,
)
from vidgen.work import Floats, Pixels

PACKAGES: Final = ("torch", "diffusers", "transformers", "safetensors")
SAMPLES: Final = 480_000  # 30 s at 16 kHz
KERNELS: Final = "kernels"  # a folder beside the UNet's weights
ENCODER: Final = "model.encoder."  # of the names in Whisper's file
# The VAE's file is older than the library's names for its attention.
RENAMED: Final = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}


@dataclass(frozen=True, slots=True)
class NetworkFiles:
    """Verified files, and the shapes of the networks that their rows in models.toml tell."""

    unet: Path  # .pth or .safetensors
    unet_config: Path  # musetalk.json
    vae: Path
    whisper: Path
    vae_params: Mapping[str, Any] = field(default_factory=dict)  # of AutoencoderKL
    whisper_params: Mapping[str, Any] = field(default_factory=dict)  # of WhisperConfig


class Networks:
    """The networks on one device, loaded when first needed. One thread computes at a time."""

    def __init__(self, files: NetworkFiles, device: str, emit: Emit = lambda _: None) -> None:
        self.files = files
        self.device = device
        self.emit = emit
        self.precision = "float16" if device.startswith("cuda") else "float32"
        self._whisper: Any = None
        self._vae: Any = None
        self._unet: Any = None
        self._decode: Any = None
        self._stream: Any = None  # the device's, of the networks alone
        self._graphs: dict[int, BatchGraph | None] = {}  # by number of faces
        self._drawn: Any = None  # the latents that they draw
        self._kernels: Path | None = None  # the mark of compiled kernels, once they have drawn
        self._loading = threading.Lock()  # loaded ahead in a thread of its own, perhaps

    def load(self) -> None:
        """Raises SetupError without the extra, or when a file is not what it should be."""
        with self._loading:
            if self._unet is not None:
                return
            _demand_packages()
            map_torch()
            with self._beside():  # whose stream they are used on: the last copies go on for a while
                self._whisper = self._to_device(whisper(self.files, self.device))
                self._vae = self._to_device(vae(self.files, self.device))
                self._decode = self._vae.decode
                self._unet = self._to_device(unet(self.files, self.device), self._on_gpu)

    @property
    def _on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def release(self) -> None:
        self._graphs = {}
        self._whisper = self._vae = self._unet = self._decode = None
        free(self.device)

    def compile(self) -> None:
        """Let torch translate the two networks that run once a frame. Costs about a minute.

        Where it cannot (no compiler, no Triton), they run as they are. Kernels are kept beside the
        weights, for other runs.
        """
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(self.files.unet.parent / KERNELS))
        import torch
        import torch._dynamo

        torch._dynamo.config.suppress_errors = True
        self._graphs = {}
        self._unet = torch.compile(self._unet)
        self._decode = torch.compile(self._vae.decode)
        self._kernels = self._mark()

    def has_kernels(self) -> bool:
        """Whether this torch has compiled for this device before."""
        return self._mark().exists()

    def _mark(self) -> Path:
        from torch.version import __version__

        name = re.sub(r"\W+", "-", f"{__version__} {device_name(self.device)}")
        return self.files.unet.parent / KERNELS / f"{name}.compiled"

    def hear(self, samples: Floats) -> Floats:
        """(1500, layers + 1, width): the encoder's hidden states for at most 30 s at 16 kHz."""
        import torch
        from transformers import WhisperFeatureExtractor

        extractor = WhisperFeatureExtractor(feature_size=self._whisper.config.num_mel_bins)
        mel = extractor(samples[:SAMPLES], sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode(), self._beside():
            states = self._whisper(
                self._tensor(mel["input_features"]), output_hidden_states=True
            ).hidden_states  # layers + 1 times (1, 1500, D)
            made: Floats = torch.stack(states, dim=2)[0].float().cpu().numpy()
        return made

    def latents(self, square: Pixels, blanked: Pixels) -> Any:
        """(1, 8, 32, 32): the blanked picture's latents, then the whole one's."""
        import torch

        pictures = torch.from_numpy(np.stack([blanked, square])).permute(0, 3, 1, 2)
        pictures = pictures.float() / 127.5 - 1  # (2, 3, 256, 256) in -1..1
        with torch.inference_mode(), self._beside():
            means = self._finite(lambda: self._means(pictures))  # (2, 4, 32, 32)
            return (means * self._vae.config.scaling_factor).reshape(1, -1, *means.shape[2:])

    def _means(self, pictures: Any) -> Any:
        """The middle of the distribution and not a draw from it: the same photo, the same film."""
        return self._vae.encode(self._tensor(pictures)).latent_dist.mode()

    def draw(self, latents: Any, tokens: Floats) -> Any:
        """(B, 3, 256, 256) bytes on the device, finished: faces for (B, 50, D) tokens, in one pass
        at timestep 0."""
        import torch

        with torch.inference_mode(), self._beside():
            faces = self._finite(lambda: self._faces(latents, tokens))
            pixels = ((faces / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
            self._settle()  # this thread waits, so that no other stream has to
        if self._kernels is not None:
            with suppress(OSError):
                self._kernels.parent.mkdir(exist_ok=True)
                self._kernels.touch()
            self._kernels = None
        return pixels

    def _faces(self, latents: Any, tokens: Floats) -> Any:
        """(B, 3, 256, 256) in -1..1, about."""
        import torch

        heard = self._tensor(torch.from_numpy(tokens))
        fixed = self._tensor(latents)

        def draw(heard: Any) -> Any:
            return self.decode_heard(fixed, heard)

        if not self._on_gpu:
            return draw(heard)
        if self._drawn is not latents:
            self._drawn, self._graphs = latents, {}
        return self._play(draw, heard)

    def _play(self, draw: Callable[[Any], Any], heard: Any) -> Any:
        """What `draw` makes, by a record of it if there can be one."""
        key = len(heard)
        if key not in self._graphs:
            self._graphs[key] = None
            try:
                self._graphs[key] = BatchGraph(draw, heard)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
        graph = self._graphs[key]
        return draw(heard) if graph is None else graph.play(heard)

    def decode_heard(self, latents: Any, heard: Any) -> Any:
        """(B, 3, 256, 256) faces for (1, 8, 32, 32) latents and (B, 50, D) tokens, both on the
        device: the same calls whatever the numbers are."""
        import torch

        now = torch.zeros(1, dtype=torch.long, device=self.device)
        batch = latents.expand(len(heard), -1, -1, -1)
        made = self._unet(batch, now, encoder_hidden_states=heard).sample  # (B, 4, 32, 32)
        return self._decode(made / self._vae.config.scaling_factor).sample.float()

    def _finite(self, compute: Callable[[], Any]) -> Any:
        """What `compute` gives; once more in single precision when half was not enough."""
        import torch

        made = compute()
        if self.precision == "float32":
            return made
        is_finite = torch.isfinite(made).all()
        self._settle()
        if bool(is_finite):
            return made
        self._widen()
        return compute()

    def _widen(self) -> None:
        """A number left half precision's range, as this VAE's sometimes do: a black face."""
        self.emit(Log("INFO", "render.precise", {"model": "musetalk"}))
        self.precision = "float32"
        self._graphs = {}
        for network in (self._whisper, self._vae, self._unet):
            network.float()

    def _settle(self) -> None:
        """Wait until what was asked for is computed, without keeping a core busy."""
        if not self._on_gpu:
            return
        import torch

        done = torch.cuda.Event(blocking=True)
        done.record()
        done.synchronize()

    def _tensor(self, values: Any) -> Any:
        import torch

        return values.to(self.device, getattr(torch, self.precision))

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """Compute beside what else is drawn on a GPU: neither waits for the other."""
        if not self._on_gpu:
            yield
            return
        import torch

        self._stream = self._stream or torch.cuda.Stream(self.device)
        with torch.cuda.stream(self._stream):
            yield

    def _to_device(self, network: Any, channels_last: bool = False) -> Any:
        """`channels_last` memory has the UNet draw 1.6 times as fast, and the VAE slower (H100)."""
        import torch

        if channels_last:
            torch.nn.Module.to(network, memory_format=torch.channels_last)
        # Not `network.to`: diffusers' own warns on stderr of modules that it would keep precise.
        torch.nn.Module.to(network, self.device, getattr(torch, self.precision))
        return network.eval().requires_grad_(False)


def _demand_packages() -> None:
    if not all(map(has_package, PACKAGES)):
        raise SetupError(
            "The renderer musetalk needs the GPU extra, which is not installed.",
            hint="Install it: {command}. Or use --renderer puppet.",
            code="render.no_extra",
            command=install_command("gpu"),
        )


def whisper(files: NetworkFiles, device: str = "cpu") -> Any:
    """The encoder alone. Weights are read straight to the `device`."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    state = load_tensors(files.whisper, device)
    encoder = {
        name.removeprefix(ENCODER): value
        for name, value in state.items()
        if name.startswith(ENCODER)
    }
    return fill(
        lambda: WhisperEncoder(WhisperConfig(**files.whisper_params)), encoder, files.whisper
    )


def vae(files: NetworkFiles, device: str = "cpu") -> Any:
    from diffusers import AutoencoderKL

    state = {_todays(name): value for name, value in load_tensors(files.vae, device).items()}
    return fill(lambda: AutoencoderKL(**files.vae_params), state, files.vae)


def _todays(name: str) -> str:
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return name


def unet(files: NetworkFiles, device: str = "cpu") -> Any:
    """From the half-precision copy if there is one, else from the authors' file, and make one."""
    from diffusers import UNet2DConditionModel

    config = load_config(files.unet_config)

    def make() -> Any:
        return UNet2DConditionModel(**config)

    copy = files.unet.with_name(files.unet.stem + ".fp16.safetensors")
    if files.unet.suffix == ".safetensors":
        return fill(make, load_tensors(files.unet, device), files.unet)
    if is_copy_of(copy, files.unet):
        return fill(make, load_tensors(copy, device), copy)
    network = fill(make, load_pickle(files.unet), files.unet).half()
    keep_copy(network.state_dict(), copy, files.unet)
    return network
