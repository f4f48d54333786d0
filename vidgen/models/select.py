"""Decide which models, which renderer and which device a run uses, and say why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from vidgen.device import device
from vidgen.errors import SetupError
from vidgen.events import Emit, Log
from vidgen.installation import install_command
from vidgen.models.catalog import Catalog, Model, models, ranked_models
from vidgen.settings import Options

# What every run needs, whichever set it uses: the face of the chosen person comes from these.
FACES: Final = ("centerface", "face_landmark", "iris_landmark")
SELFIE: Final = ("selfie_segmentation", "selfie_segmentation_landscape")
EMBEDDED: Final = FACES + SELFIE
TOLD_FILE: Final = "better-models-told"  # in the folder of models: that there are better ones
HEARING: Final = "phone_recognizer"  # what a run can do without, if it must
HANDS: Final = ("palm_detection", "hand_landmark")  # and without these: hands are not known then
ISNET: Final = "isnet"  # finer than the embedded matte, without torch
ENLARGER: Final = ("realesrgan_x4plus", "realesrgan_x4plus_param")
MUSETALK: Final = ("musetalk", "musetalk_config", "sd_vae", "whisper_tiny")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What a run will use. Empty names stand for the embedded way."""

    device: str  # as torch names it
    persons: str = ""  # a YOLO model
    matte: str = ""  # a BiRefNet model, or IS-Net
    renderer: str = "puppet"
    ears: str = ""  # the model that hears phones; without it the loudness leads the lips
    hands: bool = False  # whether a hand before the mouth is looked for

    # The models whose bytes each result depends on:

    @property
    def face_models(self) -> tuple[str, ...]:
        hands = HANDS if self.hands else ()
        return FACES + hands + ((self.persons,) if self.persons else ())

    @property
    def matte_models(self) -> tuple[str, ...]:
        fine = (self.matte,) if self.matte else ()
        return fine + SELFIE if self.matte in ("", ISNET) else fine

    @property
    def render_models(self) -> tuple[str, ...]:
        if self.renderer == "musetalk":
            return MUSETALK
        return (self.ears,) if self.ears else ()

    def metadata(self) -> Mapping[str, Any]:
        """For the event that ends `initialized`."""
        return {
            "device": self.device,
            "detector": self.persons or "centerface",
            "matte": self.matte or "selfie_segmentation",
            "renderer": self.renderer,
            "models": "full" if self.persons and self.matte not in ("", ISNET) else "embedded",
        }


def select_models(catalog: Catalog, options: Options, emit: Emit) -> ModelChoice:
    """The full models where their weights are here, else the embedded ones; a log says so.

    Raises SetupError when something that was asked for by name is missing.
    """
    chosen = replace(_choose(catalog, options, emit), hands=catalog.ready(HANDS))
    uses = chosen.renderer == "puppet" or options.subtitles != "none"
    hears = uses and catalog.ready([HEARING])
    return replace(chosen, ears=HEARING) if hears else chosen


def _choose(catalog: Catalog, options: Options, emit: Emit) -> ModelChoice:
    if device.gpu_present() and not device.has_gpu_extra():
        emit(Log("INFO", "device.idle_gpu", {"command": install_command("gpu")}))
    where = "cpu" if _needs_no_device(catalog, options) else device.resolve_device(options.device)
    talker = "musetalk" if options.renderer == "musetalk" else ""
    if options.renderer == "auto" and options.models != "embedded" and where != "cpu":
        talker = "musetalk"  # on a CPU it takes minutes for a second of voice: only if asked for
    found = _usable_models(catalog, options.models, where, talker)
    if options.renderer == "musetalk" or (options.models == "full" and talker):
        _demand({name: name in found.talker for name in MUSETALK})
    if options.models == "embedded":
        return ModelChoice(where, renderer=_renderer(options, talker, found))
    if options.models == "full":
        persons, mattes = (_names_in_full(rows) for rows in (_persons(), _mattes(where)))
        _demand({persons: bool(found.persons), mattes: bool(found.matte)})
    elif not (found.persons and found.matte and (found.can_talk or not talker)):
        _tell_of_better_ones(catalog, where, emit)
    _tell_of_wrong_ones(catalog, talker, emit)
    return ModelChoice(where, found.persons, found.matte, _renderer(options, talker, found))


def _needs_no_device(catalog: Catalog, options: Options) -> bool:
    """Whether nothing of torch will be used: its import alone takes seconds."""
    if options.device != "auto" or options.models == "full" or options.renderer == "musetalk":
        return False
    return options.models == "embedded" or not any(
        catalog.file(models()[name]).exists() for name in _full_models()
    )


