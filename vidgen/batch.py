"""Many films: which are there, which go on, which are begun; the engine's work in one account.

A film's task id is made of all that it depends on, so the same line finds its film again: in the
store, and in the film's own metadata.
"""

import shlex
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Final, Literal

import orjson

from vidgen.cache import key_of
from vidgen.engines.base import Began, Ended, Engine, Lost, Order, Outcome, Told
from vidgen.errors import Cancelled
from vidgen.events import Sink
from vidgen.files import share
from vidgen.jobs.checker import FilmJob
from vidgen.paths import Home
from vidgen.progress.batch import BatchProgress, BatchView, Film
from vidgen.progress.forecast.batch import BatchForecast, FilmSize
from vidgen.progress.forecast.past_runs import past_runs
from vidgen.progress.store.batches import BatchFilm
from vidgen.progress.store.runs import summarise
from vidgen.settings import background_kind

NAMESPACE: Final = uuid.UUID("6b6f3c0e-7a0d-5c55-9d3e-2f5a1f6f8a10")
SOME_FAILED: Final = 6  # exit code
Action = Literal["make", "resume", "skip"]


@dataclass(frozen=True, slots=True)
class PlannedFilm:
    """One film and what is to be done for it."""

    job: FilmJob
    task_id: str
    action: Action
    video: Path | None = None  # where it is, when it is there

    def record(self, seconds: float | None) -> BatchFilm:
        """For those who watch; `seconds` is how long it will take."""
        return BatchFilm(self.task_id, self.job.title, self.job.seconds, seconds)

    def size(self) -> FilmSize:
        options = self.job.request.options
        request = {"fps": int(options.fps), "height": options.height, "format": options.format,
                   "background": background_kind(options)}  # fmt: skip
        return FilmSize(self.task_id, self.job.seconds, self.job.photo_sha256, request)


