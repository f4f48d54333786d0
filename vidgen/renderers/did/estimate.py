"""How long D-ID will probably take, learned from past talks, and the bar drawn from it.

D-ID tells no progress of its own, so this is a guess and is named one.
"""

import json
import math
import os
from pathlib import Path
from typing import Final

# Their documentation's example: 24 s in the queue, then 41 frames at 51 frames per second.
QUEUE_SECONDS: Final = 20.0
SECONDS_PER_SECOND: Final = 0.5
KEPT: Final = 20  # talks remembered
LAST: Final = 0.9  # of the stage; the rest is the download's


class PastTalks:
    """The last talks' voice lengths and waits, in a small file; no file, no memory."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file

    def wait_seconds(self, voice_seconds: float) -> float:
        """Seconds from the order to the result, by the median of past talks' delay."""
        default = QUEUE_SECONDS + SECONDS_PER_SECOND * voice_seconds
        ratios = sorted(
            waited / (QUEUE_SECONDS + SECONDS_PER_SECOND * voice) for voice, waited in self._talks()
        )
        return default * ratios[len(ratios) // 2] if ratios else default

    def remember(self, voice_seconds: float, waited: float) -> None:
        """Best effort: a bar that is a little wrong costs nobody anything."""
        if self.file is None:
            return
        talks = [*self._talks(), (round(voice_seconds, 1), round(max(waited, 0.1), 1))]
        part = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        try:
            part.write_text(json.dumps(talks[-KEPT:]), "utf-8")
            part.replace(self.file)
        except OSError:
            return

    def _talks(self) -> list[tuple[float, float]]:
        if self.file is None:
            return []
        try:
            pairs = [(float(a), float(b)) for a, b in json.loads(self.file.read_bytes())]
        except (OSError, ValueError, TypeError):
            return []
        return [(a, b) for a, b in pairs if 0 < a < math.inf and 0 < b < math.inf]


def share(waited: float, expected: float) -> float:
    """How much of the stage to show, 0–0.9: straight until expected, then ever slower."""
    if waited <= 0:
        return 0.0
    part = waited / max(expected, 0.1)
    if part <= 1:
        return 0.85 * LAST * part
    return LAST * (0.85 + 0.15 * (1 - math.exp(1 - part)))
