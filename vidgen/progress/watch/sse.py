"""Server-sent events out of the bytes of a stream.

The decoder follows the HTML standard, section 9.2.6 ("Interpreting an event stream"), to the
letter; who connects and reconnects is the client's business.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

EVENT_LIMIT: Final = 8 * 1024 * 1024  # bytes of one event; an endless one must not fill the memory
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """What a browser would dispatch."""

    data: str
    type: str = "message"
    last_event_id: str = ""


class SseDecoder:
    """Feed it the bytes as they come, cut anywhere; it answers whole events.

    `last_event_id` and `retry_ms` (None until the server names one) are for the reconnection.
    Raises ValueError when one event grows beyond EVENT_LIMIT.
    """

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self._limit = limit
        self._rest = b""  # the line that has not ended yet
        self._size = 0  # of the event so far
        self._is_first = True
        self._after_cr = False
        self._id = ""
        self._type = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that these bytes complete, in order."""
        return [event for line in self._lines(chunk) if (event := self._line(line)) is not None]

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        if self._is_first:
            chunk, self._rest = self._rest + chunk, b""
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._rest = chunk  # perhaps the beginning of a byte order mark
                return
            self._is_first = False
            chunk = chunk.removeprefix(_BOM)
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")  # the second half of a CRLF cut in two
            self._after_cr = False
        buffer = self._rest + chunk
        self._after_cr = chunk.endswith(b"\r")
        *lines, self._rest = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        yield from lines
        if self._size + len(self._rest) > self._limit:
            raise ValueError(f"an event of the stream is longer than {self._limit} bytes")

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        self._size += len(line)
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._type = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value[:9])
        return None

    def _dispatch(self) -> ServerEvent | None:
        self.last_event_id = self._id
        data, kind = self._data, self._type
        self._data, self._type, self._size = [], "", 0
        if not data:
            return None
        return ServerEvent("\n".join(data), kind or "message", self.last_event_id)
