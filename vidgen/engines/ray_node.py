"""A batch's worker on another machine: an actor that has the files brought and sends the film back.

Inside it a worker process makes the films, as on one machine; it ends with its actor. What the
actor says, one after another: ("told", an event's bytes, a preview's bytes), ("film", bytes, None),
("beside", a file's name, bytes) and at last ("ended", an Outcome, None).
"""

import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from vidgen.device.device import thread_limits
from vidgen.engines.base import Ended, Order, Told
from vidgen.engines.local import LocalEngine, Place
from vidgen.events import Envelope
from vidgen.files import keep_private, make_private
from vidgen.paths import Home, TaskFolder
from vidgen.progress.store.lock import is_held
from vidgen.request import Request
from vidgen.version import __version__

FOLDER: Final = "ray"  # in the node's home: runs that are made for others
CHUNK_BYTES: Final = 16 * 1024 * 1024
LEAVE_SECONDS: Final = 5.0
PICTURE_BYTES: Final = 4 * 1024 * 1024  # a larger preview stays where it is

Said = tuple[str, Any, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A film that somebody else wants, with the files that it is made of: name → (file, bytes)."""

    order: Order
    files: Mapping[str, tuple[str, bytes]]


class FilmNode:
    """The actor. `cpus` are the cores that a film may use, `gpus` its share of a GPU; `name` is
    what no other actor of the batch has."""

    def __init__(self, maker: str, node: str, name: str, cpus: int, gpus: float) -> None:
        keep_private()  # photos and voices of others come here
        self._home = _home_of(node)
        self._engine = LocalEngine([_place(self._home, name, cpus, gpus)], maker=maker)
        self._engine.__enter__()

    def ready(self) -> str:
        """The vidgen that is installed here."""
        return __version__

    def make(self, job: Job) -> Iterator[Said]:
        """One film; what is made stays here until it is complete, so that it can be resumed."""
        task = self._home.task(job.order.task_id)
        folder = self._home.root / "orders" / task.task_id
        order = replace(job.order, request=_unpack(job, folder))
        _await_writer(task)
        for event in self._engine.films(deque([order])):
            if isinstance(event, Told):
                yield "told", event.envelope.to_wire(), _picture(event.envelope)
            elif isinstance(event, Ended):
                if event.outcome.video:
                    yield from _results(event.outcome.video)
                    shutil.rmtree(folder, ignore_errors=True)
                    shutil.rmtree(task.root, ignore_errors=True)
                yield "ended", event.outcome, None


def _await_writer(task: TaskFolder) -> None:
    """The worker of an actor that was killed here ends by itself, in a moment."""
    until = time.monotonic() + LEAVE_SECONDS
    while is_held(task.lock) and time.monotonic() < until:
        time.sleep(0.05)


def _results(film: Path) -> Iterator[Said]:
    """The film in pieces, then what was written beside it."""
    with film.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield "film", chunk, None
    for file in sorted(film.parent.iterdir()):
        if file != film and file.is_file():
            yield "beside", file.name, file.read_bytes()


def _home_of(node: str) -> Home:
    """A home beside this machine's own, with the same models. Nodes of one machine share none."""
    own = Home.default()
    home = Home(own.root / FOLDER / node)
    for folder in (own.models, home.root, home.tasks):
        make_private(folder)
    if not home.models.exists():
        home.models.symlink_to(own.models, target_is_directory=True)
    return home


def _place(home: Home, name: str, cpus: int, gpus: float) -> Place:
    """As many threads as the film was given (Ray says one), and no GPU when it was given none.
    Films side by side do not wait for one another: Ray knows who has room."""
    environment = thread_limits(cpus) | {"VIDGEN_HOME": str(home.root)}
    if not gpus:
        return Place(name, slot=name, environment=environment | {"CUDA_VISIBLE_DEVICES": ""})
    return Place(name, "cuda:0", name, environment=environment)


def _unpack(job: Job, folder: Path) -> Request:
    """The request, of the files as they are here."""
    request = job.order.request
    paths = {}
    for name, (file, content) in job.files.items():
        paths[name] = folder / name / file
        make_private(paths[name].parent)
        paths[name].write_bytes(content)
    output = folder / "film" / request.output.name
    make_private(output.parent)
    settings = dict(request.settings)
    if "background" in paths:
        settings["background"] = replace(settings["background"], value=str(paths["background"]))
    force = replace(settings["force"], value=True)  # what is in our folder is our own
    return replace(
        request,
        photo=paths["photo"],
        voice=paths["voice"],
        output=output,
        settings=settings | {"force": force},
        reads=(),
    )


def _picture(event: Envelope) -> bytes | None:
    file = Path(str(event.data.get("path", "")))
    if event.event_type != "preview" or not file.is_file():
        return None
    return file.read_bytes() if file.stat().st_size <= PICTURE_BYTES else None
