"""`hf:repo@revision/file`: one file of a hub's repository, by huggingface_hub.

The library says where a file is and keeps its cache; its offline switch, token and mirror
variables hold. The bytes come by `download`, which takes up what broke off. Our folder gets
a link to the cached file, so that other programs and vidgen share one copy.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from vidgen.errors import SetupError
from vidgen.files import size_of
from vidgen.installation import install_command
from vidgen.models import download
from vidgen.models.catalog import Catalog, Model, OnProgress
from vidgen.models.files import download_error, http_refusal, install, part_file

PART: Final = ".vidgen-part"  # behind the name of a file that is not whole yet


@dataclass(frozen=True, slots=True)
class HuggingfaceAddress:
    """`hf:owner/name@revision/path/in/repo`, in parts."""

    repo: str
    revision: str
    path: str

    @classmethod
    def of(cls, model: Model) -> "HuggingfaceAddress":
        repo, _, rest = model.source.removeprefix("hf:").partition("@")
        revision, _, path = rest.partition("/")
        return cls(repo, revision, path)


def demand_library(model: Model) -> None:
    """Raises SetupError without the extra, which brings the hub's library."""
    if find_spec("huggingface_hub") is None:
        raise SetupError(
            "Fetching {name} needs the GPU extra, which is not installed.",
            hint="Install it: {command}",
            code="models.fetch_no_extra",
            name=model.name,
            command=install_command("gpu"),
        )


def cache_folder() -> Path:
    """The standard one, shared with every program that uses the hub."""
    return Path(_library().constants.HF_HUB_CACHE)


def bytes_to_come(model: Model) -> int:
    """What the cache will grow by: nothing for what it has."""
    library, address = _library(), HuggingfaceAddress.of(model)
    known = library.try_to_load_from_cache(
        address.repo, address.path, cache_folder(), revision=address.revision
    )
    return 0 if isinstance(known, str) else max(0, model.bytes - bytes_so_far(model))


def bytes_so_far(model: Model) -> int:
    """Of a download that ended early, or that another process is at."""
    return max(map(size_of, _blobs(model).glob("*" + PART)), default=0)


def fetch(catalog: Catalog, wanted: list[Model], on_progress: OnProgress) -> None:
    """Have each in the hub's cache, check it, link it into our folder. Raises SetupError."""
    for model in wanted:
        cached = _download_to_cache(model, on_progress)
        part = part_file(catalog, model)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        _link(cached, part)
        try:
            install(catalog, model, part)
        except SetupError:
            _forget(cached)  # else the next try would find the same wrong file
            raise
        on_progress(model, model.bytes, model.bytes)


def _download_to_cache(model: Model, on_progress: OnProgress) -> Path:
    library, address, cache = _library(), HuggingfaceAddress.of(model), cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    wanted = partial(
        library.hf_hub_download,
        address.repo,
        address.path,
        revision=address.revision,
        endpoint=os.environ.get("HF_ENDPOINT"),
    )
    with suppress(library.errors.LocalEntryNotFoundError):
        return Path(wanted(local_files_only=True))
    said_offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    if said_offline or library.constants.HF_HUB_OFFLINE:
        raise _offline(model)
    with _quiet(), _translate_errors(model):
        _complete_blob(model, on_progress)
        return Path(wanted())  # finds the bytes there, and gives them their name


def _complete_blob(model: Model, on_progress: OnProgress) -> None:
    """Download into the cache, taken up where an earlier try ended.

    The library itself begins a file anew in each process: 3.4 GB for one lost connection.
    """
    library, address = _library(), HuggingfaceAddress.of(model)
    endpoint = os.environ.get("HF_ENDPOINT")
    url = library.hf_hub_url(
        address.repo, address.path, revision=address.revision, endpoint=endpoint
    )
    etag = library.get_hf_file_metadata(url, endpoint=endpoint).etag
    if not etag:  # no name for the bytes: the library's own download tells what is wrong
        return
    blob = _blobs(model) / etag
    lock = cache_folder() / ".locks" / blob.parent.parent.name / f"{etag}.lock"  # the library's own
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if not blob.exists():
            part = blob.with_name(etag + PART)
            headers = library.utils.build_hf_headers()
            # The part's name says of which bytes it is a beginning, whatever a store behind says.
            source = download.HttpSource(url, headers, is_fixed=True)
            download.complete(model, source, part, on_progress)
            part.replace(blob)


def _blobs(model: Model) -> Path:
    """Where the cache keeps the bytes of a repository's files, by their etag."""
    name = f"models--{HuggingfaceAddress.of(model).repo.replace('/', '--')}"
    return cache_folder() / name / "blobs"


def _library() -> Any:
    # Else every program that uses it is asked for and told to the hub, for statistics.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.errors
    import huggingface_hub.utils

    return huggingface_hub


@contextmanager
def _translate_errors(model: Model) -> Iterator[None]:
    """The library's errors as ours. Raises SetupError."""
    try:
        yield
    except SetupError:
        raise
    except Exception as error:
        status = _status(error)
        if status:
            raise http_refusal(model, status) from error
        # The library's HTTP client is its own affair; that one's errors are known by module only.
        if isinstance(error, OSError) or type(error).__module__.startswith("httpx"):
            raise download_error(model, _first_line(error)) from error
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Its warnings of every new try would be written across our own progress."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _status(error: BaseException | None) -> int:
    """The HTTP status behind an error, which may be the cause of its cause; 0 for none."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return int(response.status_code)
        error = error.__cause__
    return 0


def _link(cached: Path, part: Path) -> None:
    """A second name for the same bytes where the disk allows it, else a link, else a copy."""
    real = cached.resolve()
    for make in (os.link, os.symlink):
        with suppress(OSError):
            make(real, part)
            return
    shutil.copyfile(real, part)


def _forget(cached: Path) -> None:
    with suppress(OSError):
        cached.resolve().unlink()
    with suppress(OSError):
        cached.unlink()


def _offline(model: Model) -> SetupError:
    return SetupError(
        "The model {name} is not in the hub's cache, and HF_HUB_OFFLINE forbids fetching it.",
        hint="Unset HF_HUB_OFFLINE, or copy the cache of a machine that has it.",
        code="models.offline",
        name=model.name,
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
