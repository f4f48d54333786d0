"""Places on a device that a batch's look-ups are aimed at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Aim:
    """Places that will be looked up, from `origin` on `times` as large: brought there in one step
    with what a look-up asks for, and not twice."""

    canvas: Any  # a TorchCanvas
    places: Any  # (B, h, w, 2)
    origin: tuple[float, ...] = (0.0, 0.0)
    times: float = 1.0
    shares: dict[Any, Any] = field(default_factory=dict)

    def share(self, size: tuple[int, int]) -> Any:
        """From -1 in the middle of the first to 1 in that of the last pixel of a picture of this
        `size` (w, h)."""
        if size not in self.shares:
            self.shares[size] = self._scale([side - 1 for side in size], 0.0)
        return self.shares[size]

    def share_edges(self, size: tuple[int, int]) -> Any:
        """From -1 at the first pixel's edge to 1 at the last one's: the same in any picture that
        covers as much."""
        return self._scale(size, 0.5)

    def _scale(self, lengths: Sequence[float], before: float) -> Any:
        """From -1 `before` the first place to 1 so many pixels on."""
        scale = [2 * self.times / length for length in lengths]
        starts = zip(self.origin, scale, lengths, strict=True)
        start = [2 * before / length - 1 - at * by for at, by, length in starts]
        constant = self.canvas.constant
        return self.canvas.torch.addcmul(constant(*start), self.places, constant(*scale))
