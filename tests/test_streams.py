"""Commands under any streams: closed, gone, full, of other encodings; names of any bytes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import command, environment, vidgen
from vidgen.errors import SetupError
from vidgen.paths import Home

COMMANDS = (["doctor"], ["history"], ["stats"], ["models", "list"], ["run", "--help"])
HELP = COMMANDS[-1]
PROGRAM = """
import os, sys
from vidgen import streams
streams.prepare_streams()
{body}
streams.finish_streams()
"""


def program(body: str, *, shell: str = "", **more: str) -> "subprocess.CompletedProcess[bytes]":
    """A small program behind our streams; `shell` is what the shell does to it."""
    line = f'"{sys.executable}" -c "$0" {shell}'
    return subprocess.run(
        ["bash", "-c", line, PROGRAM.format(body=body)],
        capture_output=True,
        env=os.environ | more,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "encoding"),
    [*((words, "ascii") for words in COMMANDS), (HELP, "cp1252"), (HELP, "koi8-r")],
)
def test_every_command_speaks_into_every_encoding(
    home: Home, arguments: list[str], encoding: str
) -> None:
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        env=environment(home, PYTHONIOENCODING=encoding),
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 3)
    assert b"Traceback" not in done.stderr
    assert done.stdout.decode(encoding)


def test_letters_that_are_missing_have_stand_ins() -> None:
    done = program("print('720×480 … ✓ – 動')", PYTHONIOENCODING="ascii")
    assert done.stdout == b"720x480 ... + - ?\n"


def test_a_files_name_comes_out_byte_by_byte() -> None:
    done = program("print('caf\\udce9.mp4')", PYTHONIOENCODING="utf-8")
    assert done.stdout == b"caf\xe9.mp4\n"


@pytest.mark.parametrize("shell", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_a_stderr_that_is_gone_costs_nothing(shell: str) -> None:
    done = program("print('said', file=sys.stderr, flush=True); print('made')", shell=shell)
    assert (done.returncode, done.stdout) == (0, b"made\n")


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    file = tmp_path / "log"
    body = f"f = open({str(file)!r}, 'w'); print(f.fileno()); os.write(2, b'a library speaks')"
    done = program(body, shell="2>&-")
    assert int(done.stdout) > 2
    assert file.read_bytes() == b""


@pytest.mark.parametrize("shell", ["| true", ">&-", ">/dev/full"])
def test_a_film_is_worth_more_than_its_path(shell: str) -> None:
    body = """
streams.drop_unwritable()
for _ in range(9999):
    print('path')
print('x', file=sys.stderr)
"""
    done = program(body, shell=f"{shell}; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (0, b"x\n")


def test_a_reader_that_has_enough_ends_the_program_well() -> None:
    done = program("while True: print('line')", shell="| head -1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"line\n", b"")


def test_a_result_that_cannot_be_written_is_told(home: Home) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("history"), stdout=full, stderr=subprocess.PIPE, env=environment(home),
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.startswith(b"vidgen: What was asked for cannot be written to stdout: ")


@pytest.mark.parametrize("columns", ["0", "-1", "many", ""])
def test_a_width_that_is_none_is_not_believed(home: Home, columns: str) -> None:
    done = vidgen(home, "models", "list", COLUMNS=columns)
    assert (done.code, done.err) == (0, "")
    assert "face_landmark" in done.out


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(number: int) -> None:
    body = f"""
import signal, time
from vidgen.signals import graceful_interrupts
with graceful_interrupts():
    os.kill(os.getpid(), {int(number)})
    print("went on", flush=True)
"""
    name = signal.Signals(number).name.removeprefix("SIG")
    line = f'trap "" {name}; exec "{sys.executable}" -c "$0"'
    text = PROGRAM.format(body=body)
    done = subprocess.run(["bash", "-c", line, text], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"went on\n")


def test_a_server_under_nohup_stays_when_the_terminal_goes() -> None:
    body = """
import signal
from vidgen.progress.serve.server import Server

signal.signal(signal.SIGINT, signal.SIG_IGN)
with Server.__new__(Server).capture_signals():
    print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)
"""
    assert program(body).stdout == b"True\n"


def refused(home: Home, *arguments: object, cwd: Path | None = None, **more: str) -> str:
    """The sentence, of a mistake that is answered by one and no traceback."""
    done = vidgen(home, *arguments, cwd=cwd, **more)
    assert done.code in (2, 3), done.err
    assert "Traceback" not in done.err
    return done.err


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    for name in ("p.jpg", "v.wav"):
        (tmp_path / name).write_bytes(b"nothing")
    return [tmp_path / "p.jpg", tmp_path / "v.wav"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--seed", "18446744073709551616"],
        ["--seed", "9223372036854775808"],
        ["--mouth", "nan"],
        ["--rate", "nan"],
        ["--max-seconds", "inf"],
        ["--background", "nowhere.png"],
        ["--language", "klingon"],
        ["--loudness", "loud"],
        ["--text-file", "/dev/null/words"],
        ["--text-file", "~nosuch/words"],
        ["-o", "x" * 300 + ".mp4"],
        ["-o", "none/"],
        ["-o", "-"],
        ["-o", "/dev/null"],
        ["-o", "film.v2"],
    ],
)
def test_every_mistake_gets_a_sentence(home: Home, inputs: list[Path], flags: list[str]) -> None:
    assert refused(home, "run", *inputs, *flags, "--progress", "quiet")


@pytest.mark.parametrize("place", ["~nosuch/vidgen", "/dev/null/home"])
def test_a_home_that_cannot_be_is_told(home: Home, inputs: list[Path], place: str) -> None:
    said = refused(home, "run", *inputs, "--progress", "quiet", VIDGEN_HOME=place)
    assert said.startswith("vidgen: ")


def test_a_user_without_a_home_is_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDGEN_HOME")
    # What is answered for a user whom the system does not list: "~" stays as it is.
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: Path("~/.local") / name)
    with pytest.raises(SetupError) as caught:
        Home.default()
    assert "VIDGEN_HOME" in caught.value.hint


def test_a_folder_that_was_deleted_is_told(home: Home, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f'cd "{gone}" && rmdir "{gone}" && exec "$@"'
    done = subprocess.run(
        ["bash", "-c", line, "bash", *command("run", "p.jpg", "v.wav")],
        capture_output=True,
        env=environment(home) | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith(b"vidgen: The folder that this shell is in")


def test_the_last_run_is_none_of_the_future(home: Home) -> None:
    from vidgen.progress.store.runs import find_run

    for name, year in (("a", 2020), ("b", 2021), ("c", 2140)):
        folder = home.task(name).root
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_text(
            f'{{"v":1,"task_id":"{name}","seq":1,"event_type":"stage_update",'
            f'"timestamp":"{year}-01-01T00:00:00.000Z","data":{{"stage":"initialized"}}}}\n'
        )
    assert find_run(home, "last").task_id == "b"


def test_the_doctor_says_when_no_run_could_work(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = vidgen(home, "doctor", VIDGEN_HOME=str(tmp_path / "file" / "home"))
    assert done.code == 3, done.out
    assert "Traceback" not in done.err
