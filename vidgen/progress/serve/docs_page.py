"""The API's description as a page to read (`/docs`), without a script."""

from collections.abc import Mapping
from html import escape
from typing import Any

_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>vidgen: the API</title>'
    '<link rel="stylesheet" href="/style.css"><main><h1>The API</h1>'
    '<p>The same for programs: <a href="/openapi.json">openapi.json</a></p>'
)


def docs_page(description: Mapping[str, Any]) -> str:
    """HTML of an OpenAPI document: every path with its method, parameters and answers."""
    rows = [
        _row(path, method, operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    head = "<tr><th>Request<th>What it does<th>Parameters<th>Answers</tr>"
    return f"{_HEAD}<table>{head}{''.join(rows)}</table></main></html>"


def _row(path: str, method: str, operation: Mapping[str, Any]) -> str:
    named = [f"{one['name']}: {one['description']}" for one in operation["parameters"]]
    cells = (
        f"<code>{escape(method.upper())} {escape(path)}</code>",
        escape(str(operation["summary"])),
        "<br>".join(map(escape, named)),
        escape(", ".join(operation["responses"])),
    )
    return f"<tr><td>{'<td>'.join(cells)}</tr>"
