"""One run from the request to the film: new, or taken up again. Names no stage and no screen.

`create` makes a new run, `resume` takes an old one up; both tell the log and the views
everything and answer what was made. A resume takes the models and the device that the run began
with, noted beside its work, although better ones may have come since: it makes the same film.
"""

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from vidgen import inputs, pipeline, request, settings
from vidgen.cache import StageCache
from vidgen.device import device, queue
from vidgen.device.queue import Turn
from vidgen.errors import InputError, SetupError, VidgenError
from vidgen.events import Completed, Emit, Log, Sink, StageEnded, StageProgress, StageStarted
from vidgen.files import atomic_write, identity
from vidgen.inputs import Input
from vidgen.models import catalog, pull, select
from vidgen.models.catalog import Catalog, Model, OnProgress
from vidgen.models.select import ModelChoice
from vidgen.paths import Home, TaskFolder, absolute
from vidgen.pipeline import Job
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.forecast.estimator import Estimator
from vidgen.progress.forecast.model import TimeModel
from vidgen.progress.forecast.past_runs import past_runs
from vidgen.progress.store.cancel import CancelWatch
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.privacy import secure_store
from vidgen.progress.store.runs import check_incomplete
from vidgen.request import RecordedRequest, Request
from vidgen.settings import Options
from vidgen.steps import OpenTurn, Step, name_command, run_outcome, run_steps
from vidgen.text import path_text
from vidgen.trim import parse_trim
from vidgen.version import __version__

if TYPE_CHECKING:  # numpy is behind these, and the first event must not wait for it
    from vidgen.work import Photo, Speech, Work

