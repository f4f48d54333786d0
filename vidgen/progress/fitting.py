"""Text that fits so many cells of a terminal: cut, cropped or wrapped, wide letters counted right.

Knows nothing of runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells, set_cell_size


@dataclass(frozen=True, slots=True)
class Span:
    """Some text in one style, perhaps a link."""

    text: str
    style: str = ""
    link: str = ""


Line = tuple[Span, ...]


def shorten_path(path: str, cells: int, cut: str) -> str:
    """The path in so many cells: its beginning gives way, its name stays."""
    if cell_len(path) <= cells:
        return path
    kept = path
    while kept and cell_len(kept) > max(0, cells - 1):
        kept = kept[1:]
    return cut + kept


def wrap_text(text: str, cells: int) -> list[str]:
    """The text in rows of at most so many cells, broken between words where there are any."""
    rows, row = [], ""
    for word in text.split(" "):
        joined = f"{row} {word}" if row else word
        if cell_len(joined) <= cells:
            row = joined
            continue
        if row and (cell_len(word) <= cells or word.isascii()):
            rows.append(row)
            joined = word
        # A long word, or writing without spaces, is broken anywhere.
        *full, row = chop_cells(joined, cells) or [""]
        rows += full
    return [*rows, row]


def line_len(spans: Sequence[Span]) -> int:
    """Cells that the spans take beside one another."""
    return sum(cell_len(span.text) for span in spans)


def crop_spans(spans: Sequence[Span], cells: int, cut: str) -> list[Span]:
    """The spans in at most so many cells, with the sign `cut` where they end too early."""
    if line_len(spans) <= cells:
        return list(spans)
    kept: list[Span] = []
    room = max(0, cells - cell_len(cut))
    for span in spans:
        size = cell_len(span.text)
        if size > room:
            text = set_cell_size(span.text, room).rstrip(" ") + cut
            return [*kept, Span(text if cells > 0 else "", span.style, span.link)]
        kept.append(span)
        room -= size
    return kept
