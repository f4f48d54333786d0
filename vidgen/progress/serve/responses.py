"""What every answer has: headers that harden it, and the form of a refusal."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from vidgen.errors import VidgenError
from vidgen.progress.serve.api import answer
from vidgen.progress.serve.errors import RETRY_AFTER, ApiError, storage_refusal

HARDENED: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def harden(send: Send, origin: str = "") -> Send:
    """The same, with the headers that keep browsers from doing more than they should.

    `origin` is another site that was allowed to read.
    """

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HARDENED.items():
                headers.setdefault(name, value)
            if origin:
                headers["access-control-allow-origin"] = origin
                headers["access-control-allow-credentials"] = "true"  # SignalR's client insists
                headers["vary"] = "Origin"
        await send(message)

    return sending


async def tell_bug(_: Request, error: Exception) -> Response:  # noqa: ARG001  # its trace goes to stderr
    return _response(ApiError(500, "bug", "Something went wrong inside the server."))


async def tell_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "no_route", 405: "method"}
    sentences = {404: "There is nothing here.", 405: "Not with this method."}
    about = {
        "code": codes.get(error.status_code, "http"),
        "message": sentences.get(error.status_code, "The request was refused."),
    }
    response = answer({"error": about}, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def refuse_order(_: Request) -> Response:
    raise ApiError(404, "no_orders", "This server takes no orders: it began without --accept-jobs.")


async def tell_storage(_: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    return _response(storage_refusal(error))


async def tell_setup(_: Request, error: Exception) -> Response:
    """A store that is full, read-only or somebody else's: no fault of the server's."""
    assert isinstance(error, VidgenError)
    status = 507 if error.code.endswith("disk_full") else 503
    return _response(ApiError(status, error.code, error.message, RETRY_AFTER))


async def tell_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _response(error)


def _response(refusal: ApiError) -> Response:
    response = answer({"error": {"code": refusal.code, "message": refusal.message}}, refusal.status)
    if refusal.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    if refusal.status == 405:
        response.headers["allow"] = "GET"
    if refusal.retry_after:
        response.headers["retry-after"] = str(refusal.retry_after)
    return response


async def deny(
    refusal: ApiError, scope: Scope, receive: Receive, send: Send, origin: str = ""
) -> None:
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(_response(refusal))
    else:
        await _response(refusal)(scope, receive, harden(send, origin))
