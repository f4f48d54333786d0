"""The picture of `vidgen stats --plot`: where the time goes, how true the estimates were, and how
fast the runs became."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import floor, log10
from statistics import median
from typing import Final

from vidgen.progress.accuracy import MOMENTS
from vidgen.progress.canvas import Box, Dot, Picture, Shape, Stroke, Words
from vidgen.progress.stats import StageStats, Stats
from vidgen.progress.words import percent, stage_name

WIDTH, HEIGHT, MARGIN = 1120, 640, 40
INK, SOFT, FAINT, GROUND, PANEL = "#1f2933", "#6b7785", "#e3e7ec", "#f5f7fa", "#ffffff"
BLUE, PALE, AMBER, GREEN = "#2f7fb8", "#bcd8ea", "#d98a29", "#3c9d6b"
TITLE, LABEL, SMALL = 15.0, 12.0, 11.0
MOST_BARS: Final = 7


def picture(stats: Stats) -> Picture:
    """Three panels; in English and in simple signs: Pillow's own letters know no others."""
    finished, failed = (stats.states.get(state, 0) for state in ("complete", "failed"))
    told = (_count(stats.runs, "run"), _count(finished, "video"), f"{failed} failed" * bool(failed))
    head = ", ".join(filter(None, told))
    shapes: list[Shape] = [
        Words(MARGIN, 42, "vidgen", 20, INK),
        Words(MARGIN + 78, 42, head, 14, SOFT),
    ]
    half = (WIDTH - 3 * MARGIN) / 2
    right = 2 * MARGIN + half
    shapes += _panel(MARGIN, 64, half, 300, "Where the time goes", "median and middle half")
    shapes += _stages(stats.stages, MARGIN + 20, 130, half - 40, 214)
    shapes += _panel(right, 64, half, 300, "Foretold and actual", "at the start of each run")
    shapes += _forecasts(stats, right + 56, 122, half - 84, 184)
    shapes += _panel(MARGIN, 388, WIDTH - 2 * MARGIN, 220, "Speed", "run time / voice's length")
    shapes += _speed(stats, MARGIN + 56, 446, WIDTH - 2 * MARGIN - 84, 118)
    return Picture(WIDTH, HEIGHT, GROUND, shapes)


def _panel(
    x: float, y: float, width: float, height: float, title: str, note: str
) -> Iterator[Shape]:
    yield Box(x, y, width, height, PANEL, 8)
    yield Words(x + 20, y + 32, title, TITLE, INK)
    yield Words(x + width - 20, y + 32, note, SMALL, SOFT, "end")


def _stages(
    stages: Sequence[StageStats], x: float, y: float, width: float, height: float
) -> Iterator[Shape]:
    shown = sorted(stages, key=lambda s: s.median_seconds)[-MOST_BARS:]
    shown = [stage for stage in stages if stage in shown]
    if not shown:
        yield _nothing(x, y, width, height)
        return
    names, numbers = 168.0, 60.0
    room = width - names - numbers
    longest = max(stage.high_seconds for stage in shown) or 1.0
    step = min(52.0, height / len(shown))
    for at, stage in enumerate(shown):
        middle = y + step * (at + 0.5)
        size = room * stage.median_seconds / longest
        low, high = (room * v / longest for v in (stage.low_seconds, stage.high_seconds))
        yield Words(x, middle, stage_name(stage.stage, "en"), LABEL, INK)
        made = " · ".join(filter(None, (stage.backend, stage.device, _count(stage.runs, "run"))))
        yield Words(x, middle + 14, made, SMALL, SOFT)
        yield Box(x + names, middle - 7, max(2.0, size), 14, BLUE, 3)
        yield Stroke(x + names + low, middle, x + names + high, middle, INK, 1.5)
        for end in (low, high):
            yield Stroke(x + names + end, middle - 4, x + names + end, middle + 4, INK, 1.5)
        yield Words(x + width, middle + 4, _seconds(stage.median_seconds), LABEL, INK, "end")


