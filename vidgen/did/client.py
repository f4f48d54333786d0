"""D-ID over HTTP: one method per request, each repeated when that is safe.

A create is never repeated here once it may have been heard: `create` raises `UnclearOrder`, and
whoever ordered must look in the list of talks first. Remembers nothing between two runs.
"""

import ipaddress
import math
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, TypeVar
from urllib.parse import quote

import httpx
import orjson

from vidgen.did import schema
from vidgen.did.auth import Account
from vidgen.did.errors import refusal
from vidgen.did.schema import Problem, Talk, Uploaded
from vidgen.did.timing import Timing, retry_after
from vidgen.errors import RenderError, SetupError, VidgenError
from vidgen.events import Emit, Log
from vidgen.files import sync_folder

PAGE: Final = 100  # talks of one page of the list
MOST_PAGES: Final = 200
MOST_ANSWER_BYTES: Final = 16 * 1024 * 1024
# A film of D-ID's has 3 Mbit a second at most; ten times that, and as much for its beginning.
MOST_RESULT_BYTES: Final = (64 * 1024**2, 4 * 1024**2)  # at all, and a second
EXPIRED: Final = frozenset({400, 401, 403, 404, 410})  # of a signed link to the result
# The request never left, so not even a create can have been heard.
UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

T = TypeVar("T")
OnProgress = Callable[[int, int], None]  # bytes here, bytes in all (0: unknown)


