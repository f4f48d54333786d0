"""What tests of the store share."""

import pytest

from vidgen.paths import Home, TaskFolder


@pytest.fixture
def folder(home: Home) -> TaskFolder:
    return home.task("11112222-0000-4000-8000-000000000000")
