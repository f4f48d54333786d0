"""Wait for D-ID's film: how long it will take, how often to ask, when to give up."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from vidgen.did.client import Client
from vidgen.did.errors import failure
from vidgen.did.orders import MOST_ATTEMPTS, Order, OrderBook
from vidgen.did.schema import RUNNING, Talk
from vidgen.did.timing import Timing
from vidgen.errors import RenderError, VidgenError
from vidgen.events import Emit, Log, StageProgress

# Their documentation's example: 24 s in the queue, then 41 frames at 51 frames per second.
QUEUE_SECONDS: Final = 20.0
SECONDS_PER_SECOND: Final = 0.5
KEPT: Final = 20  # talks remembered
LAST: Final = 0.9  # of the stage; the rest is the download's
PROCESSING: Final = "d_id_processing"  # the stage whose progress this is
YOUNG: Final = 60.0  # seconds in which an ordered talk may not be known everywhere at D-ID


class PastTalks:
    """The last talks' voice lengths and waits, in a small file; no file, no memory."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file

    def wait_seconds(self, voice_seconds: float) -> float:
        """Seconds from the order to the result, by the median of past talks' delay."""
        default = QUEUE_SECONDS + SECONDS_PER_SECOND * voice_seconds
        ratios = sorted(
            waited / (QUEUE_SECONDS + SECONDS_PER_SECOND * voice) for voice, waited in self._talks()
        )
        return default * ratios[len(ratios) // 2] if ratios else default

    def remember(self, voice_seconds: float, waited: float) -> None:
        """Best effort: a bar that is a little wrong costs nobody anything."""
        if self.file is None:
            return
        talks = [*self._talks(), (round(voice_seconds, 1), round(max(waited, 0.1), 1))]
        part = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        try:
            part.write_text(json.dumps(talks[-KEPT:]), "utf-8")
            part.replace(self.file)
        except OSError:
            return

    def _talks(self) -> list[tuple[float, float]]:
        if self.file is None:
            return []
        try:
            pairs = [(float(a), float(b)) for a, b in json.loads(self.file.read_bytes())]
        except (OSError, ValueError, TypeError):
            return []
        return [(a, b) for a, b in pairs if 0 < a < math.inf and 0 < b < math.inf]


def share(waited: float, expected: float) -> float:
    """How much of the stage to show, 0–0.9: straight until expected, then ever slower."""
    if waited <= 0:
        return 0.0
    part = waited / max(expected, 0.1)
    if part <= 1:
        return 0.85 * LAST * part
    return LAST * (0.85 + 0.15 * (1 - math.exp(1 - part)))


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
            metadata = {"estimated": True, "status": status, "waited_seconds": round(waited, 1)}
            self._emit(StageProgress(PROCESSING, done, 100, "percent", "did.working", metadata))
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
                "D-ID does not know the ordered film any more.",
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
        "D-ID has not finished the film in the time that was allowed for it.",
        hint="It goes on there: `vidgen resume` takes up the same film without paying again.",
        code="did.slow",
        is_retryable=True,
        talk=order.talk_id,
    )
