"""WebSocket frames: ours as a client reads them, a client's as we do."""

import os

import pytest
from websockets.frames import Close
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode as TheirOpcode
from websockets.streams import StreamReader

from vidgen.progress.serve.frames import (
    Frame,
    Opcode,
    ProtocolError,
    close_code,
    close_frame,
    frame,
    read_frame,
)

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 200_000)


def theirs(content: bytes) -> TheirFrame:
    """The frame as the `websockets` library reads it as a client."""
    reader = StreamReader()
    reader.feed_data(content)
    parsing = TheirFrame.parse(reader.read_exact, mask=False)
    try:
        while True:
            next(parsing)
    except StopIteration as done:
        found: TheirFrame = done.value
        return found


@pytest.mark.parametrize("size", SIZES)
def test_clients_read_our_frames(size: int) -> None:
    payload = os.urandom(size)
    read = theirs(frame(payload, Opcode.BINARY))
    assert (read.opcode, bytes(read.data), read.fin) == (TheirOpcode.BINARY, payload, True)


@pytest.mark.parametrize("size", SIZES)
def test_we_read_clients_frames(size: int) -> None:
    payload = os.urandom(size)
    content = TheirFrame(TheirOpcode.BINARY, payload).serialize(mask=True) + b"rest"
    assert read_frame(content, 1 << 20) == (
        Frame(Opcode.BINARY, payload, True),
        len(content) - 4,
    )
    for end in {*range(min(16, len(content) - 5)), len(content) - 5}:
        assert read_frame(content[:end], 1 << 20) is None


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\x81\x01x", 1002),  # not masked
        (b"\xc1\x80\0\0\0\0", 1002),  # a reserved bit
        (b"\x83\x80\0\0\0\0", 1002),  # a kind that is none
        (b"\x09\x80\0\0\0\0", 1002),  # a ping in pieces
        (b"\x89\xfe\0\x7e", 1002),  # a ping of 126 bytes
        (b"\x81\xfe\xff\xff", 1009),  # 65,535 bytes
        (b"\x81\xff" + b"\xff" * 8, 1009),  # 2^64 - 1
    ],
)
def test_what_breaks_the_protocol_is_refused(content: bytes, code: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_frame(content, 1000)
    assert refused.value.code == code


def test_closing() -> None:
    close = Close.parse(bytes(theirs(close_frame(1012, "stopping")).data))
    assert (close.code, close.reason) == (1012, "stopping")
    long = Close.parse(bytes(theirs(close_frame(1000, "é" * 100)).data))
    assert long.reason == "é" * 61
    assert (close_code(b""), close_code(b"\x03\xe8ok"), close_code(b"\x0f\xa0")) == (
        1005,
        1000,
        4000,
    )
    for wrong in (b"\x03", b"\x03\xed", b"\0\0", b"\x03\xe8\xff"):
        with pytest.raises(ProtocolError):
            close_code(wrong)
