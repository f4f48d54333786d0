"""WebSocket frames (RFC 6455) as bytes: made for everybody at once, and read from a peer.

Knows no socket. A server's frames are not masked, so all watchers may share them.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


CONTROL_BYTES: Final = 125
_SENDABLE: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class ProtocolError(Exception):
    """The peer breaks the protocol; `code` and `reason` are for the close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Frame:
    opcode: Opcode
    payload: bytes
    is_final: bool


def frame(payload: bytes, opcode: Opcode = Opcode.TEXT) -> bytes:
    """One whole message."""
    size = len(payload)
    head = bytes((0x80 | opcode,))
    if size <= CONTROL_BYTES:
        return head + bytes((size,)) + payload
    if size < 1 << 16:
        return head + b"\x7e" + size.to_bytes(2) + payload
    return head + b"\x7f" + size.to_bytes(8) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    text = reason.encode()[: CONTROL_BYTES - 2].decode("utf-8", "ignore").encode()
    return frame(code.to_bytes(2) + text, Opcode.CLOSE)


def close_code(payload: bytes) -> int:
    """The code in a peer's close frame; 1005 when it gives none. Raises ProtocolError."""
    if not payload:
        return 1005
    code = int.from_bytes(payload[:2])
    if len(payload) == 1 or not (code in _SENDABLE or 3000 <= code < 5000):
        raise ProtocolError(1002, "a close code that is none")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolError(1007, "a reason that is no UTF-8") from None
    return code


def read_frame(buffer: bytes | memoryview, most_bytes: int) -> tuple[Frame, int] | None:
    """(the first frame of a client in `buffer`, its length); None when it is not all there.

    Raises ProtocolError, also for a payload over `most_bytes` before it has come.
    """
    if len(buffer) < 2:
        return None
    first, second = buffer[0], buffer[1]
    opcode = _opcode(first)
    is_final = bool(first & 0x80)
    if not second & 0x80:
        raise ProtocolError(1002, "a client's frames must be masked")
    size, at = second & 0x7F, 2
    if opcode >= Opcode.CLOSE and (size > CONTROL_BYTES or not is_final):
        raise ProtocolError(1002, "a control frame that is too long, or in pieces")
    if size > CONTROL_BYTES:
        at = 4 if size == 126 else 10
        if len(buffer) < at:
            return None
        size = int.from_bytes(buffer[2:at])
    if size > most_bytes:
        raise ProtocolError(1009, "the message is too large")
    end = at + 4 + size
    if len(buffer) < end:
        return None
    payload = _unmask(bytes(buffer[at + 4 : end]), bytes(buffer[at : at + 4]))
    return Frame(opcode, payload, is_final), end


def _opcode(first: int) -> Opcode:
    if first & 0x70:
        raise ProtocolError(1002, "no extension was agreed on")
    try:
        return Opcode(first & 0x0F)
    except ValueError:
        raise ProtocolError(1002, "a frame of no known kind") from None


def _unmask(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)
