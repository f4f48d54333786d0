"""Who may come in: the token and its cookie, the Host and Origin headers.

Knows no route; what is answered inside is `api`'s business.
"""

import base64
import hashlib
import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from vidgen.errors import InputError
from vidgen.progress.serve.dialects import paths, tracker
from vidgen.progress.serve.errors import ApiError

TOKEN_BYTES: Final = 32
TOKEN_LEAST: Final = 16  # characters of a token that somebody chose
COOKIE_SECONDS: Final = 30 * 24 * 3600
MANY: Final = frozenset({"/api/v1/progress/ws", paths.HUB})  # sockets of many tasks
TOKENS: Final = ("token", "access_token")  # what a token is called in an address
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


@dataclass(frozen=True, slots=True)
class Access:
    """What somebody may see: everything, or one task."""

    task_id: str = ""

    def may_see(self, task_id: str) -> bool:
        return not self.task_id or task_id == self.task_id


def task_token(token: str, task_id: str) -> str:
    """A token that opens one task, to whoever knows the server's."""
    return f"{task_id}~{_seal(token, f'vidgen task {task_id}')}"


def token_for(token: str, task_id: str) -> str:
    """The same for a person. Raises InputError without the server's token."""
    if not token:
        raise InputError(
            "The server's token is not known here.",
            hint="Give the one that the server has: --token-file, or VIDGEN_TOKEN.",
            code="page.no_token",
        )
    return task_token(token, task_id)


def _seal(token: str, about: str) -> str:
    sealed = hmac.digest(token.encode(), about.encode(), "sha256")
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


class Auth:
    """The token, and the cookie that stands for it in a browser. Compared in constant time."""

    def __init__(self, token: str, port: int = 0) -> None:
        self.is_needed = bool(token)
        self._token = hashlib.sha256(token.encode()).digest()
        self._session = _seal(token, "vidgen session")
        self._given = token
        self.cookie_name = f"vidgen-{port}"  # browsers share cookies between a host's ports

    def fits(self, token: str) -> bool:
        given = hashlib.sha256(token.encode()).digest()
        return hmac.compare_digest(given, self._token)

    def access(self, headers: Headers, asked: str = "") -> Access | None:
        """What the request's token (`asked`: the one in its address) or cookie opens."""
        if not self.is_needed:
            return Access()
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._access(token.strip())
        if asked:
            return self._access(asked)
        given = _cookies(headers).get(self.cookie_name, "")
        is_ours = hmac.compare_digest(given.encode(), self._session.encode())
        return Access() if is_ours else None

    def _access(self, token: str) -> Access | None:
        if self.fits(token):
            return Access()
        task_id = token.partition("~")[0]
        is_of_task = hmac.compare_digest(token.encode(), self.task_token(task_id).encode())
        return Access(task_id) if task_id and is_of_task else None

    def task_token(self, task_id: str) -> str:
        """The token that opens one task; "" where none is needed."""
        return task_token(self._given, task_id) if self.is_needed else ""

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
    token = next((value for name, value in pairs if name in TOKENS), "")
    return token, urlencode([pair for pair in pairs if pair[0] not in TOKENS])


class AllowedHosts:
    """The host names this server answers to, against DNS rebinding.

    A rebinding page needs a name, so any literal address is harmless.
    """

    def __init__(
        self,
        host: str,
        more: tuple[str, ...] = (),
        origins: tuple[str, ...] = (),
        public_url: str = "",
    ) -> None:
        public = urlsplit(public_url)
        self._own_origin = f"{public.scheme}://{public.netloc}" if public.netloc else ""
        more = (*more, public.hostname or host)
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
        is_own = urlsplit(origin).netloc == host or origin == self._own_origin
        if origin and origin not in self._origins and not is_own:
            raise ApiError(403, "origin", "Requests from other sites are refused.")

    def cors_origin(self, headers: Headers) -> str:
        """The other site that asks and may; "" for our own pages and for programs."""
        origin = headers.get("origin", "")
        return origin if origin in self._origins else ""

    def _knows(self, name: str) -> bool:
        if name in self._names or "*" in self._names:
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


def concerns(scope: Scope, task_id: str) -> bool:
    """Whether a request is for this task only: what a token of the task may ask."""
    path = scope["path"]
    if scope["type"] == "websocket" and path in MANY:
        return True  # each task that is asked for there is looked at
    if scope.get("method", "GET") not in ("GET", "HEAD"):
        return bool(path == f"{paths.HUB}/negotiate")
    is_preview = path.startswith(f"{tracker.PREVIEWS}{task_id}_")
    return is_preview or task_id in path.split("/")
