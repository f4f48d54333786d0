"""Waits for D-ID to the second: when it is asked, what is shown meanwhile, when it is given up."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from vidgen.did.client import Client, UnclearOrder
from vidgen.did.orders import Order, OrderBook, configuration, place, request_of, settle
from vidgen.did.polling import PastTalks, poll_talk, share
from vidgen.did.schema import Talk, Uploaded
from vidgen.did.timing import Timing
from vidgen.errors import Cancelled, InputError, RenderError, SetupError, VidgenError
from vidgen.events import Event, Log, StageProgress

TASK = "11112222-0000-4000-8000-000000000000"
UPLOADS = Uploaded("img_1", "s3://a/b.jpg", 12.5), Uploaded("aud_1", "s3://a/b.wav", 13.5)
BUSY = RenderError("busy", code="did.busy", is_retryable=True)
UNKNOWN = RenderError("unknown", code="did.not_found")


class Script:
    """A client whose answers are made up; its clock moves only when somebody sleeps."""

    def __init__(self, *answers: Any, stitch: bool = True) -> None:
        self.seconds = 0.0
        self.answers: Iterator[Any] = iter(answers)
        self.asked: list[float] = []
        self.sent: list[dict[str, Any]] = []
        self.patience = Timing(
            clock=lambda: 1000 + self.seconds,
            wall=lambda: 5000 + self.seconds,
            sleep=self.sleep,
            chance=lambda: 1.0,
        )
        self.account = self
        self.stitch = stitch

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.seconds += seconds

    def _next(self) -> Any:
        self.asked.append(self.seconds)
        answer = next(self.answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def talk(self, talk_id: str) -> Talk:
        assert talk_id == "tlk_1"
        answer = self._next()
        return Talk("tlk_1", answer, result_url="https://x/y" if answer == "done" else "")

    def talks(self) -> Sequence[Talk]:
        return cast(Sequence[Talk], self._next())

    def create(self, request: dict[str, Any]) -> str:
        self.sent.append(request)
        return str(self._next())


def client(script: Script) -> Client:
    return cast(Client, script)


@pytest.fixture
def book(tmp_path: Path) -> OrderBook:
    return OrderBook(tmp_path)


def ordered(sent_at: float = 5000.0) -> Order:
    return Order(TASK, "c" * 64, 1, *UPLOADS, sent_at=sent_at, talk_id="tlk_1")


def poll(script: Script, book: OrderBook, *, is_new: bool = True, **order: Any) -> list[Event]:
    """Until it ends, well or not."""
    told: list[Event] = []
    poll_talk(client(script), book, ordered(**order), 10, told.append, 20, is_new)
    return told


def test_the_talk_is_asked_for_rarely_and_at_once_after_a_change(book: OrderBook) -> None:
    script = Script("created", "created", "started", "started", "done")
    told = poll(script, book)
    assert script.asked == [2.0, 5.0, 9.5, 9.5, 11.5]
    assert not [event for event in told if isinstance(event, Log)]
    first = told[0]
    assert isinstance(first, StageProgress)
    assert (first.stage, first.done, first.total, first.unit) == (
        "d_id_processing",
        0,
        100,
        "percent",
    )
    assert first.code == "did.working"
    assert first.metadata == {"estimated": True, "status": "created", "waited_seconds": 0.0}
    waits = [event.metadata["waited_seconds"] for event in told if isinstance(event, StageProgress)]
    assert waits[:8] == [0, 1, 2, 2, 3, 4, 5, 5]
    assert [e.done for e in told if isinstance(e, StageProgress)][:3] == [0.0, 3.8, 7.7]


def test_a_wait_that_is_taken_up_asks_at_once_and_shows_what_is_over(book: OrderBook) -> None:
    script = Script("started", "done")
    told = poll(script, book, is_new=False, sent_at=4990.0)
    assert script.asked == [0.0, 2.0]
    assert isinstance(told[0], StageProgress)
    assert told[0].metadata == {"estimated": True, "status": "", "waited_seconds": 10.0}


@pytest.mark.parametrize(("sent_at", "waited"), [(0.0, 20.0), (9999.0, 0.0), (4900.0, 20.0)])
def test_no_clock_makes_the_bar_run_away(book: OrderBook, sent_at: float, waited: float) -> None:
    told = poll(Script("done"), book, sent_at=sent_at)
    assert isinstance(told[0], StageProgress)
    expected = waited if sent_at else 0.0  # a time that is not known
    assert told[0].metadata["waited_seconds"] == expected


def test_silence_is_borne_for_five_minutes(book: OrderBook) -> None:
    script = Script(*[BUSY] * 99)
    with pytest.raises(RenderError, match="busy"):
        poll(script, book)
    assert script.asked == [2.0 + 30 * n for n in range(11)]


def test_a_word_ends_the_silence(book: OrderBook) -> None:
    script = Script(*[BUSY] * 9, "started", *[BUSY] * 9, "done")
    poll(script, book)
    assert script.asked[-1] > 500


def test_a_film_that_is_never_done_is_given_up(book: OrderBook) -> None:
    script = Script(*["started"] * 999)
    with pytest.raises(RenderError) as caught:
        poll(script, book)
    assert (caught.value.code, caught.value.is_retryable) == ("did.slow", True)
    assert 1200 < script.seconds <= 1230


@pytest.mark.parametrize(("age", "waits"), [(0, True), (57, True), (58, False), (9999, False)])
def test_a_young_talk_may_not_be_known_everywhere(
    book: OrderBook, age: float, *, waits: bool
) -> None:
    """It is asked for two seconds after the beginning."""
    script = Script(UNKNOWN, "done")
    if waits:
        poll(script, book, sent_at=5000.0 - age)
        return
    with pytest.raises(RenderError) as caught:
        poll(script, book, sent_at=5000.0 - age)
    assert caught.value.code == "did.talk_gone"


def test_a_refusal_ends_the_wait(book: OrderBook) -> None:
    with pytest.raises(InputError, match="no"):
        poll(Script(InputError("no")), book)
    with pytest.raises(RenderError, match="broken"):
        poll(Script(RenderError("broken", code="did.x")), book)


def test_words_that_nobody_knows_are_told_once(book: OrderBook) -> None:
    told = poll(Script("dreaming" * 9, "dreaming" * 9, "started", "done"), book)
    assert [event for event in told if isinstance(event, Log)] == [
        Log("WARNING", "did.unknown_status", {"status": ("dreaming" * 9)[:40]})
    ]


@pytest.mark.parametrize(
    ("waited", "expected", "shown"),
    [(-1, 20, 0), (0, 20, 0), (1, 20, 0.03825), (20, 20, 0.765), (40, 20, 0.8503), (5, 0, 0.9),
     (0.05, 0, 0.3825), (1e9, 20, 0.9)],
)  # fmt: skip
def test_how_much_of_the_wait_is_shown(waited: float, expected: float, shown: float) -> None:
    assert share(waited, expected) == pytest.approx(shown, abs=1e-4)


def test_twenty_talks_are_remembered(tmp_path: Path) -> None:
    past = PastTalks(tmp_path / "times.json")
    for seconds in range(1, 26):
        past.remember(10, seconds)
    kept = json.loads((tmp_path / "times.json").read_bytes())
    assert kept == [[10, float(seconds)] for seconds in range(6, 26)]
    past.remember(1.26, 0)
    assert json.loads((tmp_path / "times.json").read_bytes())[-1] == [1.3, 0.1]
    assert [file.name for file in tmp_path.iterdir()] == ["times.json"]


# Orders


def test_what_is_sent_is_what_the_contract_allows() -> None:
    order = ordered()
    assert configuration(stitch=True) == {
        "stitch": True, "result_format": "mp4", "fluent": False, "pad_audio": 0,
    }  # fmt: skip
    assert request_of(order, stitch=False) == {
        "source_url": "s3://a/b.jpg",
        "script": {"type": "audio", "audio_url": "s3://a/b.wav"},
        "config": configuration(stitch=False),
        "user_data": f"vidgen:{TASK}:{'c' * 32}:1",
        "name": "vidgen-11112222-cccccccc-1",
    }


def listed(order: Order, talk_id: str, attempt: int, status: str = "done") -> Talk:
    data = order.user_data.removesuffix("1") + str(attempt)
    return Talk(talk_id, status, user_data=data)


def test_a_doubtful_order_is_looked_for_for_a_minute(book: OrderBook) -> None:
    script = Script(*[[]] * 9)
    told: list[Event] = []
    order = settle(client(script), book, doubtful(), told.append)
    assert script.asked == [0, 2, 6, 14, 30, 60]
    assert (order.sent_at, order.talk_id) == (None, "")
    assert told == [Log("INFO", "did.looking", {"attempt": 1})]


def doubtful(sent_at: float = 5000.0) -> Order:
    return Order(TASK, "c" * 64, 1, *UPLOADS, sent_at=sent_at)


@pytest.mark.parametrize(
    ("sent_at", "asked"),
    [(0.0, [0, 2]), (4940.0, [0, 2]), (4957.0, [0, 2, 6, 14, 17]), (9999.0, [0, 2, 6, 14, 30, 60])],
)
def test_an_order_is_looked_for_until_it_is_a_minute_old(
    book: OrderBook, sent_at: float, asked: list[float]
) -> None:
    script = Script(*[[]] * 9)
    settle(client(script), book, doubtful(sent_at), lambda _: None)
    assert script.asked == asked


def test_of_several_talks_the_latest_good_one_is_ours(book: OrderBook) -> None:
    order = doubtful()
    found = [
        listed(order, "a", 1), listed(order, "b", 2, "error"), listed(order, "c", 2),
        Talk("d", "done", user_data="theirs"), listed(order, "e", 2, "rejected"),
    ]  # fmt: skip
    settled = settle(client(Script([], found)), book, order, lambda _: None)
    assert (settled.talk_id, settled.attempt) == ("c", 2)
    assert book.open(TASK, "c" * 64) == (settled, None)


@pytest.mark.parametrize(("attempt", "next_attempt"), [(1, 2), (2, 3), (3, 3)])
def test_a_failed_talk_is_ordered_three_times_at_most(
    book: OrderBook, attempt: int, next_attempt: int
) -> None:
    order = Order(TASK, "c" * 64, attempt, *UPLOADS, 1.0, "tlk_1", "did.talk_failed")
    told: list[Event] = []
    settled = settle(client(Script()), book, order, told.append)
    assert settled.attempt == next_attempt
    if attempt == 3:
        assert (settled, told) == (order, [])
        return
    assert (settled.sent_at, settled.talk_id, settled.failed) == (None, "", "")
    assert told == [Log("WARNING", "did.again", {"attempt": next_attempt})]
    assert book.open(TASK, "c" * 64) == (settled, None)


def test_an_order_is_on_the_disk_before_it_is_sent(book: OrderBook) -> None:
    script = Script("tlk_9")
    placed = place(client(script), book, Order(TASK, "c" * 64, 1, *UPLOADS), lambda _: None)
    assert (placed.talk_id, placed.sent_at) == ("tlk_9", 5000.0)
    assert book.open(TASK, "c" * 64) == (placed, None)
    assert script.sent == [request_of(placed, stitch=True)]


def test_a_create_that_stays_unclear_is_sent_three_times(book: OrderBook) -> None:
    unclear = UnclearOrder("timeout")
    script = Script(*([unclear, *[[]] * 6] * 3))
    told: list[Event] = []
    with pytest.raises(RenderError) as caught:
        place(client(script), book, Order(TASK, "c" * 64, 1, *UPLOADS), told.append)
    assert (caught.value.code, caught.value.is_retryable) == ("did.create_unclear", True)
    assert told == [Log("WARNING", "did.unclear", {"reason": "timeout", "seconds": 60.0})] * 3
    assert len(script.sent) == 3


@pytest.mark.parametrize(
    ("code", "keeps"), [("did.bad_request", False), ("did.validation", False), ("did.x", True)]
)
def test_a_refused_order_is_noted_as_one(book: OrderBook, code: str, *, keeps: bool) -> None:
    with pytest.raises(VidgenError, match="no"):
        place(client(Script(InputError("no", code=code))), book, doubtful(), lambda _: None)
    order, _ = book.open(TASK, "c" * 64)
    assert order.sent_at is None
    assert (order.picture, order.voice) == (UPLOADS if keeps else (None, None))


def test_a_cancelled_create_says_nothing_about_the_order(book: OrderBook) -> None:
    with pytest.raises(Cancelled):
        place(client(Script(Cancelled("x"))), book, doubtful(1.0), lambda _: None)
    assert book.open(TASK, "c" * 64)[0].sent_at == 5000.0


def test_a_note_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError) as caught:
        OrderBook(tmp_path / "file" / "x").save(doubtful())
    assert (caught.value.code, caught.value.is_retryable) == ("did.note", True)
    assert "Not a directory" in caught.value.message


def test_the_note_of_another_version_is_none(book: OrderBook) -> None:
    book.save(doubtful())
    note = json.loads(book.file.read_bytes())
    assert note["version"] == 1
    book.file.write_text(json.dumps(note | {"version": 2}))
    assert book.open(TASK, "c" * 64)[0] == Order(TASK, "c" * 64, sent_at=0.0)
    assert not Order(TASK, "c" * 64).is_cleaned
