"""Films on a real Ray cluster of two nodes on this machine, one of which is killed."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.batch import MAKER, Listener, forecast, job
from vidgen.batch import BatchResult, plan_films, run_batch
from vidgen.errors import SetupError
from vidgen.jobs.checker import FilmJob
from vidgen.paths import Home
from vidgen.progress.store.reader import iter_events
from vidgen.progress.store.runs import list_runs

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning",
                               "ignore::FutureWarning"),  # Ray's own
]  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head without room for films, and two nodes with room for one each."""
    from ray.cluster_utils import Cluster

    from vidgen.engines.ray import QUIET

    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        patch.setenv("VIDGEN_HOME", str(tmp_path_factory.mktemp("node-home")))
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        cluster = Cluster()
        cluster.add_node(num_cpus=0, include_dashboard=False)
        for _ in range(2):
            cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photo and voice of the films, which travel."""
    for name in ("a.jpg", "a.wav"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    return tmp_path


def run_on(cluster: Any, home: Home, jobs: list[FilmJob], view: Listener) -> BatchResult:
    from vidgen.engines.ray import RayEngine

    engine = RayEngine(cluster.address, home, cpus=1, maker=MAKER)
    films = plan_films(home, jobs)
    return run_batch("many", films, engine, forecast(films, engine.places), view)


def seqs(home: Home, task_id: str) -> list[int]:
    return [event.seq for event in iter_events(home.task(task_id).events)]


def test_films_come_back_with_their_history(cluster: Any, home: Home, folder: Path) -> None:
    jobs = [job(folder, "a"), job(folder, "b", "fail", 2), job(folder, "c", line=3)]
    result = run_on(cluster, home, jobs, Listener())
    assert [film.state for film in result.films] == ["complete", "failed", "complete"]
    assert [(folder / f"{name}.mp4").exists() for name in "abc"] == [True, False, True]
    for film in (result.films[0], result.films[2]):
        assert Path(film.video).read_text() == film.task_id
        *_, last = iter_events(home.task(film.task_id).events)
        assert (last.event_type, last.data["video_path"]) == ("complete", film.video)
        assert seqs(home, film.task_id) == list(range(1, last.seq + 1))
        assert list(home.task(film.task_id).work.iterdir()) == []
    # Side by side: none waits for a device that another of them has. What is written beside a
    # film comes back with it.
    begun = [(folder / f"{name}.begun").read_text().split() for name in "ac"]
    assert {words[-1] for words in begun} <= {"ray-1", "ray-2"}
    request = orjson.loads(home.task(result.films[0].task_id).request.read_bytes())
    assert request["inputs"]["photo"]["path"] == str(folder / "a.jpg")
    states = {run.task_id: run.state for run in list_runs(home)}
    assert [states[film.task_id] for film in result.films] == ["complete", "failed", "complete"]


def test_a_node_that_is_killed_costs_no_film(
    cluster: Any, home: Home, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [job(folder, name, "sleep 0.5", n) for n, name in enumerate("abcd", 1)]
    doomed = cluster.add_node(num_cpus=1)

    class Killer(Listener):
        """Ends a machine as soon as all have a film."""

        def began(self, film: Any) -> None:
            super().began(film)
            if len(self.heard) == 3:
                threading.Timer(0.1, cluster.remove_node, (doomed, False)).start()

    result = run_on(cluster, home, jobs, Killer())
    assert [film.state for film in result.films] == ["complete"] * 4
    assert capsys.readouterr().out == ""  # stdout is for films; Ray's errors go there, too
    for film in result.films:
        events = list(iter_events(home.task(film.task_id).events))
        assert [event.event_type for event in events].count("complete") == 1
        assert [event.seq for event in events] == list(range(1, len(events) + 1))


def test_a_cancelled_batch_leaves_no_film_at_work(cluster: Any, home: Home, folder: Path) -> None:
    class Canceller(Listener):
        def began(self, film: Any) -> None:
            super().began(film)
            if len(self.heard) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    jobs = [job(folder, name, f"wait {folder / 'go'}", n) for n, name in enumerate("ab", 1)]
    with pytest.raises(KeyboardInterrupt):
        run_on(cluster, home, jobs, Canceller())
    assert {run.state for run in list_runs(home)} == {"cancelled"}
    (folder / "go").touch()
    again = run_on(cluster, home, jobs, Listener())  # the room is free again, the films go on
    assert [film.state for film in again.films] == ["complete"] * 2
    assert len(list_runs(home)) == 2
    for film in again.films:
        events = list(iter_events(home.task(film.task_id).events))
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [e.event_type for e in events if e.is_terminal] == ["cancelled", "complete"]


def test_no_cluster_is_said_plainly(home: Home) -> None:
    from vidgen.engines.ray import RayEngine

    with pytest.raises(SetupError) as refused:
        RayEngine("127.0.0.1:1", home).connect()
    assert refused.value.code == "batch.no_cluster"
