"""What MuseTalk's tests share."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vidgen.renderers.musetalk.networks import NetworkFiles


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> "NetworkFiles":
    """Weights of networks with MuseTalk's shapes, but tiny."""
    from tests.support.tiny_musetalk import tiny_files  # wants torch

    return tiny_files(tmp_path_factory.mktemp("musetalk"))
