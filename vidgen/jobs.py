"""Which films a batch is to make: job files, one face with many voices, two folders.

Reads and checks every line before the first film, and tells all mistakes at once. What becomes of
the films is the business of `batch`.
"""

import csv
import re
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson

from vidgen import settings
from vidgen.config import WRONG, find_fault, limits_of
from vidgen.errors import InputError, VidgenError
from vidgen.files import sha256_of
from vidgen.request import Request, build_request
from vidgen.settings import Options, Setting

OWN_COLUMNS: Final = ("photo", "voice", "output")
PHOTO_ENDINGS: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"}
)
SWITCHES: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
OPTIONS: Final[Mapping[str, "Field[Any]"]] = {option.name: option for option in fields(Options)}
# How a film is made or shown, not what is in it: another value makes no other film.
NOT_IN_THE_FILM: Final = frozenset(
    ["force", "fresh", "max_seconds", "device", "workers", "did_key_file", "did_auth", "did_keep"]
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line as it was written: column → value, text where the file has no types."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a line."""

    line: int
    error: VidgenError


@dataclass(frozen=True, slots=True)
class FilmJob:
    """One film to be made, checked. `seconds` is the voice's length as its file states it."""

    line: int
    request: Request
    photo_sha256: str
    voice_sha256: str
    seconds: float

    @property
    def title(self) -> str:
        return self.request.output.name

    @property
    def ingredients(self) -> Mapping[str, Any]:
        """All that the film depends on, and where it goes: the same values, the same film."""
        options = self.request.options
        chosen = {
            name: str(getattr(options, name))
            for name, option in OPTIONS.items()
            if name not in NOT_IN_THE_FILM and getattr(options, name) != option.default
        }
        if options.text_file is not None:
            chosen["text_file"] = settings.words(options)
        if behind := settings.background_file(options):
            chosen["background"] = sha256_of(behind)
        inputs = {"photo": self.photo_sha256, "voice": self.voice_sha256}
        return {**inputs, "output": str(self.request.output.absolute()), "options": chosen}


# Where the rows come from


def read_rows(file: Path) -> tuple[list[Row], list[Mistake]]:
    """The lines of a CSV, JSONL or TOML file. Raises InputError when it cannot be read at all."""
    readers: Mapping[str, Callable[[str], tuple[list[Row], list[Mistake]]]] = {
        ".csv": _read_csv,
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
        ".toml": _read_toml,
    }
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise InputError(
            "{file} is no job file.",
            hint="A job file ends in .csv, .jsonl or .toml; for one face and many voices:"
            " vidgen batch --photo FACE VOICE…",
            code="batch.not_a_job_file",
            file=str(file),
        )
    try:
        return reader(file.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, csv.Error) as error:
        raise InputError(
            "The job file {file} cannot be read: {reason}.",
            hint="It must be text in UTF-8; docs/batch.md shows one of each kind.",
            code="batch.unreadable",
            file=str(file),
            reason=getattr(error, "strerror", None) or str(error).rstrip("."),
        ) from error


def _read_csv(text: str) -> tuple[list[Row], list[Mistake]]:
    head = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=";" if head.count(";") else ",")
    rows, mistakes, line = [], [], 2
    for values in reader:
        surplus = values.pop(None, None)  # where DictReader puts them
        if surplus:
            mistakes.append(Mistake(line, _surplus(len(surplus))))
        rows.append(Row(line, {name: value for name, value in values.items() if value}))
        line = reader.line_num + 1
    return rows, mistakes


def _surplus(count: int) -> InputError:
    return InputError(
        "The line has {count} values more than the first line has names.",
        hint='Put values that hold a comma between double quotes: "one, two".',
        code="batch.surplus",
        count=count,
    )


def _read_jsonl(text: str) -> tuple[list[Row], list[Mistake]]:
    rows, mistakes = [], []
    for line, content in enumerate(text.splitlines(), 1):
        if not content.strip():
            continue
        try:
            values = orjson.loads(content)
        except ValueError:
            values = None
        if isinstance(values, dict):
            rows.append(Row(line, values))
        else:
            mistakes.append(Mistake(line, _not_an_object()))
    return rows, mistakes


