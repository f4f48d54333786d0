"""How much of each folder of the package the tests run, of the report that `coverage json` writes.

    python -m benchmarks.folders .coverage.json

Goals (issue 14): 93 % in all, every folder at least 85 %.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

LEAST = 85.0  # percent, of a folder


def folders(report: Mapping[str, Any]) -> dict[str, float]:
    """folder → percent of its own files' lines; \"all\" last."""
    lines: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for name, about in sorted(report["files"].items()):
        for folder in (str(PurePosixPath(name.replace("\\", "/")).parent), "~all"):
            lines[folder] += about["summary"]["num_statements"]
            covered[folder] += about["summary"]["covered_lines"]
    return {
        folder.lstrip("~"): 100.0 * covered[folder] / count
        for folder, count in sorted(lines.items())
        if count
    }


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text())
    for folder, percent in folders(report).items():
        print(f"{folder:32}{percent:6.1f} %{'   below the goal' if percent < LEAST else ''}")


if __name__ == "__main__":
    main()
