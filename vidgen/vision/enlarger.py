"""A small picture made four times as large by Real-ESRGAN (x4plus) on ncnn, on the processor.

Which pictures are worth it is the stage's business: 64 × 64 pixels take four seconds of one core.
"""

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.device import device
from vidgen.device.memory import give_back
from vidgen.errors import SetupError
from vidgen.installation import install_command
from vidgen.models.files import not_loadable
from vidgen.vision.lazy_net import LazyNet
from vidgen.work import Floats, Pixels

TIMES: Final = 4
TILE: Final = 64  # pixels, at most: with its rim 740 MB
PAD: Final = 16  # pixels round each tile that are looked at and thrown away: with 10, seams show


class Enlarger(LazyNet):
    """The network (Wang and others, 2021): load, enlarge, release."""

    def __init__(self, weights: Path, structure: Path, tile: int = TILE) -> None:
        self.weights = weights
        self.structure = structure
        self.tile = tile

    @cached_property
    def _net(self) -> Any:
        import ncnn

        net = ncnn.Net()
        net.opt.num_threads = device.usable_cores()
        net.opt.use_vulkan_compute = False
        load = (net.load_param, self.structure), (net.load_model, self.weights)
        for read, file in load:
            if read(str(file)) != 0:
                raise not_loadable(file, "ncnn cannot read it")
        return net

    def release(self) -> None:
        """Give the memory back, to the system, too: the C library would keep half of it."""
        super().release()
        give_back()

    def enlarge(self, rgb: Pixels, on_tile: Callable[[int, int], None]) -> Pixels:
        """(4H, 4W, 3) of `rgb` (H, W, 3). `on_tile` hears how many tiles of how many are done."""
        height, width = rgb.shape[:2]
        around = np.pad(rgb, ((PAD, PAD), (PAD, PAD), (0, 0)), mode="edge")
        made = np.empty((TIMES * height, TIMES * width, 3), np.uint8)
        tiles = [*product(_cuts(height, self.tile), _cuts(width, self.tile))]
        for count, ((top, bottom), (left, right)) in enumerate(tiles, 1):
            large = self._run(around[top : bottom + 2 * PAD, left : right + 2 * PAD])
            rim = TIMES * PAD
            made[TIMES * top : TIMES * bottom, TIMES * left : TIMES * right] = np.round(
                255 * large[rim:-rim, rim:-rim]
            )
            on_tile(count, len(tiles))
        return made

    def _run(self, rgb: Pixels) -> Floats:
        """(4H, 4W, 3) 0–1."""
        import ncnn

        planes = np.ascontiguousarray(rgb.transpose(2, 0, 1), np.float32) / 255
        turn = self._net.create_extractor()
        turn.input("data", ncnn.Mat(planes))
        _, found = turn.extract("output")
        return np.clip(np.asarray(found, np.float32), 0, 1).transpose(1, 2, 0)


def _cuts(length: int, most: int) -> list[tuple[int, int]]:
    """Beginnings and ends of equal parts, none longer than `most`."""
    ends = [round(at) for at in np.linspace(0, length, -(-length // most) + 1)]
    return [*pairwise(ends)]


def check_extra() -> None:
    """Raises SetupError without the extra that runs the network."""
    if not device.has_package("ncnn"):
        raise SetupError(
            "Enlarging the photo needs the extra enlarge, which is not installed.",
            hint="Install it: {command}. Or go without --enlarge.",
            code="detect.no_enlarge",
            command=install_command("enlarge"),
        )