def _not_an_object() -> InputError:
    return InputError(
        "The line is no JSON object.",
        hint='Write each film on a line of its own: {{"photo": "face.jpg", "voice": "hello.wav"}}',
        code="batch.not_an_object",
        line=0,  # the hint's braces are then read as written
    )


def _read_toml(text: str) -> tuple[list[Row], list[Mistake]]:
    """`[[film]]` tables; what stands before the first of them holds for all."""
    values = tomllib.loads(text)
    films = values.pop("film", [])
    heads = [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if re.match(r"\s*\[\[\s*film\s*\]\]", line)
    ]
    lines = heads if len(heads) == len(films) else [0] * len(films)
    return [Row(at, {**values, **film}) for at, film in zip(lines, films, strict=True)], []


def pair_voices(photo: Path, voices: Sequence[Path]) -> list[Row]:
    """One face for many voices; a line's number is the voice's place."""
    return [Row(n, {"photo": photo, "voice": voice}) for n, voice in enumerate(voices, 1)]


def pair_folders(photos: Path, voices: Path) -> tuple[list[Row], list[Mistake]]:
    """Photos and voices of the same name; what has no partner is a mistake.

    Raises InputError when one of the two is no folder.
    """
    faces = {path.stem: path for path in _files(photos) if path.suffix.lower() in PHOTO_ENDINGS}
    sounds = {path.stem: path for path in _files(voices)}
    both = sorted(faces.keys() & sounds.keys())
    rows = [Row(n, {"photo": faces[s], "voice": sounds[s]}) for n, s in enumerate(both, 1)]
    alone = sorted(str((faces | sounds)[stem]) for stem in faces.keys() ^ sounds.keys())
    return rows, [Mistake(0, _without_partner(path)) for path in alone]


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    except OSError as error:
        raise InputError(
            "{folder} is no folder that can be read.",
            hint="Name two folders: --photos FACES --voices VOICES.",
            code="batch.no_folder",
            folder=str(folder),
        ) from error


def _without_partner(path: str) -> InputError:
    return InputError(
        "{path} has no partner of its name in the other folder.",
        hint="anna.jpg goes with anna.wav; use a job file where names differ.",
        code="batch.no_partner",
        path=path,
    )


# From rows to jobs


