"""What was asked: checked, written down, read back."""

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from vidgen.errors import InputError
from vidgen.events import Completed
from vidgen.inputs import fingerprint
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.serve.index import RunIndex
from vidgen.progress.store.log import TaskLog
from vidgen.request import Request, build_request, default_settings, load_request, record

PHOTO, VOICE = Path("ann.jpg"), Path("hello.wav")


@pytest.mark.parametrize(
    ("output", "given", "path", "kind"),
    [
        (None, {}, "ann-hello.mp4", "mp4"),
        (None, {"format": "webm"}, "ann-hello.webm", "webm"),
        ("film.mp4", {}, "film.mp4", "mp4"),
        ("film.MOV", {}, "film.MOV", "mov"),
        ("film.webm", {}, "film.webm", "webm"),
        ("film", {"format": "mov"}, "film.mov", "mov"),
    ],
)
def test_the_output_has_a_name_and_a_format(
    output: str | None, given: dict[str, object], path: str, kind: str
) -> None:
    request = build_request(
        PHOTO, VOICE, Path(output) if output else None, default_settings(**given)
    )
    assert (str(request.output), request.options.format) == (path, kind)


def test_a_slash_at_the_end_means_a_folder(tmp_path: Path) -> None:
    request = build_request(PHOTO, VOICE, f"{tmp_path}/new/", default_settings())
    assert (request.output, request.is_named) == (tmp_path / "new" / "ann-hello.mp4", False)


def test_a_name_that_cannot_be_looked_at_is_told_later(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300 + ".mp4")
    assert build_request(PHOTO, VOICE, long, default_settings()).output == long


def test_paths_of_odd_bytes_are_recorded_and_read_back(home: Home, tmp_path: Path) -> None:
    task, request = home.task("task"), wanted(tmp_path)
    photo = request.photo.rename(tmp_path / "caf\udce9.jpg")
    request = replace(request, photo=photo, output=tmp_path / "\udcff.mp4")
    record(task, request)
    assert load_request(task).request.photo == photo
    assert load_request(task).request.output == tmp_path / "\udcff.mp4"
    assert "caf%E9.jpg" in task.request.read_text("utf-8")


def test_a_run_of_another_program_is_not_taken_up(home: Home) -> None:
    task = home.task("task")
    task.root.mkdir(parents=True)
    task.request.write_text('{"title": "nightly model"}')
    with pytest.raises(InputError) as caught:
        load_request(task)
    assert caught.value.code == "resume.foreign"


def test_a_folder_as_output_gets_the_default_name(tmp_path: Path) -> None:
    assert (
        build_request(PHOTO, VOICE, tmp_path, default_settings()).output
        == tmp_path / "ann-hello.mp4"
    )


