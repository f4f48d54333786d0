"""The actor of another machine, without Ray: what comes in as bytes goes out as bytes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.batch import MAKER, job
from vidgen.engines.base import Order, Outcome
from vidgen.engines.ray_node import FilmNode, Job, Said
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.version import __version__

TASK = "550e8400-e29b-41d4-a716-446655440000"
FILES = {"photo": ("p.jpg", b"photo"), "voice": ("v.wav", b"voice")}


def make(node: FilmNode, folder: Path, words: str = "") -> list[Said]:
    """All that an actor says of one film."""
    return list(node.make(Job(Order(TASK, job(folder, "film", words).request), FILES)))


@pytest.fixture
def node(home: Home) -> Iterator[FilmNode]:
    node = FilmNode(MAKER, "n1", "ray-1", cpus=1, gpus=0)
    yield node
    node._engine.__exit__()  # what its process's end does


def test_an_actor_sends_history_film_and_what_lies_beside_it(
    node: FilmNode, home: Home, tmp_path: Path
) -> None:
    said = make(node, tmp_path)
    kinds = [kind for kind, *_ in said]
    assert kinds == sorted(kinds, key=["told", "film", "beside", "ended"].index)
    events = [Envelope.from_wire(line) for kind, line, _ in said if kind == "told"]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].event_type == "complete"
    assert b"".join(value for kind, value, _ in said if kind == "film") == TASK.encode()
    beside = {name: content for kind, name, content in said if kind == "beside"}
    # It sees no GPU that it was not given, and waits for no film that Ray puts beside it.
    place, _, gpus, slot = beside["film.begun"].decode().strip().split(" ")
    assert (place, gpus, slot) == ("ray-1", "", "ray-1")
    assert said[-1][1].state == "complete"
    assert node.ready() == __version__


def test_nothing_is_left_on_a_node_of_a_film_that_is_sent(
    node: FilmNode, home: Home, tmp_path: Path
) -> None:
    make(node, tmp_path)
    there = home.root / "ray" / "n1"
    assert [*(there / "orders").iterdir(), *(there / "tasks").iterdir()] == []
    assert (there / "models").resolve() == home.models.resolve()


def test_a_failed_films_run_stays_on_its_node(node: FilmNode, home: Home, tmp_path: Path) -> None:
    *_, (kind, outcome, _) = make(node, tmp_path, "fail")
    assert (kind, outcome.error_code) == ("ended", "detect.no_face")
    assert isinstance(outcome, Outcome)
    photo = home.root / "ray" / "n1" / "orders" / TASK / "photo" / "p.jpg"
    assert photo.read_bytes() == b"photo"
    assert photo.stat().st_mode & 0o077 == 0
