"""The picture of `vidgen stats --plot`: where the time goes, how true the estimates were, and how
fast the runs became. Drawn by matplotlib, which is loaded only here.
"""

from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from vidgen.errors import InputError, SetupError
from vidgen.installation import install_command
from vidgen.progress.forecast.accuracy import MOMENTS
from vidgen.progress.history.stats import Stats
from vidgen.progress.views.text import percent, stage_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE: Final = (11.2, 6.4)  # inches
DOTS: Final = 200  # of a PNG, per inch
MOST_BARS: Final = 7
LEAST_ROWS: Final = 4  # a single bar is no thicker than one of these
DECADE: Final = 10  # the least range of a logarithmic axis: it has numbers then
INK, SOFT, FAINT = "#1f2933", "#6b7785", "#e3e7ec"
BLUE, PALE, AMBER, GREEN = "#2f7fb8", "#bcd8ea", "#d98a29", "#3c9d6b"


def save(stats: Stats, path: Path) -> None:
    """As the ending says, .svg or .png. Raises InputError for others and for unwritable paths,
    SetupError without matplotlib."""
    ending = path.suffix.lower().removeprefix(".")
    if ending not in ("svg", "png"):
        raise InputError(
            "A picture cannot be written as {path}.",
            hint="Use a name that ends in .svg or .png.",
            code="stats.plot_ending",
            path=str(path),
        )
    made = figure(stats)
    try:
        made.savefig(path, format=ending, dpi=DOTS)
    except OSError as error:
        raise InputError(
            "The picture {path} cannot be written: {reason}.",
            hint="Choose another place.",
            code="stats.plot_unwritable",
            path=str(path),
            reason=error.strerror or str(error),
        ) from error


