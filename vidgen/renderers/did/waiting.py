"""Wait for a talk that was ordered, and draw an estimated bar meanwhile.

Knows how a talk ends well and badly; orders none and fetches no film.
"""

from dataclasses import replace
from typing import Final

from vidgen.errors import RenderError, VidgenError
from vidgen.events import Emit, Log, StageProgress
from vidgen.renderers.did.client import Client
from vidgen.renderers.did.errors import failure
from vidgen.renderers.did.estimate import share
from vidgen.renderers.did.order import Order, OrderBook
from vidgen.renderers.did.ordering import MOST_ATTEMPTS
from vidgen.renderers.did.patience import Timing
from vidgen.renderers.did.wire import RUNNING, Talk

PROCESSING: Final = "d_id_processing"  # the stage whose progress this is
YOUNG: Final = 60.0  # seconds in which an ordered talk may not be known everywhere at D-ID


def poll_talk(
    client: Client,
    book: OrderBook,
    order: Order,
    seconds: float,
    emit: Emit,
    expected: float,
    is_new: bool,
) -> Talk:
    """The talk once it is done. Raises VidgenError when D-ID gave it up."""
    patience = client.patience
    bar = _PollingBar(patience, order, expected, emit)
    status, pause = ("created", patience.first_poll) if is_new else ("", 0.0)
    heard = bar.began
    while True:
        bar.rest(pause, status)
        pause = patience.next_poll(pause)
        talk, trouble = _ask(client, order)
        now = patience.clock()
        if talk is not None:
            heard = now
            if talk.is_failure:
                raise _record_failure(book, order, talk)
            if talk.is_ready:
                return talk
            if talk.status != status:
                pause = 0.0 if status else pause  # at once after a change
                status = talk.status
                _tell_unknown(status, emit)
        elif now - heard > patience.silence:
            assert trouble is not None
            raise trouble
        elif trouble is not None and trouble.is_retryable:
            pause = patience.longest_poll  # they have been asked often enough by the client
        if now - bar.began > patience.total(seconds):
            raise _too_slow(order)


class _PollingBar:
    """The estimated progress while D-ID works: they tell none."""

    def __init__(self, patience: Timing, order: Order, expected: float, emit: Emit) -> None:
        self._patience = patience
        self._expected = expected
        self._emit = emit
        self.began = patience.clock()
        # A resumed wait goes on where it was, as far as the wall clock can be believed.
        earlier = patience.wall() - (order.sent_at or patience.wall())
        self._earlier = min(max(0.0, earlier), expected)

    def rest(self, seconds: float, status: str) -> None:
        """Sleep `seconds`, moving the bar at every tick."""
        until = self._patience.clock() + seconds
        while True:
            waited = self._earlier + self._patience.clock() - self.began
            done = round(100 * share(waited, self._expected), 1)
            said = {"estimated": True, "status": status, "waited_seconds": round(waited, 1)}
            self._emit(StageProgress(PROCESSING, done, 100, "percent", "did.working", said))
            left = until - self._patience.clock()
            if left <= 0:
                return
            self._patience.sleep(min(left, self._patience.tick))


def _ask(client: Client, order: Order) -> tuple[Talk | None, VidgenError | None]:
    """The talk, or why there is no news of it that need not end the wait."""
    try:
        return client.talk(order.talk_id), None
    except RenderError as error:
        age = client.patience.wall() - (order.sent_at or 0.0)
        if error.code == "did.not_found" and not 0 <= age < YOUNG:
            raise RenderError(
                "D-ID does not know the ordered video any more.",
                hint="It was deleted there. `vidgen run` orders it anew, which costs again.",
                code="did.talk_gone",
                talk=order.talk_id,
            ) from error
        if error.is_retryable or error.code == "did.not_found":
            return None, error
        raise


def _record_failure(book: OrderBook, order: Order, talk: Talk) -> VidgenError:
    error = failure(talk, is_last=order.attempt >= MOST_ATTEMPTS)
    if error.is_retryable:  # then, and only then, a resume orders once more
        book.save(replace(order, failed=error.code))
    return error


def _tell_unknown(status: str, emit: Emit) -> None:
    if status not in RUNNING and status != "done":
        emit(Log("WARNING", "did.unknown_status", {"status": status[:40]}))


def _too_slow(order: Order) -> RenderError:
    return RenderError(
        "D-ID has not finished the video in the time that was allowed for it.",
        hint="It goes on there: `vidgen resume` takes up the same video without paying again.",
        code="did.slow",
        is_retryable=True,
        talk=order.talk_id,
    )
