"""The lines of job files as they were written; one face with many voices, and two folders, too."""

import codecs
import csv
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from vidgen.errors import InputError, VidgenError

PHOTO_ENDINGS: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"}
    | {".heif", ".jfif", ".jp2"}
)
# What lies beside voices and is none; any other ending may be one.
NO_VOICE: Final = PHOTO_ENDINGS | frozenset(
    {".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".toml", ".srt", ".vtt", ".md"}
    | {".pdf", ".html", ".docx", ".xlsx", ".svg", ".db", ".ini"}
)
SEPARATORS: Final = ",;\t"  # of a CSV; that which its first line has most of


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
        return reader(_decode(file.read_bytes()))
    except FileNotFoundError as error:
        raise InputError(
            "There is no job file {file}.",
            hint="Check the path.",
            code="batch.missing",
            file=str(file),
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, csv.Error) as error:
        raise InputError(
            "The job file {file} cannot be read: {reason}.",
            hint="It must be text in UTF-8 (Excel: save as CSV UTF-8);"
            " docs/batch.md shows one of each kind.",
            code="batch.unreadable",
            file=str(file),
            reason=_reason(error),
        ) from error


def _decode(content: bytes) -> str:
    """Text in UTF-8; in UTF-16, as Excel's "Unicode text" is, where it says so."""
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError) and error.encoding == "utf-8":
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"line {line} is not in UTF-8"
    return getattr(error, "strerror", None) or str(error).rstrip(".")


def _read_csv(text: str) -> tuple[list[Row], list[Mistake]]:
    head = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=max(SEPARATORS, key=head.count))
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    if names and not {"photo", "voice"} & set(names):
        raise _no_head(head)
    rows, mistakes, line = [], [], 2
    for values in reader:
        surplus = values.pop(None, None)  # where DictReader puts them
        if surplus:
            mistakes.append(Mistake(line, _surplus(len(surplus))))
        rows.append(Row(line, {name: value for name, value in values.items() if value}))
        line = reader.line_num + 1
    return rows, mistakes


def _no_head(head: str) -> InputError:
    return InputError(
        "The first line names no columns: {head}.",
        hint="Put a line like photo,voice,output before the films.",
        code="batch.no_head",
        head=head.strip()[:80],
    )


def _surplus(count: int) -> InputError:
    return InputError(
        "The line has more values than the first line has names ({count} more).",
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

    The two may be one folder. What is neither by its name is passed over.

    Raises InputError when one of the two is no folder.
    """
    faces = {path.stem: path for path in _files(photos) if path.suffix.lower() in PHOTO_ENDINGS}
    sounds = {path.stem: path for path in _files(voices) if path.suffix.lower() not in NO_VOICE}
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
