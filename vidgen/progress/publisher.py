"""Tell Redis or Valkey of runs, out of their logs: never before the log, never in a run's way.

The log is the buffer: whoever reports only rings, and a thread reads on from where Redis is. So a
Redis that is away costs nothing, and gets everything when it is back. What lies where is
`sources.redis_keys`' business.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import orjson

from vidgen.events import Envelope, Sink
from vidgen.files import open_regular
from vidgen.paths import Home, TaskFolder
from vidgen.progress.fanout.tail import epoch_of
from vidgen.progress.serve.dialects import jobs
from vidgen.progress.serve.dialects.dialect import Before
from vidgen.progress.snapshot import Snapshot
from vidgen.progress.sources import redis_keys as keys
from vidgen.progress.store.reader import is_running, parse_line
from vidgen.progress.store.runs import summarise, task_names, title

SIGN_SECONDS: Final = 10.0  # between two signs of life of runs that say nothing
LAST_SECONDS: Final = 2.0  # the end of a run waits so long for Redis to have it
RETRY_SECONDS: Final = (0.2, 5.0)  # the first wait for a Redis that is away, and the longest
AT_ONCE: Final = 200  # events in one go
READ_BYTES: Final = 256 * 1024
LOOK_SECONDS: Final = 0.5  # between two looks at a whole store

OnTrouble = Callable[[str, str], None]  # the Redis, and what is wrong; "" when it is back


@dataclass(slots=True)
class _Place:
    """How far Redis is in one log. `snapshot` is of what was read."""

    folder: TaskFolder
    epoch: str
    first: bytes
    seq: int
    snapshot: Snapshot
    offset: int = 0
    inode: int = 0
    is_named: bool = False


class Publisher:
    """A sink, and a context manager: whatever happens in a run is published soon after.

    `url` is redis://, rediss://, valkey:// or unix://. Any number of publishers may publish the
    same runs. `on_trouble` hears once that Redis is away and once that it is back, in the
    publisher's thread. `retry` is the first wait for a Redis that is away, in seconds, and the
    longest. Raises InputError or SetupError when it is made.
    """

    def __init__(
        self,
        url: str,
        home: Home,
        on_trouble: OnTrouble = lambda *_: None,
        *,
        retry: tuple[float, float] = RETRY_SECONDS,
    ) -> None:
        self.host = keys.host_of(url)
        self._home = home
        self._on_trouble = on_trouble
        self._retry = retry
        self._client = keys.connect(_Client, url)
        self._places: dict[str, _Place] = {}
        self._due: set[str] = set()
        self._lock = threading.Lock()
        self._bell = threading.Event()
        self._closing = threading.Event()
        self._is_away = False
        self.trouble = ""  # what was wrong last
        self._signed_at = 0.0
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)

    def __enter__(self) -> "Publisher":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._bell.set()
        self._thread.join(LAST_SECONDS)

    def __call__(self, event: Envelope) -> None:
        self.ring(event.task_id)

    def ring(self, task_id: str) -> None:
        """Something is new in this run's log."""
        with self._lock:
            self._due.add(task_id)
        self._bell.set()

    @property
    def has_all(self) -> bool:
        """Whether Redis has everything that was rung for."""
        return not self._due and not self._is_away

    # The thread

    def _work(self) -> None:
        wait = self._retry[0]
        while True:
            self._bell.wait(SIGN_SECONDS)
            self._bell.clear()
            is_last = self._closing.is_set()
            with self._lock:
                due, self._due = self._due, set()
            try:
                for task_id in sorted(due):
                    self._publish(task_id)
                self._sign()
            except self._client.errors as error:
                self._lose(due, error)
                if is_last or self._closing.wait(wait):
                    return
                wait = min(self._retry[1], wait * 2)
                self._bell.set()
            else:
                self._find_again()
                wait = self._retry[0]
                if is_last and not self._due:
                    return

    def _lose(self, due: set[str], error: Exception) -> None:
        """It may come back without what it had: where it is is asked again, run by run."""
        with self._lock:
            self._due |= due | self._places.keys()
        self._places.clear()
        self._client.expect_anew()
        self.trouble = str(error) or type(error).__name__
        if not self._is_away:
            self._is_away = True
            self._on_trouble(self.host, self.trouble)

    def _find_again(self) -> None:
        if self._is_away:
            self._is_away = False
            self._on_trouble(self.host, "")

    def _sign(self) -> None:
        """That the runs which say nothing for a while are alive."""
        if time.monotonic() - self._signed_at < SIGN_SECONDS:
            return
        self._signed_at = time.monotonic()
        for task_id, place in self._places.items():
            if place.snapshot.state == "running" and is_running(place.folder):
                self._client.redis.set(keys.alive_key(task_id), 1, ex=keys.ALIVE_SECONDS)
        too_old = time.time() - keys.KEEP_SECONDS
        self._client.redis.zremrangebyscore(keys.RUNS, "-inf", too_old)

    # One run

    def _publish(self, task_id: str) -> None:
        try:
            place = self._place(task_id)
            while place and (events := _read(place)):
                for begin in range(0, len(events), AT_ONCE):
                    self._send(place, events[begin : begin + AT_ONCE])
        except FileNotFoundError:  # it was deleted
            self._places.pop(task_id, None)

    def _place(self, task_id: str) -> _Place | None:
        """How far Redis is; None while the log has no event."""
        folder = self._home.task(task_id)
        found = os.stat(folder.events)  # noqa: PTH116  # for each ring
        place = self._places.get(task_id)
        if place and place.inode == found.st_ino and place.offset <= found.st_size:
            return place
        first = _first_event(folder)
        if first is None:
            return None
        epoch = epoch_of(task_id, first.timestamp)
        last = self._client.redis.xrevrange(keys.stream_key(task_id), count=1)
        seq = int(last[0][1][b"seq"]) if last else 0
        if last and last[0][1][b"epoch"].decode() != epoch:
            self._client.redis.delete(keys.stream_key(task_id), keys.about_key(task_id))
            seq = 0
        place = _Place(folder, epoch, first.to_wire(), seq, Snapshot(task_id), inode=found.st_ino)
        self._places[task_id] = place
        return place

    def _send(self, place: _Place, events: Sequence[Envelope]) -> None:
        """These events, and all that hangs on them."""
        key, pipe = keys.stream_key(place.folder.task_id), self._pipeline()
        told: list[list[Any]] = []
        for event in events:
            before = Before(place.snapshot.stage, max(0.0, place.snapshot.most))
            place.snapshot.take(event)
            if event.seq > place.seq:
                fields = {"seq": event.seq, "epoch": place.epoch, "event": event.to_wire()}
                pipe.xadd(key, fields, id=f"{event.seq}-0", maxlen=keys.MOST_EVENTS)
                told.append(list(jobs.says(event, before, "")))
        if told:
            taken = self._client.check(pipe.execute(raise_on_error=False))
            news = [word for is_new, words in zip(taken, told, strict=True) if is_new
                    for word in words]  # fmt: skip
            self._follow_up(place, events[-1], news)
            place.seq = max(place.seq, events[-1].seq)

    def _pipeline(self) -> Any:
        return self._client.redis.pipeline(transaction=False)

    def _follow_up(self, place: _Place, last: Envelope, words: Sequence[Any]) -> None:
        """What others look for: the run's line, that there is news, and other systems' words."""
        task_id, pipe = place.folder.task_id, self._pipeline()
        pipe.expire(keys.stream_key(task_id), keys.KEEP_SECONDS)
        self._describe(pipe, place, last)
        pipe.xadd(keys.NEWS, {"id": task_id}, maxlen=keys.MOST_EVENTS)
        texts = [orjson.dumps(word, default=str) for word in words]
        for text in texts:
            pipe.publish(f"job_progress:{task_id}", text)
        if texts:
            pipe.set(f"job_status:{task_id}", texts[-1], ex=keys.KEEP_SECONDS)
        self._client.check(pipe.execute(raise_on_error=False))

    def _describe(self, pipe: Any, place: _Place, last: Envelope) -> None:
        task_id = place.folder.task_id
        about = {"epoch": place.epoch, "first": place.first, "host": socket.gethostname()}
        if not place.is_named and (summary := summarise(place.folder)):
            request = summary.request()
            about |= {"title": title(request), "batch_id": str(request.get("batch_id", ""))}
            place.is_named = bool(request)
        pipe.hset(keys.about_key(task_id), mapping=about)
        pipe.expire(keys.about_key(task_id), keys.KEEP_SECONDS)
        pipe.zadd(keys.RUNS, {task_id: place.folder.events.stat().st_mtime})
        if last.is_terminal:
            pipe.delete(keys.alive_key(task_id))
        elif is_running(place.folder):
            pipe.set(keys.alive_key(task_id), 1, ex=keys.ALIVE_SECONDS)


