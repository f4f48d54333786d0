"""The parts of the D-ID client on their own: files, key, waits, notes, sentences."""

import io
import json
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import cv2
import httpx
import numpy as np
import pytest
import soundfile

from tests.support.did import TASK, Heard, account, cutout, film_by, shelf, speech, subject
from tests.support.fake_did import KEY
from vidgen.did import auth, payload, schema
from vidgen.did.credits import credit_cost
from vidgen.did.orders import Order, OrderBook, Result
from vidgen.did.polling import LAST, PastTalks, share
from vidgen.did.schema import Problem, Uploaded
from vidgen.did.timing import Timing, retry_after
from vidgen.errors import InputError, SetupError
from vidgen.messages import message_catalogue
from vidgen.work import Photo, Pixels, Speech

PACKAGE = Path(__file__).parents[2] / "vidgen"
SOURCES = [*(PACKAGE / "did").glob("*.py"), PACKAGE / "stages" / "did.py"]


def _noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ((320, 256), (320, 256)),
        ((100, 400), (160, 640)),
        ((3000, 4000), (2804, 3739)),
        ((4000, 3000), (3739, 2804)),
    ],
)
def test_a_picture_fits_their_limits(given: tuple[int, int], sent: tuple[int, int]) -> None:
    """Sizes: height, width."""
    upload = payload.picture(np.zeros((*given, 3), np.uint8))
    shown = np.asarray(cv2.imdecode(np.frombuffer(upload.content, np.uint8), 1))
    assert (shown.shape[:2], upload.name, upload.mime) == (sent, "photo.jpg", "image/jpeg")
    assert sent[0] * sent[1] <= 10 * 1024 * 1024


def test_a_heavy_picture_is_pressed_below_10_mb() -> None:
    noise = _noise(2600, 3600)
    content = payload.picture(noise).content
    assert 3_000_000 < len(content) <= 10_000_000


def test_a_ribbon_of_a_picture_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        payload.picture(np.zeros((100_000, 150, 3), np.uint8))
    assert caught.value.code == "did.shape"


def test_a_voice_is_flac_when_that_is_smaller() -> None:
    upload = payload.voice(speech(2.0, 48_000))
    samples, rate = soundfile.read(io.BytesIO(upload.content))
    assert (upload.name, upload.mime) == ("voice.flac", "audio/flac")
    assert (samples.shape, rate) == ((32_000,), 16_000)
    assert samples[4000:28_000].std() == pytest.approx(0.3 / 2**0.5, rel=0.01)


def test_a_voice_that_flac_cannot_shrink_is_wav() -> None:
    noise = np.random.default_rng(1).uniform(-1, 1, 1600).astype(np.float32)
    upload = payload.voice(Speech(noise, 16_000, ""))
    assert (upload.name, upload.mime) == ("voice.wav", "audio/wav")
    assert soundfile.info(io.BytesIO(upload.content)).frames == 1600


def test_a_long_voice_is_aac_below_6_mb() -> None:
    noise = np.random.default_rng(1).uniform(-1, 1, 200 * 16_000).astype(np.float32)
    upload = payload.voice(Speech(noise, 16_000, ""))
    assert (upload.name, upload.mime) == ("voice.m4a", "audio/mp4")
    assert len(upload.content) < 2_000_000
    with av.open(io.BytesIO(upload.content), "r") as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) / 16_000 == (
            pytest.approx(200, abs=0.1)
        )


def test_the_flat_picture_mixes_by_the_matte() -> None:
    speaker = subject((160, 160))
    half = replace(
        cutout(speaker),
        foreground=np.full_like(speaker.frame, 200),
        matte=np.full((160, 160), 0.25, np.float32),
        background=np.full_like(speaker.frame, 100),
    )
    assert np.unique(payload.flat(speaker, half)).tolist() == [125]


def test_the_fingerprint_is_of_the_photo_the_samples_and_the_settings() -> None:
    photo, voice = Photo(Path("ann.jpg"), subject().frame, "a" * 64), speech()
    prints = {
        payload.fingerprint(photo, voice, "a"),
        payload.fingerprint(photo, voice, "b"),
        payload.fingerprint(replace(photo, sha256="b" * 64), voice, "a"),
        payload.fingerprint(photo, replace(voice, rate=8000), "a"),
        payload.fingerprint(photo, replace(voice, samples=-voice.samples), "a"),
    }
    assert len(prints) == 5
    moved = replace(photo, path=Path("elsewhere.jpg"), rgb=255 - photo.rgb)
    assert payload.fingerprint(moved, replace(voice, sha256="c" * 64), "a") in prints


