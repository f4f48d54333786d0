"""The speaker's matte by BiRefNet, to single hairs: a network for the matte stage.

Runs the library `nobg`'s own code on weights that are verified already; no code comes from a hub.
Guided filtering, background and the rest are the stage's business.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.device.device import has_package, map_torch, usable_cores
from vidgen.device.memory import first_that_fits, free, is_out_of_memory
from vidgen.errors import SetupError
from vidgen.events import Emit, Log
from vidgen.installation import install_command
from vidgen.models.files import not_loadable
from vidgen.vision.matting import roomy
from vidgen.work import Box, Floats, Pixels

SIDE: Final = 1024  # pixels, both sides, of the picture that the network was trained on
CPU_SIDE: Final = 512  # where 1024 would cost 13 s (2 cores): 2 s
MANY_CORES: Final = 8  # from here on the CPU does 1024 in a few seconds, too
MEAN: Final = (0.485, 0.456, 0.406)  # ImageNet's, RGB
DEVIATION: Final = (0.229, 0.224, 0.225)
# Of transformers' Swin, not of BiRefNet's: no output depends on it, and no weights file has it.
UNUSED: Final = frozenset({"bb.swin.layernorm.weight", "bb.swin.layernorm.bias"})


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the network: which weights, at which size."""

    name: str
    weights: Path  # safetensors, verified
    params: Mapping[str, Any] = field(default_factory=dict)  # of nobg's BiRefNetConfig
    side: int = SIDE


def variants(large: Variant | None, lite: Variant | None, device: str) -> tuple[Variant, ...]:
    """What to try on this device, best first; each needs less memory than the one before.

    `large` or `lite` may be missing. The CPU takes the lite one, small unless it has many cores.
    """
    known = [one for one in (large, lite) if one is not None]
    if not device.startswith("cuda") and device != "mps":
        known = known[-1:]
        if usable_cores() < MANY_CORES:
            return tuple(_at_side(one, CPU_SIDE) for one in known)
    smallest = [_at_side(one, CPU_SIDE) for one in known[-1:]]
    return (*known, *smallest)


def _at_side(variant: Variant, side: int) -> Variant:
    return Variant(variant.name, variant.weights, variant.params, side)


class BiRefNet:
    """The matte of the person in a box. Loads its weights once; falls back to less on no memory.

    `variants` are tried in order, see `variants`. A smaller one is told in a `log` event.
    """

    name = "birefnet"
    is_fine = True

    def __init__(self, variants: Sequence[Variant], device: str, emit: Emit) -> None:
        self.variants = tuple(variants)
        self.device = device
        self.emit = emit
        self.precision = "float16" if device.startswith("cuda") else "float32"
        self._network: Any = None
        self._loaded: Variant | None = None
        self._loading = threading.Lock()  # loaded ahead in a thread of its own, perhaps

    @property
    def model(self) -> str:
        """Which variant is in use, for the stage's notes."""
        used = self._loaded or self.variants[0]
        return f"{used.name} at {used.side}"

    def load(self) -> None:
        """Read the first variant's weights, if they fit into memory now: `matte` tries again.

        Raises SetupError when they are not this network's.
        """
        try:
            self._ready(self.variants[0])
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        free(self.device)  # here and not above: the error's traceback holds the tensors

    def release(self) -> None:
        self._network = self._loaded = None
        free(self.device)

    def matte(self, rgb: Pixels, person: Box) -> Floats:
        """Coverage 0–1 (H, W) of what stands in front within `person` and some room round it.

        Raises DeviceError when even the smallest variant does not fit into memory.
        """
        left, top, right, bottom = roomy(person, rgb)
        cut = np.ascontiguousarray(rgb[top:bottom, left:right])
        whole = np.zeros(rgb.shape[:2], np.float32)
        whole[top:bottom, left:right] = first_that_fits(
            self.variants,
            lambda variant: self._predict(cut, variant),
            self._warn_smaller,
            self.device,
        )
        return whole

    def _warn_smaller(self, variant: Variant) -> None:
        self.release()
        values = {"model": variant.name, "side": variant.side}
        self.emit(Log("WARNING", "matte.smaller", values))

    def _predict(self, rgb: Pixels, variant: Variant) -> Floats:
        self._ready(variant)
        matte = self._forward(rgb, variant.side)
        if np.isfinite(matte).all():
            return matte
        # A number beyond half precision's range, somewhere in the network: rare, and a hole.
        self.emit(Log("INFO", "matte.precise", {"model": variant.name}))
        self.precision = "float32"
        self._network.float()
        return self._forward(rgb, variant.side)

    def _forward(self, rgb: Pixels, side: int) -> Floats:
        import cv2
        import torch

        dtype = getattr(torch, self.precision)
        small = cv2.resize(rgb, (side, side), interpolation=_interpolation(rgb, side))
        picture = torch.from_numpy(small).to(self.device, torch.float32)  # (S, S, 3)
        mean, deviation = (torch.tensor(of, device=self.device) for of in (MEAN, DEVIATION))
        picture = ((picture / 255 - mean) / deviation).permute(2, 0, 1)[None]  # (1, 3, S, S)
        with torch.inference_mode():
            logits = self._network(picture.to(dtype))["logits"]  # (1, 1, S, S)
            matte = logits.float().sigmoid()[0, 0].cpu().numpy()  # (S, S)
        height, width = rgb.shape[:2]
        full: Floats = cv2.resize(matte, (width, height), interpolation=cv2.INTER_LINEAR)
        return full

    def _ready(self, variant: Variant) -> None:
        with self._loading:
            if self._loaded is None or _at_side(self._loaded, 0) != _at_side(variant, 0):
                self._network = self._loaded = None
                network = load_network(variant.weights, variant.params)
                network = network.half() if self.precision == "float16" else network
                self._network = network.to(self.device)
            self._loaded = variant


