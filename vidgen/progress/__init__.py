"""How far a run is: told, stored, foretold, shown, served, watched. Imports nothing by itself."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidgen.progress.reporter import Reporter

__all__ = ["Reporter"]


def __getattr__(name: str) -> Any:
    """`Reporter` is loaded when somebody asks for it."""
    if name == "Reporter":
        from vidgen.progress.reporter import Reporter

        return Reporter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
