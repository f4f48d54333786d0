"""The decoder against the list of web-platform-tests `eventsource/format-*`, and the encoder."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidgen.progress.serve.sse import opening, sse_frame
from vidgen.progress.watch.sse import ServerEvent, SseDecoder


def decoded(content: bytes) -> list[tuple[str, str, str]]:
    return [(e.type, e.data, e.last_event_id) for e in SseDecoder().feed(content)]


def said(*data: str, type: str = "message", id: str = "") -> list[tuple[str, str, str]]:
    return [(type, text, id) for text in data]


# name of the web-platform-test → (the stream, what a browser dispatches)
FORMAT: dict[str, tuple[bytes, list[tuple[str, str, str]]]] = {
    "bom": (b"\xef\xbb\xbfdata:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n", said("1", "3")),
    "bom-2": (b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\ndata:3\n\n", said("2", "3")),
    "comments": (
        b"data:1\r:\0\n:\r\ndata:2\n:"
        + b"x" * 2048
        + b"\rdata:3\n:data:fail\r:"
        + b"x" * 2048
        + b"\ndata:4\n\n",
        said("1\n2\n3\n4"),
    ),
    "data-before-final-empty-line": (
        b"retry:1000\ndata:test1\n\nid:test\ndata:test2",
        said("test1"),
    ),
    "field-data": (b"data:\n\ndata\ndata\n\ndata:test\n\n", said("", "\n", "test")),
    "field-event": (
        b"event:test\ndata:x\n\ndata:x\n\n",
        [("test", "x", ""), ("message", "x", "")],
    ),
    "field-event-empty": (b"event: \ndata:data\n\n", said("data")),
    "field-id": (b"id: \xe2\x80\xa6\ndata:hello\n\n", said("hello", id="…")),
    "field-id-2": (
        b"id: 1\ndata: hello\n\ndata: a\n\nid\ndata: b\n\nid: \ndata: c\n\n",
        [*said("hello", "a", id="1"), *said("b", "c")],
    ),
    "field-id-3": (b"id: 1\n\ndata: x\n\n", said("x", id="1")),
    "field-id-null": (b"id: 1\nid: 2\0\x003\ndata:x\n\n", said("x", id="1")),
    "field-id-null-alone": (b"id:\0\ndata:x\n\n", said("x")),
    "field-parsing": (
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n"
        b" data:32\ndata:4\n\n",
        said("\0\n 2\n1\n3\n\n4"),
    ),
    "field-retry": (b"retry:03000\ndata:x\n\n", said("x")),
    "field-retry-bogus": (b"retry:3000\nretry:1000x\ndata:x\n\n", said("x")),
    "field-retry-empty": (b"retry\ndata:test\n\n", said("test")),
    "field-unknown": (
        b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\n\n",
        said("test\n"),
    ),
    "leading-space": (b"data:\ttest\rdata: \ndata:test\n\n", said("\ttest\n\ntest")),
    "newlines": (b"data:test\r\ndata\ndata:test\r\n\r", said("test\n\ntest")),
    "null-character": (b"data:\0\n\n\n\n", said("\0")),
    "utf-8": ("data:ok…\n\n".encode(), said("ok…")),
    "utf-8-broken": (b"data:\xff\xe2\x80\n\n", said("��")),
    "no-line-separators-of-unicode": (
        "data:a\u2028b\u2029c\x0bd\x0ce\x85\n\n".encode(),
        said("a\u2028b\u2029c\x0bd\x0ce\x85"),
    ),
    "comment-after-an-id": (b"id: 7\ndata: x\n\n: ping\n\n: ping\n\n", said("x", id="7")),
}


@pytest.mark.parametrize("name", FORMAT)
def test_what_a_browser_would_dispatch(name: str) -> None:
    stream, expected = FORMAT[name]
    assert decoded(stream) == expected


@pytest.mark.parametrize("name", FORMAT)
def test_the_same_byte_by_byte(name: str) -> None:
    stream, expected = FORMAT[name]
    decoder = SseDecoder()
    events = [event for byte in stream for event in decoder.feed(bytes([byte]))]
    assert [(e.type, e.data, e.last_event_id) for e in events] == expected


@pytest.mark.parametrize(
    ("line", "milliseconds"),
    [
        (b"retry:03000", 3000),
        (b"retry: 250", 250),
        (b"retry:3000\nretry:1000x", 3000),
        (b"retry:+1000", None),
        (b"retry:1_000", None),
        (b"retry:-5", None),
        ("retry:٣".encode(), None),
        (b"retry", None),
        (b"retry:" + b"9" * 5000, 999_999_999),
    ],
)
def test_retry_takes_digits_only(line: bytes, milliseconds: int | None) -> None:
    decoder = SseDecoder()
    decoder.feed(line + b"\n\n")
    assert decoder.retry_ms == milliseconds


def test_an_id_alone_moves_the_cursor_without_an_event() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"id: 7\n\n") == []
    assert decoder.last_event_id == "7"


def test_an_id_of_an_unfinished_event_does_not_count() -> None:
    decoder = SseDecoder()
    decoder.feed(b"id: 1\ndata: x\n\nid: 2\ndata: y\n")
    assert decoder.last_event_id == "1"


def test_an_endless_event_is_refused() -> None:
    decoder = SseDecoder(limit=1000)
    decoder.feed(b"data: 1234\n" * 99)
    with pytest.raises(ValueError, match="longer than 1000 bytes"):
        decoder.feed(b"data: 1234\n" * 2)


def test_an_endless_line_is_refused() -> None:
    decoder = SseDecoder(limit=1000)
    decoder.feed(b"x" * 999)
    with pytest.raises(ValueError, match="longer than 1000 bytes"):
        decoder.feed(b"xx")


def test_many_events_in_one_chunk_are_not_one_long_event() -> None:
    events = SseDecoder(limit=1000).feed(b"data: 0123456789\n\n" * 500)
    assert len(events) == 500


@given(
    events=st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")), st.text())
    ),
    ending=st.sampled_from(["\n", "\r", "\r\n"]),
    cuts=st.lists(st.integers(0, 400)),
    has_mark=st.booleans(),
)
def test_any_cut_gives_the_same_events(
    events: list[tuple[str, str]], ending: str, cuts: list[int], has_mark: bool
) -> None:
    text = "".join(
        f"id: {event_id}{ending}"
        + "".join(f"data: {line}{ending}" for line in _lines(data))
        + ending
        for event_id, data in events
    )
    stream = b"\xef\xbb\xbf" * has_mark + text.encode("utf-8", "replace")
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    decoder = SseDecoder()
    pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
    found = [event for piece in pieces for event in decoder.feed(piece)]
    assert found == [
        ServerEvent("\n".join(_lines(data)), "message", event_id) for event_id, data in events
    ]


def _lines(data: str) -> list[str]:
    return data.encode("utf-8", "replace").decode().replace("\r", "\n").split("\n")


@given(st.binary(max_size=2000))
def test_no_bytes_make_it_fall(content: bytes) -> None:
    SseDecoder().feed(content)


@pytest.mark.parametrize(
    "data", [b'{"a":1}', b'{"a":\r1}', '{"a":"…\u2028"}'.encode(), b'{"a":"\\n"}']
)
def test_a_frame_is_one_event_with_its_id(data: bytes) -> None:
    events = SseDecoder().feed(sse_frame(data, b"1a2b3c4d-7"))
    assert events == [ServerEvent(data.decode().replace("\r", " "), "message", "1a2b3c4d-7")]


def test_a_frame_without_an_id_leaves_the_cursor() -> None:
    events = SseDecoder().feed(sse_frame(b"1", b"e-1") + sse_frame(b"2"))
    assert [(e.data, e.last_event_id) for e in events] == [("1", "e-1"), ("2", "e-1")]


def test_the_opening_is_no_event() -> None:
    decoder = SseDecoder()
    assert decoder.feed(opening(2500)) == []
    assert decoder.retry_ms == 2500
