"""Films on the machines of a Ray cluster: an actor for each place, files there and films back.

Everything that a run says is written here, into this machine's store, under its task id: history,
page and `watch` know no difference. What is lost with a node is made again on another.
"""

import contextlib
import os
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

from vidgen.engines.base import Began, Ended, EngineEvent, Lost, Order, Outcome
from vidgen.engines.local import ATTEMPTS, MAKER, worker_lost
from vidgen.engines.ray_node import FilmNode, Job
from vidgen.engines.remote_film import RemoteFilm
from vidgen.errors import SetupError
from vidgen.paths import Home
from vidgen.version import __version__

KNOCK_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.5  # Ctrl-C is heard between two looks
FILMS: Final = 2  # at one place: one is begun or on its way while the other ends
QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


class RayEngine:
    """`address` is a cluster's (`auto`: the one of this machine); each film gets `cpus` cores and
    `gpus` GPUs: 0 cpus are a fair share of a node, None GPUs one, where there are any. `maker` is
    for tests.

    Raises SetupError without the extra, and without a cluster.
    """

    def __init__(
        self,
        address: str,
        home: Home,
        *,
        gpus: float | None = None,
        cpus: int = 0,
        maker: str = MAKER,
    ) -> None:
        if find_spec("ray") is None:
            raise SetupError(
                "There is no Ray here.",
                hint="pip install 'vidgen-portrait[ray]', here and on each node.",
                code="batch.no_ray",
            )
        self._address = address
        self._home = home
        self._gpus, self._cpus = gpus, cpus
        self._maker = maker
        self._nodes: list[_Node] = []
        self._numbers = count(1)
        self._ray: Any = None

    def __enter__(self) -> "RayEngine":
        self.connect()
        return self

    def connect(self) -> None:
        """Raises SetupError when no cluster answers."""
        if self._ray:
            return
        os.environ.update(QUIET)
        import ray

        try:
            _knock(self._address)
            ray.init(self._address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            raise SetupError(
                "No Ray cluster answers at {address}.",
                hint="Start one: `ray start --head` here, `ray start --address=…` elsewhere.",
                code="batch.no_cluster",
                address=self._address,
            ) from error
        _silence()
        self._ray = ray

    def __exit__(self, *exception: object) -> None:
        for node in self._nodes:
            self._ray.kill(node.actor)
            for film in node.films:
                film.cancel()
        self._ray.shutdown()

    @property
    def places(self) -> int:
        """How many films the cluster has room for."""
        self.connect()
        whole = self._ray.cluster_resources()
        if self._gpus is None:
            self._gpus = 1.0 if whole.get("GPU") else 0.0
        room = int(whole.get("CPU", 0) // self._share())
        if self._gpus:
            room = min(room, int(whole.get("GPU", 0) / self._gpus))
        return max(1, room)

    def _share(self) -> int:
        """Cores of one film."""
        if self._cpus:
            return self._cpus
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cores = min(int(node["CPU"]) for node in nodes if node.get("CPU"))
        gpus = max(node.get("GPU", 0) for node in nodes)
        return max(1, int(cores * self._gpus / gpus) if gpus and self._gpus else cores)

    def start(self, films: int) -> None:
        """Have the actors begin to load, where so many films will be wanted. Raises SetupError
        when no cluster answers."""
        for _ in range(min(self.places, films) - len(self._nodes)):
            self._start()

    def films(self, orders: "deque[Order]") -> Iterator[EngineEvent]:
        self.start(len(orders))
        while orders or any(node.films for node in self._nodes):
            for node in self._nodes:
                if orders and node.takes_more:
                    order = orders.popleft()
                    node.give(order, self._home)
                    yield Began(order, node.name)
            talks = {talk: node for node in self._nodes for talk in node.talks}
            self._ray.wait([*talks], timeout=LOOK_SECONDS)  # until one says something
            for talk in self._ray.wait([*talks], num_returns=len(talks), timeout=0)[0]:
                if talks[talk] in self._nodes:  # not lost a moment ago
                    yield from self._hear(talks[talk], talk, orders)

    def _start(self) -> None:
        share = self._share()
        options = {"num_cpus": share, "num_gpus": self._gpus, "max_restarts": 0}
        name = f"ray-{next(self._numbers)}"
        make = self._ray.remote(_Actor).options(**options, max_concurrency=FILMS)
        actor = make.remote(self._maker, name, share, self._gpus)
        overlaps = share > 1 and not self._gpus
        self._nodes.append(_Node(name, actor, self._ray, overlaps=overlaps))

    def _hear(self, node: "_Node", talk: Any, orders: "deque[Order]") -> Iterator[EngineEvent]:
        try:
            yield from node.hear(talk)
        except self._ray.exceptions.RayError as error:
            yield from self._lose(node, orders, error)

    def _lose(
        self, node: "_Node", orders: "deque[Order]", error: Exception
    ) -> Iterator[EngineEvent]:
        """An actor or its machine is gone: another takes its place, its films come next."""
        self._nodes.remove(node)
        with contextlib.suppress(Exception):
            self._ray.kill(node.actor)
        if not isinstance(error, self._ray.exceptions.RayActorError):
            raise error
        self._start()
        for film in reversed(node.films):
            order = film.order
            film.close()
            yield Lost(order, node.name)
            if order.losses + 1 >= ATTEMPTS:
                yield Ended(order, Outcome.of_error(worker_lost(ATTEMPTS)))
            else:
                orders.appendleft(replace(order, is_resume=True, losses=order.losses + 1))


def _knock(address: str) -> None:
    """Ray itself waits for minutes. Raises OSError or ValueError where nobody listens."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    if parts.port:
        socket.create_connection((parts.hostname or "", parts.port), KNOCK_SECONDS).close()


def _silence() -> None:
    """Ray prints what becomes of its actors on stdout, which is for films and `--json`; what
    matters of it we tell ourselves. No public switch: `log_to_driver` leaves these alone."""
    with contextlib.suppress(ImportError):
        printer: Any = import_module("ray._private.worker")
        printer.print_to_stdstream = lambda *_, **__: None


class _Actor(FilmNode):
    """A `FilmNode` where Ray has put it."""

    def __init__(self, maker: str, name: str, cpus: int, gpus: float) -> None:
        import ray

        super().__init__(maker, ray.get_runtime_context().get_node_id()[:12], name, cpus, gpus)


class _Node:
    """One actor, as seen from here, and the films that it is at: a second one is sent ahead, so
    that it does not wait for the next."""

    def __init__(self, name: str, actor: Any, ray: Any, *, overlaps: bool) -> None:
        self.name = name
        self.actor = actor
        self._ray = ray
        self._overlaps = overlaps
        self._greeting: Any = actor.ready.remote()
        self._talks: dict[Any, RemoteFilm] = {}

    @property
    def films(self) -> list[RemoteFilm]:
        """Those under way, the first first."""
        return list(self._talks.values())

    @property
    def talks(self) -> list[Any]:
        """What it says next something on."""
        return [self._greeting] if self._greeting else list(self._talks)

    @property
    def takes_more(self) -> bool:
        if self._greeting or len(self._talks) == FILMS:
            return False
        rooms = [film.room for film in self._talks.values()]
        return all(room.is_left if self._overlaps else room.is_near for room in rooms)

    def give(self, order: Order, home: Home) -> None:
        files = {name: (file.name, file.read_bytes()) for name, file in order.request.files.items()}
        film = RemoteFilm(order, home)
        make = self.actor.make.options(num_returns="streaming")
        self._talks[make.remote(Job(order, files))] = film

    def hear(self, talk: Any) -> Iterator[EngineEvent]:
        """The next thing that it says. Raises one of Ray's errors when it is gone."""
        if talk is self._greeting:
            _check_version(self._ray.get(talk))
            self._greeting = None
            return
        film = self._talks[talk]
        kind, value, more = self._ray.get(next(talk))
        yield from film.take(kind, value, more)
        if kind == "ended":
            film.close()
            del self._talks[talk]


def _check_version(version: str) -> None:
    if version != __version__:
        raise SetupError(
            "A node of the cluster has vidgen {there}, this machine {here}.",
            hint="Install the same version on all.",
            code="batch.ray_version",
            there=version,
            here=__version__,
        )
