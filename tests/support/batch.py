"""Jobs for a batch, and a view that keeps what it hears."""

from collections.abc import Sequence
from pathlib import Path

from vidgen.batch import BatchResult, PlannedFilm, Rules, plan_films, run_batch
from vidgen.engines.local import LocalEngine, Place
from vidgen.events import Envelope
from vidgen.jobs.checker import FilmJob
from vidgen.paths import Home
from vidgen.progress.batch import BatchProgress, Film
from vidgen.progress.forecast.batch import BatchForecast
from vidgen.request import Request, default_settings

MAKER = "tests.support.film_maker:make"


def job(folder: Path, name: str, words: str = "", line: int = 1) -> FilmJob:
    """A film called `name` of which the fake maker does what `words` say."""
    settings = default_settings(text=words)
    request = Request(folder / "a.jpg", folder / "a.wav", folder / f"{name}.mp4", settings, "many")
    return FilmJob(line, request, "photo", "voice", 1.0)


class Listener:
    """A BatchView that keeps a word for all it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.progress: BatchProgress | None = None

    def open(self, progress: BatchProgress) -> None:
        self.progress = progress

    def began(self, film: Film) -> None:
        self.heard.append(f"began {film.title}")

    def told(self, film: Film, envelope: Envelope) -> None:
        pass

    def lost(self, film: Film) -> None:
        self.heard.append(f"lost {film.title}")

    def ended(self, film: Film, *, again: bool) -> None:
        self.heard.append(f"{'again' if again else film.state} {film.title}")


def forecast(films: Sequence[PlannedFilm], places: int = 1) -> BatchForecast:
    return BatchForecast([film.size() for film in films], [], places)


def run_jobs(
    home: Home,
    jobs: Sequence[FilmJob],
    *,
    places: Sequence[Place] = (Place("1"),),
    rules: Rules | None = None,
    view: Listener | None = None,
    results: Path | None = None,
) -> BatchResult:
    """Plan and make them with the fake maker."""
    films = plan_films(home, jobs)
    engine = LocalEngine(places, maker=MAKER)
    view = view or Listener()
    return run_batch(
        "many", films, engine, forecast(films, len(places)), view, rules=rules, results=results
    )
