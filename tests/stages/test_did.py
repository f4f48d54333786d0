"""A film by D-ID, through both stages, against the fake over real HTTP."""

import io
import json
import shutil
import traceback
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.support.did import TASK, Clock, Heard, account, cutout, film_by, shelf, speech
from tests.support.fake_did import KEY, MAIL, FakeDid
from tests.support.fake_did_film import FilmKind
from vidgen.did.polling import PastTalks
from vidgen.errors import Cancelled, InputError, RenderError, SetupError
from vidgen.events import Event, StageProgress
from vidgen.media.encodings import encoding_for
from vidgen.media.mux import mux_film, probe
from vidgen.stages.did import DidProcessing, DidUpload
from vidgen.stages.finalize import Finalize
from vidgen.work import Cutout, Film, Folder, Notes, Speech, Subject, Video

HAPPY = [
    "GET /credits",
    "POST /images",
    "POST /audios",
    "POST /talks",
    "GET /talks/ID",
    "GET /talks/ID",
    "GET /talks/ID",
    "GET /s3/ID",
    "DELETE /talks/ID",
    "DELETE /images/ID",
    "DELETE /audios/ID",
]


def _plain(requests: list[str]) -> list[str]:
    """Without the ids."""
    return [
        "/".join(words.split("/")[:2]) + ("/ID" if words.count("/") > 1 else "")
        for words in requests
    ]


def test_a_film_is_bought_once_and_nothing_stays_there(tmp_path: Path) -> None:
    with FakeDid() as fake:
        work = film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())
        assert _plain(fake.requests) == HAPPY
        assert (fake.charged, fake.uploads, fake.authorisations) == (1, {}, [])
        talk = fake.talks[0]["id"]
    film = work.get(Film)
    assert (film.frame_count, film.fps, film.size) == (40, Fraction(25), (256, 320))
    assert film.metadata == {"renderer": "d-id", "talk": talk, "credits": 1}
    assert work.get(Notes).status == "completed"


def test_the_order_has_the_keys_of_the_contract_and_our_words(tmp_path: Path) -> None:
    with FakeDid() as fake:
        film_by(account(fake.url, keep=True), shelf(tmp_path), Heard(), Clock().patience())
        (body,) = fake.bodies
        picture, voice = fake.uploads.values()
        assert {**body, "user_data": "", "name": ""} == {
            "source_url": picture["url"],
            "script": {"type": "audio", "audio_url": voice["url"]},
            "config": {"stitch": True, "result_format": "mp4", "fluent": False, "pad_audio": 0},
            "user_data": "",
            "name": "",
        }
    assert body["user_data"].startswith(f"vidgen:{TASK}:")
    assert len(body["user_data"]) < 100


def test_the_picture_is_flat_and_the_voice_is_16_khz(tmp_path: Path) -> None:
    with FakeDid() as fake:
        work = shelf(tmp_path)
        film_by(account(fake.url, keep=True), work, Heard(), Clock().patience())
        picture, voice = (fake.content(its_id) for its_id in fake.uploads)
    shown = np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), 1))[..., ::-1]
    frame = work.get(Subject).frame
    assert shown.shape == frame.shape
    assert np.abs(shown[:, :100].astype(int) - frame[:, :100]).mean() < 3
    assert np.abs(shown[:, 160:].astype(int) - 90).mean() < 3
    with av.open(io.BytesIO(voice), "r") as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels, stream.codec_context.name) == (16000, 1, "flac")
        assert sum(frame.samples for frame in container.decode(stream)) == 25_600


def test_a_second_run_over_the_same_folder_asks_nothing(tmp_path: Path) -> None:
    with FakeDid() as fake:
        who, patience = account(fake.url), Clock().patience()
        first = film_by(who, shelf(tmp_path), Heard(), patience)
        before = len(fake.requests)
        again = film_by(who, shelf(tmp_path), Heard(), patience)
        assert fake.requests[before:] == []
    assert again.get(Film) == first.get(Film)
    assert again.get(Notes).status == "reused"


def test_a_film_that_was_damaged_on_disk_is_fetched_again_not_bought(tmp_path: Path) -> None:
    with FakeDid() as fake:
        who, patience = account(fake.url, keep=True), Clock().patience()
        work = film_by(who, shelf(tmp_path), Heard(), patience)
        work.get(Film).pieces[0].write_bytes(b"half")
        again = film_by(who, shelf(tmp_path), Heard(), patience)
        assert len(fake.talks) == 1
    assert again.get(Film) == work.get(Film)


