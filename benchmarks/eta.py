"""How well the estimator foretells runs: stored logs are lived through again, in order.

    python -m benchmarks.eta [HOME …]     made-up runs, and those of vidgen homes, as a table

Each run is foretold from the runs before it only. Made-up runs mix voices of 3 s to 3 min, noise
of 12 % per stage, a machine that is slower or faster from run to run, one cold start in ten.
Goals: from the start of a run, after five runs, an error of at most 20 %, and 65 to 85 % of the
runs within the bound; from the second run on, the median run's bar at most 10 points from the
share of its time that is over.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.made_up_runs import USUAL, judge, make_runs
from vidgen.paths import Home
from vidgen.progress.forecast.accuracy import MOMENTS, Forecast, accuracy

WARM_UP = 5  # runs that the estimator may learn from before it is judged
RUNS = 30  # of a made-up home
MACHINES = {"calm": 0.05, "usual": USUAL, "busy": 0.40}


def row(name: str, forecasts: Sequence[Forecast]) -> str:
    """A line of the table."""
    found = accuracy(forecasts)
    errors = [_percent(error) for error in found.mape]
    cells = [name, str(found.runs), *errors, _percent(found.coverage), f"{found.jumps_per_run:.2f}"]
    cells.append("–" if found.bar is None else f"{found.bar:.1f} points")
    return f"| {' | '.join(cells)} |"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def invented(spread: float, homes: int) -> list[Forecast]:
    """Forecasts of several made-up homes, each without its first runs."""
    forecasts: list[Forecast] = []
    for seed in range(homes):
        with tempfile.TemporaryDirectory() as folder:
            make_runs(Home(Path(folder)), RUNS, seed, spread)
            forecasts += judge(Home(Path(folder)))[WARM_UP:]
    return forecasts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("homes", nargs="*", type=Path, metavar="HOME")
    parser.add_argument("--seeds", type=int, default=6, help="made-up homes of each kind")
    wanted = parser.parse_args()
    moments = " | ".join(f"error at {_percent(share)}" for share in MOMENTS)
    print(f"| runs | judged | {moments} | within the bound | jumps up a run | bar off by |")
    print("|---" * (5 + len(MOMENTS)) + "|")
    for name, spread in MACHINES.items():
        about = f"made up, {name} machine (± {_percent(spread)}), from the {WARM_UP + 1}th"
        print(row(about, invented(spread, wanted.seeds)))
    for folder in wanted.homes:
        forecasts = judge(Home(folder))
        print(row(f"{folder.name}, from the 2nd", forecasts[1:]))
        print(row(f"{folder.name}, from the {WARM_UP + 1}th", forecasts[WARM_UP:]))


if __name__ == "__main__":
    main()
