"""What is printed of films that would be made and of those that were, as it is read."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.batch import job
from vidgen.batch import BatchResult, FilmResult, plan_films
from vidgen.commands.film_tables import print_batch, print_batch_plan, print_plan
from vidgen.dry_run import FilmPlan
from vidgen.events import Log
from vidgen.paths import Home

PLAN = FilmPlan(
    output=Path("me-\x1b[2J.mp4"),
    seconds=34.0,
    fps=25.0,
    size=(1280, 720),
    plan={"renderer": "puppet", "device": "cpu"},
    expected_seconds=90.0,
    preview=Path("frame.png"),
    notes=(Log("WARNING", "input.small_photo", {"width": 90, "height": 80}),),
)
FILM = FilmResult(1, "t", "complete", "a.jpg", "a.wav", "a.mp4", 65.0, 1, "1")
FAILED = replace(
    FILM,
    line=2,
    state="failed",
    video="",
    took_seconds=0.0,
    message="No\x1b[2J face.",
    title="b.mp4",
)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_plan_names_film_renderer_time_and_what_a_run_would_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_plan(PLAN)
    film, facts, time, preview, note = capsys.readouterr().out.splitlines()
    assert film.startswith("Film  me-")
    assert "\x1b" not in film
    assert facts == "34.0 s, 1280×720, 25 fps, puppet, cpu"
    assert time == "about 1 min 30 s"
    assert preview.endswith("  frame.png")
    assert note.startswith("! ")


def test_a_plan_without_models_leaves_out_what_is_not_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_plan(replace(PLAN, size=None, expected_seconds=None, preview=None, notes=()))
    _, facts, time = capsys.readouterr().out.splitlines()
    assert facts == "34.0 s, 25 fps, puppet, cpu"
    assert "nobody knows yet" in time


def test_a_batchs_plan_has_a_line_for_each_film(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = plan_films(home, [job(tmp_path, "a"), job(tmp_path, "b", line=2)])
    there = replace(second, action="skip", video=tmp_path / "there.mp4")
    print_batch_plan([first, there], {first.task_id: 65.0}, 65.0)
    said = capsys.readouterr()
    rows = said.out.splitlines()
    assert (rows[0].split()[0], rows[0].split()[-4:]) == ("1", ["1", "min", "05", "s"])
    assert str(tmp_path / "a.mp4") in rows[0]
    assert rows[1].split()[-1] == str(tmp_path / "there.mp4")
    assert said.err.rstrip().endswith("1 min 05 s")
    print_batch_plan([first], {}, None)
    assert "nobody knows yet" in capsys.readouterr().err


def test_in_a_pipe_only_the_films_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_batch(BatchResult("many", (FILM, FAILED), 70.0))
    assert capsys.readouterr().out == "a.mp4\n"


def test_on_a_terminal_every_film_has_its_line(
    terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    here = replace(FILM, video=str(Path.cwd() / "films" / "a.mp4"))
    unmade = replace(FAILED, line=3, state="waiting", message="", title="c.mp4")
    print_batch(BatchResult("many", (here, FAILED, unmade), 70.0))
    made, failed, waiting = capsys.readouterr().out.splitlines()
    assert ("c.mp4" in waiting, "waiting" in waiting) == (True, True)
    assert "✓" in made
    assert " films/a.mp4 " in made
    assert "1 min 05 s" in made
    assert "✗" in failed
    assert "b.mp4: No" in failed
    assert "\x1b[2J" not in failed
    assert "failed" in failed
