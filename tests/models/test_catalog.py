"""models.toml and the files it names."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from vidgen.console import print_error
from vidgen.errors import InputError, SetupError
from vidgen.models import catalog
from vidgen.models.catalog import Catalog, CatalogEntry, Model, Removal
from vidgen.paths import Home

BYTES = b"weights " * 100


def a_model(name: str = "tiny", *, known: bool = True) -> Model:
    return Model(
        name=name,
        stage="rendering",
        set="full",
        source=f"https://example.invalid/{name}.bin",
        sha256=hashlib.sha256(BYTES).hexdigest() if known else "",
        bytes=len(BYTES),
        licence="MIT",
        homepage="https://example.invalid",
    )


def on_disk(shelf: Catalog, model: Model, content: bytes = BYTES) -> Path:
    file = shelf.file(model)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


OWN_ROWS = f"""
[models.tiny]
stage = "rendering"
set = "full"
source = "https://example.invalid/tiny.bin"
sha256 = "{hashlib.sha256(BYTES).hexdigest()}"
bytes = {len(BYTES)}
licence = "MIT"
homepage = "https://example.invalid"
params = {{ width = 8 }}
"""


@pytest.fixture
def own_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    file = tmp_path / "own.toml"
    file.write_text(OWN_ROWS, "utf-8")
    monkeypatch.setenv("VIDGEN_MODELS_FILE", str(file))
    return catalog.models()["tiny"]


def test_every_row_is_complete_and_pinned() -> None:
    stages = {"", "yolo_detection", "birefnet_removal", "rendering"}
    for model in catalog.models().values():
        assert model.stage in stages
        assert model.set in {"embedded", "full", "enlarge", "variant", "demo"}
        assert model.kind in {"wheel", "npm", "hf", "https"}
        assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)
        assert model.licence
        assert model.homepage.startswith("https://")
        assert model.about
        if model.kind == "hf":
            assert re.fullmatch(r"hf:[\w.-]+/[\w.-]+@[0-9a-f]{40}/[\w./-]+", model.source)


def test_the_full_set_is_what_a_full_run_needs() -> None:
    assert [model.name for model in catalog.find_models("full")] == [
        "yolo26n",
        "birefnet",
        "birefnet_lite",
        "musetalk",
        "musetalk_config",
        "sd_vae",
        "whisper_tiny",
    ]


def test_a_name_finds_one_model_and_all_finds_all() -> None:
    assert [model.name for model in catalog.find_models("yolo26m")] == ["yolo26m"]
    assert catalog.find_models("all") == list(catalog.models().values())


def test_an_unknown_name_tells_the_known_ones() -> None:
    with pytest.raises(InputError, match="no model or set called yolo99") as told:
        catalog.find_models("yolo99")
    assert "embedded" in told.value.hint
    assert "centerface" in told.value.hint


def test_own_rows_come_after_those_of_the_package(own_rows: Model) -> None:
    assert own_rows.params == {"width": 8}
    assert list(catalog.models())[-1] == "tiny"
    assert "centerface" in catalog.models()


@pytest.mark.parametrize("text", ["no toml", "[models.x]\nstage = 1", "[other]\na = 1"])
def test_own_rows_that_cannot_be_used_are_told(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text, "utf-8")
    monkeypatch.setenv("VIDGEN_MODELS_FILE", str(file))
    with pytest.raises(InputError) as told:
        catalog.models()
    assert told.value.code == "models.own_rows"
    assert str(file) in told.value.message


LEAVING = (
    "../x",
    "/etc/passwd",
    "a/../../b",
    "..",
    ".hidden",
    "x\x1b]0;PWN\x07",
    "x\x9b31m\u202e",
    "",
)


def harmless_refusal(error: InputError, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether what is said of it commands no terminal."""
    print_error(error)
    said = capsys.readouterr().err
    return said.startswith("vidgen: ") and not set("\x1b\x07\x9b\u202e") & set(said)


