"""Put a run together: the only module that names concrete stages, renderers and sinks.

`create` makes a new run, `resume` takes an old one up; both tell the log and the views
everything and answer what was made.
"""

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vidgen import __version__, catalog, device, fetch, pipeline, request, settings
from vidgen.catalog import Catalog, Model
from vidgen.errors import InputError, SetupError
from vidgen.events import Completed, Emit, Log, Sink, StageEnded, StageProgress, StageStarted
from vidgen.keep import WorkKeeper, key_of
from vidgen.paths import Home, TaskFolder
from vidgen.pipeline import Step
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.store import TaskLog
from vidgen.request import Request
from vidgen.settings import Options

if TYPE_CHECKING:  # numpy is behind these, and the first event must not wait for it
    from vidgen.renderers.base import Look, Renderer
    from vidgen.work import Photo, Speech, Work

# Raised when a stage makes something else of the same inputs: what is kept of it is made again.
VERSIONS: Final = {"detect": 1, "matte": 1, "prosody": 1, "render": 1}
EMBEDDED: Final = (
    "centerface",
    "face_landmark",
    "selfie_segmentation",
    "selfie_segmentation_landscape",
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run made."""

    task_id: str
    video: Path
    poster: Path | None
    seconds: float  # of the film
    took_seconds: float
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which models and which device a run uses."""

    detector: str
    matter: str
    renderer: str
    device: str


def create(home: Home, wanted: Request, views: Sequence[Sink]) -> Result:
    """Make one video from the beginning. Raises VidgenError; the log has heard of it then."""
    task = home.task(str(uuid.uuid4()))
    task.previews.mkdir(parents=True)
    task.work.mkdir()
    with _logged(home, task, views) as emit:
        emit(StageStarted("initialized"))
        request.record(task, wanted)
        return _conduct(home, task, wanted, emit)


def resume(home: Home, task: TaskFolder, views: Sequence[Sink]) -> Result:
    """Take a run up where it ended. What was made is not made again."""
    recorded = request.read(task)
    with _logged(home, task, views) as emit:
        emit(StageStarted("initialized"))
        emit(Log("INFO", "run.resumed", {"task": task.task_id[:8]}))
        _tell_changes(task, recorded, emit)
        return _conduct(home, task, recorded.request, emit)


@contextmanager
def _logged(home: Home, task: TaskFolder, views: Sequence[Sink]) -> Iterator[Emit]:
    with TaskLog(task.root) as log:
        emit = Broadcast(task.task_id, views, log=log, floor=log.progress)
        with pipeline.concluded(emit, f"vidgen resume {task.task_id[:8]}"):
            yield emit


def _tell_changes(task: TaskFolder, recorded: request.Recorded, emit: Emit) -> None:
    for name, was in recorded.inputs.items():
        if not request.kept_input(task, name, was.path).is_file():
            raise InputError(
                "The run's copy of the {name} is gone, so it cannot be taken up.",
                hint="Start it again with vidgen run.",
                code="resume.no_input",
                name=name,
            )
        now = request.fingerprint(was.path)
        if now != was.sha256:
            code = "run.input_changed" if now else "run.input_gone"
            emit(Log("WARNING", code, {"name": name, "path": str(was.path)}))
    if recorded.version != __version__:
        versions = {"was": recorded.version, "now": __version__}
        emit(Log("WARNING", "run.version_changed", versions))


def _conduct(home: Home, task: TaskFolder, wanted: Request, emit: Emit) -> Result:
    began = time.monotonic()
    options = wanted.options
    from vidgen.media import check_output, unused_name

    check_output(wanted.output)
    target = wanted.output if options.force else unused_name(wanted.output)
    if target != wanted.output:
        emit(Log("INFO", "run.renamed", {"wanted": str(wanted.output), "path": str(target)}))
    photo, speech = _open_inputs(task, wanted, emit)
    plan = _planned(home, options, emit)
    emit(StageEnded("initialized", time.monotonic() - began, metadata=_told(plan, options, speech)))
    with device.held(home, plan.device, task.task_id, _waiting(emit)):
        work = _run(home, task, options, plan, photo, speech, target, emit)
    return _finish(home, task, work, emit, began)


def _open_inputs(task: TaskFolder, wanted: Request, emit: Emit) -> "tuple[Photo, Speech]":
    from vidgen.media import read_speech
    from vidgen.photo import open_photo

    options = wanted.options
    photo = open_photo(request.kept_input(task, "photo", wanted.photo))
    voice = request.kept_input(task, "voice", wanted.voice)
    speech = read_speech(voice, max_seconds=options.max_seconds, text=settings.words(options))
    return photo, speech


def _planned(home: Home, options: Options, emit: Emit) -> Plan:
    """Choose the models and make the embedded ones ready."""
    if device.gpu_present() and not device.has_gpu_extra():
        emit(Log("INFO", "device.idle_gpu", {"command": device.GPU_EXTRA}))
    shelf = Catalog(home)
    fetched = fetch.ensure(shelf, [catalog.models()[name] for name in EMBEDDED], _download(emit))
    if fetched:
        names = ", ".join(model.name for model in fetched)
        emit(Log("INFO", "models.fetched", {"names": names}))
    return choose(shelf, options, emit)


def _download(emit: Emit) -> catalog.Told:
    def told(model: Model, done: int, total: int) -> None:
        values = {"name": model.name}
        emit(StageProgress("initialized", done, total, "bytes", "models.fetching", values))

    return told


def _waiting(emit: Emit) -> Callable[[str], None]:
    return lambda holder: emit(StageStarted("queued", "run.queued", {"behind": holder[:8]}))


def _run(
    home: Home,
    task: TaskFolder,
    wanted: Request,
    plan: Plan,
    inputs: "tuple[Photo, Speech]",
    emit: Emit,
) -> "Work":
    """The stages, from the inputs to the video in place."""
    from vidgen.work import Folder, Work

    photo, speech = inputs
    shelf = Catalog(home)
    keys = Keys.of(wanted.options, plan, photo.sha256, speech.sha256, shelf)
    keeper = WorkKeeper(home, task.work, fresh=wanted.options.fresh)
    work = Work(photo, speech, Folder(task.work, task.previews))
    return pipeline.run(steps(wanted, plan, keys, shelf, task.task_id), work, emit, keeper)


@dataclass(frozen=True, slots=True)
class Keys:
    """Hashes of everything that each kept value depends on, in the order they build on another."""

    subject: str
    cutout: str
    speech: str
    film: str

    @classmethod
    def of(cls, options: Options, plan: Plan, photo: str, voice: str, shelf: Catalog) -> "Keys":
        def key(version: str, models: Sequence[str], names: str, *parts: str) -> str:
            hashes = [catalog.models()[name].sha256 for name in models]
            values = [str(getattr(options, name)) for name in names.split()]
            return key_of(__version__, VERSIONS[version], hashes, values, parts)

        subject = key(
            "detect",
            [plan.detector, *LANDMARKS],
            "person conf_threshold framing height aspect",
            photo,
        )
        cutout = key("matte", plan.matters, "smoothing", subject, _background_key(options))
        speech = key("prosody", [], "pitch pitch_range rate loudness language", voice, words)
        film = key(
            "render",
            plan.render_models,
            "renderer seed mouth head_motion blink brows gaze fps format",
            cutout,
            speech,
            plan.device.partition(":")[0],
        )
        return cls(subject, cutout, speech, film)
