"""A batch's worker on another machine: an actor that has the files brought and sends the film back.

Inside it a worker process makes the films, as on one machine; it ends with its actor. What the
actor says, one after another: ("told", events, None), each as its bytes and perhaps a preview's;
("film", bytes, None); at last ("ended", an Outcome, {name: bytes of a file beside the film}).
"""

import queue
import shutil
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from vidgen.device.device import thread_limits
from vidgen.device.memory import is_short
from vidgen.engines.base import Ended, Order, Outcome, Told
from vidgen.engines.local import LocalEngine, Place
from vidgen.engines.places import claim_cores, usable_cores
from vidgen.events import Envelope
from vidgen.files import keep_private, make_private
from vidgen.paths import Home, TaskFolder
from vidgen.progress.store.lock import is_held
from vidgen.request import Request
from vidgen.version import __version__

FOLDER: Final = "ray"  # in the node's home: runs that are made for others
CORES: Final = "cores"  # beside the homes of one machine's nodes: who uses which
CHUNK_BYTES: Final = 16 * 1024 * 1024
LEAVE_SECONDS: Final = 5.0
FREQUENT: Final = ("progress_update", "resource")  # these wait for others to go with them
HOLD_SECONDS: Final = 0.3
PHOTOS: Final = 4  # of which an actor keeps what stages made
PICTURE_BYTES: Final = 4 * 1024 * 1024  # a larger preview stays where it is

Said = tuple[str, Any, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A film that somebody else wants, with the files that it is made of: name → (file, bytes)."""

    order: Order
    files: Mapping[str, tuple[str, bytes]]


class FilmNode:
    """The actor. `cpus` are the cores that a film may use, `gpus` its share of a GPU; `name` is
    what no other actor of the batch has. Two films may be given at once: the second waits for the
    first, or is begun while that one is drawn where its place `overlaps`."""

    def __init__(self, maker: str, node: str, name: str, cpus: int, gpus: float) -> None:
        keep_private()  # photos and voices of others come here
        self._home = _home_of(node)
        wanted = 0 if gpus else cpus
        cores, self._claims = claim_cores(self._home.root.parent / CORES, wanted, usable_cores())
        self._place = _place(self._home, name, cpus, gpus, cores)
        self._maker = maker
        self._lock = threading.Lock()
        self._engines: list[LocalEngine] = []
        self._free: queue.SimpleQueue[LocalEngine] = queue.SimpleQueue()
        self._kept: dict[bytes, dict[str, bytes]] = {}  # photo → what stages made of it
        self._free.put(self._start())  # it loads while the batch is still being planned

    def ready(self) -> str:
        """The vidgen that is installed here."""
        return __version__

    def close(self) -> None:
        """End what it started; the end of its process does the same."""
        for engine in self._engines:
            engine.__exit__()
        self._claims.close()

    def make(self, job: Job) -> Iterator[Said]:
        """One film; what is made stays here until it is complete, so that it can be resumed."""
        task = self._home.task(job.order.task_id)
        folder = self._home.root / "orders" / task.task_id
        order = replace(job.order, request=_unpack(job, folder))
        photo = sha256(job.files["photo"][1]).digest()
        _await_writer(task)
        engine = self._engine()
        if not order.request.options.fresh:
            self._give_kept(photo, task)
        outcome = yield from _tell(engine, order)
        self._keep(photo, task)
        self._free.put(engine)  # the next film goes on while this one is sent
        beside = {}
        if film := outcome.video:
            yield from _pieces(film)
            files = [file for file in film.parent.iterdir() if file != film and file.is_file()]
            beside = {file.name: file.read_bytes() for file in files}
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(task.root, ignore_errors=True)
        yield "ended", outcome, beside

    def _engine(self) -> LocalEngine:
        """One that is free, a second where films may overlap, or the one that comes free."""
        with self._lock:
            may_begin = self._place.overlaps and self._free.empty() and len(self._engines) < 2
            if may_begin and not is_short("cpu"):
                return self._start()
        return self._free.get()

    def _start(self) -> LocalEngine:
        self._engines.append(LocalEngine([self._place], maker=self._maker).__enter__())
        return self._engines[-1]

    def _give_kept(self, photo: bytes, task: TaskFolder) -> None:
        """What earlier films made of the same photo: those are no longer here."""
        if kept := self._kept.get(photo):
            make_private(task.work)
            for name, content in kept.items():
                (task.work / name).write_bytes(content)

    def _keep(self, photo: bytes, task: TaskFolder) -> None:
        """In memory, so that it is gone with the batch."""
        self._kept.pop(photo, None)
        self._kept[photo] = _kept_files(task.work)
        if len(self._kept) > PHOTOS:
            self._kept.pop(next(iter(self._kept)))


def _tell(engine: LocalEngine, order: Order) -> Generator[Said, None, Outcome]:
    """Make a film and say what its run says."""
    outcome, said, sent = Outcome("cancelled"), [], 0.0
    for event in engine.films(deque([order])):
        if isinstance(event, Ended):
            outcome = event.outcome
        if not isinstance(event, Told):
            continue
        said.append((event.envelope.to_wire(), _picture(event.envelope)))
        if event.envelope.event_type not in FREQUENT or time.monotonic() - sent > HOLD_SECONDS:
            yield "told", said, None
            said, sent = [], time.monotonic()
    if said:
        yield "told", said, None
    return outcome


def _await_writer(task: TaskFolder) -> None:
    """The worker of an actor that was killed here ends by itself, in a moment."""
    until = time.monotonic() + LEAVE_SECONDS
    while is_held(task.lock) and time.monotonic() < until:
        time.sleep(0.05)


def _kept_files(work: Path) -> dict[str, bytes]:
    """What stages keep there, by name: as `cache` writes it, whose import takes half a second."""
    pairs = [(file, file.with_suffix(".json")) for file in sorted(work.glob("*.npz"))]
    return {file.name: file.read_bytes() for pair in pairs if pair[1].exists() for file in pair}


def _pieces(film: Path) -> Iterator[Said]:
    with film.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield "film", chunk, None


def _home_of(node: str) -> Home:
    """A home beside this machine's own, with the same models. Nodes of one machine share none."""
    own = Home.default()
    home = Home(own.root / FOLDER / node)
    for folder in (own.models, home.root, home.tasks):
        make_private(folder)
    if not home.models.exists():
        home.models.symlink_to(own.models, target_is_directory=True)
    return home


def _place(home: Home, name: str, cpus: int, gpus: float, cores: tuple[int, ...]) -> Place:
    """As many threads as the film was given (Ray says one), on these cores, and no GPU when it was
    given none. Films side by side do not wait for one another: Ray knows who has room."""
    environment = thread_limits(cpus) | {"VIDGEN_HOME": str(home.root)}
    if not gpus:
        environment |= {"CUDA_VISIBLE_DEVICES": ""}
        return Place(name, "", name, cores, environment=environment, overlaps=cpus > 1)
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
