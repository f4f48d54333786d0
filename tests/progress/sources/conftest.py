"""What the tests of both kinds of sources share."""

from pathlib import Path

import pytest

from vidgen.paths import Home


@pytest.fixture
def far(tmp_path: Path) -> Home:
    """Another machine's store."""
    home = Home(tmp_path / "far")
    home.tasks.mkdir(parents=True)
    return home
