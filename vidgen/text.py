"""Text that leaves the program: paths of any bytes and values of any kind, as JSON."""

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePath
from typing import Any, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

import orjson

_URI: Final = "file://"
_MOST: Final = 1 << 63  # JSON's readers hold no larger number exactly
_DEEPEST: Final = 50  # levels of a value; more is somebody's joke


def path_text(path: Path | str) -> str:
    """A path as text that JSON can carry: a file: address where its bytes are not UTF-8."""
    text = str(path)
    if _is_utf8(text):
        return text
    return _URI + quote_from_bytes(os.fsencode(text))


def text_path(text: str) -> Path:
    """The path that `path_text` made a text of."""
    if text.startswith(_URI):
        return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_URI))))
    return Path(text)


def json_bytes(value: object, option: int = 0) -> bytes:
    """`value` as JSON, in UTF-8. Whatever is in it, it never fails: no value may cost a run."""
    option |= orjson.OPT_SERIALIZE_NUMPY
    try:
        return orjson.dumps(value, default=_plain, option=option)
    except TypeError:  # bytes that are no letters, numbers over 64 bits, keys that are no text
        return orjson.dumps(_clean(value), default=_plain, option=option)


def _plain(value: object) -> str:
    return path_text(value) if isinstance(value, Path) else letters(str(value))


def _clean(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        return "…"
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {letters(str(key)): _clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, str | PurePath):
        text = str(value)
        return path_text(text) if text.startswith("/") else letters(text)
    if isinstance(value, int) and not -_MOST <= value < _MOST:
        return float(value)
    return value


def letters(text: str) -> str:
    """With signs of the missing in place of bytes that are none."""
    return text if _is_utf8(text) else os.fsencode(text).decode("utf-8", "replace")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
