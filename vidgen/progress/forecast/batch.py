"""When a batch will be ready: what past runs foretell, then how long its own films take, the
latest above all: what else the machine has to do changes.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Any, Final

from vidgen.progress.forecast.model import TimeModel, line
from vidgen.progress.forecast.past_runs import PastRun

PHOTO_STAGES = ("yolo_detection", "birefnet_removal")  # made once for a photo
RECENT: Final = 24  # films that tell how time grows with length
# What a film weighs against the next at its place. On made-up batches whose load wanders or leaps
# the error falls by a quarter to a half against a median over all, at an even load it grows from
# 2.1 to 2.5 %.
FADE: Final = 0.5


@dataclass(frozen=True, slots=True)
class FilmSize:
    """What a film's time depends on. `request` has the words of the event that ends
    `initialized`: fps, height, format, background."""

    task_id: str
    voice_seconds: float
    photo: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)


class BatchForecast:
    """The times of a batch's films. `past` runs are oldest first, `places` work side by side."""

    def __init__(self, films: Sequence[FilmSize], past: Sequence[PastRun], places: int) -> None:
        self._sizes = {film.task_id: film for film in films}
        self._model = TimeModel(past)
        self._like = next((run.request for run in reversed(past) if run.seconds), None)
        self._places = max(1, places)
        self._points: list[tuple[float, float]] = []  # (voice seconds, seconds it took)
        self._first_points: list[tuple[float, float]] = []  # of films for which much was loaded
        self._law: tuple[float, float] | None = None  # seconds for each of voice, and besides
        self._seen: set[str] = set()
        self._known: dict[tuple[object, ...], float | None] = {}

    def end(self, task_id: str, took_seconds: float, *, is_first: bool = False) -> None:
        """A film was made from its beginning, and its place had nothing else to end meanwhile;
        `is_first` when it was its place's first, which teaches only as long as no other does."""
        points = self._first_points if is_first else self._points
        points.append((max(0.1, self._sizes[task_id].voice_seconds), max(0.01, took_seconds)))
        self._law = None

    def seconds(self, task_id: str) -> float | None:
        """What a film takes; None while nothing tells."""
        size = self._sizes[task_id]
        if points := self._points or self._first_points:
            slope, base = self._law = self._law or self._find_law(points[-RECENT:])
            return base + slope * size.voice_seconds
        return self._from_the_past(size)

    def _find_law(self, points: Sequence[tuple[float, float]]) -> tuple[float, float]:
        """How time grows with length by all of these films, how fast all goes by the latest."""
        slope, base = line(points)
        weights = [FADE ** (age / self._places) for age in reversed(range(len(points)))]
        paces = [took / (base + slope * voice) for voice, took in points]
        pace = sum(map(mul, weights, paces)) / sum(weights)
        return pace * slope, pace * base

    def _from_the_past(self, size: FilmSize) -> float | None:
        if self._like is None:
            return None
        is_known_photo = size.photo in self._seen
        self._seen.add(size.photo)
        key = (size.voice_seconds, is_known_photo, *size.request.values())
        if key not in self._known:
            fps = float(size.request.get("fps", 25))
            frames = int(size.voice_seconds * fps) + 1
            kept = list(PHOTO_STAGES) if is_known_photo else []
            wanted = {**self._like, **size.request, "voice_seconds": size.voice_seconds,
                      "frames": frames, "kept": kept}  # fmt: skip
            told = self._model.run_seconds(wanted)
            self._known[key] = told * self._model.typical_ratio if told else None
        return self._known[key]

    def remaining(self, waiting: Iterable[str], running: Mapping[str, float]) -> float | None:
        """Seconds until all are there; `running` films with the seconds that they have run.

        None while nothing tells how long a film takes.
        """
        busy: list[float] = []
        for task_id, elapsed in running.items():
            seconds = self.seconds(task_id)
            if seconds is None:
                return None
            busy.append(max(seconds - elapsed, 0.1 * elapsed))
        busy += [0.0] * (self._places - len(busy))
        heapq.heapify(busy)
        for task_id in waiting:
            seconds = self.seconds(task_id)
            if seconds is None:
                return None
            heapq.heappush(busy, heapq.heappop(busy) + seconds)
        return max(busy)
