"""Whose server is at a port."""

from vidgen.paths import Home
from vidgen.progress.serve.sharing import claim_port, find_server
from vidgen.progress.store.privacy import secure_store


def test_a_store_knows_its_own_server_as_long_as_it_is_there(home: Home) -> None:
    home.root.mkdir(parents=True, exist_ok=True)
    with claim_port(home, "https", 4711):
        assert find_server(home, 4711) == "https://127.0.0.1:4711/"
        assert find_server(home, 4712) == ""
    assert find_server(home, 4711) == ""


def test_stores_that_share_their_models_share_no_server(home: Home) -> None:
    home.models.mkdir(parents=True, exist_ok=True)
    other = Home(home.root / "other")
    other.root.mkdir()
    other.models.symlink_to(home.models, target_is_directory=True)
    with claim_port(home, "http", 4711):
        assert find_server(home, 4711)
        assert find_server(other, 4711) == ""


def test_a_home_that_had_a_server_is_still_closed_to_others(home: Home) -> None:
    secure_store(home)
    with claim_port(home, "http", 4711):
        pass
    for name in ("templates.jsonl", "batch.log"):  # of `fronts.predictor` and `vidgen batch`
        (home.root / name).touch()
    home.root.chmod(0o755)
    secure_store(home)
    assert home.root.stat().st_mode & 0o777 == 0o700
