"""The web page's files and its sentences, from the package. Nothing of any task is in them."""

import hashlib
from functools import cache
from importlib import resources
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vidgen.messages import LANGUAGES, message_catalogue
from vidgen.progress.serve.errors import ApiError

SCRIPTS: Final = (
    *("progress", "useProgressTracking"),  # for the pages of others, too
    *(
        "page",
        "list",
        "run",
        "jobs",
        "order",
        "batches",
        "stats",
        "drawing",
        "elements",
        "server",
        "words",
    ),
)
FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in SCRIPTS},
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
LOCALES: Final = {f"/locale/{language}.json": language for language in LANGUAGES}
PATHS: Final = frozenset(FILES) | frozenset(LOCALES)


def routes() -> list[Route]:
    return [Route(path, _serve_static, methods=["GET"]) for path in sorted(PATHS)]


async def _serve_static(request: Request) -> Response:
    content, kind = _file(request.url.path)
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


@cache
def _file(path: str) -> tuple[bytes, str]:
    if language := LOCALES.get(path):
        return orjson.dumps(dict(message_catalogue(language))), "application/json"
    if path not in FILES:
        raise ApiError(404, "no_route", "There is nothing here.")
    name, kind = FILES[path]
    return resources.files("vidgen.progress.serve").joinpath("web", name).read_bytes(), kind