PLAN_FILE: Final = "plan.json"  # in the task's work folder
ALONE: Final = Turn()
Ask = Callable[[Emit], Request]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run made."""

    task_id: str
    video: Path
    poster: Path | None
    seconds: float  # of the film
    took_seconds: float
    metadata: Mapping[str, Any] = field(default_factory=dict)  # what else is known of it


_TOLD_BESIDE: Final = frozenset({"path", "poster", "seconds", "took_seconds"})


def create(
    home: Home, wanted: Request, views: Sequence[Sink], task_id: str = "", *, turn: Turn = ALONE
) -> Result:
    """Make one film from the beginning. Raises VidgenError; the log has heard of it then.

    `task_id` is given by a server that has promised it to somebody, `turn` by a batch.
    """
    return start(home, lambda _: wanted, views, task_id, turn=turn)


def start(
    home: Home, ask: Ask, views: Sequence[Sink], task_id: str = "", *, turn: Turn = ALONE
) -> Result:
    """The same, where `ask` makes the request while the run is already watched.

    What is refused before anything was made is no history: the run leaves no trace then, unless
    a server or a batch has promised it to somebody.
    """
    task = home.task(task_id or str(uuid.uuid4()))
    try:
        return _start(home, task, ask, views, turn)
    except VidgenError as error:
        name_command(error, _resume_command(task))  # a full disk takes no log that would know it
        if isinstance(error, InputError) and not (task_id or _has_made(task)):
            shutil.rmtree(task.root, ignore_errors=True)
        raise


def _has_made(task: TaskFolder) -> bool:
    """Whether there is anything that a resume would not have to make again."""
    return bool({file.name for file in task.work.glob("*")} - {PLAN_FILE, inputs.FOLDER})


def _start(home: Home, task: TaskFolder, ask: Ask, views: Sequence[Sink], turn: Turn) -> Result:
    began = time.monotonic()
    with _run_log(home, task, views) as emit:
        emit(StageStarted("initialized"))
        wanted = request.record(task, ask(emit))
        try:
            return _make_film(home, task, wanted, emit, turn, began)
        except InputError as error:
            if not error.code.startswith("output."):  # it will be refused again: keep no copies
                inputs.remove_copies(task, wanted.files)
            raise


def resume(home: Home, task: TaskFolder, views: Sequence[Sink], *, turn: Turn = ALONE) -> Result:
    """Take a run up where it ended. What was made is not made again.

    Raises InputError when the run is complete, is being made, or too little of it is left.
    """
    began = time.monotonic()
    recorded = request.load_request(task)
    with _run_log(home, task, views) as emit:
        emit(StageStarted("initialized"))
        emit(Log("INFO", "run.resumed", {"task": task.task_id[:8]}))
        if recorded.version != __version__:
            versions = {"was": recorded.version, "now": __version__}
            emit(Log("WARNING", "run.version_changed", versions))
        wanted = restore_request(task, recorded, emit)
        return _make_film(home, task, wanted, emit, turn, began)


@contextmanager
def _run_log(home: Home, task: TaskFolder, views: Sequence[Sink]) -> Iterator[Emit]:
    from vidgen.media.output import disk_errors

    estimate = Estimator(lambda: TimeModel(past_runs(home, skip=task.task_id)))
    secure_store(home)
    with TaskLog(task) as log:
        check_incomplete(task)  # now, as its last writer may just have ended it
        emit = Broadcast(task.task_id, views, log=log, floor=log.progress, estimate=estimate)
        # Full disks are met in many places: copies, kept values, pieces, locks.
        ends = run_outcome(emit, lambda: _resume_command(task))
        with ends, disk_errors(task.work), CancelWatch(task):
            yield emit


def _resume_command(task: TaskFolder) -> str:
    return f"vidgen resume {task.task_id[:8]}" if task.request.is_file() else ""


def _make_film(
    home: Home, task: TaskFolder, wanted: Request, emit: Emit, turn: Turn, began: float
) -> Result:
    """`began` is when the run did, by the monotonic clock: what was asked for may be fetched."""
    from vidgen.work import Video, Work

    apart = nullcontext() if turn.goes_on else pipeline.open_ears(wanted.options, task)
    with apart as ears:
        photo, speech = open_inputs(wanted, emit)
        _keep_inputs(task, wanted, emit)
        job = Job(home, task, wanted, _choose_models(home, task, wanted.options, emit), emit, ears)
        workers = job.workers(speech)
        steps = job.steps(photo, speech, workers)
        about = {**describe(job, photo, speech), "kept": _reusable_stages(job, steps)}
        emit(StageEnded("initialized", time.monotonic() - began, "completed", "run.planned", about))
        # While D-ID draws, which takes minutes, another run may have the device.
        here = list(takewhile(lambda step: not step.is_elsewhere, steps))
        is_shared = turn.only_drawing and job.plan.device == job.drawing_device == "cpu"
        device_turn = partial(_device_turn, job, turn)
        whole, drawing = (nullcontext, device_turn) if is_shared else (device_turn, nullcontext)
        with whole(), workers:
            work = _run_some(job, here, Work(photo, speech), drawing)
        work = _run_some(job, steps[len(here) :], work, nullcontext)
    video, took = work.get(Video), round(time.monotonic() - began, 2)
    metadata = {**video.metadata, "took_seconds": took}
    emit(Completed(str(video.path), took, metadata, video_file=identity(video.path)))
    more = {name: value for name, value in metadata.items() if name not in _TOLD_BESIDE}
    return Result(task.task_id, video.path, video.poster, video.seconds, took, more)


def open_inputs(wanted: Request, emit: Emit) -> "tuple[Photo, Speech]":
    """The inputs, cheapest refusal first. Raises InputError."""
    from vidgen.media.animation import check_length
    from vidgen.media.audio import load_speech
    from vidgen.media.output import check_output
    from vidgen.media.photo import open_photo

    options = wanted.options
    inputs.check_order(wanted.photo, wanted.voice)
    check_output(
        wanted.output,
        may_exist=options.force or not wanted.is_named,
        may_replace=wanted.is_named,
        reads=wanted.reads,
    )
    pipeline.check_options(options)
    photo = open_photo(wanted.photo)
    if file := settings.background_file(options):
        open_photo(file)
    voice, most, trim = wanted.voice, options.max_seconds, parse_trim(options.trim)
    speech = load_speech(voice, max_seconds=most, trim=trim, text=options.text, emit=emit)
    check_length(options.format, speech.seconds)
    pipeline.check_did(options, speech.seconds)
    return photo, speech


def _keep_inputs(task: TaskFolder, wanted: Request, emit: Emit) -> None:
    """Copies for a resume, now that the inputs are known to be right."""
    for name, path in wanted.files.items():
        if inputs.input_copy(task, name, path) != path and not inputs.keep_copy(task, name, path):
            emit(Log("INFO", "run.input_not_kept", {"name": name, "path": str(path)}))


def _choose_models(home: Home, task: TaskFolder, options: Options, emit: Emit) -> ModelChoice:
    """Choose the models and make the embedded ones ready; a resumed run keeps what it had."""
    here = Catalog(home)
    names = select.EMBEDDED + (select.ENLARGER if options.enlarge else ())
    names += () if here.ready(select.EMBEDDED) else select.HANDS  # out of the same wheel
    fetched = [*pull.ensure(here, [catalog.models()[n] for n in names], download_progress(emit))]
    fetched += _fetch_helpers(here, options, emit)
    if fetched:
        emit(Log("INFO", "models.fetched", {"names": ", ".join(model.name for model in fetched)}))
    chosen = load_plan(task, here, emit) or select.select_models(here, options, emit)
    save_plan(task, chosen)
    return chosen


def _fetch_helpers(here: Catalog, options: Options, emit: Emit) -> Sequence[Model]:
    """What hears phones and what knows hands, if it can be had: a run does without, less well."""
    hears = options.renderer in ("auto", "puppet") or options.subtitles != "none"
    wanted = [("models.no_ears", (select.HEARING,))] if hears else []
    fetched: list[Model] = []
    for code, names in [*wanted, ("models.no_hands", select.HANDS)]:
        try:
            rows = [catalog.models()[name] for name in names]
            fetched += pull.ensure(here, rows, download_progress(emit))
        except SetupError as error:
            emit(Log("WARNING", code, {"reason": str(error)}))
    return fetched


def download_progress(emit: Emit) -> OnProgress:
    """What takes the bytes of downloads and emits them as progress of the run's beginning."""

    def on_progress(model: Model, done: int, total: int) -> None:
        values = {"name": model.name}
        emit(StageProgress("initialized", done, total, "bytes", "models.fetching", values))

    return on_progress


