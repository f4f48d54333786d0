"""Ordering films on the page, ending and removing them. One Chromium, one server."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.progress.serve.test_jobs import JPEG, WAV, quick_jobs
from tests.progress.serve.test_page_api import TOKEN, cancel_all
from tests.support.browser import IN_A_BROWSER, is_text, page_of, playwright
from tests.support.serving import Run, Served, served, wait_until
from vidgen.paths import Home

PHOTO = {"name": "anna.jpg", "mimeType": "image/jpeg", "buffer": JPEG}
VOICE = {"name": "hello.wav", "mimeType": "audio/wav", "buffer": WAV}

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("ordered"))


@pytest.fixture(scope="module")
def seconds() -> list[float]:
    """How long the stand-in for a run takes; change the one number."""
    return [0.1]


@pytest.fixture(scope="module")
def server(store: Home, seconds: list[float]) -> Iterator[Served]:
    jobs = quick_jobs(store, seconds, upload_bytes=1_000_000)
    with served(store, token=TOKEN, accepts_jobs=True, jobs=jobs) as server:
        yield server
        cancel_all(server, jobs)


@pytest.fixture(scope="module")
def shared(chromium: Any, server: Served) -> Iterator[Any]:
    """One page that is signed in, for most tests of this file."""
    with page_of(chromium) as page:
        page.goto(f"{server.url}/?token={TOKEN}")
        yield page


@pytest.fixture
def page(shared: Any, server: Served) -> Any:
    shared.unroute_all()
    shared.goto("about:blank")  # so that the next address is opened anew
    shared.goto(f"{server.url}/?lang=en#/new")
    shared.wait_for_selector("#new:not([hidden])")
    return shared


def fill(page: Any, photo: Any = PHOTO, voice: Any = VOICE) -> None:
    page.get_by_label("Photo", exact=False).first.set_input_files(photo)
    page.locator("#voice").set_input_files(voice)
    page.get_by_role("checkbox", name="have agreed to this film").check()


def send(page: Any) -> None:
    page.get_by_role("button", name="Make the film").click()


def test_a_film_is_ordered_with_its_options(page: Any) -> None:
    fill(page)
    page.get_by_label("Shape").select_option("1:1")
    page.get_by_label("Background").select_option("A colour")
    page.locator("#colour").fill("#20a040")
    page.get_by_label("Words that are said").fill("Hello there.")
    page.get_by_label("Mouth movement").fill("1.3")
    send(page)
    is_text(page, "#state", "Done")
    task = page.url.partition("#")[2]
    ended = page.evaluate(f"fetch('api/tasks/{task}').then((a) => a.json())")["end"]
    options = ["Hello there.", "#20a040", "1:1", "1.3"]
    assert ended["metadata"]["arguments"] == ["anna.jpg", "hello.wav", "video.mp4", *options]


def test_nothing_is_sent_before_the_people_have_agreed(page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    fill(page)
    page.get_by_role("checkbox", name="have agreed").uncheck()
    send(page)
    assert page.evaluate("document.querySelector('#agreed').matches(':invalid')")
    assert "POST" not in asked


def test_files_may_be_dropped_anywhere(page: Any) -> None:
    page.goto(page.url.partition("#")[0])
    page.wait_for_selector("#to-new:not([hidden])")
    page.evaluate("""() => {
      const held = new DataTransfer();
      held.items.add(new File([new Uint8Array(9)], "talk.mp3", { type: "audio/mpeg" }));
      held.items.add(new File([new Uint8Array(2000)], "ben.png", { type: "image/png" }));
      document.body.dispatchEvent(
        new DragEvent("drop", { dataTransfer: held, bubbles: true, cancelable: true }));
    }""")
    is_text(page, "#photo-name", "ben.png · 0.0 MB")
    is_text(page, "#voice-name", "talk.mp3 · 0.0 MB")
    assert page.url.endswith("#/new")
    assert page.evaluate("document.querySelector('#photo').files[0].name") == "ben.png"


def test_what_the_server_refuses_is_said_in_a_sentence(page: Any) -> None:
    fill(page, photo={**PHOTO, "buffer": b"no picture at all"})
    send(page)
    is_text(page, "#order-said", "The photo is of no kind that is known here.")
    page.locator("#photo").set_input_files(PHOTO)
    page.get_by_label("Background").select_option("transparent")
    send(page)
    playwright.expect(page.locator("#order-said")).to_contain_text("An mp4 cannot be transparent.")
    page.select_option("#language", "ja")
    page.locator("#option-background").select_option("keep")
    page.locator("#photo").set_input_files({**PHOTO, "buffer": b"no picture"})
    page.locator("#send").click()
    playwright.expect(page.locator("#order-said")).to_contain_text("対応していない種類")


def test_files_that_are_too_large_are_not_sent(page: Any) -> None:
    fill(page, photo={**PHOTO, "buffer": JPEG + bytes(1_200_000)})
    send(page)
    is_text(page, "#order-said", "Photo and voice have 1.2 MB; this server takes 1.0 MB.")


def test_an_upload_is_stopped(page: Any) -> None:
    page.route("**/generate", lambda _: None)  # a line on which nothing comes through
    fill(page)
    send(page)
    page.get_by_role("button", name="Stop sending").click()
    is_text(page, "#order-said", "Nothing was sent.")
    assert page.get_by_role("button", name="Make the film").is_enabled()
    assert page.evaluate("document.querySelector('#photo').files.length") == 1  # to try again


def test_runs_wait_are_cancelled_and_removed(page: Any, store: Home, seconds: list[float]) -> None:
    seconds[0] = 30.0
    fill(page)
    send(page)
    is_text(page, "#state", "Running")
    first = page.url.partition("#")[2]
    page.get_by_role("link", name="New film").click()
    fill(page)
    send(page)
    is_text(page, "#message", "Waiting: number 1 in the queue")
    playwright.expect(page.locator("#runs a[aria-current] .words")).to_have_text(
        "Waiting: number 1 in the queue"
    )
    page.get_by_role("button", name="Cancel the run").click()
    is_text(page, "#state", "Cancelled")
    page.goto(page.url.partition("#")[0] + f"#{first}")
    is_text(page, "#id", first[:8])
    page.get_by_role("button", name="Cancel the run").click()
    is_text(page, "#state", "Cancelled")
    wait_until(lambda: not (store.task(first).root / "job.json").exists())
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep").click()
    assert store.task(first).root.is_dir()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    wait_until(lambda: not store.task(first).root.exists())
    playwright.expect(page.locator("#runs a", has_text=first[:8])).to_have_count(0)


def test_a_run_that_cannot_be_ended_here_says_so(page: Any, store: Home) -> None:
    run = Run(store, request={"title": "another program's"})
    run.write("stage_update")
    page.goto(page.url.partition("#")[0] + f"#{run.id}")
    page.get_by_role("button", name="Cancel the run").click()
    is_text(page, "#action-said", "That run belongs to a program of its own.")
    run.end()


def test_a_server_that_takes_no_orders_offers_none(chromium: Any, home: Home) -> None:
    run = Run(home)
    run.write("complete")
    with served(home) as plain, page_of(chromium) as page:
        page.goto(plain.url)
        is_text(page, "#state", "Done")
        for control in ("#to-new", "#delete", "#cancel"):
            assert not page.locator(control).is_visible()
