"""A remaining time that counts down evenly although estimates waver. Knows no run."""

from dataclasses import dataclass
from typing import Final

STEADY_SHARE: Final = 0.10  # a new time is taken at once when it differs by more than this …
STEADY_SECONDS: Final = 0.5  # … and by more than this
GLIDE: Final = 0.2  # smaller differences are made up by at most this part of the passing time


@dataclass(slots=True)
class Countdown:
    """A remaining time that counts down evenly, although estimates waver (seconds)."""

    _end: float | None = None
    _goal: float | None = None
    _seen: float = 0.0

    def take(self, seconds: float | None, now: float) -> None:
        if seconds is None:
            self._end = self._goal = None
            return
        current = self.at(now)
        self._goal, self._seen = now + seconds, now
        tolerance = max(STEADY_SECONDS, STEADY_SHARE * (current or 0.0))
        if current is None or abs(seconds - current) > tolerance:
            self._end = self._goal

    def at(self, now: float) -> float | None:
        if self._end is None or self._goal is None:
            return None
        step = GLIDE * max(0.0, now - self._seen)
        self._seen = max(now, self._seen)
        self._end += min(step, max(-step, self._goal - self._end))
        return max(0.0, self._end - now)

    def overdue(self, now: float) -> float:
        """Seconds since nothing was left."""
        return 0.0 if self._end is None else max(0.0, now - self._end)
