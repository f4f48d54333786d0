"""A batch's worker and what a killed batch's worker is still at."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from vidgen.engines import worker
from vidgen.engines.base import Order
from vidgen.engines.local import Place
from vidgen.errors import InputError
from vidgen.events import Completed, StageStarted
from vidgen.paths import Home, TaskFolder
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.reader import iter_events
from vidgen.request import Request, default_settings, record

PLACE = Place("1")


@pytest.fixture
def task(home: Home, monkeypatch: pytest.MonkeyPatch) -> TaskFolder:
    monkeypatch.setenv("VIDGEN_HOME", str(home.root))
    return home.task("550e8400-e29b-41d4-a716-446655440000")


def wanted(folder: Path) -> Request:
    for name in ("a.jpg", "a.wav"):
        (folder / name).write_bytes(name.encode())
    return Request(folder / "a.jpg", folder / "a.wav", folder / "a.mp4", default_settings())


def make_elsewhere(task: TaskFolder, began: Callable[[], object], end: threading.Event) -> None:
    """What another process does: it makes the film and says so, when it may end."""
    with TaskLog(task) as log:
        emit = Broadcast(task.task_id, log=log)
        emit(StageStarted("finalizing"))
        began()
        end.wait(30)
        emit(Completed("made.mp4", 7.5))


@pytest.mark.parametrize("is_resume", [False, True])
def test_a_film_that_another_worker_just_ended_is_taken_as_it_is(
    task: TaskFolder, tmp_path: Path, is_resume: bool
) -> None:
    begun, end = threading.Event(), threading.Event()
    other = threading.Thread(target=make_elsewhere, args=(task, begun.set, end))
    other.start()
    assert begun.wait(30)
    if is_resume:
        record(task, wanted(tmp_path))
    order = Order(task.task_id, wanted(tmp_path), is_resume=is_resume)
    threading.Timer(3 * worker.LOOK_SECONDS, end.set).start()
    outcome = worker.make_film(order, PLACE, lambda _: None)
    other.join(30)
    assert (outcome.state, outcome.video, outcome.took_seconds) == (
        "complete",
        Path("made.mp4"),
        7.5,
    )
    ends = [event.event_type for event in iter_events(task.events)]
    assert ends == ["stage_update", "complete"], "its log ends once"


def test_a_film_that_another_keeps_on_making_is_left_to_it(
    task: TaskFolder, tmp_path: Path
) -> None:
    with TaskLog(task), pytest.raises(InputError) as refused:
        worker.make_film(Order(task.task_id, wanted(tmp_path)), PLACE, lambda _: None, patience=0.0)
    assert refused.value.code == "history.busy"
