"""Where a server's token comes from: a file, the environment, or in sight of everybody."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vidgen.cli import app
from vidgen.progress.serve.auth import task_token

TOKEN = "a-token-of-enough-letters-for-a-test"
OPENS = task_token(TOKEN, "one") + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(f"  {TOKEN}\n")
    return tmp_path / "token"


def test_a_token_in_a_file_is_taken_before_any_other(file: Path) -> None:
    done = CliRunner().invoke(app, ["token", "one", "--token-file", str(file)])
    assert (done.exit_code, done.stdout, done.stderr) == (0, OPENS, "")
    other = {"VIDGEN_TOKEN": "another-token-of-enough-letters"}
    assert CliRunner().invoke(app, ["token", "one", f"--token-file={file}"], env=other).stdout == (
        OPENS
    )


def test_a_token_of_the_environment_is_no_news() -> None:
    done = CliRunner().invoke(app, ["token", "one"], env={"VIDGEN_TOKEN": TOKEN})
    assert (done.stdout, done.stderr) == (OPENS, "")


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
def test_a_token_on_the_command_line_is_warned_of(language: str) -> None:
    done = CliRunner().invoke(
        app, ["token", "one", "--token", TOKEN], env={"VIDGEN_LANG": language}
    )
    assert (done.exit_code, done.stdout) == (0, OPENS)
    assert "--token-file" in done.stderr
    assert TOKEN not in done.stderr


@pytest.mark.parametrize("command", ["watch", "serve-progress"])
def test_every_command_that_takes_a_token_reads_it_from_a_file(command: str) -> None:
    assert "--token-file" in CliRunner().invoke(app, [command, "--help"]).stdout


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff" * 20, b"to\x1bken", None])
def test_a_file_without_a_token_is_told(file: Path, content: bytes | None) -> None:
    file.unlink() if content is None else file.write_bytes(content)
    done = CliRunner().invoke(app, ["token", "one", f"--token-file={file}"])
    code = "page.token_unreadable" if content is None else "page.token_file"
    assert getattr(done.exception, "code", "") == code


def test_a_device_without_an_end_is_no_file_with_a_token() -> None:
    done = CliRunner().invoke(app, ["token", "one", "--token-file=/dev/zero"])
    assert getattr(done.exception, "code", "") == "page.token_file"
