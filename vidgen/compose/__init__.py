"""Put a run together: the only module that names concrete stages, renderers and sinks.

`create` makes a new run, `resume` takes an old one up; both tell the log and the views
everything and answer what was made.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidgen import __version__, catalog, device, fetch, pipeline, plan, request, settings
from vidgen.cache import StageCache
from vidgen.catalog import Catalog, Model, Told
from vidgen.compose import before
from vidgen.compose.steps import Assembly, did_account
from vidgen.errors import InputError
from vidgen.events import Completed, Emit, Log, Sink, StageEnded, StageProgress, StageStarted
from vidgen.paths import Home, TaskFolder
from vidgen.pipeline import Step
from vidgen.plan import Plan
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.eta import Estimator
from vidgen.progress.experience import Experience
from vidgen.progress.past import past_runs
from vidgen.progress.store import TaskLog, summarise
from vidgen.request import Request
from vidgen.settings import Options, Setting

if TYPE_CHECKING:  # numpy is behind these, and the first event must not wait for it
    from vidgen.work import Photo, Speech, Work


@dataclass(frozen=True, slots=True)
class Result:
    """What a run made."""

    task_id: str
    video: Path
    poster: Path | None
    seconds: float  # of the film
    took_seconds: float
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One run with everything it is made in."""

    home: Home
    task: TaskFolder
    request: Request

    @property
    def options(self) -> Options:
        return self.request.options

    @property
    def shelf(self) -> Catalog:
        return Catalog(self.home)


def create(home: Home, wanted: Request, views: Sequence[Sink], task_id: str = "") -> Result:
    """Make one video from the beginning. Raises VidgenError; the log has heard of it then.

    `task_id` is given by a server that has promised it to somebody.
    """
    return _begun(home, lambda _: wanted, views, task_id)


def demo(
    home: Home, output: Path | None, given: Mapping[str, Setting], views: Sequence[Sink]
) -> Result:
    """Make the demo's video: the same, of inputs that are made ready first."""
    return _begun(home, lambda emit: _demo_request(home, output, given, emit), views)


def _begun(
    home: Home, ask: Callable[[Emit], Request], views: Sequence[Sink], task_id: str = ""
) -> Result:
    task = home.task(task_id or str(uuid.uuid4()))
    with _logged(home, task, views) as emit:
        emit(StageStarted("initialized"))
        wanted = ask(emit)
        request.record(task, wanted)
        return _conduct(Job(home, task, wanted), emit)


def resume(home: Home, task: TaskFolder, views: Sequence[Sink]) -> Result:
    """Take a run up where it ended. What was made is not made again.

    Raises InputError when the run is complete, is being made, or too little of it is left.
    """
    recorded = request.read(task)
    summary = summarise(task)
    if summary is not None and summary.state == "complete":
        raise InputError(
            "The run {task} is complete: {path}",
            hint="Another film of the same inputs: vidgen run, with another --seed perhaps.",
            code="resume.complete",
            task=task.task_id[:8],
            path=str(summary.last.data.get("video_path", "")),
        )
    with _logged(home, task, views) as emit:
        emit(StageStarted("initialized"))
        emit(Log("INFO", "run.resumed", {"task": task.task_id[:8]}))
        if recorded.version != __version__:
            versions = {"was": recorded.version, "now": __version__}
            emit(Log("WARNING", "run.version_changed", versions))
        return _conduct(Job(home, task, before.taken_up(task, recorded, emit)), emit)


@contextmanager
def _logged(home: Home, task: TaskFolder, views: Sequence[Sink]) -> Iterator[Emit]:
    from vidgen.media import full_disk_told

    estimate = Estimator(lambda: Experience(past_runs(home, skip=task.task_id)))
    with TaskLog(task) as log:
        emit = Broadcast(task.task_id, views, log=log, floor=log.progress, estimate=estimate)
        # Full disks are met in many places: copies, kept values, pieces, locks.
        with pipeline.concluded(emit, lambda: _resume_command(task)), full_disk_told(task.work):
            yield emit


def _resume_command(task: TaskFolder) -> str:
    return f"vidgen resume {task.task_id[:8]}" if task.request.is_file() else ""


