"""Which models, renderer and device a run gets, and what it is told of the choice."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vidgen.device import device
from vidgen.errors import InputError, SetupError
from vidgen.events import Event, Log
from vidgen.installation import install_command
from vidgen.models import catalog, select
from vidgen.models.catalog import Catalog
from vidgen.models.select import MUSETALK, ModelChoice
from vidgen.paths import Home
from vidgen.settings import Options

FULL = [model.name for model in catalog.find_models("full")]


@dataclass
class Machine:
    """What is there, as a test wants it."""

    shelf: Catalog
    patch: pytest.MonkeyPatch
    states: dict[str, str] = field(default_factory=dict)
    heard: list[Event] = field(default_factory=list)

    def has(self, *names: str, state: str = "ready") -> None:
        self.states |= dict.fromkeys(names, state)

    def lacks_package(self, *missing: str) -> None:
        self.patch.setattr(device, "has_package", lambda package: package not in missing)

    def chooses(self, **chosen: Any) -> ModelChoice:
        return select.select_models(self.shelf, Options(**chosen), self.heard.append)


@pytest.fixture
def machine(home: Home, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """With the extra, without files; on the device "cpu" or whatever `--device` names."""
    made = Machine(Catalog(home), monkeypatch)
    monkeypatch.setattr(device, "gpu_present", lambda: False)
    monkeypatch.setattr(device, "resolve_device", lambda wanted: wanted.replace("auto", "cpu"))
    monkeypatch.setattr(Catalog, "state", lambda _, row: made.states.get(row.name, "missing"))
    made.lacks_package()
    return made


def test_everything_there_on_a_gpu(machine: Machine) -> None:
    machine.has(*FULL)
    for models in ("auto", "full"):
        chosen = machine.chooses(models=models, device="cuda:0")
        assert chosen == ModelChoice("cuda:0", "yolo26n", "birefnet", "musetalk")
        assert chosen.metadata()["models"] == "full"
    assert machine.heard == []


def test_everything_there_on_a_cpu(machine: Machine) -> None:
    machine.has(*FULL)
    assert machine.chooses(models="full") == ModelChoice(
        "cpu", "yolo26n", "birefnet_lite", "puppet"
    )
    assert machine.chooses(renderer="musetalk").renderer == "musetalk"
    assert machine.heard == []


def test_nothing_there_falls_back_and_says_so_once_where_a_gpu_is(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.chooses() == ModelChoice("cpu")
    assert machine.heard == []
    monkeypatch.setattr(device, "gpu_present", lambda: True)
    for _ in range(2):
        assert machine.chooses() == ModelChoice("cpu")
    assert machine.heard == [Log("INFO", "models.embedded", {"command": "vidgen models pull full"})]


def test_without_the_extra_the_command_has_the_pip_line(machine: Machine) -> None:
    machine.has(*FULL)
    machine.lacks_package("torch", "ultralytics", "nobg", "diffusers")
    machine.patch.setattr(device, "gpu_present", lambda: True)
    assert machine.chooses() == ModelChoice("cpu")
    log = machine.heard[-1]
    assert isinstance(log, Log)
    assert log.metadata["command"] == f"{install_command('gpu')} && vidgen models pull full"
    for wish in ({"models": "full"}, {"renderer": "musetalk"}):
        with pytest.raises(SetupError) as told:
            machine.chooses(**wish)
        assert told.value.code == "models.no_extra"
        assert install_command("gpu") in told.value.hint


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("ultralytics", ModelChoice("cuda:0", "", "birefnet", "musetalk")),
        ("nobg", ModelChoice("cuda:0", "yolo26n", "", "musetalk")),
        ("diffusers", ModelChoice("cuda:0", "yolo26n", "birefnet", "puppet")),
    ],
)
def test_half_an_extra_serves_what_it_can(
    machine: Machine, package: str, expected: ModelChoice
) -> None:
    machine.has(*FULL)
    machine.lacks_package(package)
    assert machine.chooses(device="cuda:0") == expected
    assert [type(event) for event in machine.heard] == [Log]


def test_isnet_stands_between_the_embedded_matte_and_birefnet(machine: Machine) -> None:
    machine.has("isnet")
    assert machine.chooses().matte == "isnet"
    assert machine.chooses().metadata()["models"] == "embedded"
    machine.has("birefnet_lite")
    assert machine.chooses().matte == "birefnet_lite"
    machine.lacks_package("nobg")
    assert machine.chooses().matte == "isnet"
    with pytest.raises(SetupError):
        machine.chooses(models="full")


def test_isnet_without_its_extra_is_told(machine: Machine) -> None:
    machine.has("isnet")
    machine.lacks_package("onnxruntime")
    assert machine.chooses().matte == ""
    assert "models.no_matte_extra" in [one.code for one in machine.heard if isinstance(one, Log)]


def test_embedded_never_looks(machine: Machine) -> None:
    machine.has(*FULL)
    assert machine.chooses(models="embedded", device="cuda:0") == ModelChoice("cuda:0")
    assert machine.heard == []


@pytest.mark.parametrize(
    ("where", "missing", "named"),
    [
        ("cuda:0", ("sd_vae", "whisper_tiny"), "sd_vae, whisper_tiny"),
        ("cuda:0", ("yolo26n",), "yolo26n"),
        ("cpu", ("birefnet_lite",), "birefnet_lite"),
        ("cuda:0", ("birefnet", "birefnet_lite"), "birefnet or birefnet_lite"),
    ],
)
@pytest.mark.parametrize("state", ["missing", "wrong"])
def test_full_stops_for_what_is_missing_or_wrong(
    machine: Machine, where: str, missing: tuple[str, ...], named: str, state: str
) -> None:
    machine.has(*FULL)
    machine.has(*missing, state=state)
    with pytest.raises(SetupError) as told:
        machine.chooses(models="full", device=where)
    assert (told.value.code, told.value.details["names"]) == ("models.full_missing", named)
    assert told.value.exit_code == 3


def test_full_with_another_renderer_needs_no_musetalk(machine: Machine) -> None:
    machine.has(*FULL)
    machine.has(*MUSETALK, state="missing")
    chosen = machine.chooses(models="full", renderer="puppet", device="cuda:0")
    assert chosen == ModelChoice("cuda:0", "yolo26n", "birefnet", "puppet")


def test_a_gpu_without_musetalk_is_told(machine: Machine) -> None:
    machine.has(*FULL)
    machine.has("musetalk", state="missing")
    assert machine.chooses(device="cuda:0").renderer == "puppet"
    assert machine.heard == [Log("INFO", "models.embedded", {"command": "vidgen models pull full"})]


def test_a_wrong_file_is_left_aside_and_named(machine: Machine) -> None:
    machine.has(*FULL)
    machine.has("birefnet", state="wrong")
    assert machine.chooses(device="cuda:0").matte == "birefnet_lite"
    assert machine.heard == [Log("WARNING", "models.left_aside", {"names": "birefnet"})]


def test_a_chosen_variant_comes_first(machine: Machine) -> None:
    machine.has("birefnet_portrait", "birefnet", "yolo26m", "yolo26n", "yolo11n")
    chosen = machine.chooses(device="cuda:0")
    assert (chosen.persons, chosen.matte) == ("yolo26m", "birefnet_portrait")


ROW = """
[models.{name}]
stage = "{stage}"
set = "variant"
source = "https://example.org/{name}.bin"
sha256 = ""
bytes = 0
licence = ""
homepage = ""
rank = {rank}
"""


@pytest.mark.parametrize("rank", [5, 35, 45])
def test_a_new_row_is_chosen_by_its_rank_alone(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    """No line of the program names it."""
    stages = {"net_of_persons": "yolo_detection", "net_of_mattes": "birefnet_removal"}
    file = tmp_path / "rows.toml"
    file.write_text("".join(ROW.format(name=n, stage=s, rank=rank) for n, s in stages.items()))
    monkeypatch.setenv("VIDGEN_MODELS_FILE", str(file))
    machine.has(*FULL, *stages)
    for where, mattes in (("cuda:0", ("birefnet", 20)), ("cpu", ("birefnet_lite", 30))):
        chosen = machine.chooses(device=where, renderer="puppet")
        assert chosen.persons == ("net_of_persons" if rank < 30 else "yolo26n")
        assert chosen.matte == ("net_of_mattes" if rank < mattes[1] else mattes[0])


def test_a_row_in_the_place_of_ours_keeps_its_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror names its address only."""
    row = ROW.format(name="yolo26s", stage="yolo_detection", rank="")
    file = tmp_path / "rows.toml"
    file.write_text(row.replace("rank = \n", ""))
    monkeypatch.setenv("VIDGEN_MODELS_FILE", str(file))
    ranked = [model.name for model in catalog.ranked_models("yolo_detection")]
    assert ranked == ["yolo26m", "yolo26s", "yolo26n", "yolo11n"]


