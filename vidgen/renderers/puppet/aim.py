"""Places on a device that a batch's look-ups are aimed at."""

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
            scale = [2 * self.times / (side - 1) for side in size]
            start = [-1 - at * by for at, by in zip(self.origin, scale, strict=True)]
            constant = self.canvas.constant
            self.shares[size] = self.canvas.torch.addcmul(
                constant(*start), self.places, constant(*scale)
            )
        return self.shares[size]