def test_a_film_whose_work_folder_was_cleared_is_fetched_again_not_bought(tmp_path: Path) -> None:
    with FakeDid() as fake:
        who, patience = account(fake.url, keep=True), Clock().patience()
        film_by(who, shelf(tmp_path), Heard(), patience)
        shutil.rmtree(tmp_path / TASK / "work")
        film_by(who, shelf(tmp_path), Heard(), patience)
        assert len(fake.talks) == 1


def test_kept_means_kept(tmp_path: Path) -> None:
    with FakeDid() as fake:
        film_by(account(fake.url, keep=True), shelf(tmp_path), Heard(), Clock().patience())
        assert (len(fake.uploads), fake.talks[0]["deleted"]) == (2, False)


def test_the_film_joins_with_the_voice(tmp_path: Path) -> None:
    with FakeDid() as fake:
        work = film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())
    target = tmp_path / "joined.mp4"
    mux_film(work.get(Film), work.get(Speech), target, encoding_for("mp4"))
    found = probe(target)
    assert (found.frame_count, found.video_codec, found.audio_codec) == (40, "h264", "aac")


@pytest.mark.parametrize(
    ("kind", "size", "frames"),
    [
        (FilmKind(codec="mpeg4"), (256, 320), 40),
        (FilmKind(pixels="yuv444p"), (256, 320), 40),
        (FilmKind(scale=0.5), (256, 320), 40),
        (FilmKind(drop_every=5), (256, 320), 39),  # the last one is among the missing
        (FilmKind(fps=30), (256, 320), 48),
        (FilmKind(sound=False), (256, 320), 40),
    ],
)
def test_whatever_film_comes_back_it_joins(
    kind: FilmKind, size: tuple[int, int], frames: int, tmp_path: Path
) -> None:
    with FakeDid(film=kind) as fake:
        work = film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())
    film = work.get(Film)
    assert (film.size, film.frame_count) == (size, frames)
    mux_film(film, work.get(Speech), tmp_path / "joined.mp4", encoding_for("mp4"))
    assert probe(tmp_path / "joined.mp4").frame_count == frames


@pytest.mark.parametrize(("format", "codec"), [("mp4", "h264"), ("mov", "h264"), ("webm", "vp9")])
def test_the_film_goes_into_every_format(format: str, codec: str, tmp_path: Path) -> None:
    with FakeDid() as fake:
        who, patience = account(fake.url), Clock().patience()
        work = DidUpload(who, TASK, patience).run(shelf(tmp_path), Heard())
        work = DidProcessing(who, patience, format=format).run(work, Heard())
    target = tmp_path / f"joined.{format}"
    mux_film(work.get(Film), work.get(Speech), target, encoding_for(format))
    found = probe(target)
    assert (found.video_codec, found.frame_count, found.size) == (codec, 40, (256, 320))


def test_a_square_of_the_face_stays_square(tmp_path: Path) -> None:
    heard = Heard()
    with FakeDid() as fake:
        work = film_by(account(fake.url, stitch=False), shelf(tmp_path), heard, Clock().patience())
    assert work.get(Film).size == (512, 512)
    assert "did.other_shape" in heard.codes


@pytest.mark.parametrize(
    ("kind", "code"),
    [(FilmKind(garbage=True), "did.result_broken"), (FilmKind(stretch=2), "did.result_length")],
)
def test_a_film_that_is_none_is_fetched_thrice_and_not_deleted_there(
    kind: FilmKind, code: str, tmp_path: Path
) -> None:
    with FakeDid(film=kind) as fake:
        with pytest.raises(RenderError) as caught:
            film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())
        assert _plain(fake.requests).count("GET /s3/ID") == 3
        assert (len(fake.talks), fake.talks[0]["deleted"]) == (1, False)
    assert (caught.value.code, caught.value.is_retryable) == (code, True)


@pytest.mark.parametrize(("stretch", "is_taken"), [(1.04, True), (1.06, False), (0.94, False)])
def test_a_film_that_finalizing_would_refuse_is_not_deleted_there(
    stretch: float, is_taken: bool, tmp_path: Path
) -> None:
    """Ten seconds of voice; half a second is what a finished file may be off."""
    with FakeDid(film=FilmKind(stretch=stretch)) as fake:
        run = (account(fake.url), shelf(tmp_path, 10.0), Heard(), Clock().patience())
        if is_taken:
            work = film_by(*run)
            stage = Finalize(tmp_path / "film.mp4")
            assert stage.run(work, lambda _: None).get(Video).path.is_file()
        else:
            with pytest.raises(RenderError, match="lasts"):
                film_by(*run)
        assert fake.talks[0]["deleted"] is is_taken


