"""What was ordered from D-ID, on disk before it is sent: placed, looked up, never bought twice."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from vidgen.did.client import Client, UnclearOrder
from vidgen.did.schema import Talk, Uploaded
from vidgen.errors import Cancelled, RenderError, SetupError, VidgenError
from vidgen.events import Emit, Log
from vidgen.files import atomic_write

FILE: Final = "did.json"
VERSION: Final = 1
MOST_ATTEMPTS: Final = 3  # of one film that D-ID itself keeps failing
LEAST_LOOKS: Final = 2  # into the list, however long ago the order was sent
STALE: Final = frozenset({"did.bad_request", "did.validation"})


@dataclass(frozen=True, slots=True)
class Result:
    """The film that D-ID made, in the work folder."""

    file: str  # its name
    sha256: str


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked of D-ID for one film, and how far it came. Times are unix seconds."""

    task_id: str
    content: str  # sha256 of picture, voice and configuration
    attempt: int = 1  # more only after D-ID failed an earlier talk
    picture: Uploaded | None = None
    voice: Uploaded | None = None
    sent_at: float | None = None  # a create may be with D-ID since then
    talk_id: str = ""
    failed: str = ""  # the error's code, when D-ID gave this talk up
    result: Result | None = None
    is_cleaned: bool = False  # nothing is left at D-ID

    @property
    def user_data(self) -> str:
        """What finds the talk again in D-ID's list; no other order has the same."""
        return f"vidgen:{self.task_id}:{self.content[:32]}:{self.attempt}"

    @property
    def name(self) -> str:
        return f"vidgen-{self.task_id[:8]}-{self.content[:8]}-{self.attempt}"

    def attempt_of(self, user_data: str, name: str) -> int:
        """Which attempt at this film a listed talk is; 0 for a talk of something else."""
        for given, own in ((user_data, self.user_data), (name, self.name)):
            stem = own.removesuffix(str(self.attempt))
            number = given.removeprefix(stem)
            if given.startswith(stem) and number.isdecimal():
                return int(number)
        return 0

    def again(self) -> "Order":
        """The same film, ordered once more."""
        return replace(self, attempt=self.attempt + 1, sent_at=None, talk_id="", failed="")


class OrderBook:
    """The one order of a run, in the run's own folder.

    Not in its work folder: who clears that to make room must not pay a second time.
    """

    def __init__(self, task: Path) -> None:
        self.file = task / FILE

    def open(self, task_id: str, content: str) -> tuple[Order, Order | None]:
        """The order for this content, and the one of other content that it replaces, if any.

        A file that cannot be read counts as an order that may have been sent: D-ID's list
        of talks must be asked, which the same task and content make possible.
        """
        fresh = Order(task_id, content)
        try:
            saved = _order(json.loads(self.file.read_bytes()))
        except FileNotFoundError:
            return fresh, None
        except (OSError, ValueError, TypeError, KeyError):
            return replace(fresh, sent_at=0.0), None
        if saved.content == content and saved.task_id == task_id:
            return saved, None
        return fresh, saved

    def save(self, order: Order) -> Order:
        """Put the order on disk, so that neither a kill nor a power cut loses it."""
        content = json.dumps({"version": VERSION, **asdict(order)}, indent=1).encode()
        try:
            atomic_write(self.file, content)
        except OSError as error:
            raise SetupError(
                "The note about the order at D-ID cannot be written: {reason}.",
                hint="Make room on the disk, then `vidgen resume`: nothing is ordered twice.",
                code="did.note",
                is_retryable=True,
                reason=error.strerror or type(error).__name__,
            ) from error
        return order


def request_of(order: Order, stitch: bool) -> dict[str, Any]:
    """The body of the create: exactly the keys that D-ID allows."""
    assert order.picture is not None
    assert order.voice is not None
    return {
        "source_url": order.picture.url,
        "script": {"type": "audio", "audio_url": order.voice.url},
        "config": configuration(stitch),
        "user_data": order.user_data,
        "name": order.name,
    }


