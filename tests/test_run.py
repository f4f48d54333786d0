"""What a run began with is what it goes on with; what cannot be kept is said."""

import errno
import time
from pathlib import Path

import pytest

from tests.test_dry_run import ask
from vidgen import run
from vidgen.errors import InputError, SetupError
from vidgen.events import Emit, Envelope, Event, Log
from vidgen.inputs import input_copy, keep_copy
from vidgen.models import catalog, pull
from vidgen.models.catalog import Catalog, Model
from vidgen.models.select import EMBEDDED, ModelChoice
from vidgen.paths import Home, TaskFolder
from vidgen.progress.store.log import TaskLog, write_error
from vidgen.progress.store.runs import task_names
from vidgen.request import Request, default_settings, load_request, record
from vidgen.run import PLAN_FILE, create, load_plan, restore_request, save_plan, start
from vidgen.settings import Options


def recorded(home: Home, folder: Path) -> TaskFolder:
    """A run of photo, voice and a picture behind, as it was asked for."""
    for name in ("ann.jpg", "hello.wav", "beach.png"):
        (folder / name).write_text(name)
    settings = default_settings(background=str(folder / "beach.png"))
    task = home.task("task")
    request = Request(folder / "ann.jpg", folder / "hello.wav", folder / "a.mp4", settings)
    record(task, request)
    for name, path in request.files.items():
        assert keep_copy(task, name, path)
    return task


def restore(task: TaskFolder) -> tuple[Request, list[Event]]:
    heard: list[Event] = []
    return restore_request(task, load_request(task), heard.append), heard


def test_a_resumed_run_reads_its_own_copies(home: Home, tmp_path: Path) -> None:
    request, heard = restore(recorded(home, tmp_path))
    files = (request.photo, request.voice, Path(request.options.background))
    assert [file.read_text() for file in files] == ["ann.jpg", "hello.wav", "beach.png"]
    assert all(file.is_relative_to(home.tasks) for file in files)
    assert heard == []


