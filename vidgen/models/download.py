"""`https://…`: one file by HTTP, taken up where it stopped.

httpx reads the usual proxy variables and follows redirects. What is already in `.part` is
only taken up when the server says that the file is still the same one (If-Range).
"""

import errno
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from vidgen.errors import SetupError
from vidgen.files import size_of
from vidgen.models.catalog import Catalog, Model, OnProgress
from vidgen.models.files import (
    check_room,
    download_error,
    http_refusal,
    install,
    no_room,
    part_file,
)
from vidgen.remote import reason_of

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS: Final = 15.0
READ_SECONDS: Final = 30.0  # without a byte; then the connection is given up and taken up anew
TRIES: Final = 5  # in a row without a byte won
PAUSE_SECONDS: Final = 1.0  # before the second try; doubled for each further one
TELL_SECONDS: Final = 0.1
RETRY_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class HttpTiming:
    """How long to wait for what, seconds; tests have less."""

    connect: float = CONNECT_SECONDS
    read: float = READ_SECONDS
    pause: float = PAUSE_SECONDS
    tries: int = TRIES


USUAL: Final = HttpTiming()


@dataclass(frozen=True, slots=True)
class HttpSource:
    """What to ask for, and the headers that its server wants; another server never gets them."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    is_fixed: bool = False  # what is there never changes, so any beginning of it is one


class _Retry(Exception):  # noqa: N818  # no error yet: the next try may do
    """This try ended early; `reason` is for the person if no other one does better."""


def fetch(
    catalog: Catalog, wanted: list[Model], on_progress: OnProgress, patience: HttpTiming = USUAL
) -> None:
    """Download each into its place. Raises SetupError."""
    for model in wanted:
        part = part_file(catalog, model)
        part.parent.mkdir(parents=True, exist_ok=True)
        complete(model, HttpSource(model.source), part, on_progress, patience)
        install(catalog, model, part)


def complete(
    model: Model,
    source: HttpSource,
    part: Path,
    on_progress: OnProgress,
    patience: HttpTiming = USUAL,
) -> None:
    """Try until `part` is whole. Tries without a new byte are counted, others are not.

    Raises SetupError for a refusal, no space, and when the tries are over.
    """
    failures = 0
    while True:
        before = size_of(part)
        try:
            _try_once(model, source, part, on_progress, patience)
            _note_file(part).unlink(missing_ok=True)
            return
        except _Retry as error:
            failures = 0 if size_of(part) > before else failures + 1
            if failures >= patience.tries:
                raise download_error(model, str(error), failures - 1) from error
            time.sleep(patience.pause * 2 ** max(0, failures - 1))


def _try_once(
    model: Model, source: HttpSource, part: Path, on_progress: OnProgress, patience: HttpTiming
) -> None:
    import httpx

    timeout = httpx.Timeout(patience.read, connect=patience.connect)
    try:
        with (
            httpx.Client(follow_redirects=True, timeout=timeout) as client,
            client.stream(
                "GET", source.url, headers={**source.headers, **_range(source, part)}
            ) as response,
        ):
            start = _start(model, part, response)
            if start is not None:
                _grow(model, part, start, response, on_progress)
    except httpx.TransportError as error:
        raise _Retry(reason_of(error)) from error
    except httpx.HTTPError as error:  # too many redirects and the like
        raise download_error(model, reason_of(error)) from error


def _range(source: HttpSource, part: Path) -> dict[str, str]:
    """What asks for the rest only, should the file still be the same."""
    headers = {"Accept-Encoding": "identity"}  # lengths and ranges are the file's own
    rest, validator = {"Range": f"bytes={size_of(part)}-"}, _note(part).get("validator")
    if size_of(part) and source.is_fixed:
        headers |= rest
    elif size_of(part) and validator:
        headers |= rest | {"If-Range": validator}
    return headers


def _start(model: Model, part: Path, response: "httpx.Response") -> int | None:
    """The byte at which the body begins; None when `part` is whole. Raises for a refusal."""
    status = response.status_code
    if status in RETRY_STATUS:
        raise _Retry(f"HTTP {status}")
    if status == 416:  # nothing after what we have: whole, or of another file
        whole = response.headers.get("Content-Range", "").rpartition("/")[2]
        if whole == str(size_of(part)):
            return None
        part.unlink(missing_ok=True)
        raise _Retry("the file changed on the server")
    if status not in (200, 206):
        raise http_refusal(model, status)
    start = _first_byte(response) if status == 206 else 0
    if status == 206 and start != size_of(part):
        part.unlink(missing_ok=True)
        raise _Retry("the server sent another part than was asked for")
    _check_length(model, start, response)
    _note_file(part).write_text(json.dumps({"validator": _validator(response)}), "utf-8")
    return start


def _grow(
    model: Model, part: Path, start: int, response: "httpx.Response", on_progress: OnProgress
) -> None:
    length = int(response.headers.get("Content-Length", 0))
    total = start + length if length else model.bytes
    check_room(part.parent, length)
    so_far, last = start, 0.0
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        for chunk in response.iter_raw():  # as it comes: what a cut leaves is kept
            _write(file, chunk, part, total)
            so_far += len(chunk)
            if time.monotonic() - last >= TELL_SECONDS:
                last = time.monotonic()
                on_progress(model, so_far, total)
    if so_far < model.bytes:  # a server that tells no length can end early unnoticed
        raise _Retry("the connection ended early")
    on_progress(model, so_far, so_far)


def _write(file: BinaryIO, chunk: bytes, part: Path, total: int) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise no_room(part.parent, total) from error
        raise


def _first_byte(response: "httpx.Response") -> int:
    """From `Content-Range: bytes 100-199/200`; -1 for none."""
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else -1


def _validator(response: "httpx.Response") -> str:
    """What If-Range can compare: a strong ETag, else the time of the last change."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return str(etag)
    return str(response.headers.get("Last-Modified", ""))


def _check_length(model: Model, start: int, response: "httpx.Response") -> None:
    """A page that says something else, with status 200, is told before gigabytes are fetched."""
    length = response.headers.get("Content-Length", "")
    if not (model.bytes and length.isdigit()) or start + int(length) == model.bytes:
        return
    raise SetupError(
        "{source} offers {offered} bytes for {name}, but the file has {bytes}.",
        hint="Look whether a proxy or a login page answers in its place, then try again.",
        code="models.wrong_size",
        name=model.name,
        source=model.source,
        offered=start + int(length),
        bytes=model.bytes,
    )


def _note_file(part: Path) -> Path:
    return part.with_name(f".{part.name}.json")


def _note(part: Path) -> dict[str, str]:
    """What is known of the file that `part` is a beginning of."""
    try:
        note = json.loads(_note_file(part).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}
