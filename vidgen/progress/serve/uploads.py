"""Check what strangers upload: how much, of what kind, and with which options. Starts nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, get_type_hints

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.types import Message, Receive

from vidgen.errors import InputError
from vidgen.files import make_private
from vidgen.progress.serve.dialects import pipeline
from vidgen.progress.serve.errors import ApiError, storage_refusal
from vidgen.settings import FREE_RENDERERS, PAID_RENDERERS, Options, check

UPLOAD_BYTES: Final = 256 * 1024 * 1024  # of a whole request
PIECE_BYTES: Final = 1024 * 1024
# Options that name no file, choose no account to be billed, and take no more of this machine
# than a run does anyway.
FREE: Final = frozenset(
    {
        *("person", "conf_threshold", "framing", "pitch", "pitch_range", "rate", "loudness"),
        *("text", "language", "seed", "mouth", "head_motion", "blink", "brows", "gaze"),
        *("mood", "expression"),
        *("background", "smoothing", "height", "aspect", "fps", "format", "models"),
    }
)
MAIN: Final = ("text", "language", "person", "framing", "background", "aspect", "height", "format",
               "mouth", "head_motion")  # fmt: skip  # those that the page offers, in its order
_BACKGROUND: Final = re.compile(r"keep|blur|transparent|#[0-9a-fA-F]{6}")
_BATCH: Final = re.compile(r"[\w .-]{1,100}")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,15}")
_DECIMAL: Final = re.compile(r"[+-]?([0-9]{1,15}(\.[0-9]{0,15})?|\.[0-9]{1,15})")
_PHOTOS: Final = (
    (b"\xff\xd8\xff", 0, ".jpg"),
    (b"\x89PNG\r\n\x1a\n", 0, ".png"),
    (b"WEBP", 8, ".webp"),
    (b"II*\0", 0, ".tif"),
    (b"MM\0*", 0, ".tif"),
    (b"BM", 0, ".bmp"),
    (b"GIF8", 0, ".gif"),
    (b"\0\0\0\x0cjP  ", 0, ".jp2"),
    (b"P5", 0, ".pgm"),
    (b"P6", 0, ".ppm"),
    *((b"ftyp" + brand, 4, ".avif") for brand in (b"avif", b"avis")),
    # Telephones'; the last two are what some programs name a HEIC or an AVIF by.
    *(
        (b"ftyp" + brand, 4, ".heic")
        for brand in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
    ),
)
_VOICES: Final = (
    (b"WAVE", 8, ".wav"),
    (b"fLaC", 0, ".flac"),
    (b"OggS", 0, ".ogg"),
    (b"ID3", 0, ".mp3"),
    (b"ftyp", 4, ".m4a"),
    (b"\x1aE\xdf\xa3", 0, ".webm"),
    (b"AIFF", 8, ".aiff"),
    (b"\xff\xf1", 0, ".aac"),
    (b"\xff\xf9", 0, ".aac"),
    (b"\xff\xfb", 0, ".mp3"),
    (b"\xff\xf3", 0, ".mp3"),
    (b"\xff\xf2", 0, ".mp3"),
    (b"\xff\xfa", 0, ".mp3"),
    (b"#!AMR", 0, ".amr"),
    (b"caff", 0, ".caf"),
    (b"\x0b\x77", 0, ".ac3"),
    (b"\x30\x26\xb2\x75", 0, ".wma"),
    (b"AVI ", 8, ".avi"),
)


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for, checked, with the files in place."""

    photo: Path
    voice: Path
    options: Mapping[str, str]


