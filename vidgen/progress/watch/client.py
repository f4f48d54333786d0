"""Follow one run on one host: server-sent events, long polls where those do not come through.

Every event is answered once, over any number of connections. Several hosts are `hosts`' business.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson

from vidgen.errors import InputError, SetupError
from vidgen.events import Envelope
from vidgen.progress.store.runs import is_task_id
from vidgen.progress.watch.authorities import trusted
from vidgen.progress.watch.link import Link, OnLink
from vidgen.progress.watch.sse import ServerEvent, SseDecoder
from vidgen.progress.watch.timing import USUAL, Timing
from vidgen.remote import reason_of

BAD_GATEWAY: Final = 502  # a proxy says that the server behind it is away
_AWAY: Final = (httpx.ConnectError, httpx.ConnectTimeout)
_UNSTORED: Final = frozenset({"heartbeat", "connected", "subscribed"})


class ConnectionLost(Exception):  # noqa: N818  # what happened to the line; mended by trying again
    """The line broke, or the server was not able to answer."""

    def __init__(self, detail: str, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class RunClient:
    """One run on one host: every event once, in order, over any number of connections.

    `timing`, `sleep` and `chance` (0–1, for the back-off) are seams for tests.
    """

    def __init__(
        self,
        url: str,
        task: str = "",
        token: str = "",
        certificate: Path | None = None,
        on_link: OnLink = lambda _: None,
        *,
        timing: Timing = USUAL,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.base = _base(url)
        self.host = urlsplit(self.base).netloc
        self.title = ""  # what the run is called there; asked for before its first event is told
        self._wanted = task
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._certificate = certificate
        self._on_link = on_link
        self._sleep = sleep
        self._chance = chance
        self._epoch, self._seq = "", 0
        self._timing = timing
        self._base_wait = timing.first_wait
        self._failures = 0
        self._was_reached = False
        self._silent_streams = 0
        self._is_over = False
        self._asked_title = False
        self._machine = ""  # the run's, when it is not the host
        self._is_away = False

    @property
    def cursor(self) -> str:
        """Where a stream would go on."""
        return f"{self._epoch}-{self._seq}" if self._epoch else ""

    def events(self) -> Iterator[Envelope]:
        """Until the run has ended. Raises InputError or SetupError when the host refuses."""
        trust = trusted(self._certificate)
        timeout = httpx.Timeout(self._timing.connect, read=self._timing.silence)
        began = time.monotonic()
        while not self._is_over:
            try:
                # Anew each time: on a dead line the connections kept for later are dead, too.
                with httpx.Client(headers=self._headers, timeout=timeout, verify=trust) as client:
                    yield from self._once(client)
            except (KeyError, TypeError, AttributeError, IndexError) as error:
                raise self._strange() from error
            except (httpx.TransportError, ConnectionLost, ValueError) as error:
                self._back_off(error, time.monotonic() - began)

    def _once(self, client: httpx.Client) -> Iterator[Envelope]:
        """One connection, or a few polls."""
        task_id = self._find(client)
        if self._silent_streams < self._timing.stream_tries:
            yield from self._stream(client, task_id)
        else:
            self._on_link(Link(self.host, "polling"))
            for _ in range(self._timing.polls_before_return):
                if self._is_over:
                    return
                yield from self._poll(client, task_id)
            self._silent_streams = 0

    # Which run

    def _find(self, client: httpx.Client) -> str:
        """The id of the wanted task; waits for one when none is at work."""
        if len(self._wanted) == 36:
            return self._wanted
        while True:
            tasks = self._json(client, "/api/tasks", {"limit": "500"})["tasks"]
            self._on_success()
            found = _choose_task(tasks, self._wanted)
            if found and not is_task_id(found):
                raise self._strange()
            if found:
                self._wanted = found
                return found
            if self._wanted:
                raise _unknown(self._wanted, self.host)
            self._on_link(Link(self.host, "waiting"))
            self._sleep(self._timing.waiting)

    # Server-sent events

    def _stream(self, client: httpx.Client, task_id: str) -> Iterator[Envelope]:
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",  # a proxy that packs the stream holds it back, too
            "Cache-Control": "no-store",
        }
        if self.cursor:
            headers["Last-Event-ID"] = self.cursor
        decoder = SseDecoder()
        self._silent_streams += 1
        url = f"{self.base}/api/sse/progress/{task_id}?v=1"  # we know every end
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code == 204:
                self._is_over = True
                return
            self._check(response)
            if not _is_event_stream(response.headers.get("content-type", "")):
                raise ConnectionLost("no event stream")
            for chunk in response.iter_raw():
                self._silent_streams = 0
                self._on_success()
                self._ask_title(client, task_id)
                for event in decoder.feed(chunk):
                    yield from self._take(client, task_id, event)
                    if self._is_over:
                        return
                if decoder.retry_ms is not None:
                    self._base_wait = min(decoder.retry_ms / 1000, self._timing.longest_wait)
        raise ConnectionLost("the stream ended")

    def _take(self, client: httpx.Client, task_id: str, event: ServerEvent) -> Iterator[Envelope]:
        envelope = Envelope.from_wire(event.data)
        epoch = event.last_event_id.partition("-")[0]
        if envelope.event_type == "reset":
            yield from self._refresh(client, task_id, epoch)
        else:
            yield from self._accept(envelope, epoch)

    def _accept(self, envelope: Envelope, epoch: str) -> Iterator[Envelope]:
        """The event, unless it was answered before."""
        if envelope.event_type in _UNSTORED:
            if envelope.event_type == "heartbeat":
                self._tell_reach(envelope.data)
            return
        if envelope.event_type in ("interrupted", "deleted"):
            self._is_over = True
            yield envelope
            return
        if epoch != self._epoch:
            self._epoch, self._seq = epoch, 0
        if envelope.seq > self._seq:
            self._seq = envelope.seq
            self._is_over = envelope.is_terminal
            yield envelope

    def _tell_reach(self, data: Mapping[str, Any]) -> None:
        """Say when the run's machine goes out of its server's reach, and when it is back."""
        is_away = data.get("is_reachable") is False
        if is_away != self._is_away:
            self._is_away = is_away
            self._on_link(Link(self.host, "away" if is_away else "back", self._machine))

    def _refresh(self, client: httpx.Client, task_id: str, epoch: str) -> Iterator[Envelope]:
        """After a reset the whole history is asked for: a snapshot would leave holes."""
        try:
            history = self._json(client, f"/api/ws/progress/{task_id}/history")["events"]
        except InputError as error:
            if error.code != "page.watch_unknown":
                raise
            return  # it was deleted just now, which the stream tells
        if not history or epoch != self._epoch or history[-1]["seq"] < self._seq:
            self._epoch, self._seq = epoch, 0
        for value in history:
            yield from self._accept(Envelope.from_wire(orjson.dumps(value)), epoch)

    # Long polls

    def _poll(self, client: httpx.Client, task_id: str) -> Iterator[Envelope]:
        params = {
            "wait": str(self._timing.poll_wait),
            **({"after": self.cursor} if self.cursor else {}),
        }
        data = self._json(client, f"/api/tasks/{task_id}/events", params)
        self._on_success()
        self._ask_title(client, task_id)
        epoch = data["cursor"].partition("-")[0]
        if data["reset"] is not None:
            yield from self._refresh(client, task_id, epoch)
        for value in data["events"]:
            yield from self._accept(Envelope.from_wire(orjson.dumps(value)), epoch)
        self._tell_reach(data)
        if data["ended"] and not data["more"]:
            self._is_over = True
        elif data["state"] == "interrupted":
            yield from self._accept(_interruption(task_id, self._seq), epoch)

    def _ask_title(self, client: httpx.Client, task_id: str) -> None:
        """Once, and not at the events' cost: a run without its title is watched as well."""
        if not self._asked_title:
            self._asked_title = True
            # InputError: the run was deleted just now, which the stream tells.
            with contextlib.suppress(httpx.TransportError, ConnectionLost, InputError, ValueError):
                told = self._json(client, f"/api/tasks/{task_id}")
                self._machine = str(told.get("host", ""))
                where = f" ({self._machine})" if self._machine else ""
                self.title = f"{told.get('title', '')}{where}".strip()

    # The line

    def _json(
        self, client: httpx.Client, path: str, params: Mapping[str, str] | None = None
    ) -> Any:
        url, headers = self.base + path, {"Accept-Encoding": "identity"}
        with client.stream("GET", url, params=params, headers=headers) as response:
            self._check(response)
            return orjson.loads(self._body(response))

    def _body(self, response: httpx.Response) -> bytes:
        """All of it. Raises InputError when it is packed, or longer than any of vidgen's."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise self._strange()
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > self._timing.most_bytes:
                raise self._strange()
        return bytes(body)

    def _strange(self) -> InputError:
        return InputError(
            "{host} answers with what no server of vidgen says.",
            hint="Check the address, and that `vidgen serve-progress` runs there.",
            code="page.watch_strange",
            host=self.host,
        )

    def _check(self, response: httpx.Response) -> None:
        """Raises ConnectionLost for what may pass, VidgenError for what will not."""
        status = response.status_code
        if status == 200:
            return
        if status == 401 and self._headers:
            raise InputError(
                "{host} does not take this token.",
                hint="Give the one that the server printed: --token-file, or VIDGEN_TOKEN.",
                code="page.watch_other_token",
                host=self.host,
            )
        if status == 401:
            raise InputError(
                "{host} asks for a token.",
                hint="Give the one that the server printed: --token-file, or VIDGEN_TOKEN.",
                code="page.watch_token",
                host=self.host,
            )
        if status == 404 and response.url.path == "/api/tasks":  # every server of vidgen's has it
            raise self._strange()
        if status == 404:
            raise _unknown(self._wanted or "?", self.host)
        if status in (408, 425, 429) or status >= 500:
            if status == BAD_GATEWAY:
                self._silent_streams = 0
            raise ConnectionLost(
                f"HTTP {status}", _seconds(response.headers.get("retry-after", ""))
            )
        raise InputError(
            "{host} refuses to be watched (HTTP {status}).",
            hint="Check the address; a server behind a name needs --allow-host with that name.",
            code="page.watch_refused",
            host=self.host,
            status=status,
        )

    def _on_success(self) -> None:
        if self._failures or not self._was_reached:
            self._on_link(Link(self.host, "connected"))
        self._was_reached, self._failures = True, 0

    def _back_off(self, error: Exception, waited: float) -> None:
        """Wait with full jitter: all who lost the same server must not come back at once."""
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise InputError(
                "The certificate of {host} is not trusted here.",
                hint="If it is yours, give its PEM file: --ca FILE.",
                code="page.watch_untrusted",
                host=self.host,
            ) from error
        if not self._was_reached and waited > self._timing.first_contact:
            raise SetupError(
                "{host} cannot be reached: {reason}.",
                hint="Check the address, and that `vidgen serve-progress` runs there.",
                code="page.watch_unreachable",
                host=self.host,
                reason=reason_of(error),
            ) from error
        self._on_link(Link(self.host, "lost", reason_of(error)))
        if isinstance(error, _AWAY):  # which says nothing of its streams
            self._silent_streams = 0
        most = min(self._timing.longest_wait, self._base_wait * 2 ** min(self._failures, 10))
        self._failures += 1
        at_least = error.retry_after if isinstance(error, ConnectionLost) else 0.0
        self._sleep(max(at_least, most * self._chance()))


def _base(url: str) -> str:
    """scheme://host:port of whatever a person pastes."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    try:
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
        port = parts.port
    except ValueError:
        is_good, port = False, None
    if not is_good:
        raise InputError(
            "{url} is no address of a server.",
            hint="It looks like http://host:55433.",
            code="page.watch_address",
            url=url,
        )
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def _is_event_stream(content_type: str) -> bool:
    """As browsers see it: the type alone decides, whatever parameters follow."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


def _choose_task(tasks: Sequence[Mapping[str, Any]], wanted: str) -> str:
    if wanted == "last":
        return str(tasks[0]["task_id"]) if tasks else ""
    if wanted:
        found = [str(t["task_id"]) for t in tasks if str(t["task_id"]).startswith(wanted)]
        return found[0] if len(found) == 1 else ""
    live = ("running", "queued")
    return next((str(t["task_id"]) for t in tasks if t["state"] in live), "")


def _unknown(task: str, host: str) -> InputError:
    return InputError(
        "{host} has no single run {task}.",
        hint="Its page lists the runs; the first letters of an id are enough when they are unique.",
        code="page.watch_unknown",
        host=host,
        task=task,
    )


def _interruption(task_id: str, seq: int) -> Envelope:
    data = {"stage": "interrupted", "progress": 0.0, "message": "Interrupted",
            "message_code": "stage.interrupted", "metadata": {},
            "resume_command": f"vidgen resume {task_id[:8]}"}  # fmt: skip
    return Envelope(task_id, seq, "interrupted", "", data)


def _seconds(text: str) -> float:
    return min(float(text), 300.0) if text.isascii() and text.isdigit() else 0.0
