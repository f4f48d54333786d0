"""A command line that cannot be meant, and the commands on runs and settings, in this process."""

import json
import os
import shlex
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from typer._click import Command
from typer.core import TyperGroup

from vidgen import cli, config, flags
from vidgen.commands import usage
from vidgen.commands.config import edit
from vidgen.errors import InputError, SetupError
from vidgen.events import Completed, StageStarted
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.runs import task_names
from vidgen.version import __version__

FIRST, SECOND = "550e8400-e29b-41d4-a716-446655440000", "660e8400-e29b-41d4-a716-446655440000"


def leaves(group: Command, path: str = "") -> list[str]:
    """The whole names of all commands."""
    if not isinstance(group, TyperGroup):
        return [path]
    return [
        leaf
        for name, command in group.commands.items()
        for leaf in leaves(command, f"{path} {name}".strip())
    ]


def fail(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """What a command says on stderr while it ends with 2."""
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 2
    return [line.strip() for line in capsys.readouterr().err.splitlines()]


def fail_json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What a command tells a program on stdout, all of it, while it ends with 2."""
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 2
    return json.loads(capsys.readouterr().out)["error"]


def make_run(home: Home, task: str, film: Path | None) -> None:
    with TaskLog(home.task(task)) as log:
        emit = Broadcast(task, [], log=log)
        emit(StageStarted("rendering"))
        if film:
            film.write_bytes(b"film")
            emit(Completed(str(film), 1.0))


def test_every_command_has_examples_that_can_be_called() -> None:
    root = typer.main.get_command(cli.app)
    assert set(usage.EXAMPLES) == set(leaves(root))
    for path, examples in usage.EXAMPLES.items():
        command: Command = root
        for name in path.split():
            assert isinstance(command, TyperGroup)
            command = command.commands[name]
        for example in examples:
            words = shlex.split(example)
            assert words[: 1 + len(path.split())] == ["vidgen", *path.split()]
            command.make_context(path, words[1 + len(path.split()) :])


@pytest.mark.parametrize("name", sorted(usage.MEANT))
def test_what_others_call_it_leads_to_a_command(name: str) -> None:
    known = leaves(typer.main.get_command(cli.app))
    meant = usage.MEANT[name]
    assert any(meant == leaf or f"{meant} ".startswith(leaf) or leaf.startswith(f"{meant} ")
               for leaf in known)  # fmt: skip
    assert name not in known


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("serve", ["There is no command serve.", "Did you mean `vidgen serve-progress`?"]),
        ("histroy", ["There is no command histroy.", "Did you mean `vidgen history`?"]),
        ("models fetch", ["There is no command models fetch.",
                          "Did you mean `vidgen models pull`?"]),
        ("zzz", ["There is no command zzz.", "`vidgen --help` lists them."]),
        ("run --hieght 4 a b", ["vidgen run has no option --hieght.", "Did you mean --height?"]),
        ("run a b --lang", ["--lang is given no language.", "Choose one of: en, ja, zh."]),
        ("run --zzz", ["vidgen run has no option --zzz.", "`vidgen run --help` lists them."]),
        ("run --height x a b", ["The option --height cannot be x.",
                                "Write a number from 0 to 2160."]),
        ("run --fps 12 a b", ["The option --fps cannot be 12.",
                              "Choose one of: 24, 25, 30, 50, 60."]),
        ("run --seed x a b", ["The option --seed cannot be x.",
                              "Write a number from -1 to 9223372036854775807."]),
        ("history -n 0", ["The option --limit cannot be 0.", "Write a number not below 1."]),
        ("run", ["vidgen run needs PHOTO.", "For example: vidgen run photo.jpg voice.wav"]),
        ("run --task-id 3 a b", ["--task-id 3 is no UUID.",
                                 "Leave it away: a run chooses its own."]),
    ],
)  # fmt: skip
def test_a_slip_is_told_in_two_lines(
    words: str, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, *rest = fail(capsys, *words.split())
    assert [first.removeprefix("vidgen: "), *rest] == said


def test_a_file_that_may_not_be_read_is_no_wrong_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It was said that VOICE must be a number."""
    monkeypatch.chdir(tmp_path)
    for name in ("anna.jpg", "hello.wav"):
        Path(name).write_bytes(b"hidden")

    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # root may read everything
    said = fail(capsys, "run", "anna.jpg", "hello.wav", "--progress", "quiet")
    assert said[0] == "vidgen: anna.jpg is not a photo that can be opened."


def test_a_wrong_variable_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDGEN_HEIGHT", "tall")
    assert fail(capsys, "run", "a", "b")[0] == "vidgen: The option VIDGEN_HEIGHT cannot be tall."


def test_a_misspelt_variable_is_told_and_another_programs_is_not() -> None:
    root = typer.main.get_command(cli.app)
    right = ("VIDGEN_HEIGHT", "VIDGEN_HOME", "VIDGEN_KEEP_WORK_HOURS", "VIDGEN_TOKEN")
    wrong = {"VIDGEN_HIEGHT": "VIDGEN_HEIGHT", "VIDGEN_RENDER": "VIDGEN_RENDERER"}
    others = ("VIDGEN_STUDIO_ACCOUNT", "HIEGHT", "MYVIDGEN_HIEGHT")
    found = usage.misspelt_variables(root, dict.fromkeys((*right, *wrong, *others), "1"))
    assert dict(found) == wrong


def test_a_misspelt_variable_does_not_stop_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIDGEN_HIEGHT", "720")
    cli.main(["config", "get", "height"])
    out, err = capsys.readouterr()
    assert out.strip() == str(config.defaults()["height"])
    assert "VIDGEN_HIEGHT" in err
    assert "Did you mean VIDGEN_HEIGHT?" in err


def test_a_file_in_the_place_of_a_command_is_a_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("me.jpg").touch()
    said = fail(capsys, "me.jpg", "voice.wav")
    assert said[1] == "Did you mean `vidgen run me.jpg voice.wav`?"


def test_a_file_whose_name_begins_with_a_dash_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-me.jpg").touch()
    assert fail(capsys, "run", "-me.jpg", "voice.wav")[1] == "Write ./-me.jpg instead."


def test_a_server_is_meant_without_http_too() -> None:
    words = ["box:55433", "https://box", "[::1]:80/#a", "550e8400", ":55433"]
    found = ["http://box:55433", "https://box", "http://[::1]:80/#a", "", ""]
    assert [flags.as_url(word) for word in words] == found


def test_the_pages_address_names_its_run() -> None:
    urls = ["http://box/#550e8400", "http://box/?lang=ja#my%20run", "http://box/#/stats", "box:1"]
    assert [flags.task_in(url) for url in urls] == ["550e8400", "my run", "", ""]


def test_a_token_is_of_the_whole_id(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(home, FIRST, None)
    secret = "0123456789abcdef0123456789abcdef"
    for task, whole in (("last", FIRST), ("550e", FIRST), ("far-away", "far-away")):
        cli.main(["token", task, "--token", secret])
        assert capsys.readouterr().out.startswith(f"{whole}~")


def test_a_part_of_a_run_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    said = fail(capsys, "watch", "box:1", "--until", "5x0%")
    assert said[0] == "vidgen: --until 5x0% is no share of a run."


def test_a_slip_is_one_json_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    said = fail_json(capsys, "run", "--json", "--hieght", "4")
    assert said["code"] == "usage.no_option"


def test_a_run_that_cannot_be_made_is_one_json_object_too(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fail_json(capsys, "run", "no.jpg", "no.wav", "--json", "--progress", "quiet")
    assert said == {
        "code": "input.missing",
        "message": "There is no file no.jpg.",
        "hint": "Check the photo's path.",
        "exit_code": 2,
        "details": {"path": "no.jpg", "name": "photo"},
    }
    assert task_names(home) == []  # and no history


@pytest.mark.parametrize("words", ["help run", "run -h", "run --help"])
def test_help_has_many_names(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(words.split())
    assert "Make a talking video of PHOTO saying VOICE." in capsys.readouterr().out


@pytest.mark.parametrize("word", ["-V", "--version"])
def test_the_version_is_told(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([word])
    assert capsys.readouterr().out == f"vidgen {__version__}\n"


def test_settings_are_checked_after_they_were_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, editor = tmp_path / "there" / "config.toml", tmp_path / "editor"
    monkeypatch.setenv("VIDGEN_CONFIG", str(file))
    editor.write_text("#!/bin/sh\necho 'hieght = 4' > \"$1\"\n", "utf-8")
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(editor))
    assert "hieght" in fail(capsys, "config", "edit")[0]
    assert file.read_text("utf-8") == "hieght = 4\n"


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("--lang ja run a b", "run a b"),
        ("run a b --lang=ja", "run a b"),
        ("run --lang ja --language en a b", "run --language en a b"),
        ("run a b", "run a b"),
        ("run -- --lang ja", "run -- --lang ja"),
    ],
)
def test_the_language_may_be_said_anywhere(
    words: str, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDGEN_LANG", "en")
    assert flags.choose_language(words.split()) == left.split()


@pytest.mark.parametrize(
    ("words", "filled"),
    [
        ("run a b --serve", "run a b --serve="),
        ("run --serve a.jpg b.wav", "run --serve= a.jpg b.wav"),
        ("run --serve 127.0.0.1:8000 a b", "run --serve=127.0.0.1:8000 a b"),
        ("run --serve :8000 a b", "run --serve=:8000 a b"),
        ("run --serve [::1]:80 a b", "run --serve=[::1]:80 a b"),
        ("run --serve=:0 a b", "run --serve=:0 a b"),
        ("replay --serve last", "replay --serve last"),
    ],
)
def test_the_address_of_a_runs_server_may_stand_behind_a_space(words: str, filled: str) -> None:
    assert flags.fill_bare_serve(words.split()) == filled.split()


def test_a_run_that_is_not_ready_has_no_film(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_run(home, FIRST, None)
    assert fail(capsys, "open", "last")[0] == "vidgen: The run 550e8400 has no film yet."
    make_run(home, SECOND, tmp_path / "film.mp4")
    (tmp_path / "film.mp4").unlink()
    assert "not at" in fail(capsys, "open", SECOND[:2])[0]


def test_a_run_of_another_program_has_no_film(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with TaskLog(home.task(FIRST)) as log:
        Broadcast(FIRST, [], log=log)(Completed("", 1.0))
    assert (
        fail(capsys, "open")[0]
        == "vidgen: The run 550e8400 is of another program and made no film."
    )


def test_a_run_that_is_over_cannot_be_cancelled(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(home, FIRST, None)
    assert "is not being made" in fail(capsys, "cancel", "last")[0]


def test_runs_are_removed_and_their_films_stay(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    make_run(home, FIRST, film)
    make_run(home, SECOND, None)
    cli.main(["rm", "--all-finished", "--yes"])
    assert task_names(home) == [SECOND]
    assert capsys.readouterr().out.startswith("Freed ")
    cli.main(["rm", "660", "last", "--yes", "--json"])
    assert json.loads(capsys.readouterr().out)["runs"] == 1
    assert task_names(home) == []
    assert film.exists()


def test_nothing_is_removed_unasked_or_while_it_is_made(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(home, FIRST, None)
    with Path("/dev/null").open(encoding="utf-8") as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        assert "nobody here to ask" in fail(capsys, "rm", "last")[0]
    with TaskLog(home.task(SECOND)) as log:
        Broadcast(SECOND, [], log=log)(StageStarted("rendering"))
        assert fail(capsys, "rm", FIRST[:2], SECOND[:2], "--yes")[1] == (
            "End it first: vidgen cancel 660e8400"
        )
    assert set(task_names(home)) == {FIRST, SECOND}
    assert "not said" in fail(capsys, "rm")[0]


def test_settings_are_written_between_the_lines_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "there" / "config.toml"
    monkeypatch.setenv("VIDGEN_CONFIG", str(file))
    cli.main(["config", "set", "height", "720"])
    file.write_text("# mine\nheight = 512 # small\nblink = 0.5\n", "utf-8")
    for name, value in [("height", "1080"), ("force", "true"), ("text", 'say "a"'),
                        ("keep_work_hours", "2.5")]:  # fmt: skip
        cli.main(["config", "set", name, value])
    assert file.read_text("utf-8").splitlines()[:3] == ["# mine", "height = 1080", "blink = 0.5"]
    assert tomllib.loads(file.read_text("utf-8")) == {
        "height": 1080, "blink": 0.5, "force": True, "text": 'say "a"', "keep_work_hours": 2.5,
    }  # fmt: skip
    capsys.readouterr()
    cli.main(["config", "get", "height"])
    cli.main(["config", "path"])
    assert capsys.readouterr().out.splitlines() == ["1080", str(file)]
    cli.main(["config", "get"])
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["height", "=", "1080", "#", "config"] in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [("height", "tall"), ("height", "9000"), ("fps", "12"), ("force", "yes"), ("hieght", "1"),
     ("blink", "nan"), ("keep_work_hours", "nan"), ("keep_work_hours", "long")],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_not_written(name: str, value: str) -> None:
    with pytest.raises(InputError):
        config.write_setting(name, value)


def test_a_wrong_setting_is_mended_by_setting_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("VIDGEN_CONFIG", str(file))
    for wrong in ('height = "tall"', "height = "):
        file.write_text(f"{wrong}\nblink = 0.5\n", "utf-8")
        config.write_setting("height", "512")
        assert file.read_text("utf-8") == "height = 512\nblink = 0.5\n"
    file.write_text("hieght = 1\n", "utf-8")
    with pytest.raises(InputError) as caught:
        config.write_setting("height", "512")
    assert (caught.value.code, caught.value.details["near"]) == ("config.misspelt", "height")
    assert file.read_text("utf-8") == "hieght = 1\n"


def test_a_settings_file_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VIDGEN_CONFIG", "/proc/vidgen/config.toml")  # no folder is made there
    for change in (partial(config.write_setting, "height", "512"), edit):
        with pytest.raises(SetupError) as caught:
            change()
        assert caught.value.code == "config.unwritable"


def test_a_shell_completes_runs_models_languages_and_settings(home: Home) -> None:
    from vidgen.commands.config import complete_names

    make_run(home, FIRST, None)
    assert flags.complete_tasks("") == [("last", "the newest"), ("550e8400", "")]
    assert flags.complete_tasks("6") == []
    assert "embedded" in dict(flags.complete_models("em"))
    assert flags.complete_languages("cm") == [("cmn", "Chinese (Mandarin)")]
    assert complete_names("hei") == ["height"]