@pytest.mark.parametrize("name", LEAVING)
def test_a_typed_name_that_leaves_the_models_folder_is_none(
    name: str, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").write_text("somebody's")
    for ask in (Catalog(home).remove, Catalog(home).inventory, catalog.find_models):
        with pytest.raises(InputError) as told:
            ask(name)
        assert harmless_refusal(told.value, capsys)
    assert (tmp_path / "x").read_text() == "somebody's"


@pytest.mark.parametrize("name", LEAVING)
@pytest.mark.parametrize("place", ["name", "file"])
def test_a_row_that_leaves_the_models_folder_is_refused(
    place: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old, new = "models.tiny", f"models.{json.dumps(name)}"
    if place == "file":
        old, new = '"https://example.invalid/tiny.bin"', json.dumps(f"https://x/{name}/..")
    (tmp_path / "rows.toml").write_text(OWN_ROWS.replace(old, new), "utf-8")
    monkeypatch.setenv("VIDGEN_MODELS_FILE", str(tmp_path / "rows.toml"))
    with pytest.raises(InputError) as told:
        catalog.models()
    assert told.value.code == "models.own_rows"
    assert harmless_refusal(told.value, capsys)


def test_a_file_is_missing_then_ready_then_wrong(home: Home) -> None:
    shelf, model = Catalog(home), a_model()
    states = [shelf.state(model)]
    file = on_disk(shelf, model)
    states.append(shelf.state(model))
    file.write_bytes(b"other bytes")
    states.append(shelf.state(model))
    file.write_bytes(BYTES[::-1])  # the same size
    states.append(shelf.state(model))
    assert states == ["missing", "ready", "wrong", "wrong"]


def test_verify_reads_again_what_state_believes(home: Home) -> None:
    shelf, model = Catalog(home), a_model()
    file = on_disk(shelf, model)
    assert shelf.state(model) == "ready"
    seal = file.with_name(f".{file.name}.sha256")
    stat = file.stat()
    file.write_bytes(BYTES[::-1])
    seal.write_text(f"{stat.st_size} {file.stat().st_mtime_ns} {model.sha256}\n", "ascii")
    assert shelf.state(model) == "ready"
    assert shelf.verify(model) == "wrong"


def test_a_broken_seal_costs_only_another_look(home: Home) -> None:
    shelf, model = Catalog(home), a_model()
    file = on_disk(shelf, model)
    file.with_name(f".{file.name}.sha256").write_text("no seal", "ascii")
    assert shelf.state(model) == "ready"


def test_a_row_without_a_hash_is_wrong_until_a_download_fixed_one(home: Home) -> None:
    shelf, model = Catalog(home), a_model(known=False)
    file = on_disk(shelf, model)
    assert shelf.state(model) == "wrong"
    catalog.lock_file(file).write_text(hashlib.sha256(BYTES).hexdigest() + "\n", "ascii")
    assert shelf.state(model) == "ready"


def test_path_answers_only_a_verified_file(home: Home, own_rows: Model) -> None:
    shelf = Catalog(home)
    with pytest.raises(SetupError) as missing:
        shelf.path("tiny")
    file = on_disk(shelf, own_rows, b"bad")
    with pytest.raises(SetupError) as wrong:
        shelf.path("tiny")
    file.write_bytes(BYTES)
    assert shelf.path("tiny") == file
    assert (missing.value.code, wrong.value.code) == ("models.missing", "models.wrong")
    assert "vidgen models pull tiny" in missing.value.hint


def test_listed_tells_state_place_and_weight(home: Home, own_rows: Model) -> None:
    shelf = Catalog(home)
    assert shelf.inventory("tiny") == (CatalogEntry(own_rows, "missing", shelf.file(own_rows), 0),)
    file = on_disk(shelf, own_rows)
    file.with_name("made-of-it.safetensors").write_bytes(b"x" * 10)
    assert shelf.inventory("tiny", verify=True) == (CatalogEntry(own_rows, "ready", file, 810),)


def test_remove_takes_the_file_and_what_was_made_of_it(home: Home, own_rows: Model) -> None:
    shelf = Catalog(home)
    file = on_disk(shelf, own_rows)
    file.with_name("made-of-it.safetensors").write_bytes(b"x" * 10)
    file.with_name("settings").mkdir()
    assert shelf.state(own_rows) == "ready"  # which leaves a seal
    assert shelf.remove("tiny") == (Removal(own_rows, 810, still_cached=False),)
    assert not file.parent.exists()
    assert shelf.remove("tiny") == ()


def test_remove_keeps_a_hash_that_a_download_fixed(home: Home, own_rows: Model) -> None:
    shelf = Catalog(home)
    file = on_disk(shelf, own_rows)
    catalog.lock_file(file).write_text("f" * 64 + "\n", "ascii")
    shelf.remove("tiny")
    assert shelf.lock_hash(own_rows) == "f" * 64


def test_remove_tells_when_another_cache_keeps_the_bytes(
    home: Home, own_rows: Model, tmp_path: Path
) -> None:
    shelf = Catalog(home)
    file = on_disk(shelf, own_rows)
    (tmp_path / "cached").hardlink_to(file)
    assert shelf.remove("tiny") == (Removal(own_rows, 800, still_cached=True),)
