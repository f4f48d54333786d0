"""`vidgen watch`: runs on other machines in the views of this one. How they come is `client`'s."""

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO, cast
from urllib.parse import urlsplit

from vidgen.events import Envelope, timestamp
from vidgen.messages import say, user_language
from vidgen.progress.views.choose import View, choose, resolve_mode
from vidgen.progress.watch import hosts
from vidgen.progress.watch.hosts import HostEvent
from vidgen.progress.watch.link import Link

SAID: Final = {"lost": "WARNING", "polling": "INFO", "waiting": "INFO", "connected": "INFO",
               "away": "WARNING", "back": "INFO"}  # fmt: skip
BROKEN_OFF: Final = {"interrupted": "page.watch_interrupted", "deleted": "page.deleted"}
FILES: Final = {"video_path": "video_url", "path": "url"}  # in events; the second is the server's


def show(
    urls: Sequence[str],
    task: str = "",
    *,
    token: str = "",
    until: str = "complete",
    certificate: Path | None = None,
    mode: str | None = None,
    stderr: TextIO | None = None,
    stdout: BinaryIO | None = None,
) -> int:
    """Show the runs until they end; answers what `--exit-status` exits with (the worst of them).

    One host has the live view; several have a line each time, with the host before it.
    Raises InputError or SetupError when a host refuses or was never reached.
    """
    stream = stderr or sys.stderr
    chosen = resolve_mode(mode, stream)
    if len(urls) > 1 and chosen == "tty":
        chosen = "plain"
    with contextlib.ExitStack() as stack:
        views = _HostViews(chosen, stream, stdout, stack, is_one=len(urls) == 1)
        events = hosts.watch(
            urls, task, token=token, until=until, certificate=certificate, on_link=views.link
        )
        for one in events:
            views.take(one)
    return views.exit_code


class _HostViews:
    """The view of each host, opened when it is first needed."""

    def __init__(
        self,
        mode: str,
        stream: TextIO,
        stdout: BinaryIO | None,
        stack: contextlib.ExitStack,
        *,
        is_one: bool,
    ) -> None:
        self._mode = mode
        self._stream = stream
        self._stdout = stdout
        self._stack = stack
        self._is_one = is_one
        self._views: dict[str, View] = {}
        self._states: dict[str, str] = {}
        self._last: dict[str, Envelope] = {}

    @property
    def exit_code(self) -> int:
        return max((hosts.exit_code(last) for last in self._last.values()), default=4)

    def take(self, one: HostEvent) -> None:
        self._last[one.host] = one.envelope
        view = self._view(one.host, one.title)
        code = BROKEN_OFF.get(one.envelope.event_type)
        if self._mode in ("rawjson", "quiet"):
            view(one.envelope)
        elif code is None:
            view(with_urls(one))
        else:
            if hasattr(view, "interrupt"):
                view.interrupt()
            values = {"host": one.host, "command": one.envelope.data.get("resume_command", "")}
            self._say(one.host, "ERROR", code, values)

    def link(self, link: Link) -> None:
        """Say once when the line is lost, and when it is back."""
        before = self._states.get(link.host)
        self._states[link.host] = link.state
        first = before is None and link.state == "connected"
        if before == link.state or first or self._mode in ("rawjson", "quiet"):
            return
        values = {"host": link.host, "reason": link.detail}
        self._say(link.host, SAID[link.state], f"page.link_{link.state}", values)

    def _say(self, host: str, level: str, code: str, values: dict[str, Any]) -> None:
        """A sentence of our own among those of the run, at the run's last moment."""
        data = {"stage": "", "progress": 0.0, "level": level, "message_code": code,
                "message": say(code, values), "metadata": values}  # fmt: skip
        last = self._last.get(host)
        task_id, stamp = (last.task_id, last.timestamp) if last else ("", "")
        self._view(host)(Envelope(task_id, 0, "log", stamp or timestamp(), data))

    def _view(self, host: str, title: str = "") -> View:
        view = self._views.get(host)
        if view is None:
            stream = (
                self._stream if self._is_one else cast(TextIO, _PrefixStream(self._stream, host))
            )
            view = choose(self._mode, language=user_language(), title=title, says_errors=True,
                          stderr=stream, stdout=self._stdout)  # fmt: skip
            self._views[host] = self._stack.enter_context(view)
        elif title and hasattr(view, "retitle"):  # it was opened to say that nothing runs yet
            view.retitle(title)
        return self._views[host]


def with_urls(one: HostEvent) -> Envelope:
    """The event with the files of the run's machine as addresses of its server.

    A file that lies on this machine keeps its path: a server of `run --serve` ends with its run.
    """
    data = dict(one.envelope.data)
    is_near = urlsplit(one.base).hostname in ("localhost", "127.0.0.1", "::1")
    for path, url in FILES.items():
        if data.get(path) and data.get(url) and not (is_near and _is_file(str(data[path]))):
            data[path] = one.base + str(data[url])
    return replace(one.envelope, data=data)


def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  # Path's raises for a stranger's odd names


class _PrefixStream:
    """A stream whose every line begins with the host's name."""

    def __init__(self, stream: TextIO, host: str) -> None:
        self._stream = stream
        self._host = host
        self._is_new_line = True

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            self._stream.write(f"{self._host}  {line}" if self._is_new_line else line)
            self._is_new_line = line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return False
