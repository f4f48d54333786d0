"""`hf:repo@revision/file`: one file of a hub's repository, by huggingface_hub.

The library's own cache, offline switch, token, mirror and proxy variables hold. Our folder gets
a link to the cached file, so that other programs and vidgen share one copy.
"""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from vidgen.catalog import Catalog, Model, Told
from vidgen.device import GPU_EXTRA
from vidgen.errors import SetupError
from vidgen.fetch.place import check_room, install, part_file
from vidgen.fetch.troubles import gave_up, refused

TELL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Address:
    """`hf:owner/name@revision/path/in/repo`, in parts."""

    repo: str
    revision: str
    path: str

    @classmethod
    def of(cls, model: Model) -> "Address":
        repo, _, rest = model.source.removeprefix("hf:").partition("@")
        revision, _, path = rest.partition("/")
        return cls(repo, revision, path)


def fetch(shelf: Catalog, wanted: list[Model], told: Told) -> None:
    """Have each in the hub's cache, check it, link it into our folder. Raises SetupError."""
    if find_spec("huggingface_hub") is None:
        raise SetupError(
            "Fetching {name} needs the GPU extra, which is not installed.",
            hint="Install it: {command}",
            code="models.fetch_no_extra",
            name=wanted[0].name,
            command=GPU_EXTRA,
        )
    for model in wanted:
        cached = _cached(model, told)
        part = part_file(shelf, model)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        _link(cached, part)
        try:
            install(shelf, model, part)
        except SetupError:
            _forget(cached)  # else the next try would find the same wrong file
            raise
        told(model, model.bytes, model.bytes)


def _cached(model: Model, told: Told) -> Path:
    # Else every download also asks the hub which programs to tell apart in its statistics.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    address = Address.of(model)
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    said_offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    arguments: dict[str, Any] = {
        "repo_id": address.repo,
        "filename": address.path,
        "revision": address.revision,
        "endpoint": os.environ.get("HF_ENDPOINT"),
        "tqdm_class": _bar(model, told),
    }
    with suppress(LocalEntryNotFoundError):
        return Path(hf_hub_download(**arguments, local_files_only=True))
    if said_offline or constants.HF_HUB_OFFLINE:
        raise _offline(model)
    check_room(cache, model.bytes)
    try:
        with _quiet():
            return Path(hf_hub_download(**arguments))
    except Exception as error:
        status = _status(error)
        if status:
            raise refused(model, status) from error
        # The library's HTTP client is its own affair; that one's errors are known by module only.
        if isinstance(error, OSError) or type(error).__module__.startswith("httpx"):
            raise gave_up(model, _first_line(error)) from error
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


def _bar(model: Model, told: Told) -> type:
    """What the library takes for a progress bar, telling us instead of drawing."""

    class Bar:
        def __init__(self, *_: object, **given: Any) -> None:
            self.total = int(given.get("total") or model.bytes)
            self.n = int(given.get("initial") or 0)
            self._last = 0.0

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            told(model, self.n, self.total)

        def update(self, count: float | None = 1) -> None:
            self.n += int(count or 0)
            if time.monotonic() - self._last >= TELL_SECONDS:
                self._last = time.monotonic()
                told(model, self.n, self.total)

        def close(self) -> None: ...

        def refresh(self, *_: object, **__: object) -> None: ...

        def set_description(self, *_: object, **__: object) -> None: ...

    return Bar


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
