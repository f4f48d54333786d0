"""Plain lines, bare events, silence, and the choice between the views."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from vidgen.errors import InputError
from vidgen.events import Envelope
from vidgen.messages import message_catalogue
from vidgen.progress.views.choose import choose, resolve_mode
from vidgen.progress.views.live import Live
from vidgen.progress.views.plain import Plain, Quiet, RawJson


class Script:
    """Makes envelopes at given seconds of a run."""

    def __init__(self) -> None:
        self.seq = 0

    def __call__(self, at: float, event_type: str, **data: Any) -> Envelope:
        self.seq += 1
        stamp = f"2026-11-20T12:{int(at) // 60:02}:{at % 60:06.3f}Z"
        words = {"stage": "rendering", "progress": 60.0, "message": ""}
        return Envelope("t", self.seq, event_type, stamp, words | data)

    def frames(self, at: float, done: int, total: int = 100, **data: Any) -> Envelope:
        share = {"stage_progress": done / total, "done": done, "total": total, "unit": "frames"}
        return self(at, "progress_update", **share, **data)


@pytest.fixture
def script() -> Script:
    return Script()


def lines_of(events: list[Envelope], language: str = "en", **options: Any) -> list[str]:
    stream = io.StringIO()
    with Plain(stream, language, **options) as plain:
        for event in events:
            plain(event)
    return stream.getvalue().splitlines()


def test_a_download_tells_its_speed_and_its_end(script: Script) -> None:
    bytes_ = {"stage_progress": 0.5, "done": 5e6, "total": 1e7, "unit": "bytes"}
    fetching = script(
        1.0,
        "progress_update",
        message="Fetching centerface",
        rate=1e6,
        transfer_eta_seconds=5.0,
        **bytes_,
    )
    (line,) = lines_of([fetching])
    assert line.endswith("50%, 5.0/10.0 MB, 1.0 MB/s, about 5 s")


def test_a_whole_run_in_lines(script: Script) -> None:
    drawn = {"stage": "rendering", "message_code": "stage.rendering"}
    assert lines_of(
        [
            script(0.0, "stage_update", stage="initialized", status="started"),
            script(1.2, "stage_update", status="started", **drawn),
            script.frames(2.0, 2, rate=2.5),
            script.frames(3.0, 50, rate=25.4, eta_seconds=2.0, eta_upper_seconds=3.4),
            script(3.1, "log", level="WARNING", message="The photo is small."),
            script(3.2, "preview", path="/p/rendering-50.jpg"),
            script(4.0, "resource", cpu_percent=99.0, memory_mb=1.0),
            script(65.0, "stage_update", status="completed", duration_seconds=63.8, **drawn),
            script(
                65.5,
                "stage_update",
                stage="prosody_adjustment",
                status="skipped",
                duration_seconds=0.0,
                message="The voice stays as it is",
                message_code="x",
            ),
            script(
                66.0,
                "complete",
                video_path="/v/out.mp4",
                duration_seconds=66.0,
                message="Done",
            ),
        ]
    ) == [
        "[0:00] Getting ready ...",
        "[0:01] Drawing the frames ...",
        "[0:03] Drawing the frames: 50%, 50/100 frames, 25 frames/s, about 2 s, at most 3 s",
        "[0:03] WARNING: The photo is small.",
        "[0:03] Preview: /p/rendering-50.jpg",
        "[1:05] Drawing the frames: done (1 min 04 s)",
        "[1:05] Preparing the voice: not needed (0.0 s), The voice stays as it is",
        "[1:06] Done: /v/out.mp4 (1 min 06 s)",
    ]


def test_a_line_per_five_percent_or_five_seconds(script: Script) -> None:
    events = [script(0.0, "stage_update", status="started")]
    events += [script.frames(step / 10, step) for step in range(1, 21)]  # 10 % a second
    events += [script.frames(2.0 + step, 20, total=100) for step in range(1, 12)]  # stands still
    shares = [line.split(": ")[1].split(",")[0] for line in lines_of(events)[1:]]
    assert shares == ["5%", "10%", "15%", "20%", "20%", "20%"]


def test_who_waits_is_told_behind_whom_and_in_which_place(script: Script) -> None:
    behind = {"message": "Waiting behind run x", "message_code": "run.queued"}
    place = {"message": "Number 2 in the queue", "message_code": "run.position"}
    assert lines_of(
        [
            script(0.0, "stage_update", stage="queued", status="started", **behind),
            script(0.1, "log", level="INFO", **place),
            script(4.0, "stage_update", stage="queued", status="completed", duration_seconds=4.0),
        ]
    ) == [
        "[0:00] Waiting behind run x ...",
        "[0:00] INFO: Number 2 in the queue",
        "[0:04] Waiting for the device: done (4.0 s)",
    ]


def test_a_stage_that_turns_to_something_else_says_so(script: Script) -> None:
    frames: dict[str, Any] = {"stage": "finalizing", "message_code": "stage.finalizing"}
    judging = {"message": "Looking at the finished film", "message_code": "finalize.judging"}
    events = [
        script(0.0, "stage_update", status="started", **frames),
        script.frames(0.1, 100, **frames),
        script.frames(0.2, 100, **(frames | judging)),
        script.frames(0.3, 100, **(frames | judging)),
    ]
    assert [line.split("] ")[1] for line in lines_of(events)] == [
        "Finishing the film ...",
        "Finishing the film: 100%, 100/100 frames",
        "Looking at the finished film: 100%, 100/100 frames",
    ]


def test_previews_are_not_mentioned_to_who_wants_none(script: Script) -> None:
    assert lines_of([script(0.0, "preview", path="/p/cutout.png")], previews=False) == []


def test_each_stage_counts_its_own_five_percent(script: Script) -> None:
    events = [
        script(0.0, "stage_update", status="started"),
        script.frames(0.1, 60),
        script(0.2, "stage_update", stage="finalizing", status="started"),
        script.frames(0.3, 6, stage="finalizing"),
    ]
    assert [line.split("] ")[1] for line in lines_of(events)] == [
        "Drawing the frames ...",
        "Drawing the frames: 60%, 60/100 frames",
        "Finishing the film ...",
        "Finishing the film: 6%, 6/100 frames",
    ]


@pytest.mark.parametrize(
    ("says", "expected"),
    [(True, ["[0:00] ERROR: No face.", "[0:00] Use another photo."]), (False, [])],
)
def test_the_error_is_told_once_by_whoever_is_to(
    script: Script, says: bool, expected: list[str]
) -> None:
    event = script(0.0, "error", message="No face.", hint="Use another photo.")
    assert lines_of([event], says_errors=says) == expected


def test_what_to_do_is_said_in_the_readers_language(script: Script) -> None:
    hint = "Check the path."
    event = script(0.0, "error", message="No.", message_code="photo.missing", hint=hint)
    told = lines_of([event], "zh", says_errors=True)
    assert told[-1] == "[0:00] " + message_catalogue("zh")["photo.missing_hint"]


@pytest.mark.parametrize(("notify", "terminal", "rings"), [(1, 1, 1), (1, 0, 0), (0, 1, 0)])
def test_a_terminal_rings_once_at_the_end_when_asked_to(
    script: Script, notify: int, terminal: int, rings: int
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return bool(terminal)

    stream = Stream()
    with choose("plain", notify=bool(notify), stderr=stream) as view:
        view(script(0.0, "log", level="INFO", message="a"))
        view(script(1.0, "complete", video_path="/v.mp4", duration_seconds=1.0))
    assert stream.getvalue().count("\a") == rings


def test_a_cancelled_run_says_how_to_go_on(script: Script) -> None:
    event = script(0.0, "cancelled", message="Cancelled", resume_command="vidgen resume 550e")
    assert lines_of([event]) == ["[0:00] Cancelled: vidgen resume 550e"]


def test_a_program_without_a_film_is_done_without_a_path(script: Script) -> None:
    event = script(1.0, "complete", message="Done", video_path="", duration_seconds=1.0)
    assert lines_of([event]) == ["[0:00] Done (1.0 s)"]


def test_a_resumed_run_begins_its_clock_anew(script: Script) -> None:
    events = [
        script(0.0, "stage_update", stage="initialized", status="started"),
        script(9.0, "log", level="INFO", message="a"),
        script(3000.0, "stage_update", stage="initialized", status="started"),
        script(3001.0, "log", level="INFO", message="b"),
    ]
    assert [line[:6] for line in lines_of(events)] == ["[0:00]", "[0:09]", "[0:00]", "[0:01]"]


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("ja", "[0:01] フレームの描画: 50%, 50/100 フレーム, 約 2 秒、最長 3 秒"),
        ("zh", "[0:01] 绘制画面: 50%, 50/100 帧, 约 2 秒，最多 3 秒"),
    ],
)
def test_other_languages(script: Script, language: str, line: str) -> None:
    events = [
        script(0.0, "stage_update", status="started"),
        script.frames(1.0, 50, eta_seconds=2.0, eta_upper_seconds=3.4),
    ]
    assert lines_of(events, language)[1] == line


def test_no_escape_and_no_line_break_gets_through(script: Script) -> None:
    evil = "a\x1b[31mb\r\nc\x9bd\u202ee"
    (line,) = lines_of([script(0.0, "log", level="INFO", message=evil)])
    assert line == "[0:00] INFO: a\ufffd[31mb  c\ufffdde"


def test_a_stream_that_cannot_say_a_letter_gets_a_question_mark(script: Script) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Plain(stream, "en")(script(0.0, "log", level="INFO", message="写真 é"))
    assert raw.getvalue() == b"[0:00] INFO: ?? ?\n"


def test_a_closed_pipe_ends_the_talking_not_the_run(script: Script) -> None:
    class Gone(io.BytesIO):
        def write(self, _: object, /) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    plain, rawjson = Plain(io.TextIOWrapper(Gone(), write_through=True)), RawJson(Gone())
    for view in (plain, rawjson):
        view(script(0.0, "log", level="INFO", message="a"))
        view(script(0.0, "log", level="INFO", message="b"))


def test_rawjson_is_the_wire_and_nothing_else_flushed_at_once(script: Script) -> None:
    class Stream(io.BytesIO):
        flushed = b""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    stream = Stream()
    events = [script(0.0, "log", level="INFO", message="é"), script.frames(1.0, 5)]
    with RawJson(stream) as view:
        for number, event in enumerate(events, 1):
            view(event)
            assert stream.flushed.count(b"\n") == number
    assert [Envelope.from_wire(line) for line in stream.getvalue().splitlines()] == events


# --- the choice


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("mode", "environ", "is_terminal", "expected"),
    [
        (None, {}, True, "tty"),
        (None, {}, False, "plain"),
        ("auto", {"TERM": "dumb"}, True, "plain"),
        ("auto", {"TTY_INTERACTIVE": "0"}, True, "plain"),
        ("auto", {"FORCE_COLOR": "1"}, False, "plain"),
        (None, {"VIDGEN_PROGRESS": "rawjson"}, True, "rawjson"),
        ("quiet", {"VIDGEN_PROGRESS": "rawjson"}, True, "quiet"),
        ("plain", {}, True, "plain"),
        ("tty", {}, True, "tty"),
    ],
)
def test_auto_is_live_only_on_a_terminal(
    mode: str | None, environ: dict[str, str], is_terminal: bool, expected: str
) -> None:
    stream = Terminal() if is_terminal else io.StringIO()
    assert resolve_mode(mode, stream, environ) == expected


@pytest.mark.parametrize(
    ("mode", "environ", "is_terminal", "code"),
    [
        ("tty", {}, False, "live.no_terminal"),
        ("tty", {"TERM": "dumb"}, True, "live.no_terminal"),
        ("fancy", {}, True, "live.unknown_mode"),
        (None, {"VIDGEN_PROGRESS": "x"}, True, "live.unknown_mode"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    mode: str | None, environ: dict[str, str], is_terminal: bool, code: str
) -> None:
    stream = Terminal() if is_terminal else io.StringIO()
    with pytest.raises(InputError) as caught:
        resolve_mode(mode, stream, environ)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("mode", "kind"), [("tty", Live), ("plain", Plain), ("rawjson", RawJson), ("quiet", Quiet)]
)
def test_each_mode_has_its_view(mode: str, kind: type) -> None:
    view = choose(mode, stderr=Terminal(), stdout=io.BytesIO(), environ={"TERM": "xterm"})
    assert type(view) is kind


def test_a_closed_stderr_is_no_terminal(tmp_path: Path) -> None:
    stream = (tmp_path / "x").open("w")
    stream.close()
    assert resolve_mode(None, stream, {}) == "plain"


def test_choosing_plain_loads_no_live_view() -> None:
    import subprocess

    code = (
        "import sys, io; from vidgen.progress.views.choose import choose\n"
        "choose('plain', stderr=io.StringIO()); print('rich.console' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