def test_too_few_credits_are_said_before_anything_is_sent(tmp_path: Path) -> None:
    with FakeDid(credits=1) as fake:
        with pytest.raises(RenderError) as caught:
            film_by(account(fake.url), shelf(tmp_path, 15.5), Heard(), Clock().patience())
        assert fake.requests == ["GET /credits"]
    assert caught.value.code == "did.credits_short"
    assert caught.value.message == "The voice costs 2 D-ID credits, the account has 1."


def test_an_account_without_any_credits_has_none(tmp_path: Path) -> None:
    with FakeDid() as fake:
        fake.fail("GET /credits", "404")
        with pytest.raises(RenderError, match="the account has 0"):
            film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())


def test_transparency_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    work = shelf(tmp_path)
    work = work.plus(cutout(work.get(Subject), background=None))
    with FakeDid() as fake:
        with pytest.raises(InputError, match="transparent") as caught:
            film_by(account(fake.url), work, Heard(), Clock().patience())
        assert fake.requests == []
    assert "--renderer puppet" in caught.value.hint


def test_the_photo_itself_is_sent_when_its_background_stays(tmp_path: Path) -> None:
    work = shelf(tmp_path)
    work = work.plus(Cutout(work.get(Subject).frame, np.zeros((320, 256), np.float32), None, True))
    with FakeDid() as fake:
        film_by(account(fake.url), work, Heard(), Clock().patience())
        assert len(fake.talks) == 1


def test_another_voice_is_another_video(tmp_path: Path) -> None:
    heard = Heard()
    with FakeDid(seconds=3600) as fake:
        patience = Clock().patience(least_total=1.0)
        for seconds in (1.6, 1.8):
            with pytest.raises(RenderError, match="not finished"):
                film_by(account(fake.url), shelf(tmp_path, seconds), heard, patience)
        assert len({talk["asked"]["user_data"] for talk in fake.talks}) == 2
    assert "did.replaced" in heard.codes


def test_a_picture_cut_out_by_another_model_is_not_bought_again(tmp_path: Path) -> None:
    work = shelf(tmp_path)
    other = cutout(work.get(Subject), matte=np.full((320, 256), 0.7, np.float32))
    with FakeDid(seconds=3600) as fake:
        with pytest.raises(RenderError, match="not finished"):
            film_by(account(fake.url), work, Heard(), Clock().patience(least_total=1.0))
        fake.switches.seconds = 0
        film = film_by(account(fake.url), work.plus(other), Heard(), Clock().patience())
        assert len(fake.talks) == 1
    assert film.get(Film).frame_count == 40


def test_a_wait_that_was_too_long_is_taken_up_again(tmp_path: Path) -> None:
    with FakeDid(seconds=3600) as fake:
        who = account(fake.url)
        with pytest.raises(RenderError) as caught:
            film_by(who, shelf(tmp_path), Heard(), Clock().patience(least_total=60.0))
        fake.switches.seconds = 0
        work = film_by(who, shelf(tmp_path), Heard(), Clock().patience())
        assert len(fake.talks) == 1
    assert (caught.value.code, caught.value.is_retryable) == ("did.slow", True)
    assert work.get(Film).frame_count == 40


def test_polling_grows_from_2_to_30_seconds_and_is_prompt_after_a_change(tmp_path: Path) -> None:
    clock = Clock()
    asked: list[tuple[float, str]] = []
    with FakeDid(created=9, started=2) as fake:

        def note(_: int, moment: str, words: str) -> None:
            if moment == "before":
                asked.append((clock.now, words))

        fake.gate = note
        film_by(account(fake.url), shelf(tmp_path), Heard(), clock.patience())
    looks = [when for when, words in asked if words.startswith("GET /talks/")]
    pauses = [round(after - before, 2) for before, after in pairwise(looks)]
    growing = [3.0, 4.5, 6.75, 10.12, 15.19, 22.78, 30.0, 30.0]
    assert [round(looks[0], 2), *pauses] == [2.0, *growing, 30.0, 0.0, 2.0]


def test_a_talk_that_is_not_known_everywhere_yet_is_asked_for_soon_again(tmp_path: Path) -> None:
    clock = Clock()
    with FakeDid(hidden=2, created=0, started=0) as fake:
        film_by(account(fake.url), shelf(tmp_path), Heard(), clock.patience())
        assert len(fake.talks) == 1
    assert clock.now == 2.0 + 3.0 + 4.5


def test_the_bar_is_an_estimate_that_ends_only_with_the_film(tmp_path: Path) -> None:
    heard = Heard()
    with FakeDid(created=40) as fake:
        film_by(account(fake.url), shelf(tmp_path), heard, Clock().patience())
    shares = [
        event.share
        for event in heard.events
        if isinstance(event, StageProgress) and event.code == "did.working"
    ]
    assert shares == sorted(shares)
    assert max(shares) < 0.91
    assert all(after - before < 0.06 for before, after in pairwise(shares))


