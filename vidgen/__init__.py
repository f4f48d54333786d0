"""A talking-head video from one portrait photo and one voice recording.

From Python: `vidgen.make(photo, voice)` makes a film, `vidgen.watch(urls)` follows runs of other
machines, `vidgen.Reporter` lets any program be watched. Importing this imports nothing of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from vidgen.version import __version__

if TYPE_CHECKING:
    from vidgen.errors import VidgenError
    from vidgen.film import Film, make
    from vidgen.progress.reporter import Reporter
    from vidgen.progress.watch.hosts import watch

__all__ = ["Film", "Reporter", "VidgenError", "__version__", "make", "watch"]

_HOMES: Final = {
    "Film": "vidgen.film",
    "Reporter": "vidgen.progress.reporter",
    "VidgenError": "vidgen.errors",
    "make": "vidgen.film",
    "watch": "vidgen.progress.watch.hosts",
}


def __getattr__(name: str) -> Any:
    """The names above are loaded when somebody asks for them."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
