"""Order a video at D-ID exactly once, whatever is lost on the way.

D-ID has no idempotency key. So every order carries words of ours (`Order.user_data`), a note
is on disk before it is sent, and after an unclear answer the list of talks is asked before
anything is sent again.
"""

from dataclasses import replace
from typing import Any, Final

from vidgen.errors import Cancelled, RenderError, VidgenError
from vidgen.events import Emit, Log
from vidgen.renderers.did.client import Client, UnclearOrder
from vidgen.renderers.did.order import Order, OrderBook
from vidgen.renderers.did.wire import Talk

MOST_ATTEMPTS: Final = 3  # of one video that D-ID itself keeps failing
LEAST_LOOKS: Final = 2  # into the list, however long ago the order was sent

STALE: Final = frozenset({"did.bad_request", "did.validation"})


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
        "D-ID never said whether it took the order, and lists no such video.",
        hint="Wait a while, then `vidgen resume`: it asks for the list again before ordering.",
        code="did.create_unclear",
        is_retryable=True,
        user_data=order.user_data,
    )


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
