"""The page with a full store: its list, its addresses, its door. One Chromium, one server."""

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.browser import IN_A_BROWSER, is_text, page_of, playwright
from tests.support.serving import Run, Served, served, wait_until
from vidgen.paths import Home

TOKEN = "a-token-of-enough-letters-for-a-test"
RUNS = 231
FIRST = "00000001-0000-4000-8000-000000000000"
# The smallest JPEG that browsers draw: one grey pixel.
PIXEL = bytes.fromhex(
    "ffd8ffdb004300030202020202030202020303030304060404040404080606050609080a0a090809090a0c0f0c0a0b"
    "0e0b09090d110d0e0f101011100a0c12131210130f101010ffc9000b080001000101011100ffcc000600101005ff"
    "da0008010100003f00d2cf20ffd9"
)

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """231 runs: each tenth failed with a picture, the others complete."""
    home = Home(tmp_path_factory.mktemp("full"))
    for number in range(1, RUNS + 1):
        run = Run(home, f"{number:08x}-0000-4000-8000-000000000000", {"title": f"take {number}"})
        run.write("stage_update", progress=65.0)
        if number % 10 == 0:
            (run.folder.previews / "rendering-50.jpg").write_bytes(PIXEL)
            run.write("error", message="The voice is silent.", failed_stage="rendering")
        else:
            run.write("complete")
        run.end()
    return home


@pytest.fixture(scope="module")
def server(full: Home) -> Iterator[Served]:
    with served(full) as server:
        yield server


@pytest.fixture(scope="module")
def shared(chromium: Any) -> Iterator[Any]:
    """One page for most tests of this file: a context of its own costs each a third of a second."""
    with page_of(chromium, viewport={"width": 1280, "height": 800}) as page:
        yield page


@pytest.fixture
def page(shared: Any) -> Any:
    shared.goto("about:blank")  # so that the next address is opened anew
    return shared


def is_in_view(page: Any, selector: str) -> bool:
    box = page.locator(selector).bounding_box()
    return bool(box and box["y"] >= 0 and box["y"] + box["height"] <= 800)


