"""Times, amounts and sentences for people, and how they fit into so many cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, chop_cells, set_cell_size

from vidgen.messages import harmless, say
from vidgen.progress.batch import THERE, BatchProgress, Film


def sentence(data: Mapping[str, Any], language: str) -> str:
    """An event's sentence in the reader's language, else the English one it came with."""
    code, otherwise = str(data.get("message_code", "")), str(data.get("message", ""))
    if language == "en" and otherwise:
        return harmless(otherwise)
    return harmless(say(code, data.get("metadata"), language, otherwise=otherwise))


def advice(data: Mapping[str, Any], language: str) -> str:
    """What an error's event says to do about it, in the reader's language; perhaps nothing."""
    code, otherwise = str(data.get("message_code", "")), str(data.get("hint") or "")
    if language == "en" or not otherwise:
        return harmless(otherwise)
    return harmless(say(f"{code}_hint", data.get("metadata"), language, otherwise=otherwise))


def doing(data: Mapping[str, Any], language: str) -> str:
    """What a stage is at: the event's own sentence, else the stage's name."""
    stage, code = str(data.get("stage", "")), str(data.get("message_code", ""))
    own = sentence(data, language) if code not in ("", f"stage.{stage}") else ""
    return own or stage_name(stage, language)


def label(key: str, language: str, **values: Any) -> str:
    """A word of the view's own, from the table `live`."""
    return say(f"live.{key}", values, language)


def stage_name(stage: str, language: str, otherwise: str = "") -> str:
    return harmless(say(f"stage.{stage}", None, language, otherwise=otherwise or stage))


def clock_time(seconds: float) -> str:
    """0:07, 12:34, 1:02:03."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float, language: str = "en") -> str:
    """A measured time: 0.8 s, 12.3 s, 2 min 05 s, 1 h 02 min."""
    if seconds < 59.95:
        return label("seconds", language, s=f"{max(0.0, seconds):.1f}")
    return _long(round(seconds), language)


def estimate_text(seconds: float, language: str = "en") -> str:
    """A time foretold, said no finer than it is known: 8 s, 45 s, 1 min 20 s, 12 min."""
    if seconds < 60:
        return label("seconds", language, s=f"{max(1, round(seconds))}")
    step = 5 if seconds < 300 else 60
    return _long(round(seconds / step) * step, language)


def _long(seconds: int, language: str) -> str:
    minutes, rest = divmod(seconds, 60)
    if minutes >= 60:
        hours, minutes = divmod(minutes, 60)
        return label("hours", language, h=hours, m=f"{minutes:02}")
    if not rest:
        return label("whole_minutes", language, m=minutes)
    return label("minutes", language, m=minutes, s=f"{rest:02}")


def remaining(seconds: float | None, upper: float | None, language: str = "en") -> str:
    """about 12 s, at most 15 s. Empty when nothing is known."""
    if seconds is None:
        return ""
    if seconds < 1:
        return label("nearly", language)
    about = estimate_text(seconds, language)
    most = estimate_text(upper, language) if upper is not None and upper > seconds else about
    if most == about:
        return label("about", language, eta=about)
    return label("about_at_most", language, eta=about, upper=most)


def count_text(data: Mapping[str, Any], language: str = "en") -> str:
    """What is done of what: 123/250 frames, 3.1/7.3 MB. Empty when there is nothing to count,
    without the unit when `language` is empty."""
    done, total, unit = data.get("done"), data.get("total"), str(data.get("unit", ""))
    if not isinstance(done, int | float) or not isinstance(total, int | float) or total <= 0:
        return ""
    if unit == "percent":  # the share says it already
        return ""
    if unit == "bytes":
        return f"{done / 1e6:.1f}/{total / 1e6:.1f} MB"
    whole = float(done).is_integer() and float(total).is_integer()
    numbers = f"{done:.0f}/{total:.0f}" if whole else f"{done:.1f}/{total:.1f}"
    return f"{numbers} {_unit(unit, language)}".rstrip() if language else numbers


def speed(data: Mapping[str, Any], language: str = "en", *, short: bool = False) -> str:
    """How fast it goes: 41 frames/s; 2.5 MB/s, about 3 s; 41/s when `short`. Empty if unknown."""
    rate, unit = data.get("rate"), str(data.get("unit", ""))
    if not isinstance(rate, int | float) or rate <= 0 or unit == "percent":
        return ""
    if unit == "bytes":
        left = data.get("transfer_eta_seconds") if not short else None
        text = f"{rate / 1e6:.1f} MB/s"
        return f"{text}, {remaining(left, None, language)}" if left else text
    number = f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
    return f"{number}/s" if short else f"{number} {_unit(unit, language)}/s"


def _unit(unit: str, language: str) -> str:
    return harmless(say(f"live.unit_{unit}", None, language, otherwise=unit))


def percent(share: float) -> str:
    """0.42 → 42 %."""
    return f"{100 * share:.0f} %"


def megabytes(value: float) -> str:
    """612 MB, 2.1 GB."""
    return f"{value:.0f} MB" if value < 1000 else f"{value / 1000:.1f} GB"


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


def batch_opening(progress: BatchProgress, language: str) -> str:
    """How many films there are, and how many are there."""
    counts = progress.counts
    values = {"total": progress.total, "there": sum(counts.get(s, 0) for s in THERE)}
    values["left"] = counts.get("waiting", 0) + counts.get("running", 0)
    return say("batch.opening", values, language)


def batch_failure(film: Film, language: str) -> tuple[str, str]:
    """What was wrong and what to do, in the reader's language."""
    code = film.message_code
    if language == "en" or not code:
        return film.message, film.hint
    said = say(code, film.details, language, otherwise=film.message)
    return said, say(f"{code}_hint", film.details, language, otherwise=film.hint)