def describe(job: Job, photo: "Photo", speech: "Speech") -> Mapping[str, Any]:
    """What the run says of itself before it begins: for watchers, and for the time it takes."""
    return {
        **job.plan.metadata(),
        "output": path_text(absolute(job.request.output)),
        "voice_seconds": round(speech.seconds, 3),
        "photo_width": photo.size[0],
        "photo_height": photo.size[1],
        "height": job.options.height,
        "fps": int(job.options.fps),
        "format": job.options.format,
        "background": settings.background_kind(job.options),
        "enlarge": job.options.enlarge or None,
        "frames": speech.frame_count(Fraction(job.options.fps) * Fraction(1 / job.options.rate)),
    }


def _reusable_stages(job: Job, steps: Sequence[Step]) -> list[str]:
    """The stages that will not be made again: for the estimate of the run's time."""
    cache = _cache(job)
    return [step.stage.name for step in steps if cache.has(step)]


def _cache(job: Job) -> StageCache:
    return StageCache(job.home, job.task.work, fresh=job.options.fresh)


@contextmanager
def _device_turn(job: Job, turn: Turn) -> Iterator[None]:
    """Hold the device; say behind whom the run waits, and for how long it did."""
    waiting_since: list[float] = []

    def on_queue(holder: str) -> None:
        waiting_since.append(time.monotonic())
        job.emit(StageStarted("queued", turn.code, {"behind": holder[:8] or "?"}))

    def on_position(position: int) -> None:
        if not turn.only_drawing:
            job.emit(Log("INFO", "run.position", {"position": position}))

    where = turn.slot or job.plan.device
    with queue.device_slot(job.home, where, job.task.task_id, on_queue, on_position):
        if waiting_since:
            job.emit(StageEnded("queued", time.monotonic() - waiting_since[0]))
        yield