def _full_models() -> tuple[str, ...]:
    return *_names(_persons()), *_names(_mattes("")), *MUSETALK


def _persons() -> list[Model]:
    return ranked_models("yolo_detection")


def _mattes(where: str) -> list[Model]:
    rows = [row for row in ranked_models("birefnet_removal") if row.name != ISNET]
    return [model for model in rows if where != "cpu" or not model.gpu_only]


def lighter_matte(catalog: Catalog, chosen: Model) -> Model | None:
    """What takes over when the memory does not do for the chosen one."""
    rows = [model for model in _mattes("cpu") if model.rank > chosen.rank]
    return next((model for model in rows if catalog.ready([model.name])), None)


def _names(rows: Iterable[Model]) -> tuple[str, ...]:
    return tuple(model.name for model in rows)


def _names_in_full(rows: Sequence[Model]) -> str:
    """Those of a set that `vidgen models pull full` fetches."""
    return " or ".join(model.name for model in rows if model.set == "full")


@dataclass(frozen=True, slots=True)
class _UsableModels:
    """The full models that this machine can use."""

    persons: str
    matte: str
    talker: tuple[str, ...]  # those of MUSETALK

    @property
    def can_talk(self) -> bool:
        return self.talker == MUSETALK


def _usable_models(catalog: Catalog, wanted: str, where: str, talker: str) -> _UsableModels:
    """Looks at no file that is not wanted: the first look at a large one reads it whole."""
    talkers = (
        tuple(_usable(catalog, MUSETALK, "torch", "diffusers", "transformers")) if talker else ()
    )
    if wanted == "embedded":
        return _UsableModels("", "", talkers)
    persons = _usable(catalog, _names(_persons()), "torch", "ultralytics")
    mattes = [*_usable(catalog, _names(_mattes(where)), "torch", "nobg")]
    if wanted != "full":
        mattes += _usable(catalog, (ISNET,), "onnxruntime")
    return _UsableModels(next(persons, ""), next(iter(mattes), ""), talkers)


def _usable(catalog: Catalog, names: tuple[str, ...], *packages: str) -> Iterator[str]:
    """Those that are here and right, as long as what loads them is installed."""
    if all(map(device.has_package, packages)):
        yield from (name for name in names if catalog.ready([name]))


def _renderer(options: Options, talker: str, found: _UsableModels) -> str:
    if options.renderer not in ("auto", "musetalk"):
        return options.renderer
    return talker if talker and found.can_talk else "puppet"


def _tell_of_better_ones(catalog: Catalog, where: str, emit: Emit) -> None:
    """Once a machine, and only where a GPU could use them: on a processor they take minutes."""
    told = catalog.home.models / TOLD_FILE
    if (where == "cpu" and not device.gpu_present()) or told.exists():
        return
    emit(Log("INFO", "models.embedded", {"command": _better()}))
    with suppress(OSError):
        told.touch(0o600)


def _better() -> str:
    pull = "vidgen models pull full"
    return pull if device.has_gpu_extra() else f"{install_command('gpu')} && {pull}"


def _tell_of_wrong_ones(catalog: Catalog, talker: str, emit: Emit) -> None:
    """A file that was spoiled is not used; without a word its owner would wonder why."""
    rows = models()
    unused = () if talker else MUSETALK
    every = [ISNET, *(name for name in _full_models() if name not in unused)]
    if wrong := [name for name in every if catalog.state(rows[name]) == "wrong"]:
        emit(Log("WARNING", "models.left_aside", {"names": ", ".join(wrong)}))
    if catalog.ready([ISNET]) and not device.has_package("onnxruntime"):
        emit(Log("WARNING", "models.no_matte_extra", {"command": install_command("matte")}))


def _demand(there: Mapping[str, bool]) -> None:
    if not device.has_gpu_extra():
        raise SetupError(
            "The full models need the GPU extra, which is not installed.",
            hint="Install it: {command}",
            code="models.no_extra",
            command=install_command("gpu"),
        )
    missing = [name for name, is_there in there.items() if not is_there]
    if missing:
        raise SetupError(
            "Of the full models, these are missing or not what they should be: {names}.",
            hint="Fetch them: vidgen models pull full."
            " Or go without: --models auto --renderer auto.",
            code="models.full_missing",
            names=", ".join(missing),
        )


def drawing_device(options: Options, chosen: ModelChoice) -> str:
    """A puppet's film is done sooner on processors than on any GPU that was measured (an H100 draws
    20 times as fast as 16 cores, which encode meanwhile): only who names a device has it drawn
    there."""
    return "cpu" if chosen.renderer == "puppet" and options.device == "auto" else chosen.device
