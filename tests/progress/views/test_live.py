"""The live view, as a terminal shows it: exact pictures, exact sizes, a clean way out."""

import io
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyte
import pytest
from rich.cells import cell_len
from rich.color import ColorSystem

from vidgen.events import Envelope
from vidgen.messages import message_catalogue, say
from vidgen.progress.views.layout import ASCII, Viewport, lay_out
from vidgen.progress.views.live import Live
from vidgen.progress.views.state import RunState
from vidgen.progress.views.summary import message, summary
from vidgen.progress.views.terminal import (
    Abilities,
    Terminal,
    abilities,
    knows_taskbar,
    notification,
)
from vidgen.progress.views.text import shorten_path, wrap_text

TASK = "550e8400-e29b-41d4-a716-446655440000"
PLAIN = Abilities(None, unicode=True, links=False, title=False, taskbar=False)


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Script:
    """Makes envelopes at given seconds of a run."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seq = 0

    def __call__(self, at: float, event_type: str, **data: Any) -> Envelope:
        self.seq += 1
        self.clock.seconds = 100.0 + at
        stamp = f"2026-11-20T12:{int(at) // 60:02}:{at % 60:06.3f}Z"
        return Envelope(TASK, self.seq, event_type, stamp, {"message": ""} | data)

    def stage(self, at: float, stage: str, status: str, **data: Any) -> Envelope:
        words = {"message": "", "message_code": f"stage.{stage}"}
        return self(at, "stage_update", stage=stage, status=status, **(words | data))

    def until_drawing(self) -> Iterator[Envelope]:
        """A run up to the middle of its frames, 7 s in."""
        about = {"voice_seconds": 11.0, "renderer": "puppet", "frames": 275}
        yield self.stage(0.0, "initialized", "started", progress=0.0)
        yield self.stage(0.1, "initialized", "completed", progress=0.0, metadata=about)
        yield self.stage(0.1, "yolo_detection", "started", progress=0.0)
        found = {"message": "1 person found", "message_code": "detect.found_test"}
        yield self.stage(
            0.9, "yolo_detection", "completed", progress=20.0, duration_seconds=0.8, **found
        )
        yield self.stage(0.9, "birefnet_removal", "started", progress=20.0)
        yield self.stage(2.1, "birefnet_removal", "reused", progress=40.0, duration_seconds=0.01)
        yield self.stage(2.1, "prosody_adjustment", "started", progress=40.0)
        yield self.stage(2.1, "prosody_adjustment", "skipped", progress=60.0, duration_seconds=0.0)
        yield self.stage(2.1, "rendering", "started", progress=60.0)
        yield self(
            7.0,
            "resource",
            cpu_percent=187.4,
            memory_mb=612.3,
            gpu_percent=43.0,
            gpu_memory_mb=2100.0,
        )
        yield self(
            7.0,
            "progress_update",
            stage="rendering",
            progress=69.0,
            stage_progress=0.45,
            done=124,
            total=275,
            unit="frames",
            rate=25.3,
            eta_seconds=8.2,
            eta_upper_seconds=10.4,
            eta_basis="history",
        )

    def completed(self, at: float) -> Iterator[Envelope]:
        yield self.stage(at, "rendering", "completed", progress=80.0, duration_seconds=10.9)
        yield self.stage(at, "finalizing", "started", progress=80.0)
        yield self.stage(at + 1, "finalizing", "completed", progress=99.0, duration_seconds=1.0)
        yield self(
            at + 1,
            "complete",
            stage="complete",
            progress=100.0,
            video_path="/home/somebody/Videos/astronaut.mp4",
            duration_seconds=14.3,
            metadata={"peak_memory_mb": 812.0},
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def script(clock: Clock) -> Script:
    return Script(clock)


def state_of(events: Iterator[Envelope], clock: Clock) -> RunState:
    state = RunState(clock)
    for event in events:
        state.take(event)
    return state


def test_the_bar_shows_how_much_of_the_time_is_over(script: Script, clock: Clock) -> None:
    state = state_of(script.until_drawing(), clock)
    assert state.percent == 69.0  # of a run that does not tell its time
    shown = []
    for told in (81.5, 80.0, 84.0):
        state.take(script(8.0, "progress_update", progress=72.0, time_progress=told))
        shown.append(state.percent)
    assert shown == [81.5, 81.5, 84.0]
    state.take(script(9.0, "cancelled", progress=99.0))
    assert state.percent == 84.0
    state.take(script(9.0, "complete", progress=100.0))
    assert state.percent == 100.0


def text(lines: Any) -> list[str]:
    return ["".join(span.text for span in line) for line in lines]


def test_the_picture_at_80_by_24(script: Script, clock: Clock) -> None:
    state = state_of(script.until_drawing(), clock)
    assert text(lay_out(state, Viewport(80, 24, title="astronaut.png + jfk.flac"), clock())) == [
        "",
        "  vidgen  astronaut.png + jfk.flac                                 run 550e8400",
        "",
        "  ✓ Finding the speaker      1 person found                               0.8 s",
        "  ↺ Cutting the speaker out                                              reused",
        "  – Preparing the voice                                              not needed",
        "  ▸ Drawing the frames       ━━━━━━━━━╸━━━━━━━━━━━  124/275 frames  25/s   0:04",
        "  · Finishing the film",
        "",
        "   69 %  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  about 8 s, at most 10 s",
        "  0:07 so far · CPU 187 % · memory 612 MB · GPU 43 % 2.1 GB",
    ]


def test_from_its_plan_on_the_view_tells_the_film_and_when_it_is_ready(
    script: Script, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    about = {"voice_seconds": 95.2, "height": 720, "output": "/films/of/mine/a-b.mp4"}
    events = [
        script.stage(0.0, "initialized", "started", progress=0.0),
        script.stage(1.0, "initialized", "completed", progress=0.0, metadata=about),
        script(2.0, "progress_update", stage="rendering", progress=1.0, eta_seconds=190.0),
    ]
    state = state_of(iter(events), clock)
    assert text(lay_out(state, Viewport(80, 24), clock()))[-2:] == [
        "  0:02 so far · ready at 12:03",
        "  Film  /films/of/mine/a-b.mp4 · 1 min 35 s · 720 px",
    ]
    assert "Film" not in " ".join(text(lay_out(state, Viewport(80, 12), clock())))
    assert text(lay_out(state, Viewport(61, 24), clock()))[-1].startswith("  Film  ")


def test_the_picture_at_40_by_10(script: Script, clock: Clock) -> None:
    state = state_of(script.until_drawing(), clock)
    assert text(lay_out(state, Viewport(40, 10, title="astronaut.png + jfk.flac"), clock())) == [
        "✓ Finding the speaker             0.8 s",
        "↺ Cutting the speaker out        reused",
        "– Preparing the voice        not needed",
        "▸ Drawing the frames            124/275",
        "· Finishing the film",
        "",
        " 69 %  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━",
        "about 8 s, at most 10 s · 0:07",
        "CPU 187 % · 612 MB · GPU 43 % 2.1 GB",
    ]


def test_ten_lines_down_to_one_keep_what_matters_most(script: Script, clock: Clock) -> None:
    state = state_of(script.until_drawing(), clock)
    firsts = {
        height: [
            line.split("  ")[0].strip()
            for line in text(lay_out(state, Viewport(40, height), clock()))
        ]
        for height in (5, 4, 3, 2, 1)
    }
    assert firsts == {
        5: [
            "– Preparing the voice",
            "▸ Drawing the frames",
            "69 %",
            "about 8 s, at most 10 s · 0:07",
        ],
        4: ["▸ Drawing the frames", "69 %", "about 8 s, at most 10 s · 0:07"],
        3: ["▸ Drawing the frames", "69 %"],
        2: ["69 %"],
        1: ["69 %"],
    }


def test_the_picture_in_ascii(script: Script, clock: Clock) -> None:
    state = state_of(script.until_drawing(), clock)
    page = Viewport(80, 24, ASCII, title="a.png")
    picture = "\n".join(text(lay_out(state, page, clock())))
    assert picture.isascii()
    assert "> Drawing the frames       ##########-----------  124/275" in picture


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
@pytest.mark.parametrize("width", [20, 39, 40, 59, 60, 61, 80, 100, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 10, 16, 24, 60])
def test_no_line_is_ever_wider_nor_the_picture_higher_than_the_window(
    script: Script, clock: Clock, language: str, width: int, height: int
) -> None:
    page = Viewport(
        width, height, language=language, title="人物写真.png + とても長い名前の音声.wav"
    )
    state = RunState(clock)
    preview = script(7.5, "preview", path="/家/previews/" + "長" * 90 + ".jpg", progress=69.0)
    events = [*script.until_drawing(), preview, *script.completed(13.0)]
    for event in events:
        state.take(event)
        clock.seconds += 0.4
        lines = lay_out(state, page, clock())
        assert len(lines) <= max(1, height - 1)
        for line in [*lines, *summary(state, page, says_errors=True)]:
            row = "".join(span.text for span in line)
            assert cell_len(row) < width
            assert row == row.rstrip()


def test_the_bar_of_the_whole_run_never_changes_its_length(script: Script, clock: Clock) -> None:
    state = state_of(script.until_drawing(), clock)
    lengths = set()
    for _ in range(200):
        clock.seconds += 0.37
        (row,) = [row for row in text(lay_out(state, Viewport(80, 24), clock())) if " %  ━" in row]
        lengths.add(row.count("━") + row.count("╸"))
    assert lengths == {32}


def test_time_goes_on_while_events_are_silent(script: Script, clock: Clock) -> None:
    state = state_of(script.until_drawing(), clock)
    clock.seconds += 9.0
    rows = text(lay_out(state, Viewport(80, 24), clock()))
    assert any(row.endswith("nearly there") for row in rows)
    clock.seconds += 291.0
    rows = text(lay_out(state, Viewport(80, 24), clock()))
    assert "  5:07 so far · CPU 187 % · memory 612 MB · GPU 43 % 2.1 GB" in rows
    assert any(row.endswith("taking longer than expected") for row in rows)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (
            80,
            24,
            [
                "",
                "  vidgen                                                           run 550e8400",
                "",
                "  ✓ Finding the speaker      1 person found                               0.8 s",
                "  ↺ Cutting the speaker out                                              reused",
                "  – Preparing the voice                                              not needed",
                "  ✓ Drawing the frames                                                   10.9 s",
                "  ✓ Finishing the film                                                    1.0 s",
                "",
                "  ✓ Film  /home/somebody/Videos/astronaut.mp4",
                "    in 14.3 s · 1.3 × the voice's length · peak memory 812 MB",
            ],
        ),
        (
            40,
            10,
            [
                "✓ Film  …/somebody/Videos/astronaut.mp4",
                "  in 14.3 s",
                "  1.3 × the voice's length",
                "  peak memory 812 MB",
            ],
        ),
    ],
)
def test_what_stays_on_the_screen(
    script: Script, clock: Clock, width: int, height: int, expected: list[str]
) -> None:
    events = [*script.until_drawing(), *script.completed(13.0)]
    state = state_of(iter(events), clock)
    assert text(summary(state, Viewport(width, height), says_errors=False)) == expected


def test_a_failure_stays_with_its_stage_and_its_reason_if_wanted(
    script: Script, clock: Clock
) -> None:
    state = state_of(script.until_drawing(), clock)
    state.take(
        script(
            8.1,
            "error",
            stage="failed",
            progress=-1.0,
            message="Out of memory.",
            error_code="device.x",
            message_code="device.x",
            hint="Use a smaller --height.",
        )
    )
    alone = text(summary(state, Viewport(80, 24), says_errors=False))
    assert alone[-3:] == [
        "  ✗ Drawing the frames                                                    6.0 s",
        "",
        "  Failed · stopped at 69 % · 0:08 · run 550e8400",
    ]
    told = text(summary(state, Viewport(80, 24), says_errors=True))
    assert told == [*alone, "  ✗ Out of memory.", "    Use a smaller --height."]


def test_a_cancelled_run_says_how_to_go_on(script: Script, clock: Clock) -> None:
    state = state_of(script.until_drawing(), clock)
    again = "vidgen resume 550e8400"
    state.take(script(8.0, "cancelled", stage="cancelled", progress=69.0, resume_command=again))
    alone = text(summary(state, Viewport(40, 10), says_errors=False))
    assert alone == ["Cancelled · stopped at 69 % · 0:08"]  # whoever tells errors says the rest
    assert text(summary(state, Viewport(40, 10), says_errors=True)) == [
        *alone,
        "Continue with  vidgen resume 550e8400",
    ]


def test_a_run_that_failed_before_its_first_stage_ends_in_few_lines(
    script: Script, clock: Clock
) -> None:
    state = state_of(iter([script.stage(0.0, "initialized", "started", progress=0.0)]), clock)
    state.take(script(0.2, "error", stage="failed", progress=-1.0, message="No.", error_code="x"))
    assert text(summary(state, Viewport(80, 24, title="a.png"), says_errors=False)) == [
        "",
        "  vidgen  a.png                                                    run 550e8400",
        "",
        "  Failed · 0:00 · run 550e8400",
    ]


@pytest.mark.parametrize(
    ("language", "hint"),
    [("en", "Use the photo."), ("ja", message_catalogue("ja")["photo.missing_hint"])],
)
def test_what_to_do_is_said_in_the_readers_language(
    script: Script, clock: Clock, language: str, hint: str
) -> None:
    state = state_of(iter([script.stage(0.0, "initialized", "started", progress=0.0)]), clock)
    code = "photo.missing"
    state.take(script(0.2, "error", message="No.", message_code=code, hint="Use the photo."))
    told = text(summary(state, Viewport(80, 24, language=language), says_errors=True))
    assert told[-1].strip() == hint


@pytest.mark.parametrize(
    ("width", "said"),
    [(40, "about 8 s, at most 10 s · 0:07"), (26, "about 8 s · 0:07"), (20, "about 8 s · 0:07")],
)
def test_where_there_is_no_room_the_bound_goes_first(
    script: Script, clock: Clock, width: int, said: str
) -> None:
    state = state_of(script.until_drawing(), clock)
    assert said in text(lay_out(state, Viewport(width, 10), clock()))


def test_a_resumed_run_begins_its_clock_anew(script: Script, clock: Clock) -> None:
    state = state_of(script.until_drawing(), clock)
    state.take(script(8.0, "cancelled", stage="cancelled", progress=69.0))
    state.take(script.stage(3000.0, "initialized", "started", progress=69.0))
    state.take(script.stage(3001.0, "rendering", "started", progress=69.0))
    rows = text(lay_out(state, Viewport(80, 24), clock()))
    assert "  0:01 so far · CPU 187 % · memory 612 MB · GPU 43 % 2.1 GB" in rows


def test_the_cloud_has_its_own_stages(script: Script, clock: Clock) -> None:
    about = {"renderer": "d-id"}
    state = state_of(
        iter([script.stage(0.0, "initialized", "completed", progress=0.0, metadata=about)]), clock
    )
    assert list(state.stages) == [
        "yolo_detection",
        "birefnet_removal",
        "prosody_adjustment",
        "d_id_upload",
        "d_id_processing",
        "finalizing",
    ]


def test_waiting_for_the_device_is_a_row_of_its_own(script: Script, clock: Clock) -> None:
    state = state_of(iter([script.stage(0.0, "queued", "started", progress=0.0)]), clock)
    assert text(lay_out(state, Viewport(60, 12), clock()))[0].startswith("▸ Waiting for the device")


@pytest.mark.parametrize(
    ("language", "size", "row", "said"),
    [
        ("en", (80, 24), 3, "behind run 1a2b3c4d · number 2 in line"),
        ("ja", (80, 24), 3, "実行 1a2b3c4d の後 · 待ち順 2 番目"),
        ("zh", (80, 24), 3, "前面是运行 1a2b3c4d · 排第 2 位"),
        ("en", (40, 10), 8, "behind run 1a2b3c4d · number 2 in line"),
        ("ja", (40, 10), 8, "実行 1a2b3c4d の後 · 待ち順 2 番目"),
        ("zh", (40, 10), 8, "前面是运行 1a2b3c4d · 排第 2 位"),
    ],
)
def test_who_waits_sees_behind_whom_and_in_which_place(
    script: Script, clock: Clock, language: str, size: tuple[int, int], row: int, said: str
) -> None:
    window = Window(*size)
    with view(window, clock, language=language) as live:
        behind = {"message_code": "run.queued", "metadata": {"behind": "1a2b3c4d"}}
        live(script.stage(0.0, "queued", "started", progress=0.0, **behind))
        for place in (3, 2):
            told = {"message_code": "run.position", "metadata": {"position": place}}
            live(script(1.0, "log", level="INFO", progress=0.0, **told))
            live._frame()
        rows = window.shown()
    assert said in rows[row]
    assert all(len(shown) < size[0] for shown in rows)
    assert window.scrolled == 0
    assert "".join(rows).count("2 ") == 1  # nowhere else, and the older place nowhere
    assert "3 番" not in "".join(rows)


def test_no_time_is_foretold_to_who_waits(script: Script, clock: Clock) -> None:
    known = {"eta_seconds": 5.0, "eta_upper_seconds": 6.0, "progress": 0.0}
    state = state_of(iter([script.stage(0.0, "queued", "started", **known)]), clock)
    clock.seconds += 60
    for page in (Viewport(80, 24), Viewport(40, 10)):
        assert "nearly there" not in "".join(text(lay_out(state, page, clock())))


def test_fetching_models_is_a_row_that_says_what_is_fetched(script: Script, clock: Clock) -> None:
    fetching = {
        "message": "Fetching centerface",
        "message_code": "models.fetching",
        "stage_progress": 0.5,
        "done": 3_650_000,
        "total": 7_300_000,
        "unit": "bytes",
        "rate": 2.5e6,
    }
    events = [
        script.stage(0.0, "initialized", "started", progress=0.0),
        script(1.0, "progress_update", stage="initialized", progress=0.0, **fetching),
    ]
    state = state_of(iter(events), clock)
    bar = "━━━━━━━━━━╸━━━━━━━━━━"
    assert text(lay_out(state, Viewport(80, 24), clock()))[3] == (
        f"  ▸ Fetching centerface      {bar}  3.6/7.3 MB  2.5 MB/s   0:00"
    )
    assert (
        text(lay_out(state, Viewport(40, 10), clock()))[0]
        == "▸ Fetching centerface        3.6/7.3 MB"
    )
    state.take(script.stage(9.0, "initialized", "completed", progress=0.0, duration_seconds=9.0))
    rows = text(lay_out(state, Viewport(80, 24), clock()))
    assert rows[3].startswith("  ✓ Getting ready")
    assert rows[4] == "  · Finding the speaker"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "▸ Looking at the finished film"),
        ("ja", "▸ 完成した動画を確認中"),
        ("zh", "▸ 正在检查完成的视频"),
    ],
)
def test_what_a_stage_is_at_takes_the_place_of_its_name(
    script: Script, clock: Clock, language: str, words: str
) -> None:
    judging = {"message_code": "finalize.judging", "stage_progress": 1.0, "unit": "frames"}
    events = [
        *script.until_drawing(),
        script.stage(8.0, "finalizing", "started", progress=80.0),
        script(9.0, "progress_update", stage="finalizing", progress=99.0, done=275, total=275,
               **judging),
    ]  # fmt: skip
    window = Window(40, 10)
    with view(window, clock, language=language) as live:
        for event in events:
            live(event)
        live._frame()
        rows = window.shown()
    assert any(row.startswith(words) and row.endswith(" 0:00") for row in rows)


LONG = {
    "reason": "Kein Speicherplatz mehr auf dem Gerät: '/media/" + "langer-ordner/" * 12 + "f.mp4'",
    "name": "とても長い名前の動画ファイル" * 5 + ".mp4",
    "command": "vidgen models pull full",
}


@pytest.mark.parametrize(
    ("size", "language"), [((40, 10), "en"), ((40, 10), "ja"), ((80, 24), "zh")]
)
def test_no_warning_ever_wraps_or_breaks_the_picture(
    script: Script, clock: Clock, language: str, size: tuple[int, int]
) -> None:
    window = Window(*size)
    with view(window, clock, language=language) as live:
        for event in script.until_drawing():
            live(event)
        for code in message_catalogue("en"):
            if code.split(".")[0] in ("page", "live", "stage"):
                continue
            said = {"level": "WARNING", "message_code": code, "message": say(code, LONG)}
            live(script(7.2, "log", progress=69.0, metadata=LONG, **said))
            live._frame()
            run = text(lay_out(live._state, live._page(), clock()))
            shown = window.shown()
            if not window.scrolled:
                shown = shown[: max(at for at, row in enumerate(shown) if row) + 1]
            assert shown[-len(run) :] == run
    assert all(cell_len(row) < size[0] for row in _everything(window))


def test_messages_are_wrapped_with_their_sign(script: Script) -> None:
    said: Mapping[str, Any] = {
        "level": "WARNING",
        "message": "The photo is smaller than the film, so that it was made larger.",
    }
    assert text(message(said, Viewport(40, 10))) == [
        "! The photo is smaller than the film,",
        "  so that it was made larger.",
    ]


@pytest.mark.parametrize(
    ("words", "cells", "rows"),
    [
        ("a bc def", 4, ["a bc", "def"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("写真が小さい", 5, ["写真", "が小", "さい"]),
        ("a /very/long/path x", 6, ["a", "/very/", "long/p", "ath x"]),
        ("", 5, [""]),
    ],
)
def test_wrapping_counts_cells(words: str, cells: int, rows: list[str]) -> None:
    assert wrap_text(words, cells) == rows


@pytest.mark.parametrize(
    ("path", "cells", "shown"),
    [
        ("/a/b.mp4", 8, "/a/b.mp4"),
        ("/a/b.mp4", 7, "…/b.mp4"),
        ("/写真/b.mp4", 8, "…/b.mp4"),
        ("/a/b.mp4", 0, "…"),
    ],
)
def test_a_path_keeps_its_end(path: str, cells: int, shown: str) -> None:
    assert shorten_path(path, cells, "…") == shown


# --- on a terminal


class Window(io.StringIO):
    """A terminal as a stream: pyte draws what is written, like the real one would."""

    encoding = "utf-8"

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(columns, lines, history=500)
        self.screen.set_mode(pyte.modes.LNM)  # as the tty's ONLCR does
        self._feed = pyte.Stream(self.screen)
        self.raw = ""
        self.wrote = threading.Event()

    def write(self, s: str, /) -> int:
        self.raw += s
        self._feed.feed(s)
        self.wrote.set()
        return len(s)

    def size(self) -> tuple[int, int]:
        return self.screen.columns, self.screen.lines

    def shown(self) -> list[str]:
        return [row.rstrip() for row in self.screen.display]

    @property
    def scrolled(self) -> int:
        return len(self.screen.history.top)


class Still(Live):
    """A view that draws when it is told to, instead of in a thread of its own."""

    def _go(self) -> None:
        self._closing.wait()


def view(window: Window, clock: Clock, can: Abilities = PLAIN, **options: Any) -> Still:
    return Still(window, can=can, size=window.size, clock=clock, **options)


def test_without_colours_a_bar_still_tells_what_is_done(script: Script, clock: Clock) -> None:
    bars = {}
    for colours in (None, ColorSystem.EIGHT_BIT):
        window = Window()
        with view(window, clock, replace(PLAIN, colours=colours)) as live:
            for event in script.until_drawing():
                live(event)
            live._frame()
            row = next(row for row in window.shown() if " %  " in row)
        bars[colours] = row.split(" %  ")[1].split("  ")[0]
    assert set(bars[None]) == {"━", "─"}
    assert len(bars[None]) == len(bars[ColorSystem.EIGHT_BIT])


def test_the_first_picture_is_there_at_once(clock: Clock) -> None:
    window = Window()
    with view(window, clock, title="astronaut.png + jfk.flac"):
        rows = window.shown()
    assert rows[1] == "  vidgen  astronaut.png + jfk.flac"
    assert rows[3] == "  · Finding the speaker"


@pytest.mark.parametrize("size", [(80, 24), (40, 10)])
def test_every_picture_of_a_run_stays_in_place_and_scrolls_nothing(
    script: Script, clock: Clock, size: tuple[int, int]
) -> None:
    window = Window(*size)
    with view(window, clock, title="a.png + b.wav") as live:
        for event in [*script.until_drawing(), *script.completed(13.0)]:
            live(event)
            live._frame()
            expected = text(lay_out(live._state, live._page(), clock()))
            assert window.shown()[: len(expected)] == expected
            assert not any(window.shown()[len(expected) :])
            assert window.scrolled == 0
    assert window.scrolled == 0
    ending = text(summary(live._state, live._page(), says_errors=False))
    assert window.shown()[: len(ending)] == ending
    assert not any(window.shown()[len(ending) :])
    assert (window.screen.cursor.x, window.screen.cursor.y) == (0, len(ending))
    assert not window.screen.cursor.hidden


def test_a_picture_that_begins_at_the_bottom_of_the_window_is_whole(
    script: Script, clock: Clock
) -> None:
    window = Window()
    window.write("$ vidgen run a.png b.wav\n" * 30)
    with view(window, clock) as live:
        for event in script.until_drawing():
            live(event)
            live._frame()
        expected = text(lay_out(live._state, live._page(), clock()))
        assert window.shown()[-len(expected) :] == expected


def test_warnings_stay_above_and_notes_only_where_there_is_room(
    script: Script, clock: Clock
) -> None:
    for lines, kept in ((24, ["  i A note.", "  ! A warning."]), (10, ["! A warning."])):
        window = Window(80 if lines == 24 else 40, lines)
        with view(window, clock) as live:
            for event in script.until_drawing():
                live(event)
            live(script(7.1, "log", level="INFO", message="A note.", progress=69.0))
            live(script(7.2, "log", level="WARNING", message="A warning.", progress=69.0))
            live._frame()
            live._frame()
        assert _everything(window)[: len(kept)] == kept


def _everything(window: Window) -> list[str]:
    """What scrolled away and what is shown."""
    columns = window.screen.columns
    top = [
        "".join(row[x].data for x in range(columns)).rstrip() for row in window.screen.history.top
    ]
    return top + window.shown()


def test_only_rows_that_changed_are_written(script: Script, clock: Clock) -> None:
    window = Window()
    with view(window, clock) as live:
        for event in script.until_drawing():
            live(event)
        live._frame()
        before = len(window.raw)
        live._frame()
        assert len(window.raw) == before
        clock.seconds += 1.0
        live._frame()
        assert 0 < len(window.raw) - before < 400


@pytest.mark.parametrize("smaller", [(40, 10), (60, 24), (80, 12)])
def test_after_a_resize_the_picture_is_exact_again(
    script: Script, clock: Clock, smaller: tuple[int, int]
) -> None:
    window = Window()
    with view(window, clock) as live:
        for event in script.until_drawing():
            live(event)
        live._frame()
        window.screen.resize(lines=smaller[1], columns=smaller[0])
        live._frame()
        expected = text(lay_out(live._state, live._page(), clock()))
        assert window.shown()[: len(expected)] == expected
        assert not any(window.shown()[len(expected) :])


def test_every_picture_is_one_synchronised_frame(script: Script, clock: Clock) -> None:
    window = Window()
    with view(window, clock) as live:
        for event in script.until_drawing():
            live(event)
            live._frame()
    assert window.raw.count("\x1b[?2026h") == window.raw.count("\x1b[?2026l") >= 5


def test_title_and_taskbar_follow_and_are_given_back(script: Script, clock: Clock) -> None:
    window = Window()
    can = Abilities(None, unicode=True, links=True, title=True, taskbar=True)
    with view(window, clock, can) as live:
        for event in script.until_drawing():
            live(event)
        live._frame()
    assert window.raw.startswith("\x1b[?25l\x1b[22;2t")
    assert "\x1b]2;69 % Drawing the frames - vidgen\x1b\\" in window.raw
    assert "\x1b]9;4;1;69\x1b\\" in window.raw
    assert window.raw.endswith("\x1b[?25h\x1b[23;2t\x1b]9;4;0;0\x1b\\")


def test_a_plain_terminal_gets_no_extras(script: Script, clock: Clock) -> None:
    window = Window()
    with view(window, clock) as live:
        for event in [*script.until_drawing(), *script.completed(13.0)]:
            live(event)
            live._frame()
    assert "\x1b]" not in window.raw
    assert "38;" not in window.raw


def test_the_video_is_a_link_to_its_file(script: Script, clock: Clock) -> None:
    window = Window()
    can = Abilities(None, unicode=True, links=True, title=False, taskbar=False)
    with view(window, clock, can) as live:
        for event in [*script.until_drawing(), *script.completed(13.0)]:
            live(event)
    target = "file:///home/somebody/Videos/astronaut.mp4"
    assert f"\x1b]8;;{target}\x1b\\/home/somebody/Videos/astronaut.mp4\x1b]8;;\x1b\\" in window.raw


def test_a_message_cannot_steer_the_terminal(script: Script, clock: Clock) -> None:
    window = Window()
    evil = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202etxt.exe\r\n"
    with view(window, clock, title=evil) as live:
        live(script(0.0, "log", level="WARNING", message=evil, progress=0.0))
        live(script(1.0, "preview", path=evil, progress=0.0))
        live(script(2.0, "complete", video_path=evil, progress=100.0, message=evil))
        live._frame()
    for bad in ("\x1b]0", "\x07", "\x1b[2J", "\x9b", "\u202e", "\r\n"):
        assert bad not in window.raw


def test_a_terminal_that_closes_does_not_stop_the_run(script: Script, clock: Clock) -> None:
    class Closed(Window):
        def write(self, s: str, /) -> int:
            raise OSError(5, "Input/output error")

    with view(Closed(), clock) as live:
        for event in script.until_drawing():
            live(event)
            live._frame()


def test_a_bug_in_drawing_gives_the_terminal_back_and_is_told_to_the_sender(
    script: Script, clock: Clock
) -> None:
    class Buggy(Live):
        def _frame(self) -> None:
            if threading.current_thread() is not threading.main_thread():
                raise ZeroDivisionError

    window = Window()
    live = Buggy(window, can=PLAIN, size=window.size, clock=clock)
    with live:
        live._wake.set()
        live._thread.join(5)
        assert window.raw.endswith("\x1b[?25h")
        with pytest.raises(ZeroDivisionError):
            live(script(0.0, "log", message="x"))


def test_the_thread_draws_by_itself_and_ends(script: Script) -> None:
    window = Window()
    with Live(window, can=PLAIN, size=window.size) as live:
        for event in script.until_drawing():
            live(event)
        for _ in range(50):
            if any("124/275 frames" in row for row in window.shown()):
                break
            window.wrote.clear()
            window.wrote.wait(0.2)
        assert any("124/275 frames" in row for row in window.shown())
    assert not live._thread.is_alive()


def test_a_terminal_that_blocks_does_not_keep_the_run_from_ending() -> None:
    unblock = threading.Event()

    class Blocked(Window):
        def write(self, s: str, /) -> int:
            if threading.current_thread() is not threading.main_thread():
                unblock.wait(10)
            return super().write(s)

    window = Blocked()
    live = Live(window, can=PLAIN, size=window.size, leave_seconds=0.05)
    with live:
        live._wake.set()
        window.wrote.wait(1)
    unblock.set()
    live._thread.join(5)
    assert not live._thread.is_alive()


# --- what a terminal can do


@pytest.mark.parametrize(
    ("environ", "known"),
    [
        ({"WT_SESSION": "x"}, True),
        ({"ConEmuANSI": "ON"}, True),
        ({"TERM_PROGRAM": "ghostty"}, True),
        ({"TERM_PROGRAM": "WezTerm"}, True),
        ({"TERM_PROGRAM": "ghostty", "TMUX": "/tmp/x"}, False),
        ({"TERM_PROGRAM": "iTerm.app"}, False),
        ({"TERM_PROGRAM": "iTerm.app", "TERM_FEATURES": "T3LrMSc7UUw9Ts3BFGsSyHNoSxFP"}, True),
        ({"PTYXIS_VERSION": "48.1"}, True),
        ({"PTYXIS_VERSION": "47"}, False),
        ({"TERM": "xterm-256color"}, False),
    ],
)
def test_the_taskbar_is_used_only_where_it_is_known(environ: dict[str, str], known: bool) -> None:
    assert knows_taskbar(environ) is known


@pytest.mark.parametrize(
    ("environ", "colours", "is_unicode", "links"),
    [
        ({"TERM": "xterm-256color"}, "EIGHT_BIT", True, True),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "TRUECOLOR", True, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, None, True, True),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, "EIGHT_BIT", True, True),
        ({"TERM": "linux"}, "STANDARD", False, False),
    ],
)
def test_abilities_are_judged_by_the_environment(
    environ: dict[str, str], colours: str | None, is_unicode: bool, links: bool
) -> None:
    can = abilities(Window(), environ)
    name = can.colours.name if can.colours else None
    assert (name, can.unicode, can.links) == (colours, is_unicode, links)


def test_a_stream_in_ascii_gets_ascii() -> None:
    class Old(Window):
        encoding = "ascii"

    assert not abilities(Old(), {"TERM": "xterm"}).unicode


@pytest.mark.parametrize(
    ("environ", "codes"),
    [
        ({"TERM": "xterm"}, "\a"),
        ({"TERM_PROGRAM": "iTerm.app"}, "\x1b]9;Done\x1b\\"),
        ({"TERM": "xterm-kitty"}, "\x1b]99;;Done\x1b\\"),
        ({"TERM_PROGRAM": "ghostty"}, "\x1b]777;notify;vidgen;Done\x1b\\"),
        ({"TERM_PROGRAM": "ghostty", "TMUX": "x"}, "\a"),
    ],
)
def test_a_notification_or_else_the_bell(environ: dict[str, str], codes: str) -> None:
    assert notification("Done", environ) == codes


def test_what_undoes_a_change_is_written_once() -> None:
    window = Window()
    terminal = Terminal(window)
    terminal.change("\x1b[?25l", "\x1b[?25h")
    terminal.undo()
    terminal.undo()
    assert window.raw == "\x1b[?25l\x1b[?25h"