def _run_some(job: Job, steps: Sequence[Step], work: "Work", drawing: OpenTurn) -> "Work":
    from vidgen.progress.sampler import Sampler
    from vidgen.work import Folder

    if not steps:
        return work
    job.task.previews.mkdir(exist_ok=True)
    work = work.plus(Folder(job.task.work, job.task.previews))
    where = job.plan.device
    with Sampler(job.emit, where):
        return run_steps(steps, work, job.emit, _cache(job), device=where, drawing_turn=drawing)


def save_plan(task: TaskFolder, chosen: ModelChoice) -> None:
    """Write down which models and device this run uses. Raises OSError."""
    data = {"plan": asdict(chosen), "models": _hashes(chosen)}
    atomic_write(task.work / PLAN_FILE, orjson.dumps(data, option=orjson.OPT_INDENT_2))


def load_plan(task: TaskFolder, here: Catalog, emit: Emit) -> ModelChoice | None:
    """The plan that the run began with; None when there was none, or when it cannot be kept.

    That it cannot is said, because the film is drawn anew then.
    """
    try:
        data = orjson.loads((task.work / PLAN_FILE).read_bytes())
        before, hashes = ModelChoice(**data["plan"]), dict(data["models"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    changes = _changes(before, hashes, here)
    if not changes:
        return before
    emit(Log("WARNING", "run.models_changed", {"names": ", ".join(changes)}))
    return None


def restore_request(task: TaskFolder, recorded: RecordedRequest, emit: Emit) -> Request:
    """What was asked, of the run's own copies. Says what became of the originals.

    Raises InputError when a copy is lost or damaged and the original cannot replace it.
    """
    files = {name: _restore_input(task, name, was, emit) for name, was in recorded.inputs.items()}
    options = dict(recorded.request.settings)
    if "background" in files:
        options["background"] = replace(options["background"], value=str(files["background"]))
    reads = tuple(was.path for was in recorded.inputs.values())
    output = recorded.request.output
    return Request(files["photo"], files["voice"], output, options, reads=reads)


def _restore_input(task: TaskFolder, name: str, was: Input, emit: Emit) -> Path:
    """The run's own copy or, where there is none, the original if it is what it was."""
    kept, now = inputs.input_copy(task, name, was.path), inputs.fingerprint(was.path)
    if inputs.fingerprint(kept) != was.sha256:
        if now != was.sha256:
            raise _lost_input(name, was.path)
        return was.path
    if not now:
        emit(Log("INFO", "run.input_gone", {"name": name, "path": str(was.path)}))
    elif now != was.sha256:
        emit(Log("WARNING", "run.input_changed", {"name": name, "path": str(was.path)}))
    return kept


def _lost_input(name: str, path: Path) -> InputError:
    return InputError(
        "The run's copy of the {name} is lost, and {path} is no longer what it was.",
        hint="Start it again with vidgen run.",
        code="resume.no_input",
        name=name,
        path=str(path),
    )


def _hashes(chosen: ModelChoice) -> dict[str, str]:
    """Of every model whose bytes the film depends on."""
    rows = catalog.models()
    names = (*chosen.face_models, *chosen.matte_models, *chosen.render_models)
    return {name: rows[name].sha256 for name in names}


def _changes(before: ModelChoice, hashes: Mapping[str, Any], here: Catalog) -> list[str]:
    """Models and devices that are not there any more as they were."""
    rows = catalog.models()
    changes = [
        name
        for name, was in hashes.items()
        if name not in rows or rows[name].sha256 != was or not here.ready([name])
    ]
    return changes if _is_there(before.device) else [*changes, before.device]


def _is_there(where: str) -> bool:
    try:
        return device.resolve_device(where) == where
    except VidgenError:
        return False