def _read(place: _Place) -> list[Envelope]:
    """What the log has behind the place, at most READ_BYTES of it. A torn last line waits."""
    with os.fdopen(open_regular(place.folder.events), "rb") as file:
        file.seek(place.offset)
        block = file.read(READ_BYTES)
    end = block.rfind(b"\n") + 1
    place.offset += end
    lines = block[:end].splitlines(keepends=True)
    return [event for event in map(parse_line, lines) if event]


def _first_event(folder: TaskFolder) -> Envelope | None:
    with os.fdopen(open_regular(folder.events), "rb") as file:
        return parse_line(file.readline())


class _Client:
    """The client of `redis`, which waits for nothing long and tries nothing twice.

    `redis` itself puts a new connection quietly in a broken one's place. But a Redis that was
    started anew has lost what it had, so here a connection that replaces one is an error first.
    """

    def __init__(self, url: str) -> None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self.errors = (redis.RedisError, OSError)
        self._refusal = redis.ResponseError
        self.redis: Any = redis.Redis.from_url(
            url,
            socket_timeout=5.0,
            socket_connect_timeout=3.0,
            health_check_interval=15,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=self._greet,
        )
        self._broken = redis.ConnectionError
        self._is_connected = False

    def expect_anew(self) -> None:
        """Whoever asks next asks for everything: a new connection is no surprise."""
        self._is_connected = False

    def _greet(self, connection: Any) -> None:
        connection.on_connect()
        if self._is_connected:
            raise self._broken("The connection was closed.")
        self._is_connected = True

    def check(self, answers: Sequence[Any]) -> list[bool]:
        """Whether each was taken; an event that is there already is refused. Raises the others."""
        refused = [isinstance(answer, self._refusal) for answer in answers]
        for answer, is_refused in zip(answers, refused, strict=True):
            if is_refused and "equal or smaller" not in str(answer):
                raise answer
        return [not is_refused for is_refused in refused]