def test_past_talks_teach_the_estimate(tmp_path: Path) -> None:
    past = PastTalks(tmp_path / "did-times.json")
    assert past.wait_seconds(10) == 25
    with FakeDid(created=4) as fake:
        film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience(), past)
    assert json.loads((tmp_path / "did-times.json").read_text()) == [[1.6, 26.4]]
    assert past.wait_seconds(1.6) == pytest.approx(26.4)


@pytest.mark.parametrize("moment", ["waiting", "fetching"])
def test_a_cancelled_wait_says_what_happens_and_is_taken_up(moment: str, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, StageProgress) and event.code == f"did.{moment}":
            raise Cancelled("Enough.")

    moment = "working" if moment == "waiting" else moment
    with FakeDid() as fake:
        who, heard = account(fake.url), Heard(told=stop)
        with pytest.raises(Cancelled):
            film_by(who, shelf(tmp_path), heard, Clock().patience())
        assert ("did.left_running" in heard.codes) == (moment == "working")
        work = film_by(who, shelf(tmp_path), Heard(), Clock().patience())
        assert len(fake.talks) == 1
    assert work.get(Film).frame_count == 40


def test_ctrl_c_inside_a_sleep_is_told_too(tmp_path: Path) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    heard, clock = Heard(), Clock()
    with FakeDid() as fake:
        clock.sleep = interrupted  # type: ignore[method-assign]  # the fake's own seam
        with pytest.raises(KeyboardInterrupt):
            film_by(account(fake.url), shelf(tmp_path), heard, clock.patience())
        assert len(fake.talks) == 1
    assert heard.codes == ["did.ordered", "did.left_running"]


@pytest.mark.parametrize(
    ("outcome", "error", "kind", "code", "is_retryable"),
    [
        ("error", {"kind": "FaceError", "description": "no"}, InputError, "did.no_face", False),
        ("error", {"kind": "SourceError", "description": "x"}, InputError, "did.bad_image", False),
        ("error", {"kind": "DriverError"}, RenderError, "did.talk_refused", False),
        ("error", {"kind": "UnknownError"}, RenderError, "did.talk_failed", True),
        ("error", "it broke", RenderError, "did.talk_failed", True),
        ("error", None, RenderError, "did.talk_failed", True),
        ("rejected", None, RenderError, "did.rejected", False),
        (
            "rejected",
            {"kind": "CelebrityRecognizedError", "description": "x"},
            RenderError,
            "did.celebrity",
            False,
        ),
    ],
)
def test_a_talk_that_fails_says_why(
    outcome: str, error: Any, kind: type[Exception], code: str, is_retryable: bool, tmp_path: Path
) -> None:
    with FakeDid(outcome=outcome, error=error) as fake:
        with pytest.raises(kind) as caught:
            film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())
        assert len(fake.talks) == 1
    refused = caught.value
    assert isinstance(refused, InputError | RenderError)
    assert (refused.code, refused.is_retryable) == (code, is_retryable)


def test_a_talk_that_failed_without_cause_is_ordered_again_twice_at_most(tmp_path: Path) -> None:
    retryable = []
    with FakeDid(outcome="error", error={"kind": "UnknownError"}) as fake:
        for _ in range(5):
            with pytest.raises(RenderError) as caught:
                film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())
            retryable.append(caught.value.is_retryable)
        words = [talk["asked"]["user_data"].rsplit(":", 1)[1] for talk in fake.talks]
    assert retryable == [True, True, False, False, False]
    assert words == ["1", "2", "3"]


def test_a_talk_refused_for_its_files_is_never_ordered_again(tmp_path: Path) -> None:
    with FakeDid(outcome="rejected") as fake:
        for _ in range(3):
            with pytest.raises(RenderError, match="rejected"):
                film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())
        assert len(fake.talks) == 1


def test_a_talk_that_was_deleted_there_is_not_bought_again_silently(tmp_path: Path) -> None:
    with FakeDid(seconds=3600) as fake:
        who = account(fake.url)
        clock = Clock()
        with pytest.raises(RenderError, match="not finished"):
            film_by(who, shelf(tmp_path), Heard(), clock.patience(least_total=90.0))
        fake.ledger["talks"][fake.talks[0]["id"]]["deleted"] = True
        with pytest.raises(RenderError) as caught:
            film_by(who, shelf(tmp_path), Heard(), clock.patience())
        assert len(fake.talks) == 1
    assert (caught.value.code, caught.value.is_retryable) == ("did.talk_gone", False)


