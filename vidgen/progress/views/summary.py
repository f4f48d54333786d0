"""What stays on the screen: messages and pictures above the moving part, and a run's end."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vidgen.messages import harmless
from vidgen.progress.views.layout import (
    Viewport,
    fit_line,
    heading,
    join_parts,
    link,
    paragraph,
    stage_line,
    uri,
)
from vidgen.progress.views.state import RunState
from vidgen.progress.views.text import (
    Line,
    Span,
    advice,
    clock_time,
    crop_spans,
    duration,
    label,
    line_len,
    megabytes,
    sentence,
    stage_name,
)

ROOM_BESIDE: Final = 24  # cells beside a picture for what it shows


def message(data: Mapping[str, Any], page: Viewport) -> list[Line]:
    """A log event as lines that stay above the picture: a sign, then the sentence, wrapped."""
    level = str(data.get("level", "INFO"))
    sign, style = {
        "ERROR": (page.glyphs.failed, "bold red"),
        "WARNING": (page.glyphs.warning, "bold yellow"),
    }.get(level, (page.glyphs.info, "cyan"))
    return paragraph(sign, style, sentence(data, page.language), "", page)


def beside(data: Mapping[str, Any], page: Viewport) -> list[Line]:
    """What a picture shows, and its file: the lines beside a preview."""
    name, path = str(data.get("name", "")), str(data.get("path", ""))
    percent = name.removeprefix("rendering-")
    about = label("cutout", page.language) if name == "cutout" else harmless(name)
    if percent.isdigit():
        about = label("frame_at", page.language, percent=percent)
    file = Span(harmless(Path(path).name), "dim", uri(path))
    room, cut = ROOM_BESIDE - 2, page.glyphs.cut
    return [tuple(crop_spans([span], room, cut)) for span in (Span(about, "dim"), file)]


def summary(state: RunState, page: Viewport, *, says_errors: bool) -> list[Line]:
    """What stays on the screen at the end: the stages where there is room, then the outcome."""
    lines: list[Line] = []
    if page.is_roomy:
        lines += [(), heading(state, page), ()]
        done = [row for row in state.stages.values() if row.mark != "waiting"]
        lines += [stage_line(row, state, page, 0.0) for row in done]
        lines += [()] if done else []
    lines += _outcome(state, page, says_errors)
    return [fit_line(line, page) for line in lines[-max(1, page.height - 1) :]]


def _outcome(state: RunState, page: Viewport, says_errors: bool) -> list[Line]:
    end, language = state.end, page.language
    if end is None:
        return [join_parts([label("elapsed", language, time=clock_time(state.elapsed()))], page)]
    if end.event_type == "complete":
        return _completion(end.data, state, page)
    stopped = [
        stage_name("failed" if end.event_type == "error" else "cancelled", language),
        label("stopped_at", language, percent=f"{state.percent:.0f}") if state.percent else "",
        clock_time(state.elapsed()),
    ]
    if not page.is_narrow:
        stopped.append(label("run", language, task=state.task_id[:8]))
    style = "bold red" if end.event_type == "error" else "yellow"
    lines = [join_parts(stopped, page, style)]
    if not says_errors:
        return lines
    if end.event_type == "error":
        lines += paragraph(page.glyphs.failed, "bold red", sentence(end.data, language), "", page)
        if hint := advice(end.data, language):
            lines += paragraph(" ", "", hint, "dim", page)
    if again := str(end.data.get("resume_command") or ""):
        lines.append(join_parts([f"{label('resume', language)}  {harmless(again)}"], page, ""))
    return lines


def _completion(data: Mapping[str, Any], state: RunState, page: Viewport) -> list[Line]:
    language = page.language
    seconds = float(data.get("duration_seconds") or state.elapsed())
    facts = [label("in_time", language, time=duration(seconds, language))]
    voice = (data.get("metadata") or {}).get("voice_seconds") or state.request.get("voice_seconds")
    if voice:
        facts.append(label("real_time", language, factor=f"{seconds / float(voice):.1f}"))
    if peak := (data.get("metadata") or {}).get("peak_memory_mb"):
        facts.append(label("peak", language, amount=megabytes(float(peak))))
    path = str(data.get("video_path", ""))
    sign = page.glyphs.completed
    name = f"{sign} {label('video', language)}"
    return [link(name, path, page, "bold green"), *_facts(facts, page)]


def _facts(facts: Sequence[str], page: Viewport) -> Iterator[Line]:
    """The facts on one line, or on one each where they do not fit."""
    line = join_parts(["  " + facts[0], *facts[1:]], page)
    if line_len(line) <= page.inner:
        yield line
    else:
        yield from (join_parts(["  " + fact], page) for fact in facts)