def test_a_disk_too_full_for_a_log_sends_nobody_to_resume_what_never_began(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(task: TaskFolder) -> TaskLog:
        raise write_error(task.root, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr("vidgen.run.TaskLog", full)
    with pytest.raises(SetupError) as told:
        create(home, ask(tmp_path), [])
    assert told.value.hint.endswith("then continue with `vidgen run`.")


def test_what_became_of_the_originals_is_said(home: Home, tmp_path: Path) -> None:
    task = recorded(home, tmp_path)
    (tmp_path / "ann.jpg").unlink()
    (tmp_path / "beach.png").write_text("another beach")
    request, heard = restore(task)
    assert request.photo.read_text() == "ann.jpg"
    assert Path(request.options.background).read_text() == "beach.png"
    gone, changed = str(tmp_path / "ann.jpg"), str(tmp_path / "beach.png")
    assert heard == [
        Log("INFO", "run.input_gone", {"name": "photo", "path": gone}),
        Log("WARNING", "run.input_changed", {"name": "background", "path": changed}),
    ]


@pytest.mark.parametrize("damage", ["torn", "gone"])
def test_a_lost_copy_is_made_again_of_an_original_that_is_the_same(
    home: Home, tmp_path: Path, damage: str
) -> None:
    task = recorded(home, tmp_path)
    copy = input_copy(task, "voice", Path("hello.wav"))
    copy.unlink() if damage == "gone" else copy.write_text("hell")
    request, heard = restore(task)
    assert (request.voice.read_text(), heard) == ("hello.wav", [])


@pytest.mark.parametrize("original", ["changed", "gone"])
def test_a_lost_copy_of_another_original_is_told(home: Home, tmp_path: Path, original: str) -> None:
    task = recorded(home, tmp_path)
    input_copy(task, "voice", Path("hello.wav")).write_text("hell")
    file = tmp_path / "hello.wav"
    file.unlink() if original == "gone" else file.write_text("another voice")
    with pytest.raises(InputError) as caught:
        restore(task)
    assert caught.value.code == "resume.no_input"
    assert str(file) in caught.value.message


def models_here(home: Home, monkeypatch: pytest.MonkeyPatch, *names: str) -> Catalog:
    """A shelf on which just these models are whole."""
    monkeypatch.setattr(Catalog, "ready", lambda _, asked: set(asked) <= set(names))
    return Catalog(home)


def test_the_models_of_the_beginning_are_kept_although_better_ones_came(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, heard = home.task("task"), list[Event]()
    began = ModelChoice("cpu")
    save_plan(task, began)
    shelf = models_here(home, monkeypatch, *EMBEDDED, "yolo26n", "birefnet_lite")
    assert load_plan(task, shelf, heard.append) == began
    assert heard == []


def test_models_that_went_away_are_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    task, heard = home.task("task"), list[Event]()
    save_plan(task, ModelChoice("cpu", persons="yolo26n", matte="birefnet_lite"))
    shelf = models_here(home, monkeypatch, *EMBEDDED, "yolo26n")
    assert load_plan(task, shelf, heard.append) is None
    assert heard == [Log("WARNING", "run.models_changed", {"names": "birefnet_lite"})]


def test_a_run_goes_on_without_the_models_that_it_can_spare(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without a network that has the models of an earlier version."""

    def ensure(here: Catalog, wanted: list[Model], *_: object) -> list[Model]:
        if not here.ready([model.name for model in wanted]):
            raise SetupError("no network", hint="", code="models.pip_failed")
        return []

    monkeypatch.setattr(pull, "ensure", ensure)
    models_here(home, monkeypatch, *EMBEDDED)
    heard = list[Event]()
    chosen = run._choose_models(home, home.task("task"), Options(), heard.append)
    assert chosen == ModelChoice("cpu")
    assert [event.code for event in heard if isinstance(event, Log)] == [
        "models.no_ears",
        "models.no_hands",
    ]


def test_weights_that_changed_meanwhile_are_named(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, heard = home.task("task"), list[Event]()
    save_plan(task, ModelChoice("cpu"))
    data = (task.work / PLAN_FILE).read_text()
    was = catalog.models()["centerface"].sha256
    (task.work / PLAN_FILE).write_text(data.replace(was, "0" * 64))
    shelf = models_here(home, monkeypatch, *EMBEDDED)
    assert load_plan(task, shelf, heard.append) is None
    assert heard == [Log("WARNING", "run.models_changed", {"names": "centerface"})]


def test_a_device_that_went_away_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    task, heard = home.task("task"), list[Event]()
    save_plan(task, ModelChoice("cuda:7"))
    shelf = models_here(home, monkeypatch, *EMBEDDED)
    assert load_plan(task, shelf, heard.append) is None
    assert heard == [Log("WARNING", "run.models_changed", {"names": "cuda:7"})]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"plan": {"colour": "red"}, "models": {}}', '{"plan": {"device": "cpu"}}'],
)
def test_a_note_that_cannot_be_read_is_no_note(home: Home, content: str) -> None:
    task = home.task("task")
    assert load_plan(task, Catalog(home), lambda _: None) is None
    task.work.mkdir(parents=True)
    (task.work / PLAN_FILE).write_text(content)
    assert load_plan(task, Catalog(home), lambda _: None) is None


@pytest.mark.models
def test_a_photo_in_which_nobody_is_leaves_no_history(
    home_with_models: Home, tmp_path: Path
) -> None:
    seen: list[Envelope] = []
    with pytest.raises(InputError) as caught:
        create(home_with_models, ask(tmp_path), [seen.append])
    assert caught.value.code == "detect.no_face"
    assert seen[-1].event_type == "error"  # whoever looks on is told
    assert task_names(home_with_models) == []


@pytest.mark.models
def test_what_is_fetched_first_counts_as_getting_ready(
    home_with_models: Home, tmp_path: Path
) -> None:
    """The demo's portrait, a voice from the web: the view's own clock runs meanwhile."""

    def slowly(emit: Emit) -> Request:
        time.sleep(1.0)
        return ask(tmp_path)

    ended: list[float] = []

    def note(envelope: Envelope) -> None:
        if envelope.data.get("status") == "completed":
            ended.append(float(envelope.data["duration_seconds"]))

    with pytest.raises(InputError):
        start(home_with_models, slowly, [note])
    assert ended[0] > 1.0