@dataclass(frozen=True, slots=True)
class FilmResult:
    """One line of the results file."""

    line: int
    task_id: str
    state: str
    photo: str
    voice: str
    video: str
    took_seconds: float
    attempts: int
    worker: str
    error_code: str = ""
    message: str = ""
    hint: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch made."""

    batch_id: str
    films: tuple[FilmResult, ...]
    took_seconds: float

    @property
    def failed(self) -> int:
        return sum(film.state not in ("complete", "skipped") for film in self.films)

    @property
    def exit_code(self) -> int:
        return SOME_FAILED if self.failed else 0


@dataclass(frozen=True, slots=True)
class Rules:
    """What to do when a film fails."""

    retry: int = 0  # times, where trying again may help
    fail_fast: bool = False


def plan_films(home: Home, jobs: Sequence[FilmJob]) -> list[PlannedFilm]:
    """What is to be done for each job."""
    return [_plan(home, job) for job in jobs]


def _plan(home: Home, job: FilmJob) -> PlannedFilm:
    """Its tasks of earlier batches are looked through: the last one counts."""
    key, is_fresh = key_of(job.ingredients), bool(job.request.settings["fresh"].value)
    last: PlannedFilm | None = None
    for attempt in count():
        task_id = str(uuid.uuid5(NAMESPACE, f"{key}/{attempt}"))
        summary = summarise(home.task(task_id))
        if summary is None:
            break
        video = Path(str(summary.last.data.get("video_path", "")))
        if summary.state != "complete":
            last = PlannedFilm(job, task_id, "resume")
        else:
            last = PlannedFilm(job, task_id, "skip", video) if video.is_file() else None
    if last and (last.action == "resume" or not is_fresh):
        return last
    if attempt == 0 and not is_fresh and _is_film_of(job.request.output, task_id):
        return PlannedFilm(job, task_id, "skip", job.request.output)
    return PlannedFilm(job, task_id, "make")


def _is_film_of(file: Path, task_id: str) -> bool:
    """Whether the file says that this task made it; asked when the store has forgotten it."""
    if not file.is_file():
        return False
    from vidgen.media.mux import notes_of

    return any(task_id in note for note in notes_of(file))


def forecast_films(home: Home, films: Sequence[PlannedFilm], places: int) -> BatchForecast:
    """The times of these films, as far as past runs tell."""
    return BatchForecast([film.size() for film in films], past_runs(home), places)


def run_batch(
    name: str,
    films: Sequence[PlannedFilm],
    engine: Engine,
    forecast: BatchForecast,
    view: BatchView,
    *,
    rules: Rules | None = None,
    results: Path | None = None,
    sinks: Sequence[Sink] = (),
    clock: Callable[[], float] = time.monotonic,
) -> BatchResult:
    """Make the films; `sinks` hear all events, after the logs have them. A Ctrl-C, or with
    `fail_fast` the first failure, cancels those being made.

    Each result is appended to the file `results` as it comes. Raises Cancelled.
    """
    began = clock()
    account = _Account(name, films, forecast, view, rules or Rules(), results)
    with engine:
        for event in engine.films(account.orders):
            if isinstance(event, Told):
                for sink in sinks:
                    sink(event.envelope)
            if not account.take(event):
                break
    account.cancel_rest()
    return BatchResult(name, account.results(), clock() - began)


class _Account:
    """What has become of every film."""

    def __init__(
        self,
        name: str,
        films: Sequence[PlannedFilm],
        forecast: BatchForecast,
        view: BatchView,
        rules: Rules,
        results: Path | None,
    ) -> None:
        self._planned = {film.task_id: film for film in films}
        self._rules = rules
        self._file = results
        if results:
            results.write_bytes(b"")
            share(results)
        rows = [_film(number, film) for number, film in enumerate(films, 1)]
        self.orders = deque(_order(film) for film in films if film.action != "skip")
        self.progress = BatchProgress(name, rows, forecast, view)
        for row in rows:
            if row.state == "skipped":
                self._write(row)

    def take(self, event: Began | Told | Lost | Ended) -> bool:
        """Bring an engine's event in; whether the batch goes on."""
        match event:
            case Began(order, worker):
                self.progress.begin(order.task_id, worker)
            case Told(envelope):
                self.progress.tell(envelope)
            case Lost(order):
                self.progress.lose(order.task_id)
            case Ended(order, outcome):
                return self._end(order, outcome)
        return True

    def _end(self, order: Order, outcome: Outcome) -> bool:
        film = self.progress.films[order.task_id]
        _note(film, outcome)
        again = outcome.is_retryable and film.attempts <= self._rules.retry + order.losses
        if again and outcome.state == "failed":
            self.progress.retry(film)
            self.orders.append(replace(order, is_resume=True))
            return True
        whole = not order.is_resume and film.attempts == 1
        self.progress.end(film, is_whole=whole)
        self._write(film)
        return outcome.state == "complete" or not self._rules.fail_fast

    def cancel_rest(self) -> None:
        """What was being made when the batch was ended by a failure."""
        for film in self.progress.running:
            _note(film, Outcome("cancelled", error_code="cancelled"))
            self.progress.end(film, is_whole=False)
            self._write(film)

    def _write(self, film: Film) -> None:
        if self._file:
            with self._file.open("ab") as stream:
                stream.write(orjson.dumps(asdict(self._result(film))) + b"\n")

    def _result(self, film: Film) -> FilmResult:
        request = self._planned[film.task_id].job.request
        return FilmResult(
            film.line,
            film.task_id,
            film.state,
            str(request.photo),
            str(request.voice),
            film.video,
            round(film.took_seconds, 2),
            film.attempts,
            film.worker,
            film.message_code,
            film.message,
            film.hint,
            film.title,
        )

    def results(self) -> tuple[FilmResult, ...]:
        return tuple(self._result(film) for film in self.progress.films.values())


def _film(number: int, planned: PlannedFilm) -> Film:
    state: Literal["waiting", "skipped"] = "skipped" if planned.action == "skip" else "waiting"
    video = str(planned.video or "")
    return Film(number, planned.job.line, planned.task_id, planned.job.title, state, video=video)


def _order(film: PlannedFilm) -> Order:
    return Order(film.task_id, film.job.request, is_resume=film.action == "resume")


def _note(film: Film, outcome: Outcome) -> None:
    film.state = outcome.state
    film.video = str(outcome.video or "")
    film.took_seconds = outcome.took_seconds
    film.message, film.message_code = outcome.message, outcome.error_code
    film.hint, film.details = outcome.hint, outcome.details


@contextmanager
def say_how_to_go_on(arguments: Sequence[str]) -> Iterator[None]:
    """A Ctrl-C tells the command that takes the batch up again."""
    try:
        yield
    except KeyboardInterrupt as error:
        words = [word for word in arguments if word != "--fresh"]  # those were begun
        raise Cancelled(
            "Cancelled.",
            hint="What was made is kept. Go on with: {command}",
            code="run.cancelled",
            command=shlex.join(["vidgen", *words]),
        ) from error


def part_of(films: Sequence[PlannedFilm], part: tuple[int, int]) -> list[PlannedFilm]:
    """Every N-th film, beginning with the I-th: `part` is (I, N), I from 1."""
    index, parts = part
    return list(films[index - 1 :: parts])
