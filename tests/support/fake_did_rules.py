"""What D-ID accepts and what not: file names, kinds, sizes, keys (OpenAPI 4.2, and measured)."""

import re
from collections.abc import Mapping
from typing import Any, Final

from tests.support.fake_did_film import audio_seconds, image_size
from tests.support.fake_did_wire import Answer, problem

FILE_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,50}")
SOURCE: Final = re.compile(r"(https|s3):.*\.(jpg|jpeg|png)")
AUDIO: Final = re.compile(r"^(https|s3)://\S+\.(m4a|flac|mp3|mp4|wav)([?#]\S*)?$")
MOST_SECONDS: Final = 600  # of a talk's voice
ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "body": frozenset(
        {"source_url", "script", "config", "name", "user_data", "webhook", "result_url"}
    ),
    "script": frozenset({"type", "audio_url", "subtitles", "input", "provider", "ssml"}),
    "config": frozenset(
        {"stitch", "result_format", "fluent", "pad_audio", "driver_expressions", "logo"}
    ),
}


def part_of(content_type: str, body: bytes, field_name: str) -> tuple[str, str, bytes] | None:
    """(file name, mime type, content) of one multipart field."""
    boundary = re.search(r"boundary=([^;]+)", content_type)
    if not content_type.startswith("multipart/form-data") or boundary is None:
        return None
    for part in body.split(b"--" + boundary[1].encode()):
        head, _, content = part.partition(b"\r\n\r\n")
        text = head.decode()
        name = re.search(r'filename="([^"]*)"', text)
        mime = re.search(r"Content-Type: (\S+)", text)
        if f'name="{field_name}"' in text and name and mime:
            return name[1], mime[1], content.removesuffix(b"\r\n")
    return None


def bad_image(mime: str, content: bytes) -> Answer | None:
    if mime not in ("image/jpeg", "image/png"):
        return problem(415, "UnsupportedMimeTypeError", "The provided mime type is not supported")
    if len(content) > 10_000_000:
        return problem(400, "InvalidFileSizeError", "file size exceeded 10 MB")
    width, height = image_size(content)
    if not width:
        return problem(400, "BadRequestError", "invalid image")
    if min(width, height) < 160:
        return problem(400, "InvalidImageResolutionError", "invalid image resolution")
    return None


def bad_audio(mime: str, content: bytes) -> Answer | None:
    if not mime.startswith(("audio/", "video/")):
        return problem(415, "UnsupportedMimeTypeError", "The provided mime type is not supported")
    if len(content) > 6_000_000:
        return problem(400, "InvalidFileSizeError", "file size exceeded 6 MB")
    seconds = audio_seconds(content)
    if not seconds:
        return problem(400, "BadRequestError", "invalid audio")
    if seconds > MOST_SECONDS:
        return problem(400, "InvalidAudioDurationError", "audio is too long")
    return None


def bad_keys(asked: Mapping[str, Any]) -> Answer | None:
    """`additionalProperties: false` at every level, and our words within their limits."""
    levels = {"body": asked, "script": asked.get("script", {}), "config": asked.get("config", {})}
    for level, given in levels.items():
        extra = given.keys() - ALLOWED[level]
        if extra:
            details = {f"{level}.{name}": {"message": "excess property"} for name in extra}
            return problem(400, "ValidationError", "validation failed", details)
    if not asked.get("script"):
        return _invalid("body.script", "'script' is required")
    if not 1 <= len(asked.get("user_data", "x").strip()) <= 1000:
        return _invalid("body.user_data", "minLength 1, maxLength 1000")
    return _bad_values(asked["script"], asked.get("config", {}))


def _bad_values(script: Mapping[str, Any], config: Mapping[str, Any]) -> Answer | None:
    """Words and numbers outside what each key may hold."""
    pad = config.get("pad_audio", 0)
    if script.get("type") != "audio":  # they speak texts too, which nobody here asks them to
        return _invalid("body.script", "Could not match the union against any of the items")
    if config.get("result_format", "mp4") not in ("mp4", "mov"):
        return _invalid(
            "body.config.result_format", "should be one of the following; ['mp4','mov']"
        )
    if not isinstance(pad, int | float) or not 0 <= pad <= 60:
        return _invalid("body.config.pad_audio", "min 0, max 60")
    for name in ("stitch", "fluent"):
        if not isinstance(config.get(name, False), bool):
            return _invalid(f"body.config.{name}", "invalid boolean value")
    return None


def _invalid(where: str, message: str) -> Answer:
    details = {where: {"message": message}}
    return problem(400, "ValidationError", "validation failed", details)
