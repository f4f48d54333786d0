"""A batch on the disk: whole, in parts, held by its maker."""

import pytest

from vidgen.errors import InputError
from vidgen.paths import Home
from vidgen.progress.store.batches import BatchFilm, load_batch, record_batch

FILMS = [BatchFilm(f"id-{n}", f"{n}.mp4", 5.0, None) for n in range(4)]


def test_a_batch_is_alive_as_long_as_somebody_makes_it(home: Home) -> None:
    assert load_batch(home, "nightly") is None
    with record_batch(home, "nightly", FILMS, places=2):
        found = load_batch(home, "nightly")
        assert found is not None
        assert (found.films, found.places, found.is_alive) == (tuple(FILMS), 2, True)
    found = load_batch(home, "nightly")
    assert found is not None
    assert (found.films, found.is_alive) == (tuple(FILMS), False)


def test_parts_are_one_batch(home: Home) -> None:
    first = record_batch(home, "b", FILMS[:3], part="1/2")
    with first, record_batch(home, "b", FILMS[2:], part="2/2"):
        found = load_batch(home, "b")
    assert found is not None
    assert (found.films, found.places) == (tuple(FILMS), 2)


def test_two_processes_do_not_make_one_batch(home: Home) -> None:
    again = record_batch(home, "b", FILMS)
    with record_batch(home, "b", FILMS), pytest.raises(InputError) as caught, again:
        pass
    assert caught.value.code == "batch.busy"


def test_names_are_kept_apart(home: Home) -> None:
    for name in ("a", "a.b", "a*", "../a", "ä" * 100):
        with record_batch(home, name, FILMS[:1]):
            pass
    assert load_batch(home, "a.") is None
    assert load_batch(home, "a*") is not None


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"v":1,"batch_id":"b","films":[{"x":1}]}'])
def test_a_damaged_record_is_none(home: Home, content: bytes) -> None:
    with record_batch(home, "b", FILMS):
        pass
    next((home.root / "batches").glob("*.json")).write_bytes(content)
    assert load_batch(home, "b") is None
