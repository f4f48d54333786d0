"""What was asked of a run, and its file `request.json`: enough to run it again or to resume it."""

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import orjson

from vidgen import __version__
from vidgen.errors import InputError
from vidgen.events import timestamp
from vidgen.files import NO_SPACE, atomic_write, sha256_of
from vidgen.paths import TaskFolder
from vidgen.settings import Options, Setting, background_file, check, words

FORMAT: Final = 1
FORMATS: Final = ("mp4", "webm", "mov")


@dataclass(frozen=True, slots=True)
class Input:
    """A file that was given: where it was, and what was in it."""

    path: Path
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Request:
    """One video that somebody wants."""

    photo: Path
    voice: Path
    output: Path  # where the video goes; chosen when nobody named it
    settings: Mapping[str, Setting]
    batch_id: str = ""  # runs of one name are told together

    @property
    def options(self) -> Options:
        return Options(**{name: setting.value for name, setting in self.settings.items()})


def default_settings(**values: Any) -> dict[str, Setting]:
    """Every option at its default, but for those given."""
    defaults = {field.name: Setting(field.default, "default") for field in fields(Options)}
    return defaults | {name: Setting(value, "flag") for name, value in values.items()}


def build_request(
    photo: Path, voice: Path, output: Path | None, settings: Mapping[str, Setting]
) -> Request:
    """A checked request. Raises InputError for options that cannot be meant.

    The output's ending may choose the format; without an output the video goes into the current
    folder, named after both inputs.
    """
    settings = _format_of(output, settings)
    request = Request(photo, voice, output or Path(), settings)
    check(request.options)
    name = f"{photo.stem}-{voice.stem}.{request.options.format}"
    if output is None:
        output = Path(name)
    elif output.is_dir():
        output = output / name
    elif not output.suffix:
        output = output.with_name(f"{output.name}.{request.options.format}")
    return replace(request, output=output)


def _format_of(output: Path | None, settings: Mapping[str, Setting]) -> Mapping[str, Setting]:
    ending = output.suffix.lower().removeprefix(".") if output else ""
    now = settings["format"]
    if not ending or ending == now.value or (output and output.is_dir()):
        return settings
    if ending not in FORMATS:
        raise InputError(
            "vidgen does not write .{ending} files.",
            hint="Use an output that ends in {formats}.",
            code="output.ending",
            ending=ending,
            formats=", ".join(f".{name}" for name in FORMATS),
        )
    if now.source == "flag":
        raise InputError(
            "The output ends in .{ending}, but --format says {format}.",
            hint="Leave one of the two away.",
            code="output.format_conflict",
            ending=ending,
            format=now.value,
        )
    return {**settings, "format": Setting(ending, "flag")}


def record(task: TaskFolder, request: Request) -> None:
    """Write request.json and keep a copy of the inputs, so that a resume needs nothing else and
    can be asked for from any folder.

    Raises InputError when an input cannot be read.
    """
    inputs = {name: copy_input(task, name, path) for name, path in _files(request).items()}
    said = {
        "v": FORMAT,
        "task_id": task.task_id,
        "created": timestamp(),
        "pid": os.getpid(),
        "batch_id": request.batch_id,
        "inputs": {name: asdict(value) for name, value in inputs.items()},
        "output": request.output.absolute(),
        "options": {name: asdict(setting) for name, setting in _lasting(request).items()},
        "versions": {
            "vidgen": __version__,
            "python": platform.python_version(),
            "platform": sys.platform,
        },
    }
    atomic_write(task.request, orjson.dumps(said, default=str, option=orjson.OPT_INDENT_2))


def _files(request: Request) -> Mapping[str, Path]:
    """name → file of everything that is read: photo, voice, perhaps the picture behind."""
    files = {"photo": request.photo, "voice": request.voice}
    behind = background_file(request.options)
    return files if behind is None else {**files, "background": behind}


def _lasting(request: Request) -> dict[str, Setting]:
    """The settings as they hold later and elsewhere: whole paths, and words instead of their file.

    Raises InputError when that file cannot be read.
    """
    settings = dict(request.settings)
    if settings["text_file"].value is not None:
        said = words(request.options)
        settings["text"] = replace(settings["text_file"], value=said)
        settings["text_file"] = Setting(None, "default")
    key_file, behind = settings["did_key_file"], background_file(request.options)
    if key_file.value is not None:
        file = Path(key_file.value).expanduser().absolute()
        settings["did_key_file"] = replace(key_file, value=file)
    if behind is not None:
        settings["background"] = replace(settings["background"], value=str(behind.absolute()))
    return settings


def copy_input(task: TaskFolder, name: str, path: Path) -> Input:
    """Copy an input into the run's folder. Raises InputError when it cannot be read."""
    kept = input_copy(task, name, path)
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(path, kept)
    except IsADirectoryError as error:
        raise InputError(
            "{path} is a folder, not a {name}.",
            hint="Give the file itself.",
            code="input.folder",
            path=str(path),
            name=name,
        ) from error
    except FileNotFoundError as error:
        raise InputError(
            "There is no file {path}.",
            hint="Check the {name}'s path.",
            code="input.missing",
            path=str(path),
            name=name,
        ) from error
    except OSError as error:
        raise _copy_error(error, path, name) from error
    return Input(path.resolve(), sha256_of(kept), kept.stat().st_size)


def _copy_error(error: OSError, path: Path, name: str) -> Exception:
    if error.errno in NO_SPACE:  # the disk's fault, not the file's
        return error
    return InputError(
        "{path} cannot be read: {reason}.",
        hint="Check the {name}'s permissions.",
        code="input.unreadable",
        path=str(path),
        name=name,
        reason=error.strerror or type(error).__name__,
    )


def input_copy(task: TaskFolder, name: str, path: Path) -> Path:
    """Where the copy of the input `name` is kept; it has the original's ending."""
    return task.work / "input" / f"{name}{path.suffix.lower()}"


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """What request.json says."""

    request: Request
    inputs: Mapping[str, Input]
    version: str  # of the vidgen that began the run


def load_request(task: TaskFolder) -> RecordedRequest:
    """Raises InputError when the file is missing or not vidgen's."""
    try:
        said = orjson.loads(task.request.read_bytes())
        inputs = {
            name: Input(Path(value["path"]), value["sha256"], value["bytes"])
            for name, value in said["inputs"].items()
        }
        settings = default_settings() | {
            name: Setting(_parse_value(name, setting["value"]), setting["source"])
            for name, setting in said["options"].items()
            if name in {field.name for field in fields(Options)}
        }
        request = Request(
            inputs["photo"].path, inputs["voice"].path, Path(said["output"]), settings
        )
        return RecordedRequest(request, inputs, said["versions"]["vidgen"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "The run {task} cannot be taken up: its request.json is missing or damaged.",
            hint="Start it again with vidgen run.",
            code="resume.no_request",
            task=task.task_id,
        ) from error


def _parse_value(name: str, value: Any) -> Any:
    """JSON has no paths."""
    kind = Options.__dataclass_fields__[name].type
    return Path(value) if value is not None and "Path" in str(kind) else value


def fingerprint(path: Path) -> str:
    """The sha256 of a file as it is now; "" when it is gone."""
    try:
        return sha256_of(path)
    except OSError:
        return ""
