"""The one form of an event on the wire."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidgen.events import SEQ_LIMIT, SHARES, Envelope, StageProgress

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_an_envelope_is_the_wire_format_of_the_design() -> None:
    envelope = Envelope(
        "550e8400-e29b-41d4-a716-446655440000",
        12,
        "stage_update",
        "2026-11-20T12:34:56.789Z",
        {"stage": "birefnet_removal", "progress": 40.0},
    )
    assert envelope.to_wire() == (
        b'{"v":1,"task_id":"550e8400-e29b-41d4-a716-446655440000","seq":12,'
        b'"event_type":"stage_update","timestamp":"2026-11-20T12:34:56.789Z",'
        b'"data":{"stage":"birefnet_removal","progress":40.0}}'
    )


@given(
    st.text(),
    st.integers(1, SEQ_LIMIT - 1),
    st.dictionaries(st.text().map("x{}".format), json_values),
)
def test_what_is_written_is_read_back(task_id: str, seq: int, data: dict[str, object]) -> None:
    envelope = Envelope(task_id, seq, "log", "2026-11-20T12:34:56.789Z", data)
    wire = envelope.to_wire()
    assert b"\n" not in wire
    assert Envelope.from_wire(wire) == envelope


def test_unknown_fields_are_ignored() -> None:
    line = orjson.dumps(
        {
            "v": 9,
            "task_id": "a",
            "seq": 1,
            "event_type": "new",
            "timestamp": "t",
            "data": {},
            "x": 1,
        }
    )
    assert Envelope.from_wire(line) == Envelope("a", 1, "new", "t", {})


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"seq":1}',
        b'{"task_id":"a","seq":"1","event_type":"log","timestamp":"t","data":{}}',
        b'{"task_id":"a","seq":true,"event_type":"log","timestamp":"t","data":{}}',
        b'{"task_id":"a","seq":1,"event_type":"log","timestamp":"t","data":[]}',
    ],
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Envelope.from_wire(line)


def test_the_shares_of_the_bar_follow_one_another_without_a_gap() -> None:
    local = ["yolo_detection", "birefnet_removal", "prosody_adjustment", "rendering", "finalizing"]
    cloud = [*local[:3], "d_id_upload", "d_id_processing", "finalizing"]
    for stages in (local, cloud):
        ends = [SHARES[stage] for stage in stages]
        assert [last for _, last in ends[:-1]] == [first for first, _ in ends[1:]]


@pytest.mark.parametrize(
    ("done", "total", "share"),
    [(0, 10, 0.0), (5, 10, 0.5), (11, 10, 1.0), (-1, 10, 0.0), (1, 0, 0.0)],
)
def test_a_share_stays_between_nothing_and_all(done: float, total: float, share: float) -> None:
    assert StageProgress("rendering", done, total, "frames").share == share
