"""Choose the view for `--progress` and `VIDGEN_PROGRESS`. Loads only the one that is chosen."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, Final, Protocol, TextIO

from vidgen.errors import InputError
from vidgen.events import Envelope, Sink
from vidgen.messages import user_language

MODES: Final = ("auto", "tty", "plain", "rawjson", "quiet")
VARIABLE: Final = "VIDGEN_PROGRESS"


class View(Protocol):
    """A sink that is opened and closed: `with choose(…) as view: … view(envelope)`."""

    def __enter__(self) -> "View": ...

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, envelope: Envelope) -> None: ...


@contextmanager
def open_views(
    mode: str | None = None,
    *,
    title: str = "",
    says_errors: bool = False,
    notify: bool = False,
    preview: str = "auto",
) -> Iterator[list[Sink]]:
    """The views of a run on this process's own streams, in the user's language, opened."""
    with choose(
        mode,
        language=user_language(),
        title=title,
        says_errors=says_errors,
        notify=notify,
        preview=preview,
    ) as view:
        yield [view]


def choose(
    mode: str | None = None,
    *,
    language: str = "en",
    title: str = "",
    says_errors: bool = False,
    notify: bool = False,
    preview: str = "link",
    clock: Callable[[], float] = time.monotonic,
    stderr: TextIO | None = None,
    stdout: BinaryIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> View:
    """The view for `mode`, else for $VIDGEN_PROGRESS, else for what stderr is.

    `title` names the run's inputs. `says_errors` when nobody else tells the run's error. `preview`
    is auto, inline, link or off; pictures inside are for runs of this machine, since a remote
    run must not name files to open here. `clock` may run fast, for replays. Raises InputError for
    an unknown mode, and for tty off a terminal.
    """
    stream = stderr or sys.stderr
    mode = resolve_mode(mode, stream, environ)
    if mode == "tty":
        from vidgen.progress.views.live import Live

        return Live(
            stream,
            language,
            title=title,
            says_errors=says_errors,
            notify=notify,
            preview=preview,
            environ=environ,
            clock=clock,
        )
    from vidgen.progress.views.plain import Plain, Quiet, RawJson

    if mode == "plain":
        return Plain(
            stream,
            language,
            says_errors=says_errors,
            previews=preview != "off",
            bell="\a" if notify else "",
        )
    return RawJson(stdout or sys.stdout.buffer) if mode == "rawjson" else Quiet()


def resolve_mode(mode: str | None, stderr: TextIO, environ: Mapping[str, str] = os.environ) -> str:
    """tty, plain, rawjson or quiet."""
    mode = mode or environ.get(VARIABLE) or "auto"
    if mode not in MODES:
        raise InputError(
            "There is no progress view {mode}.",
            hint="Choose one of: {modes}.",
            code="live.unknown_mode",
            mode=mode,
            modes=", ".join(MODES),
        )
    if mode == "tty" and not can_draw(stderr, environ):
        raise InputError(
            "The progress view tty needs a terminal, and stderr is none.",
            hint="Leave --progress out, or take plain or rawjson.",
            code="live.no_terminal",
        )
    if mode == "auto":
        return "tty" if can_draw(stderr, environ) else "plain"
    return mode


def can_draw(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the stream is a terminal that can move its cursor. FORCE_COLOR makes no terminal."""
    if environ.get("TERM", "").lower() in ("dumb", "unknown"):
        return False
    if environ.get("TTY_INTERACTIVE") == "0":  # Rich's word for it; CI systems set it
        return False
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
