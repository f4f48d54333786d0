"""A D-ID that is none, or whose words and links somebody else wrote: nothing is obeyed."""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.media.test_encoder import frames, write
from tests.support.did import Clock, Heard, account, film_by, shelf
from tests.support.fake_did import FakeDid
from tests.support.fake_did_wire import Answer, Fault, problem
from vidgen.console import print_error
from vidgen.did.client import MOST_RESULT_BYTES, Client
from vidgen.did.payload import check_film
from vidgen.errors import RenderError, VidgenError
from vidgen.events import Log, StageStarted
from vidgen.media.encodings import encoding_for
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.views.plain import Plain
from vidgen.steps import run_outcome

ESCAPES: Final = (
    "\x1b]0;PWN\x07\x1b[2J\x1b[1;31mFAKE\x1b[0m \u202eevil {action} {0.__class__}\x9b31m"
)
OBEYED: Final = "\x1b\x07\x9b\u202e\x00"
HOSTILE: Final[Mapping[str, Fault]] = {
    "401": Fault(problem(401, f"x{ESCAPES}", ESCAPES)),
    "402": Fault(problem(402, "InsufficientCreditsError", ESCAPES)),
    "403": Fault(problem(403, "PermissionError", ESCAPES)),
    "418": Fault(problem(418, ESCAPES, ESCAPES)),
    "429": Fault(problem(429, ESCAPES, ESCAPES)),
    "451": Fault(problem(451, "ModerationError", ESCAPES)),
    "status": Fault(Answer(200, {"id": "tlk_1", "status": f"st{ESCAPES}"})),
    "error": Fault(
        Answer(200, {"id": "tlk_1", "status": "error", "error": {"description": ESCAPES}})
    ),
    "rejected": Fault(Answer(200, {"id": "tlk_1", "status": ESCAPES, "error": ESCAPES})),
    "nan": Fault(Answer(200, b'{"remaining": NaN}')),
    "deep": Fault(Answer(200, b"[" * 200_000)),
    "link": Fault(Answer(200, {"id": "tlk_1", "status": "done", "result_url": ESCAPES})),
    "file": Fault(Answer(200, {"id": "t", "status": "done", "result_url": "file:///etc/passwd"})),
}


@pytest.mark.parametrize("words", HOSTILE)
@pytest.mark.parametrize("request_", ["GET /credits", "POST /talks", "GET /talks/"])
def test_no_word_of_theirs_reaches_a_terminal_as_a_command(
    request_: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pane = StringIO()
    emit = Broadcast("task", [Plain(pane, "en")])
    emit(StageStarted("d_id_upload"))
    with FakeDid() as fake:
        fake.fail(request_, HOSTILE[words], 99)
        try:
            with run_outcome(emit):
                patience = Clock().patience(least_total=9.0)
                film_by(account(fake.url), shelf(tmp_path), emit, patience)
        except VidgenError as error:
            print_error(error)
    said = capsys.readouterr().err + pane.getvalue()
    assert said
    assert not set(OBEYED) & set(said)
    assert "__class__" not in said.replace("{0.__class__}", "")  # never a template


def client(files: httpx.BaseTransport, **patience: int) -> Client:
    return Client(account("https://d-id.example"), Heard(), Clock().patience(**patience), files)


@pytest.mark.parametrize(
    "link",
    [
        "http://results.example/film",
        "https://127.0.0.1/film",
        "https://localhost:8443/film",
        "https://[::1]/film",
        "https://10.1.2.3/film",
        "https://169.254.169.254/latest/meta-data",
        "https://0.0.0.0/film",
    ],
)
@pytest.mark.parametrize("is_redirected", [False, True])
def test_a_result_comes_from_the_internet_only(
    link: str, is_redirected: bool, tmp_path: Path
) -> None:
    """Also after a redirect; nobody on this machine or beside it is ever asked."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(302, headers={"Location": link})

    began = "https://results.example/film" if is_redirected else link
    with client(httpx.MockTransport(answer)) as did, pytest.raises(RenderError) as caught:
        did.download(began, tmp_path / "film.mp4", lambda *_: None)
    assert caught.value.code == "did.answer"
    assert set(asked) <= {"results.example"}
    assert list(tmp_path.iterdir()) == []


class Endless(httpx.SyncByteStream):
    """A body that goes on while somebody reads."""

    def __init__(self) -> None:
        self.sent = 0

    def __iter__(self) -> "Endless":
        return self

    def __next__(self) -> bytes:
        self.sent += 1 << 22
        return bytes(1 << 22)


def test_a_result_without_an_end_is_given_up(tmp_path: Path) -> None:
    bodies: list[Endless] = []

    def answer(_: httpx.Request) -> httpx.Response:
        bodies.append(Endless())
        return httpx.Response(200, stream=bodies[-1])

    did = client(httpx.MockTransport(answer), tries=1)
    with did, pytest.raises(RenderError) as caught:
        did.download("https://results.example/x", tmp_path / "x.mp4", lambda *_: None, 2.0)
    assert caught.value.code == "did.answer"
    assert len(bodies) == 1
    assert bodies[0].sent <= MOST_RESULT_BYTES[0] + 4 * MOST_RESULT_BYTES[1]
    assert list(tmp_path.iterdir()) == [], "nothing of it stays on the disk"


LISTS: Final = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:3,\n{film}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile {film}\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><AdaptationSet><Representation id="1" bandwidth="1">'
    "<BaseURL>{film}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_result_that_names_other_files_is_no_film(kind: str, tmp_path: Path) -> None:
    encoding = encoding_for("mp4", transparent=False)
    film = write(tmp_path / "mine.mp4", encoding, frames(0, 25, "rgb24"))
    check_film(film, 1.0)
    result = tmp_path / "d-id-1.mp4"
    result.write_text(LISTS[kind].format(film=film.name))
    with pytest.raises(RenderError) as caught:
        check_film(result, 1.0)
    assert caught.value.code == "did.result_broken"


def test_a_log_of_theirs_is_no_template(tmp_path: Path) -> None:
    pane = StringIO()
    emit = Broadcast("task", [Plain(pane, "en")])
    emit(StageStarted("d_id_upload"))
    emit(Log("WARNING", "did.unknown_status", {"status": "{0.__class__}" + ESCAPES}))
    assert "{0.__class__}" in pane.getvalue()
    assert not set(OBEYED) & set(pane.getvalue())
