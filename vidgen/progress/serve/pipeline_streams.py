"""Streams of one task for clients that know no end but `complete` and `error` (system 000)."""

from collections.abc import Mapping, Sequence
from typing import Any

from vidgen.progress.fanout.subscriber import Batch, Message
from vidgen.progress.fanout.tail import Tail
from vidgen.progress.serve.dialects import pipeline
from vidgen.progress.serve.frames import frame
from vidgen.progress.serve.sse import TaskStream, note_bytes, sse_frame
from vidgen.progress.serve.websocket import SocketStream


def error_bytes(tail: Tail, data: Mapping[str, Any], reason: str) -> bytes:
    """The `error` behind a run's `cancelled` or `interrupted`, as an envelope."""
    return note_bytes(tail, "error", pipeline.ending(data, reason))


def _was_cancelled(tail: Tail, seqs: Sequence[int]) -> bool:
    """Whether these events end with the run's cancellation."""
    return bool(seqs) and seqs[-1] == tail.last_seq and tail.snapshot.state == "cancelled"


class PipelineStream(TaskStream):
    """Server-sent events; an `error` follows what is no end for the client, and ends the stream."""

    __slots__ = ()

    def messages(self, tail: Tail, lines: Sequence[bytes], seqs: Sequence[int]) -> Batch:
        batch = super().messages(tail, lines, seqs)
        if batch and _was_cancelled(tail, seqs):
            message, _ = batch[-1]
            message["body"] += sse_frame(error_bytes(tail, tail.snapshot.end, "cancelled"))
        return batch

    def note(self, tail: Tail | None, event_type: str, data: Mapping[str, Any]) -> Message:
        message = super().note(tail, event_type, data)
        if tail and event_type == "interrupted":
            message["body"] += sse_frame(error_bytes(tail, data, event_type))
        return message

    def is_over(self) -> bool:
        return super().is_over() or self.knows_interruption()


class PipelineSocket(SocketStream):
    """The same over a WebSocket."""

    __slots__ = ()

    def messages(self, tail: Tail, lines: Sequence[bytes], seqs: Sequence[int]) -> Batch:
        batch = super().messages(tail, lines, seqs)
        if batch and _was_cancelled(tail, seqs):
            message, _ = batch[-1]
            message["frames"] += frame(error_bytes(tail, tail.snapshot.end, "cancelled"))
        return batch

    def note(self, tail: Tail | None, event_type: str, data: Mapping[str, Any]) -> Message:
        message = super().note(tail, event_type, data)
        if tail and event_type == "interrupted":
            message["frames"] += frame(error_bytes(tail, data, event_type))
        return message

    def is_over(self) -> bool:
        return super().is_over() or self.knows_interruption()