async def receive_upload(
    request: Request, folder: Path, most_bytes: int, *, allows_paid: bool = False
) -> Order:
    """Read the form into `folder`; `allows_paid` renderers are those that send a bill.

    Raises ApiError.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ApiError(415, "not_multipart", "Send a form with `photo` and `voice`.")
    limited = Request(request.scope, _limit(request.receive, most_bytes))
    try:
        form = await limited.form(max_files=2, max_fields=len(FREE) + 2, max_part_size=64 * 1024)
    except ApiError:
        raise
    except OSError as error:
        raise storage_refusal(error) from error
    except Exception as error:  # the parser's own errors, and Starlette's around them
        raise ApiError(400, "bad_form", "The form cannot be read.") from error
    try:
        return await _order(form, folder, allows_paid=allows_paid)
    finally:
        await form.close()


async def _order(form: FormData, folder: Path, *, allows_paid: bool) -> Order:
    options, files = {}, {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            files[pipeline.FIELDS.get(name, name)] = value
            continue
        ours, text = pipeline.translate(name, value)
        options[ours] = _check_option(ours, text, allows_paid=allows_paid)
    _check_together({name: text for name, text in options.items() if name != "batch"})
    if set(files) != {"photo", "voice"}:
        raise ApiError(400, "bad_form", "Send exactly the files `photo` and `voice`.")
    make_private(folder)
    photo = await _store_file(files["photo"], folder, "photo", _PHOTOS)
    voice = await _store_file(files["voice"], folder, "voice", _VOICES)
    return Order(photo, voice, options)


def main_options() -> list[dict[str, Any]]:
    """The options that the page offers: name, default, and what may be chosen."""
    known = {field.name: field for field in fields(Options)}
    return [
        {"name": name, "default": known[name].default}
        | {key: known[name].metadata[key] for key in ("choices", "least", "most")}
        for name in MAIN
    ]


def _check_together(options: Mapping[str, str]) -> None:
    """Refuse now what the run would refuse when its turn has come."""
    kinds = get_type_hints(Options)
    try:
        check(Options(**{name: kinds[name](text) for name, text in options.items()}))
    except InputError as error:
        raise ApiError(400, "bad_option", f"{error.message} {error.hint}") from error


def _limit(receive: Receive, most: int) -> Receive:
    left = most

    async def receiving() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise ApiError(413, "too_large", f"A request may have {most >> 20} MB.")
        return message

    return receiving


def _check_option(name: str, text: str, *, allows_paid: bool) -> str:
    """The value as a flag takes it."""
    if name == "batch" and _BATCH.fullmatch(text):
        return text
    if name == "renderer":
        return _check_renderer(text, allows_paid=allows_paid)
    option = next((field for field in fields(Options) if field.name == name), None)
    if option is None or name not in FREE:
        raise ApiError(400, "bad_option", f"There is no option {name[:40]!r} here.")
    about: Mapping[str, Any] = option.metadata
    if "\0" in text:
        raise ApiError(400, "bad_option", f"`{name}` has a character that no text has.")
    if about["choices"] and text not in about["choices"]:
        raise ApiError(400, "bad_option", f"`{name}` is one of {', '.join(about['choices'])}.")
    if name == "background" and not _BACKGROUND.fullmatch(text):
        raise ApiError(400, "bad_option", "`background` is keep, blur, transparent or #rrggbb.")
    kind = get_type_hints(Options)[name]
    if kind in (int, float):
        _check_number(name, text, kind, about)
    return text


def _check_renderer(text: str, *, allows_paid: bool) -> str:
    if text not in FREE_RENDERERS and text not in PAID_RENDERERS:
        known = ", ".join((*FREE_RENDERERS, *PAID_RENDERERS))
        raise ApiError(400, "bad_option", f"`renderer` is one of {known}.")
    if text in PAID_RENDERERS and not allows_paid:
        raise ApiError(403, "paid_renderer", "This server orders nothing that sends a bill.")
    return text


def _check_number(name: str, text: str, kind: type, about: Mapping[str, Any]) -> None:
    form = _WHOLE if kind is int else _DECIMAL
    if not form.fullmatch(text):
        wanted = "a whole number" if kind is int else "a number"
        raise ApiError(400, "bad_option", f"`{name}` is {wanted}.")
    number, least, most = float(text), about["least"], about["most"]
    if not (least is None or number >= least) or not (most is None or number <= most):
        raise ApiError(400, "bad_option", f"`{name}` is a number from {least} to {most}.")


async def _store_file(
    file: UploadFile, folder: Path, name: str, kinds: tuple[tuple[bytes, int, str], ...]
) -> Path:
    """The file under a harmless name that ends as its content says."""
    head = await file.read(16)
    ending = next((end for mark, at, end in kinds if head[at : at + len(mark)] == mark), "")
    if not ending:
        raise ApiError(415, "bad_file", f"The {name} is of no kind that is known here.")
    await file.seek(0)
    target = folder / f"{_harmless(file.filename or '') or name}{ending}"
    if target.exists():
        target = folder / f"{name}{ending}"
    with target.open("wb") as kept:
        while piece := await file.read(PIECE_BYTES):
            kept.write(piece)
    return target


def _harmless(name: str) -> str:
    """What remains of a stranger's file name: letters, digits, spaces, - and _ of its stem."""
    stem = re.split(r"[/\\]", name)[-1].rpartition(".")[0]
    return re.sub(r"[^\w -]", "", stem).strip(" -")[:60]
