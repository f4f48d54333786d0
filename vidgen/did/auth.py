"""The key to somebody's D-ID account, and how it is shown to D-ID and to nobody else."""

import base64
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import httpx

from vidgen.errors import InputError, SetupError

BASE_URL: Final = "https://api.d-id.com"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

Scheme = Literal["basic", "base64", "bearer"]


class AuthKey(httpx.Auth):
    """Signs requests. Holds the secret; neither `repr` nor `str` nor a pickle shows it."""

    def __init__(self, secret: str, scheme: Scheme = "basic") -> None:
        self._secret = secret
        self.scheme = scheme

    def __repr__(self) -> str:
        return f"Key(…, scheme={self.scheme!r})"

    def __reduce__(self) -> tuple[type, tuple[str]]:
        raise TypeError("a D-ID key is never written down")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"{self._word()} {self._credential()}"
        yield request

    def hidden(self, text: str) -> str:
        """`text` without the key, should the other side have repeated it."""
        halves = [half for half in self._secret.split(":") if len(half) >= 8]
        for secret in (self._secret, _base64(self._secret), *halves):
            text = text.replace(secret, "[key]")
        return text

    def _word(self) -> str:
        return "Bearer" if self.scheme == "bearer" else "Basic"

    def _credential(self) -> str:
        # The key of their studio is sent as it is: it is made for `Basic` already.
        return _base64(self._secret) if self.scheme == "base64" else self._secret


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays, where, and how much of it stays with D-ID."""

    key: AuthKey
    base_url: str = BASE_URL
    keep: bool = False  # leave the talk and the uploads there
    stitch: bool = True  # the whole picture; without it a square of the face

    def __post_init__(self) -> None:
        if self.is_local or _is_https(self.base_url):
            return
        raise SetupError(
            "The D-ID address is not an https address, so the key would travel readable.",
            hint="Set DID_BASE_URL to an https address, or remove it.",
            code="did.base_url",
        )

    @property
    def is_local(self) -> bool:
        """Whether it is a server on this machine, where http is no risk."""
        where = urlsplit(self.base_url)
        return where.scheme in ("http", "https") and where.hostname in LOOPBACK


def account(
    environ: Mapping[str, str] = os.environ,
    key_file: Path | None = None,
    scheme: Scheme = "basic",
    keep: bool = False,
    stitch: bool = True,
) -> Account:
    """The account from `key_file`, else from DID_API_KEY; DID_BASE_URL may name another server.

    Raises SetupError when there is no key, or none that could be one.
    """
    secret = _from_file(key_file) if key_file else environ.get("DID_API_KEY", "").strip()
    if not secret:
        raise SetupError(
            "There is no key for D-ID.",
            hint="Copy it from D-ID's studio (account settings) into DID_API_KEY, "
            "or into a file named by --did-key-file.",
            code="did.no_key",
        )
    # The HTTP library would name the offending value in its error, so look first.
    if not all("!" <= letter <= "~" for letter in secret):
        raise SetupError(
            "The key for D-ID holds a space, a line break or another unusual character.",
            hint="Copy it again from D-ID's studio: one line, nothing before or behind it.",
            code="did.bad_key",
        )
    base_url = environ.get("DID_BASE_URL", "").strip() or BASE_URL
    return Account(AuthKey(secret, scheme), base_url.rstrip("/"), keep, stitch)


def _is_https(address: str) -> bool:
    try:
        where = httpx.URL(address)
    except httpx.InvalidURL:
        return False
    return where.scheme == "https" and bool(where.host)


def _from_file(file: Path) -> str:
    try:
        return file.expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(
            "The file with the D-ID key, {file}, cannot be read: {reason}.",
            hint="Give the file that holds nothing but the key.",
            code="did.key_file",
            file=str(file),
            reason=reason,
        ) from None  # a decoding error would quote the bytes


def _base64(secret: str) -> str:
    return base64.b64encode(secret.encode()).decode()