class UnclearOrder(Exception):  # noqa: N818  # no error yet: the talk may well exist
    """D-ID may or may not have taken the order; `reason` says what came instead of an answer."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class LinkExpired(Exception):  # noqa: N818  # a fresh link mends it
    """The signed link to the result does not open any more."""


class Client:
    """A D-ID account, open for requests; a context manager."""

    def __init__(
        self,
        account: Account,
        emit: Emit,
        patience: Timing | None = None,
        files: httpx.BaseTransport | None = None,
    ) -> None:
        """`files` brings the results, in place of the network."""
        self.account = account
        self.patience = patience or Timing()
        self._emit = emit
        timeout = httpx.Timeout(self.patience.timeout, connect=self.patience.connect_timeout)
        headers = {"Accept": "application/json", "User-Agent": "vidgen"}
        trust = not account.is_local  # a proxy for the internet is none for 127.0.0.1
        self._api = httpx.Client(
            auth=account.key, timeout=timeout, headers=headers, trust_env=trust, verify=_tls()
        )
        # Signed links refuse a second way of authorising, and must not see the key anyway.
        self._files = httpx.Client(
            timeout=timeout,
            follow_redirects=True,
            trust_env=trust,
            verify=_tls(),
            event_hooks={"request": [] if account.is_local else [_check_link]},
            transport=files,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._api.close()
        self._files.close()

    def credits_left(self) -> float:
        """Credits of 15 seconds each that the account can spend. An empty account has 0."""
        try:
            return self._ask("credits", "GET", "/credits", schema.credits_left)
        except RenderError as error:
            if error.code == "did.not_found":  # "not credits found for user"
                return 0.0
            raise

    def upload_image(self, name: str, content: bytes, mime: str) -> Uploaded:
        return self._upload("image", name, content, mime)

    def upload_audio(self, name: str, content: bytes, mime: str) -> Uploaded:
        return self._upload("audio", name, content, mime)

    def talk(self, talk_id: str) -> Talk:
        return self._ask("talk", "GET", f"/talks/{quote(talk_id, safe='')}", schema.talk)

    def talks(self) -> Iterator[Talk]:
        """Every talk of the account, in D-ID's order, page by page."""
        token = ""
        for _ in range(MOST_PAGES):
            query = f"&token={quote(token, safe='')}" if token else ""
            found, token = self._ask("list", "GET", f"/talks?limit={PAGE}{query}", schema.page)
            yield from found
            if not token:
                return
        raise _unreadable("list", "the list of talks does not end")

    def delete(self, kind: str, its_id: str) -> None:
        """Remove a talk, an image or an audio ("talks", "images", "audios"); gone is fine."""
        try:
            path = f"/{kind}/{quote(its_id, safe='')}"
            self._ask("delete", "DELETE", path, lambda _: None, self.patience.delete_tries)
        except RenderError as error:
            if error.code != "did.not_found":
                raise

    def create(self, order: Mapping[str, Any]) -> str:
        """Order a talk, which is what costs credits. Returns its id.

        Raises Unclear when D-ID may have taken it all the same, VidgenError when it has not.
        """
        fault: VidgenError
        for attempt in range(self.patience.tries):
            try:
                response = self._api.post(self._url("/talks"), json=order)
            except UNSENT as error:
                fault = _unreachable("create", error)
            except httpx.RequestError as error:
                raise UnclearOrder(_in_words(error)) from error
            else:
                if response.is_success:
                    return _id_of(response)
                fault = self._refusal("create", response)
                if not (400 <= response.status_code < 500) or response.status_code in (408, 409):
                    raise UnclearOrder(f"HTTP {response.status_code}") from fault
                if response.status_code != 429:
                    raise fault
            self._wait("create", attempt, fault, self.patience.tries)
        raise fault

    def download(
        self, url: str, target: Path, on_progress: OnProgress, seconds: float = 0.0
    ) -> None:
        """Stream a result of so many seconds to `target`, whole or not at all.

        Raises LinkExpired, and RenderError for one that is larger than any film of that length.
        """
        most = MOST_RESULT_BYTES[0] + int(MOST_RESULT_BYTES[1] * seconds)
        part = target.with_name(target.name + ".part")

        def fetch() -> None:
            with _open_part(part) as file, self._files.stream("GET", url) as response:
                if response.status_code in EXPIRED:
                    raise LinkExpired
                if not response.is_success:
                    raise self._refusal("result", response)
                _copy_body(response, file, on_progress, most)

        try:
            self._retry("result", fetch)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        part.replace(target)
        sync_folder(target.parent)  # before anybody deletes it at D-ID

    def _upload(self, kind: str, name: str, content: bytes, mime: str) -> Uploaded:
        return self._ask(
            kind,
            "POST",
            f"/{kind}s",
            lambda value: schema.upload(value, self.patience.wall()),
            files={kind: (name, content, mime)},
        )

    def _ask(
        self,
        action: str,
        method: str,
        path: str,
        read: Callable[[Any], T],
        tries: int = 0,
        **body: Any,
    ) -> T:
        """One request that may be repeated; `read` turns its JSON into a value."""

        def ask() -> T:
            with self._api.stream(method, self._url(path), **body) as streamed:
                response = _load_bounded(streamed, action)
            if not response.is_success:
                raise self._refusal(action, response)
            try:
                return read(None if method == "DELETE" else orjson.loads(response.content))
            except ValueError as error:
                raise _unreadable(action, str(error)[:120]) from error

        return self._retry(action, ask, tries)

    def _retry(self, action: str, send: Callable[[], T], tries: int = 0) -> T:
        fault: VidgenError
        tries = tries or self.patience.tries
        for attempt in range(tries):
            try:
                return send()
            except httpx.RequestError as error:
                fault = _unreachable(action, error)
            except httpx.InvalidURL as error:
                raise _unreadable(action, "a link that is none") from error
            except VidgenError as error:
                if not error.is_retryable:
                    raise
                fault = error
            self._wait(action, attempt, fault, tries)
        raise fault

    def _wait(self, action: str, attempt: int, fault: VidgenError, tries: int) -> None:
        """Sleep before the next try; raises `fault` when there is none."""
        asked: float | None = fault.details.get("retry_after")
        patience = self.patience
        fault.retry_count, fault.max_retries = attempt, tries - 1
        if asked and asked > patience.longest_retry_after:
            raise _pause(action, asked) from fault
        if attempt + 1 >= tries:
            raise fault
        seconds = patience.before_retry(attempt, asked)
        values = {
            "action": action,
            "reason": fault.message.removesuffix("."),
            "seconds": round(seconds, 1),
            "attempt": attempt + 1,
        }
        self._emit(Log("WARNING", "did.retrying", values))
        patience.sleep(seconds)

    def _refusal(self, action: str, response: httpx.Response) -> VidgenError:
        try:
            problem = schema.problem(_json(response))
        except httpx.RequestError:
            problem = Problem()  # the body broke off; the status alone says enough
        hidden = self.account.key.hidden
        problem = Problem(hidden(problem.kind), hidden(problem.description))
        error = refusal(action, response.status_code, problem, self.account.key.scheme)
        asked = retry_after(response.headers.get("Retry-After"), self.patience.wall)
        if asked is not None:
            error.details["retry_after"] = asked
        return error

    def _url(self, path: str) -> str:
        return self.account.base_url + path