def test_a_rank_is_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.toml"
    file.write_text(ROW.format(name="net", stage="yolo_detection", rank='"first"'))
    monkeypatch.setenv("VIDGEN_MODELS_FILE", str(file))
    with pytest.raises(InputError, match="the rank of net is not a whole number"):
        catalog.models()


def test_what_takes_over_from_a_large_matte_is_lighter(machine: Machine) -> None:
    machine.has("birefnet", "birefnet_lite")
    rows = catalog.models()
    lighter = select.lighter_matte(machine.shelf, rows["birefnet"])
    assert lighter == rows["birefnet_lite"]
    machine.has("birefnet_lite", state="missing")
    assert select.lighter_matte(machine.shelf, rows["birefnet"]) is None


@pytest.mark.parametrize("has_extra", [True, False])
def test_an_idle_gpu_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, has_extra: bool
) -> None:
    machine.lacks_package(*() if has_extra else ("torch",))
    monkeypatch.setattr(device, "gpu_present", lambda: True)
    machine.chooses(models="embedded")
    codes = [event.code for event in machine.heard if isinstance(event, Log)]
    assert codes == ([] if has_extra else ["device.idle_gpu"])


def test_torch_is_not_asked_for_a_device_where_nothing_could_use_it(machine: Machine) -> None:
    """Its import takes seconds, before anything else of the run."""
    asked: list[str] = []

    def resolve(wanted: str) -> str:
        asked.append(wanted)
        return "cuda:0"

    machine.patch.setattr(device, "resolve_device", resolve)
    assert machine.chooses().device == machine.chooses(models="embedded").device == "cpu"
    assert asked == []
    for name in ("yolo26n", "birefnet_lite", "sd_vae"):
        file = machine.shelf.file(catalog.models()[name])
        file.parent.mkdir(parents=True)
        file.touch()
        assert machine.chooses().device == "cuda:0"
        file.unlink()
    machine.chooses(device="cuda:0")
    assert asked == ["auto"] * 3 + ["cuda:0"]


def test_hands_are_looked_for_where_both_nets_are_here(machine: Machine) -> None:
    machine.has("palm_detection")
    assert machine.chooses() == ModelChoice("cpu")
    machine.has("hand_landmark")
    chosen = machine.chooses()
    assert chosen == ModelChoice("cpu", hands=True)
    assert chosen.face_models == (*select.FACES, *select.HANDS)