@contextlib.contextmanager
def publish_run(
    url: str, home: Home, on_left: Callable[..., object] = lambda **_: None
) -> Iterator[list[Sink]]:
    """The sinks of a run, or a batch, that is published; none without an address. `on_left` hears
    at the end when Redis was away and does not have everything: `host` and `reason`."""
    if not url:
        yield []
        return
    with Publisher(url, home) as publisher:
        yield [publisher]
    if not publisher.has_all:
        on_left(host=publisher.host, reason=publisher.trouble)


@contextlib.contextmanager
def publish_store(
    url: str,
    home: Home,
    on_trouble: OnTrouble = lambda *_: None,
    *,
    every: float = LOOK_SECONDS,
    retry: tuple[float, float] = RETRY_SECONDS,
) -> Iterator[None]:
    """Publish every run of the store that had an event within a day, for as long as the `with`.
    `every` is seconds between two looks at the store."""
    if not url:
        yield
        return
    with Publisher(url, home, on_trouble, retry=retry) as publisher:
        closing = threading.Event()
        looking = threading.Thread(
            target=_look, args=(publisher, home, closing, every), daemon=True
        )
        looking.start()
        try:
            yield
        finally:
            closing.set()
            looking.join()


def _look(publisher: Publisher, home: Home, closing: threading.Event, every: float) -> None:
    """Ring for each log that has changed."""
    seen: dict[str, int] = {}
    pause = 0.0
    while not closing.wait(pause):
        began, since = time.monotonic(), (time.time() - keys.KEEP_SECONDS) * 1e9
        for name in task_names(home):
            with contextlib.suppress(OSError):
                written = os.stat(home.tasks / name / "events.jsonl").st_mtime_ns  # noqa: PTH116
                if written > since and seen.get(name) != written:
                    seen[name] = written
                    publisher.ring(name)
        pause = max(every, 20 * (time.monotonic() - began))  # at most 5 % of a core
