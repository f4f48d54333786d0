"""What was asked of a run, and its file `request.json`: enough to run it again or to resume it."""

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, get_type_hints

import orjson

from vidgen.errors import InputError
from vidgen.events import timestamp
from vidgen.files import atomic_write, is_device, is_folder, open_regular
from vidgen.inputs import Input, check_stdin, input_copy, is_piped, look_at, short_name
from vidgen.media.output import device_refusal
from vidgen.paths import TaskFolder, absolute
from vidgen.presets import apply_preset
from vidgen.remote import plain_path
from vidgen.settings import (
    ANIMATION_HEIGHTS,
    ANIMATIONS,
    FORMATS,
    Options,
    Setting,
    background_file,
    check,
    words,
)
from vidgen.text import json_bytes, path_text, text_path
from vidgen.version import __version__

FORMAT: Final = 1
STDOUT: Final = frozenset({"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})


@dataclass(frozen=True, slots=True)
class Request:
    """One film that somebody wants."""

    photo: Path
    voice: Path
    output: Path  # where the film goes; chosen when nobody named it
    settings: Mapping[str, Setting]
    batch_id: str = ""  # runs of one name are told together
    is_named: bool = False  # whether somebody named the output
    reads: tuple[Path, ...] = ()  # files that must never be written over, beside photo and voice

    @property
    def options(self) -> Options:
        return options_of(self.settings)

    @property
    def files(self) -> Mapping[str, Path]:
        """name → file of everything that is read: photo, voice, perhaps the picture behind."""
        files = {"photo": self.photo, "voice": self.voice}
        behind = background_file(self.options)
        return files if behind is None else {**files, "background": behind}


def default_settings(**values: Any) -> dict[str, Setting]:
    """Every option at its default, but for those given."""
    defaults = {field.name: Setting(field.default, "default") for field in fields(Options)}
    return defaults | {name: Setting(value, "flag") for name, value in values.items()}


def build_request(
    photo: Path,
    voice: Path,
    output: Path | str | None,
    settings: Mapping[str, Setting],
    *,
    name: str = "",
) -> Request:
    """A checked request. Raises InputError for options that cannot be meant.

    The output's ending may choose the format; a folder gets, like nothing, a default name: `name`,
    or that of both inputs. The words of the voice are read here, once.
    """
    folder, file = place_of(output)
    return place_request(photo, voice, folder, file, settle(settings, ending_of(file)), name=name)


@dataclass(frozen=True, slots=True)
class Settled:
    """Settings that are checked and hold later and elsewhere; `reads` are files they named."""

    settings: Mapping[str, Setting]
    reads: tuple[Path, ...]


def settle(settings: Mapping[str, Setting], ending: str) -> Settled:
    """The settings for a film whose name has this ending. Raises InputError.

    The same for all films that are wanted alike, of which a batch may have thousands.
    """
    chosen = _limit_height(_format_of(ending, apply_preset(settings)))
    options = options_of(chosen)
    check(options)
    reads = tuple(Path(chosen[key].value) for key in ("text_file", "did_key_file")
                  if chosen[key].value is not None)  # fmt: skip
    return Settled(_lasting(chosen, options), reads)


def ending_of(file: Path | None) -> str:
    return file.suffix.lower().removeprefix(".") if file else ""


def place_request(
    photo: Path, voice: Path, folder: Path, file: Path | None, settled: Settled, *, name: str = ""
) -> Request:
    """A request whose film is `file` or, where none is named, gets its default name in `folder`."""
    photo, voice = plain_path(photo), plain_path(voice)
    kind = settled.settings["format"].value
    if file is None:
        path = folder / f"{name or f'{short_name(photo)}-{short_name(voice)}'}.{kind}"
    else:
        path = file if file.suffix else file.with_name(f"{file.name}.{kind}")
    is_named = file is not None
    return Request(photo, voice, path, settled.settings, is_named=is_named, reads=settled.reads)


def choose_voice(
    voice: Path | None, say: str, settings: Mapping[str, Setting]
) -> tuple[Path, Mapping[str, Setting]]:
    """The recording, or the name of the voice that will `say` the words, which then are known.

    Raises InputError for none, for both, and for two texts.
    """
    if voice is not None and not say:
        return voice, settings
    if voice is not None:
        raise InputError(
            "There are two voices: a recording and --say.",
            hint="Leave one of the two away. The words of a recording are given with --text.",
            code="say.both",
        )
    if not say.strip():
        raise InputError(
            "There is no voice.",
            hint="Name a recording behind the photo, or words for a voice with --say.",
            code="say.no_voice",
        )
    if settings["text"].value or settings["text_file"].value:
        raise InputError(
            "--say and --text both give the words.",
            hint="Leave --text and --text-file away: what is said is known.",
            code="say.text",
        )
    return Path("said.wav"), {**settings, "text": Setting(say, "flag")}


def options_of(settings: Mapping[str, Setting]) -> Options:
    return Options(**{name: setting.value for name, setting in settings.items()})


def place_of(output: Path | str | None) -> tuple[Path, Path | None]:
    """The folder and, where a file is named, that file."""
    if output is None:
        return Path(), None
    text, path = str(output), Path(output)
    if text in STDOUT:
        raise InputError(
            "The film cannot go to stdout: a film is written to files only.",
            hint="Name a file with -o, and hand it on when it is finished.",
            code="output.is_stdout",
        )
    if is_device(path):  # before an ending is put behind it
        raise device_refusal(path)
    ends_as_folder = text.endswith(("/", os.sep))
    return (path, None) if ends_as_folder or is_folder(path) else (path.parent, path)


def _format_of(ending: str, settings: Mapping[str, Setting]) -> Mapping[str, Setting]:
    now = settings["format"]
    if not ending or ending == now.value:
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


def _limit_height(settings: Mapping[str, Setting]) -> Mapping[str, Setting]:
    """An animation is smaller than a film by itself, and none is large. Raises InputError."""
    height, format = settings["height"], settings["format"].value
    if format not in ANIMATIONS:
        return settings
    usual, most = ANIMATION_HEIGHTS
    if height.value > most:
        raise InputError(
            "A {format} {height} pixels high would be huge: {most} are the most.",
            hint="Give --height {usual}, or make a film: --format mp4.",
            code="option.animation_height",
            format=format,
            height=height.value,
            most=most,
            usual=usual,
        )
    return {**settings, "height": replace(height, value=height.value or usual)}


def record(task: TaskFolder, request: Request) -> Request:
    """Write request.json, with what is in the inputs; answer the request as the run makes it.

    What comes by a pipe is read into the run's folder, and taken from there. Raises InputError
    when an input cannot be read.
    """
    check_stdin(request.files.values())
    inputs = {name: look_at(task, name, path) for name, path in request.files.items()}
    data = {
        "v": FORMAT,
        "task_id": task.task_id,
        "created": timestamp(),
        "pid": os.getpid(),
        "batch_id": request.batch_id,
        "inputs": {name: asdict(value) for name, value in inputs.items()},
        "output": path_text(absolute(request.output)),
        "options": {name: asdict(setting) for name, setting in _plain(request.settings).items()},
        "versions": {
            "vidgen": __version__,
            "python": platform.python_version(),
            "platform": sys.platform,
        },
    }
    atomic_write(task.request, json_bytes(data, orjson.OPT_INDENT_2))
    spooled = {
        name: input_copy(task, name, path) for name, path in request.files.items() if is_piped(path)
    }
    return replace(
        request,
        photo=spooled.get("photo", request.photo),
        voice=spooled.get("voice", request.voice),
        reads=(*request.reads, *request.files.values()),
    )


def _plain(settings: Mapping[str, Setting]) -> Mapping[str, Setting]:
    """As JSON can carry them: a picture's name may hold any bytes, and so may words."""
    behind, text = settings["background"], settings["text"]
    return {
        **settings,
        "background": replace(behind, value=path_text(behind.value)),
        "text": replace(text, value=text.value.encode("utf-8", "replace").decode()),
    }


def _lasting(settings: Mapping[str, Setting], options: Options) -> dict[str, Setting]:
    """The settings as they hold later and elsewhere: whole paths, and words instead of their file.

    Raises InputError when that file cannot be read.
    """
    settings = dict(settings)
    if options.text_file is not None:
        settings["text"] = replace(settings["text_file"], value=words(options))
        settings["text_file"] = Setting(None, "default")
    if options.did_key_file is not None:
        file = absolute(options.did_key_file)
        settings["did_key_file"] = replace(settings["did_key_file"], value=file)
    behind = background_file(options)
    if behind is not None:
        settings["background"] = replace(settings["background"], value=str(absolute(behind)))
    return settings


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """What request.json says."""

    request: Request
    inputs: Mapping[str, Input]
    version: str  # of the vidgen that began the run


def _foreign(task: TaskFolder) -> InputError:
    return InputError(
        "The run {task} is not vidgen's own.",
        hint="The program that began it begins it again.",
        code="resume.foreign",
        task=task.task_id[:8],
    )


def load_request(task: TaskFolder) -> RecordedRequest:
    """Raises InputError when the file is missing or not vidgen's."""
    try:
        with os.fdopen(open_regular(task.request), "rb") as file:
            said = orjson.loads(file.read())
        if isinstance(said, dict) and "title" in said and "inputs" not in said:
            raise _foreign(task)
        inputs = {
            name: Input(text_path(value["path"]), value["sha256"], value["bytes"])
            for name, value in said["inputs"].items()
        }
        settings = default_settings() | {
            name: Setting(_parse_value(name, setting["value"]), setting["source"])
            for name, setting in said["options"].items()
            if name in {field.name for field in fields(Options)}
        }
        request = Request(
            inputs["photo"].path, inputs["voice"].path, text_path(said["output"]), settings
        )
        for name, setting in settings.items():
            _check_type(name, setting.value)
        return RecordedRequest(request, inputs, str(said["versions"]["vidgen"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "The run {task} cannot be taken up: its request.json is missing or damaged.",
            hint="Start it again with vidgen run.",
            code="resume.no_request",
            task=task.task_id,
        ) from error


def _check_type(name: str, value: object) -> None:
    """Raises TypeError for a value that the option cannot have."""
    kind = get_type_hints(Options)[name]
    kinds = (int, float) if kind is float else kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name} cannot be {value!r}")


def _parse_value(name: str, value: Any) -> Any:
    """JSON has no paths."""
    if name == "background":
        return str(text_path(value)) if value.startswith("file:") else value
    kind = Options.__dataclass_fields__[name].type
    return text_path(value) if value is not None and "Path" in str(kind) else value