def figure(stats: Stats) -> "Figure":
    """Three panels, in English: matplotlib's own letters know no Japanese and no Chinese.

    Raises SetupError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SetupError(
            "A picture of the statistics needs matplotlib, which is not installed.",
            hint="Install it: {command}",
            code="stats.plot_missing",
            command=install_command("plot"),
        ) from error
    made = Figure(figsize=SIZE, layout="constrained")  # without pyplot: no window, no global state
    made.suptitle(f"vidgen   {_head(stats)}", x=0.01, ha="left", color=INK)
    panels: dict[str, Axes] = made.subplot_mosaic(
        [["stages", "forecasts"], ["speed", "speed"]], height_ratios=[3, 2]
    )
    for panel in panels.values():
        panel.spines[:].set_visible(False)
        panel.tick_params(which="both", colors=SOFT, labelsize=8, length=0)
    _stages(panels["stages"], stats)
    _forecasts(panels["forecasts"], stats)
    _speed(panels["speed"], stats)
    return made


def _head(stats: Stats) -> str:
    finished, failed = (stats.states.get(state, 0) for state in ("complete", "failed"))
    parts = (
        _count(stats.runs, "run"),
        _count(finished, "video"),
        f"{failed} failed" * bool(failed),
    )
    return ", ".join(filter(None, parts))


def _stages(panel: "Axes", stats: Stats) -> None:
    """A bar per stage: its median, with a line over the middle half of its runs."""
    _title(panel, "Where the time goes", "median and middle half")
    longest = sorted(stats.stages, key=lambda stage: stage.median_seconds)[-MOST_BARS:]
    stages = [stage for stage in stats.stages if stage in longest]
    if not stages:
        _nothing(panel)
        return
    medians = [stage.median_seconds for stage in stages]
    around = [
        [max(0.0, s.median_seconds - s.low_seconds) for s in stages],
        [max(0.0, s.high_seconds - s.median_seconds) for s in stages],
    ]
    names = [
        f"{stage_name(s.stage, 'en')}\n"
        + " · ".join(filter(None, (s.backend, s.device, _count(s.runs, "run"))))
        for s in stages
    ]
    rows = range(len(stages))
    bars = panel.barh(rows, medians, 0.5, color=BLUE, xerr=around, ecolor=INK, capsize=3)
    panel.bar_label(bars, [_seconds(value) for value in medians], padding=6, color=INK, fontsize=9)
    panel.set_yticks(rows, names)
    panel.set_ylim(max(len(stages), LEAST_ROWS) - 0.5, -0.5)  # the first stage on top
    panel.margins(x=0.15)
    panel.xaxis.set_visible(False)


def _forecasts(panel: "Axes", stats: Stats) -> None:
    """A point per run at (foretold, actual), and a line up to its bound; on the diagonal all
    would be true."""
    _title(panel, "Foretold and actual", "at the start of each run")
    found = [(f.foretold, f) for f in stats.forecasts if f.foretold]
    if not found:
        _nothing(panel, "after two runs there is something to compare")
        return
    foretold = [at for at, _ in found]
    actual = [forecast.seconds for _, forecast in found]
    bounds = [forecast.upper or at for at, forecast in found]
    colours = [AMBER if forecast.is_kept is False else BLUE for _, forecast in found]
    panel.vlines(foretold, foretold, bounds, color=PALE, linewidth=3, zorder=1)
    panel.scatter(foretold, actual, 24, c=colours, zorder=3)
    least, most = min(foretold + actual), max(foretold + actual + bounds)
    reach = least / 1.3, max(most * 1.3, least * DECADE)
    panel.plot(reach, reach, color=SOFT, linewidth=1, zorder=2)
    panel.set(xscale="log", yscale="log", xlim=reach, ylim=reach)
    for axis, name in ((panel.xaxis, "foretold"), (panel.yaxis, "actual")):
        axis.set_label_text(name, color=SOFT, fontsize=8)
        axis.set_major_formatter(lambda value, _: _seconds(value))
        axis.set_minor_formatter("")
    panel.grid(color=FAINT)
    panel.text(
        0.03,
        0.97,
        _verdict(stats),
        transform=panel.transAxes,
        va="top",
        color=SOFT,
        fontsize=8,
        backgroundcolor="white",
    )


def _verdict(stats: Stats) -> str:
    known = [(at, e) for at, e in zip(MOMENTS, stats.accuracy.mape, strict=True) if e is not None]
    rows = []
    if known:
        at, errors = (
            " / ".join(f"{value:.0%}".rstrip("%") for value in values)
            for values in zip(*known, strict=True)
        )
        rows.append(f"mean error after {at} %: {errors} %")
    if stats.accuracy.coverage is not None:
        rows.append(f"{percent(stats.accuracy.coverage)} within the bound (amber: not)")
    return "\n".join(rows)


def _speed(panel: "Axes", stats: Stats) -> None:
    """A point per finished run, from the oldest to the newest."""
    _title(panel, "Speed", "run time / voice's length")
    runs = [
        (run.began, run.seconds / run.voice_seconds) for run in stats.finished if run.voice_seconds
    ]
    if not runs:
        _nothing(panel)
        return
    factors = [factor for _, factor in runs]
    panel.scatter(range(len(runs)), factors, 14, color=BLUE, zorder=3)
    panel.set_ylim(0, max(factors) * 1.15)
    panel.grid(axis="y", color=FAINT)
    if max(factors) >= 1:
        panel.axhline(1, color=GREEN, linewidth=1)
        panel.text(
            1, 1, "real time ", transform=panel.get_yaxis_transform(), ha="right", va="bottom",
            color=GREEN, fontsize=8,
        )  # fmt: skip
    panel.set_xticks(
        [0, len(runs) - 1] if len(runs) > 1 else [0],
        [_day(runs[at][0]) for at in {0, len(runs) - 1}],
    )
    panel.set_xlabel(f"oldest to newest, median {median(factors):.2g}", color=SOFT, fontsize=8)


def _title(panel: "Axes", title: str, note: str) -> None:
    panel.set_title(title, loc="left", color=INK, fontsize=11)
    panel.set_title(note, loc="right", color=SOFT, fontsize=8)


def _nothing(panel: "Axes", why: str = "no finished run yet") -> None:
    panel.text(0.5, 0.5, why, transform=panel.transAxes, ha="center", color=SOFT, fontsize=9)
    panel.set(xticks=[], yticks=[])


def _day(began: float) -> str:
    return datetime.fromtimestamp(began, UTC).strftime("%Y-%m-%d")


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 and value % 1 else f"{value:.0f} s"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
