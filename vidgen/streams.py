"""stdin, stdout and stderr as a program can rely on them, whatever it was started with.

Any of them may be closed, gone or full, and speak an encoding that lacks most letters. Text goes
out here: nothing that cannot be written may end a run or cost a traceback.
"""

import codecs
import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn, TextIO

from vidgen.errors import SetupError, VidgenError

STDIN, STDOUT, STDERR = 0, 1, 2
ERRORS: Final = "vidgen"  # the name of our error handler for codecs
_STAND_INS: Final = str.maketrans(
    {"×": "x", "–": "-", "—": "-", "…": "...", "·": "-", "✓": "+", "✗": "x", "→": "->", "≥": ">="}
)


def prepare_streams() -> None:
    """Make the three streams usable: once, when the program begins.

    What stderr cannot take is dropped: it is said to somebody who does not listen. What stdout
    cannot take ends the program, for it was asked for: well when its reader has enough, else by
    a SetupError.
    """
    codecs.register_error(ERRORS, _replace)
    _open_descriptors()
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115  # for good
    sys.stdout = _stream(sys.stdout, STDOUT, drops=False)
    sys.stderr = _stream(sys.stderr, STDERR, drops=True)


def drop_unwritable() -> None:
    """From now on, what stdout cannot take is dropped: a film is worth more than its path."""
    raw = _raw(sys.stdout)
    if raw is not None:
        raw.drops = True


def finish_streams() -> None:
    """Write what still waits, as `prepare_streams` says; at the end the interpreter is silent."""
    try:
        sys.stdout.flush()
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def exit_at_once(code: int) -> NoReturn:
    """Exit with this code and no other.

    A KeyboardInterrupt that passed through code run by an extension module leaves a mark in the
    interpreter, which then ends itself by SIGINT (-2) whatever `sys.exit` says.
    """
    with suppress(VidgenError, OSError):
        finish_streams()
    os._exit(code)


class _Descriptor(io.FileIO):
    """A descriptor that stays what it is when it can no longer be written to."""

    drops = False
    is_gone = False

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]  # FileIO's stub
        if self.is_gone:
            return len(data)
        try:
            return super().write(data) or 0
        except BlockingIOError:
            raise
        except OSError as error:
            if self.drops:
                self.is_gone = True
                return len(data)
            if isinstance(error, BrokenPipeError):  # `vidgen history | head`
                self.is_gone = True
                raise SystemExit(0) from error
            raise SetupError(
                "What was asked for cannot be written to stdout: {reason}.",
                hint="Free some space there, or send it somewhere else.",
                code="streams.stdout",
                reason=error.strerror or str(error),
            ) from error


def _open_descriptors() -> None:
    """Give /dev/null the numbers that are closed.

    Else the next file that is opened gets one, and what a library writes to stderr goes into it.
    """
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno != errno.EBADF:
                continue
            opened = os.open(os.devnull, os.O_RDONLY if number == STDIN else os.O_WRONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)


def _stream(stream: TextIO | None, number: int, *, drops: bool) -> TextIO:
    """The stream with our ways; one that is not the descriptor's own (a test's) as it is."""
    try:
        is_own = stream is None or stream.fileno() == number
    except (OSError, ValueError, AttributeError):
        is_own = False
    if stream is not None and (not is_own or _raw(stream) is not None):
        return stream
    raw = _Descriptor(number, "wb", closefd=False)
    raw.drops = drops
    is_screen = raw.isatty()
    if stream is not None:
        with suppress(OSError, ValueError):
            stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),  # type: ignore[type-var]  # the stub wants a writable mode's type
        encoding=stream.encoding if stream is not None else "utf-8",
        errors=ERRORS,
        line_buffering=is_screen or number == STDERR,
    )


def _raw(stream: object) -> _Descriptor | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Descriptor) else None


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    """The bytes of a file's name as they are; for other letters something that looks like them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    if error.encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        return text.encode("utf-8", "surrogateescape" if _is_bytes(text) else "replace"), error.end
    plain = text.translate(_STAND_INS).encode("ascii", "replace").decode("ascii")
    return plain, error.end


def _is_bytes(text: str) -> bool:
    """Whether all of it stands for bytes that are no UTF-8 (PEP 383)."""
    return all("\udc80" <= letter <= "\udcff" for letter in text)


def check_surroundings() -> None:
    """Refuse, or mend, what libraries would end the program for. Raises SetupError."""
    for name in ("COLUMNS", "LINES"):  # a shell's 0 would be believed
        if not os.environ.get(name, "1").isdecimal() or os.environ.get(name, "1").strip("0") == "":
            del os.environ[name]
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise SetupError(
            "The folder that this shell is in does not exist any more.",
            hint="Go to another one: cd.",
            code="paths.folder_gone",
        ) from error
