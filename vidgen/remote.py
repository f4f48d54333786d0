"""A file on the web, read like a pipe: once, by http or https, and never more than is asked for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from vidgen.errors import InputError

SECONDS: Final = 30.0  # without a byte
REDIRECTS: Final = 5
_FILE: Final = re.compile(r"file:/*(?:localhost)?(/.+)", re.IGNORECASE | re.DOTALL)
_URL: Final = re.compile(r"(https?):/+([^/].*)", re.IGNORECASE | re.DOTALL)
# What the system puts round its sentences: "[Errno 111] …", "[SSL] … (_ssl.c:1006)".
_SIGNS: Final = re.compile(r"^\[[^\]]*\] |\s*\(_ssl\.c:\d+\)$")


def plain_path(path: Path) -> Path:
    """The file that a `file:` address names, as file managers hand it over; any other as it is."""
    found = _FILE.fullmatch(path.as_posix())
    return Path(unquote(found[1])) if found else path


def find_url(path: Path) -> str:
    """The address that the path is; "" when it is none. A path keeps one of its two slashes."""
    found = _URL.fullmatch(path.as_posix())
    return f"{found[1].lower()}://{found[2]}" if found else ""


def name_of(url: str) -> PurePosixPath:
    """The file's name without what a query or a key adds; "web" where there is none."""
    name = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    return PurePosixPath(re.sub(r"[^\w.-]", "_", name)[-80:] or "web")


def without_query(url: str) -> str:
    """The address as it may be written down: a query often holds a key."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def reason_of(error: Exception) -> str:
    """Why a line broke or never was, without what only programmers read; no full stop."""
    import httpx

    if isinstance(error, httpx.RemoteProtocolError):  # it speaks of chunks and bodies
        return "the other side hung up"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    text = str(error) or type(error).__name__
    if "WRONG_VERSION_NUMBER" in text:
        return "it does not speak https"
    return _SIGNS.sub("", text).rstrip(".")


@contextmanager
def open_url(url: str) -> Iterator[Iterator[bytes]]:
    """The blocks of the file at this address. Raises InputError when it cannot be had."""
    import httpx

    try:
        with (
            httpx.Client(timeout=SECONDS, follow_redirects=True, max_redirects=REDIRECTS) as client,
            client.stream("GET", url) as answer,
        ):
            answer.raise_for_status()
            yield answer.iter_bytes()
    except httpx.HTTPStatusError as error:
        raise InputError(
            "{url} cannot be fetched: the server says {status}.",
            hint="Check the address, or fetch the file yourself and give that.",
            code="input.url_status",
            url=without_query(url),
            status=error.response.status_code,
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InputError(
            "{url} cannot be fetched: {reason}.",
            hint="Check the address, or fetch the file yourself and give that.",
            code="input.url",
            url=without_query(url),
            reason=reason_of(error),
        ) from error
