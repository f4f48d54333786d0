"""Other programs of this machine that show or change a file for its user."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vidgen.errors import SetupError
from vidgen.files import users_umask

OPENERS: Final = {"darwin": "open", "win32": "explorer"}  # elsewhere the freedesktop one
EDITORS: Final = ("sensible-editor", "nano", "vi", "notepad")


def show_file(file: Path, environ: Mapping[str, str] = os.environ) -> None:
    """In the program that its kind is opened with. Raises SetupError where there is none."""
    opener = shutil.which(OPENERS.get(sys.platform, "xdg-open"), path=environ.get("PATH"))
    if opener is None:
        raise SetupError(
            "There is no program here that shows films.",
            hint="The film is {path}.",
            code="desktop.no_player",
            path=str(file),
        )
    subprocess.Popen(  # noqa: S603  # the machine's own
        [opener, str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        umask=users_umask(),
    )


def edit_file(file: Path, environ: Mapping[str, str] = os.environ) -> None:
    """In $VISUAL or $EDITOR, else what is there; returns when it is closed. Raises SetupError."""
    named = environ.get("VISUAL") or environ.get("EDITOR")
    found = next(filter(shutil.which, EDITORS), "")
    words = shlex.split(named, posix=os.name != "nt") if named else [found]
    if not shutil.which(words[0], path=environ.get("PATH")):
        raise SetupError(
            "There is no editor here.",
            hint="Name one in EDITOR, or change the file yourself: {path}",
            code="desktop.no_editor",
            path=str(file),
        )
    subprocess.run([*words, str(file)], check=False, umask=users_umask())  # noqa: S603  # the user's own