def _interpolation(rgb: Pixels, side: int) -> int:
    import cv2

    return int(cv2.INTER_AREA if max(rgb.shape[:2]) > side else cv2.INTER_LINEAR)


def load_network(weights: Path, params: Mapping[str, Any]) -> Any:
    """The network with all of its weights, float32, on the CPU.

    `params` are fields of nobg's BiRefNetConfig; the default is the large network's. Raises
    SetupError without the extra, for an unreadable file, and for missing or unknown weights.
    """
    if not has_package("nobg"):
        raise SetupError(
            "Cutting out with BiRefNet needs the GPU extra, which is not installed.",
            hint="Install it: {command}",
            code="matte.no_extra",
            command=install_command("gpu"),
        )
    map_torch()
    from nobg.birefnet.modeling_birefnet import BiRefNet as Network
    from nobg.birefnet.modeling_birefnet import BiRefNetConfig
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise not_loadable(weights, str(error)) from error
    return _load_weights(Network, BiRefNetConfig(**params), state, weights).eval()


def _load_weights(network: Any, config: Any, state: Mapping[str, Any], weights: Path) -> Any:
    """nobg's `from_origin` renames the authors' weights, but only logs what does not fit."""
    from torch import nn

    taken: set[str] = set()

    class Watched(network):  # type: ignore[misc]  # a class only known when the library is there
        def load_state_dict(self, state: Any, *args: Any, **kwargs: Any) -> Any:
            taken.update(state)
            return super().load_state_dict(state, *args, **kwargs)

    class Origin(nn.Module):  # type: ignore[misc]  # torch has no types here
        def state_dict(self, *_: Any, **__: Any) -> Any:
            return dict(state)

    filled = Watched.from_origin(Origin(), config)
    missing = sorted(set(filled.state_dict()) - taken - UNUSED)
    unknown = sum(map(_becomes, state)) - len(taken)
    if missing or unknown:
        raise SetupError(
            "The weights in {path} are not those of this network: "
            "{missing} missing, {unknown} unknown.",
            hint="Its row in models.toml needs the params of its variant.",
            code="models.not_matching",
            path=str(weights),
            missing=len(missing),
            unknown=unknown,
        )
    return filled


def _becomes(name: str) -> int:
    """How many weights of the library's network one of the authors' file becomes."""
    if "relative_position_index" in name:
        return 0  # computed
    return 3 if ".attn.qkv." in name else 1
