"""Batches, statistics and the form on the page: drawn, named, legible, and narrow enough."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.progress.serve.test_page_api import TOKEN
from tests.support import made_up_runs
from tests.support.browser import CONTRASTS, IN_A_BROWSER, is_text, page_of, playwright
from tests.support.serving import Run, Served, served
from vidgen.paths import Home

pytestmark = IN_A_BROWSER
LONG = "an endless_name_without_any_place_to_break_" * 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With three runs of ours, one that was foretold, and a batch with a failure."""
    home = Home(tmp_path_factory.mktemp("views"))
    made_up_runs.make_runs(home, 3)
    foretold = Run(home)
    foretold.write("stage_update", stage="initialized", status="completed", eta_seconds=2.0)
    foretold.write("progress_update", "complete")
    foretold.end()
    for event_type in ("complete", "error"):
        run = Run(home, request={"batch_id": LONG, "title": LONG})
        run.write("stage_update", event_type, error_code="face.none", message=LONG)
        run.end()
    with served(home, token=TOKEN, accepts_jobs=True) as server:
        yield server


@pytest.fixture(scope="module")
def shared(chromium: Any, server: Served) -> Iterator[Any]:
    """One page that is signed in, for all tests of this file."""
    with page_of(chromium) as page:
        page.goto(f"{server.url}/?token={TOKEN}")
        page.wait_for_selector("#shown:not([hidden])")
        yield page


@pytest.fixture
def page(shared: Any) -> Any:
    shared.set_viewport_size({"width": 1280, "height": 800})
    shared.emulate_media(color_scheme="light")
    shared.select_option("#language", "en")
    return shared


def open_view(page: Any, name: str) -> None:
    page.evaluate(f"location.hash = '#/{name}'")
    page.wait_for_selector(f"#{name}:not([hidden])")
    ready = {"stats": "#stats-stages tr >> nth=1", "batches": "#batches-list li"}.get(name)
    if ready:
        page.wait_for_selector(ready)


def test_the_figures_of_the_runs_are_drawn(page: Any) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Statistics").click()
    is_text(page, "#stats-head", "6 runs · 5 films · 1 failed")
    assert page.evaluate("document.activeElement.id") == "stats-title"
    assert page.title() == "Statistics – vidgen"
    assert page.get_by_role("row").count() >= 5
    assert page.get_by_role("rowheader", name="Finding the speaker").count() == 1
    speed = page.get_by_role("img", name="Oldest to newest run")
    assert speed.locator("circle").count() == 3
    foretold = page.get_by_role("img", name="Foretold (across) and actual time: mean error")
    assert foretold.locator("circle").count() == 1
    is_text(page, "#stats-failures li", "face.none× 1")


def test_a_batch_leads_to_its_films(page: Any, server: Served) -> None:
    open_view(page, "batches")
    bar = page.get_by_role("progressbar", name=LONG)
    assert bar.get_attribute("aria-valuenow") == "100"
    is_text(page, "#batches-list .under", "2 of 2 · 1 failed")
    widths = [part.evaluate("part => part.style.width") for part in bar.locator("div").all()]
    assert widths == ["50%", "50%"]  # what is there, and in red what failed
    page.locator("#batches-list").get_by_role("link", name=LONG).click()
    page.wait_for_selector("#batch:not([hidden])")
    playwright.expect(page.locator("#runs li")).to_have_count(2)
    page.goto(server.url)
    page.wait_for_selector("#shown:not([hidden])")


def test_what_a_screen_reader_is_told(page: Any) -> None:
    open_view(page, "new")
    snapshot = page.locator("body").aria_snapshot()
    for told in (
        '- navigation "Views"',
        '- link "New film"',
        '- navigation "Runs"',
        '- searchbox "Search"',
        '- combobox "Show"',
        '- checkbox "Follow the newest"',
        '- heading "New film" [level=1]',
        '- group "Options"',
        '- textbox "Words that are said"',
        '- combobox "Background"',
        '- checkbox "The person in the photo and the person who speaks have agreed to this film."',
        '- button "Make the film"',
    ):
        assert told in snapshot, told
    for name in ("Photo Choose a picture", "Voice Choose a recording"):
        assert page.get_by_role("button", name=name).get_attribute("type") == "file"


def test_every_control_is_reached_by_keyboard(page: Any) -> None:
    open_view(page, "new")
    page.evaluate("document.activeElement.blur(); document.querySelector('.skip').focus()")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
        if "send" in reached:
            break
    assert {"language", "search", "filter", "follow", "photo", "voice", "option-text",
            "option-head_motion", "agreed", "send"} <= reached  # fmt: skip


@pytest.mark.parametrize("view", ["stats", "batches", "new"])
def test_a_view_is_legible_and_fits_a_phone_in_every_language(page: Any, view: str) -> None:
    open_view(page, view)
    for scheme, language in (("light", "en"), ("dark", "ja"), ("dark", "zh")):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": 390, "height": 844})
        page.select_option("#language", language)
        is_text(page, f"#{view}-title", TITLES[view][language])
        assert page.evaluate("document.documentElement.scrollWidth") == 390, language
        assert page.evaluate(CONTRASTS) == [], scheme
        unsaid = "[...document.querySelectorAll('main *')].filter((e) => e.checkVisibility() "
        unsaid += "&& /^(page|refusal)[.]/.test(e.textContent)).map((e) => e.textContent)"
        assert page.evaluate(unsaid) == []


TITLES = {
    "stats": {"en": "Statistics", "ja": "統計", "zh": "统计"},
    "batches": {"en": "Batches", "ja": "バッチ", "zh": "批次"},
    "new": {"en": "New film", "ja": "新しい動画", "zh": "新建视频"},
}
