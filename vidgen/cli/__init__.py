"""The command line. Each command reads its arguments, calls one thing and prints one thing.

stdout carries results only, stderr everything said. Nothing heavy is imported at the top of
these files: `--help` and `history` must answer at once.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from vidgen.cli import make, watch, care  # isort: skip  # --help lists them in this order
from vidgen.cli.base import app, tell
from vidgen.errors import Cancelled, VidgenError

__all__ = ["app", "care", "main", "make", "watch"]


def main(arguments: Sequence[str] | None = None) -> None:
    """`vidgen`. Tells a VidgenError once, in two plain lines, and exits with its code."""
    try:
        app(args=_with_values(sys.argv[1:] if arguments is None else arguments))
    except Cancelled as error:
        tell(error)
        _leave(error.exit_code)
    except VidgenError as error:
        tell(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _leave(Cancelled.exit_code)
    except BrokenPipeError:  # `vidgen history | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _with_values(arguments: Sequence[str]) -> list[str]:
    """The bare `--serve` of a run gets its empty value: Typer knows no option with one or none."""
    if "replay" in arguments[:3]:  # there it is a switch
        return list(arguments)
    return ["--serve=" if word == "--serve" else word for word in arguments]


def _leave(code: int) -> NoReturn:
    """Exit with this code and no other.

    A KeyboardInterrupt that passed through code run by an extension module leaves a mark in the
    interpreter, which then ends itself by SIGINT (-2) whatever `sys.exit` says.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
