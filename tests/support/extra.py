"""Files of tests that need an extra, without its import: that costs each worker seconds."""

from importlib.util import find_spec

import pytest


def need(*packages: str) -> None:
    """Skip the calling file unless these are installed."""
    for name in packages:
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed", allow_module_level=True)