def configuration(stitch: bool) -> dict[str, Any]:
    return {"stitch": stitch, "result_format": "mp4", "fluent": False, "pad_audio": 0}


def settle(client: Client, book: OrderBook, order: Order, emit: Emit) -> Order:
    """The order without doubt: with its talk's id, or surely not placed.

    An order whose talk D-ID failed for no fault of the files becomes the next attempt.
    """
    if order.sent_at is not None and not order.talk_id:
        emit(Log("INFO", "did.looking", {"attempt": order.attempt}))
        order = _look_up(client, book, order)
    if order.failed and order.attempt < MOST_ATTEMPTS:
        order = book.save(order.again())
        emit(Log("WARNING", "did.again", {"attempt": order.attempt}))
    return order


def place(client: Client, book: OrderBook, order: Order, emit: Emit) -> Order:
    """The order with its talk's id, on disk. Raises VidgenError when D-ID did not take it."""
    for _ in range(client.patience.orders):
        order = book.save(replace(order, sent_at=client.patience.wall()))
        try:
            talk_id = client.create(request_of(order, client.account.stitch))
        except UnclearOrder as error:
            seconds = client.patience.settle
            emit(Log("WARNING", "did.unclear", {"reason": error.reason, "seconds": seconds}))
            order = _look_up(client, book, order)
            if order.talk_id:
                return order
        except Cancelled:
            raise  # may come at any moment, so it says nothing about the order
        except VidgenError as error:
            book.save(_note_refusal(order, error))
            raise
        else:
            return book.save(replace(order, talk_id=talk_id))
    raise RenderError(
        "D-ID never said whether it took the order, and lists no such film.",
        hint="Wait a while, then `vidgen resume`: it asks for the list again before ordering.",
        code="did.create_unclear",
        is_retryable=True,
        user_data=order.user_data,
    )


def _order(value: Mapping[str, Any]) -> Order:
    if value["version"] != VERSION:
        raise ValueError("another version's order")
    given = {name: value[name] for name in Order.__slots__ if name in value}
    for name, kind in (("picture", Uploaded), ("voice", Uploaded), ("result", Result)):
        if given.get(name) is not None:
            given[name] = kind(**given[name])
    return Order(**given)


def _look_up(client: Client, book: OrderBook, order: Order) -> Order:
    """The order with the id of the talk that D-ID lists for it, else as one not placed.

    Looks until `settle` seconds have passed since it was sent: their gateway may give up
    before the talk is made. A clock that was set back cannot stretch this.
    """
    patience = client.patience
    assert order.sent_at is not None
    left = min(patience.settle, max(0.0, order.sent_at + patience.settle - patience.wall()))
    deadline = patience.clock() + left
    pause = patience.first_look
    looks = 0
    while True:
        looks += 1
        found = _find_talk(client, order)
        if found is not None:
            attempt = order.attempt_of(found.user_data, found.name)
            return book.save(replace(order, talk_id=found.id, attempt=attempt))
        rest = deadline - patience.clock()
        if rest <= 0 and looks >= LEAST_LOOKS:
            # On disk it stays doubtful until it is sent again: a later run looks once more.
            return replace(order, sent_at=None)
        patience.sleep(min(pause, rest) if rest > 0 else pause)
        pause *= 2


def _find_talk(client: Client, order: Order) -> Talk | None:
    """D-ID's talk for this order: of the latest attempt, a good one before a failed one."""
    found = [talk for talk in client.talks() if order.attempt_of(talk.user_data, talk.name)]

    def rank(talk: Talk) -> tuple[int, bool]:
        return order.attempt_of(talk.user_data, talk.name), not talk.is_failure

    return max(found, key=rank, default=None)


def _note_refusal(order: Order, error: VidgenError) -> Order:
    """D-ID clearly said no; the next run need not look for a talk."""
    if error.code in STALE:  # an upload may have vanished before its time
        return replace(order, sent_at=None, picture=None, voice=None)
    return replace(order, sent_at=None)
