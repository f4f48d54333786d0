"""Keep the store for its owner's eyes: photos, voices and films of people lie in it.

A lock file that others may open could also be held by them, and stop a run. Says nothing of who
may watch over the network; that is the server's business.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from vidgen.errors import SetupError
from vidgen.files import OTHERS, make_private, restrict
from vidgen.paths import Home

# What vidgen puts into its home. A home with anything else in it is somebody's own folder, and
# only what is vidgen's is closed to others.
OWN_NAMES: Final = frozenset({
    *("tasks", "models", "cache", "sources", "batches", "servers", "orders", "ray", "demo"),
    *("did-times.json", "templates.jsonl", "batch.log"),
})  # fmt: skip


def secure_store(home: Home) -> None:
    """Make the store's folders 0700 and what is in them 0600, those of earlier versions too.

    Raises SetupError when the store is another user's, or cannot be made.
    """
    try:
        for folder in (home.root, home.tasks, home.models):
            make_private(folder)
        if os.name == "posix":
            _restrict_all(home)
    except OSError as error:
        raise not_ours(home, error) from error


def not_ours(home: Home, error: OSError) -> SetupError:
    return SetupError(
        "The folder {path} cannot be used: {reason}.",
        hint="Name a folder of your own in VIDGEN_HOME.",
        code="history.not_ours",
        path=str(home.root),
        reason=error.strerror or str(error),
    )


def _restrict_all(home: Home) -> None:
    """From the inside out, so that what was broken off begins again the next time."""
    if _is_open(home.tasks):
        for path in _contents(home.tasks):
            with suppress(FileNotFoundError):  # a run may be at work
                restrict(path)
    restrict(home.tasks)
    restrict(home.models)
    if _is_own(home.root):
        restrict(home.root)


def _is_open(folder: Path) -> bool:
    return bool(stat.S_IMODE(folder.stat().st_mode) & OTHERS)


def _contents(folder: Path) -> Iterator[Path]:
    """Everything below; follows no link."""
    for root, folders, files in os.walk(folder):
        for name in (*files, *folders):
            yield Path(root, name)


def _is_own(root: Path) -> bool:
    """Whether the folder is vidgen's alone, and so may be closed."""
    shared = {Path("/"), Path.home(), Path(tempfile.gettempdir()).resolve()}
    if root.resolve() in shared or root.stat().st_mode & stat.S_ISVTX:
        return False
    return set(os.listdir(root)) <= OWN_NAMES  # noqa: PTH208  # names, no Paths
