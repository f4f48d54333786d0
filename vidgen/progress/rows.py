"""What every line of a view is made of: the page it must fit, its signs, its parts.

What the lines say is the business of `layout` and `ending`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vidgen.progress.fitting import Line, Span, crop_spans, line_len, shorten_path, wrap_text
from vidgen.progress.words import harmless, label

WIDEST: Final = 100  # wider bars say no more
NARROW: Final = 60  # below: one column less, no notes, no bars inside stages
FULL_HEIGHT: Final = 16  # from here on there is room for a heading and blank lines


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The signs of a view, one cell each."""

    completed: str
    running: str
    waiting: str
    skipped: str
    reused: str
    failed: str
    warning: str
    info: str
    full: str
    half: str
    empty: str
    dot: str
    cut: str


UNICODE: Final = Glyphs("✓", "▸", "·", "–", "↺", "✗", "!", "i", "━", "╸", "━", "·", "…")
ASCII: Final = Glyphs("+", ">", ".", "-", "=", "x", "!", "i", "#", "#", "-", "-", "~")

STYLES: Final = {
    "completed": "green",
    "running": "bold cyan",
    "waiting": "dim",
    "skipped": "dim",
    "reused": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "interrupted": "yellow",
}


@dataclass(frozen=True, slots=True)
class Viewport:
    """Where to draw: cells, the signs and the language. `title` names the run's inputs."""

    width: int
    height: int
    glyphs: Glyphs = UNICODE
    language: str = "en"
    title: str = ""

    @property
    def inner(self) -> int:
        """Usable cells: the last column stays free, where terminals differ about wrapping."""
        return max(8, min(WIDEST, self.width - 1))

    @property
    def is_narrow(self) -> bool:
        return self.inner < NARROW

    @property
    def is_roomy(self) -> bool:
        return self.height >= FULL_HEIGHT and not self.is_narrow

    @property
    def margin(self) -> int:
        return 2 if self.is_roomy else 0


def join_parts(parts: Sequence[str], page: Viewport, style: str = "dim") -> Line:
    text = f" {page.glyphs.dot} ".join(part for part in parts if part)
    return (Span(" " * page.margin), Span(text, style)) if text else ()


def link(name: str, path: str, page: Viewport, style: str = "dim") -> Line:
    """A path, cut in its middle when it is long; the link holds all of it."""
    head = [Span(" " * page.margin), Span(f"{name}  ", style)]
    room = page.inner - line_len(head)
    return (*head, Span(shorten_path(harmless(path), room, page.glyphs.cut), "", uri(path)))


def uri(path: str) -> str:
    if path.startswith(("http://", "https://")):  # a file of another machine
        return harmless(path)
    try:
        return Path(path).absolute().as_uri()
    except (ValueError, OSError):
        return ""


def paragraph(sign: str, style: str, text: str, ink: str, page: Viewport) -> list[Line]:
    left = " " * page.margin
    rows = wrap_text(text, page.inner - page.margin - 2)
    first = (Span(left), Span(f"{sign} ", style), Span(rows[0], ink))
    return [first, *((Span(left + "  "), Span(row, ink)) for row in rows[1:])]


def justify(left: Sequence[Span], right: Sequence[Span], page: Viewport) -> Line:
    """Left part, then the right part at the right edge; the left one gives way."""
    room = page.inner - page.margin
    ends = line_len(right)
    kept = crop_spans(left, room - ends - (1 if ends else 0), page.glyphs.cut)
    used = line_len(kept)
    fill = " " * (room - used - ends) if ends else ""
    return (Span(" " * page.margin), *kept, Span(fill), *right)


def fit_line(line: Line, page: Viewport) -> Line:
    """Never wider than the page, without spaces at the end, whatever the words were."""
    kept = crop_spans(line, page.inner, page.glyphs.cut)
    while kept and not kept[-1].text.strip(" "):
        kept.pop()
    return tuple(span for span in kept if span.text)


def preview_link(data: Mapping[str, Any], page: Viewport) -> Line:
    return fit_line(link(label("preview", page.language), str(data.get("path", "")), page), page)
