"""The one form of an event on the wire."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidgen.events import (
    CLOUD_PLAN,
    LINE_LIMIT,
    LOCAL_PLAN,
    RESUMABLE,
    SEQ_LIMIT,
    SHARES,
    Envelope,
    Failed,
    StageProgress,
    is_start,
    seconds_of,
    stages_of,
    timestamp,
)

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


def test_the_shares_are_those_of_every_version() -> None:
    """A percentage means the same in every run, for every client."""
    assert SHARES == {
        "initialized": (0, 0), "queued": (0, 0), "yolo_detection": (0, 20),
        "birefnet_removal": (20, 40), "prosody_adjustment": (40, 60), "rendering": (60, 80),
        "d_id_upload": (60, 70), "d_id_processing": (70, 80), "finalizing": (80, 99),
        "complete": (100, 100), "failed": (-1, -1), "cancelled": (0, 100),
    }  # fmt: skip
    assert (LINE_LIMIT, SEQ_LIMIT) == (65_536, 10**15)


def test_the_stages_of_a_run() -> None:
    assert stages_of("puppet") == stages_of(None) == LOCAL_PLAN
    assert stages_of("d-id") == CLOUD_PLAN
    assert CLOUD_PLAN[:3] == LOCAL_PLAN[:3]
    assert CLOUD_PLAN[3:] == ("d_id_upload", "d_id_processing", "finalizing")
    assert {"failed", "cancelled", "interrupted"} == RESUMABLE


def test_a_failure_is_final_and_nobodys_unless_it_is_said() -> None:
    told = Failed("m", "c")
    assert (told.is_retryable, told.retry_count, told.max_retries) == (False, 0, 0)


def wire(data: dict[str, Any], **more: Any) -> Envelope:
    about = {"v": 1, "task_id": "a", "seq": 1, "event_type": "log", "timestamp": "t", "data": data}
    return Envelope.from_wire(orjson.dumps(about | more))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("progress", [0, 1.5, -1.0], ["1", None, [], True, {}]),
        ("message", ["", "x"], [1, None, True, {}]),
        ("metadata", [{}, {"a": 1}], [[], "x", None, True]),
        ("is_retryable", [True, False], [1, 0, "x", None]),
        ("solutions", [[], ["x"]], ["x", {}, None]),
        ("eta_seconds", [1, 1.5, None], ["1", True, []]),
        ("of_a_later_version", [1, True, None, "x", [], {}], []),
    ],
)
def test_a_field_of_another_type_is_left_out(name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert wire({name: value, "stage": "s"}).data == {name: value, "stage": "s"}
    for value in bad:
        assert wire({name: value, "stage": "s"}).data == {"stage": "s"}, value


def test_a_number_is_one() -> None:
    line = b'{"task_id":"a","seq":1,"event_type":"x","timestamp":"t","data":{"progress":1e999}}'
    with pytest.raises(ValueError, match=r"."):
        Envelope.from_wire(line)


@pytest.mark.parametrize("seq", [-1, SEQ_LIMIT, 2**63, 1.0])
def test_a_seq_that_cannot_be_is_refused(seq: float) -> None:
    with pytest.raises(ValueError, match=r"."):
        wire({}, seq=seq)
    assert [wire({}, seq=most).seq for most in (0, SEQ_LIMIT - 1)] == [0, SEQ_LIMIT - 1]


@pytest.mark.parametrize(
    ("event_type", "is_end"),
    [("complete", True), ("error", True), ("cancelled", True), ("log", False), ("x", False)],
)
def test_what_ends_a_run(event_type: str, *, is_end: bool) -> None:
    assert Envelope("t", 1, event_type, "", {}).is_terminal is is_end


@pytest.mark.parametrize(
    ("data", "begins"),
    [
        ({"stage": "initialized", "status": "started"}, True),
        ({"stage": "initialized", "status": "completed"}, False),
        ({"stage": "rendering", "status": "started"}, False),
        ({}, False),
    ],
)
def test_where_a_run_begins(data: dict[str, Any], *, begins: bool) -> None:
    assert is_start(Envelope("t", 1, "stage_update", "", data)) is begins


def test_times_of_the_wire() -> None:
    moment = datetime(2026, 11, 20, 12, 34, 56, 789_999, UTC)
    assert timestamp(moment) == "2026-11-20T12:34:56.789Z"
    assert seconds_of(timestamp(moment)) == pytest.approx(moment.timestamp(), abs=0.001)
    assert abs(seconds_of(timestamp()) - datetime.now(UTC).timestamp()) < 60
    assert [seconds_of(text) for text in ("", "now", "\x1b")] == [0.0] * 3
