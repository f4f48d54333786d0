"""The bytes of a log: events as lines, and finding the last whole one whatever lies behind it."""

import os
from dataclasses import replace
from typing import Final

import orjson

from vidgen.events import LINE_LIMIT, Envelope

LONGEST_VALUE: Final = 4096  # bytes that one field may keep in an event that is too long
LONGEST_MESSAGE: Final = 1000  # characters


def line_of(envelope: Envelope) -> bytes:
    line = envelope.to_wire() + b"\n"
    if len(line) <= LINE_LIMIT:
        return line
    # Longer lines can be torn by a kill. What is too long for one is left out, and named.
    data = dict(envelope.data)
    sizes = {name: len(orjson.dumps(value, default=str)) for name, value in data.items()}
    left_out = [name for name, size in sizes.items() if size > LONGEST_VALUE]
    slim = {name: value for name, value in data.items() if name not in left_out}
    slim["message"] = str(data.get("message", ""))[:LONGEST_MESSAGE]
    return replace(envelope, data=slim | {"left_out": left_out}).to_wire() + b"\n"


def parse_line(line: bytes) -> Envelope | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return Envelope.from_wire(line)
    except ValueError:
        return None


def last_whole(fd: int, block: int = 2 * LINE_LIMIT) -> tuple[int, Envelope | None]:
    """Where the last whole event ends, in bytes, and that event; (0, None) without one.

    After a power loss the tail may be zeros or garbage, so a line must parse to count.
    """
    end = os.fstat(fd).st_size
    while end > 0:
        begin = max(0, end - block)
        chunk = bytes_between(fd, begin, end)
        stop = chunk.rfind(b"\n")
        start = chunk.rfind(b"\n", 0, max(0, stop)) + 1
        if (event := parse_line(chunk[start : stop + 1])) is not None:
            return begin + stop + 1, event
        if block < 2 * LINE_LIMIT:
            block = 2 * LINE_LIMIT
        elif stop < 0:
            end = begin
        else:
            end = begin + start if start else begin
    return 0, None


def bytes_between(fd: int, begin: int, end: int) -> bytes:
    os.lseek(fd, begin, os.SEEK_SET)
    parts = []
    while begin < end and (part := os.read(fd, end - begin)):
        parts.append(part)
        begin += len(part)
    return b"".join(parts)