@cache
def _tls() -> ssl.SSLContext:
    """Whom to trust; reading all the authorities takes 25 ms, so once is enough."""
    return httpx.create_ssl_context()


def _load_bounded(response: httpx.Response, action: str) -> httpx.Response:
    """The whole answer, unless it is longer than any of D-ID's. Raises RenderError."""
    body = bytearray()
    for chunk in response.iter_bytes(64 * 1024):
        body += chunk
        if len(body) > MOST_ANSWER_BYTES:
            raise _unreadable(action, "the answer does not end")
    headers = [pair for pair in response.headers.items() if pair[0] != "content-encoding"]
    status = response.status_code
    return httpx.Response(status, headers=headers, content=bytes(body), request=response.request)


def _json(response: httpx.Response) -> Any:
    response.read()
    try:
        return orjson.loads(response.content)
    except ValueError:
        return None


def _id_of(response: httpx.Response) -> str:
    try:
        value = orjson.loads(response.content)
    except ValueError as error:
        raise UnclearOrder("an answer that is not JSON") from error
    found = value.get("id") if isinstance(value, Mapping) else None
    if not isinstance(found, str) or not found:
        raise UnclearOrder("an answer without an id")
    return found


def _open_part(part: Path) -> BinaryIO:
    try:
        return part.open("wb")
    except OSError as error:
        raise _unwritable(part, error) from error


def _copy_body(
    response: httpx.Response, file: BinaryIO, on_progress: OnProgress, most: int
) -> None:
    total = _length(response)
    here = 0
    for chunk in response.iter_bytes(256 * 1024):
        try:
            file.write(chunk)
        except OSError as error:
            raise _unwritable(Path(file.name), error) from error
        here += len(chunk)
        if here > most:
            raise _unreadable("result", "the result does not end")
        on_progress(here, total)
    file.flush()
    os.fsync(file.fileno())


def _check_link(request: httpx.Request) -> None:
    """Results come from the internet, also after a redirect. Raises RenderError."""
    if request.url.scheme != "https":
        raise _unreadable("result", "the link to the result is not https")
    try:
        is_here = not ipaddress.ip_address(request.url.host).is_global
    except ValueError:  # a name, as it should be
        is_here = request.url.host == "localhost"
    if is_here:
        raise _unreadable("result", "the link to the result leads into this network")


def _length(response: httpx.Response) -> int:
    """Bytes that are announced; 0 when that is no number."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _unreachable(action: str, error: httpx.RequestError) -> RenderError:
    return RenderError(
        "D-ID cannot be reached ({reason}).",
        hint="Check the network, then `vidgen resume`.",
        code="did.unreachable",
        is_retryable=True,
        action=action,
        reason=_in_words(error),
    )


def _in_words(error: httpx.RequestError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    is_none = isinstance(error, httpx.ConnectError | httpx.ProxyError)
    return "no connection" if is_none else "the connection broke off"


def _pause(action: str, seconds: float) -> RenderError:
    return RenderError(
        "D-ID asks to wait {minutes} minutes before the next request.",
        hint="Wait that long, then `vidgen resume`.",
        code="did.pause",
        is_retryable=True,
        action=action,
        minutes=math.ceil(seconds / 60),
    )


def _unreadable(action: str, reason: str) -> RenderError:
    return RenderError(
        "D-ID's answer cannot be understood ({reason}).",
        hint="Wait a while, then `vidgen resume`; a newer vidgen may know this answer.",
        code="did.answer",
        is_retryable=True,
        action=action,
        reason=reason,
    )


def _unwritable(file: Path, error: OSError) -> SetupError:
    return SetupError(
        "{file} cannot be written: {reason}.",
        hint="Make room on the disk, then `vidgen resume`.",
        code="did.disk",
        is_retryable=True,
        file=str(file),
        reason=error.strerror or type(error).__name__,
    )