def _forecasts(stats: Stats, x: float, y: float, width: float, height: float) -> Iterator[Shape]:
    """A point per run at (foretold, actual), and a line up to its bound; on the diagonal all
    would be true."""
    points = [found for found in stats.forecasts if found.foretold]
    if not points:
        yield _nothing(x, y, width, height, "after two runs there is something to compare")
        return
    values = [v for f in points for v in (f.foretold, f.seconds, f.upper) if v]
    ticks = _log_ticks(min(values), max(values))

    def place(value: float, size: float) -> float:
        return size * log10(max(value, ticks[0]) / ticks[0]) / log10(ticks[-1] / ticks[0])

    for tick in ticks:
        across, up = x + place(tick, width), y + height - place(tick, height)
        yield Stroke(across, y, across, y + height, FAINT)
        yield Stroke(x, up, x + width, up, FAINT)
        yield Words(across, y + height + 16, _seconds(tick), SMALL, SOFT, "middle")
        yield Words(x - 8, up + 4, _seconds(tick), SMALL, SOFT, "end")
    yield Words(x + 6, y + 14, "actual", SMALL, SOFT)
    yield Words(x + width - 6, y + height - 6, "foretold", SMALL, SOFT, "end")
    yield Stroke(x, y + height, x + width, y, SOFT, 1.0)
    for found in points:
        across = x + place(found.foretold or 0.0, width)
        if found.upper:
            bound = y + height - place(found.upper, height)
            yield Stroke(
                across, y + height - place(found.foretold or 0.0, height), across, bound, PALE, 3
            )
    for found in points:
        colour = AMBER if found.is_kept is False else BLUE
        across = x + place(found.foretold or 0.0, width)
        yield Dot(across, y + height - place(found.seconds, height), 4, colour)
    yield from _verdict(stats, x - 36, y + height + 35)


def _verdict(stats: Stats, x: float, y: float) -> Iterator[Shape]:
    known = [(at, e) for at, e in zip(MOMENTS, stats.accuracy.mape, strict=True) if e is not None]
    said = []
    if known:
        at, errors = (
            " / ".join(f"{v:.0%}".rstrip("%") for v in values)
            for values in zip(*known, strict=True)
        )
        said.append(f"mean error after {at} %: {errors} %")
    if stats.accuracy.coverage is not None:
        said.append(f"{percent(stats.accuracy.coverage)} within the bound (amber: not)")
    for row, text in enumerate(said):
        yield Words(x, y + 16 * row, text, SMALL, SOFT)


def _speed(stats: Stats, x: float, y: float, width: float, height: float) -> Iterator[Shape]:
    factors = [
        (run.began, run.seconds / run.voice_seconds) for run in stats.finished if run.voice_seconds
    ]
    if not factors:
        yield _nothing(x, y, width, height)
        return
    top = _round_up(max(factor for _, factor in factors))
    for tick in (0.0, top / 2, top):
        up = y + height - height * tick / top
        yield Stroke(x, up, x + width, up, FAINT)
        yield Words(x - 8, up + 4, f"{tick:g}", SMALL, SOFT, "end")
    if top >= 1:
        one = y + height - height / top
        yield Stroke(x, one, x + width, one, GREEN, 1.0)
        yield Words(x + width, one - 5, "real time", SMALL, GREEN, "end")
    step = width / max(1, len(factors) - 1)
    for at, (_, factor) in enumerate(factors):
        yield Dot(x + at * step, y + height - height * factor / top, 3.5, BLUE)
    usual = median(factor for _, factor in factors)
    first, last = (
        datetime.fromtimestamp(began, UTC).strftime("%Y-%m-%d")
        for began in (factors[0][0], factors[-1][0])
    )
    yield Words(x, y + height + 24, first, SMALL, SOFT)
    yield Words(x + width, y + height + 24, last, SMALL, SOFT, "end")
    said = f"oldest to newest, median {usual:.2g}"
    yield Words(x + width / 2, y + height + 24, said, SMALL, SOFT, "middle")


def _nothing(
    x: float, y: float, width: float, height: float, why: str = "no finished run yet"
) -> Shape:
    return Words(x + width / 2, y + height / 2, why, LABEL, SOFT, "middle")


def _log_ticks(least: float, most: float) -> list[float]:
    """1, 3, 10, 30 … around the range; at least two."""
    steps = [step * 10.0**power for power in range(-2, 6) for step in (1, 3)]
    first = max(at for at, step in enumerate(steps) if step <= max(least, steps[0]))
    last = next((at for at, step in enumerate(steps) if step >= most), len(steps) - 1)
    return steps[first : max(last, first + 1) + 1]


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10 … that is not below."""
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 and value % 1 else f"{value:.0f} s"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
