"""Films to be made, checked before the first of them; all mistakes are told at once.

What becomes of the films is the business of `batch`.
"""

import os
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from vidgen import settings
from vidgen.config import check_option
from vidgen.errors import InputError, VidgenError
from vidgen.files import sha256_of
from vidgen.jobs.rows import Mistake, Row
from vidgen.request import Request, Settled, ending_of, place_of, place_request, settle
from vidgen.settings import Options, Setting
from vidgen.trim import parse_trim

OWN_COLUMNS: Final = ("photo", "voice", "output")
T = TypeVar("T")
SWITCHES: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
OPTIONS: Final[Mapping[str, "Field[Any]"]] = {option.name: option for option in fields(Options)}
# How a film is made or shown, not what is in it: another value makes no other film.
NOT_IN_THE_FILM: Final = frozenset(
    ["force", "fresh", "max_seconds", "device", "workers", "did_key_file", "did_auth", "did_keep"]
)


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
    _wishes: dict[str, "_Wish"] = field(default_factory=dict)  # by what a line says of options
    _folders: set[Path] = field(default_factory=set)

    def check(self, rows: Sequence[Row]) -> list[FilmJob]:
        """The jobs of all rows that are right; what is wrong is in `mistakes`, by line.

        The output folder need not be there, if it can be made.
        """
        jobs = [job for row in rows if (job := self._job(row))]
        self.mistakes.sort(key=lambda mistake: mistake.line)
        return jobs

    def _job(self, row: Row) -> FilmJob | None:
        """All that is wrong with the line is told, not only the first of it."""
        before = len(self.mistakes)
        values = {str(k).strip().lower().replace("-", "_"): v for k, v in row.values.items()}
        wish = self._wish(row.line, values)
        chosen = wish.settings
        photo, voice = (self._path(row.line, values, name) for name in ("photo", "voice"))
        longest = float(chosen["max_seconds"].value)
        photo_sha = self._try(row.line, lambda: _photo_facts(photo) if photo else "")
        part = str(chosen["trim"].value)
        sounds = self._try(
            row.line, lambda: _voice_facts(voice, longest, part) if voice else ("", 0.0)
        )
        if photo is None or voice is None or photo_sha is None or sounds is None:
            return None
        request = self._try(
            row.line, lambda: self._request(row.line, photo, voice, values.get("output"), wish)
        )
        if request is None or len(self.mistakes) > before:
            return None
        return FilmJob(row.line, request, photo_sha, *sounds)

    def _try(self, line: int, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except VidgenError as error:
            self._complain(line, error)
            return None

    def _request(self, line: int, photo: Path, voice: Path, output: Any, wish: "_Wish") -> Request:
        from vidgen.media.output import check_output

        target = str(output) if output else self._target(line, photo, voice, wish.settings)
        folder, file = place_of(self.output_dir / target)
        request = place_request(photo, voice, folder, file, wish.settle(ending_of(file)))
        twin = self._outputs.setdefault(request.output.absolute(), line)
        if twin != line:
            raise _same_output(request.output, twin)
        folder = request.output.absolute().parent
        if folder not in self._folders or request.output.is_dir():
            is_to_make = folder == self.output_dir.absolute()
            check_output(_nearest(folder) / request.output.name if is_to_make else request.output)
            self._folders.add(folder)
        return replace(request, batch_id=self.batch_id)

    def _target(self, line: int, photo: Path, voice: Path, chosen: Mapping[str, Setting]) -> str:
        try:
            stem = self.name.format(photo=photo.stem, voice=voice.stem, line=line)
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(
                "--name {pattern} cannot be filled in.",
                hint="Its places are {{photo}}, {{voice}} and {{line}}.",
                code="batch.name",
                pattern=self.name,
            ) from error
        return f"{stem}.{chosen['format'].value}"

    def _path(self, line: int, values: Mapping[str, Any], name: str) -> Path | None:
        value = values.get(name)
        if isinstance(value, str | Path) and str(value).strip():
            return self.folder / os.path.expanduser(str(value).strip())  # noqa: PTH111  # 20,000
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

    def _wish(self, line: int, values: Mapping[str, Any]) -> "_Wish":
        """What the line says of options, checked; the same for all lines that say the same."""
        own = {name: value for name, value in values.items() if name not in OWN_COLUMNS}
        before, key = len(self.mistakes), repr(own)
        wish = self._wishes.get(key) or _Wish({**self.settings, **dict(self._options(line, own))})
        if len(self.mistakes) == before:
            self._wishes[key] = wish
        return wish

    def _options(self, line: int, values: Mapping[str, Any]) -> Iterator[tuple[str, Setting]]:
        for name, value in values.items():
            typed = _typed(name, value)
            try:
                check_option(name, typed)
            except InputError as error:
                self._complain(line, error)
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


@dataclass(frozen=True, slots=True)
class _Wish:
    """What lines want that say the same of options; checked once for each ending of a film."""

    settings: Mapping[str, Setting]
    _settled: dict[str, Settled] = field(default_factory=dict)

    def settle(self, ending: str) -> Settled:
        """Raises InputError."""
        if ending not in self._settled:
            self._settled[ending] = settle(self.settings, ending)
        return self._settled[ending]


def _nearest(folder: Path) -> Path:
    """The folder itself or, where it is still to be made, what is there of the way to it."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _kinds(option: "Field[Any]") -> tuple[Any, ...]:
    return typing.get_args(option.type) or (option.type,)


def _typed(name: str, value: Any) -> Any:
    """A CSV's text as the option's own kind; what cannot be one stays text."""
    kinds = _kinds(OPTIONS[name]) if name in OPTIONS else (str,)
    if not isinstance(value, str) or str in kinds or Path in kinds:
        return value
    if bool in kinds:
        return SWITCHES.get(value.strip().lower(), value)
    try:
        return int(value) if int in kinds else float(value)
    except ValueError:
        return value


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
def _voice_facts(voice: Path, max_seconds: float, trim: str) -> tuple[str, float]:
    from vidgen.media.audio import identify_voice

    return identify_voice(voice, max_seconds, parse_trim(trim))
