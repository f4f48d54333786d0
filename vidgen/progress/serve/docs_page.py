"""The API's description as a page to read (`/docs`), without a script."""

from collections.abc import Mapping
from html import escape
from typing import Any

_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>vidgen: the API</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="icon" href="/icon.svg" type="image/svg+xml">'
    '<link rel="stylesheet" href="/style.css"><body class="api one"><main><h1>The API</h1>'
    '<p>The same for programs: <a href="/openapi.json">openapi.json</a></p>'
)


def docs_page(description: Mapping[str, Any]) -> str:
    """HTML of an OpenAPI document: every path with its method, parameters and answers."""
    rows = [
        _row(path, method, operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    head = "<thead><tr><th>Request<th>What it does<th>Parameters<th>Answers</tr></thead>"
    return f"{_HEAD}<table>{head}<tbody>{''.join(rows)}</tbody></table></main></body></html>"


def _row(path: str, method: str, operation: Mapping[str, Any]) -> str:
    named = [f"{one['name']}: {one['description']}" for one in operation["parameters"]]
    cells = (
        f"<code>{escape(method.upper())} {escape(path)}</code>",
        escape(str(operation["summary"])),
        "<br>".join(map(escape, named)),
        escape(", ".join(operation["responses"])),
    )
    return f"<tr><td>{'<td>'.join(cells)}</tr>"
