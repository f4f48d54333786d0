"""What `vidgen history`, `vidgen stats`, `vidgen replay` and `vidgen clean` tell and do."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from vidgen.errors import InputError, SetupError
from vidgen.events import LOCAL_PLAN, Envelope, StageStarted, seconds_of
from vidgen.installation import install_command
from vidgen.messages import say
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.history import stats
from vidgen.progress.history.timeline import LogLine, TimelineRow, batch_runs, runs, timeline
from vidgen.progress.reporter import Reporter
from vidgen.progress.snapshot import Snapshot
from vidgen.progress.store.batches import BatchFilm, record_batch
from vidgen.progress.store.cleanup import Cleanup, clean
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.reader import iter_events, pace
from vidgen.progress.views import report
from vidgen.progress.views.plot import figure, save
from vidgen.progress.views.replay import replay

DAY = 86400.0
NOON = 1763640000.0  # 2025-11-20 12:00 UTC

Make = Callable[..., Home]


def stamped(task_id: str, seq: int, at: float, event_type: str, data: dict[str, Any]) -> Envelope:
    stamp = f"2025-11-20T12:{int(at) // 60:02}:{at % 60:06.3f}Z"
    return Envelope(task_id, seq, event_type, stamp, {"message": "", "progress": 0.0} | data)


def stage(name: str, status: str, **data: Any) -> dict[str, Any]:
    return {"stage": name, "status": status, "message_code": f"stage.{name}"} | data


COMPLETE = [
    (0.0, "stage_update", stage("initialized", "started")),
    (
        0.2,
        "stage_update",
        stage(
            "initialized",
            "completed",
            duration_seconds=0.2,
            metadata={"voice_seconds": 10.0, "frames": 250, "renderer": "puppet"},
            eta_seconds=11.0,
            eta_upper_seconds=14.0,
        ),
    ),
    (
        0.2,
        "log",
        {"stage": "initialized", "level": "INFO", "message": "Noted."},
    ),
    (0.3, "stage_update", stage("rendering", "started")),
    (5.0, "progress_update", {"stage": "rendering", "stage_progress": 0.5, "done": 5, "total": 9}),
    (
        10.3,
        "stage_update",
        stage(
            "rendering",
            "completed",
            duration_seconds=10.0,
            metadata={"backend": "puppet", "device": "cpu", "work": 250, "work_unit": "frames"},
        ),
    ),
    (
        12.0,
        "complete",
        {
            "stage": "complete",
            "progress": 100.0,
            "video_path": "/videos/out.mp4",
            "duration_seconds": 12.1,
            "metadata": {"peak_memory_mb": 700.0},
        },
    ),
]
CANCELLED = [
    *COMPLETE[:5],
    (6.0, "cancelled", {"stage": "cancelled", "cancelled_stage": "rendering", "progress": 66.0}),
]
FAILED = [
    *COMPLETE[:4],
    (
        4.0,
        "error",
        {
            "stage": "failed",
            "failed_stage": "rendering",
            "progress": -1.0,
            "error_code": "device.lost",
            "message": "The device was lost.",
            "hint": "Start again.",
        },
    ),
]


@pytest.fixture
def made(home: Home) -> Callable[..., Path]:
    """Writes a run into the home, its log as old as its events say; answers its folder."""

    def make(task_id: str, rows: list[Any], *, work: int = 0) -> Path:
        folder = home.task(task_id)
        with TaskLog(folder) as log:
            log.write_all([stamped(task_id, s, *row) for s, row in enumerate(rows, 1)])
        last = seconds_of(stamped(task_id, len(rows), *rows[-1]).timestamp)
        os.utime(folder.events, (last, last))
        inputs = {"photo": {"path": "/p/me.jpg"}, "voice": {"path": "/p/hello.wav"}}
        folder.request.write_bytes(orjson.dumps({"inputs": inputs}))
        if work:
            folder.work.mkdir()
            (folder.work / "film.npz").write_bytes(b"x" * work)
        return folder.root

    return make


# --- history


def test_a_timeline_holds_what_happened(home: Home, made: Callable[..., Path]) -> None:
    made("aaaa1111", COMPLETE)
    told = timeline(home.task("aaaa1111"))
    assert told.run.to_json() == {
        "task_id": "aaaa1111",
        "state": "complete",
        "began": "2025-11-20T12:00:00.000Z",
        "ended": "2025-11-20T12:00:12.000Z",
        "seconds": 12.1,
        "photo": "me.jpg",
        "voice": "hello.wav",
        "stage": "complete",
        "progress": 100.0,
        "video_path": "/videos/out.mp4",
        "resume_command": "",
        "error": {},
        "title": "me.jpg + hello.wav",
    }
    assert [(s.stage, s.status, s.began, s.seconds) for s in told.steps] == [
        ("initialized", "completed", 0.0, 0.2),
        ("rendering", "completed", 0.3, 10.0),
    ]
    assert told.said == (LogLine("2025-11-20T12:00:00.200Z", "INFO", "Noted.", ""),)
    assert (told.error, told.metadata) == (None, {"peak_memory_mb": 700.0})


def test_a_stage_that_did_not_end_ends_with_the_log(home: Home, made: Callable[..., Path]) -> None:
    made("bbbb", CANCELLED)
    told = timeline(home.task("bbbb"))
    assert told.steps[-1] == TimelineRow("rendering", "unfinished", 0.3, 5.7, "", "stage.rendering")
    assert (told.run.stage, told.run.resume_command) == ("rendering", "vidgen resume bbbb")


@pytest.mark.parametrize("end", [COMPLETE[-1], CANCELLED[-1]])
def test_a_stage_whose_end_the_log_lost_ended_before_the_next_began(
    home: Home, made: Callable[..., Path], end: Any
) -> None:
    end = (12.0, *end[1:])
    lost = [*COMPLETE[:5], (10.4, "stage_update", stage("finalizing", "started")), end]
    made("cccc", lost)
    told = timeline(home.task("cccc"))
    last = "completed" if end[1] == "complete" else "unfinished"
    assert [(row.stage, row.status, round(row.seconds, 1)) for row in told.steps[1:]] == [
        ("rendering", "completed", 10.1),
        ("finalizing", last, 1.6),
    ]
    assert "rendering" not in told.left

    state = Snapshot("cccc")
    for event in iter_events(home.task("cccc").events):
        state.take(event)
    marks = {name: row.mark for name, row in state.stages.items()}
    over = "completed" if end[1] == "complete" else "cancelled"
    assert marks == {"initialized": "completed", "rendering": "completed", "finalizing": over}
    assert state.to_wire()["stages"][1]["status"] == "completed"


def test_what_broke_off_is_no_lost_end(home: Home, made: Callable[..., Path]) -> None:
    again = [(20.0 + at, kind, data) for at, kind, data in COMPLETE[:2]]
    made("dddd", [*COMPLETE[:5], *again, (21.0, "stage_update", stage("finalizing", "started"))])
    steps = [(row.stage, row.status) for row in timeline(home.task("dddd")).steps]
    assert steps[:3] == [
        ("initialized", "completed"),
        ("rendering", "unfinished"),
        ("initialized", "completed"),
    ]


def test_an_ended_run_tells_what_is_left_to_do(home: Home, made: Callable[..., Path]) -> None:
    found = stage("yolo_detection", "completed"), stage("birefnet_removal", "reused")
    made("aaaa", COMPLETE)
    made("bbbb", [*CANCELLED[:-1], *((5.5, "stage_update", data) for data in found), CANCELLED[-1]])
    assert timeline(home.task("aaaa")).left == ()
    assert timeline(home.task("bbbb")).left == ("prosody_adjustment", "rendering", "finalizing")


def test_what_is_left_of_a_film_by_d_id_is_theirs(home: Home, made: Callable[..., Path]) -> None:
    planned = stage("initialized", "completed", metadata={"renderer": "d-id"})
    ended = [stage(name, "completed") for name in (*LOCAL_PLAN[:3], "d_id_upload")]
    rows = [(1.0, "stage_update", data) for data in (planned, *ended)]
    made("cccc", [*rows, (2.0, "stage_update", stage("d_id_processing", "started"))])
    assert timeline(home.task("cccc")).left == ("d_id_processing", "finalizing")


def test_a_run_that_ended_before_it_was_recorded_cannot_be_resumed(
    home: Home, made: Callable[..., Path]
) -> None:
    (made("dddd", CANCELLED) / "request.json").unlink()
    told = timeline(home.task("dddd"))
    assert (told.run.resume_command, told.left) == ("", ())


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("voice.silent", ""),
        ("detect.no_face", ""),
        ("detect.no_enlarge", "vidgen resume eeee"),
        ("output.disk_full", "vidgen resume eeee"),
    ],
)
def test_what_was_refused_is_not_to_be_resumed(
    home: Home, made: Callable[..., Path], code: str, command: str
) -> None:
    made("eeee", [*CANCELLED[:-1], (6.0, "error", {"stage": "failed", "error_code": code})])
    assert timeline(home.task("eeee")).run.resume_command == command


def test_the_pause_before_a_resume_is_left_out(home: Home, made: Callable[..., Path]) -> None:
    again = [(at + 1800.0, kind, data) for at, kind, data in COMPLETE]
    made("cccc", [*CANCELLED, *again])
    began = [(s.stage, s.status, s.began) for s in timeline(home.task("cccc")).steps]
    assert began == [
        ("initialized", "completed", 0.0),
        ("rendering", "unfinished", 0.3),
        ("initialized", "completed", 6.0),
        ("rendering", "completed", 6.3),
    ]


def test_a_run_without_events_is_told(home: Home) -> None:
    home.task("dddd").root.mkdir()
    with pytest.raises(InputError) as caught:
        timeline(home.task("dddd"))
    assert caught.value.code == "history.empty"


@pytest.mark.parametrize("columns", ["80", "40"])
def test_the_list_fits_its_window(
    home: Home,
    made: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TZ", "UTC")
    made("aaaa1111-2222", COMPLETE)
    made("bbbb1111-2222", CANCELLED)
    report.show_history(home)
    rows = capsys.readouterr().out.splitlines()
    assert all(len(row) <= int(columns) for row in rows)
    if columns == "80":
        assert [row.rstrip() for row in rows] == [
            "✗  bbbb1111  2025-11-20 12:00   6.0 s  me.jpg + hello.wav  Cancelled 66 % · D…",
            "✓  aaaa1111  2025-11-20 12:00  12.1 s  me.jpg + hello.wav  /videos/out.mp4",
            "Continue with  vidgen resume bbbb1111",
        ]


def test_the_list_says_why_a_run_failed(
    home: Home, made: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    made("aaaa1111", FAILED)
    report.show_history(home)
    reason = FAILED[-1][2]["message"]
    assert reason[:12] in capsys.readouterr().out
    report.show_history(home, as_json=True)
    (run,) = orjson.loads(capsys.readouterr().out)
    assert run["error"]["message"] == reason


def test_no_runs_of_a_batch_are_not_no_runs(
    home: Home, made: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    made("aaaa", COMPLETE)
    report.show_history(home, batch="nightly")
    assert capsys.readouterr().out == "There are no runs of a batch nightly.\n"


def test_an_empty_history_says_how_to_begin(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    report.show_history(home)
    assert capsys.readouterr().out == "There are no runs yet. `vidgen demo` makes the first.\n"


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
@pytest.mark.parametrize("rows", [COMPLETE, CANCELLED, FAILED])
def test_every_timeline_can_be_printed(
    home: Home,
    made: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    rows: list[Any],
) -> None:
    from rich.cells import cell_len

    monkeypatch.setenv("VIDGEN_LANG", language)
    monkeypatch.setenv("COLUMNS", "60")
    made("aaaa1111", rows)
    report.show_history(home, "aaaa")
    printed = capsys.readouterr().out
    assert "me.jpg + hello.wav" in printed
    assert all(cell_len(row) <= 60 for row in printed.splitlines())


@pytest.mark.parametrize("at", [0, 4])
def test_a_run_that_ended_early_leaves_no_hole(
    home: Home, made: Callable[..., Path], capsys: pytest.CaptureFixture[str], at: int
) -> None:
    made("aaaa1111", [*CANCELLED[:at], CANCELLED[-1]])
    report.show_history(home, "aaaa")
    assert "\n\n\n" not in capsys.readouterr().out


def test_a_clock_that_went_back_leaves_the_table_in_shape(
    home: Home, made: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    made("aaaa1111", [(at + 60 if n < 3 else at, *row) for n, (at, *row) in enumerate(COMPLETE)])
    report.show_history(home, "aaaa")
    rows = capsys.readouterr().out.splitlines()
    assert [row[0] for row in rows if row.endswith("━")] == ["✓", "✓"]


def test_json_is_the_values(
    home: Home, made: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    made("aaaa1111", FAILED)
    report.show_history(home, as_json=True)
    (run,) = orjson.loads(capsys.readouterr().out)
    assert (run["task_id"], run["state"], run["stage"]) == ("aaaa1111", "failed", "rendering")
    report.show_history(home, "aaaa", as_json=True)
    told = orjson.loads(capsys.readouterr().out)
    assert told["error"]["error_code"] == "device.lost"
    report.show_history(home, "aaaa", as_json=True, logs=True)
    assert orjson.loads(capsys.readouterr().out)[0]["message"] == "Noted."


def test_following_prints_events_as_lines(
    home: Home, made: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    made("aaaa1111", COMPLETE)
    report.show_history(home, "aaaa", follow=True, logs=True)
    assert capsys.readouterr().out == "[0:00] INFO: Noted.\n"


# --- replay


def test_a_replay_keeps_the_pauses_but_not_the_long_ones(
    home: Home, made: Callable[..., Path]
) -> None:
    again = [(at + 1800.0, kind, data) for at, kind, data in COMPLETE]
    made("cccc", [*CANCELLED, *again])
    pauses: list[float] = []
    events = list(pace(iter_events(home.task("cccc").events), 2.0, pauses.append))
    assert len(events) == len(CANCELLED) + len(COMPLETE)
    assert pauses == pytest.approx([0.1, 0.05, 2.35, 0.5, 5.0, 0.1, 0.05, 2.35, 2.65, 0.85])


def test_a_replay_goes_through_any_view(
    home: Home,
    made: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made("aaaa1111", FAILED)
    replay(home, "aaaa", 0, "plain")
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "[0:04] ERROR: The device was lost.",
        "[0:04] Start again.",
    ]
    with pytest.raises(InputError, match="-1"):
        replay(home, "aaaa", -1, "plain")


# --- statistics


def test_statistics_of_some_runs(home: Home, made: Callable[..., Path]) -> None:
    for number in range(3):
        made(f"a{number}", COMPLETE)
    made("b", FAILED)
    made("c", CANCELLED)
    found = stats.statistics(home)
    assert (found.runs, found.states) == (5, {"complete": 3, "failed": 1, "cancelled": 1})
    assert found.failures == {"device.lost": 1}
    assert [(s.stage, s.backend, s.device, s.runs) for s in found.stages] == [
        ("rendering", "puppet", "cpu", 3)
    ]
    assert found.stages[0].seconds_per_unit == pytest.approx(0.04)
    assert (found.accuracy.runs, found.accuracy.coverage) == (3, 1.0)
    assert found.accuracy.mape[0] == pytest.approx(0.8 / 11.8)
    assert [point.voice_seconds for point in found.finished] == [10.0] * 3


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("language", ["en", "ja", "zh"])
@pytest.mark.parametrize("columns", [80, 40])
def test_statistics_can_be_printed_from_the_first_run_on(
    home: Home,
    made: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    language: str,
    columns: int,
) -> None:
    from rich.cells import cell_len

    monkeypatch.setenv("VIDGEN_LANG", language)
    monkeypatch.setenv("COLUMNS", str(columns))
    for number in range(count):
        made(f"a{number}", COMPLETE)
    report.show_stats(home)
    printed = capsys.readouterr().out
    assert all(cell_len(row) <= columns for row in printed.splitlines())
    assert "…" not in printed.partition(say("stats.accuracy", {"runs": count}, language))[2]
    assert ("puppet" in printed) is (count > 0)
    report.show_stats(home, as_json=True)
    assert orjson.loads(capsys.readouterr().out)["runs"] == count


@pytest.mark.parametrize(
    ("count", "ending"),
    [(0, "svg"), (1, "PNG"), (12, "svg")],
)
def test_the_picture_can_be_drawn_from_the_first_run_on(
    home: Home, made: Callable[..., Path], tmp_path: Path, count: int, ending: str
) -> None:
    from xml.etree import ElementTree as ET

    from PIL import Image

    for number in range(count):
        made(f"a{number}", COMPLETE)
    file = tmp_path / f"stats.{ending}"
    save(stats.statistics(home), file)
    if ending == "svg":
        root = ET.parse(file).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "&lt;" not in file.read_text("utf-8")
    else:
        with Image.open(file) as image:
            assert (image.format, image.size) == ("PNG", (2240, 1280))
            assert len(image.getcolors(1 << 20) or []) > 10


@pytest.mark.parametrize("count", [0, 1, 12])
def test_each_run_is_a_point_in_both_panels_of_runs(
    home: Home, made: Callable[..., Path], count: int
) -> None:
    for number in range(count):
        made(f"a{number}", COMPLETE)
    stages, forecasts, speed = figure(stats.statistics(home)).axes
    bars: list[Any] = list(stages.patches)
    assert [bar.get_width() for bar in bars] == [10.0] * (count > 0)
    points: list[Any] = [
        panel.collections[-1].get_offsets() for panel in (forecasts, speed) if count
    ]
    assert [len(found) for found in points] == [count, count] * (count > 0)
    if count:
        assert list(points[0][0]) == pytest.approx([11.0, 11.8])
        assert list(points[1][0]) == pytest.approx([0, 1.2])


def test_nothing_leaves_the_picture(home: Home, made: Callable[..., Path]) -> None:
    for number in range(30):
        made(f"a{number}", COMPLETE)
    drawn = figure(stats.statistics(home))
    drawn.draw_without_rendering()
    left, bottom, right, top = drawn.get_tightbbox().extents
    assert 0 <= left < right <= drawn.get_figwidth()
    assert 0 <= bottom < top <= drawn.get_figheight()


@pytest.mark.parametrize(
    ("name", "code"),
    [("x.jpg", "stats.plot_ending"), ("no/such/folder/x.svg", "stats.plot_unwritable")],
)
def test_a_picture_that_cannot_be_written_is_told(
    home: Home, tmp_path: Path, name: str, code: str
) -> None:
    with pytest.raises(InputError) as caught:
        save(stats.statistics(home), tmp_path / name)
    assert caught.value.code == code


def test_names_with_signs_of_xml_are_written_plainly(
    home: Home, made: Callable[..., Path], tmp_path: Path
) -> None:
    from xml.etree import ElementTree as ET

    metadata = {"backend": "<b> & co", "device": "$cpu", "work": 9, "work_unit": "frames"}
    drawn = (10.3, "stage_update", stage("rendering", "completed", metadata=metadata))
    made("a", [*COMPLETE[:4], drawn, COMPLETE[-1]])
    save(stats.statistics(home), tmp_path / "stats.svg")
    assert ET.parse(tmp_path / "stats.svg").getroot().tag.endswith("svg")


def test_without_matplotlib_the_command_that_installs_it_is_told(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as if it were not installed
    with pytest.raises(SetupError) as caught:
        report.show_stats(home, plot=tmp_path / "stats.png")
    assert caught.value.code == "stats.plot_missing"
    assert install_command("plot") in caught.value.hint
    assert not (tmp_path / "stats.png").exists()


# --- cleaning


def at(days: float) -> Callable[[], float]:
    return lambda: NOON + days * DAY


def test_work_of_finished_runs_goes_first_then_whole_runs(
    home: Home, made: Callable[..., Path]
) -> None:
    root = made("done", COMPLETE, work=5000)
    assert clean(home, 30, 24, now=at(0.5)) == Cleanup()
    assert clean(home, 30, 24, now=at(1.5)) == Cleanup(5000, work_folders=1)
    assert (root / "events.jsonl").exists()
    assert clean(home, 30, 24, now=at(1.6)) == Cleanup()
    last = clean(home, 30, 24, now=at(31))
    assert last.runs == 1
    assert last.freed_bytes > 1000
    assert not root.exists()


@pytest.mark.parametrize("rows", [CANCELLED, FAILED, CANCELLED[:-1]], ids=["^C", "error", "-9"])
def test_what_can_be_resumed_is_kept_unless_told_otherwise(
    home: Home, made: Callable[..., Path], rows: list[Any]
) -> None:
    root = made("half", rows, work=5000)
    kept = Cleanup(kept_resumable=1, resumable_bytes=5000)
    assert clean(home, 30, 24, now=at(2)) == kept
    assert clean(home, 30, 24, now=at(40)) == kept
    assert root.joinpath("work/film.npz").exists()
    assert clean(home, 30, 24, keep_resumable=False, now=at(2)) == Cleanup(5000, work_folders=1)
    assert clean(home, 30, 24, now=at(40)).runs == 1  # nothing left to resume


def test_a_run_that_is_being_written_is_left_alone(home: Home, made: Callable[..., Path]) -> None:
    root = made("busy", COMPLETE, work=5000)
    with TaskLog(home.task("busy")):
        assert clean(home, 30, 24, now=at(99)) == Cleanup()
    assert root.exists()


def test_folders_that_never_became_a_run_go_after_an_hour(home: Home) -> None:
    root = home.task("empty").root
    root.mkdir()
    (home.tasks / "note.txt").write_text("not a run")
    os.utime(root, (NOON, NOON))
    assert clean(home, 30, 24, now=lambda: NOON + 60) == Cleanup()
    os.utime(root, (NOON, NOON))
    assert clean(home, 30, 24, now=lambda: NOON + 4000).runs == 1
    assert (home.tasks / "note.txt").exists()


def test_nothing_to_clean(tmp_path: Path) -> None:
    assert clean(Home(tmp_path / "nowhere"), 30, 24) == Cleanup()


def test_a_linked_file_outside_is_not_followed(
    home: Home, made: Callable[..., Path], tmp_path: Path
) -> None:
    precious = tmp_path / "precious.mp4"
    precious.write_bytes(b"x" * 9000)
    root = made("done", COMPLETE, work=10)
    (root / "work" / "link").symlink_to(precious)
    assert clean(home, 30, 24, now=at(2)).freed_bytes < 1000
    assert precious.exists()


def test_stdout_of_a_pipe_has_no_escape(
    home: Home, made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made("aaaa1111", COMPLETE)
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    report.show_history(home)
    report.show_history(home, "aaaa")
    report.show_stats(home)
    assert "\x1b" not in stream.getvalue()


def test_the_runs_of_a_batch_are_listed_alone(home: Home) -> None:
    films = [BatchFilm("11111111-0000-4000-8000-000000000000", "a.mp4", 1.0, None)]
    other = "22222222-0000-4000-8000-000000000000"
    for task_id in (films[0].task_id, other):
        with TaskLog(home.task(task_id)) as log:
            Broadcast(task_id, log=log)(StageStarted("initialized"))
    with record_batch(home, "b", films):
        assert [run.task_id for run in batch_runs(home, "b")] == [films[0].task_id]


def test_other_programs_runs_have_titles_and_statistics_of_their_own(home: Home) -> None:
    for title in ("nightly", ""):
        with Reporter(["rendering"], title=title, home=home) as report, report.stage("rendering"):
            pass
    assert sorted(run.title for run in runs(home)) == ["", "nightly"]
    backends = sorted(stage.backend for stage in stats.statistics(home).stages)
    assert backends == ["Reporter", "nightly"]
