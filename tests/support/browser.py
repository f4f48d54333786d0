"""A Chromium without a screen: what the tests of the page share."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright's library is not installed"
)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update",
            "--disable-sync"]  # fmt: skip
IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on this machine"),
]


@contextlib.contextmanager
def launch() -> Iterator[Any]:
    """The browser; one for all tests of a file."""
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


@contextlib.contextmanager
def page_of(chromium: Any, **options: Any) -> Iterator[Any]:
    """A fresh page; whatever the browser complains about fails the test."""
    context = chromium.new_context(**{"locale": "en-GB", **options})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None,
    )
    page.set_default_timeout(10_000)
    yield page
    context.close()
    assert complaints == []


def is_text(page: Any, selector: str, text: str) -> None:
    playwright.expect(page.locator(selector)).to_have_text(text, timeout=10_000)