@pytest.mark.parametrize(
    ("output", "given", "code"),
    [
        ("film.avi", {}, "output.ending"),
        ("film.webm", {"format": "mov"}, "output.format_conflict"),
        (None, {"person": "0"}, "option.person"),
        (None, {"person": "nobody"}, "option.person"),
        (None, {"background": "#12"}, "option.colour"),
        (None, {"height": 100}, "option.height"),
        (None, {"preview_at": ""}, "option.preview_at"),
        (None, {"preview_at": "5,100"}, "option.preview_at"),
        (None, {"preview_at": "1," * 20 + "1"}, "option.preview_at"),
        (None, {"background": "transparent"}, "option.transparent_mp4"),
        (None, {"background": "nowhere.png"}, "option.background"),
        (None, {"background": "beigeish"}, "option.background"),
        (None, {"mouth": float("nan")}, "option.no_number"),
        (None, {"rate": float("inf")}, "option.no_number"),
        (None, {"max_seconds": float("inf")}, "option.no_number"),
        (None, {"text_file": Path("none.txt")}, "config.text_file"),
        (None, {"text_file": Path("~nosuch/words.txt")}, "paths.no_user"),
        ("film.v2", {}, "output.ending"),
        ("-", {}, "output.is_stdout"),
        ("/dev/fd/1", {}, "output.is_stdout"),
        ("/proc/self/fd/1", {}, "output.is_stdout"),
        ("/dev/stdout", {}, "output.is_stdout"),  # /dev/stdout.mp4 where a shell leads it to a file
        ("/dev/null", {}, "output.is_device"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    output: str | None, given: dict[str, object], code: str
) -> None:
    with pytest.raises(InputError) as raised:
        build_request(PHOTO, VOICE, output, default_settings(**given))
    assert raised.value.code == code
    assert raised.value.hint


def wanted(folder: Path) -> Request:
    photo, voice = folder / "Ann.JPG", folder / "hello.wav"
    photo.write_bytes(b"photo")
    voice.write_bytes(b"voice")
    settings = default_settings(height=512, did_key_file=folder / "key")
    return Request(photo, voice, folder / "film.mp4", settings)


def test_what_is_recorded_is_read_back(home: Home, tmp_path: Path) -> None:
    task, request = home.task("task"), wanted(tmp_path)
    record(task, request)
    recorded = load_request(task)
    assert recorded.request == request
    assert recorded.inputs["photo"].bytes == 5
    assert recorded.inputs["photo"].sha256 == fingerprint(request.photo)


def test_runs_of_one_name_are_a_batch(home: Home, tmp_path: Path) -> None:
    for name in ("photo.jpg", "voice.wav"):
        (tmp_path / name).write_bytes(b"x")
    for batch in ("nightly", "nightly", ""):
        task = home.task(str(uuid.uuid4()))
        request = build_request(
            tmp_path / "photo.jpg", tmp_path / "voice.wav", None, default_settings()
        )
        with TaskLog(task) as log:
            record(task, replace(request, batch_id=batch))
            Broadcast(task.task_id, log=log)(Completed("film.mp4", 1.0))
    assert len(RunIndex(home).batch("nightly")) == 2


def test_a_setting_of_another_version_is_passed_over(home: Home, tmp_path: Path) -> None:
    task, request = home.task("task"), wanted(tmp_path)
    record(task, request)
    said = json.loads(task.request.read_bytes())
    said["options"]["sparkle"] = {"value": 3, "source": "flag"}
    task.request.write_text(json.dumps(said))
    assert load_request(task).request == request


def test_what_is_recorded_holds_in_any_folder_and_at_any_time(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, request = home.task("task"), wanted(tmp_path)
    (tmp_path / "words.txt").write_text("Mama.\n")
    (tmp_path / "beach.png").write_bytes(b"sand")
    given = default_settings(
        text_file=Path("words.txt"), background="beach.png", did_key_file=Path("key")
    )
    monkeypatch.chdir(tmp_path)
    record(task, build_request(request.photo, request.voice, "film.mp4", given))
    (tmp_path / "words.txt").unlink()
    monkeypatch.chdir("/")
    recorded = load_request(task)
    options = recorded.request.options
    assert recorded.request.output == tmp_path / "film.mp4"
    assert (options.text, options.text_file) == ("Mama.", None)
    assert options.did_key_file == tmp_path / "key"
    assert options.background == str(tmp_path / "beach.png")
    assert recorded.inputs["background"].sha256 == fingerprint(tmp_path / "beach.png")


def test_a_key_file_of_the_settings_file_may_begin_with_a_tilde(home: Home, tmp_path: Path) -> None:
    task, request = home.task("task"), wanted(tmp_path)
    settings = default_settings(did_key_file=Path("~/d-id.key"))
    record(task, build_request(request.photo, request.voice, request.output, settings))
    assert load_request(task).request.options.did_key_file == Path.home() / "d-id.key"


def test_words_that_cannot_be_read_are_told(home: Home, tmp_path: Path) -> None:
    request = wanted(tmp_path)
    given = default_settings(text_file=tmp_path / "none.txt")
    with pytest.raises(InputError, match="cannot be read"):
        build_request(request.photo, request.voice, Path("a.mp4"), given)


@pytest.mark.parametrize(
    ("name", "code"), [("none.jpg", "input.missing"), ("folder", "input.folder")]
)
def test_an_input_that_is_not_there_is_refused(
    home: Home, tmp_path: Path, name: str, code: str
) -> None:
    (tmp_path / "folder").mkdir()
    request = wanted(tmp_path)
    with pytest.raises(InputError) as raised:
        record(
            home.task("task"),
            Request(tmp_path / name, request.voice, request.output, request.settings),
        )
    assert raised.value.code == code


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"v":1}', b'{"inputs":{}}'])
def test_a_damaged_request_is_told(home: Home, content: bytes) -> None:
    task = home.task("task")
    task.root.mkdir()
    task.request.write_bytes(content)
    with pytest.raises(InputError) as raised:
        load_request(task)
    assert raised.value.code == "resume.no_request"
