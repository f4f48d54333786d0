"""The picture of `vidgen stats --plot`: where the time goes, how true the estimates were, and how
fast the runs became."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import ceil, floor, log10
from statistics import median
from typing import Final

from vidgen.progress.canvas import Box, Dot, Picture, Shape, Stroke, Words
from vidgen.progress.stats import StageStats, Stats
from vidgen.progress.words import stage_name

WIDTH, HEIGHT, MARGIN = 1120, 640, 40
INK, SOFT, FAINT, GROUND, PANEL = "#1f2933", "#6b7785", "#e3e7ec", "#f5f7fa", "#ffffff"
BLUE, PALE, AMBER, GREEN = "#2f7fb8", "#bcd8ea", "#d98a29", "#3c9d6b"
TITLE, LABEL, SMALL = 15.0, 12.0, 11.0
MOST_BARS: Final = 7


def picture(stats: Stats) -> Picture:
    """Three panels; in English and in simple signs: Pillow's own letters know no others."""
    finished = stats.states.get("complete", 0)
    head = f"{stats.runs} runs, {finished} videos"
    shapes: list[Shape] = [
        Words(MARGIN, 42, "vidgen", 20, INK),
        Words(MARGIN + 78, 42, head, 14, SOFT),
    ]
    half = (WIDTH - 3 * MARGIN) / 2
    right = 2 * MARGIN + half
    shapes += _panel(MARGIN, 64, half, 300, "Where the time goes", "median and middle half")
    shapes += _stages(stats.stages, MARGIN + 20, 130, half - 40, 214)
    shapes += _panel(right, 64, half, 300, "Foretold and actual", "at the start of each run")
    shapes += _forecasts(stats, right + 56, 126, half - 84, 196)
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
        made = " · ".join(filter(None, (stage.backend, stage.device, f"{stage.runs} runs")))
        yield Words(x, middle + 14, made, SMALL, SOFT)
        yield Box(x + names, middle - 7, max(2.0, size), 14, BLUE, 3)
        yield Stroke(x + names + low, middle, x + names + high, middle, INK, 1.5)
        for end in (low, high):
            yield Stroke(x + names + end, middle - 4, x + names + end, middle + 4, INK, 1.5)
        yield Words(x + width, middle + 4, _seconds(stage.median_seconds), LABEL, INK, "end")


def _forecasts(stats: Stats, x: float, y: float, width: float, height: float) -> Iterator[Shape]:
    points = [(f.foretold, f.seconds, f.is_kept) for f in stats.forecasts if f.foretold]
    if not points:
        yield _nothing(x, y, width, height, "after two runs there is something to compare")
        return
    values = [value for foretold, seconds, _ in points for value in (foretold, seconds)]
    least, most = 10 ** floor(log10(min(values))), 10 ** ceil(log10(max(values) * 1.001))

    def place(value: float, size: float) -> float:
        return size * log10(max(value, least) / least) / log10(most / least)

    for tick in _log_ticks(least, most):
        across, up = x + place(tick, width), y + height - place(tick, height)
        yield Stroke(across, y, across, y + height, FAINT)
        yield Stroke(x, up, x + width, up, FAINT)
        yield Words(across, y + height + 16, _seconds(tick), SMALL, SOFT, "middle")
        yield Words(x - 8, up + 4, _seconds(tick), SMALL, SOFT, "end")
    yield Stroke(x, y + height, x + width, y, SOFT, 1.0)
    for foretold, seconds, is_kept in points:
        colour = AMBER if is_kept is False else BLUE
        yield Dot(x + place(foretold, width), y + height - place(seconds, height), 4, colour)
    yield from _verdict(stats, x, y + height + 36)


def _verdict(stats: Stats, x: float, y: float) -> Iterator[Shape]:
    error, kept = stats.accuracy.mape[0], stats.accuracy.coverage
    said = [] if error is None else [f"mean error {error:.0%}"]
    if kept is not None:
        said.append(f"{kept:.0%} within the bound (amber: not)")
    yield Words(x, y, ", ".join(said), SMALL, SOFT)


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


def _log_ticks(least: float, most: float) -> Iterator[float]:
    """1, 3, 10, 30 … within the range."""
    tick = least
    while tick <= most * 1.001:
        yield tick
        if tick * 3 <= most:
            yield tick * 3
        tick *= 10


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10 … that is not below."""
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 and value % 1 else f"{value:.0f} s"
