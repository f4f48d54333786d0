"""A maker of films for engines: no face, no network, but a true log and a file at the end.

The words of a request tell what is to happen: `sleep X`, `die N` (the first N workers over it are
killed), `fail`, `retry N` (fails N times in a way that may go better), `wait` (until cancelled),
`wait FILE` (or until that file is there), `keep` (what a stage made),
`draw FILM` (is drawn until a film of that name has begun beside it), `gpu` (drawn on one).
"""

import os
import signal
import time
from pathlib import Path

from vidgen.engines.base import Order, Outcome
from vidgen.engines.local import Place
from vidgen.errors import InputError, RenderError
from vidgen.events import Completed, Sink, StageEnded, StageStarted
from vidgen.paths import Home, TaskFolder
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.store.log import TaskLog
from vidgen.steps import run_outcome

PATIENCE_SECONDS = 30.0


def make(order: Order, place: Place, tell: Sink) -> Outcome:
    home = Home.default()
    task, wanted = home.task(order.task_id), order.request
    began = time.monotonic()
    with TaskLog(task) as log:
        emit = Broadcast(task.task_id, [tell], log=log, floor=log.progress)
        with run_outcome(emit, lambda: "vidgen resume"):
            emit(StageStarted("initialized"))
            _note(wanted.output, place)
            words = wanted.options.text
            device = "cuda:0" if words == "gpu" else "cpu"
            planned = {"fps": 25, "device": device}
            _act(words, task)
            emit(StageEnded("initialized", 0.0, "completed", "run.planned", planned))
            emit(StageStarted("rendering"))
            if words.startswith("draw "):
                _await(wanted.output.with_name(f"{words[5:]}.begun"))
            wanted.output.write_text(order.task_id)
            took = time.monotonic() - began
            emit(Completed(str(wanted.output), took))
    return Outcome("complete", wanted.output, 1.0, took)


def _note(output: Path, place: Place) -> None:
    """A line for each begin: which place, which process, what it sees."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "-")
    with output.with_suffix(".begun").open("a") as file:
        file.write(f"{place.name} {os.getpid()} {seen} {place.slot or '-'}\n")


def _await(file: Path) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not file.exists():
        if time.monotonic() > until:
            raise RenderError(f"There is no {file.name}.", code="test.alone")
        time.sleep(0.01)


def _act(words: str, task: TaskFolder) -> None:
    act, _, value = words.partition(" ")
    times = len((task.root / "begun").read_text()) if (task.root / "begun").is_file() else 0
    with (task.root / "begun").open("a") as file:
        file.write("x")
    if act == "sleep":
        time.sleep(float(value))
    elif act == "die" and times < int(value):
        os.kill(os.getpid(), signal.SIGKILL)
    elif act == "fail":
        raise InputError("No face was found.", hint="Use another photo.", code="detect.no_face")
    elif act == "retry" and times < int(value):
        raise RenderError("The line broke.", code="did.offline", is_retryable=True)
    elif act == "keep":
        task.work.mkdir(exist_ok=True)
        for ending in ("npz", "json"):
            (task.work / f"stage-1.{ending}").write_text("kept")
    elif act == "wait":
        while not (value and Path(value).exists()):
            time.sleep(0.05)
