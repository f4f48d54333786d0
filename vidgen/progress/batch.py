"""How far a batch of films is. Knows no engine and no screen: views are told what happens."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from vidgen.events import Envelope
from vidgen.progress.forecast.batch import BatchForecast
from vidgen.progress.snapshot import Snapshot

FilmState = Literal["waiting", "running", "complete", "skipped", "failed", "cancelled"]
THERE = ("complete", "skipped")


@dataclass(slots=True)
class Film:
    """One film of a batch, as far as it is."""

    number: int  # from 1, in the order of the job file
    line: int
    task_id: str
    title: str
    state: FilmState = "waiting"
    worker: str = ""
    began: float = 0.0  # on the progress's clock
    took_seconds: float = 0.0
    video: str = ""
    message: str = ""
    message_code: str = ""
    hint: str = ""
    details: Mapping[str, object] = field(default_factory=dict)
    attempts: int = 0
    snapshot: Snapshot | None = None


class BatchView(Protocol):
    """Hears what happens; may ask the progress for all the rest."""

    def open(self, progress: "BatchProgress") -> None: ...

    def began(self, film: Film) -> None: ...

    def told(self, film: Film, envelope: Envelope) -> None: ...

    def lost(self, film: Film) -> None: ...

    def ended(self, film: Film, *, again: bool) -> None:
        """`again` when it will be tried once more."""
        ...


class BatchProgress:
    """All films of a batch. Not thread-safe."""

    def __init__(
        self,
        name: str,
        films: Sequence[Film],
        forecast: BatchForecast,
        view: BatchView,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.films = {film.task_id: film for film in films}
        self._forecast = forecast
        self._view = view
        self._clock = clock
        self._began = clock()
        self._last_ends: dict[str, float] = {}  # worker → when its last film was over
        view.open(self)

    @property
    def counts(self) -> Mapping[str, int]:
        """state → how many films are in it."""
        return Counter(film.state for film in self.films.values())

    @property
    def total(self) -> int:
        return len(self.films)

    @property
    def running(self) -> list[Film]:
        return [film for film in self.films.values() if film.state == "running"]

    @property
    def elapsed(self) -> float:
        return self._clock() - self._began

    def now(self) -> float:
        return self._clock()

    def share(self) -> float:
        """0 to 1: films that are over, and what is done of those that run."""
        over = sum(film.state not in ("waiting", "running") for film in self.films.values())
        part = sum(f.snapshot.most / 100 for f in self.running if f.snapshot)
        return (over + part) / self.total if self.total else 1.0

    def remaining(self) -> float | None:
        """Seconds until all are over; None while nothing tells."""
        now = self._clock()
        firsts: dict[str, Film] = {}
        waiting = [film.task_id for film in self.films.values() if film.state == "waiting"]
        for film in sorted(self.running, key=lambda film: film.began):
            if firsts.setdefault(film.worker, film) is not film:  # it begins beside the other
                waiting.insert(0, film.task_id)
        running = {film.task_id: now - self._turn_began(film) for film in firsts.values()}
        return self._forecast.remaining(waiting, running) if waiting or running else 0.0

    def _turn_began(self, film: Film) -> float:
        """Since when its worker's place is for this film: two may overlap there."""
        return max(film.began, self._last_ends.get(film.worker, film.began))

    def begin(self, task_id: str, worker: str) -> None:
        film = self.films[task_id]
        film.state, film.worker, film.began = "running", worker, self._clock()
        film.attempts += 1
        film.snapshot = Snapshot(task_id)
        self._view.began(film)

    def tell(self, envelope: Envelope) -> None:
        film = self.films.get(envelope.task_id)
        if film is None or film.snapshot is None:
            return
        film.snapshot.take(envelope)
        self._view.told(film, envelope)

    def lose(self, task_id: str) -> None:
        film = self.films[task_id]
        film.state = "waiting"
        self._view.lost(film)

    def retry(self, film: Film) -> None:
        """It failed, and will be tried again."""
        self._view.ended(film, again=True)
        film.state = "waiting"

    def end(self, film: Film, *, is_whole: bool) -> None:
        """`is_whole` when it was made from its beginning: then its time teaches something."""
        now = self._clock()
        if film.state == "complete" and is_whole:
            is_first = film.worker not in self._last_ends
            self._forecast.end(film.task_id, now - self._turn_began(film), is_first=is_first)
        self._last_ends[film.worker] = now
        self._view.ended(film, again=False)
