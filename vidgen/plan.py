"""Decide which models, which renderer and which device a run uses, and say why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vidgen import device
from vidgen.catalog import Catalog
from vidgen.errors import SetupError
from vidgen.events import Emit, Log
from vidgen.settings import Options

# What every run needs, whichever set it uses: the face of the chosen person comes from these.
FACES: Final = ("centerface", "face_landmark")
SELFIE: Final = ("selfie_segmentation", "selfie_segmentation_landscape")
EMBEDDED: Final = FACES + SELFIE
PERSONS: Final = ("yolo26n", "yolo26s", "yolo26m", "yolo11n")  # the first one that is here is used
MATTES: Final = ("birefnet_portrait", "birefnet")
LIGHT_MATTES: Final = ("birefnet_lite",)  # what a CPU draws in seconds rather than minutes
MUSETALK: Final = ("musetalk", "musetalk_config", "sd_vae", "whisper_tiny")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will use. Empty names stand for the embedded way."""

    device: str  # as torch names it
    persons: str = ""  # a YOLO model
    matte: str = ""  # a BiRefNet model
    renderer: str = "puppet"

    # The models whose bytes each result depends on:

    @property
    def face_models(self) -> tuple[str, ...]:
        return FACES + ((self.persons,) if self.persons else ())

    @property
    def matte_models(self) -> tuple[str, ...]:
        return (self.matte,) if self.matte else SELFIE

    @property
    def render_models(self) -> tuple[str, ...]:
        return MUSETALK if self.renderer == "musetalk" else ()

    def told(self) -> Mapping[str, Any]:
        """For the event that ends `initialized`."""
        return {
            "device": self.device,
            "detector": self.persons or "centerface",
            "matte": self.matte or "selfie_segmentation",
            "renderer": self.renderer,
            "models": "full" if self.persons and self.matte else "embedded",
        }


def choose(shelf: Catalog, options: Options, emit: Emit) -> Plan:
    """The full models where their weights are here, else the embedded ones; a log says so.

    Raises SetupError when something that was asked for by name is missing.
    """
    if device.gpu_present() and not device.has_gpu_extra():
        emit(Log("INFO", "device.idle_gpu", {"command": device.GPU_EXTRA}))
    where = device.resolve(options.device)
    if options.models == "embedded":
        return Plan(where, renderer=_renderer(shelf, options, where, wants_full=False))
    usable = device.has_gpu_extra()
    persons = _first(shelf, PERSONS) if usable else ""
    matte = (
        _first(shelf, LIGHT_MATTES if where == "cpu" else MATTES + LIGHT_MATTES) if usable else ""
    )
    if options.models == "full":
        _demand(usable, {"yolo26n": persons, "birefnet or birefnet_lite": matte})
    elif not (persons and matte):
        emit(Log("INFO", "models.embedded", {"command": _better(usable)}))
    return Plan(where, persons, matte, _renderer(shelf, options, where, wants_full=usable))


def _first(shelf: Catalog, names: tuple[str, ...]) -> str:
    return next((name for name in names if shelf.ready([name])), "")


def _better(has_extra: bool) -> str:
    pull = "vidgen models pull full"
    return pull if has_extra else f"{device.GPU_EXTRA} && {pull}"


def _demand(has_extra: bool, found: Mapping[str, str]) -> None:
    if not has_extra:
        raise SetupError(
            "The full models need the GPU extra, which is not installed.",
            hint="Install it: {command}",
            code="models.no_extra",
            command=device.GPU_EXTRA,
        )
    missing = [wanted for wanted, name in found.items() if not name]
    if missing:
        raise SetupError(
            "Of the full models, these are not on this machine: {names}.",
            hint="Fetch them: vidgen models pull full. Or leave --models full away.",
            code="models.full_missing",
            names=", ".join(missing),
        )


def _renderer(shelf: Catalog, options: Options, where: str, *, wants_full: bool) -> str:
    if options.renderer == "musetalk":
        _demand(device.has_gpu_extra(), {name: name * shelf.ready([name]) for name in MUSETALK})
        return "musetalk"
    if options.renderer != "auto":
        return options.renderer
    # On a CPU MuseTalk takes minutes for a second of voice; it must be asked for there.
    return "musetalk" if wants_full and where != "cpu" and shelf.ready(MUSETALK) else "puppet"
