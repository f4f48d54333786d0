"""The actor of another machine, without Ray: what comes in as bytes goes out as bytes."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.batch import MAKER, job
from vidgen.engines.base import Order, Outcome
from vidgen.engines.ray_node import FilmNode, Job, Said
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.version import __version__

TASK = "550e8400-e29b-41d4-a716-446655440000"
OTHER = "550e8400-e29b-41d4-a716-446655440001"
FILES = {"photo": ("p.jpg", b"photo"), "voice": ("v.wav", b"voice")}


def make(
    node: FilmNode, folder: Path, words: str = "", *, task: str = TASK, fresh: bool = False
) -> list[Said]:
    """All that an actor says of one film."""
    request = job(folder, "film", words).request
    settings = {**request.settings, "fresh": replace(request.settings["fresh"], value=fresh)}
    return list(node.make(Job(Order(task, replace(request, settings=settings)), FILES)))


@pytest.fixture
def node(home: Home) -> Iterator[FilmNode]:
    node = FilmNode(MAKER, "n1", "ray-1", cpus=1, gpus=0)
    yield node
    node.close()


def test_an_actor_sends_history_film_and_what_lies_beside_it(
    node: FilmNode, home: Home, tmp_path: Path
) -> None:
    said = make(node, tmp_path)
    kinds = [kind for kind, *_ in said]
    assert kinds == sorted(kinds, key=["told", "film", "ended"].index)
    told = [news for kind, value, _ in said if kind == "told" for news in value]
    events = [Envelope.from_wire(line) for line, _ in told]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].event_type == "complete"
    assert b"".join(value for kind, value, _ in said if kind == "film") == TASK.encode()
    beside = said[-1][2]
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


@pytest.mark.parametrize("fresh", [False, True])
def test_what_was_made_of_a_photo_is_not_made_again_unless_all_is_to_be_fresh(
    node: FilmNode, home: Home, tmp_path: Path, *, fresh: bool
) -> None:
    make(node, tmp_path, "keep")
    make(node, tmp_path, "fail", task=OTHER, fresh=fresh)  # whose folder can be looked into
    work = home.root / "ray" / "n1" / "tasks" / OTHER / "work"
    kept = {file.name: file.read_text() for file in work.glob("*")}
    assert kept == ({} if fresh else {"stage-1.npz": "kept", "stage-1.json": "kept"})


def test_on_two_cores_a_film_is_begun_beside_another(home: Home, tmp_path: Path) -> None:
    node, gate = FilmNode(MAKER, "n1", "ray-1", cpus=2, gpus=0), tmp_path / "gate"
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(make, node, tmp_path, f"wait {gate}")
        try:
            second = make(node, tmp_path, task=OTHER)
        finally:
            gate.touch()
        assert [said[-1][1].state for said in (first.result(), second)] == ["complete"] * 2
    node.close()


def test_on_one_core_they_take_turns(node: FilmNode, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        films = [pool.submit(make, node, tmp_path, task=task) for task in (TASK, OTHER)]
        said = [film.result() for film in films]
    assert [words[-1][1].state for words in said] == ["complete"] * 2
    begun = [words[-1][2]["film.begun"].split() for words in said]
    assert begun[0][1] == begun[1][1]  # one process
    assert len(os.sched_getaffinity(int(begun[0][1]))) == 1
