"""What the `models` commands print, in a pipe, on a usual screen and on a small one."""

import re
from pathlib import Path
from typing import get_args

import pytest

from vidgen.console import (
    download_bars,
    print_error,
    print_findings,
    print_models,
    print_removal,
)
from vidgen.doctor import Finding
from vidgen.errors import InputError
from vidgen.models.catalog import CatalogEntry, Model, State

ROWS = tuple(
    CatalogEntry(
        Model(
            name=name,
            stage="birefnet_removal",
            set=group,
            source="https://example.invalid/x",
            sha256="0" * 64,
            bytes=444_473_596,
            licence="a licence with a name of many words that nobody knows by heart",
            homepage="https://example.invalid",
            about="cuts a person out",
        ),
        state,
        Path("x"),
        0,
    )
    for (name, group), state in zip(
        (("a_rather_long_name_of_a_model", "full"), ("second", "variant"), ("third", "full")),
        get_args(State),  # ready, missing, wrong
        strict=True,
    )
)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """stdout as a terminal without colours."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    return monkeypatch


def test_what_the_doctor_found_is_told_whole(
    capsys: pytest.CaptureFixture[str], screen: pytest.MonkeyPatch
) -> None:
    path = f"/{'far/' * 30}config.toml"
    print_findings([Finding("settings", "ok", path)])
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert path in "".join(line.strip("✓ ").removeprefix("settings").strip()
                           for line in shown.splitlines())  # fmt: skip
    screen.setenv("TTY_COMPATIBLE", "0")
    print_findings([Finding("settings", "ok", path)])
    assert path in capsys.readouterr().out


def test_in_a_pipe_every_model_is_one_whole_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_models(ROWS)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    licence = ROWS[0].model.licence.split()
    use = ROWS[0].model.about.split()
    assert lines == [
        ["full"],
        ["a_rather_long_name_of_a_model", "matte", "ready", "444.5", "MB", *licence, *use],
        ["third", "matte", "wrong", "444.5", "MB", *licence, *use],
        ["variant"],
        ["second", "matte", "missing", "444.5", "MB", *licence, *use],
    ]


@pytest.mark.parametrize("width", [40, 80, 130])
def test_on_a_screen_nothing_is_wider_and_names_are_whole(
    width: int, screen: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen.setenv("COLUMNS", str(width))
    print_models(ROWS)
    out = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= width
    for row in ROWS:
        assert row.model.name in out
        assert row.state in out
    assert out.count("444.5 MB") == out.count("matte") == 3
    assert ("cuts a person out" in out) is (width == 130)


def test_a_download_that_nobody_watches_tells_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, now = ROWS[0].model, 0.0
    with download_bars(lambda: now) as on_progress:
        for done in (0, 100_000_000, 200_000_000, 300_000_000, 444_473_596):
            on_progress(model, done, model.bytes)
            now += 6.0
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "fetching a_rather_long_name_of_a_model (444.5 MB)"
    assert second.startswith("a_rather_long_name_of_a_model 45 %, 200.0 MB of 444.5 MB, ")
    assert "MB/s, " in second
    assert second.endswith(" left")
    assert third.startswith("a_rather_long_name_of_a_model 100 %, 444.5 MB of 444.5 MB")


def test_removing_what_is_not_here_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_removal(())
    assert capsys.readouterr().out == "Nothing of it was here.\n"


@pytest.mark.parametrize(
    "name",
    [
        "a\nvidgen: All is well.jpg",
        "a\r\x1b[2Kvidgen: All is well.jpg",
        "a\u2028vidgen: All is well.jpg",
        "a\x85vidgen: All is well.jpg",
        "\x1b]0;owned\x07\u202egpj.exe",
    ],
)
def test_no_name_writes_a_line_of_its_own(capsys: pytest.CaptureFixture[str], name: str) -> None:
    print_error(InputError("There is no photo {path}.", hint="Look at {path}.", path=name))
    lines = capsys.readouterr().err.splitlines()
    assert [line[:9] for line in lines] == ["vidgen: T", "        L"]
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", "".join(lines))
