"""Let a browser in: a token in an address is taken for a cookie, once, and leaves the address."""

from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from vidgen.progress.serve.auth import Auth, without_token
from vidgen.progress.serve.errors import ApiError

PAGE: Final = "/"
REFUSED: Final = {"refused": "token"}  # in the page's address: its form says that it was wrong


class Sessions:
    """What the browsers of one server are given."""

    def __init__(self, keys: Auth) -> None:
        self._keys = keys

    def has_token(self, scope: Scope) -> bool:
        """Whether the request has a token in its address."""
        query = scope["query_string"]
        return b"token=" in query and bool(without_token(query.decode("latin-1"))[0])

    def exchange(self, scope: Scope, *, is_in: bool) -> Response:
        """Lead to the same address without its token; whoever `is_in` already may stay.

        Raises ApiError for a missing or a wrong token; the page itself asks for another one.
        """
        token, rest = without_token(scope["query_string"].decode("latin-1"))
        is_page = scope["path"] == PAGE
        if not token or scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            raise ApiError(401, "no_token", "This server asks for its token.")
        fits = self._keys.is_needed and self._keys.fits(token)
        if not fits and not is_page:
            raise ApiError(401, "wrong_token", "That is not this server's token.")
        if not fits and not is_in:
            rest = "&".join(filter(None, (rest, urlencode(REFUSED))))
        path = "/" + scope["path"].lstrip("/")  # `//elsewhere` would be another site's address
        response = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        if fits:
            response.headers["set-cookie"] = self._cookie(scope)
        return response

    async def begin(self, request: Request) -> Response:
        """Whoever came so far has the token."""
        return Response(status_code=204, headers={"set-cookie": self._cookie(request.scope)})

    def _cookie(self, scope: Scope) -> str:
        return self._keys.cookie(is_secure=scope.get("scheme") in ("https", "wss"))