@pytest.mark.parametrize(
    ("seconds", "credits"), [(0.3, 1), (15.0, 1), (15.01, 2), (60, 4), (301, 21)]
)
def test_each_begun_15_seconds_cost_a_credit(seconds: float, credits: int) -> None:
    assert credit_cost(seconds) == credits


def test_the_key_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    environ = {"DID_API_KEY": "other:key", "DID_BASE_URL": "https://d-id.example/"}
    shown = []
    for who in (auth.account(environ), auth.account(environ, file)):
        request = httpx.Request("GET", who.base_url)
        next(who.key.auth_flow(request))
        shown.append((who.base_url, request.headers["Authorization"]))
    where = "https://d-id.example"
    assert shown == [(where, "Basic other:key"), (where, f"Basic {KEY}")]


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({}, "did.no_key"),
        ({"DID_API_KEY": "  "}, "did.no_key"),
        ({"DID_API_KEY": "a b"}, "did.bad_key"),
        ({"DID_API_KEY": "a\nb"}, "did.bad_key"),
        ({"DID_API_KEY": "schlüssel"}, "did.bad_key"),
        ({"DID_API_KEY": "k", "DID_BASE_URL": "http://d-id.example"}, "did.base_url"),
        ({"DID_API_KEY": "k", "DID_BASE_URL": "https://"}, "did.base_url"),
        ({"DID_API_KEY": "k", "DID_BASE_URL": "d-id.example"}, "did.base_url"),
    ],
)
def test_a_key_or_address_that_cannot_be_right(environ: dict[str, str], code: str) -> None:
    with pytest.raises(SetupError) as caught:
        auth.account(environ)
    assert caught.value.code == code
    value = environ.get("DID_API_KEY", "")
    assert len(value) < 3 or value not in repr(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff"])
def test_a_key_file_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if content:
        file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        auth.account({}, file)
    assert caught.value.code == "did.key_file"


def test_a_key_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="never written down"):
        pickle.dumps(auth.AuthKey(KEY))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("nan", 0.0),
        ("inf", 366 * 86_400.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, lambda: 10.0) == seconds


def test_waits_are_random_up_to_a_doubling_limit() -> None:
    longest = [replace(Timing(), chance=lambda: 1.0).before_retry(n, None) for n in range(7)]
    assert longest == [1, 2, 4, 8, 16, 30, 30]
    assert replace(Timing(), chance=lambda: 0.0).before_retry(3, 7) == 7


def test_the_estimate_never_reaches_the_end() -> None:
    shares = [share(seconds, 20) for seconds in range(0, 4000, 5)]
    assert shares == sorted(shares)
    assert (shares[0], max(shares) <= LAST) == (0, True)
    assert share(20, 20) == pytest.approx(0.85 * LAST)


def test_the_past_is_forgiving(tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    for content in ("", "[[1]]", '{"a": 1}', "[[-1, 5], [0, 0]]", '[["x", 1]]', "[[1, NaN]]"):
        file.write_text(content)
        assert PastTalks(file).wait_seconds(10) == 25
    past = PastTalks(file)
    for waited in (50, 50, 100, 50):
        past.remember(10, waited)
    assert past.wait_seconds(10) == 50
    assert past.wait_seconds(30) == 70
    PastTalks(tmp_path / "no" / "folder" / "times.json").remember(1, 1)


def test_an_order_comes_back_as_it_was_noted(tmp_path: Path) -> None:
    whole = Order(
        TASK,
        "c" * 64,
        2,
        Uploaded("img_1", "s3://a/b.jpg", 12.5),
        Uploaded("aud_1", "s3://a/b.wav", 13.5),
        14.5,
        "tlk_1",
        "did.talk_failed",
        Result("d-id-2.mp4", "e" * 64),
        True,
    )
    book = OrderBook(tmp_path)
    for order in (whole, Order(TASK, "c" * 64)):
        book.save(order)
        assert book.open(TASK, "c" * 64) == (order, None)
    assert [file.name for file in tmp_path.iterdir()] == ["did.json"]


def test_a_note_of_another_video_is_not_taken_for_this_one(tmp_path: Path) -> None:
    book = OrderBook(tmp_path)
    other = book.save(Order(TASK, "c" * 64, talk_id="tlk_1"))
    assert book.open(TASK, "d" * 64) == (Order(TASK, "d" * 64), other)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"version": 99}', b"\xff", b"null"])
def test_a_note_that_is_none_counts_as_an_order_that_was_sent(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "did.json").write_bytes(content)
    order, _ = OrderBook(tmp_path).open(TASK, "c" * 64)
    assert order == Order(TASK, "c" * 64, sent_at=0.0)


