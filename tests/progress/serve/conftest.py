"""What several tests of the page share."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from tests.support.browser import launch  # skips where there is no Playwright

    with launch() as browser:
        yield browser
