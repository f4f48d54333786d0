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


# The texts of a page that have less contrast than 4.5 : 1 (WCAG AA), as Chromium computed it.
CONTRASTS = """() => {
  const light = (rgb) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const numbers = (text) => {
    const paper = document.createElement("canvas").getContext("2d");
    paper.fillStyle = text;
    paper.fillRect(0, 0, 1, 1);
    return [...paper.getImageData(0, 0, 1, 1).data];
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = numbers(getComputedStyle(at).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const isText = (node) => node.nodeType === 3 && node.textContent.trim();
    if (![...element.childNodes].some(isText) || !element.checkVisibility()) continue;
    if (element.closest(".unseen, .skip, select")) continue;
    const both = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
    const [b, a] = both.sort((x, y) => x - y);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${element.className || element.id} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