def test_our_words_find_every_attempt_and_nobody_elses() -> None:
    order = replace(Order(TASK, "c" * 64), attempt=2)
    other = Order(TASK, "d" * 64)
    assert order.attempt_of(replace(order, attempt=13).user_data, "") == 13
    assert order.attempt_of("", order.name) == 2
    assert order.attempt_of(other.user_data, other.name) == 0
    assert order.attempt_of("", "") == 0
    assert order.attempt_of(order.user_data + "x", "theirs") == 0


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ({"kind": "K", "description": "d"}, Problem("K", "d")),
        ({"message": "Endpoint request timed out"}, Problem("", "Endpoint request timed out")),
        ("it broke", Problem("", "it broke")),
        (None, Problem()),
        ([1], Problem()),
        ({"kind": None, "description": 5}, Problem("", "5")),
        (
            {"kind": "ValidationError", "description": "no", "details": {"body.x": {}}},
            Problem("ValidationError", "no (body.x)"),
        ),
        (
            {"description": "see https://a.b/c?Signature=x\n of me@home.org"},
            Problem("", "see https://a.b/c of [address]"),
        ),
    ],
)
def test_problems_are_read_leniently(body: object, read: Problem) -> None:
    assert schema.problem(body) == read


@pytest.mark.parametrize("value", [None, [], {}, {"id": "x"}, {"id": 5, "status": "done"}])
def test_a_talk_without_id_or_status_is_unreadable(value: object) -> None:
    with pytest.raises(schema.SchemaError):
        schema.talk(value)


def test_every_sentence_is_there_in_every_language() -> None:
    texts = "\n".join(file.read_text("utf-8") for file in SOURCES)
    raised = set(re.findall(r'code="(did\.\w+)"', texts))
    logged = set(re.findall(r'"(?:INFO|WARNING)", "(did\.\w+)"', texts))
    stages = {"did.uploaded", "did.done", "did.reused", "did.working", "did.fetching"}
    assert len(raised) > 40
    said = raised | {f"{code}_hint" for code in raised} | logged | stages
    for language in ("ja", "zh"):
        have = {code for code in message_catalogue(language) if code.startswith("did.")}
        assert have == said
    assert {code for code in message_catalogue("en") if code.startswith("did.")} == logged | stages


def test_sentences_have_the_same_places_in_every_language() -> None:
    texts = "\n".join(file.read_text("utf-8") for file in SOURCES)
    english = dict(re.findall(r'code="(did\.\w+)",\s+message="([^"]+)"', texts))
    english |= {
        code: text for code, text in message_catalogue("en").items() if code.startswith("did.")
    }
    assert len(english) > 40
    for language in ("ja", "zh"):
        for code, sentence in english.items():
            places = sorted(re.findall(r"{[^}]+}", sentence))
            assert sorted(re.findall(r"{[^}]+}", message_catalogue(language)[code])) == places, code


def test_importing_the_stages_loads_nothing_heavy_for_the_key() -> None:
    code = "import sys, vidgen.did.auth; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"numpy", "cv2", "av", "soundfile"}.isdisjoint(loaded)


def test_the_fake_runs_by_hand(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.fake_did", "--port", "0", "--seconds", "0.1"]
    command += ["--store", str(tmp_path / "store"), "--fault", "POST /talks=504-accepted:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PACKAGE.parent) as fake:
        assert fake.stdout is not None
        base, secret = (part.partition("=")[2] for part in fake.stdout.readline().split())
        try:
            quick = Timing(first_poll=0.02, longest_poll=0.1, tick=0.02, settle=0.5)
            film_by(account(base, key=secret), shelf(tmp_path), Heard(), quick)
        finally:
            fake.terminate()
    talks = json.loads((tmp_path / "store" / "ledger.json").read_text())["talks"]
    assert len(talks) == 1


def test_a_talk_is_asked_for_soon_and_then_ever_more_rarely() -> None:
    timing, polls = Timing(), [0.0]
    for _ in range(9):
        polls.append(timing.next_poll(polls[-1]))
    assert polls[1:] == [2.0, 3.0, 4.5, 6.75, 10.125, 15.1875, 22.78125, 30.0, 30.0]


def test_the_waiting_times_are_those_of_the_documents() -> None:
    timing = Timing()
    assert (timing.total(10), timing.total(299), timing.total(500)) == (1200, 1200, 2000)
    assert (timing.tries, timing.delete_tries, timing.orders) == (6, 2, 3)
    assert (timing.timeout, timing.connect_timeout, timing.silence) == (60, 15, 300)
    assert (timing.settle, timing.first_look, timing.tick) == (60, 2, 1)
    assert (timing.uploads_live, timing.longest_retry_after) == (72_000, 300)