def _conduct(job: Job, emit: Emit) -> Result:
    began = time.monotonic()
    from vidgen.work import Video, Work

    photo, speech = _opened(job, emit)
    chosen = _planned(job, emit)
    steps = Assembly(job.home, job.task, job.request, chosen, emit).steps(photo, speech)
    told = {**_plan_told(chosen, job.options, photo, speech), "kept": _kept(job, steps)}
    emit(StageEnded("initialized", time.monotonic() - began, "completed", "run.planned", told))
    # While D-ID draws, which takes minutes, another run may have the device.
    here = list(takewhile(lambda step: not step.is_elsewhere, steps))
    with _alone(job, chosen.device, emit):
        work = _run(job, here, chosen.device, Work(photo, speech), emit)
    work = _run(job, steps[len(here) :], chosen.device, work, emit)
    video, took = work.get(Video), time.monotonic() - began
    metadata = {**video.metadata, "took_seconds": round(took, 2)}
    emit(Completed(str(video.path), took, metadata))
    return Result(job.task.task_id, video.path, video.poster, video.seconds, took, metadata)


def _opened(job: Job, emit: Emit) -> "tuple[Photo, Speech]":
    """The inputs, cheapest refusal first. Raises InputError."""
    from vidgen.media import check_output, read_speech
    from vidgen.photo import open_photo

    check_output(job.request.output)
    words = settings.words(job.options)
    photo = open_photo(job.request.photo)
    speech = read_speech(
        job.request.voice, max_seconds=job.options.max_seconds, text=words, emit=emit
    )
    if job.options.renderer == "d-id":
        from vidgen.renderers.did.uploads import refuse

        did_account(job.options)  # no key: better told before anything is made
        refuse(speech.seconds, job.options.background)
    return photo, speech


def _planned(job: Job, emit: Emit) -> Plan:
    """Choose the models and make the embedded ones ready; a resumed run keeps what it had."""
    embedded = [catalog.models()[name] for name in plan.EMBEDDED]
    fetched = fetch.ensure(job.shelf, embedded, _telling(emit))
    if fetched:
        names = ", ".join(model.name for model in fetched)
        emit(Log("INFO", "models.fetched", {"names": names}))
    same = before.same_as_before(job.task, job.shelf, emit)
    chosen = same or plan.choose(job.shelf, job.options, emit)
    before.note(job.task, chosen)
    return chosen


def _telling(emit: Emit) -> Told:
    """Downloads as progress of the run's beginning."""

    def told(model: Model, done: int, total: int) -> None:
        values = {"name": model.name}
        emit(StageProgress("initialized", done, total, "bytes", "models.fetching", values))

    return told


def _plan_told(
    chosen: Plan, options: Options, photo: "Photo", speech: "Speech"
) -> Mapping[str, Any]:
    height, width = photo.rgb.shape[:2]
    return {
        **chosen.told(),
        "voice_seconds": round(speech.seconds, 3),
        "photo_width": width,
        "photo_height": height,
        "height": options.height,
        "fps": int(options.fps),
        "format": options.format,
        "background": settings.background_kind(options),
        "frames": int(speech.seconds * int(options.fps)) + 1,
    }


def _kept(job: Job, steps: Sequence[Step]) -> list[str]:
    """The stages that will not be made again: for the estimate of the run's time."""
    keeper = _keeper(job)
    return [step.stage.name for step in steps if keeper.has(step)]


def _keeper(job: Job) -> StageCache:
    return StageCache(job.home, job.task.work, fresh=job.options.fresh)


@contextmanager
def _alone(job: Job, where: str, emit: Emit) -> Iterator[None]:
    """Hold the device; say behind whom the run waits, and for how long it did."""
    waiting_since: list[float] = []

    def queued(holder: str) -> None:
        waiting_since.append(time.monotonic())
        emit(StageStarted("queued", "run.queued", {"behind": holder[:8] or "?"}))

    def moved(position: int) -> None:
        emit(Log("INFO", "run.position", {"position": position}))

    with device.held(job.home, where, job.task.task_id, queued, moved):
        if waiting_since:
            emit(StageEnded("queued", time.monotonic() - waiting_since[0]))
        yield


def _run(job: Job, steps: Sequence[Step], where: str, work: "Work", emit: Emit) -> "Work":
    from vidgen.progress.resources import Sampler
    from vidgen.work import Folder

    if not steps:
        return work
    job.task.previews.mkdir(exist_ok=True)
    work = work.plus(Folder(job.task.work, job.task.previews))
    with Sampler(emit, where):
        return pipeline.run(steps, work, emit, _keeper(job), device=where)


def _demo_request(
    home: Home, output: Path | None, given: Mapping[str, Setting], emit: Emit
) -> Request:
    from vidgen import demo as inputs

    photo = inputs.photo(Catalog(home), _telling(emit))
    voice = inputs.voice(home.models / "demo_photo" / "voice.wav")
    words = {"text": Setting(inputs.TEXT, "default")}
    return request.asked(photo, voice, output or Path("demo.mp4"), {**given, **words})
