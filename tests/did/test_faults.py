"""Every request × every way to fail: said rightly, and never more than one talk is paid."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.did import Clock, Heard, account, film_by, shelf
from tests.support.fake_did import FakeDid
from tests.support.fake_did_wire import FAULTS
from vidgen.did import errors
from vidgen.errors import RenderError, VidgenError
from vidgen.work import Film

# What a run says that meets the fault once; "" goes on as if nothing had been.
GOES_ON: Final = dict.fromkeys(FAULTS, "")
CLEAR: Final[Mapping[str, str]] = {
    "400-validation": "did.validation",
    "400-bad-request": "did.bad_request",
    "400-size": "did.too_large",
    "400-resolution": "did.resolution",
    "400-duration": "did.duration",
    "401": "did.unauthorised",
    "402": "did.no_credits",
    "403": "did.permission",
    "403-stitch": "did.stitch",
    "404": "did.not_found",
    "413": "did.too_large",
    "415": "did.mime",
    "418": "did.refused",
    "451": "did.moderation",
    "451-audio": "did.audio_moderation",
    "451-celebrity": "did.celebrity",
    "451-image": "did.image_moderation",
    "451-text": "did.text_moderation",
    "echo-key": "did.bad_request",
}
ASKED: Final = {**GOES_ON, **CLEAR, "429-long": "did.pause", "redirect": "did.refused"}
IMAGE: Final = {"400-bad-request": "did.bad_image", "echo-key": "did.bad_image"}
AUDIO: Final = {"400-bad-request": "did.bad_audio", "echo-key": "did.bad_audio"}
EXPECTED: Final[Mapping[str, Mapping[str, str]]] = {
    "GET /credits": {**ASKED, "404": "did.credits_short"},
    "POST /images": {**ASKED, **IMAGE},
    "POST /audios": {**ASKED, **AUDIO},
    # A redirected create may have been heard, so the list is asked.
    "POST /talks": {**ASKED, "redirect": ""},
    # Just ordered, a talk may be unknown for a moment; a busy D-ID is asked later.
    "GET /talks/": {**ASKED, "404": "", "429-long": ""},
    "GET /talks": ASKED,
    # A link that does not open is asked for anew.
    "GET /s3/": {
        **GOES_ON,
        **{name: code for name, code in CLEAR.items() if name[:3] not in ("400", "401", "404")},
        "403": "",
        "403-stitch": "",
        "echo-key": "",
        "429-long": "did.pause",
    },
    # The video is there; what stays at D-ID is only told.
    "DELETE /talks/": GOES_ON,
}

# What only files or orders are refused for; nothing of it comes for another request.
ABOUT_FILES: Final = ("400-", "403-", "413", "415", "451-")


def _can_meet(request: str, fault: str) -> bool:
    if request.startswith("POST"):
        return True
    # A look changes nothing at D-ID, so there is no answer to lose.
    return not fault.endswith("-accepted") and not fault.startswith(ABOUT_FILES)


CASES: Final = [
    (request, fault) for request in EXPECTED for fault in FAULTS if _can_meet(request, fault)
]


def test_the_table_is_whole() -> None:
    assert {request: codes.keys() for request, codes in EXPECTED.items()} == dict.fromkeys(
        EXPECTED, FAULTS.keys()
    )


@pytest.mark.parametrize(("request_", "fault"), CASES)
def test_one_fault(request_: str, fault: str, tmp_path: Path) -> None:
    patience = Clock().patience(**({"timeout": 0.3} if "stall" in fault else {}))
    with FakeDid() as fake:
        fake.fail(request_, fault)
        if request_ == "GET /talks":  # only an unclear answer makes anybody ask for the list
            fake.fail("POST /talks", "504-accepted")
        code = ""
        try:
            work = film_by(account(fake.url), shelf(tmp_path), Heard(), patience)
        except VidgenError as error:
            code = error.code
            work = film_by(account(fake.url), shelf(tmp_path), Heard(), patience)
        assert code == EXPECTED[request_][fault]
        assert (len(fake.talks), fake.charged) == (1, 1)
    assert work.get(Film).frame_count == 40


@pytest.mark.parametrize("fault", ["500", "503", "reset", "close", "cut", "html", "429", "list"])
@pytest.mark.parametrize("request_", EXPECTED)
def test_a_fault_that_stays(request_: str, fault: str, tmp_path: Path) -> None:
    """It ends, in words, in finite time; when D-ID is well again one talk is enough."""
    clock = Clock()
    retryable = None
    with FakeDid() as fake:
        fake.fail(request_, fault, 10_000)
        if request_ == "GET /talks":
            fake.fail("POST /talks", "504-accepted")
        try:
            film_by(account(fake.url), shelf(tmp_path), Heard(), clock.patience())
        except VidgenError as error:
            retryable = error.is_retryable
        assert retryable is (None if request_ == "DELETE /talks/" else True)
        assert clock.now < 20 * 60
        fake.mend()
        work = film_by(account(fake.url), shelf(tmp_path), Heard(), clock.patience())
        assert len(fake.talks) == 1
    assert work.get(Film).frame_count == 40


def test_a_fault_tells_how_often_it_was_met(tmp_path: Path) -> None:
    with FakeDid() as fake:
        fake.fail("POST /audios", "503", 10_000)
        with pytest.raises(VidgenError) as raised:
            film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())
    assert raised.value.retry_count == raised.value.max_retries > 0


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("unlisted", [0, 4])
@pytest.mark.parametrize("others", [0, 250])
def test_a_lost_answer_is_found_in_the_list(
    newest_first: bool, unlisted: int, others: int, tmp_path: Path
) -> None:
    heard = Heard()
    with FakeDid(newest_first=newest_first, unlisted=unlisted) as fake:
        for number in range(others):  # of somebody else, or of another program
            asked = {"config": {}, "source_url": "", "user_data": f"theirs {number}"}
            old = {"id": f"tlk_x{number}", "asked": asked, "looks": 9, "seconds": 1}
            old |= {"unlisted": 0, "deleted": False, "at": 0.0}
            fake.ledger["talks"][old["id"]] = old
        fake.fail("POST /talks", "close-accepted")
        film_by(account(fake.url), shelf(tmp_path), heard, Clock().patience())
        assert len(fake.talks) == others + 1
    assert "did.unclear" in heard.codes


def test_an_order_that_is_surely_not_there_is_sent_again(tmp_path: Path) -> None:
    clock, heard = Clock(), Heard()
    with FakeDid() as fake:
        fake.fail("POST /talks", "504", 2)
        film_by(account(fake.url), shelf(tmp_path), heard, clock.patience())
        words = [words for words in fake.requests if words.endswith(" /talks")]
        assert len(fake.talks) == 1
    looks = ["GET /talks"] * 6  # after 0, 2, 6, 14, 30 and 60 s
    assert words == ["POST /talks", *looks, "POST /talks", *looks, "POST /talks"]
    assert heard.codes.count("did.unclear") == 2


def test_an_order_that_stays_unclear_is_given_up_and_looked_for_by_the_next_run(
    tmp_path: Path,
) -> None:
    clock = Clock()
    with FakeDid() as fake:
        fake.fail("POST /talks", "504", 3)
        with pytest.raises(RenderError) as caught:
            film_by(account(fake.url), shelf(tmp_path), Heard(), clock.patience())
        before = len(fake.requests)
        heard = Heard()
        film_by(account(fake.url), shelf(tmp_path), heard, clock.patience())
        assert fake.requests[before] == "GET /talks"
        assert len(fake.talks) == 1
    assert (caught.value.code, caught.value.is_retryable) == ("did.create_unclear", True)
    assert heard.codes[0] == "did.looking"


def test_retry_after_is_honoured_and_jitter_is_full(tmp_path: Path) -> None:
    clock, heard = Clock(), Heard()
    with FakeDid() as fake:
        fake.fail("POST /images", "429-wait")
        fake.fail("POST /audios", "503", 3)
        fake.fail("POST /talks", "429-wait")
        film_by(account(fake.url), shelf(tmp_path), heard, clock.patience())
    # 7 s asked for, and half (the jitter of this clock) of 1 s; then half of 1, 2, 4 s; then again.
    assert clock.slept[:5] == [7.5, 0.5, 1.0, 2.0, 7.5]
    assert heard.codes.count("did.retrying") == 5


def test_expired_links_are_replaced_by_fresh_ones(tmp_path: Path) -> None:
    heard = Heard()
    with FakeDid(expired_links=2) as fake:
        film_by(account(fake.url), shelf(tmp_path), heard, Clock().patience())
        assert fake.authorisations == []
    assert heard.codes.count("did.link_expired") == 2


def test_links_that_never_open_are_given_up_and_the_talk_stays(tmp_path: Path) -> None:
    with FakeDid(expired_links=99) as fake:
        with pytest.raises(RenderError) as caught:
            film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())
        fake.switches.expired_links = 0
        film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())
        assert len(fake.talks) == 1
    assert (caught.value.code, caught.value.is_retryable) == ("did.link", True)


def test_an_unknown_status_is_waited_for(tmp_path: Path) -> None:
    heard = Heard()
    with FakeDid(odd_status="polishing") as fake:
        film_by(account(fake.url), shelf(tmp_path), heard, Clock().patience())
    assert heard.codes == ["did.ordered", "did.unknown_status"]


def test_a_restarted_server_changes_nothing(tmp_path: Path) -> None:
    store, clock = tmp_path / "store", Clock()
    with FakeDid(store, seconds=3600) as fake, pytest.raises(RenderError, match="not finished"):
        film_by(account(fake.url), shelf(tmp_path), Heard(), clock.patience(least_total=9.0))
    with FakeDid(store) as fake:
        film_by(account(fake.url), shelf(tmp_path), Heard(), clock.patience())
        assert len(fake.talks) == 1


def test_nobody_there_is_said(tmp_path: Path) -> None:
    clock = Clock()
    with pytest.raises(RenderError) as caught:
        film_by(account("http://127.0.0.1:9"), shelf(tmp_path), Heard(), clock.patience())
    assert (caught.value.code, caught.value.is_retryable) == ("did.unreachable", True)
    assert len(clock.slept) == 5


def test_every_row_of_the_table_has_its_own_code() -> None:
    rows = [row for row in vars(errors).values() if isinstance(row, errors.ErrorRow)]
    assert len({row.code for row in rows}) == len(rows) > 25
    assert {*errors.BY_KIND.values(), *errors.BY_STATUS.values(), *errors.BY_TALK.values()} <= {
        *rows
    }
