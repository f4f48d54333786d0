"""Who may come in: the token and its cookie, the Host and Origin headers.

Knows no route; what is answered inside is `api`'s business.
"""

import base64
import hashlib
import hmac
import ipaddress
import secrets
import socket
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers

from vidgen.errors import InputError
from vidgen.progress.serve.errors import ApiError

TOKEN_BYTES: Final = 32
TOKEN_LEAST: Final = 16  # characters of a token that somebody chose
COOKIE_SECONDS: Final = 30 * 24 * 3600
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def check_token(token: str) -> str:
    """The token, if it is one to be trusted. Raises InputError when it is too short."""
    if token and len(token) < TOKEN_LEAST:
        raise InputError(
            "The token is shorter than {least} characters.",
            hint="Choose a longer one, or give none: vidgen then makes one and prints it.",
            code="page.short_token",
            least=TOKEN_LEAST,
        )
    return token


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Auth:
    """The token, and the cookie that stands for it in a browser. Compared in constant time."""

    def __init__(self, token: str, port: int = 0) -> None:
        self.is_needed = bool(token)
        self._token = hashlib.sha256(token.encode()).digest()
        sealed = hmac.digest(token.encode(), b"vidgen session", "sha256")
        self._session = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
        self.cookie_name = f"vidgen-{port}"  # browsers share cookies between a host's ports

    def fits(self, token: str) -> bool:
        given = hashlib.sha256(token.encode()).digest()
        return hmac.compare_digest(given, self._token)

    def opens(self, headers: Headers) -> bool:
        """Whether the request carries the token or the cookie."""
        if not self.is_needed:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.fits(token.strip())
        given = _cookies(headers).get(self.cookie_name, "")
        return hmac.compare_digest(given.encode(), self._session.encode())

    def cookie(self, *, is_secure: bool) -> str:
        """The Set-Cookie header: Lax, so that a link from elsewhere opens the page signed in."""
        parts = [f"{self.cookie_name}={self._session}", "HttpOnly", "SameSite=Lax", "Path=/"]
        parts += [f"Max-Age={COOKIE_SECONDS}", *(["Secure"] if is_secure else [])]
        return "; ".join(parts)


def _cookies(headers: Headers) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    return {name: value for name, _, value in pairs}


def without_token(query: str) -> tuple[str, str]:
    """(the token in a query string, the query string without it)."""
    pairs = parse_qsl(query, keep_blank_values=True)
    token = next((value for name, value in pairs if name == "token"), "")
    return token, urlencode([pair for pair in pairs if pair[0] != "token"])


class AllowedHosts:
    """The host names this server answers to, against DNS rebinding.

    A rebinding page needs a name, so any literal address is harmless.
    """

    def __init__(
        self, host: str, more: tuple[str, ...] = (), origins: tuple[str, ...] = ()
    ) -> None:
        own = socket.gethostname().lower()
        self._names = {*_LOOPBACK, host.lower(), *(name.lower() for name in more)}
        if not is_loopback(host):
            self._names |= {own, f"{own}.local", own.partition(".")[0]}
        self._origins = frozenset(origins)

    def check(self, headers: Headers) -> None:
        """Raises ApiError for a Host that is not ours, or an Origin that is another site's."""
        host = headers.get("host", "")
        if not self._knows(_bare(host)):
            raise ApiError(421, "host", "This server does not answer to that name.")
        origin = headers.get("origin", "")
        if origin and origin not in self._origins and urlsplit(origin).netloc != host:
            raise ApiError(403, "origin", "Requests from other sites are refused.")

    def cors_origin(self, headers: Headers) -> str:
        """The other site that asks and may; "" for our own pages and for programs."""
        origin = headers.get("origin", "")
        return origin if origin in self._origins else ""

    def _knows(self, name: str) -> bool:
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _bare(host: str) -> str:
    """The host without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