@dataclass(slots=True)
class Checker:
    """Makes jobs of rows. `folder` is where relative paths begin, `settings` what holds unless a
    line says otherwise, `name` the pattern of a film's name with {photo}, {voice} and {line}."""

    folder: Path
    settings: Mapping[str, Setting]
    output_dir: Path
    batch_id: str
    name: str = "{photo}-{voice}"
    mistakes: list[Mistake] = field(default_factory=list)
    _outputs: dict[Path, int] = field(default_factory=dict)
    _folders: dict[Path, bool] = field(default_factory=dict)

    def check(self, rows: Sequence[Row]) -> list[FilmJob]:
        """The jobs of all rows that are right; what is wrong is in `mistakes`, by line."""
        jobs = [job for row in rows if (job := self._job(row))]
        self.mistakes.sort(key=lambda mistake: mistake.line)
        return jobs

    def _job(self, row: Row) -> FilmJob | None:
        before = len(self.mistakes)
        values = {str(k).strip().replace("-", "_"): v for k, v in row.values.items()}
        chosen = dict(self._options(row.line, values))
        paths = {name: self._path(row.line, values, name) for name in ("photo", "voice")}
        photo, voice = paths["photo"], paths["voice"]
        if photo is None or voice is None or len(self.mistakes) > before:
            return None
        try:
            return self._checked(row.line, photo, voice, values.get("output"), chosen)
        except VidgenError as error:
            self._complain(row.line, error)
            return None

    def _checked(
        self, line: int, photo: Path, voice: Path, output: Any, chosen: Mapping[str, Setting]
    ) -> FilmJob:
        from vidgen.media.output import check_output

        target = Path(str(output)) if output else self._target(line, photo, voice, chosen)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        request = build_request(photo, voice, self.output_dir / target, {**self.settings, **chosen})
        request = replace(request, batch_id=self.batch_id)
        twin = self._outputs.setdefault(request.output.absolute(), line)
        if twin != line:
            raise _same_output(request.output, twin)
        folder = request.output.absolute().parent
        if folder not in self._folders or request.output.is_dir():
            check_output(request.output)
            self._folders[folder] = True
        settings.words(request.options)
        faces, sounds = _photo_facts(photo), _voice_facts(voice, request.options.max_seconds)
        return FilmJob(line, request, faces, *sounds)

    def _target(self, line: int, photo: Path, voice: Path, chosen: Mapping[str, Setting]) -> Path:
        try:
            stem = self.name.format(photo=photo.stem, voice=voice.stem, line=line)
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(
                "--name {pattern} cannot be filled in.",
                hint="Its places are {{photo}}, {{voice}} and {{line}}.",
                code="batch.name",
                pattern=self.name,
            ) from error
        ending = chosen.get("format", self.settings["format"]).value
        return Path(f"{stem}.{ending}")

    def _path(self, line: int, values: Mapping[str, Any], name: str) -> Path | None:
        value = values.get(name)
        if isinstance(value, str | Path) and str(value).strip():
            return self.folder / Path(str(value).strip()).expanduser()
        self._complain(
            line,
            InputError(
                "The line names no {name}.",
                hint="Each film needs a photo and a voice.",
                code="batch.no_input",
                name=name,
            ),
        )
        return None

    def _options(self, line: int, values: Mapping[str, Any]) -> Iterator[tuple[str, Setting]]:
        for name, value in values.items():
            if name in OWN_COLUMNS:
                continue
            if name not in OPTIONS:
                self._complain(line, _unknown(name))
                continue
            typed = _typed(OPTIONS[name], value)
            if fault := find_fault(OPTIONS[name], typed):
                self._complain(line, _wrong_value(name, value, fault))
            else:
                yield name, Setting(self._placed(OPTIONS[name], typed), "flag")

    def _placed(self, option: "Field[Any]", value: Any) -> Any:
        """Paths begin at the job file, a picture behind the speaker too."""
        if Path in _kinds(option):
            return self.folder / Path(value).expanduser()
        is_picture = option.name == "background" and (self.folder / str(value)).is_file()
        if is_picture:
            return str(self.folder / str(value))
        return str(value) if option.metadata["choices"] else value  # fps = 25

    def _complain(self, line: int, error: VidgenError) -> None:
        self.mistakes.append(Mistake(line, error))


def _kinds(option: "Field[Any]") -> tuple[Any, ...]:
    return typing.get_args(option.type) or (option.type,)


def _typed(option: "Field[Any]", value: Any) -> Any:
    """A CSV's text as the option's own kind; what cannot be one stays text."""
    kinds = _kinds(option)
    if not isinstance(value, str) or str in kinds or Path in kinds:
        return value
    if bool in kinds:
        return SWITCHES.get(value.strip().lower(), value)
    try:
        return int(value) if int in kinds else float(value)
    except ValueError:
        return value


def _unknown(name: str) -> InputError:
    from difflib import get_close_matches

    near = get_close_matches(name, [*OWN_COLUMNS, *OPTIONS], 1)
    return InputError(
        "There is no column {name}.",
        hint="Columns are photo, voice, output and the options of `vidgen run`. Perhaps: {near}",
        code="batch.unknown_column",
        name=name,
        near=near[0] if near else "?",
    )


def _wrong_value(name: str, value: Any, fault: str) -> InputError:
    from vidgen.messages import say, user_language

    limits = limits_of(OPTIONS[name])
    advice = say(f"{fault}_hint", limits, user_language(), WRONG[fault].format_map(limits))
    return InputError(
        "{name} cannot be {value}.",
        hint="{advice}",
        code="batch.value",
        name=name,
        value=str(value),
        advice=advice,
    )


def _same_output(output: Path, twin: int) -> InputError:
    return InputError(
        "The film {output} is line {twin}'s already.",
        hint="Give one of them another output, or use --name with {{line}} in it.",
        code="batch.same_output",
        output=str(output),
        twin=twin,
    )


@lru_cache(maxsize=4096)
def _photo_facts(photo: Path) -> str:
    from vidgen.media.photo import identify_photo

    return identify_photo(photo)[0]


@lru_cache(maxsize=4096)
def _voice_facts(voice: Path, max_seconds: float) -> tuple[str, float]:
    from vidgen.media.audio import identify_voice

    return identify_voice(voice, max_seconds)
