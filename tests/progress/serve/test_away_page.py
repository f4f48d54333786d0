"""The page of a run whose machine goes away and comes back, in a real Chromium."""

from pathlib import Path
from typing import Any

from tests.progress.sources.test_servers import serving_all, turn_off
from tests.support.browser import IN_A_BROWSER, is_text, page_of
from tests.support.lines import line_to
from tests.support.serving import Run, listed, served, wait_until
from vidgen.paths import Home

pytestmark = IN_A_BROWSER


def test_an_open_run_is_not_live_while_its_machine_is_away(
    chromium: Any, home: Home, tmp_path: Path
) -> None:
    far = Home(tmp_path / "far")
    far.tasks.mkdir(parents=True)
    run = Run(far)
    run.write("stage_update", progress=65.0)
    with (
        served(far) as there,
        line_to(there.port) as line,
        serving_all(home, line.url) as here,
        page_of(chromium) as page,
    ):
        wait_until(lambda: run.id in listed(here))
        page.goto(f"{here.url}/#{run.id}")
        is_text(page, "#link", "Live")
        turn_off(line)
        is_text(page, "#link", f"127.0.0.1:{line.port} is out of reach")
        line.is_dead = False
        is_text(page, "#link", "Live")