@pytest.mark.parametrize(("hours", "sent"), [(19, 1), (21, 2)])
def test_uploads_are_used_for_hours_and_then_sent_again(
    hours: int, sent: int, tmp_path: Path
) -> None:
    clock = Clock()
    with FakeDid() as fake:
        work = DidUpload(account(fake.url), TASK, clock.patience()).run(shelf(tmp_path), Heard())
        clock.now += hours * 3600
        film_by(account(fake.url), work, Heard(), clock.patience())
        assert _plain(fake.requests).count("POST /images") == sent


def test_uploads_that_vanished_early_are_sent_again_by_the_next_run(tmp_path: Path) -> None:
    with FakeDid() as fake:
        who, patience = account(fake.url), Clock().patience()
        fake.fail("POST /talks", "400-bad-request")
        with pytest.raises(RenderError) as caught:
            film_by(who, shelf(tmp_path), Heard(), patience)
        film_by(who, shelf(tmp_path), Heard(), patience)
        assert _plain(fake.requests).count("POST /images") == 2
        assert len(fake.talks) == 1
    assert caught.value.code == "did.bad_request"


def test_a_plan_without_stitch_says_what_to_do(tmp_path: Path) -> None:
    with FakeDid(may_stitch=False) as fake, pytest.raises(RenderError) as caught:
        film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience())
    assert caught.value.code == "did.stitch"


def test_a_note_that_cannot_be_written_stops_before_the_order(tmp_path: Path) -> None:
    work = shelf(tmp_path)
    with FakeDid() as fake:
        ready = DidUpload(account(fake.url), TASK, Clock().patience()).run(work, Heard())
        folder = ready.get(Folder).task
        shutil.rmtree(folder)
        folder.write_text("no folder")
        with pytest.raises(SetupError) as caught:
            film_by(account(fake.url), ready, Heard(), Clock().patience())
        assert fake.talks == []
    assert caught.value.code == "did.note"


def test_an_unreadable_note_means_asking_the_list_not_buying(tmp_path: Path) -> None:
    with FakeDid(seconds=3600) as fake:
        with pytest.raises(RenderError, match="not finished"):
            film_by(account(fake.url), shelf(tmp_path), Heard(), Clock().patience(least_total=9.0))
        fake.switches.seconds = 0
        (tmp_path / TASK / "did.json").write_text('{"version": 1, "task')
        heard = Heard()
        film_by(account(fake.url), shelf(tmp_path), heard, Clock().patience())
        assert len(fake.talks) == 1
    assert "did.looking" in heard.codes


@pytest.mark.parametrize("scheme", ["basic", "base64", "bearer"])
def test_each_way_to_show_the_key_works(scheme: Any, tmp_path: Path) -> None:
    with FakeDid() as fake:
        film_by(account(fake.url, scheme), shelf(tmp_path), Heard(), Clock().patience())
        assert len(fake.talks) == 1


def test_the_key_and_the_address_are_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    who, heard = account("http://127.0.0.1:9"), Heard()
    texts = [repr(who), str(who), repr(who.key)]
    for scheme in ("basic", "base64", "bearer"):
        for fault in ("echo-key", "401", "500", "reset"):
            with FakeDid() as fake:
                fake.fail("POST /images", fault, 99)
                try:
                    film_by(account(fake.url, scheme), shelf(tmp_path), heard, Clock().patience())
                except (RenderError, SetupError, InputError) as error:
                    texts += [*traceback.format_exception(error), repr(error.details), error.hint]
    with FakeDid() as fake:
        film_by(account(fake.url), shelf(tmp_path), heard, Clock().patience())
        words = [str(file.read_bytes()) for file in tmp_path.rglob("*.json")]
    everything = "\n".join([*texts, *words, repr(heard.events), caplog.text])
    user, secret = KEY.split(":")
    assert [part for part in (KEY, user, secret, MAIL, "a@b.org") if part in everything] == []
    assert "[key]" in everything
    assert "Signature" not in "\n".join([*texts, *words, repr(heard.events)])


def test_a_long_voice_is_warned_of_and_a_too_long_one_refused(tmp_path: Path) -> None:
    heard = Heard()
    with FakeDid(credits=0) as fake:
        with pytest.raises(RenderError, match="costs 21"):
            film_by(account(fake.url), shelf(tmp_path, 301), heard, Clock().patience())
        work = shelf(tmp_path).plus(speech(601))
        with pytest.raises(InputError, match="at most 600 s"):
            film_by(account(fake.url), work, Heard(), Clock().patience())
    assert heard.codes == ["did.long"]