def refresh(page: Any) -> None:
    """Ask for the list now, as when the page comes to the front, and not in 3 s."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_a_run_far_down_the_list_is_shown_from_its_head_on(page: Any, server: Served) -> None:
    page.goto(server.url)
    row = page.locator("#runs li").nth(40)
    title = row.locator(".title").inner_text()
    page.evaluate("scrollTo(0, 500)")
    row.click()
    is_text(page, "#name", title)
    assert is_in_view(page, "#name")
    assert row.locator("a").get_attribute("aria-current") == "page"
    wait_until(lambda: page.evaluate("scrollY") == 0)


def test_the_list_brings_more_as_it_is_scrolled(page: Any, server: Served) -> None:
    page.goto(server.url)
    playwright.expect(page.locator("#runs li")).to_have_count(50)
    page.locator("#scroller").evaluate("box => box.scrollTo(0, box.scrollHeight)")
    playwright.expect(page.locator("#runs li")).to_have_count(150)
    assert page.evaluate("document.documentElement.scrollTop") == 0  # the page stays where it is


def test_runs_are_found_by_words_and_by_how_they_ended(page: Any, server: Served) -> None:
    page.goto(server.url)
    page.get_by_role("searchbox", name="Search").fill("take 23")
    playwright.expect(page.locator("#runs li")).to_have_count(5)  # 23, 123, 223, 230, 231
    is_text(page, "#found", "5 found")
    page.get_by_role("combobox", name="Show").select_option("Failed")
    playwright.expect(page.locator("#runs .title")).to_have_text(["take 230"])
    with page.expect_response(lambda answer: "/api/tasks?" in answer.url):
        refresh(page)
    playwright.expect(page.locator("#runs .title")).to_have_text(["take 230"])
    playwright.expect(page.get_by_role("combobox", name="Show")).to_have_value("failed")
    page.get_by_role("searchbox").fill("no such run")
    is_text(page, "#found", "Nothing found.")


def test_a_failed_run_says_why_in_its_row_and_keeps_its_bar(page: Any, server: Served) -> None:
    page.goto(f"{server.url}/#{10:08x}-0000-4000-8000-000000000000")
    page.get_by_role("combobox", name="Show").select_option("Failed")
    playwright.expect(page.locator("#runs li")).to_have_count(23)
    row = page.locator("#runs li").first
    assert row.locator(".words").inner_text() == "Failed · The voice is silent."
    wait_until(lambda: row.locator("img").evaluate("picture => picture.naturalWidth") == 1)
    is_text(page, "#percent", "65 %")
    assert page.get_by_role("progressbar").get_attribute("aria-valuenow") == "65"


def test_a_finished_run_is_shown_whole(page: Any, server: Served, full: Home) -> None:
    run = Run(full, "whole", {"title": "whole"})
    run.write("progress_update", time_progress=97.0)
    run.write("complete")
    run.end()
    page.goto(f"{server.url}/#whole")
    is_text(page, "#percent", "100 %")
    shutil.rmtree(run.folder.root)


def test_focus_and_place_stay_when_the_list_is_refreshed(
    page: Any, server: Served, full: Home
) -> None:
    page.goto(server.url)
    row = page.locator("#runs li").nth(20)
    row.locator("a").focus()
    page.keyboard.press("Enter")
    title = row.locator(".title").inner_text()
    is_text(page, "#name", title)
    scrolled = page.locator("#scroller").evaluate("box => box.scrollTop")
    newer = Run(full, request={"title": "newer"})
    newer.write("stage_update")
    refresh(page)
    playwright.expect(page.locator("#runs .title").first).to_have_text("newer")
    assert page.evaluate("document.activeElement.querySelector('.title').textContent") == title
    assert scrolled > 0
    assert is_in_view(page, "#runs a:focus")
    is_text(page, "#name", title)  # and the shown run stays
    newer.end()
    shutil.rmtree(newer.folder.root)


def test_the_newest_run_is_followed_until_another_is_chosen(
    page: Any, server: Served, full: Home
) -> None:
    page.goto(f"{server.url}/#{FIRST}")
    is_text(page, "#name", "take 1")
    page.get_by_role("checkbox", name="Follow the newest").check()
    newer = Run(full, request={"title": "newer"})
    newer.raw(newer.line(1, "stage_update").replace(b"2026-11-20", b"2027-01-01"))
    refresh(page)
    is_text(page, "#name", "newer")
    page.locator("#runs a", has_text="take 231").click()
    is_text(page, "#name", "take 231")
    assert not page.get_by_role("checkbox").is_checked()
    newer.end()
    shutil.rmtree(newer.folder.root)


def test_the_skip_link_leads_to_the_run_and_leaves_it_shown(page: Any, server: Served) -> None:
    page.goto(f"{server.url}/#{FIRST}")
    is_text(page, "#name", "take 1")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "run"
    is_text(page, "#name", "take 1")
    assert page.url.endswith(FIRST)


def test_an_unknown_run_is_said_to_be_unknown(page: Any, server: Served) -> None:
    for name in ("no-such-run", "<img src=x>", "%"):
        page.goto(f"{server.url}/#{name}")
        is_text(page, "#unknown-said", f"There is no run {name} on this server.")
    page.locator("#unknown").get_by_role("link", name="All runs").click()
    playwright.expect(page.locator("#unknown")).to_be_hidden()


def test_a_batch_that_is_not_there_is_said_to_be_so(page: Any, server: Served) -> None:
    page.goto(f"{server.url}/?batch=none")
    is_text(page, "#batch-said", "There is no such batch.")
    is_text(page, "#link", "")


def test_no_form_is_shown_where_no_orders_are_taken(page: Any, server: Served) -> None:
    page.goto(f"{server.url}/#/new")
    page.wait_for_selector("#closed:not([hidden])")
    assert not page.is_visible("#order")


def test_who_orders_where_none_are_taken_is_told(server: Served) -> None:
    for method, path in (("POST", "video-generation/generate"), ("DELETE", f"tasks/{FIRST}")):
        answer = httpx.request(method, f"{server.url}/api/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_orders")


def test_a_run_is_shown_whatever_its_id(page: Any, server: Served, full: Home) -> None:
    run = Run(full, "nightly.2", {"title": "by name"})
    run.write("complete")
    run.end()
    page.goto(f"{server.url}/#nightly.2")
    is_text(page, "#name", "by name")
    shutil.rmtree(run.folder.root)


def test_a_stale_link_leads_to_the_form(chromium: Any, tmp_path: Path) -> None:
    home = Home(tmp_path)
    Run(home, FIRST, {"title": "one"}).write("stage_update")
    with served(home, token=TOKEN) as locked, page_of(chromium) as page:
        page.goto(f"{locked.url}/?token={'x' * 40}#{FIRST}")
        is_text(page, "#door-said", "That is not this server's token.")
        assert page.url == f"{locked.url}/#{FIRST}"
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        is_text(page, "#name", "one")
        for again in (TOKEN, "x" * 40, ""):  # whoever is in stays in, and no token stays
            page.goto(f"{locked.url}/?lang=en&token={again}#{FIRST}")
            is_text(page, "#name", "one")
            assert page.url == f"{locked.url}/?lang=en#{FIRST}"


def test_the_address_keeps_no_token_where_none_is_needed(page: Any, server: Served) -> None:
    page.goto(f"{server.url}/?access_token={TOKEN}")
    is_text(page, "#state", "Done")
    assert TOKEN not in page.url


def test_the_list_is_narrowed_by_the_server(server: Served) -> None:
    def found(query: str) -> list[str]:
        tasks = httpx.get(f"{server.url}/api/tasks?limit=500&{query}").json()["tasks"]
        return [task["title"] for task in tasks]

    assert sorted(found("search=TAKE+100")) == ["take 100"]
    assert len(found("state=failed")) == 23
    assert len(found("state=failed&state=complete")) == RUNS
    assert found("state=running") == []
    assert len(found("search=silent")) == 23
    for query in ("state=odd", f"search={'x' * 201}"):
        assert httpx.get(f"{server.url}/api/tasks?{query}").status_code == 400


def test_a_file_among_the_runs_is_no_run(home: Home) -> None:
    """Windows and file managers leave theirs everywhere."""
    from vidgen.progress.serve.index import RunIndex

    (home.tasks / "Thumbs.db").write_bytes(b"pictures")
    (home.tasks / "job-1").mkdir()
    assert [task for _, task in RunIndex(home).newest()] == ["job-1"]


def test_a_store_that_fills_while_it_is_read_is_listed(full: Home) -> None:
    """Threads of two requests narrow the list at once."""
    from vidgen.progress.serve.index import RunIndex

    index, counts = RunIndex(full), list[int]()
    threads = [
        threading.Thread(target=lambda: counts.append(index.page(0, 5, "take")[0]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [RUNS] * 4
    assert re.fullmatch(r"take \d+", index.page(0, 1)[1][0]["title"])
