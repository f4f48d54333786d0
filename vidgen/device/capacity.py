"""How many of us this machine has room for: workers that draw, encoders beside a device."""

from typing import Final

from vidgen.device import device, memory

WORTH_IT: Final = 4  # pieces, from which on workers pay their start
WORKER_MB: Final = (200, 160)  # that a worker takes, and for each megapixel: 350 at 720p
MOST_ENCODERS: Final = 4  # of two threads each: about 600 frames/s at 720p
ENCODER_MB: Final = 240  # that one holds for each megapixel: 160 frames of YUV
ENCODER_SHARE: Final = 0.25  # of the free memory for all of them
WIDEST: Final = 16 / 9  # of a frame's shapes


def worker_capacity(pieces: int, height: int) -> int:
    """Workers for so many pieces of frames of this `height` in pixels; 0 or less for none."""
    if pieces < WORTH_IT:
        return 0
    each = WORKER_MB[0] + WORKER_MB[1] * _megapixels(height)
    return min(pieces, device.usable_cores(), int(memory.free_mb() / each))


def encoder_capacity(height: int) -> int:
    """Pieces encoded at once beside a device that draws frames of this `height` in pixels: it is
    quicker than several of x264. Each holds most of a piece's frames."""
    fit = int(ENCODER_SHARE * memory.free_mb() / (ENCODER_MB * _megapixels(height)))
    return max(1, min(MOST_ENCODERS, device.usable_cores() // 2, fit))


def _megapixels(height: int) -> float:
    return height**2 * WIDEST / 1e6
